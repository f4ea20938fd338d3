"""The channel stage: no model, frames shared between policies, the same arrivals as in a study with models."""

from __future__ import annotations

import csv
import subprocess
import sys
from pathlib import Path

import pytest
from rich.console import Console

from llm_bridge.results_format import CHANNEL_COLUMNS
from llm_bridge.run import run_recipe
from llm_bridge.study.cache import Cache
from llm_bridge.study.cells import channel_links
from llm_bridge.study.channel import radios
from llm_bridge.study.recipe import Recipe
from llm_bridge.study.recipe_files import load_recipe
from llm_bridge.study.transmission import delivery_row, items_of, transmit_items
from llm_bridge.study.workspace import open_workspace

SMALL = [
    "corpus.limit=6",
    "radio.sf=[7, 8]",
    "radio.snr_db=[-10.0, inf]",
    "radio.fading=rayleigh",
    "radio.cr=1",
    "radio.channel_seeds=[3, 4]",
]


def recipe_of(*overrides: str) -> Recipe:
    return load_recipe("channel", [*SMALL, *overrides])


def rows(out: Path) -> list[dict[str, str]]:
    with (out / "channel.csv").open() as file:
        return list(csv.DictReader(file))


@pytest.fixture(scope="module")
def finished(tmp_path_factory: pytest.TempPathFactory) -> Path:
    out = tmp_path_factory.mktemp("channel")
    assert run_recipe(recipe_of(), out, console=Console(quiet=True)) == out / "report.html"
    return out


def test_a_row_for_every_link_and_channel_seed_and_its_counts_hang_together(finished: Path) -> None:
    found = rows(finished)
    assert len(found) == 2 * 2 * 6 * 2  # spreading factors, SNRs, policies, channel seeds
    for row in found:
        assert tuple(row) == CHANNEL_COLUMNS
        n, delivered, intact = (int(row[name]) for name in ("n", "delivered", "intact"))
        assert n == 12 and 0 <= intact <= delivered <= n
        bad = int(row["byte_errors"]) + int(row["bytes_lost"])
        assert float(row["residual_error_rate"]) == pytest.approx(bad / int(row["bytes_sent"]))
        assert float(row["send_time_s"]) == pytest.approx(100 * float(row["airtime_s"]))
        if row["snr_db"] == "inf":
            assert intact == n == int(row["parses"]) and bad == 0
        if row["policy"] in ("drop", "drops", "erasure"):
            assert row["byte_errors"] == "0"
    assert sum(int(row["bytes_lost"]) for row in found) > 0
    assert sum(int(row["byte_errors"]) for row in found) > 0


def test_frames_shared_between_policies_arrive_as_in_a_study_with_models(finished: Path, tmp_path: Path) -> None:
    recipe = recipe_of()
    items = items_of(open_workspace(recipe, tmp_path, Console(quiet=True)).test["minibugs"])
    by_link = {(row["sf"], row["snr_db"], row["policy"], row["channel_seed"]): row for row in rows(finished)}
    for _, link in channel_links(recipe):
        if (link.sf, link.snr_db, link.channel_seed) == (7, -10.0, 3):
            alone = delivery_row(transmit_items(items, recipe.radio.settings_of(link), Cache(tmp_path)))
            shared = by_link["7", "-10.0", str(link.policy), "3"]
            assert {name: float(shared[name]) for name in alone} == pytest.approx(alone)


def test_a_radio_is_one_whatever_is_done_with_its_frames() -> None:
    groups = radios(channel_links(recipe_of()))
    assert len(groups) == 2 * 2 * 2
    assert all(len({(link.policy, link.source_coding) for link in links}) == len(links) == 6 for _, links in groups)


def test_what_was_sent_is_not_sent_again_and_the_rest_is(
    finished: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    import shutil

    from llm_bridge.study import channel

    copy = tmp_path / "copy"
    shutil.copytree(finished, copy)
    (removed, *_) = sorted((copy / "cache" / "channel").glob("*.jsonl"))
    removed.unlink()
    sent = []
    monkeypatch.setattr(
        channel, "send_items", lambda *args, real=channel.send_items, **more: sent.append(1) or real(*args, **more)
    )
    run_recipe(recipe_of(), copy, console=Console(quiet=True))
    assert len(sent) == 6  # one radio, six policies
    assert (copy / "channel.csv").read_bytes() == (finished / "channel.csv").read_bytes()


def test_two_processes_write_the_same_table_and_torch_is_not_imported(finished: Path, tmp_path: Path) -> None:
    program = (
        "import sys\n"
        "from pathlib import Path\n"
        "from rich.console import Console\n"
        "from llm_bridge.study.recipe_files import load_recipe\n"
        "from llm_bridge.run import run_recipe\n"
        "if __name__ == '__main__':\n"
        f"    run_recipe(load_recipe('channel', {SMALL!r}), Path({str(tmp_path / 'out')!r}),"
        " console=Console(quiet=True), workers=2)\n"
        "    heavy = {'torch', 'transformers', 'peft'} & set(sys.modules)\n"
        "    assert not heavy, heavy\n"
    )
    script = tmp_path / "run.py"
    script.write_text(program)
    root = Path(__file__).resolve().parents[3]
    done = subprocess.run(
        [sys.executable, str(script)],
        capture_output=True,
        text=True,
        cwd=root,
        env={"PYTHONPATH": str(root), "PATH": ""},
        timeout=280,
    )
    assert done.returncode == 0, done.stderr
    assert (tmp_path / "out" / "channel.csv").read_bytes() == (finished / "channel.csv").read_bytes()


def test_the_page_holds_its_figures_and_the_pooled_table(finished: Path) -> None:
    page = (finished / "report.html").read_text()
    assert "No model was asked. 12 texts over each link, 2 channel seeds" in page
    assert "<svg" not in page  # one finite SNR: nothing to draw a curve through
    assert "SF7" in page and "SF8" in page and "random-bytes" in page


def test_curves_are_drawn_where_there_are_several_levels(tmp_path: Path) -> None:
    recipe = recipe_of("radio.snr_db=[-15.0, -5.0]", "radio.policy=drop", "radio.channel_seeds=0", "corpus.limit=2")
    page = run_recipe(recipe, tmp_path, console=Console(quiet=True)).read_text()
    assert page.count("<svg") == 1
