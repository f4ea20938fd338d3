"""Models made trainable by a method (`methods`), and trained models written and read.

Adapters are scored as they are trained, never merged: merging into 4-bit weights changes the model.
"""

from __future__ import annotations

import json
import shutil
from collections.abc import Mapping, Sequence
from dataclasses import asdict, replace
from pathlib import Path
from typing import Any

from llm_bridge.annotations import Progress
from llm_bridge.training.adapter_modules import num_blocks, with_adapters
from llm_bridge.training.architecture import auto_class
from llm_bridge.training.fetching import ModelError, public_name, quiet
from llm_bridge.training.methods import METHODS, AdapterSettings, Method, method_named
from llm_bridge.training.models import LoadedModel, load_model
from llm_bridge.training.verdict_head import first_blocks, load_head, new_head, save_head

RECORD_FILE = "chirpbridge_adapter.json"
RECORD_KEYS = ("name", "method", "storage", "weights_sha256", "config_sha256")
"""Keys of a trained model's record that must be texts."""


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
        Settings of the adapters; the defaults where `None`.
    texts
        What "cka" and "fisher" look at (training texts, never test texts).
    keep_dtype
        Whether the method "full" trains bfloat16 weights as they are. Otherwise they become float32 (twice the memory),
        since an update below 1/256 of a weight is lost in bfloat16.

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
        Unknown method, no layers, layers out of range, a probe without a layer to read.
    """
    row = method_named(method)
    settings = settings or AdapterSettings()
    depth = settings.read_layer
    if row.trained == "head" and depth is None:
        raise ValueError(f"'read_layer' must be given for the method {method!r}: it trains nothing but the head there")
    if loaded.fingerprint["storage"] != row.storage:
        raise ModelError(
            f"method {method!r} needs a base with storage={row.storage!r} (got {loaded.fingerprint['storage']!r})"
        )
    if loaded.fingerprint.get("method") is not None:
        raise ModelError(f"the model is prepared for {loaded.fingerprint['method']!r} already; load a fresh base")
    if row.trained == "nothing":
        return _named(loaded, loaded.model, method, {})
    if depth is not None:
        loaded = replace(loaded, head=new_head(loaded.base, depth))
    if row.trained == "head":
        return _named(loaded, loaded.model, method, {})
    if row.trained == "everything":
        if not keep_dtype:
            loaded.model.float()
        with first_blocks(loaded.base, depth):  # what a head in the middle reads, and nothing behind it
            (loaded.model if depth is None else loaded.base.get_decoder()).requires_grad_(True)
        return _named(loaded, loaded.model, method, {"dtype": str(loaded.model.dtype).removeprefix("torch.")})
    layers, scores = _choose_layers(loaded, row, settings, texts, progress)
    model = with_adapters(loaded, settings, layers)
    details: dict[str, object] = {"adapter": json.loads(json.dumps(asdict(settings))), "layers": list(layers)}
    if scores is not None:
        details["layer_scores"] = scores
    return _named(loaded, model, method, details)


def _choose_layers(
    loaded: LoadedModel, row: Method, settings: AdapterSettings, texts: Sequence[str], progress: Progress | None
) -> tuple[tuple[int, ...], dict[str, object] | None]:
    """Indices of the blocks that get adapters, and how they were chosen."""
    blocks = num_blocks(loaded) if settings.read_layer is None else settings.read_layer
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
        blocks=blocks,
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


def _named(loaded: LoadedModel, model: Any, method: str, details: Mapping[str, object]) -> LoadedModel:
    parts = [model] if loaded.head is None else [model, loaded.head]
    trainable = sum(value.numel() for part in parts for value in part.parameters() if value.requires_grad)
    if loaded.head is not None:
        details = {**details, "read_layer": loaded.head.layer}
    fingerprint = {**loaded.fingerprint, "method": method, "num_trainable": trainable, **details}
    return replace(loaded, model=model, fingerprint=fingerprint)


# ------------------------------------------------------------------------------------------- save and load


def save_trained(loaded: LoadedModel, folder: Path) -> Path:
    """Write what was trained (adapters alone, or all weights) and the fingerprint.

    Adapters name their base by its public name, and its revision where one was asked for. `folder` must not exist yet,
    or be empty.
    """
    _require_empty(folder)
    row = method_named(loaded.fingerprint["method"])
    if row.trained == "nothing":
        raise ValueError("a zero-shot model has nothing trained to save")
    name, revision = public_name(loaded.fingerprint["name"])
    loaded.base.name_or_path = loaded.base.config.name_or_path = name
    model: Any = loaded.model
    if loaded.head is not None:
        save_head(loaded.head, folder)
    if row.trained == "everything":
        with quiet():
            model.save_pretrained(folder)
    elif row.trained == "adapters":
        for config in model.peft_config.values():
            config.base_model_name_or_path, config.revision = name, revision
        model.save_pretrained(folder, save_embedding_layers=False)  # else the hub is asked whether they grew
    loaded.tokenizer.save_pretrained(folder)
    (folder / RECORD_FILE).write_text(json.dumps(loaded.fingerprint, indent=1) + "\n")
    return folder


def export_trained(kept: Path, folder: Path, *, merged: bool = False) -> Path:
    """Write a model of `save_trained` to another folder, as peft (adapters) or transformers (whole models) load it.

    Parameters
    ----------
    kept, folder
        What `save_trained` wrote, and the folder to write: new, or empty.
    merged
        Whether the adapters are merged into their base, which makes a whole model; the default is the adapters alone.

    Raises
    ------
    ModelError
        `merged`, and the base is in 4 bits: merged, it would be another model than the one that was scored.
    """
    record = _read_record(kept)
    if merged and record["storage"] != "full":
        raise ModelError(f"{kept.name} has a base in 4 bits: merged, it would be another model; export the adapter")
    _require_empty(folder)
    if not merged or method_named(record["method"]).trained != "adapters":
        shutil.copytree(kept, folder, dirs_exist_ok=True)
        return folder
    loaded = load_trained(load_model(record["name"], seed=record.get("seed") or 0, device="cpu"), kept)
    adapted: Any = loaded.model
    with quiet():
        adapted.merge_and_unload().save_pretrained(folder)
    loaded.tokenizer.save_pretrained(folder)
    return folder


def _require_empty(folder: Path) -> None:
    folder.mkdir(parents=True, exist_ok=True)
    if any(folder.iterdir()):
        raise FileExistsError(f"{folder} is not empty")


def _read_record(folder: Path) -> dict[str, Any]:
    try:
        record = json.loads((folder / RECORD_FILE).read_text(encoding="utf-8"))
    except (OSError, ValueError, RecursionError) as error:
        raise ModelError(f"{folder} holds no readable {RECORD_FILE} ({error})") from error
    known = isinstance(record, dict) and all(isinstance(record.get(key), str) for key in RECORD_KEYS)
    if not known or record["method"] not in METHODS or not isinstance(record.get("seed"), int | None):
        raise ModelError(f"{folder / RECORD_FILE} is no record of a trained model; train it again")
    return dict(record)


def load_trained(base: LoadedModel, folder: Path) -> LoadedModel:
    """The trained model of `save_trained`, on a base loaded as the method demands.

    Raises
    ------
    ModelError
        Adapters for another base (by the hash of its weights, its configuration or its storage), or no record.
    """
    record = _read_record(folder)
    for key in ("weights_sha256", "config_sha256", "storage"):
        if record[key] != base.fingerprint[key]:
            raise ModelError(
                f"{folder} was trained on another base: its {key} is {record[key]}, this base has "
                f"{base.fingerprint[key]} ({record['name']} against {base.fingerprint['name']})"
            )
    model: Any = base.model
    if method_named(record["method"]).trained == "everything":
        with quiet():
            model = auto_class(base.base.config).from_pretrained(
                folder,
                dtype=base.model.dtype,
                device_map={"": str(base.device)},
                attn_implementation=base.base.config._attn_implementation,  # another kernel would round otherwise
            )
    elif method_named(record["method"]).trained == "adapters":
        with quiet():
            from peft import PeftModel

            model = PeftModel.from_pretrained(base.model, str(folder))
    model.eval()
    loaded = replace(base, model=model, fingerprint={**base.fingerprint, **record, "compute": base.compute})
    return replace(loaded, head=load_head(loaded.base, folder))
