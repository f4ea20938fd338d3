"""Keys of a recipe that reach the training side, and that name no published cell anew where they are left out."""

from __future__ import annotations

import pytest

from llm_bridge.study.model_runs import run_settings
from llm_bridge.study.preflight import check_training
from llm_bridge.study.recipe import as_plain
from llm_bridge.study.recipe_files import load_recipe
from llm_bridge.training.finetune import TrainSettings
from llm_bridge.training.methods import AdapterSettings


def test_keys_that_are_left_out_are_not_part_of_what_is_hashed() -> None:
    plain, given = load_recipe("toy"), load_recipe("toy", ["training.max_tokens=512", "model.chat_template=true"])
    assert not {"max_tokens", "target_modules", "layers", "preset"} & set(as_plain(plain.training))
    assert "chat_template" not in as_plain(plain.model)
    assert as_plain(given.training)["max_tokens"] == 512 and as_plain(given.model)["chat_template"] is True


def test_they_become_the_arguments_of_training() -> None:
    keys = ["training.methods=['lora-manual']", "training.layers=[1]", "training.target_modules=['q_proj']"]
    settings = run_settings(load_recipe("toy", [*keys, "training.max_tokens=300"]), "lora-manual", 0)
    adapter, training = AdapterSettings(**settings["adapter"]), TrainSettings(**settings["training"])
    assert (adapter.layers, adapter.target_modules, training.max_tokens) == ((1,), ("q_proj",), 300)


def test_a_preset_holds_for_its_own_method_alone() -> None:
    """The values are those of the QLoRA repository's script (rank 64, 2e-4, constant after 3 %, norm 0.3)."""
    recipe = load_recipe("toy", ["training.methods=['qlora', 'full']", "training.preset=qlora-paper"])
    check_training(recipe)
    settings = run_settings(recipe, "qlora", 0)
    training = TrainSettings(**settings["training"])
    assert AdapterSettings(**settings["adapter"]).rank == 64
    assert (training.learning_rate, training.schedule, training.clip_norm) == (2e-4, "constant", 0.3)
    assert run_settings(recipe, "full", 0) == run_settings(load_recipe("toy"), "full", 0)
    with pytest.raises(ValueError, match=r"'training.preset' 'qlora-paper' is of the method qlora: list it"):
        check_training(load_recipe("toy", ["training.methods=['full']", "training.preset=qlora-paper"]))
