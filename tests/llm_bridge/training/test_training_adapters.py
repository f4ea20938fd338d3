"""Methods: what is trainable, where adapters sit, and how they are kept."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path

import pytest
import torch
from training_texts import examples, toy, weights

from llm_bridge.scoring.likelihood import score_texts
from llm_bridge.training.adapter_modules import adapted_layers
from llm_bridge.training.adapters import RECORD_FILE, attach, load_trained, save_trained
from llm_bridge.training.finetune import TrainSettings, finetune
from llm_bridge.training.methods import LLAMA_LINEARS, METHODS, PRESETS, STRATEGIES, AdapterSettings, method_named
from llm_bridge.training.models import ModelError

TEXTS = tuple(row.text for row in examples(8))
TRAINING = TrainSettings(learning_rate=1e-2, steps=3, batch_programs=2)


def test_the_registry_holds_every_method_of_the_contract() -> None:
    expected = {"zero-shot", "full", "lora", "qlora"}
    expected |= {f"{stem}-{strategy}" for stem in ("lora", "qlora") for strategy in STRATEGIES}
    assert expected | {"zero-shot-nf4", "probe"} == set(METHODS)
    assert all(
        row.storage == ("nf4" if name.startswith("qlora") or name.endswith("nf4") else "full")
        for name, row in METHODS.items()
    )
    assert all((row.learning_rate > 0) == (row.trained != "nothing") for row in METHODS.values())
    with pytest.raises(ValueError, match=r"'method' must be one of zero-shot.*\(got 'dora'\)"):
        method_named("dora")


@pytest.mark.parametrize("strategy", STRATEGIES)
@pytest.mark.parametrize("stem", ["lora", "qlora"])
def test_a_layer_wise_method_adapts_exactly_the_chosen_blocks(stem: str, strategy: str) -> None:
    settings = {"layers": (1,)} if strategy == "manual" else {}
    loaded = toy(f"{stem}-{strategy}", texts=TEXTS, **settings)
    layers = loaded.fingerprint["layers"]
    assert adapted_layers(loaded.model) == {layer: len(LLAMA_LINEARS) for layer in layers}
    assert len(layers) == (2 if strategy == "all" else 1)
    assert all("lora_" in name for name in weights(loaded))
    assert loaded.fingerprint["num_trainable"] == 8192 * len(layers)


def test_full_trains_everything_and_zero_shot_nothing() -> None:
    assert toy("full").fingerprint["num_trainable"] == 90_624
    assert toy("zero-shot").fingerprint["num_trainable"] == toy("zero-shot-nf4").fingerprint["num_trainable"] == 0


def test_fresh_adapters_change_no_score() -> None:
    base, adapted = toy(), toy("lora")
    assert score_texts(base, TEXTS[:2])[TEXTS[0]] == score_texts(adapted, TEXTS[:2])[TEXTS[0]]


def test_adapters_start_from_their_own_seed() -> None:
    first, again, other = toy("lora", seed=0), toy("lora", seed=0), attach(toy(), "lora", AdapterSettings(seed=1))
    a, b, c = weights(first), weights(again), weights(other)
    name = next(name for name in a if "lora_A" in name)
    assert torch.equal(a[name], b[name]) and not torch.equal(a[name], c[name])


def test_an_empty_layer_list_is_an_error_and_never_all() -> None:
    with pytest.raises(ValueError, match="'layers' is empty"):
        AdapterSettings(layers=())
    with pytest.raises(ValueError, match="'layers' must name at least one block"):
        attach(toy(), "lora-manual")
    with pytest.raises(ValueError, match=r"number of layers must lie in 1...2 \(got 0"):
        attach(toy(), "lora-first", AdapterSettings(ratio=0.4))


def test_layers_out_of_range_are_named() -> None:
    with pytest.raises(ValueError, match=r"'layers' must lie in 0...1 \(got \[7\]\)"):
        attach(toy(), "lora-manual", AdapterSettings(layers=(1, 7)))


def test_a_module_that_is_not_there_is_an_error() -> None:
    with pytest.raises(ModelError, match=r"have no linear layer no_proj for adapters; .target_modules. can be"):
        attach(toy(), "lora", AdapterSettings(target_modules=("q_proj", "no_proj")))
    with pytest.raises(ValueError, match="'target_modules' must be a non-empty list"):
        AdapterSettings(target_modules="all-linear")


@pytest.mark.parametrize(("field", "value"), [("rank", 0), ("alpha", 0.0), ("dropout", 1.0), ("ratio", 0.0)])
def test_bad_sizes_are_named(field: str, value: object) -> None:
    with pytest.raises(ValueError, match=f"'{field}'"):
        AdapterSettings(**{field: value})


def test_a_base_in_the_wrong_storage_or_prepared_before_is_refused() -> None:
    with pytest.raises(ModelError, match=r"'qlora' needs a base with storage='nf4' \(got 'full'\)"):
        attach(toy(), "qlora")
    with pytest.raises(ModelError, match="prepared for 'lora' already"):
        attach(toy("lora"), "lora")


@pytest.mark.parametrize("name", sorted(PRESETS))
def test_a_preset_is_a_method_with_valid_settings(name: str) -> None:
    preset = PRESETS[name]
    AdapterSettings(**preset["adapter"])
    TrainSettings(**preset["training"])
    assert set(preset["methods"]) <= set(METHODS)


def test_the_layer_wise_preset_has_the_published_size() -> None:
    preset = PRESETS["layerwise-paper"]["adapter"]
    assert preset["rank"] == preset["alpha"] == 128 and preset["ratio"] == 0.5 and preset["estimator"] == "biased"


# -------------------------------------------------------------------------------------------------------- save and load


@pytest.mark.parametrize("method", ["full", "lora", "qlora"])
def test_what_was_trained_scores_the_same_after_saving_and_loading(method: str, tmp_path: Path) -> None:
    loaded = toy(method)
    finetune(loaded, examples(), TRAINING)
    before = score_texts(loaded, TEXTS[:4])
    save_trained(loaded, tmp_path / "model")
    again = load_trained(toy("zero-shot-nf4") if method == "qlora" else toy(), tmp_path / "model")
    assert score_texts(again, TEXTS[:4]) == before
    assert again.fingerprint == loaded.fingerprint


def test_adapters_for_another_base_are_refused(tmp_path: Path) -> None:
    save_trained(toy("lora"), tmp_path / "adapter")
    with pytest.raises(ModelError, match="trained on another base: its weights_sha256"):
        load_trained(toy(seed=1), tmp_path / "adapter")
    with pytest.raises(ModelError, match="its storage is full, this base has nf4"):
        load_trained(toy("zero-shot-nf4"), tmp_path / "adapter")


def test_a_folder_without_a_record_is_refused_and_an_occupied_one_is_not_written(tmp_path: Path) -> None:
    with pytest.raises(ModelError, match=RECORD_FILE):
        load_trained(toy(), tmp_path)
    (tmp_path / "note").write_text("mine")
    with pytest.raises(FileExistsError):
        save_trained(toy("lora"), tmp_path)
    with pytest.raises(ValueError, match="nothing trained"):
        save_trained(toy("zero-shot"), tmp_path / "new")


def test_the_saved_record_is_the_fingerprint(tmp_path: Path) -> None:
    loaded = toy("lora-cka", texts=TEXTS)
    save_trained(loaded, tmp_path / "adapter")
    record = json.loads((tmp_path / "adapter" / RECORD_FILE).read_text())
    assert record["method"] == "lora-cka" and record["layers"] == loaded.fingerprint["layers"]
    assert record["layer_scores"]["strategy"] == "cka" and len(record["layer_scores"]["scores"]) == 2


@pytest.mark.parametrize(
    ("name", "base", "revision"),
    [
        ("toy", "toy", None),
        ("smollm2-135m-instruct", "HuggingFaceTB/SmolLM2-135M-Instruct", None),
        ("org/name@1234abc", "org/name", "1234abc"),
    ],
)
def test_adapters_name_their_base_by_its_public_name(
    tmp_path: Path, name: str, base: str, revision: str | None
) -> None:
    """A 4-bit base is loaded from a folder of ours: its path is in no file that leaves."""
    loaded = toy("qlora")
    private = loaded.base.name_or_path
    assert private.startswith("/")
    save_trained(replace(loaded, fingerprint={**loaded.fingerprint, "name": name}), tmp_path / "adapter")
    config = json.loads((tmp_path / "adapter" / "adapter_config.json").read_text())
    assert (config["base_model_name_or_path"], config["revision"]) == (base, revision)
    for path in (tmp_path / "adapter").iterdir():
        assert private.encode() not in path.read_bytes(), path.name
