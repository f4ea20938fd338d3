"""A model's modules read from its configuration alone: blocks, linear layers and output head, without a weight.

    folder, GGUF header or hub ──► configuration ──► modules on the meta device (shapes, no memory)

The blocks are the decoder's one list of as many modules as the configuration has hidden layers: ``layers`` in the
Llama family, ``h`` in GPT-2 and Falcon, ``blocks`` in MPT, ``layer`` in the encoders. Of LLaVA, whose configuration is
composite, it is the language model's. A repository's own Python (``auto_map``) is never run.

An encoder (RoBERTa, DeBERTa-v3) reads a text in both directions and has no likelihoods: it classifies, by a head of two
outputs, "ok" and "bug", on the first token.
"""

from __future__ import annotations

import inspect
import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from llm_bridge.training.common import ModelError, first_line, quiet

if TYPE_CHECKING:
    import torch
    from transformers import (
        AutoModelForCausalLM,
        AutoModelForSequenceClassification,
        PreTrainedConfig,
        PreTrainedModel,
    )

ENCODERS = ("roberta", "deberta-v2")
"""Types of the encoders that are classified with."""
COMPOSITE = "llava"
"""The type of the one composite model whose language model is taken out."""
HEAD_SCALES = ("final_logit_softcapping", "logits_soft_cap", "logit_scale", "logits_scaling", "lm_head_multiplier")
"""Configuration fields by which an architecture changes the logits after the product with the head."""


def read_config(folder: Path, *, gguf_file: str | None = None) -> PreTrainedConfig:
    """Configuration of a causal language model or an encoder in a folder, or in the header of a GGUF file there.

    Raises
    ------
    ModelError
        No readable configuration, one that needs Python code of the repository, or neither a causal language model nor
        one of `ENCODERS`.
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
        raise ModelError(f"{folder} holds no readable model configuration ({first_line(error)})") from error
    if config.model_type == COMPOSITE:
        saved, config = getattr(config, "quantization_config", None), config.get_text_config()
        if saved is not None:
            config.quantization_config = saved
    if is_encoder(config):
        config.num_labels = 2
        return config
    architectures = list(getattr(config, "architectures", None) or [])
    named = not architectures or any(name.endswith(("ForCausalLM", "LMHeadModel")) for name in architectures)
    if getattr(config, "is_encoder_decoder", False) or not named:
        raise ModelError(f"{folder} is not a causal language model: its architectures are {architectures}")
    if config.model_type not in MODEL_FOR_CAUSAL_LM_MAPPING_NAMES:
        if own_code:
            raise ModelError(f"{folder} needs Python code of its own ({own_code}), which is never run")
        raise ModelError(f"{folder} is not a causal language model: its type is {config.model_type!r}")
    return config


def is_encoder(config: PreTrainedConfig) -> bool:
    """Whether a model reads texts in both directions and classifies them."""
    return config.model_type in ENCODERS and not getattr(config, "is_decoder", False)


def auto_class(config: PreTrainedConfig) -> type[AutoModelForCausalLM] | type[AutoModelForSequenceClassification]:
    """The library's class that builds and loads a model of this configuration."""
    from transformers import AutoModelForCausalLM, AutoModelForSequenceClassification

    return AutoModelForSequenceClassification if is_encoder(config) else AutoModelForCausalLM


def meta_model(config: PreTrainedConfig) -> PreTrainedModel:
    """The model's modules with shapes and no memory."""
    import torch

    kind: Any = auto_class(config)
    with torch.device("meta"), quiet():
        model: PreTrainedModel = kind.from_config(config, trust_remote_code=False)
    return model


def head_modules(model: PreTrainedModel) -> tuple[str, ...]:
    """Names of an encoder's modules that make its head: what is not the encoder itself, and has weights.

    They are drawn at random where the files hold none, so a method that trains adapters trains them too.
    """
    heads = [(name, module) for name, module in model.named_children() if name != model.base_model_prefix]
    return tuple(name for name, module in heads if next(module.parameters(), None) is not None)


def num_positions(config: PreTrainedConfig) -> int | None:
    """Longest text in tokens that a model has positions for; `None` where it has no limit.

    RoBERTa's first positions, up to that of the padding token, stand for nothing.
    """
    positions = getattr(config, "max_position_embeddings", None)
    if positions is not None and config.model_type == "roberta":
        positions -= int(config.pad_token_id) + 1
    return positions


def decoder_blocks(model: PreTrainedModel) -> tuple[str, Sequence[torch.nn.Module]]:
    """Name of the list of transformer blocks of a decoder or encoder, and the blocks.

    Examples
    --------
    >>> from llm_bridge.training.toy import toy_model
    >>> name, blocks = decoder_blocks(toy_model(259))
    >>> name, len(blocks)
    ('layers', 2)
    """
    import torch

    decoder = getattr(model.base_model, "encoder", None) if is_encoder(model.config) else model.get_decoder()
    count = model.config.num_hidden_layers
    lists = {
        name: list(module)
        for name, module in (decoder.named_children() if isinstance(decoder, torch.nn.Module) else ())
        if isinstance(module, torch.nn.ModuleList) and len(module) == count
    }
    if len(lists) != 1:
        raise ModelError(
            f"{type(model).__name__} must keep its {count} blocks in one list (found {', '.join(lists) or 'none'})"
        )
    return next(iter(lists.items()))


def linear_shapes(model: PreTrainedModel) -> list[dict[str, tuple[int, int]]]:
    """For each block, the shapes (out, in) of its linear layers by their paths in it, as ``mlp.up_proj``."""
    import torch

    return [
        {
            path: (module.out_features, module.in_features)
            for path, module in block.named_modules()
            if isinstance(module, torch.nn.Linear)
        }
        for block in decoder_blocks(model)[1]
    ]


def named_by(path: str, target_modules: Sequence[str]) -> bool:
    """Whether a linear layer's path in its block is one of these names, or ends in one (``mlp.up_proj``: ``up_proj``).

    Examples
    --------
    >>> [named_by(path, ("output.dense",)) for path in ("output.dense", "attention.output.dense", "intermediate.dense")]
    [True, True, False]
    """
    return any(path == name or path.endswith(f".{name}") for name in target_modules)


def head_problem(model: PreTrainedModel) -> str | None:
    """Reason why scores cannot be read from the output head; `None` for a plain product with a matrix.

    An encoder's head is asked as a whole.
    """
    if is_encoder(model.config):
        return None
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
    if is_encoder(model.config):
        return None
    decoder = model.get_decoder()
    missing = {"position_ids", "attention_mask"} - set(inspect.signature(decoder.forward).parameters)
    return (
        f"{type(model).__name__} takes no {' and no '.join(sorted(missing))}; it cannot be scored" if missing else None
    )


def target_problem(model: PreTrainedModel, target_modules: Sequence[str]) -> str | None:
    """Linear layers that adapters were asked for and that are missing, as a sentence; `None` where all are there."""
    found = linear_shapes(model)
    missing = [name for name in target_modules if not all(any(named_by(p, [name]) for p in block) for block in found)]
    if not missing:
        return None
    ends = [{path if is_encoder(model.config) else path.rsplit(".", 1)[-1] for path in block} for block in found]
    known = sorted(set.intersection(*ends))
    return (
        f"the blocks of {type(model).__name__} have no linear layer {', '.join(missing)} for adapters; "
        f"'target_modules' can be some of: {', '.join(known) or 'none'}"
    )


def _raw_config(folder: Path) -> Mapping[str, object]:
    """``config.json`` as it stands."""
    try:
        found = json.loads((folder / "config.json").read_text(encoding="utf-8"))
    except (OSError, ValueError, RecursionError) as error:
        raise ModelError(f"{folder} holds no readable config.json ({first_line(error)})") from error
    if not isinstance(found, dict):
        raise ModelError(f"{folder} holds no readable config.json (it is no object)")
    return found
