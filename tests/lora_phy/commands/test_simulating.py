"""``waterfall`` and ``sweep``: results with intervals, resumed to the same numbers; bad values refused before work."""

from __future__ import annotations

import shlex
from concurrent.futures import ThreadPoolExecutor

import numpy as np
import pytest
from scipy.stats import binomtest

from lora_phy import load_results, theory
from lora_phy.__main__ import main
from lora_phy.studies.sweep import load_sweep, run_sweep
from lora_phy.studies.tables import from_csv, from_json

FAST = ["--sync", "perfect", "--decoding", "hard", "--engine", "order-statistics"]
SWEEP = """
max_frames = 3000
max_errors = 200
seed = 3
engine = "order-statistics"

[[grid]]
sf = [7, 8]
snr_db = { start = -10, stop = -8, step = 1 }
payload_len = 16
fading = ["none", "rayleigh"]
sync = "perfect"
decoding = "hard"
"""


def as_dicts(table):
    return [dict(zip(table.columns, row, strict=True)) for row in table.rows]


def test_waterfall_agrees_with_theory_and_tells_exact_intervals(capsys, tmp_path) -> None:
    """Two points; each count is as likely as 5e-7 or more under `theory.per_awgn`: a false alarm in 1e6 runs."""
    saved = tmp_path / "per.jsonl"
    arguments = ["waterfall", "--sf", "7", "8", "--snr-db", "-10", "--frames", "4000", "--errors", "4000", *FAST]
    assert main([*arguments, "--save-to", str(saved), "--json"]) == 0
    rows = as_dicts(from_json(capsys.readouterr().out))
    assert [row["sf"] for row in rows] == [7, 8]
    for row in rows:
        per = float(theory.per_awgn(load(row["sf"]), 16, -10.0))
        exact = binomtest(row["frame_errors"], row["frames"], per)
        assert row["frames"] == 4000 and exact.pvalue > 5e-7
        low, high = exact.proportion_ci(0.95, "exact")
        assert (row["per_low"], row["per_high"]) == pytest.approx((low, high), rel=1e-6)
    size = saved.stat().st_size
    assert main([*arguments, "--save-to", str(saved), "--json"]) == 0
    assert as_dicts(from_json(capsys.readouterr().out)) == rows and saved.stat().st_size == size


def load(sf):
    from lora_phy import LoRaParams

    return LoRaParams(sf=sf)


def test_fading_is_told_and_costs_frames(capsys) -> None:
    arguments = ["waterfall", "--sf", "7", "--snr-db", "-6", "--frames", "500", "--errors", "500", *FAST, "--csv"]
    frame_errors = {}
    for fading in (["--fading", "none"], ["--fading", "rayleigh"], ["--fading", "rician", "--k-factor-db", "0"]):
        assert main([*arguments, *fading]) == 0
        [row] = as_dicts(from_csv(capsys.readouterr().out))
        assert row["fading"] == fading[1]
        frame_errors[fading[1]] = row["frame_errors"]
    assert frame_errors["none"] < frame_errors["rician"] < frame_errors["rayleigh"]


def test_a_figure_is_drawn(tmp_path, capsys) -> None:
    pytest.importorskip("matplotlib", reason="needs the extra chirpbridge[plot]")
    arguments = ["waterfall", "--sf", "7", "--snr-db", "-9", "-8", "--frames", "50", *FAST]
    assert main([*arguments, "--plot", str(tmp_path / "per.svg")]) == 0
    assert "<svg" in (tmp_path / "per.svg").read_text() and "per_high" in capsys.readouterr().out


def test_an_interrupted_sweep_continues_to_the_same_numbers(tmp_path) -> None:
    (tmp_path / "sweep.toml").write_text(SWEEP)
    sweep = load_sweep(tmp_path / "sweep.toml")
    assert len(sweep.points) == 2 * 3 * 2
    run_sweep(sweep, tmp_path / "whole")
    with ThreadPoolExecutor(3) as threads:
        run_sweep(sweep, tmp_path / "threads", executor=threads)
    whole = (tmp_path / "whole/results.csv").read_text()
    assert (tmp_path / "threads/results.csv").read_text() == whole
    torn = (tmp_path / "whole/points.jsonl").read_bytes()
    for share in (0.3, 0.7):
        folder = tmp_path / f"torn{share}"
        folder.mkdir()
        (folder / "points.jsonl").write_bytes(torn[: int(share * len(torn))])
        with pytest.warns(UserWarning, match="lines are no records"):
            run_sweep(sweep, folder)
        assert (folder / "results.csv").read_text() == whole


def interrupting(after: int):
    """`collect` as it is, interrupted the `after`-th time that it tells its progress."""
    from lora_phy.monte_carlo.collect import collect

    def interrupted(points, **settings):
        told = iter(range(after))

        def progress(_: object) -> None:
            if next(told, None) is None:
                raise KeyboardInterrupt

        return collect(points, **{**settings, "progress": progress})

    return interrupted


def test_an_interruption_tells_what_is_kept_and_the_command_that_continues(tmp_path, capsys, monkeypatch) -> None:
    """The command that is told, run as it is told, gives the numbers of a run in one go."""
    folder = tmp_path / "two words"
    folder.mkdir()
    (folder / "sweep.toml").write_text(SWEEP)
    kept = folder / "out/points.jsonl"
    command = ["sweep", str(folder / "sweep.toml"), "--out", str(folder / "out"), "--quiet", "--csv"]
    for after, told in ((0, f"interrupted: 0 frames of 0 points are kept in {kept}"), (3, "interrupted: ")):
        with monkeypatch.context() as patched:
            patched.setattr("lora_phy.studies.sweep.collect", interrupting(after))
            assert main(command) == 130
        first, again = capsys.readouterr().err.splitlines()
        assert first.startswith(told) and first.endswith("to continue:")
    assert f"{sum(result.counts.frames for result in load_results(kept)):,} frames of" in first
    assert shlex.split(again)[-len(command) :] == command
    assert main(shlex.split(again)[-len(command) :]) == 0
    rows = as_dicts(from_csv(capsys.readouterr().out))
    assert [row["fading"] for row in rows[:2]] == ["none", "rayleigh"] and len(rows) == 12
    assert main([*command[:3], str(tmp_path / "whole"), *command[4:]]) == 0
    assert as_dicts(from_csv(capsys.readouterr().out)) == rows


def test_an_interrupted_waterfall_tells_that_nothing_is_kept_without_a_file(capsys, monkeypatch) -> None:
    monkeypatch.setattr("lora_phy.monte_carlo.collect.collect", interrupting(0))
    assert main(["waterfall", "--sf", "7", "--snr-db", "-9", "--frames", "50", "--quiet", *FAST]) == 130
    assert capsys.readouterr().err == "interrupted: nothing is kept without --save-to\n"


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("max_frames = 10", "must have at least one table [[grid]]"),
        ("[[grid]]\nsf = 7\nsnr_db = 0\npayload_len = 1", "'max_frames' is needed"),
        ("max_frames = 0\n[[grid]]\nsf = 7\nsnr_db = 0\npayload_len = 1", "'max_frames' must be in [1, 1000000000000]"),
        ("max_frames = 9\nseed = -1\n[[grid]]\nsf = 7\nsnr_db = 0\npayload_len = 1", "'seed' must be in [0,"),
        ("max_frames = 9\nengine = 'fast'\n[[grid]]\nsf = 7\nsnr_db = 0\npayload_len = 1", "'engine' must be one of"),
        ("max_frame = 9\n[[grid]]\nsf = 7", "'max_frame' is no key; did you mean 'max_frames'?"),
        ("max_frames = 9\n[[grid]]\nsff = 7", "grid 1: 'sff' is no key; did you mean 'sf'?"),
        ("max_frames = 9\n[[grid]]\nsf = 7\npayload_len = 1", "grid 1: 'snr_db' is needed"),
        ("max_frames = 9\n[[grid]]\nsnr_db = 0\npayload_len = 1", "grid 1: 'sf' is needed"),
        ("max_frames = 9\n[[grid]]\nsf = 13\nsnr_db = 0\npayload_len = 1", "grid 1: 'sf' must be in [5, 12] (got 13)"),
        (
            "max_frames = 9\n[[grid]]\nsf = []\nsnr_db = 0\npayload_len = 1",
            "'sf' must be a value, a list of at least one",
        ),
        (
            "max_frames = 9\n[[grid]]\nsf = 7\nsnr_db = {start = 0, stop = 9, step = 1e-9}\npayload_len = 1",
            "'snr_db' must lead from start to stop in at most 100,000 steps",
        ),
        (
            "max_frames = 9\n[[grid]]\nsf = 7\nsnr_db = {start = 0, stop = 999, step = 1}\ncfo_hz = "
            "{start = 0, stop = 999, step = 1}\npayload_len = 1",
            "a sweep may have 100,000 points",
        ),
        ("max_frames = 9\nengine = 'bins'\n[[grid]]\nsf = 7\nsnr_db = 0\npayload_len = 1", "'sync' must be 'perfect'"),
        ("max_frames =", "is not TOML"),
    ],
)
def test_a_bad_file_is_refused_by_grid_key_and_value(text, message, tmp_path, capsys) -> None:
    path = tmp_path / "sweep.toml"
    path.write_text(text)
    assert main(["sweep", str(path), "--out", str(tmp_path / "out")]) == 2
    err = capsys.readouterr().err
    assert message in err and err.count("\n") == 1 and not (tmp_path / "out").exists()


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["--frames", "0"], "'--frames' must be in [1, 1000000000000] (got 0)"),
        (["--errors", "0"], "'--errors' must be in [1,"),
        (["--workers", "0"], "'--workers' must be in [1, 1024] (got 0)"),
        (["--plot", "per.doc"], "'--plot' must end in .pdf, .png, .svg (got 'per.doc')"),
        (["--plot", "nowhere/per.svg"], "'--plot' must lie in a folder that exists"),
        (["--save-to", ""], "'--save-to' must name a file (got '')"),
        (["--fading", "rician"], "'--k-factor-db' is needed with --fading rician (got None)"),
        (["--payload-len", "256"], "'--payload-len' must be an integer in [0, 255] (got 256)"),
        (["--cr", "5"], "'--cr' must be in [1, 4] (got 5)"),
        (["--seed", "-1"], "'--seed' must be an integer of at least 0 (got -1)"),
        (["--bandwidth-hz", "1e-9"], "'--bandwidth-hz' must be finite and in [1, inf] (got 1e-09)"),
    ],
)
def test_a_bad_argument_is_refused_before_the_work(arguments, message, capsys) -> None:
    assert main(["waterfall", "--snr-db", "-8", *arguments]) == 2
    assert message in capsys.readouterr().err


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["-o", ""], "'--output' must name a file (got '')"),
        (["-o", "x.mp3"], "'--output' must end in .cf32, .cs16, .cs8, .cu8, .sigmf"),
        (["-o", "x.cf32", "--hex"], "'payload' must be pairs of hex digits with --hex (got 'hi')"),
        (["-o", "x.cf32", "--seed", "-1"], "'--seed' must be in [0,"),
        (["-o", "x.cf32", "--pad-symbols", "-1"], "'--pad-symbols' must be in [0, 10000] (got -1)"),
        (["-o", "x.cf32", "--pad-symbols", "1000000000"], "'--pad-symbols' must be in [0, 10000]"),
    ],
)
def test_tx_refuses_what_it_cannot_write(arguments, message, capsys) -> None:
    assert main(["tx", "hi", *arguments]) == 2
    assert message in capsys.readouterr().err


@pytest.mark.parametrize(("suffix", "dtype", "offset"), [("cs16", "<i2", 0), ("cs8", "i1", 0), ("cu8", "u1", 127.5)])
def test_noise_above_full_scale_is_scaled_and_not_clipped(suffix, dtype, offset, tmp_path, capsys) -> None:
    """Integers are the floating-point file times one factor, to a step (half of one, but for +1 in a signed type)."""
    for name in ("cf32", suffix):
        assert main(["tx", "hi", "-o", str(tmp_path / f"x.{name}"), "--snr-db", "-15"]) == 0
    floats = np.fromfile(tmp_path / "x.cf32", "<f4").astype(float)
    integers = np.fromfile(tmp_path / f"x.{suffix}", dtype) - offset
    factor = np.iinfo(dtype).max - offset if offset else -float(np.iinfo(dtype).min)
    expected = floats / np.abs(floats).max() * factor
    assert np.abs(integers - expected).max() <= 1 and np.abs(floats).max() > 10
    said = capsys.readouterr().out.splitlines()
    assert "scaled" not in said[0] and f"scaled by {-20 * np.log10(np.abs(floats).max()):.1f} dB to fit" in said[1]
    assert main(["tx", "hi", "-o", str(tmp_path / f"x.{suffix}")]) == 0  # without noise a frame fits
    assert "scaled" not in capsys.readouterr().out
