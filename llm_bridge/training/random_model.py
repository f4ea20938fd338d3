"""Files of a model with random weights in the exact shape of another one, for rehearsals.

    configuration ──► shapes on the meta device ──► shards of bfloat16, one after the other ──► index
    the model's own tokenizer where it is found here, else a byte tokenizer with as many entries

One shard at a time is in memory. Matrices are drawn as the library draws them at first (normal, of the configuration's
`initializer_range`), gains are 1 and biases 0: hidden states stay finite, and no answer means anything.
"""

from __future__ import annotations

import json
import shutil
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any

from llm_bridge.annotations import Progress
from llm_bridge.training.architecture import meta_model
from llm_bridge.training.common import ModelError, quiet
from llm_bridge.training.estimate import config_of
from llm_bridge.training.model_checks import read_tokenizer
from llm_bridge.training.toy import byte_tokenizer

if TYPE_CHECKING:
    import torch
    from transformers import PreTrainedConfig, PreTrainedTokenizerBase

SHARD_BYTES = 2_000_000_000
"""Most bytes of weights in a file; a tensor that is larger has a file of its own."""
RESERVE = 0.9
"""Share of the free disk that may be filled where no bound is given."""
STAND_IN = "byte stand-in"


def write_random_model(
    name: str,
    folder: Path,
    *,
    tokenizer: str | None = None,
    max_disk: float | None = None,
    seed: int = 0,
    shard_bytes: int = SHARD_BYTES,
    progress: Progress | None = None,
) -> str:
    """Write a model in the transformers layout, with random weights; returns which tokenizer it got.

    Parameters
    ----------
    name
        Model whose shape it gets: a known shape, a folder with a ``config.json``, or a hub id (`estimate.config_of`).
    folder
        Folder to write, which must exist and be empty.
    tokenizer
        A folder with a tokenizer. Left out, it is the model's own where its folder or the hub's cache holds one, else
        the stand-in: a token for each byte, and entries that no text has, up to the size of the vocabulary.
    max_disk
        Most bytes that the files may take; left out, 90 % of what is free there.
    seed
        Seed of the weights.
    shard_bytes
        Most bytes of weights in a file.

    Raises
    ------
    ModelError
        More disk would be needed than is allowed, or no tokenizer can be read or made.
    ModelDownloadError
        The shape is not known here.
    """
    import torch
    from safetensors.torch import save_file

    config = config_of(name)
    model = meta_model(config)
    needed = 2.0 * sum(parameter.numel() for parameter in model.parameters())
    allowed = RESERVE * shutil.disk_usage(folder).free if max_disk is None else max_disk
    if needed > allowed:
        raise ModelError(
            f"the weights of {name} in bfloat16 take {needed / 1e9:.1f} GB of disk, and {allowed / 1e9:.1f} GB may be "
            f"used in {folder}"
        )
    config.architectures, config.dtype = [type(model).__name__], torch.bfloat16
    config.save_pretrained(folder)
    kind = _write_tokenizer(name, config, folder, tokenizer)
    generator = torch.Generator().manual_seed(seed)
    parts = list(_shards(model, shard_bytes))
    weight_map: dict[str, str] = {}
    for number, part in enumerate(parts, start=1):
        file = f"model-{number:05}-of-{len(parts):05}.safetensors"
        tensors = {key: _drawn(key, shape, config, generator) for key, shape in part}
        save_file(tensors, folder / file, metadata={"format": "pt"})
        weight_map.update(dict.fromkeys(tensors, file))
        if progress:
            progress(number, len(parts))
    index = {"metadata": {"total_size": int(needed)}, "weight_map": weight_map}
    (folder / "model.safetensors.index.json").write_text(json.dumps(index, indent=1) + "\n")
    return kind


def _shards(model: torch.nn.Module, shard_bytes: int) -> Iterator[list[tuple[str, torch.Size]]]:
    """Names and shapes of the weights, tied ones once, in files of at most `shard_bytes` each."""
    part: list[tuple[str, torch.Size]] = []
    size = 0
    for name, parameter in model.named_parameters():
        if part and size + 2 * parameter.numel() > shard_bytes:
            yield part
            part, size = [], 0
        part.append((name, parameter.shape))
        size += 2 * parameter.numel()
    yield part


def _drawn(name: str, shape: torch.Size, config: PreTrainedConfig, generator: torch.Generator) -> torch.Tensor:
    import torch

    if len(shape) < 2:
        return torch.full(shape, 0.0 if name.endswith("bias") else 1.0, dtype=torch.bfloat16)
    width = float(getattr(config, "initializer_range", 0.02))
    drawn = torch.empty(shape, dtype=torch.bfloat16)
    for piece in drawn.view(-1).split(1 << 24):  # float32 exists for one of them at a time
        piece.copy_(torch.randn(len(piece), generator=generator).mul_(width))
    return drawn


def _write_tokenizer(name: str, config: PreTrainedConfig, folder: Path, given: str | None) -> str:
    """The tokenizer's files, and which it is."""
    found = read_tokenizer(Path(given).expanduser()) if given is not None else _own_tokenizer(name)
    stands_in = found is None
    if found is None:
        if config.vocab_size < len(byte_tokenizer()):
            least = len(byte_tokenizer())
            raise ModelError(
                f"a byte tokenizer needs a vocabulary of at least {least} (got {config.vocab_size}, {name})"
            )
        found = byte_tokenizer(config.vocab_size)
    with quiet():
        found.save_pretrained(folder)
    return f"{STAND_IN if stands_in else given or 'its own'}, {len(found):,} entries"


def _own_tokenizer(name: str) -> PreTrainedTokenizerBase | None:
    """The tokenizer of a folder, or of a hub id that the user has fetched; `None` where none is found here."""
    from transformers import AutoTokenizer

    place = Path(name).expanduser()
    options: dict[str, Any] = {"trust_remote_code": False, "local_files_only": True}
    try:
        with quiet():
            tokenizer: PreTrainedTokenizerBase = AutoTokenizer.from_pretrained(
                place if place.is_dir() else name, **options
            )
    except Exception:  # the library raises whatever its parsers raise
        return None
    return tokenizer if tokenizer.is_fast and len(tokenizer) > 1 else None
