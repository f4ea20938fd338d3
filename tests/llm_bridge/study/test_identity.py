"""Identity is everything that shapes a number, and nothing else: every key of a recipe, code, corpora, folders."""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import NotRequired, get_origin, get_type_hints

import pytest
from rich.console import Console

from llm_bridge.corpora import own_corpus
from llm_bridge.files import StoreError
from llm_bridge.results_format import ItemRow, is_finished
from llm_bridge.run import run_recipe
from llm_bridge.study.cells import Cell, cell_config, cell_name, expand
from llm_bridge.study.experiment import claim_folder
from llm_bridge.study.provenance import function_identity
from llm_bridge.study.recipe import Recipe
from llm_bridge.study.recipe_files import json_schema, load_recipe
from llm_bridge.study.workspace import open_workspace
from llm_bridge.transport import policies

BASE = [
    "radio.axis=['fixed_snr', 'equal_airtime', 'distance']",
    "radio.sf=[7, 12]",
    "radio.snr_db=-10.0",
    "radio.distance_km=2.0",
    "radio.fading=['none', 'rician']",
    "radio.k_factor_db=6.0",
    "radio.policy=['drop', 'erasure']",
    "radio.corrupted_split=['none', 'train', 'eval', 'both']",
    "training.methods=['rules', 'zero-shot', 'full', 'qlora']",
    "corpus.limit=4",
    "corpus.train_pairs=6",
    "corpus.validation_pairs=4",
]
Differs = Callable[[Cell], bool]


def everything(cell: Cell) -> bool:
    return True


def nothing(cell: Cell) -> bool:
    return False


def asks_a_model(cell: Cell) -> bool:
    return cell.method != "rules"


def is_trained(cell: Cell) -> bool:
    return cell.method in ("full", "qlora")


def is_fitted(cell: Cell) -> bool:
    return is_trained(cell) or cell.method == "rules"


def crosses(cell: Cell) -> bool:
    return cell.link is not None


def crosses_with(**values: object) -> Differs:
    return lambda cell: cell.link is not None and all(getattr(cell.link, k) == v for k, v in values.items())


at_distance = crosses_with(quantity="distance_km")
SETTINGS: dict[str, tuple[str, Differs]] = {
    "version": ("1", nothing),
    "name": ("other", nothing),
    "description": ("other", nothing),
    "model.name": ("other", asks_a_model),
    "model.device": ("cpu", asks_a_model),
    "model.compute": ("float32", asks_a_model),
    "model.chat_template": ("true", asks_a_model),
    "corpus.limit": ("5", everything),
    "corpus.quixbugs_path": ("elsewhere", nothing),  # no QuixBugs here; where it is, its content counts
    "corpus.train_pairs": ("7", is_fitted),
    "corpus.validation_pairs": ("5", asks_a_model),
    "corpus.mutants_seed": ("1", nothing),  # no mutants of mutmut here
    "corpus.train_max_chars": ("180", everything),
    "radio.bandwidth_hz": ("250e3", crosses),
    "radio.redundancy": ("0.75", crosses_with(policy="erasure")),
    "radio.k_factor_db": ("3.0", crosses_with(fading="rician")),
    "radio.doppler_hz": ("3.0", lambda cell: cell.link is not None and cell.link.fading != "none"),
    "radio.fragment": ("32", crosses),
    "radio.sync": ("receiver", crosses),
    "radio.pair_noise": ("independent", crosses),
    "radio.engine": ("waveform", crosses),
    "radio.decoding": ("soft", crosses),
    "radio.airtime_reference_sf": ("10", crosses_with(axis="equal_airtime")),
    "radio.period_s": ("60.0", crosses_with(axis="equal_airtime")),
    "radio.tx_power_dbm": ("10.0", at_distance),
    "radio.path_loss_exponent": ("3.0", at_distance),
    "radio.shadowing_db": ("4.0", at_distance),
    "radio.noise_figure_db": ("3.0", at_distance),
    "radio.region": ("US915", crosses),  # rows tell the duty cycle, the dwell time and the time that sending takes
    "radio.duty_cycle": ("0.5", crosses),
    "training.steps": ("7", is_trained),
    "training.batch_programs": ("3", is_trained),
    "training.learning_rate": ("{full=0.5}", is_trained),  # coarser than it could be: published names hold all rates
    "training.objectives": ("{line=1.0}", is_trained),
    "training.warmup_fraction": ("0.5", is_trained),
    "training.schedule": ("constant", is_trained),
    "training.clip_norm": ("2.0", is_trained),
    "training.adapter_rank": ("4", is_trained),
    "training.adapter_alpha": ("8", is_trained),
    "training.adapter_dropout": ("0.1", is_trained),
    "training.gradient_checkpointing": ("true", is_trained),
    "training.max_tokens": ("300", asks_a_model),
    "training.read_layer": ("1", is_trained),
    "training.head_learning_rate": ("0.01", is_trained),
    "training.target_modules": ("['q_proj']", is_trained),  # coarser: without adapters none is there to place
    "training.layers": ("[0]", is_trained),
    "training.preset": ("qlora-paper", is_trained),
    "score.tasks": ("['localise']", everything),
    "score.trained_tasks": ("['localise']", everything),  # coarser than it could be, as published names are
    "score.bootstrap": ("500", everything),
    "score.margin": ("{localise=0.08}", nothing),  # read by the report alone
    "score.context": ("specification", asks_a_model),
    "score.repair_form": ("program", nothing),  # *repair* is not scored here
    "score.repair_candidates": ("2", nothing),
}
"""Every key that is no list of the grid: another value, and the cells that it shapes."""
GRID = {
    "corpus.test": "['minibugs', 'minibugs-renamed']",
    "radio.axis": "['fixed_snr', 'equal_airtime', 'distance', 'equal_loss']",
    "radio.sf": "[7, 9, 12]",
    "radio.snr_db": "[-10.0, -5.0]",
    "radio.distance_km": "[2.0, 3.0]",
    "radio.ebn0_db": "[10.0]",
    "radio.frame_loss": "[0.3]",
    "radio.fading": "['none', 'rician', 'rayleigh']",
    "radio.cr": "[1, 4]",
    "radio.policy": "['drop', 'erasure', 'deliver']",
    "radio.source_coding": "['utf8', 'token_ids']",
    "radio.corrupted_split": "['none', 'train', 'eval', 'both']",
    "radio.channel_seeds": "[0, 1]",
    "radio.channel_seeds_per_training_seed": "1",
    "training.methods": "['rules', 'zero-shot', 'full', 'qlora', 'lora']",
    "training.seeds": "[0, 1]",
}
"""Lists that span the grid, grown: cells are added, and those of before keep their names."""


def recipe_with(*changes: str) -> Recipe:
    return load_recipe("toy", [*BASE, *changes])


HASHES: dict[str, dict[str, str]] = {}


def names(recipe: Recipe, folder: Path) -> list[tuple[Cell, str]]:
    corpus = repr(recipe.corpus)
    if corpus not in HASHES:
        HASHES[corpus] = open_workspace(recipe, folder, Console(quiet=True)).corpus_hashes
    hashes = HASHES[corpus]
    return [(cell, cell_name(cell, cell_config(cell, recipe, hashes))) for cell in expand(recipe)]


@pytest.fixture(scope="module")
def before(tmp_path_factory: pytest.TempPathFactory) -> list[tuple[Cell, str]]:
    return names(recipe_with(), tmp_path_factory.mktemp("base"))


def test_every_key_of_a_recipe_is_looked_at() -> None:
    schema = json_schema()
    keys = set()
    for name, entry in schema["properties"].items():
        section = schema["$defs"][entry["$ref"].rpartition("/")[2]]["properties"] if "$ref" in entry else None
        keys |= {f"{name}.{key}" for key in section} if section else {name}
    assert keys == SETTINGS.keys() | GRID.keys() | {"corpus.train"}  # which has a test of its own, below


def test_files_to_learn_from_are_known_by_their_content(before: list[tuple[Cell, str]], tmp_path: Path) -> None:
    for folder in ("here", "there"):
        (tmp_path / folder).mkdir()
        (tmp_path / folder / "mine.jsonl").write_text(own_corpus.template())
    here, there = (
        names(recipe_with(f"corpus.train=['file:{tmp_path / folder / 'mine.jsonl'}', 'mutants']"), tmp_path)
        for folder in ("here", "there")
    )
    assert here == there
    for (cell, old), (_, new) in zip(before, here, strict=True):
        assert (old != new) == is_fitted(cell), cell


@pytest.mark.parametrize("change", ["name", "buggy", "docstring", "group", "tests"])
def test_whatever_changes_in_a_corpus_file_renames_its_cells(change: str, tmp_path: Path) -> None:
    rows = [json.loads(line) for line in own_corpus.template().splitlines()]
    found = set()
    for place in ("a", "b", "c"):  # b: elsewhere, in another layout; c: changed
        (tmp_path / place).mkdir()
        if place == "b":
            rows[0]["correct"] = "# a comment\n" + rows[0]["correct"] + "\n\n"
        elif place == "c":
            if change == "buggy":
                rows[0]["buggy"] = rows[0]["buggy"].replace("1", "2")
            else:
                rows[0][change] = [[[[2]], 2.0]] if change == "tests" else rows[0][change].replace("mean", "mode") + " "
        path = tmp_path / place / "mine.jsonl"
        path.write_text("".join(json.dumps(row) + "\n\n" for row in rows))
        found.add(tuple(name for _, name in names(recipe_with(f"corpus.test=file:{path}"), tmp_path)))
    assert len(found) == 2


@pytest.mark.parametrize("key", SETTINGS)
def test_a_setting_renames_the_cells_that_it_shapes_and_no_other(
    key: str, before: list[tuple[Cell, str]], tmp_path: Path
) -> None:
    value, differs = SETTINGS[key]
    after = names(recipe_with(f"{key}={value}"), tmp_path)
    assert (
        len(after) == len(before) == 4 + 2 * 24 + 2 * 3 * 24
    )  # no link; untrained models, rules; trained, three splits
    for (cell, old), (_, new) in zip(before, after, strict=True):
        assert (old != new) == differs(cell), (cell, old, new)


def test_settings_of_repair_rename_the_cells_that_are_repaired(tmp_path: Path) -> None:
    changes = ["score.tasks=['localise', 'repair']", "score.trained_tasks=['localise']"]
    with_repair = names(recipe_with(*changes), tmp_path)
    for key in ("score.repair_form=program", "score.repair_candidates=2"):
        after = names(recipe_with(*changes, key), tmp_path)
        for (cell, old), (_, new) in zip(with_repair, after, strict=True):
            repaired = cell.method == "zero-shot" or (is_trained(cell) and cell.corrupted_split in ("none", "train"))
            assert (old != new) == repaired, cell


@pytest.mark.parametrize("key", GRID)
def test_a_grown_list_adds_cells_and_renames_none(key: str, before: list[tuple[Cell, str]], tmp_path: Path) -> None:
    more = [f"{key}={GRID[key]}"]
    if key == "radio.axis":
        more.append("radio.frame_loss=0.3")
    after = {name for _, name in names(recipe_with(*more), tmp_path)}
    assert {name for _, name in before} <= after
    unchanged = key in ("radio.corrupted_split", "radio.channel_seeds_per_training_seed")
    unchanged |= key in ("radio.ebn0_db", "radio.frame_loss")  # levels of axes that are not in the grid
    assert (len(after) > len(before)) != unchanged


# --- a folder belongs to one recipe


def test_another_recipe_is_refused_with_the_difference_and_a_grown_one_asks_for_extend(tmp_path: Path) -> None:
    claim_folder(recipe_with(), tmp_path)
    claim_folder(recipe_with("name=another", "description=of the same numbers"), tmp_path)
    with pytest.raises(StoreError, match="was filled by another recipe: choose another --out\n") as error:
        claim_folder(recipe_with("training.steps=9", "radio.sf=[7, 9, 12]"), tmp_path, extend=True)
    assert "  training.steps: 6 there, 9 here" in str(error.value)
    assert "  radio.sf: [7, 12] there, [7, 9, 12] here" in str(error.value)
    with pytest.raises(StoreError, match="only lists grew: --extend adds their cells"):
        claim_folder(recipe_with("radio.sf=[7, 9, 12]"), tmp_path)
    claim_folder(recipe_with("radio.sf=[7, 9, 12]", "training.seeds=[0, 1]"), tmp_path, extend=True)
    with pytest.raises(StoreError, match="was filled by another recipe"):
        claim_folder(recipe_with(), tmp_path, extend=True)  # lists that shrink would leave cells behind


RULES_ALONE = ["training.methods=rules", "radio.sf=7", "radio.snr_db=-10.0", "corpus.limit=4", "corpus.train_pairs=6"]
RULES_ALONE += ["corpus.validation_pairs=2", "score.bootstrap=100"]


def rows(folder: Path) -> list[dict[str, object]]:
    return [row for path in folder.glob("*/result.json") for row in json.loads(path.read_text())["rows"]]


def test_a_cell_of_other_code_is_computed_anew_and_a_copied_or_foreign_one_is_refused(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    recipe, quiet = load_recipe("toy", RULES_ALONE), Console(quiet=True)
    run_recipe(recipe, tmp_path, console=quiet)
    (folder,) = (path.parent for path in tmp_path.glob("*/result.json"))
    first, stamp = rows(tmp_path), (folder / "result.json").stat().st_mtime_ns
    assert any(row["delivered"] for row in first)
    fields = get_type_hints(ItemRow, include_extras=True)
    required = {name for name, hint in fields.items() if get_origin(hint) is not NotRequired}
    for line in (folder / "items.jsonl").read_text().splitlines():
        item = json.loads(line)
        assert required <= item.keys() <= fields.keys(), "what is written is what the format says"
        assert (item["method"], item["sf"], item["corpus"], item["channel_seed"]) == ("rules", 7, "minibugs", 0)
    run_recipe(recipe, tmp_path, console=quiet)
    assert (folder / "result.json").stat().st_mtime_ns == stamp, "nothing to compute"
    monkeypatch.setitem(policies.POLICIES, "drop", policies.Policy(keep=lambda arrival: False))
    run_recipe(recipe, tmp_path, console=quiet)
    assert [row["delivered"] for row in rows(tmp_path)] == [0] * len(first)
    monkeypatch.undo()
    run_recipe(recipe, tmp_path, console=quiet)
    assert rows(tmp_path) == first
    copy = folder.with_name("a-copy")
    shutil.copytree(folder, copy)
    with pytest.raises(StoreError, match=rf"a-copy is a copy of {folder.name}"):
        is_finished(copy)
    with pytest.raises(StoreError, match="holds 1 cells of other corpora, another model or another version, as a-copy"):
        run_recipe(recipe, tmp_path, console=quiet)


def test_rules_are_fitted_on_the_training_corpus_and_say_so(tmp_path: Path) -> None:
    """In one folder another training corpus is refused; in a folder of its own the rule may answer otherwise."""
    recipe = load_recipe("toy", RULES_ALONE)
    run_recipe(recipe, tmp_path, console=Console(quiet=True))
    with pytest.raises(StoreError, match=r"corpus\.train_pairs: 6 there, 4 here"):
        run_recipe(load_recipe("toy", [*RULES_ALONE, "corpus.train_pairs=4"]), tmp_path, console=Console(quiet=True))


_OWN_POLICY = """
from functools import partial
LIMIT = 0.25
KINDS = frozenset({"a", "b"})
def helper(x):
    return x > LIMIT
def keep(frame, most=3):
    return helper(frame) and frame < most
def made(level):
    def inner(frame, *, least=1):
        return level < frame and frame >= least and frame not in KINDS
    return inner
CLOSED, BOUND = made(2), partial(keep, most=4)
"""


@pytest.mark.parametrize(
    ("function", "old", "new"),
    [
        ("keep", "most=3", "most=2"),  # a default
        ("keep", "LIMIT = 0.25", "LIMIT = 0.5"),  # a constant of its module, read by a function that it calls
        ("keep", "x > LIMIT", "x >= LIMIT"),  # that function itself
        ("CLOSED", "made(2)", "made(3)"),  # a variable of an outer function
        ("CLOSED", "least=1", "least=0"),
        ("CLOSED", '{"a", "b"}', '{"a", "c"}'),
        ("BOUND", "most=4", "most=5"),
        ("BOUND", "frame < most", "frame <= most"),
    ],
)
def test_a_function_of_ones_own_is_another_once_anything_that_it_reads_is(function: str, old: str, new: str) -> None:
    def identity(text: str) -> str:
        names: dict[str, object] = {"__name__": "mine"}
        exec(text, names)
        return json.dumps(function_identity(names[function]))

    assert _OWN_POLICY.count(old) == 1
    assert identity(_OWN_POLICY) == identity(_OWN_POLICY) != identity(_OWN_POLICY.replace(old, new))
    assert identity("# a comment\n" + _OWN_POLICY) == identity(_OWN_POLICY)
    assert " at 0x" not in identity(_OWN_POLICY)  # nothing that another process would have otherwise


def test_the_packages_own_functions_keep_their_identity() -> None:
    """Their modules are hashed as a whole, and results are published under these names."""
    from llm_bridge.study.provenance import _plain_code
    from llm_bridge.transport.policies import POLICIES
    from llm_bridge.transport.tokens import find_coding

    own = [find_coding(name).encode for name in ("utf8", "token_ids")]
    own += [part for policy in POLICIES.values() for part in (policy.keep, policy.control) if part is not None]
    assert len(own) > 4
    for function in own:
        assert function_identity(function) == _plain_code(function.__code__)
