"""Links, labels, models and rows of a study: the parts between a recipe and its results, one by one."""

from __future__ import annotations

import ast
import os
from dataclasses import replace
from pathlib import Path

import pytest
from rich.console import Console
from scipy import stats

from llm_bridge.corpora import minibugs
from llm_bridge.files import read_json
from llm_bridge.study.cache import Cache
from llm_bridge.study.cells import expand
from llm_bridge.study.provenance import model_hashes, model_sha256
from llm_bridge.study.recipe_files import load_recipe
from llm_bridge.study.rows import parses
from llm_bridge.study.shuffling import shuffled_labels
from llm_bridge.study.transmission import items_of, transmit_all, transmit_items
from llm_bridge.study.workspace import open_workspace
from llm_bridge.transport import controls, radio
from llm_bridge.transport.link import RadioSettings, send_items

ITEMS = items_of(minibugs.load()[:20])


# --- controls that need the engine


def test_controls_are_cells_and_their_rates_are_those_of_the_real_link(tmp_path: Path) -> None:
    """Counts of a control against the rates measured on the real link: exact binomial, false alarm 1e-6 in all."""
    overrides = [
        "radio.sf=8",
        "radio.snr_db=-11.0",
        "radio.policy=['deliver', 'random-bytes', 'bursts', 'drop', 'drops']",
        "training.methods=rules",
    ]
    recipe = load_recipe("toy", overrides)
    study = open_workspace(recipe, tmp_path, Console(quiet=True))
    arrived = {
        cell.link.policy: there.evaluated for cell, there in transmit_all(study, expand(recipe)).items() if cell.link
    }

    def total(policy: str, name: str) -> int:
        return sum(getattr(item.damage, name) for item in arrived[policy])

    sent = total("drop", "fragments_sent")
    assert {total(policy, "fragments_sent") for policy in arrived} == {sent}
    for real, control in (("drop", "drops"), ("deliver", "random-bytes"), ("deliver", "bursts")):
        rate = total(real, "fragments_lost") / sent
        assert 0.02 < rate < 0.98
        assert stats.binomtest(total(control, "fragments_lost"), sent, rate).pvalue > 1e-6 / 4
    # bytes: those of fragments that arrived; of "deliver" they come in bursts, so only the independent control is exact
    arrived_bytes = total("random-bytes", "bytes_sent") * (1 - total("random-bytes", "fragments_lost") / sent)
    wrong = total("deliver", "byte_errors") / (
        total("deliver", "bytes_sent") * (1 - total("deliver", "fragments_lost") / sent)
    )
    assert stats.binomtest(total("random-bytes", "byte_errors"), round(arrived_bytes), wrong).pvalue > 1e-6 / 4
    assert total("bursts", "byte_errors") == pytest.approx(total("random-bytes", "byte_errors"), rel=0.35)
    assert total("drops", "byte_errors") == 0
    assert len(list((tmp_path / "cache" / "rates").glob("*.jsonl"))) == 1, "measured once for three controls"


def test_measuring_a_link_once_gives_what_measuring_it_each_time_gives(tmp_path: Path) -> None:
    settings = RadioSettings(sf=7, snr_db=-9.0, fading="rayleigh", policy="bursts")
    assert transmit_items(ITEMS, settings, Cache(tmp_path)) == send_items(ITEMS, settings)


def test_shuffled_labels_keep_the_texts_and_lose_the_truth() -> None:
    from llm_bridge.training.examples import clean_examples

    pairs = minibugs.load()
    rows = clean_examples(pairs)
    shuffled = shuffled_labels(rows, 3)
    assert [row.text for row in shuffled] == [row.text for row in rows]
    assert shuffled == shuffled_labels(rows, 3)
    assert shuffled != shuffled_labels(rows, 4)
    for buggy, correct in zip(shuffled[::2], shuffled[1::2], strict=True):
        assert buggy.group == correct.group
        assert buggy.buggy != correct.buggy, "one version of each program stays the buggy one"
    swapped = [not row.buggy for row in shuffled[::2]]
    assert stats.binomtest(sum(swapped), len(swapped), 0.5).pvalue > 1e-6
    labelled = [row for row in shuffled if row.buggy]
    assert sum(len(row.label_lines) for row in labelled) == sum(len(row.label_lines) for row in rows)
    assert all(not row.label_lines and row.fix is None for row in shuffled if not row.buggy)
    lines = [row.text.splitlines() for row in labelled]
    assert all(line[n].strip() for row, line in zip(labelled, lines, strict=True) for n in row.label_lines)
    hits = sum(
        bool(set(new.label_lines) & set(old.label_lines)) for new, old in zip(shuffled, rows, strict=True) if new.buggy
    )
    assert hits < len(pairs) / 3, "lines are drawn anew"
    assert sorted(row.fix for row in labelled if row.fix) == sorted(row.fix for row in rows if row.fix)


def test_a_renamed_corpus_meets_the_same_noise_with_other_names(tmp_path: Path) -> None:
    recipe = load_recipe("toy", ["corpus.test=['minibugs', 'minibugs-renamed']", "corpus.limit=6"])
    study = open_workspace(recipe, tmp_path, Console(quiet=True))
    plain, renamed = study.test["minibugs"], study.test["minibugs-renamed"]
    assert [pair.name for pair in plain] == [pair.name for pair in renamed]
    assert [len(pair.buggy) for pair in plain] == [len(pair.buggy) for pair in renamed]
    assert all(a.buggy != b.buggy for a, b in zip(plain, renamed, strict=True))
    sent = [items_of(pairs) for pairs in (plain, renamed)]
    keys = [[(item.corpus, item.program, item.version) for item in items] for items in sent]
    assert keys[0] == keys[1], "what seeds the noise"


# --- shadowing and time


def test_shadowing_is_one_normal_draw_for_each_program() -> None:
    link = RadioSettings(sf=7, snr_db=-3.0, shadowing_db=6.0).radio_link()
    packet = radio.Packet(corpus="c", program="p", version="buggy", fragment=0, attempt=0, payload=b"")
    places = [replace(packet, program=f"p{n}") for n in range(400)]
    drawn = radio.shadowing_gains_db(places, link)
    assert stats.kstest(drawn / 6.0, "norm").pvalue > 1e-6
    moved = [replace(packet, program="p0", **change) for change in ({"fragment": 5}, {"attempt": 2})]
    other = [replace(packet, program="p0", version="correct")]
    assert radio.shadowing_gains_db([*moved, *other], link).tolist() == [drawn[0]] * 3
    assert radio.shadowing_gains_db(other, replace(link, pair_noise="independent"))[0] != drawn[0]
    other_sf = replace(link, params=replace(link.params, sf=12))
    assert radio.shadowing_gains_db(places, other_sf).tolist() == drawn.tolist()
    assert not radio.shadowing_gains_db(places, replace(link, shadowing_db=0.0)).any()


def test_shadowing_flattens_the_cliff() -> None:
    """3 dB above the cliff nearly all arrives, and with 8 dB of shadowing a good part does not."""
    steady = send_items(ITEMS, RadioSettings(sf=7, snr_db=-5.0))
    shadowed = send_items(ITEMS, RadioSettings(sf=7, snr_db=-5.0, shadowing_db=8.0))
    assert all(arrival.intact for arrival in steady)
    assert 3 < sum(not arrival.intact for arrival in shadowed) < 35


def test_an_airtime_budget_is_what_the_duty_cycle_leaves_of_a_period(tmp_path: Path) -> None:
    overrides = ["radio.axis=equal_airtime", "radio.period_s=3600.0", "radio.duty_cycle=0.02", "radio.sf=[7, 11]"]
    recipe = load_recipe("toy", [*overrides, "radio.snr_db=inf", "training.methods=rules"])
    study = open_workspace(recipe, tmp_path, Console(quiet=True))
    for cell, arrived in transmit_all(study, expand(recipe)).items():
        on_air = [arrival.damage.airtime_s for arrival in arrived.evaluated]
        assert 72.0 - max(on_air) < sum(on_air) <= 72.0 + 1e-6, cell.link  # whole items only


def test_the_dwell_time_looks_at_the_longest_frame() -> None:
    assert RadioSettings(sf=12, snr_db=0.0).within_dwell_time("EU868")
    assert not RadioSettings(sf=12, snr_db=0.0).within_dwell_time("US915")
    assert RadioSettings(sf=10, snr_db=0.0, fragment_len=11).within_dwell_time("US915")


# --- models by their files


def _model(folder: Path) -> Path:
    folder.mkdir()
    (folder / "model.safetensors").write_bytes(b"weights")
    (folder / "config.json").write_text("{}")
    (folder / "tokenizer.json").write_text("{}")
    return folder


def test_a_moved_model_is_the_same_and_a_changed_one_is_not(tmp_path: Path) -> None:
    here, there = _model(tmp_path / "here"), _model(tmp_path / "there")
    first = model_hashes(str(here), tmp_path)
    assert model_hashes(str(there), tmp_path) == first
    (there / "README.md").write_text("words")
    assert model_hashes(str(there), tmp_path) == first
    (there / "tokenizer.json").write_text("[]")
    changed = model_hashes(str(there), tmp_path)
    assert changed["weights"] == first["weights"] and changed["tokenizer"] != first["tokenizer"]
    assert model_sha256(changed) != model_sha256(first)


def test_a_hash_is_remembered_while_size_and_time_stay(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    import hashlib

    model = _model(tmp_path / "model")
    first = model_hashes(str(model), tmp_path)
    counted: list[object] = []
    real = hashlib.file_digest
    monkeypatch.setattr(hashlib, "file_digest", lambda *args: counted.append(args) or real(*args))
    assert model_hashes(str(model), tmp_path) == first
    assert counted == []
    weights = model / "model.safetensors"
    weights.write_bytes(b"WEIGHTS")
    os.utime(weights, ns=(1, 1))
    assert model_hashes(str(model), tmp_path)["weights"] != first["weights"]
    assert len(counted) == 1
    assert len(read_json(tmp_path / "cache" / "file_hashes.json")) == 3


# --- rows


@pytest.mark.parametrize("text", ["def f(:\n", "x = '\ufffd\n", "\x00", "(" * 5000, "if x:\nreturn\n"])
def test_what_is_no_python_does_not_parse(text: str) -> None:
    assert not parses(text)


def test_a_hole_inside_a_string_still_parses() -> None:
    assert parses("x = 'a\ufffdb'\n") is True
    assert ast.parse("x = 'a\ufffdb'\n")


def test_control_rates_do_not_depend_on_the_policy_measured() -> None:
    """Rates are those of "deliver" at the same settings: what a control policy measures by itself."""
    own = controls.LinkStatistics(packet_loss_rate=0.2, frame_loss_rate=0.4, byte_error_rate=0.05)
    sent = send_items(ITEMS, RadioSettings(sf=7, snr_db=0.0, policy="drops", control=own))
    lost = sum(arrival.damage.fragments_lost for arrival in sent)
    assert stats.binomtest(lost, sum(arrival.damage.fragments_sent for arrival in sent), 0.4).pvalue > 1e-6
