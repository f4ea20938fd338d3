"""A model's modules read from its configuration alone: blocks, linear layers and output head, without a weight.

    folder, GGUF header or hub ──► configuration ──► modules on the meta device (shapes, no memory)

The blocks are the decoder's one list of as many modules as the configuration has hidden layers: ``layers`` in the
Llama family, ``h`` in GPT-2 and Falcon, ``blocks`` in MPT. A repository's own Python (``auto_map``) is never run.
"""

from __future__ import annotations

import inspect
import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from llm_bridge.training.common import ModelError, quiet

if TYPE_CHECKING:
    import torch
    from transformers import PreTrainedConfig, PreTrainedModel

HEAD_SCALES = ("final_logit_softcapping", "logits_soft_cap", "logit_scale", "logits_scaling", "lm_head_multiplier")
"""Configuration fields by which an architecture changes the logits after the product with the head."""


def read_config(folder: Path, *, gguf_file: str | None = None) -> PreTrainedConfig:
    """Configuration of a causal language model in a folder, or in the header of a GGUF file there.

    Raises
    ------
    ModelError
        No readable configuration, one that needs Python code of the repository, or not a causal language model.
    """
    from transformers import AutoConfig
    from transformers.models.auto.modeling_auto import MODEL_FOR_CAUSAL_LM_MAPPING_NAMES

    raw = _raw_config(folder) if gguf_file is None else {}
    auto_map = raw.get("auto_map")
    own_code = ", ".join(map(str, auto_map.values())) if isinstance(auto_map, dict) else ""
    options = {} if gguf_file is None else {"gguf_file": gguf_file}
    try:
        with quiet():
            config: PreTrainedConfig = AutoConfig.from_pretrained(folder, trust_remote_code=False, **options)
    except Exception as error:  # the library raises whatever its parsers raise
        if own_code:
            raise ModelError(f"{folder} needs Python code of its own ({own_code}), which is never run") from error
        raise ModelError(f"{folder} holds no readable model configuration ({_first_line(error)})") from error
    architectures = list(getattr(config, "architectures", None) or [])
    named = not architectures or any(name.endswith(("ForCausalLM", "LMHeadModel")) for name in architectures)
    if getattr(config, "is_encoder_decoder", False) or not named:
        raise ModelError(f"{folder} is not a causal language model: its architectures are {architectures}")
    if config.model_type not in MODEL_FOR_CAUSAL_LM_MAPPING_NAMES:
        if own_code:
            raise ModelError(f"{folder} needs Python code of its own ({own_code}), which is never run")
        raise ModelError(f"{folder} is not a causal language model: its type is {config.model_type!r}")
    return config


def meta_model(config: PreTrainedConfig) -> PreTrainedModel:
    """The model's modules with shapes and no memory."""
    import torch
    from transformers import AutoModelForCausalLM

    with torch.device("meta"), quiet():
        model: PreTrainedModel = AutoModelForCausalLM.from_config(config, trust_remote_code=False)
    return model


def decoder_blocks(model: PreTrainedModel) -> tuple[str, Sequence[torch.nn.Module]]:
    """Name of the decoder's list of transformer blocks, and the blocks.

    Examples
    --------
    >>> from llm_bridge.training.toy import toy_model
    >>> name, blocks = decoder_blocks(toy_model(259))
    >>> name, len(blocks)
    ('layers', 2)
    """
    import torch

    decoder, count = model.get_decoder(), model.config.num_hidden_layers
    lists = {
        name: list(module)
        for name, module in decoder.named_children()
        if isinstance(module, torch.nn.ModuleList) and len(module) == count
    }
    if len(lists) != 1:
        raise ModelError(
            f"{type(model).__name__} must keep its {count} blocks in one list (found {', '.join(lists) or 'none'})"
        )
    return next(iter(lists.items()))


def linear_shapes(model: PreTrainedModel) -> list[dict[str, tuple[int, int]]]:
    """For each block, the shapes (out, in) of its linear layers by the last part of their names."""
    import torch

    return [
        {
            path.rsplit(".", 1)[-1]: (module.out_features, module.in_features)
            for path, module in block.named_modules()
            if isinstance(module, torch.nn.Linear)
        }
        for block in decoder_blocks(model)[1]
    ]


def head_problem(model: PreTrainedModel) -> str | None:
    """Reason why scores cannot be read from the output head; `None` for a plain product with a matrix."""
    head = model.get_output_embeddings()
    name = type(model).__name__
    if head is None or not hasattr(head, "weight"):
        return f"{name} has no output head that can be read"
    if getattr(head, "bias", None) is not None:
        return f"{name} adds a bias to its logits; only a plain output head is read"
    scales = [field for field in HEAD_SCALES if getattr(model.config, field, None) not in (None, 1, 1.0)]
    return f"{name} rescales its logits ({', '.join(scales)}); only a plain output head is read" if scales else None


def positions_problem(model: PreTrainedModel) -> str | None:
    """Reason why a decoder cannot read a prefix tree of texts; `None` where it takes positions and a mask."""
    decoder = model.get_decoder()
    missing = {"position_ids", "attention_mask"} - set(inspect.signature(decoder.forward).parameters)
    return (
        f"{type(model).__name__} takes no {' and no '.join(sorted(missing))}; it cannot be scored" if missing else None
    )


def target_problem(model: PreTrainedModel, target_modules: Sequence[str]) -> str | None:
    """Linear layers that adapters were asked for and that are missing, as a sentence; `None` where all are there."""
    found = linear_shapes(model)
    missing = [name for name in target_modules if not all(name in block for block in found)]
    if not missing:
        return None
    known = sorted(set.intersection(*(set(block) for block in found)))
    return (
        f"the blocks of {type(model).__name__} have no linear layer {', '.join(missing)} for adapters; "
        f"'target_modules' can be some of: {', '.join(known) or 'none'}"
    )


def _raw_config(folder: Path) -> Mapping[str, object]:
    """``config.json`` as it stands."""
    try:
        found = json.loads((folder / "config.json").read_text(encoding="utf-8"))
    except (OSError, ValueError, RecursionError) as error:
        raise ModelError(f"{folder} holds no readable config.json ({_first_line(error)})") from error
    if not isinstance(found, dict):
        raise ModelError(f"{folder} holds no readable config.json (it is no object)")
    return found


def _first_line(error: BaseException) -> str:
    return (str(error).strip().splitlines() or [type(error).__name__])[0][:200]
