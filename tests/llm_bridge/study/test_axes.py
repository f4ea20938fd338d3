"""The axis of equal loss: the SNR that a share of lost frames means, held against frames of its own."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

from llm_bridge.study.cells import cell_config, cell_name, expand
from llm_bridge.study.recipe_files import load_recipe
from llm_bridge.transport.frame_loss import snr_of_loss_db
from llm_bridge.transport.packets import HEADER_LEN
from llm_bridge.transport.radio import Packet, carry
from llm_bridge.transport.settings import RadioSettings
from lora_phy.monte_carlo.counts import binomial_interval

HASHES = {"minibugs": "m", "mutants-train": "t", "mutants-validation": "v"}
AXIS = ["radio.axis=equal_loss", "radio.frame_loss=[0.1, 0.3]"]


@pytest.mark.parametrize(
    ("sf", "cr", "fading", "decoding", "target"),
    [
        (7, 1, None, "hard", 0.3),
        (9, 1, "rayleigh", "hard", 0.3),
        (7, 4, "rician", "hard", 0.3),
        (8, 4, None, "hard", 0.1),
        (7, 2, "rayleigh", "soft", 0.1),
    ],
)
def test_the_share_of_frames_that_was_asked_for_is_lost(
    sf: int, cr: int, fading: str | None, decoding: str, target: float
) -> None:
    """Frames of the transport's own waveform link; each case passes a right SNR with probability 1 - 1e-6."""
    settings = RadioSettings(
        sf=sf,
        snr_db=0.0,
        cr=cr,
        fading=fading,
        k_factor_db=6.0 if fading == "rician" else None,
        decoding="soft" if decoding == "soft" else "hard",
        channel_seed=11,
    )
    settings = RadioSettings(**{**vars(settings), "snr_db": snr_of_loss_db(target, settings)})
    rng = np.random.default_rng(5)
    packets = [
        Packet(
            corpus="independent",
            program=str(number),
            version="buggy",
            fragment=0,
            attempt=0,
            payload=rng.bytes(settings.max_fragment_len + HEADER_LEN),
        )
        for number in range(1500)
    ]
    lost = sum(not arrival.crc_ok for arrival in carry(packets, settings.radio_link()))
    low, high = binomial_interval(lost, len(packets), 1 - 1e-6)
    assert low < target < high


def test_a_longer_packet_needs_more_signal_and_a_slower_radio_less() -> None:
    def snr(**changes: object) -> float:
        return snr_of_loss_db(0.3, RadioSettings(**{"sf": 8, "snr_db": 0.0, **changes}))  # type: ignore[arg-type]

    assert snr(fragment_len=100) > snr(fragment_len=20)
    assert snr(sf=9) < snr() - 2.5
    assert snr(fading="rayleigh") > snr() + 3
    assert snr(cr=3) < snr() - 1


def test_the_axis_gives_each_spreading_factor_its_snr_and_every_split_the_same() -> None:
    recipe = load_recipe("toy", [*AXIS, "radio.sf=[7, 12]", 'radio.corrupted_split=["none", "train", "eval", "both"]'])
    cells = [cell for cell in expand(recipe) if cell.link is not None]
    assert {cell.corrupted_split for cell in cells} == {"train", "eval", "both"}
    snrs = {(cell.link.level, cell.link.sf, cell.link.snr_db) for cell in cells}
    assert len(snrs) == 4
    assert {(loss, sf): snr for loss, sf, snr in snrs} == {
        (0.1, 7): pytest.approx(0.82, abs=0.011),
        (0.1, 12): pytest.approx(-13.64, abs=0.011),
        (0.3, 7): pytest.approx(-4.49, abs=0.011),
        (0.3, 12): pytest.approx(-18.96, abs=0.011),
    }


def test_the_level_shapes_identity_and_name_and_other_axes_know_nothing_of_it() -> None:
    recipe = load_recipe("toy", [*AXIS, "radio.sf=7"])
    for cell in expand(recipe):
        config = cell_config(cell, recipe, HASHES)
        assert config["frame_loss"] == cell.link.level
        assert f"-sf07-loss{cell.link.level:g}-" in cell_name(cell, config)
    plain = load_recipe("toy")
    assert all("frame_loss" not in cell_config(cell, plain, HASHES) for cell in expand(plain))


def test_training_and_test_texts_lose_that_share_at_both_spreading_factors(tmp_path: Path) -> None:
    """Exact intervals at 1 - 1e-6 each; the last frame of a text is shorter and lost a little less: 0.02 in all."""
    from rich.console import Console

    from llm_bridge.study.transmission import transmit_all
    from llm_bridge.study.workspace import open_workspace

    overrides = [
        "radio.axis=equal_loss",
        "radio.frame_loss=0.3",
        "radio.sf=[7, 10]",
        "radio.corrupted_split=['train', 'both']",
        "training.methods=full",
    ]
    recipe = load_recipe("toy", overrides)
    study = open_workspace(recipe, tmp_path, Console(quiet=True))
    crossed = []
    for cell, arrived in transmit_all(study, expand(recipe)).items():
        crossed += [arrived.learnt, *([arrived.evaluated] if cell.corrupted_split == "both" else [])]
    assert len(crossed) == 6
    for items in crossed:
        sent, lost = (sum(getattr(x.damage, name) for x in items) for name in ("fragments_sent", "fragments_lost"))
        low, high = binomial_interval(lost, sent, 1 - 1e-6)
        assert low - 0.02 < 0.3 < high + 0.02
        assert sent > 100


def test_an_axis_is_added_in_one_place() -> None:
    """An entry of each table before anything else is imported: recipe, cells, names, columns and words know it."""
    program = """
import llm_bridge.axes as axes
margin = axes.Quantity(
    name="margin_db", snr_db=lambda level, radio, site: level + 10.0 - 2.5 * radio.sf, words="{} dB of margin",
    slug="margin{:g}dB",
)
axes.QUANTITIES = {**axes.QUANTITIES, "margin_db": margin}
axes.LEVEL_COLUMNS = (*axes.LEVEL_COLUMNS, "margin_db")
axes.AXES = {**axes.AXES, "equal_margin": axes.Axis(words="same margin at every SF", quantities=("margin_db",))}
from llm_bridge.link import Link
from llm_bridge.report.language import axis_name, level_words
from llm_bridge.results_format import CHANNEL_COLUMNS, RESULT_COLUMNS
from llm_bridge.study.cells import cell_config, cell_name, expand
from llm_bridge.study.recipe_files import keys_table, load_recipe
grid = ["radio.axis=equal_margin", "radio.margin_db=3.0", "radio.sf=[7, 12]", "training.methods=rules"]
recipe = load_recipe("toy", grid)
for cell, snr_db in zip(expand(recipe), (-4.5, -17.0), strict=True):
    config = cell_config(cell, recipe, dict.fromkeys(("minibugs", "mutants-train", "mutants-validation"), "h"))
    assert (cell.link.snr_db, config["margin_db"]) == (snr_db, 3.0)
    assert f"-margin3dB-{snr_db:g}dB-drop-equal_margin-" in cell_name(cell, config)
    assert Link.of_row(cell.link.columns()) == cell.link
    assert level_words(cell.link) == ["3 dB of margin"] and axis_name("equal_margin") == "same margin at every SF"
assert "margin_db" in RESULT_COLUMNS and "margin_db" in CHANNEL_COLUMNS and "`margin_db`" in keys_table()
"""
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, timeout=120)
    assert done.returncode == 0, done.stderr
