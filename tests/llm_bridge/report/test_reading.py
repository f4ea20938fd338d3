"""A results folder is believed only as far as it is one: types, ranges, names; derived files do not matter."""

import json
import os
import re
import shutil
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

pytest.importorskip("matplotlib")
pytest.importorskip("statsmodels")

from synthetic_study import make_study, read_page

from llm_bridge.files import StoreError, read_json, read_jsonl, write_json, write_jsonl
from llm_bridge.report import figures, load_study, render_table, tables, write_report
from llm_bridge.report.curves import compared_methods
from llm_bridge.report.reading import _item_types, read_table
from llm_bridge.results_format import ItemRow, finalise

ROOT = Path(__file__).parents[3]
FEW = {"spreading_factors": (7, 12), "axes": ("fixed_snr",), "tasks": ("paired",), "num_programs": 6}


def differences(row):
    """Fields of a row that `ItemRow` does not have, lacks, or has of another type."""
    types = _item_types()
    wrong = {name for name, value in row.items() if name in types and type(value) not in types[name][0]}
    needed = {"decision", "gold", *(name for name, (_, always) in types.items() if always)}
    return wrong | (row.keys() - ItemRow.__annotations__.keys()) | (needed - row.keys())


def test_rows_of_the_product_and_of_the_fixture_are_item_rows(tmp_path):
    """A run's rows and the made-up ones of these tests have the fields and types of `ItemRow`, no more and no fewer."""
    from rich.console import Console

    from llm_bridge.run import run_recipe
    from llm_bridge.study.recipe_files import load_recipe

    overrides = ["radio.sf=7", "radio.snr_db=-10.0", "training.methods=['rules']", "corpus.limit=3"]
    run_recipe(load_recipe("toy", [*overrides, "score.bootstrap=100"]), tmp_path / "run", console=Console(quiet=True))
    make_study(tmp_path / "made", **{**FEW, "tasks": ("localise", "paired", "detect")}, methods=("qlora",))
    for folder in ("run", "made"):
        rows = [row for path in (tmp_path / folder).glob("*/items.jsonl") for row in read_jsonl(path)]
        assert {row["task"] for row in rows} >= {"localise", "paired"}
        assert [differences(row) for row in rows] == [set()] * len(rows), folder


def test_a_folder_that_is_not_named_as_its_cell_is_refused(tmp_path):
    """A copy would count twice."""
    directory = make_study(tmp_path, methods=("qlora",), **FEW)
    folder = next(path.parent for path in sorted(directory.glob("*/result.json")))
    shutil.copytree(folder, directory / "a-copy")
    with pytest.raises(StoreError, match=rf"a-copy holds the cell '{folder.name}': a folder is named as its cell"):
        load_study(directory)


BROKEN = {
    "result.json": ["[]", "3", "null", "{", '{"sealed": 1}', '{"rows": 5}', '{"rows": [1]}', "[" * 5000, ""],
    "config.json": ["[]", "{}", "not json", "[" * 5000],
    "provenance.json": ["[1]", '"text"', "{"],
    "example.json": ["5", '{"sent": 1, "received": "x"}', '{"sent": "a", "received": "b", "holes": [[1]]}'],
    "items.jsonl": ["3\n", "[]\n", "{}\n", "{\n", '"x"\n', "[" * 5000 + "\n", '{"task": "dance"}\n', '{"task": []}\n'],
}


@pytest.mark.parametrize(("name", "text"), [(name, text) for name, texts in BROKEN.items() for text in texts])
def test_a_torn_or_foreign_file_is_one_line_that_names_it(tmp_path, name, text):
    directory = make_study(tmp_path, methods=("zero-shot",), **FEW)
    folder = next(path.parent for path in sorted(directory.glob("*/example.json")))
    (folder / name).write_text(text)
    if name != "result.json":
        finalise(folder, {"rows": read_json(folder / "result.json")["rows"]})
    with pytest.raises(StoreError) as caught:
        load_study(directory)
    assert name in str(caught.value) and "\n" not in str(caught.value)
    assert re.search("delete|run again|damaged", str(caught.value))


@pytest.mark.parametrize(
    ("field", "value", "said"),
    [
        ("delivered", 1, "'delivered' must be of type bool (got 1)"),
        ("correct", "yes", "'correct' must be of type bool (got 'yes')"),
        ("bytes_sent", -3, "'bytes_sent' must be finite and not negative (got -3)"),
        ("airtime_s", float("inf"), "'airtime_s' must be finite and not negative (got inf)"),
        ("fragments_lost", 99, "'fragments_lost' must be at most 'fragments_sent'"),
        ("version", "broken", "'version' must be one of buggy, correct, pair (got 'broken')"),
        ("program", 7, "'program' must be of type str (got 7)"),
    ],
)
def test_an_item_out_of_type_or_range_is_named_with_its_line(tmp_path, field, value, said):
    directory = make_study(tmp_path, methods=("zero-shot",), **{**FEW, "spreading_factors": (7,)}, with_clean=False)
    folder = next(path.parent for path in sorted(directory.glob("*/items.jsonl")))
    rows = read_jsonl(folder / "items.jsonl")
    rows[2][field] = value
    write_jsonl(folder / "items.jsonl", rows)
    finalise(folder, {"rows": read_json(folder / "result.json")["rows"]})
    with pytest.raises(StoreError) as caught:
        load_study(directory)
    assert "items.jsonl, line 3: " in str(caught.value) and said in str(caught.value)


@pytest.mark.parametrize(
    ("field", "value", "said"),
    [
        ("snr_db", "-10", "'snr_db' must be a number (got '-10')"),
        ("sf", True, "'sf' must be a number (got True)"),
        ("frame_loss", {"": {}}, "'frame_loss' must be a number (got {'': {}})"),
        ("policy", 0.5, "'policy' must be a text (got 0.5)"),
        ("task", 1, "'task' must be a text (got 1)"),
    ],
)
def test_a_column_that_names_a_cell_has_its_type(tmp_path, field, value, said):
    """Points are sorted by these: a text among numbers ended the report in a TypeError."""
    directory = make_study(tmp_path, methods=("zero-shot",), **FEW)
    folder = next(path.parent for path in sorted(directory.glob("*/result.json")))
    rows = read_json(folder / "result.json")["rows"]
    finalise(folder, {"rows": [rows[0] | {field: value}, *rows[1:]]})
    with pytest.raises(StoreError) as caught:
        load_study(directory).points  # noqa: B018
    assert f"result.json: {said}" in str(caught.value)


@pytest.mark.parametrize("delimiter", [";", "\t"])
def test_a_table_that_a_spreadsheet_saved_is_read_alike(tmp_path, delimiter):
    """Byte order mark, other separators, decimal commas, TRUE, whole numbers with a fraction."""
    source = ROOT / "docs/results/texture/results.csv"
    saved = tmp_path / "results.csv"
    lines = source.read_text().replace("True", "TRUE").replace(",", "\0").replace(".", ",").replace("\0", delimiter)
    saved.write_text("\ufeff" + lines.replace("\n", "\r\n"), encoding="utf-8")
    assert read_table(saved) == read_table(source)


def test_derived_files_are_written_anew_whatever_became_of_them(tmp_path):
    directory = make_study(tmp_path, methods=("qlora",), **FEW)
    write_report(directory)
    before = {name: (directory / name).read_bytes() for name in ("results.csv", "items.jsonl", "report.html")}
    for name in before:
        (directory / name).write_text("edited; by\ta spreadsheet\r\n")
    write_report(directory)
    assert before == {name: (directory / name).read_bytes() for name in before}


# --- what is shown ----------------------------------------------------------------------------------------------------


def test_a_page_does_not_depend_on_the_order_of_sets(tmp_path):
    layers = tuple(f"qlora-{name}" for name in ("top", "middle", "bottom", "norms", "attention", "mlp", "even"))
    import synthetic_study

    for name in layers:
        synthetic_study.SKILL.setdefault(name, synthetic_study.SKILL["qlora"])
    directory = make_study(tmp_path, methods=("zero-shot", *layers), **{**FEW, "num_programs": 12})
    pages = set()
    for seed in ("0", "1"):
        code = f"from llm_bridge.report import write_report; write_report({str(directory)!r})"
        subprocess.run([sys.executable, "-c", code], check=True, env={**os.environ, "PYTHONHASHSEED": seed}, cwd=ROOT)
        pages.add((directory / "report.html").read_bytes())
    assert len(pages) == 1


def test_a_page_does_not_depend_on_the_threads_of_a_blas():
    """A p value of the study at equal SNR, as it was fitted with two threads and with one: one cell."""
    two, one = 0.10767490149501323, 0.10767490149497731
    assert tables._cell(two) == tables._cell(one) != tables._cell(one + 1e-6)


def test_every_method_of_a_study_is_told_apart():
    """Seven layer-wise methods beside the usual ones: by colour, then by marker and dash; as often as there are 64."""
    methods = [
        "zero-shot",
        "qlora",
        "full",
        "lora",
        *(f"lora-{k}" for k in range(30)),
        *(f"qlora-{k}" for k in range(30)),
    ]
    styles = figures.method_styles(methods)
    assert set(styles) == set(methods) and len({str(style) for style in styles.values()}) == len(methods)
    few = figures.method_styles(["qlora", *(f"qlora-{k}" for k in range(7))])
    assert len({style.colour for style in few.values()}) == 8
    assert styles["qlora"] == few["qlora"]


def test_one_minus_sign_and_one_way_of_falling(tmp_path):
    make_study(tmp_path, train_seeds=(0, 1), channel_seeds=(0, 1))
    write_report(tmp_path)
    text = re.sub(r"<(style|script|svg).*?</\1>", "", read_page(tmp_path), flags=re.DOTALL)
    shown = re.sub(
        r"<details class=\"provenance\">.*?</details>|<ul><li>minibugs.*?</ul>|<[^>]*>", " ", text, flags=re.S
    )
    assert re.findall(r"(?<![\w.])-\d", shown) == [] and "−" in shown
    assert not re.search("(falls|rises) by −", shown)
    assert len(set(re.findall(r"p = \d\.(\d+)", shown))) > 0
    assert {len(digits) for digits in re.findall(r"p = \d\.(\d+)", shown)} == {3}


def test_lora_is_compared_with_full_fine_tuning_too(tmp_path):
    make_study(tmp_path, methods=("lora", "full"), **{**FEW, "num_programs": 42, "tasks": ("localise", "paired")})
    assert compared_methods(load_study(tmp_path)) == [("lora", "full")]
    write_report(tmp_path)
    answer = read_page(tmp_path).split('class="answer"')[1].split("</div>")[0]
    assert "LoRA against full: difference" in answer and "F1 lost to the link, LoRA minus full:" in answer
    assert "Not compared" not in answer


def test_wide_tables_are_split_and_no_spreading_factor_is_cut():
    row = {"task": "paired", "corpus": "minibugs", "n": 42, "delivered": 42, "intact": 40, "f1": 0.9, "f1_low": 0.8}
    methods = ["zero-shot", "qlora", "full", "lora", *(f"qlora-strategy-{k}" for k in range(7))]
    rows = [
        {**row, "f1_high": 0.97, "baseline": 0.5, "sf": sf, "method": method, "snr_db": -10.0 - sf, "policy": policy}
        for sf in (7, 10, 12)
        for method in methods
        for policy in ("drop", "deliver")
    ]
    for width in (40, 80, 112):
        text = render_table(rows, width=width)
        assert all(text.count(f"SF{sf} ") >= 2 for sf in (7, 10, 12)) and "…" not in text
        assert all(text.count(name) == 1 for name in ("QLoRA (strategy-0)", "QLoRA (strategy-6)"))
        assert width == 40 or max(map(len, text.splitlines())) <= width


def test_names_are_no_markup_and_move_no_cursor():
    row = {"task": "paired", "corpus": "my[/bold]\x1b[31m", "method": "qlora[red]", "sf": 7, "n": 1, "delivered": 1}
    row |= {"intact": 1, "f1": 0.5, "f1_low": 0.1, "f1_high": 0.9, "baseline": 0.5, "policy": "drop[/]"}
    text = render_table([row, {**row, "policy": "x"}])
    assert "my[/bold]\ufffd[31m" in text and "qlora[red]" in text and "drop[/]" in text and "\x1b" not in text


def test_published_intervals_are_what_they_were():
    """Bounds of every point of a published study, as they were published with it, four decimals."""
    for name in ("texture", "training_corruption"):
        summary = json.loads((ROOT / "docs/results" / name / "summary.json").read_text())
        study = load_study(ROOT / "docs/results" / name)
        points = [point for point in study.points if point.f1 is not None]
        expected = [row["f1"] for row in summary if "f1" in row]
        found = [[round(x, 4) for x in (p.f1, p.low, p.high)] for p in points]
        assert sorted(found) == sorted(expected), name


def test_a_channel_study_is_reported_from_its_table(tmp_path):
    from rich.console import Console

    from llm_bridge.run import run_recipe
    from llm_bridge.study.recipe_files import load_recipe

    overrides = ["training.methods=[]", "radio.sf=[7, 8]", "radio.snr_db=[-15.0, -5.0]", "corpus.limit=2"]
    page = run_recipe(load_recipe("toy", overrides), tmp_path, console=Console(quiet=True))
    before = page.read_bytes()
    page.write_text("edited")
    table = tmp_path / "channel.csv"
    table.write_text("\ufeff" + table.read_text().replace(",", ";").replace("\n", "\r\n"), encoding="utf-8")
    assert write_report(tmp_path) == page and page.read_bytes() == before
    table.write_text("a,b\n1,2\n")
    with pytest.raises(StoreError, match=r"channel\.csv is no table of links: it lacks the column 'corpus'"):
        write_report(tmp_path)


def test_what_is_escaped_is_written_by_the_template(tmp_path):
    directory = make_study(tmp_path, methods=("qlora",), **FEW, model="<script>alert(1)</script>&")
    folder = next(path.parent for path in sorted(directory.glob("*/result.json")))
    write_json(folder / "provenance.json", {"host": "<img src=x onerror=alert(1)>"})
    finalise(folder, {"rows": read_json(folder / "result.json")["rows"]})
    write_report(directory)
    page = read_page(directory)
    assert "<script>alert" not in page and "<img" not in page and "&lt;script&gt;alert(1)" in page


def test_losses_above_one_lie_in_the_picture():
    """F1 and shares end at 1, losses do not: the axis holds the values that are drawn."""
    losses = {("qlora", False): np.linspace(3000.0, 1000.0, 50)}
    svg = figures.loss_over_steps(losses, figures.method_styles(["qlora"]))
    ticks = [float(text) for text in re.findall(r">\s*(\d+(?:\.\d+)?)\s*</text>", svg)]
    assert max(ticks) >= 2500 and sum(1000 <= tick <= 3000 for tick in ticks) >= 3
