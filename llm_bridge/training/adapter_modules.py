"""Adapter modules in a model's blocks, by the adapter library (peft).

Two silent traps of the library are closed here: an empty list of layers adapts all of them, and an index out of range
is dropped. So the adapted modules are counted afterwards, block by block.
"""

from __future__ import annotations

from typing import Any

from llm_bridge.training.architecture import (
    decoder_blocks,
    head_modules,
    is_encoder,
    linear_shapes,
    named_by,
    target_problem,
)
from llm_bridge.training.common import ModelError, quiet
from llm_bridge.training.methods import AdapterSettings
from llm_bridge.training.models import LoadedModel


def num_blocks(loaded: LoadedModel) -> int:
    """Transformer blocks of the base."""
    return int(loaded.base.config.num_hidden_layers)


def with_adapters(loaded: LoadedModel, settings: AdapterSettings, layers: tuple[int, ...]) -> Any:
    """The base wrapped by the adapter library, and the proof that adapters sit in exactly these layers.

    An encoder's head is trained whole beside them.
    """
    import torch

    with quiet():
        from peft import LoraConfig, get_peft_model, prepare_model_for_kbit_training

    pattern, _ = decoder_blocks(loaded.base)
    if problem := target_problem(loaded.base, settings.target_modules):
        raise ModelError(problem)
    options: dict[str, Any] = {"lora_alpha": settings.alpha, "init_lora_weights": settings.initialisation}
    if is_encoder(loaded.base.config):
        options["modules_to_save"] = list(head_modules(loaded.base))
    per_block = [sum(named_by(path, settings.target_modules) for path in block) for block in linear_shapes(loaded.base)]
    config = LoraConfig(
        task_type="SEQ_CLS" if is_encoder(loaded.base.config) else "CAUSAL_LM",
        r=settings.rank,
        lora_dropout=settings.dropout,
        target_modules=list(settings.target_modules),
        layers_to_transform=list(layers),
        layers_pattern=pattern,
        **options,
    )
    base = loaded.model
    with quiet(), torch.random.fork_rng(devices=[]):
        torch.manual_seed(settings.seed)
        if loaded.fingerprint["storage"] == "nf4":  # norms, embedding and head to float32
            base = prepare_model_for_kbit_training(base, use_gradient_checkpointing=False)
        model = get_peft_model(base, config)
    found = adapted_layers(model, pattern)
    if found != {layer: per_block[layer] for layer in layers}:
        raise ModelError(f"adapters sit on {found} (modules by block), not on the blocks {list(layers)} as asked")
    return model


def adapted_layers(model: Any, pattern: str = "layers") -> dict[int, int]:
    """Adapted modules in each block that has any, read off the parameters' names; `pattern` is that of the list."""
    counts: dict[int, int] = {}
    for name, parameter in model.named_parameters():
        if parameter.requires_grad and ".lora_A." in name:
            parts = name.split(".")
            block = int(parts[parts.index(pattern) + 1])
            counts[block] = counts.get(block, 0) + 1
    return counts
