"""Methods: what of the model is trained, and how its base is stored.

    method            base    trained
    zero-shot         full    nothing
    zero-shot-nf4     NF4     nothing
    full              full    every weight
    lora              full    adapters on every block:            W x + (alpha / rank) B A x,  B = 0 at first
    qlora             NF4     the same
    lora-STRATEGY     full    adapters on the blocks that the strategy picks (`layer_selection`)
    qlora-STRATEGY    NF4     the same

Sources: Hu et al., arXiv 2106.09685 (low-rank adapters); Dettmers et al., arXiv 2305.14314 (4-bit base). Of the adapter
library two silent traps are closed here: an empty list of layers adapts all of them, and an index out of range is
dropped. Adapters are scored as they are trained, never merged: merging into 4-bit weights changes the model.
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any

from llm_bridge.training.fetching import ModelError, Progress, quiet
from llm_bridge.training.models import LoadedModel

LLAMA_LINEARS = ("q_proj", "k_proj", "v_proj", "o_proj", "gate_proj", "up_proj", "down_proj")
STRATEGIES = ("cka", "fisher", "random", "first", "last", "bottom_and_last", "all", "manual")
RECORD_FILE = "chirpbridge_adapter.json"


@dataclass(frozen=True, kw_only=True)
class Method:
    """One row of the table above.

    `learning_rate` is the best of three on the clean link, each tried once in 25 steps of 12 texts on the default model
    (docs/results/lr_search.json): searched for "lora", "qlora" and "full"; the layer-wise methods take their stem's.
    Longer runs and larger models want less.
    """

    name: str
    storage: str
    trained: str  # "nothing", "everything", "adapters"
    strategy: str | None
    learning_rate: float


def _methods() -> dict[str, Method]:
    rows = [
        Method(name="zero-shot", storage="full", trained="nothing", strategy=None, learning_rate=0.0),
        Method(name="zero-shot-nf4", storage="nf4", trained="nothing", strategy=None, learning_rate=0.0),
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
    """Size and place of the adapters, and how a strategy picks layers. `full` and `zero-shot` ignore it.

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
        Of "cka" and "fisher"; see `layer_selection.select_layers`.
    initialisation
        ``True`` (B = 0), or a name the adapter library knows, such as "pissa".
    seed
        Of the adapters' first values and of the strategy "random".
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
        if isinstance(self.target_modules, str) or not self.target_modules:
            raise ValueError(f"'target_modules' must be a non-empty list of names (got {self.target_modules!r})")
        if self.layers is not None and not self.layers:
            raise ValueError(
                "'layers' is empty: no layer would be trained (the adapter library would take all of them)"
            )
        if not 0 < self.ratio <= 1:
            raise ValueError(f"'ratio' must lie in (0, 1] (got {self.ratio})")


PRESETS: Mapping[str, Mapping[str, Any]] = {
    # artidoro/qlora, qlora.py defaults and the Guanaco-7B script
    "qlora-paper": {
        "method": "qlora",
        "adapter": {"rank": 64, "alpha": 16.0, "dropout": 0.1},
        "training": {
            "learning_rate": 2e-4, "schedule": "constant", "warmup_fraction": 0.03, "clip_norm": 0.3, "beta2": 0.999,
            "weight_decay": 0.0, "gradient_checkpointing": True, "batch_programs": 16,
        },
    },
    # arXiv 2602.05988, decoder scripts: rank = alpha = 128, half of the layers by (biased) CKA at the last token
    "layerwise-paper": {
        "method": "lora-cka",
        "adapter": {
            "rank": 128, "alpha": 128.0, "dropout": 0.0, "ratio": 0.5, "num_texts": 128, "estimator": "biased",
            "position": "last", "exclude_first": False,
        },
        "training": {
            "learning_rate": 2e-5, "schedule": "cosine", "warmup_fraction": 0.03, "weight_decay": 0.0,
            "batch_programs": 16,
        },
    },
    # torchtune recipes/configs/llama3/8B_qlora_single_device.yaml
    "torchtune-8b": {
        "method": "qlora",
        "adapter": {
            "rank": 8, "alpha": 16.0, "dropout": 0.0,
            "target_modules": ("q_proj", "v_proj", "o_proj", "gate_proj", "up_proj", "down_proj"),
        },
        "training": {
            "learning_rate": 3e-4, "schedule": "cosine", "warmup_steps": 100, "weight_decay": 0.01,
            "batch_programs": 16, "gradient_checkpointing": True,
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


def attach(
    loaded: LoadedModel,
    method: str,
    settings: AdapterSettings | None = None,
    *,
    texts: Sequence[str] = (),
    keep_dtype: bool = False,
    progress: Progress | None = None,
) -> LoadedModel:
    """Make of a loaded base what `method` trains. The base's weights are shared, not copied.

    Parameters
    ----------
    loaded
        Loaded with the method's storage.
    method
        A name in `METHODS`.
    settings
        Of the adapters; the defaults where `None`.
    texts
        What "cka" and "fisher" look at (training texts, never test texts).
    keep_dtype
        Of "full": train bfloat16 weights as they are. Otherwise they become float32 (twice the memory), since an update
        below 1/256 of a weight is lost in bfloat16.

    Returns
    -------
    LoadedModel
        Its fingerprint has `method`, `num_trainable`, and for adapters `adapter` and `layers`; for a strategy
        that scores layers also `layer_scores`.

    Raises
    ------
    ModelError
        When the base is stored in another way than the method needs, or holds adapters already.
    ValueError
        Unknown method, no layers, layers out of range.
    """
    row = method_named(method)
    settings = settings or AdapterSettings()
    if loaded.fingerprint["storage"] != row.storage:
        raise ModelError(
            f"method {method!r} needs a base with storage={row.storage!r} (got {loaded.fingerprint['storage']!r})"
        )
    if loaded.fingerprint.get("method") is not None:
        raise ModelError(f"the model is prepared for {loaded.fingerprint['method']!r} already; load a fresh base")
    if row.trained == "nothing":
        return _named(loaded, loaded.model, method, {})
    if row.trained == "everything":
        if not keep_dtype:
            loaded.model.float()
        loaded.model.requires_grad_(True)
        return _named(loaded, loaded.model, method, {"dtype": str(loaded.model.dtype).removeprefix("torch.")})
    layers, scores = _choose_layers(loaded, row, settings, texts, progress)
    model = with_adapters(loaded, settings, layers)
    details: dict[str, Any] = {"adapter": json.loads(json.dumps(asdict(settings))), "layers": list(layers)}
    if scores is not None:
        details["layer_scores"] = scores
    return _named(loaded, model, method, details)


def num_blocks(loaded: LoadedModel) -> int:
    """Transformer blocks of the base."""
    return int(loaded.base.config.num_hidden_layers)


def _choose_layers(
    loaded: LoadedModel, row: Method, settings: AdapterSettings, texts: Sequence[str], progress: Progress | None
) -> tuple[tuple[int, ...], dict[str, Any] | None]:
    """Indices of the blocks that get adapters, and how they were chosen."""
    blocks = num_blocks(loaded)
    if row.strategy is None:
        return _checked_layers(tuple(range(blocks)) if settings.layers is None else settings.layers, blocks), None
    from llm_bridge.training.layer_selection import select_layers

    choice = select_layers(
        row.strategy,
        loaded,
        texts,
        num_texts=settings.num_texts,
        ratio=settings.ratio,
        num_layers=settings.num_layers,
        layers=settings.layers,
        estimator=settings.estimator,
        kernel=settings.kernel,
        position=settings.position,
        exclude_first=settings.exclude_first,
        target_modules=settings.target_modules,
        seed=settings.seed,
        progress=progress,
    )
    return _checked_layers(choice.layers, blocks), choice.provenance()


def _checked_layers(layers: Sequence[int], blocks: int) -> tuple[int, ...]:
    """Sorted, distinct, in range and not empty, or a `ValueError`."""
    bad = sorted({layer for layer in layers if not 0 <= layer < blocks})
    if bad:
        raise ValueError(f"'layers' must lie in 0...{blocks - 1} (got {bad})")
    if not layers:
        raise ValueError("'layers' is empty: no layer would be trained")
    return tuple(sorted(set(layers)))


def with_adapters(loaded: LoadedModel, settings: AdapterSettings, layers: tuple[int, ...]) -> Any:
    """The base wrapped by the adapter library, and the proof that adapters sit in exactly these layers."""
    import torch

    with quiet():
        from peft import LoraConfig, get_peft_model, prepare_model_for_kbit_training

    config = LoraConfig(
        task_type="CAUSAL_LM",
        r=settings.rank,
        lora_alpha=settings.alpha,
        lora_dropout=settings.dropout,
        target_modules=list(settings.target_modules),
        layers_to_transform=list(layers),
        layers_pattern="layers",
        init_lora_weights=settings.initialisation,
    )
    base = loaded.model
    with quiet(), torch.random.fork_rng(devices=[]):
        torch.manual_seed(settings.seed)
        if loaded.fingerprint["storage"] == "nf4":  # norms, embedding and head to float32
            base = prepare_model_for_kbit_training(base, use_gradient_checkpointing=False)
        model = get_peft_model(base, config)
    found = adapted_layers(model)
    if found != {layer: len(settings.target_modules) for layer in layers}:
        raise ModelError(f"adapters sit on {found} (modules by block), not on the blocks {list(layers)} as asked")
    return model


def adapted_layers(model: Any) -> dict[int, int]:
    """Adapted modules in each block that has any, read off the trainable parameters' names."""
    counts: dict[int, int] = {}
    for name, parameter in model.named_parameters():
        if parameter.requires_grad and ".lora_A." in name:
            parts = name.split(".")
            block = int(parts[parts.index("layers") + 1])
            counts[block] = counts.get(block, 0) + 1
    return counts


def _named(loaded: LoadedModel, model: Any, method: str, details: Mapping[str, Any]) -> LoadedModel:
    trainable = sum(parameter.numel() for parameter in model.parameters() if parameter.requires_grad)
    fingerprint = {**loaded.fingerprint, "method": method, "num_trainable": trainable, **details}
    return replace(loaded, model=model, fingerprint=fingerprint)


# ------------------------------------------------------------------------------------------- save and load


def save_trained(loaded: LoadedModel, folder: Path) -> Path:
    """Write what was trained (adapters alone, or all weights) and the fingerprint.

    `folder` must not exist yet, or be empty.
    """
    folder.mkdir(parents=True, exist_ok=True)
    if any(folder.iterdir()):
        raise FileExistsError(f"{folder} is not empty")
    if method_named(loaded.fingerprint["method"]).trained == "nothing":
        raise ValueError("a zero-shot model has nothing trained to save")
    loaded.model.save_pretrained(folder)
    loaded.tokenizer.save_pretrained(folder)
    (folder / RECORD_FILE).write_text(json.dumps(loaded.fingerprint, indent=1) + "\n")
    return folder


def load_trained(base: LoadedModel, folder: Path) -> LoadedModel:
    """The trained model of `save_trained`, on a base loaded as the method demands.

    Raises
    ------
    ModelError
        Adapters for another base (by the hash of its weights, its configuration or its storage), or no record.
    """
    try:
        record = json.loads((folder / RECORD_FILE).read_text())
    except (OSError, ValueError) as error:
        raise ModelError(f"{folder} holds no readable {RECORD_FILE} ({error})") from error
    for key in ("weights_sha256", "config_sha256", "storage"):
        if record[key] != base.fingerprint[key]:
            raise ModelError(
                f"{folder} was trained on another base: its {key} is {record[key]}, this base has "
                f"{base.fingerprint[key]} ({record['name']} against {base.fingerprint['name']})"
            )
    if method_named(record["method"]).trained == "everything":
        from transformers import AutoModelForCausalLM

        model: Any = AutoModelForCausalLM.from_pretrained(
            folder, dtype=base.model.dtype, device_map={"": str(base.device)}
        )
    else:
        with quiet():
            from peft import PeftModel

            model = PeftModel.from_pretrained(base.model, str(folder))
    model.eval()
    return replace(base, model=model, fingerprint={**base.fingerprint, **record, "compute": base.compute})
