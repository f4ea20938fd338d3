"""Recipes: every published one loads, and every mistake is named."""

from __future__ import annotations

from pathlib import Path

import pytest

from llm_bridge.study.cells import cell_config, cell_name, expand, radio_settings
from llm_bridge.study.config import RecipeError, as_plain, load_recipe, recipes_dir

HASHES = {"minibugs": "m", "mutants": "u", "quixbugs": "q", "mutants-train": "t", "mutants-validation": "v"}


@pytest.mark.parametrize("path", sorted(recipes_dir().glob("*.toml")), ids=lambda path: path.stem)
def test_every_published_recipe_loads_and_expands(path: Path) -> None:
    recipe = load_recipe(path)
    assert recipe.name == path.stem
    assert recipe.description
    cells = expand(recipe)
    names = [cell_name(cell, cell_config(cell, recipe, HASHES)) for cell in cells]
    assert len(set(names)) == len(names) > 0
    for cell in cells:
        if cell.sf is not None:
            radio_settings(cell, recipe)
        if cell.trained:
            rates = recipe.training.learning_rate
            assert cell.method in rates or cell.method.split("-")[0] in rates, "a learning rate must be written down"


def test_the_toy_recipe_has_a_dead_and_a_clean_link_two_spreading_factors_and_two_methods() -> None:
    cells = expand(load_recipe("toy"))
    assert {cell.snr_db for cell in cells} >= {-60.0, float("inf")}
    assert len({cell.sf for cell in cells}) >= 2
    assert len({cell.method for cell in cells}) >= 2


def write(tmp_path: Path, text: str) -> Path:
    path = tmp_path / "recipe.toml"
    path.write_text(text)
    return path


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("[radio]\nspreading = 7\n", r"unknown key 'radio.spreading'"),
        ("[radio]\nsfs = 7\n", r"unknown key 'radio.sfs' in the recipe; did you mean 'sf'"),
        ("colour = 1\n", r"unknown key 'colour'"),
        ("[radio]\nsf = 13\n", r"'radio.sf' must be in \[5, 12\] \(got 13\)"),
        ("[radio]\nsf = 'seven'\n", r"'radio.sf' must be of type int \(got 'seven'\)"),
        ("[radio]\nsf = true\n", r"'radio.sf' must be of type int \(got True\)"),
        ("[radio]\nsf = []\n", r"'radio.sf' must have at least one value"),
        ("radio = 3\n", r"'radio' must be a section \(got 3\)"),
        ("version = 99\n", r"recipes of version 1 \(got version 99\)"),
        ("version = 99\nkey_of_the_future = 1\n", r"recipes of version 1 \(got version 99\)"),
        ("[radio]\ndecoding = 'sofft'\n", r"'radio.decoding' must be among hard, soft \(got 'sofft'\)"),
        ("[radio]\nfading = 'nakagami'\n", r"'radio.fading' must be among none, rayleigh, rician"),
        ("[corpus]\ntest = ['java']\n", r"'corpus.test' must be among .* \(got 'java'\)"),
        ("[corpus]\ntest = ['quixbugs']\n", r"'corpus.quixbugs_path' must name"),
        ("[training]\nsteps = 0\n", r"'training.steps' must be at least 1 \(got 0\)"),
        ("this is no toml", r"is not TOML"),
    ],
)
def test_a_mistake_is_named(tmp_path: Path, text: str, message: str) -> None:
    with pytest.raises(RecipeError, match=message):
        load_recipe(write(tmp_path, text))


def test_a_missing_recipe_lists_the_published_ones(tmp_path: Path) -> None:
    with pytest.raises(RecipeError, match=r"no recipe at .*toy"):
        load_recipe(tmp_path / "none.toml")


def test_a_folder_named_like_a_recipe_does_not_hide_it(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "toy").mkdir()  # as after `run toy --out toy`
    assert load_recipe("toy").name == "toy"


def test_rician_fading_takes_its_k_factor() -> None:
    recipe = load_recipe("toy", ["radio.fading=rician", "radio.k_factor_db=6"])
    (cell, *_) = (cell for cell in expand(recipe) if cell.sf is not None)
    assert radio_settings(cell, recipe).k_factor_db == 6.0
    assert cell_config(cell, recipe, HASHES)["radio"]["k_factor_db"] == 6.0


def test_overrides_are_toml_values_or_bare_words() -> None:
    recipe = load_recipe(
        "toy", ["radio.sf=9", "radio.snr_db=[-12.5, inf]", "model.name=some/model", "training.learning_rate={full=0.1}"]
    )
    assert recipe.radio.sf == (9,)
    assert recipe.radio.snr_db == (-12.5, float("inf"))
    assert recipe.model.name == "some/model"
    assert recipe.training.learning_rate == {"full": 0.1}
    with pytest.raises(RecipeError, match="key=value"):
        load_recipe("toy", ["radio.sf"])
    with pytest.raises(RecipeError, match=r"unknown key 'radio.nothing'"):
        load_recipe("toy", ["radio.nothing=1"])


def test_what_cannot_matter_makes_no_cell() -> None:
    recipe = load_recipe(
        "toy",
        [
            "radio.corrupted_split=['none', 'train', 'eval', 'both']",
            "radio.snr_db=-10.0",
            "training.methods=['zero-shot', 'full']",
            "training.seeds=[1, 2]",
        ],
    )
    cells = expand(recipe)
    untrained = [cell for cell in cells if not cell.trained]
    # zero-shot: one without a link, one at each of two spreading factors; no training seed, no training split
    assert sorted((cell.corrupted_split, cell.sf or 0) for cell in untrained) == [
        ("eval", 7),
        ("eval", 10),
        ("none", 0),
    ]
    trained = [cell for cell in cells if cell.trained]
    assert len(trained) == 2 * (1 + 3 * 2)  # seeds x (no link + three splits at two spreading factors)


def test_identity_covers_what_shapes_a_result_and_nothing_else() -> None:
    base = load_recipe("toy", ["radio.sf=7", "radio.snr_db=-10.0", "training.methods=full"])

    def name(overrides: list[str], hashes: dict[str, str] = HASHES) -> str:
        recipe = load_recipe("toy", ["radio.sf=7", "radio.snr_db=-10.0", "training.methods=full", *overrides])
        (cell,) = expand(recipe)
        return cell_name(cell, cell_config(cell, recipe, hashes))

    (cell,) = expand(base)
    same = cell_name(cell, cell_config(cell, base, HASHES))
    assert name([]) == same
    assert name(["name=other"]) == same
    for override in (
        "training.steps=7",
        "radio.cr=2",
        "training.learning_rate={full=0.5}",
        "model.name=x",
        "corpus.limit=5",
    ):
        assert name([override]) != same, override
    assert name([], {**HASHES, "minibugs": "edited"}) != same
    assert name([], {**HASHES, "mutants-train": "edited"}) != same


def test_a_recipe_survives_its_plain_form() -> None:
    plain = as_plain(load_recipe("demo"))
    assert plain["radio"]["sf"] == [7, 8, 9, 10, 11, 12]
    assert plain["training"]["learning_rate"].keys() >= {"qlora", "full"}
