"""Data order, learning-rate schedule and optimiser."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import numpy as np
import torch

from llm_bridge.training.examples import Example
from llm_bridge.training.models import LoadedModel
from llm_bridge.training.settings import TrainSettings
from llm_bridge.training.verdict_head import PREFIX


def data_order(examples: Sequence[Example], settings: TrainSettings) -> Callable[[int], list[int]]:
    """Examples of step `k`: `batch_programs` programs in a new random order each pass, each with all its texts."""
    groups: dict[str, list[int]] = {}
    for index, example in enumerate(examples):
        groups.setdefault(example.group, []).append(index)
    members = list(groups.values())
    size = settings.batch_programs

    def one_pass(number: int) -> list[list[int]]:
        return [members[group] for group in np.random.default_rng([settings.seed, number]).permutation(len(members))]

    def step_rows(step: int) -> list[int]:
        first, last = divmod(step * size, len(members)), divmod((step + 1) * size - 1, len(members))
        programs = [program for number in range(first[0], last[0] + 1) for program in one_pass(number)]
        return [index for program in programs[first[1] : first[1] + size] for index in program]

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
    loaded: LoadedModel, parameters: Mapping[str, torch.nn.Parameter], settings: TrainSettings
) -> torch.optim.Optimizer:
    """AdamW, or for a 4-bit base on a GPU its paged form, as the settings ask; a verdict head has a rate of its own."""
    on_gpu = loaded.device.type == "cuda"
    kind = settings.optimiser
    if kind == "auto":
        kind = "paged_adamw_32bit" if on_gpu and loaded.fingerprint["storage"] == "nf4" else "adamw"
    options: dict[str, Any] = {
        "lr": settings.learning_rate,
        "betas": (settings.beta1, settings.beta2),
        "weight_decay": settings.weight_decay,
    }
    of_head = {name: value for name, value in parameters.items() if name.startswith(PREFIX)}
    groups: list[dict[str, Any]] = [{"params": [value for name, value in parameters.items() if name not in of_head]}]
    if of_head:
        groups.append({"params": list(of_head.values()), "lr": settings.head_learning_rate})
    groups = [group for group in groups if group["params"]]
    if kind == "adamw":
        return torch.optim.AdamW(groups, fused=True, **options)
    from bitsandbytes.optim.adamw import PagedAdamW8bit, PagedAdamW32bit

    paged: dict[str, type[torch.optim.Optimizer]] = {
        "paged_adamw_32bit": PagedAdamW32bit,
        "paged_adamw_8bit": PagedAdamW8bit,
    }
    return paged[kind](groups, **options)
