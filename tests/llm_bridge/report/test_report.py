"""The report says what the files say: columns, sentences, verdicts, damage marks; nothing that could be misread."""

import csv
import dataclasses
import io
import json
import math
import re
import shutil
import subprocess
import sys
from html import unescape
from html.parser import HTMLParser
from pathlib import Path

import numpy as np
import pytest

pytest.importorskip("matplotlib")
pytest.importorskip("statsmodels")

from rich.console import Console
from synthetic_study import make_study, read_page, read_rows

from llm_bridge.files import StoreError, read_json, read_jsonl, write_json
from llm_bridge.report import (
    closing_sentences,
    figures,
    load_study,
    print_results,
    render_table,
    table_rows,
    write_report,
)
from llm_bridge.report.curves import headline_curves, methods_of, panels, training_losses, verdict
from llm_bridge.report.figures import f1_against_sf, method_styles
from llm_bridge.report.language import limits, method_sentences, sf_sentence
from llm_bridge.report.page import environment, mark_damage
from llm_bridge.report.results import delivery
from llm_bridge.report.tests import method_comparisons
from llm_bridge.results_format import CONTRACT_COLUMNS, RESULT_COLUMNS, finalise
from llm_bridge.scoring.metrics import score_cell

DESIGN_COLUMNS = (
    "sf, snr_db, fading, cr, policy, source_coding, corrupted_split, method, train_seed, channel_seed, task, corpus, "
    "n, delivered, intact, train_delivered, f1, f1_low, f1_high, f1_delivered, baseline, macro_f1, mcc"
)


class Outline(HTMLParser):
    """Tags that are open, ids, and every address that a page could load."""

    VOID = ("meta", "link", "br", "hr", "img", "input", "path", "use")

    def __init__(self):
        super().__init__()
        self.stack, self.ids, self.addresses, self.balanced, self.text = [], [], [], True, []

    def handle_starttag(self, tag, attrs):
        known = dict(attrs)
        self.ids += [known["id"]] if "id" in known else []
        self.addresses += [known[name] for name in ("src", "href", "xlink:href", "action", "data") if known.get(name)]
        if tag not in self.VOID:
            self.stack.append(tag)

    def handle_startendtag(self, tag, attrs):
        self.handle_starttag(tag, attrs)
        if tag not in self.VOID:
            self.stack.pop()

    def handle_endtag(self, tag):
        if tag in self.VOID:
            return
        self.balanced &= bool(self.stack) and self.stack.pop() == tag

    def handle_data(self, data):
        if "script" not in self.stack and "style" not in self.stack:
            self.text.append(data)


@pytest.fixture(scope="module")
def study_dir(tmp_path_factory):
    directory = make_study(tmp_path_factory.mktemp("study"))
    write_report(directory)
    return directory


@pytest.fixture(scope="module")
def outline(study_dir):
    parsed = Outline()
    parsed.feed(read_page(study_dir))
    return parsed


@pytest.fixture(scope="module")
def study(study_dir):
    return load_study(study_dir)


def point(study, **fields):
    found = [p for p in study.points if all(getattr(p, name, None) == value for name, value in fields.items())]
    assert len(found) == 1
    return found[0]


# --- files ------------------------------------------------------------------------------------------------------------


def test_results_csv_has_the_published_columns_and_every_number(study_dir):
    assert ", ".join(CONTRACT_COLUMNS) == DESIGN_COLUMNS
    assert RESULT_COLUMNS[: len(CONTRACT_COLUMNS)] == CONTRACT_COLUMNS
    with (study_dir / "results.csv").open(encoding="utf-8", newline="") as file:
        lines = list(csv.DictReader(file))
    rows = read_rows(study_dir)
    assert len(lines) == len(rows) == 13 * 3 * 3
    for line, row in zip(lines, rows, strict=True):
        for name in CONTRACT_COLUMNS:
            expected = row[name]
            assert line[name] == ("" if expected is None else str(expected)), name


def test_items_jsonl_holds_the_items_of_all_cells(study_dir):
    written = read_jsonl(study_dir / "items.jsonl")
    expected = [row for path in sorted(study_dir.glob("*/items.jsonl")) for row in read_jsonl(path)]
    assert written == expected
    cells = {row["cell"] for row in written}
    assert cells == {path.parent.name for path in study_dir.glob("*/result.json")}


def test_writing_again_changes_nothing(tmp_path):
    directory = make_study(tmp_path, axes=("fixed_snr",), spreading_factors=(7, 12), tasks=("localise",))
    names = ("report.html", "results.csv", "items.jsonl")
    write_report(directory)
    before = {name: (directory / name).read_bytes() for name in names}
    write_report(directory)
    assert before == {name: (directory / name).read_bytes() for name in names}


def test_page_is_whole_and_self_contained(outline):
    assert outline.balanced and outline.stack == []
    assert len(outline.ids) == len(set(outline.ids))
    assert all(address.startswith(("#", "data:")) for address in outline.addresses)
    assert {address[1:] for address in outline.addresses if address.startswith("#")} <= set(outline.ids)


def test_figures_take_their_colours_from_the_page(study_dir):
    """No placeholder colour is left, and every variable that a figure uses is defined for light and dark."""
    page = read_page(study_dir)
    assert not re.search(r"#0000[cf]\d", page)
    used = set(re.findall(r"var\((--[a-z0-9]+)\)", page))
    light, dark = page.split("@media (prefers-color-scheme: dark)")[:2]
    dark = dark[: dark.index("* {")]
    assert used <= set(re.findall(r"(--[a-z0-9]+):", light))
    colours = {name for name in used if name.startswith("--m")} | {"--ink", "--page", "--card", "--base"}
    assert colours <= set(re.findall(r"(--[a-z0-9]+):", dark))


def test_what_is_in_the_files_cannot_break_the_page(tmp_path):
    """A hostile program name and text are shown, not run."""
    directory = make_study(
        tmp_path, axes=("fixed_snr",), methods=("zero-shot",), spreading_factors=(7, 12), tasks=("paired",)
    )
    folder = next(path.parent for path in directory.glob("*/example.json"))
    text = "</pre><script>alert(1)</script>"
    write_json(folder / "example.json", {"program": "<img src=x>", "sent": text, "received": text + "&", "holes": []})
    finalise(folder, {"rows": read_json(folder / "result.json")["rows"]})
    write_report(directory)
    page = read_page(directory)
    assert "<script>alert" not in page and "<img" not in page and "&lt;script&gt;alert(1)" in page


# --- points -----------------------------------------------------------------------------------------------------------


def test_points_pool_seeds_by_program(tmp_path):
    """Three channel and two training seeds: one point, items of all, its interval over 42 programs."""
    directory = make_study(
        tmp_path,
        spreading_factors=(9,),
        axes=("fixed_snr",),
        methods=("qlora",),
        tasks=("localise",),
        train_seeds=(0, 1),
        channel_seeds=(0, 1, 2),
    )
    study = load_study(directory)
    pooled = point(study, sf=9)
    assert (pooled.train_seeds, pooled.channel_seeds, pooled.num_programs) == ((0, 1), (0, 1, 2), 42)
    assert pooled.scores["n"] == 6 * 42
    rows = [row for row in read_rows(directory) if row["sf"] == 9]
    assert pooled.f1 == pytest.approx(sum(row["f1"] for row in rows) / 6)
    items = [row for cell in study.cells if cell.config["sf"] == 9 for row in cell.items]
    assert len(items) == 6 * 42 and pooled.scores == score_cell(items)
    as_if_independent = score_cell([{**item, "group": number} for number, item in enumerate(items)])
    assert pooled.high - pooled.low > 1.2 * (as_if_independent["f1_high"] - as_if_independent["f1_low"])


def test_cells_of_different_settings_are_never_pooled(tmp_path):
    """The same folder holds a second model: its points stand beside the first one's, not in them."""
    few = {"spreading_factors": (9, 10), "axes": ("fixed_snr",), "methods": ("qlora",), "tasks": ("paired",)}
    make_study(tmp_path, **few)
    directory = make_study(tmp_path, **few, model="another-model")
    found = load_study(directory).points
    assert len(found) == 2 * 3 and all(p.scores["n"] == 42 for p in found)
    assert len({p.method for p in found}) == 2 and all(re.fullmatch(r"qlora@[0-9a-f]{4}", p.method) for p in found)
    write_report(directory)
    assert "another-model" in read_page(directory) and "QLoRA @" in read_page(directory)


def test_a_link_without_noise_serves_as_the_clean_value(tmp_path):
    directory = make_study(
        tmp_path, axes=("fixed_snr",), methods=("qlora",), tasks=("localise",), snrs=(-10.0, math.inf)
    )
    for folder in directory.glob("*-none-*"):
        shutil.rmtree(folder)
    found = load_study(directory).curves
    assert found[0].link.snr_db == -10.0 and found[0].clean is not None and found[0].clean.noiseless
    assert "With nothing lost it is" in sf_sentence(found[0])


def test_published_study_without_items_still_reports(tmp_path):
    directory = make_study(
        tmp_path, axes=("fixed_snr",), methods=("zero-shot",), tasks=("paired",), channel_seeds=(0, 1)
    )
    for path in directory.glob("*/items.jsonl"):
        path.write_text("")
        finalise(path.parent, {"rows": read_json(path.parent / "result.json")["rows"]})
    write_report(directory)
    pooled = point(load_study(directory), sf=12)
    rows = [row for row in read_rows(directory) if row["sf"] == 12]
    assert pooled.low == min(row["f1_low"] for row in rows) and pooled.high == max(row["f1_high"] for row in rows)
    assert "SF12" in read_page(directory)


def test_refuses_what_is_no_study(tmp_path):
    with pytest.raises(FileNotFoundError, match="no finished cell"):
        write_report(tmp_path)
    directory = make_study(tmp_path, spreading_factors=(9,), axes=("fixed_snr",), methods=("qlora",), tasks=("paired",))
    items = next(directory.glob("*/items.jsonl"))
    items.write_text(items.read_text().replace("true", "false", 1))
    with pytest.raises(StoreError, match=r"items\.jsonl was changed"):
        write_report(directory)


# --- sentences --------------------------------------------------------------------------------------------------------


def test_the_answer_comes_first_and_says_rise_and_peak(study, outline):
    chosen = headline_curves(study)
    asked = [(curve.first.axis, curve.first.task) for curve in chosen]
    assert asked == [(axis, task) for axis in ("fixed_snr", "equal_airtime") for task in ("detect", "localise")]
    assert {curve.first.method for curve in chosen} == {"qlora"}, "detect comes first, at chance as it is"
    detect, fixed, _, equal = (sf_sentence(curve, "smollm2-135m-instruct") for curve in chosen)
    assert "the F1 of QLoRA (smollm2-135m-instruct) rises" in fixed and "one training seed, one channel seed" in fixed
    low, high = (point(study, task="localise", method="qlora", axis="fixed_snr", sf=sf) for sf in (7, 12))
    assert f"rises from {low.f1:.2f} [{low.low:.2f}, {low.high:.2f}] at SF7 to {high.f1:.2f}" in fixed
    assert "n = 42 programs" in fixed and "baseline is 0.15" in fixed and "With nothing lost it is 0." in fixed
    assert re.search(r"peaks at SF(8|9|10|11) with", equal)
    shown = "".join(outline.text)
    assert (
        shown.index(detect)
        < shown.index(fixed)
        < shown.index("F1 against spreading factor", shown.index("study report"))
    )


def test_direction_is_claimed_only_where_the_paired_interval_allows(tmp_path):
    """Two spreading factors under the same loss: not distinguishable."""
    directory = make_study(
        tmp_path, spreading_factors=(9, 10), axes=("equal_airtime",), methods=("qlora",), tasks=("localise",)
    )
    (curve,) = headline_curves(load_study(directory))
    assert "is not distinguishable (difference" in sf_sentence(curve)


def test_qlora_against_full_is_never_called_equal(study):
    said = [text for comparison in method_comparisons(study) for text in method_sentences(comparison)]
    assert len(said) == 4 and all("n = 42, one training seed, one channel seed" in sentence for sentence in said)
    assert said[0].startswith("QLoRA against full: difference")
    assert "not distinguishable (smallest difference that n could show: 0.27)" in said[0]
    assert said[1].startswith("F1 lost to the link, QLoRA minus full:")
    assert not any("equal to" in sentence or "same as" in sentence for sentence in said)


def test_a_score_at_or_below_its_baseline_looks_like_one(study, study_dir):
    row = {"delivered": 42, "f1": 0.5, "f1_low": 0.3, "f1_high": 0.7, "baseline": 0.5}
    assert {verdict({**row, "baseline": b}).word for b in (0.31, 0.5, 0.69)} == {"at baseline"}  # intervals, not values
    assert verdict({**row, "baseline": 0.2}).word == "above baseline"
    assert verdict({**row, "baseline": 0.8}).word == "below baseline"
    assert verdict({**row, "delivered": 0}).word == "nothing arrived"
    assert verdict({**row, "f1": None}).word == "no F1"
    marks = [verdict({**row, "baseline": b}).mark for b in (0.2, 0.5, 0.8)] + [verdict({**row, "delivered": 0}).mark]
    assert len(set(marks)) == 4
    clean = point(study, task="detect", method="qlora", corrupted_split="none")
    assert verdict(clean).key == "below"
    assert "hence no evidence of skill: detect (QLoRA)" in " ".join(limits(study))
    page = read_page(study_dir)
    assert page.count("▼ below baseline") > 5 and page.count("▲ above baseline") > 5


def test_a_study_at_chance_says_so_in_the_answer(tmp_path):
    directory = make_study(tmp_path, axes=("fixed_snr",), methods=("zero-shot",), tasks=("detect",))
    write_report(directory)
    answer = read_page(directory).split('class="answer"')[1].split("</div>")[0]
    assert "Read with care: even with nothing lost zero-shot is below the baseline in detect" in answer
    assert "Not compared: this study does not hold both methods" in answer


@pytest.mark.parametrize("model", ["smollm2-135m-instruct", "toy"])
def test_a_small_model_is_never_called_llama_3(tmp_path, model):
    directory = make_study(
        tmp_path, spreading_factors=(7, 12), axes=("fixed_snr",), methods=("zero-shot",), tasks=("paired",), model=model
    )
    write_report(directory)
    page = read_page(directory)
    assert model in page
    mentions = re.findall(r"[^.>]*Llama[ -]?3[^.<]*", page, flags=re.IGNORECASE)
    assert mentions and all("not numbers of Llama 3 8B" in mention for mention in mentions)
    assert ("random weights" in page) == (model == "toy")


def test_limits_follow_from_the_study(study, tmp_path):
    said = " ".join(limits(study))
    assert "42 programs (MiniBugs) show a difference of 0.27 or more" in said
    assert "One training seed" in said and "One channel seed" in said
    many = make_study(
        tmp_path, spreading_factors=(9,), axes=("fixed_snr",), methods=("qlora",), tasks=("paired",), num_programs=4,
        train_seeds=(0, 1), channel_seeds=(0, 1),
    )  # fmt: skip
    said = " ".join(limits(load_study(many)))
    assert "One training seed" not in said and "One channel seed" not in said
    assert "4 programs (MiniBugs) show no difference at all" in said


def test_curves_put_the_telling_condition_first(tmp_path):
    """Of three SNRs the one whose curve moves most is shown first; the others are folded away."""
    directory = make_study(
        tmp_path, axes=("fixed_snr",), methods=("zero-shot",), tasks=("paired",), snrs=(-30.0, -10.0, 20.0)
    )
    found = load_study(directory).curves
    assert found[0].link.snr_db == -10.0
    write_report(directory)
    page = read_page(directory)
    assert "2 more conditions of the link" in page and "F1 against SNR" in page


def test_waterfall_lies_where_the_theory_of_the_radio_says(study):
    """The drawn curve crosses one half at the SNR at which the radio's own formula does, and markers are the counts."""
    from lora_phy import LoRaParams, theory

    rows = delivery(study)
    rows = rows[[link.axis == "fixed_snr" for link in rows["link"]]]
    rows = rows.assign(link=[dataclasses.replace(link, fading="none") for link in rows["link"]])
    svg = figures.frames_lost_against_snr(rows, 52)
    spoken = f"{rows['fragments_lost'].iloc[0]} of {rows['fragments_sent'].iloc[0]}"
    assert spoken in svg and all(f"SF{sf}" in svg for sf in range(7, 13))
    curves_drawn = [
        np.array([[float(x) for x in pair.split()] for pair in re.findall(r"[ML] ([\d.]+ [\d.]+)", path)])
        for path in re.findall(r'<path d="([^"]+)"[^>]*style="fill: none[^"]*var\(--m', svg)
    ]
    curves_drawn = [curve for curve in curves_drawn if len(curve) > 20]
    assert len(curves_drawn) == 6
    # the middle of each waterfall, in drawing units, is as far apart as in dB: one scale for all six
    middle = [float(np.interp(curve[:, 1].mean(), curve[:, 1], curve[:, 0])) for curve in curves_drawn]
    grid = np.linspace(-30, 0, 3001)
    half = [float(np.interp(-0.5, -theory.per_awgn(LoRaParams(sf=sf), 52, grid), grid)) for sf in range(7, 13)]
    assert np.corrcoef(middle, half)[0, 1] > 0.99


# --- damage -----------------------------------------------------------------------------------------------------------


def marked(pieces):
    """Pieces of a text as the page shows them."""
    return str(environment().get_template("parts.html.jinja").module.marked(pieces))


def strip_marks(html):
    return unescape(re.sub(r"</?mark[^>]*>", "", html))


def test_damage_marks_hold_the_sent_text_and_name_the_holes():
    sent = "def f(a):\n    return a < 3 and 'ä' > a\n"
    raw = sent.encode()
    holes = [[4, 9], [20, 31]]
    received = (raw[:4] + "\ufffd".encode() + raw[9:20] + "\ufffd".encode() + raw[31:]).decode()
    left, right = map(marked, mark_damage(sent, received, holes))
    assert strip_marks(left) == sent
    assert re.findall(r'<mark class="lost">(.*?)</mark>', left, re.DOTALL)[0] == "f(a):"
    assert right.count('<mark class="hole">') == 2 and "5 bytes lost" in right and "11 bytes lost" in right
    assert strip_marks(re.sub(r'<mark class="hole">.*?</mark>', "\ufffd", right)) == received


def test_wrong_characters_are_marked_on_both_sides():
    left, right = map(marked, mark_damage("return a + b", "retuXn a + b", []))
    assert left == 'retu<mark class="lost">r</mark>n a + b'
    assert right == 'retu<mark class="changed">X</mark>n a + b'
    same = tuple(map(marked, mark_damage("x < 1", "x < 1", [])))
    assert same == ("x &lt; 1", "x &lt; 1")


def test_examples_show_wrong_characters_where_damaged_frames_are_delivered(tmp_path):
    directory = make_study(tmp_path, axes=("fixed_snr",), methods=("zero-shot",), tasks=("paired",), policy="deliver")
    write_report(directory)
    assert '<mark class="changed">' in read_page(directory)


# --- the terminal -----------------------------------------------------------------------------------------------------


def test_table_for_the_terminal(study_dir):
    rows = [row for row in read_rows(study_dir) if row["method"] == "zero-shot" and row["task"] == "paired"]
    text = render_table(rows[6:])
    assert text.count("zero-shot") == 1 and "MiniBugs, paired: which of two versions is buggy?" in text
    assert [f"SF{sf}" in text for sf in range(7, 13)] == [True] * 6
    assert max(map(len, text.splitlines())) <= 100
    first = next(row for row in rows[6:] if row["sf"] is None)
    line = next(line for line in text.splitlines() if "no link" in line)
    low, high = (f"{first[name]:.2f}".removeprefix("0") for name in ("f1_low", "f1_high"))
    assert f"{first['f1']:.2f} {low}–{high} {verdict(first).mark}" in line
    assert "\x1b[" in render_table(rows[6:], color=True) and "\x1b[" not in text


def test_what_a_run_prints_keeps_to_the_width_of_a_terminal(study_dir):
    """Tables and sentences in 80 columns; where the output is no terminal a sentence is one line."""
    study = load_study(study_dir)
    for terminal in (True, False):
        buffer = io.StringIO()
        print_results(
            Console(file=buffer, width=80, force_terminal=terminal, color_system=None), study, Path("page.html")
        )
        lines = buffer.getvalue().splitlines()
        assert "report: page.html" in lines and "…" not in buffer.getvalue()
        said = lines[lines.index("report: page.html") + 1 :]
        assert said and (max(map(len, lines)) <= 80 if terminal else len(said) == len(closing_sentences(study)))


def test_table_splits_axes_and_repeats_the_clean_rows(study_dir):
    rows = []
    for path in sorted(study_dir.glob("*/result.json")):
        axis = read_json(path.parent / "config.json")["axis"]
        rows += [{**row, "axis": axis} for row in read_json(path)["rows"] if row["task"] == "localise"]
    text = render_table(rows)
    assert text.count("which line is wrong?") == 2
    assert text.count("no link") == 2 and text.count("SF12") == 2  # a line each, three methods across
    assert all(text.count(name) == 2 for name in ("QLoRA", "full", "zero-shot"))
    assert render_table([]) == ""


def test_table_has_one_line_for_each_link_whatever_the_number_of_seeds(tmp_path):
    seeds = {"train_seeds": (0, 1), "channel_seeds": (0, 1, 2, 3), "channel_seeds_each": 2}
    study_dir = make_study(tmp_path, axes=("fixed_snr",), tasks=("localise",), **seeds)
    points = load_study(study_dir).points
    rows = table_rows(points)
    text = render_table(rows, width=120)
    assert all(text.count(f"SF{sf} ") == 1 for sf in range(7, 13)) and text.count("no link") == 1
    for p, row in zip(points, rows, strict=True):
        assert (row["f1"], row["f1_low"], row["f1_high"]) == (p.f1, p.low, p.high)
        own = [r["intact"] for r in read_rows(study_dir) if (r["method"], r["sf"]) == (p.method, p.sf)]
        assert row["n"] == 42 and min(own) <= row["intact"] <= max(own)


def test_the_report_needs_no_torch_and_its_import_is_light():
    code = (
        "import sys\n"
        "import llm_bridge.report\n"
        "heavy = {'torch', 'transformers', 'peft', 'pandas', 'statsmodels', 'matplotlib', 'rich'} & set(sys.modules)\n"
        "assert not heavy, heavy\n"
    )
    subprocess.run([sys.executable, "-c", code], check=True)


def test_templates_are_declared_as_package_data():
    """A wheel without them could not write a report."""
    import tomllib

    root = Path(__file__).parents[3]
    declared = tomllib.loads((root / "pyproject.toml").read_text())["tool"]["setuptools"]["package-data"]["llm_bridge"]
    assert "report/templates/*" in declared
    assert json.dumps(sorted(p.name for p in (root / "llm_bridge/report/templates").iterdir())) == (
        '["parts.html.jinja", "report.css", "report.html.jinja", "report.js"]'
    )


def test_models_that_learnt_from_received_texts_have_a_loss_curve_of_their_own(tmp_path):
    make_study(tmp_path)
    for folder in [path for path in tmp_path.iterdir() if (path / "provenance.json").exists()]:
        config = read_json(folder / "config.json")
        if config["method"] == "qlora":
            received = config["corrupted_split"] == "eval"
            write_json(folder / "config.json", {**config, "corrupted_split": "both" if received else "none"})
            training = {"status": "finished", "run_hash": str(received), "losses": [2.0, 1.5 if received else 1.0]}
            write_json(folder / "provenance.json", {"learner": {"training": training}})
            finalise(folder, {"rows": read_json(folder / "result.json")["rows"]})
    found = training_losses(load_study(tmp_path))
    assert {learner: losses.tolist() for learner, losses in found.items()} == {
        ("qlora", False): [2.0, 1.0], ("qlora", True): [2.0, 1.5],
    }  # fmt: skip
    write_report(tmp_path)
    page = read_page(tmp_path)
    assert "QLoRA: 1.50 to 1.50; QLoRA, received texts: 1.75 to 1.75" in page


def test_the_baseline_is_drawn_link_by_link(tmp_path):
    """Rules read what arrives, so that the best differs between links; one line for all would flatter clean texts."""
    make_study(tmp_path, methods=("rules", "qlora", "full"))
    study = load_study(tmp_path)
    panel = next(p for p in panels(study) if p[0].first.task == "localise" and any(curve.clean for curve in p))
    svg = f1_against_sf(panel, method_styles(methods_of(study)))
    shown = dict(part.split(" ") for part in re.search(r"baseline: ([^<]*)", svg)[1].split(", "))
    curve = next(curve for curve in panel if curve.clean)
    expected = {f"SF{point.sf}": point.baseline for point in curve.points} | {"clean": curve.clean.baseline}
    assert shown == {name: f"{level:.2f}" for name, level in expected.items()}
    assert len(set(shown.values())) > 1


def test_training_losses_are_drawn_as_the_mean_over_seeds(tmp_path):
    make_study(tmp_path)
    for folder in [path for path in tmp_path.iterdir() if (path / "provenance.json").exists()]:
        config, seed = read_json(folder / "config.json"), read_json(folder / "config.json")["train_seed"]
        if config["method"] == "qlora":
            training = {"status": "finished", "run_hash": str(seed), "losses": [2.0 + seed, 1.0 + seed]}
            write_json(folder / "provenance.json", {"learner": {"training": training}})
            finalise(folder, {"rows": read_json(folder / "result.json")["rows"]})
    study = load_study(tmp_path)
    seeds = {cell.config["train_seed"] for cell in study.cells if cell.config["method"] == "qlora"}
    found = training_losses(study)
    assert list(found) == [("qlora", False)]
    assert found["qlora", False].tolist() == [2.0 + np.mean(list(seeds)), 1.0 + np.mean(list(seeds))]
    write_report(tmp_path)
    assert "Training loss over steps" in read_page(tmp_path)
