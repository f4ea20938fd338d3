"""Recipes: every published one loads, and every mistake is named."""

from __future__ import annotations

import math
import re
import shlex
import subprocess
import sys
import tomllib
from pathlib import Path

import pytest

from llm_bridge.link import link_columns
from llm_bridge.study.cells import Cell, cell_config, cell_name, channel_links, expand
from llm_bridge.study.recipe import RecipeError, as_plain
from llm_bridge.study.recipe_files import json_schema, keys_table, load_recipe, recipes_dir

HASHES = {"minibugs": "m", "mutants": "u", "quixbugs": "q", "mutants-train": "t", "mutants-validation": "v"}
HASHES |= {"minibugs-renamed": "n", "quixbugs-renamed": "r", "mutants-mutmut": "s"}


@pytest.mark.parametrize("path", sorted(recipes_dir().glob("*.toml")), ids=lambda path: path.stem)
def test_every_published_recipe_loads_and_expands(path: Path) -> None:
    recipe = load_recipe(path)
    assert recipe.name == path.stem
    assert recipe.description
    cells = expand(recipe)
    cells = cells[:: 1 + len(cells) // 1000]  # of large ones, some
    names = [cell_name(cell, cell_config(cell, recipe, HASHES)) for cell in cells]
    assert len(set(names)) == len(names)
    assert bool(names) == bool(recipe.training.methods)
    for _, link in channel_links(recipe)[:200]:
        recipe.radio.settings_of(link)
    for cell in cells:
        if cell.link is not None:
            recipe.radio.settings_of(cell.link)
        if cell.trained:
            rates = recipe.training.learning_rate
            assert cell.method in rates or cell.method.split("-")[0] in rates, "a learning rate must be written down"


def test_the_toy_recipe_has_a_dead_and_a_clean_link_two_spreading_factors_and_two_methods() -> None:
    cells = expand(load_recipe("toy"))
    assert {cell.link.snr_db for cell in cells if cell.link} >= {-60.0, float("inf")}
    assert len({cell.link.sf for cell in cells if cell.link}) >= 2
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
        ("[radio]\naxis = 'distance'\n", r"'radio.distance_km' must have at least one value for the axis 'distance'"),
        ("[radio]\naxis = 'equal_energy'\n", r"'radio.ebn0_db' must have at least one value"),
        ("[radio]\ndistance_km = 0.0\n", r"'radio.distance_km' must be above 1e-06 and finite \(got 0.0\)"),
        ("[radio]\ndistance_km = 1e-300\n", r"'radio.distance_km' must be above 1e-06 and finite \(got 1e-300\)"),
        ("[radio]\nbandwidth_hz = 1e-9\n", r"'radio.bandwidth_hz' must be at least 1 and finite \(got 1e-09\)"),
        ("[radio]\nperiod_s = 1e7\n", r"'radio.period_s' must be in \[0, 604800\] \(got 10000000.0\)"),
        (
            "[radio]\naxis = 'equal_loss'\n",
            r"'radio.frame_loss' must have at least one value for .* 'equal_loss'",
        ),
        ("[radio]\nframe_loss = 1.0\n", r"'radio.frame_loss' must be in \(0, 1\), both excluded \(got 1.0\)"),
        ("[radio]\nregion = 'MARS'\n", r"'radio.region' must be among EU868, .* \(got 'MARS'\)"),
        ("[radio]\ndistance_km = 1.0\ntx_power_dbm = 20.0\n", r"'radio.tx_power_dbm' must be at most 16 dBm in EU868"),
        ("[radio]\nduty_cycle = 0.0\n", r"'radio.duty_cycle' must be in \(0, 1\] \(got 0.0\)"),
        ("[radio]\nshadowing_db = -1.0\n", r"'radio.shadowing_db' must be at least 0 and finite"),
        ("[corpus]\ntest = ['quixbugs-renamed']\n", r"'corpus.quixbugs_path' must name"),
        ("[score]\nrepair_form = 'poem'\n", r"'score.repair_form' must be among line, program"),
    ],
)
def test_a_mistake_is_named(tmp_path: Path, text: str, message: str) -> None:
    with pytest.raises(RecipeError, match=message):
        load_recipe(write(tmp_path, text))


def test_every_mistake_is_named_at_once_and_the_key_that_was_meant() -> None:
    changes = ["radio.sfs=7", "radio.cr=[0, 5]", "radio.channel_seeds=-1", "training.seeds=-2", "score.bootstrp=500"]
    changes += ["training.steps=0", "radio.frame_loss=[0.0, 0.5, 1.0]", "radio.axis=distance", "colour=red"]
    with pytest.raises(RecipeError) as error:
        load_recipe("toy", changes)
    told = set(str(error.value).splitlines())
    assert told >= {
        "unknown key 'radio.sfs' in the recipe; did you mean 'sf'?",
        "unknown key 'score.bootstrp' in the recipe; did you mean 'bootstrap'?",
        "'radio.cr' must be in [1, 4] (got 0)",
        "'radio.cr' must be in [1, 4] (got 5)",
        "'radio.channel_seeds' must be at least 0 (got -1)",
        "'training.seeds' must be at least 0 (got -2)",
        "'training.steps' must be at least 1 (got 0)",
    }
    assert any(line.startswith("unknown key 'colour' in the recipe; known: ") for line in told)
    assert len(told) == 8, "what several keys shape together is checked once each of them is right"
    with pytest.raises(RecipeError) as error:
        load_recipe("toy", ["radio.frame_loss=[0.0, 0.5, 1.0]", "radio.axis=distance", 'model.name="x\\u001b[31m"'])
    assert set(str(error.value).splitlines()) == {
        "'radio.frame_loss' must be in (0, 1), both excluded (got 0.0)",
        "'radio.frame_loss' must be in (0, 1), both excluded (got 1.0)",
        "'radio.distance_km' must have at least one value for the axis 'distance' (got none)",
        r"'model.name' must not hold control characters (got 'x\x1b[31m')",
    }


def test_the_schema_for_editors_knows_every_key_of_every_published_recipe() -> None:
    schema = json_schema()
    sections = {name: entry for name, entry in schema["properties"].items() if "$ref" in entry}
    for path in recipes_dir().glob("*.toml"):
        for name, value in tomllib.loads(path.read_text()).items():
            if name in sections:
                known = schema["$defs"][sections[name]["$ref"].rpartition("/")[2]]
                assert set(value) <= set(known["properties"]) and known["additionalProperties"] is False
            else:
                assert name in schema["properties"]


def test_the_documented_table_of_keys_is_the_one_that_the_command_writes() -> None:
    page = Path(__file__).parents[3] / "docs/reference/recipe.md"
    assert page.read_text(encoding="utf-8").endswith("\n\n" + keys_table())


def test_a_missing_recipe_lists_the_published_ones(tmp_path: Path) -> None:
    with pytest.raises(RecipeError, match=r"no recipe at .*toy"):
        load_recipe(tmp_path / "none.toml")


def test_a_folder_named_like_a_recipe_does_not_hide_it(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "toy").mkdir()  # as after `run toy --out toy`
    assert load_recipe("toy").name == "toy"


def test_rician_fading_takes_its_k_factor() -> None:
    recipe = load_recipe("toy", ["radio.fading=rician", "radio.k_factor_db=6"])
    (cell, *_) = (cell for cell in expand(recipe) if cell.link is not None)
    assert recipe.radio.settings_of(cell.link).k_factor_db == 6.0
    assert cell_config(cell, recipe, HASHES)["radio"]["k_factor_db"] == 6.0


def test_overrides_are_toml_values_or_bare_words() -> None:
    recipe = load_recipe(
        "toy", ["radio.sf=9", "radio.snr_db=[-12.5, inf]", "model.name=some/model", "training.learning_rate={full=0.1}"]
    )
    assert recipe.radio.sf == (9,)
    assert recipe.radio.levels["snr_db"] == (-12.5, float("inf"))
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
    assert sorted((cell.corrupted_split, cell.link.sf if cell.link else 0) for cell in untrained) == [
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


def test_a_model_is_told_by_its_files_not_by_its_name() -> None:
    def name(path: str, sha256: str | None, method: str = "full") -> str:
        recipe = load_recipe(
            "toy", ["radio.sf=7", "radio.snr_db=-10.0", f"training.methods={method}", f"model.name={path}"]
        )
        (cell,) = expand(recipe)
        return cell_name(cell, cell_config(cell, recipe, HASHES, sha256))

    assert name("here", "a" * 64) == name("there", "a" * 64)
    assert name("here", "a" * 64) != name("here", "b" * 64)
    assert name("here", None) != name("there", None)
    assert name("here", "a" * 64, "rules") == name("there", "b" * 64, "rules"), "no model answers by the rules"


def test_the_four_axes_are_recipes_and_each_says_what_is_equal() -> None:
    for axis, level in (
        ("fixed_snr", "snr_db"),
        ("distance", "distance_km"),
        ("equal_airtime", "distance_km"),
        ("equal_energy", "ebn0_db"),
    ):
        recipe = load_recipe(axis)
        assert recipe.radio.axis == (axis,)
        links = {cell.link for cell in expand(recipe) if cell.link is not None}
        for value in recipe.radio.levels[level]:
            assert {link.sf for link in links if link.columns()[level] == value} == {7, 8, 9, 10, 11, 12}


def test_energy_on_air_per_bit_is_equal_on_its_axis() -> None:
    """The formula, from the other side: power times airtime over bits, and noise density from the SNR."""
    from lora_phy import LoRaParams, airtime_s

    recipe = load_recipe("toy", ["radio.axis=equal_energy", "radio.ebn0_db=10.0", "radio.sf=[7,8,9,10,11,12]"])
    for cell in expand(recipe):
        assert cell.link is not None and (cell.link.quantity, cell.link.level) == ("ebn0_db", 10.0)
        seconds = airtime_s(48 + 4, LoRaParams(sf=cell.link.sf))
        energy_per_bit = 10 ** (cell.link.snr_db / 10) * seconds / (8 * 48)  # noise power 1, so N0 = 1 / bandwidth
        assert 10 * math.log10(energy_per_bit * 125e3) == pytest.approx(10.0, abs=0.006)  # SNRs have two decimals


def test_a_distance_means_one_snr_whatever_the_spreading_factor() -> None:
    recipe = load_recipe("toy", ["radio.axis=distance", "radio.distance_km=[1.0, 2.0]", "radio.sf=[7, 12]"])
    snrs = {(cell.link.columns()["distance_km"], cell.link.snr_db) for cell in expand(recipe) if cell.link}
    assert len(snrs) == 2
    (_, near), (_, far) = sorted(snrs)
    assert near - far == pytest.approx(35 * math.log10(2), abs=0.01)
    # 14 dBm, free space to 1 m at 868.1 MHz, exponent 3.5 beyond, noise of 125 kHz at 290 K and 6 dB
    assert near == pytest.approx(14 - 31.22 - 105 + 117.01, abs=0.01)


def test_airtime_at_a_distance_where_one_is_given() -> None:
    overrides = ["radio.axis=['fixed_snr', 'equal_airtime']", "radio.distance_km=1.0", "radio.snr_db=-10.0"]
    links = {cell.link for cell in expand(load_recipe("toy", overrides)) if cell.link}
    assert {(link.axis, link.columns()["distance_km"]) for link in links} == {
        ("fixed_snr", None),
        ("equal_airtime", 1.0),
    }


def test_a_recipe_survives_its_plain_form() -> None:
    plain = as_plain(load_recipe("demo"))
    assert plain["radio"]["sf"] == [7, 8, 9, 10, 11, 12]
    assert plain["training"]["learning_rate"].keys() >= {"qlora", "full"}


NESTED = [
    "training.seeds=[3, 4]",
    "radio.channel_seeds=[5, 6, 7, 8]",
    "radio.channel_seeds_per_training_seed=2",
    'training.methods=["zero-shot", "full", "qlora"]',
    'radio.corrupted_split=["none", "eval", "both"]',
]


def test_nested_channel_seeds_belong_to_one_training_seed_and_are_common_to_all_methods() -> None:
    cells = [cell for cell in expand(load_recipe("toy", NESTED)) if cell.link is not None]
    for split in ("eval", "both"):
        for method in ("full", "qlora"):
            seeds = {
                (c.train_seed, c.link.channel_seed) for c in cells if (c.method, c.corrupted_split) == (method, split)
            }
            assert seeds == {(3, 5), (3, 6), (4, 7), (4, 8)}
    assert {cell.link.channel_seed for cell in cells if cell.method == "zero-shot"} == {5, 6, 7, 8}


def test_nesting_takes_cells_away_and_leaves_the_others_as_they_were() -> None:
    nested, crossed = load_recipe("toy", NESTED), load_recipe("toy", [*NESTED[:2], *NESTED[3:]])
    names = [
        {cell_name(cell, cell_config(cell, recipe, HASHES)) for cell in expand(recipe)} for recipe in (nested, crossed)
    ]
    assert names[0] < names[1]


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ("radio.channel_seeds=[5, 6, 7]", r"must have 2 values for each of 2 training seeds, 4 in all \(got 3\)"),
        ("radio.channel_seeds=[5, 6, 7, 5]", r"'radio.channel_seeds' must not repeat a seed .* \(got \[5, 6, 7, 5\]\)"),
        ("training.seeds=[3, 3]", r"'training.seeds' must not repeat a seed"),
        ("radio.channel_seeds_per_training_seed=-1", r"per_training_seed' must be at least 0 \(got -1\)"),
    ],
)
def test_nested_seeds_that_do_not_fit_are_refused(change: str, message: str) -> None:
    with pytest.raises(RecipeError, match=message):
        load_recipe("toy", [*NESTED, change])


def learners(cells: list[Cell]) -> int:
    """Training runs that cells need."""
    runs = ((c.method, c.train_seed, c.training_link) for c in cells if c.trained)
    return len(set(runs))


def grid_stages() -> dict[str, list[str]]:
    """The stages that the grid's recipe names in its comments, with their settings."""
    text = (recipes_dir() / "grid.toml").read_text()
    return {
        name: shlex.split(settings) for name, settings in re.findall(r"^#   (\w+) +--set (.+)$", text, re.MULTILINE)
    }


def test_the_grid_is_cut_into_stages_that_its_recipe_names() -> None:
    one = [
        "corpus.test=minibugs",
        "radio.cr=1",
        "radio.policy=drop",
        "radio.source_coding=utf8",
        "radio.fading=rayleigh",
    ]
    stages = {name: load_recipe("grid", [*settings, *one]) for name, settings in grid_stages().items()}
    cells = {name: expand(recipe) for name, recipe in stages.items()}
    assert list(stages) == ["channel", "evaluation", "training", "axes"]
    assert (len(cells["channel"]), len(channel_links(stages["channel"]))) == (0, 6 * 4 * 10)
    by_link = 3 * 5 * 2 + 4 * 10  # trained methods, seeds, two channel seeds each; others on all ten
    assert len(cells["evaluation"]) == 6 * 4 * by_link + 3 * 5 + 4
    assert learners(cells["evaluation"]) == learners(cells["axes"]) == 3 * 5
    assert len(cells["axes"]) == 6 * (4 + 4 + 2) * by_link
    assert {cell.link.axis for cell in cells["training"] if cell.link} == {"equal_loss"}
    assert learners(cells["training"]) == 2 * 2 * 3 * 5 * 2  # spreading factors, losses, methods, seeds, channel seeds


@pytest.mark.slow
def test_the_grid_holds_the_cells_that_its_recipe_tells() -> None:
    text = (recipes_dir() / "grid.toml").read_text()
    told = {name: load_recipe("grid", settings) for name, settings in grid_stages().items()} | {
        "all": load_recipe("grid")
    }
    for name, recipe in told.items():
        cells = expand(recipe)
        if name == "channel":
            assert f"channel ({len(channel_links(recipe)):,} links)" in text
        else:
            assert f"{len(cells):,} cells" in text
        if name in ("training", "all"):
            assert f"{len(cells):,} cells, {learners(cells):,} training runs" in text.replace("\n# ", " ")


def test_corruption_in_training_shares_its_models_between_splits() -> None:
    cells = expand(load_recipe("training_corruption"))
    # methods x seeds: clean once, and one model for each of three spreading factors and two policies
    assert learners(cells) == 2 * 5 * (1 + 3 * 2)
    # models: clean, and two splits over six links; two rules and zero-shot: clean, and on all five channel seeds
    assert len(cells) == 2 * 5 * (1 + 2 * 6) + 3 * (1 + 5 * 6)


def test_the_texture_of_damage_is_compared_at_equal_losses() -> None:
    cells = expand(load_recipe("texture"))
    # methods x seeds, clean; and for each of two spreading factors: train and both learn the same
    assert learners(cells) == 2 * 2 * (1 + 2)
    # models: clean, and three splits at two spreading factors; rules, zero-shot: clean, and on both channel seeds
    assert len(cells) == 2 * 2 * (1 + 3 * 2) + 3 * (1 + 2 * 2)
    assert {link_columns(cell.link)["frame_loss"] for cell in cells} == {None, 0.3}


def test_a_cells_name_is_what_it_was_before_later_axes_came(monkeypatch: pytest.MonkeyPatch) -> None:
    """Taken before `equal_loss` and nested seeds: a folder of then is found again."""
    monkeypatch.setattr("llm_bridge.study.cells.simulator_version", lambda: "0.1.0")
    recipe = load_recipe("equal_energy", ["training.objectives={line=1.0}", "training.batch_programs=12"])
    cell = next(cell for cell in expand(recipe) if cell.method == "qlora" and cell.link and cell.link.sf == 7)
    name = cell_name(cell, cell_config(cell, recipe, HASHES))
    assert name == "minibugs-qlora-seed0-eval-sf07--5.24dB-drop-equal_energy-d33f465895"


def test_the_public_names_are_at_the_top_and_importing_them_is_light() -> None:
    program = (
        "import sys, llm_bridge\n"
        "light = set(sys.modules) & {'numpy', 'numba', 'pydantic', 'pandas', 'lora_phy', 'torch'}\n"
        "assert not light, light\n"
        "found = [getattr(llm_bridge, name) for name in llm_bridge.__all__]\n"
        "assert all(thing.__name__ == name for thing, name in zip(found, llm_bridge.__all__))\n"
        "assert 'torch' not in sys.modules\n"
    )
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, timeout=120)
    assert done.returncode == 0, done.stderr
