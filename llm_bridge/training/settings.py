"""Settings of a training run, and its record. No torch: a recipe is checked without it."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass, field
from types import MappingProxyType

MAX_TOKENS = 1024
HEAD_TOKENS = 512
"""Tokens whose logits exist at once in scoring: 100 MB with 49,152 entries, 260 MB with 128,256."""
OBJECTIVES = ("line", "distil", "likelihood", "localise", "detect", "repair")
DEFAULT_OBJECTIVES: Mapping[str, float] = MappingProxyType({"line": 1.0, "distil": 3.0})
VERDICT_OBJECTIVES = ("line", "localise", "detect")
"""Objectives that a trained head reads in a middle block; the others need the output head after the last one."""
SCHEDULES = ("cosine", "linear", "constant")
OPTIMISERS = ("auto", "adamw", "paged_adamw_32bit", "paged_adamw_8bit")


@dataclass(frozen=True, kw_only=True)
class TrainSettings:
    """Everything that shapes a training run, given the model and the examples.

    Parameters
    ----------
    learning_rate
        Peak value; tuned for each method (`methods.METHODS`).
    steps
        Number of optimiser steps, 40 by default.
    batch_programs
        Programs whose gradients are added up before a step, each with those of its texts that the objectives read.
    head_learning_rate
        Peak value for a trained verdict head, which begins at zero; 0.001 by default.
    batch_tokens
        Largest micro-batch, in tokens with padding: bounds the memory, not the result (beyond rounding).
    schedule, warmup_fraction, warmup_steps
        Linear warm-up over `warmup_steps` (``ceil(warmup_fraction * steps)`` where `None`), then "cosine" or "linear"
        to zero, or "constant".
    objectives
        Weight of each of "line", "distil", "likelihood", "localise", "detect" and "repair" (see `objectives`).
    optimiser
        "auto" is AdamW; for a 4-bit base on a GPU the paged one of bitsandbytes.
    gradient_checkpointing
        Keep only each block's input and compute the block again on the way back.
    eval_every, patience
        Optimiser steps between two validations (0: never), and how many in a row may fail to improve
        before training stops and goes back to the best weights (0: never stop, keep the last).
    checkpoint_every
        Steps between two checkpoints, where a folder is given.
    seed
        Seed of the data order and of dropout, 0 by default.
    """

    learning_rate: float
    steps: int = 40
    batch_programs: int = 4
    batch_tokens: int = 1024
    max_tokens: int = MAX_TOKENS
    schedule: str = "cosine"
    warmup_fraction: float = 0.1
    warmup_steps: int | None = None
    head_learning_rate: float = 1e-3
    weight_decay: float = 0.0
    beta1: float = 0.9
    beta2: float = 0.999
    clip_norm: float = 1.0
    objectives: Mapping[str, float] = field(default_factory=lambda: dict(DEFAULT_OBJECTIVES))
    optimiser: str = "auto"
    gradient_checkpointing: bool = False
    eval_every: int = 0
    patience: int = 0
    checkpoint_every: int = 20
    seed: int = 0

    def __post_init__(self) -> None:
        """Check each bound once."""
        for name, low in (("learning_rate", 0.0), ("head_learning_rate", 0.0), ("clip_norm", 0.0)):
            value = getattr(self, name)
            if not (value > low and math.isfinite(value)):
                raise ValueError(f"{name!r} must be positive and finite (got {value})")
        for name, floor in (("steps", 1), ("batch_programs", 1), ("batch_tokens", 1), ("checkpoint_every", 1)):
            if getattr(self, name) < floor:
                raise ValueError(f"{name!r} must be at least {floor} (got {getattr(self, name)})")
        for name in ("weight_decay", "eval_every", "patience", "seed"):
            if getattr(self, name) < 0:
                raise ValueError(f"{name!r} must not be negative (got {getattr(self, name)})")
        if not 0 <= self.warmup_fraction <= 1:
            raise ValueError(f"'warmup_fraction' must lie in [0, 1] (got {self.warmup_fraction})")
        if self.schedule not in SCHEDULES:
            raise ValueError(f"'schedule' must be one of {', '.join(SCHEDULES)} (got {self.schedule!r})")
        if self.optimiser not in OPTIMISERS:
            raise ValueError(f"'optimiser' must be one of {', '.join(OPTIMISERS)} (got {self.optimiser!r})")
        if set(self.objectives) - set(OBJECTIVES) or not any(weight > 0 for weight in self.objectives.values()):
            raise ValueError(f"'objectives' must weigh some of {', '.join(OBJECTIVES)} (got {dict(self.objectives)})")
        if any(weight < 0 for weight in self.objectives.values()):
            raise ValueError(f"'objectives' must not be negative (got {dict(self.objectives)})")


def require_readable(objectives: Mapping[str, float], has_head: bool) -> None:
    """Refuse objectives that need the blocks behind a trained head, which are not run."""
    beyond = [name for name, weight in objectives.items() if weight and name not in VERDICT_OBJECTIVES]
    if has_head and beyond:
        raise ValueError(
            f"'objectives' with a 'read_layer' must be among {', '.join(VERDICT_OBJECTIVES)} (got {', '.join(beyond)})"
        )


@dataclass(frozen=True, kw_only=True)
class TrainingRecord:
    """Record of a training run: enough for a results table and a loss curve.

    `status` is "finished", "early_stopped", "diverged" (a loss or gradient that is not a number; the model holds the
    last good weights), "empty" (no example arrived; the model is the untrained one) or "zero-shot".
    """

    status: str
    message: str
    steps: int
    num_examples: int
    num_trainable: int
    losses: tuple[float, ...] = ()
    validation: tuple[tuple[int, float], ...] = ()
    tokens: int = 0
    resumed_at: int = 0
    wall_s: float = 0.0
    cpu_s: float = 0.0
    peak_rss_bytes: int = 0
    peak_gpu_bytes: int = 0
    run_hash: str = ""
