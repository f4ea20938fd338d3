"""Data order, learning-rate schedule and optimiser."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator, Sequence
from typing import Any

import numpy as np
import torch

from llm_bridge.training.examples import Example
from llm_bridge.training.models import LoadedModel
from llm_bridge.training.settings import TrainSettings


def data_order(examples: Sequence[Example], settings: TrainSettings) -> Callable[[int], list[int]]:
    """Examples of step `k`: programs in a new random order each pass, both versions of a program together."""
    groups: dict[str, list[int]] = {}
    for index, example in enumerate(examples):
        groups.setdefault(example.group, []).append(index)
    members = list(groups.values())
    size = settings.batch_programs

    def one_pass(number: int) -> Iterator[int]:
        for group in np.random.default_rng([settings.seed, number]).permutation(len(members)):
            yield from members[group]

    def step_rows(step: int) -> list[int]:
        first, last = divmod(step * size, len(examples)), divmod((step + 1) * size - 1, len(examples))
        stream = [index for number in range(first[0], last[0] + 1) for index in one_pass(number)]
        return stream[first[1] : first[1] + size]

    return step_rows


def learning_rate_factor(settings: TrainSettings) -> Callable[[int], float]:
    """Factor on the learning rate at step k, from 0."""
    steps = settings.steps
    warm = math.ceil(settings.warmup_fraction * steps) if settings.warmup_steps is None else settings.warmup_steps

    def factor(step: int) -> float:
        if step < warm:
            return (step + 1) / (warm + 1)
        if settings.schedule == "constant":
            return 1.0
        done = (step - warm) / max(1, steps - warm)
        return 1 - done if settings.schedule == "linear" else 0.5 * (1 + math.cos(math.pi * done))

    return factor


def make_optimiser(
    loaded: LoadedModel, parameters: list[torch.nn.Parameter], settings: TrainSettings
) -> torch.optim.Optimizer:
    """AdamW, or for a 4-bit base on a GPU its paged form, as the settings ask."""
    on_gpu = loaded.device.type == "cuda"
    kind = settings.optimiser
    if kind == "auto":
        kind = "paged_adamw_32bit" if on_gpu and loaded.fingerprint["storage"] == "nf4" else "adamw"
    options: dict[str, Any] = {
        "lr": settings.learning_rate,
        "betas": (settings.beta1, settings.beta2),
        "weight_decay": settings.weight_decay,
    }
    if kind == "adamw":
        return torch.optim.AdamW(parameters, fused=True, **options)
    from bitsandbytes.optim.adamw import PagedAdamW8bit, PagedAdamW32bit

    paged: dict[str, type[torch.optim.Optimizer]] = {
        "paged_adamw_32bit": PagedAdamW32bit,
        "paged_adamw_8bit": PagedAdamW8bit,
    }
    return paged[kind](parameters, **options)
