"""Fine-tuning methods by name, and the settings of adapters. No torch: a recipe is checked without it.

    method            base    trained
    zero-shot         full    nothing
    zero-shot-nf4     NF4     nothing
    probe             full    a linear head on frozen hidden states (`verdict_head`)
    full              full    every weight
    lora              full    adapters on every block:            W x + (alpha / rank) B A x,  B = 0 at first
    qlora             NF4     the same
    lora-STRATEGY     full    adapters on the blocks that the strategy picks (`layer_selection`)
    qlora-STRATEGY    NF4     the same

Sources: Hu et al., arXiv 2106.09685 (low-rank adapters); Dettmers et al., arXiv 2305.14314 (4-bit base).
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

LLAMA_LINEARS = ("q_proj", "k_proj", "v_proj", "o_proj", "gate_proj", "up_proj", "down_proj")
STRATEGIES = ("cka", "fisher", "random", "first", "last", "bottom_and_last", "all", "manual")


@dataclass(frozen=True, kw_only=True)
class Method:
    """One row of the table above.

    `learning_rate` is the best of three on the clean link, each tried once in 25 steps of 12 texts on the default model
    (docs/results/lr_search.json): searched for "lora", "qlora" and "full"; the layer-wise methods take their stem's.
    Longer runs and larger models want less.
    """

    name: str
    storage: str
    trained: str  # "nothing", "head", "everything", "adapters"
    strategy: str | None
    learning_rate: float


def _methods() -> dict[str, Method]:
    rows = [
        Method(name="zero-shot", storage="full", trained="nothing", strategy=None, learning_rate=0.0),
        Method(name="zero-shot-nf4", storage="nf4", trained="nothing", strategy=None, learning_rate=0.0),
        Method(name="probe", storage="full", trained="head", strategy=None, learning_rate=1e-3),
        Method(name="full", storage="full", trained="everything", strategy=None, learning_rate=1.5e-4),
    ]
    for stem, storage in (("lora", "full"), ("qlora", "nf4")):
        for strategy in (None, *STRATEGIES):
            name = stem if strategy is None else f"{stem}-{strategy}"
            rows.append(Method(name=name, storage=storage, trained="adapters", strategy=strategy, learning_rate=2.5e-3))
    return {row.name: row for row in rows}


METHODS: Mapping[str, Method] = _methods()


@dataclass(frozen=True, kw_only=True)
class AdapterSettings:
    """Size and place of the adapters, how a strategy picks layers, and where verdicts are read.

    Without adapters, as in "full" and "probe", only `read_layer` counts.

    Parameters
    ----------
    rank, alpha, dropout
        The adapter's update is ``alpha / rank * B A``.
    target_modules
        Names of linear layers within a block, always a list: a string ("all-linear") cannot be combined with layers.
    layers
        Indices of blocks for the strategy "manual".
    ratio, num_layers
        A strategy picks `num_layers` blocks, or ``floor(ratio * blocks)`` where that is `None`.
    num_texts, estimator, kernel, position, exclude_first
        Options of "cka" and "fisher" (`layer_selection.select_layers`).
    read_layer
        Number of blocks, from 1, after which a trained head reads the verdicts (`verdict_head`); `None` reads them from
        the output head after the last block.
    initialisation
        ``True`` (B = 0), or a name the adapter library knows, such as "pissa".
    seed
        Seed of the adapters' first values and of the strategy "random".
    """

    rank: int = 8
    alpha: float = 16.0
    dropout: float = 0.0
    target_modules: tuple[str, ...] = LLAMA_LINEARS
    layers: tuple[int, ...] | None = None
    ratio: float = 0.5
    num_layers: int | None = None
    num_texts: int = 128
    estimator: str = "unbiased"
    kernel: str = "linear"
    position: str = "last"
    exclude_first: bool | str = "auto"
    read_layer: int | None = None
    initialisation: bool | str = True
    seed: int = 0

    def __post_init__(self) -> None:
        """Check each bound once."""
        if self.rank < 1:
            raise ValueError(f"'rank' must be at least 1 (got {self.rank})")
        if not self.alpha > 0:
            raise ValueError(f"'alpha' must be positive (got {self.alpha})")
        if not 0 <= self.dropout < 1:
            raise ValueError(f"'dropout' must lie in [0, 1) (got {self.dropout})")
        if not self.target_modules or not isinstance(self.target_modules, tuple | list):
            raise ValueError(f"'target_modules' must be a non-empty list of names (got {self.target_modules!r})")
        if self.layers is not None and not self.layers:
            raise ValueError(
                "'layers' is empty: no layer would be trained (the adapter library would take all of them)"
            )
        if not 0 < self.ratio <= 1:
            raise ValueError(f"'ratio' must lie in (0, 1] (got {self.ratio})")


_HALF_AND_ALL = ("lora-cka", "lora")
_LAYERWISE_DECODER = {
    "methods": _HALF_AND_ALL,
    "adapter": {
        "rank": 128, "alpha": 128.0, "dropout": 0.0, "ratio": 0.5, "num_texts": 128, "estimator": "biased",
        "position": "last", "exclude_first": False, "target_modules": LLAMA_LINEARS,
    },
    "training": {
        "learning_rate": 2e-5, "schedule": "cosine", "warmup_fraction": 0.03, "weight_decay": 0.0,
        "batch_programs": 8,
    },
}  # fmt: skip
_ENCODER = {
    "rank": 8, "alpha": 16.0, "ratio": 0.5, "num_texts": 1024, "estimator": "biased", "position": "first",
    "exclude_first": True,
}  # fmt: skip

PRESETS: Mapping[str, Mapping[str, Any]] = {
    # artidoro/qlora, qlora.py defaults and the Guanaco-7B script
    "qlora-paper": {
        "methods": ("qlora",),
        "adapter": {"rank": 64, "alpha": 16.0, "dropout": 0.1},
        "training": {
            "learning_rate": 2e-4, "schedule": "constant", "warmup_fraction": 0.03, "clip_norm": 0.3, "beta2": 0.999,
            "weight_decay": 0.0, "gradient_checkpointing": True, "batch_programs": 8,
        },
    },
    # arXiv 2602.05988, its decoders' scripts: rank = alpha = 128, half of the layers by (biased) CKA at the last token,
    # and all layers beside them; of LLaVA it is the language model
    **dict.fromkeys(
        (
            "layerwise-paper", "layerwise-llama-2-7b", "layerwise-mistral-7b", "layerwise-gemma-7b",
            "layerwise-llava-1.5-7b",
        ),
        _LAYERWISE_DECODER,
    ),
    # the same paper's encoders on MRPC: CKA at the class token, the first block left out by its index
    "layerwise-roberta-base": {
        "methods": _HALF_AND_ALL,
        "adapter": {**_ENCODER, "dropout": 0.1, "target_modules": ("query", "value")},
        "training": {
            "learning_rate": 4e-4, "schedule": "linear", "warmup_fraction": 0.06, "weight_decay": 0.1,
            "batch_programs": 8, "max_tokens": 512, "objectives": {"detect": 1.0},
        },
    },
    "layerwise-deberta-v3-base": {
        "methods": _HALF_AND_ALL,
        "adapter": {
            **_ENCODER, "dropout": 0.0,
            "target_modules": (
                "query_proj", "key_proj", "value_proj", "attention.output.dense", "intermediate.dense", "output.dense",
            ),
        },
        "training": {
            "learning_rate": 1e-3, "schedule": "linear", "warmup_fraction": 0.1, "weight_decay": 0.01,
            "batch_programs": 16, "max_tokens": 320, "objectives": {"detect": 1.0},
        },
    },
    # torchtune recipes/configs/llama3/8B_qlora_single_device.yaml
    "torchtune-8b": {
        "methods": ("qlora",),
        "adapter": {
            "rank": 8, "alpha": 16.0, "dropout": 0.0,
            "target_modules": ("q_proj", "v_proj", "o_proj", "gate_proj", "up_proj", "down_proj"),
        },
        "training": {
            "learning_rate": 3e-4, "schedule": "cosine", "warmup_steps": 100, "weight_decay": 0.01,
            "batch_programs": 8, "gradient_checkpointing": True,
        },
    },
}  # fmt: skip


def method_named(name: str) -> Method:
    """The row of `METHODS`; a `ValueError` that lists what there is otherwise.

    Examples
    --------
    >>> method_named("qlora-cka").storage
    'nf4'
    """
    if name not in METHODS:
        raise ValueError(f"'method' must be one of {', '.join(METHODS)} (got {name!r})")
    return METHODS[name]
