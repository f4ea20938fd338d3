"""Figures: what is drawn is what was given; a missing matplotlib is named."""

from __future__ import annotations

import sys

import numpy as np
import pytest

from lora_phy import (
    ChannelParams,
    LinkCounts,
    LinkPoint,
    LoRaParams,
    SymbolCounts,
    WeightedCounts,
    modulate,
    theory,
    transmit,
)
from lora_phy.monte_carlo.collect import LinkResult
from lora_phy.monte_carlo.counts import binomial_interval
from lora_phy.studies.rejection import RejectionMatrix

matplotlib = pytest.importorskip("matplotlib", reason="needs the extra chirpbridge[plot]")
matplotlib.use("agg")
import matplotlib.pyplot as plt  # noqa: E402

from lora_phy import plotting  # noqa: E402

SF7 = LoRaParams(sf=7)


@pytest.fixture(autouse=True)
def _close():
    yield
    plt.close("all")


def result(snr_db, errors, *, sf=7, channel=None, **kind):
    kind = {"sync": "perfect", "decoding": "hard", **kind}
    point = LinkPoint(LoRaParams(sf=sf, ldro=False), channel or ChannelParams(snr_db=snr_db), 16, **kind)
    return LinkResult(point, LinkCounts(frames=100, frame_errors=errors), "bins", 1, "0")


def test_waterfall_draws_points_exact_intervals_and_theory():
    results = [result(-9.0, 20), result(-10.0, 60), result(-7.0, 0), result(-20.0, 0, sf=12)]
    ax = plotting.plot_waterfall(results)
    points, caps, [bars] = ax.containers[0].lines[0], *ax.containers[0].lines[1:]
    assert points.get_xdata().tolist() == [-10.0, -9.0, -7.0]
    assert points.get_ydata()[:2].tolist() == [0.6, 0.2] and np.isnan(points.get_ydata()[2])
    segments = bars.get_segments()
    assert [s[1] for s in segments[1]] == pytest.approx(binomial_interval(20, 100))
    lines = [line for line in ax.lines if len(line.get_xdata()) == 200]
    assert len(lines) == 2
    x, y = lines[0].get_xdata(), lines[0].get_ydata()
    assert y == pytest.approx(theory.per_awgn(LoRaParams(sf=7, ldro=False), 16, x))
    # no errors: an arrow down from the interval's upper end, and no point
    limits = [
        box for box in ax.containers if len(box.lines[0].get_xdata()) == 1 and box.lines[0].get_xdata()[0] == -7.0
    ]
    assert limits[0].lines[0].get_ydata()[0] == pytest.approx(binomial_interval(0, 100)[1])
    assert [line.get_marker() for line in limits[0].lines[1]] == [matplotlib.markers.CARETDOWNBASE]
    assert "no error seen: upper limit" in ax.get_legend_handles_labels()[1]
    assert ax.get_yscale() == "log" and len(caps) == 2


@pytest.mark.parametrize(
    "given",
    [
        {"decoding": "soft"},
        {"sync": "receiver"},
        {"channel": ChannelParams(snr_db=-9.0, fading="rayleigh")},
    ],
)
def test_waterfall_draws_no_theory_where_it_does_not_apply(given):
    ax = plotting.plot_waterfall([result(-9.0, 20, **given)])
    assert not [line for line in ax.lines if len(line.get_xdata()) == 200]


def test_importance_sampling_has_the_interval_of_its_weights():
    weighted = LinkResult(result(-9.0, 0).point, WeightedCounts(100, 2.0, 0.1), "importance", 1, "0")
    box = plotting.plot_waterfall([weighted]).containers[0]
    assert box.lines[0].get_ydata().tolist() == [0.02]
    # two standard deviations of a sum of weights: sqrt(0.1 - 2² / 100) over 2
    low, high = box.lines[2][0].get_segments()[0][:, 1]
    half = 1.959964 * np.sqrt(0.1 - 0.04) / 2
    assert (low, high) == (pytest.approx(0.02 * (1 - half), rel=1e-4), pytest.approx(0.02 * (1 + half), rel=1e-4))


def test_what_differs_is_told_by_colour_marker_and_line():
    """Three spreading factors by coding rate by fading: every series looks different, and the legend says by what."""
    results = [
        LinkResult(
            LinkPoint(LoRaParams(sf=sf, cr=cr), ChannelParams(snr_db=snr_db, fading=fading), 16), LinkCounts(100, 50),
            "waveform", 1, "0",
        )
        for sf in (7, 9, 12) for cr in (1, 4) for fading in (None, "rayleigh") for snr_db in (-9.0, -8.0)
    ]  # fmt: skip
    ax = plotting.plot_waterfall(results)
    assert len(ax.containers) == 12
    points = [box.lines[0] for box in ax.containers]
    looks = {(str(point.get_color()), point.get_marker(), point.get_linestyle()) for point in points}
    assert len(looks) == 12
    assert len({str(point.get_color()) for point in points}) == 3 and len({p.get_marker() for p in points}) == 2
    labels = ax.get_legend_handles_labels()[1]
    assert len(set(labels)) == 12 and labels[0] == "SF7, 4/5, 16 bytes" and "SF12, 4/8, rayleigh, 16 bytes" in labels


def test_ser_draws_points_and_the_theory_of_each_channel():
    channels = (-10.0, ChannelParams(snr_db=-9.0), ChannelParams(snr_db=-9.0, fading="rayleigh"))
    counts = (SymbolCounts(1000, 10), SymbolCounts(1000, 0), SymbolCounts(1000, 300))
    offset = (SF7, ChannelParams(snr_db=-9.0, cfo_hz=50.0), SymbolCounts(1000, 20))
    ax = plotting.plot_ser([*((SF7, channel, count) for channel, count in zip(channels, counts, strict=True)), offset])
    assert ax.get_ylabel() == "symbol error rate"
    curves = [line for line in ax.lines if len(line.get_xdata()) == 200]
    x = curves[0].get_xdata()
    assert len(curves) == 2  # none for a residual offset
    assert curves[0].get_ydata() == pytest.approx(theory.ser_awgn(7, x))
    assert curves[1].get_ydata() == pytest.approx(theory.ser_rayleigh(7, curves[1].get_xdata()))
    labels = ax.get_legend_handles_labels()[1]
    assert labels[:2] == ["SF7", "SF7, rayleigh"] and "SF7, cfo_hz 50" in labels


def test_spectrogram_spans_time_and_band():
    params = LoRaParams(sf=7, oversampling=2)
    iq = transmit(b"hello", params)
    ax = plotting.plot_spectrogram(iq, params, num_times=200)
    left, right, low, high = ax.images[0].get_extent()
    assert (left, right) == (0.0, pytest.approx(1e3 * len(iq) / 250e3))
    assert (low, high) == (-125.0, 125.0)
    level = ax.images[0].get_array()
    assert level.shape[0] == 128 and 200 <= level.shape[1] <= 401
    # the chirps lie in the middle half of twice the bandwidth
    assert level[32:96].max() > level[:20].max() + 10
    with pytest.raises(ValueError, match="'iq' must be a vector"):
        plotting.plot_spectrogram(iq[:5], params)


def test_dechirped_peaks_at_the_symbol():
    ax = plotting.plot_dechirped(modulate([42], SF7), SF7)
    y = ax.lines[0].get_ydata()
    assert int(np.argmax(y)) == 42 and y[42] == pytest.approx(1.0, abs=1e-3)
    with pytest.raises(ValueError, match="one symbol of 128 samples"):
        plotting.plot_dechirped(np.zeros(5), SF7)


def test_margins_are_ordered_as_fading_is():
    ax = plotting.plot_fading_margins((7, 9))
    needed = np.array([line.get_ydata() for line in ax.lines])
    assert np.all(np.diff(needed, axis=0) < 0)
    assert theory.ser_rayleigh(7, needed[0, 0]) == pytest.approx(1e-2, rel=1e-6)


def test_rejection_beside_the_published_table():
    sfs = (6, 7, 8)
    matrix = RejectionMatrix(sfs=sfs, sir_db=np.full((3, 3), -9.0), criterion="ber", target=0.01, num_symbols=1, seed=0)
    ours, croce = plotting.plot_rejection(matrix)
    assert [text.get_text() for text in ours.texts] == ["-9"] * 9
    assert [text.get_text() for text in croce.texts] == ["1", "-8", "-11", "1"]  # SF6 is not in it
    [alone] = plotting.plot_rejection(matrix, published=False)
    assert len(alone.texts) == 9


def test_range_grows_with_sf_and_shrinks_with_loss():
    ax = plotting.plot_range((7, 12))
    reach = np.array([line.get_ydata() for line in ax.lines])
    assert np.all(np.diff(reach, axis=1) > 0) and np.all(np.diff(reach, axis=0) < 0)


def test_recovered_has_a_line_for_each_method():
    rows = [
        {"method": m, "load": k, "recovered": r, "frames": 20}
        for m, k, r in (("sic", 4, 15), ("sic", 2, 20), ("plain", 2, 9))
    ]
    ax = plotting.plot_recovered(rows)
    assert ax.containers[0].lines[0].get_xdata().tolist() == [2.0, 4.0]
    assert ax.containers[1].lines[0].get_ydata().tolist() == [0.45]


def test_a_missing_matplotlib_names_the_extra(monkeypatch):
    monkeypatch.setitem(sys.modules, "matplotlib.pyplot", None)
    with pytest.raises(ImportError, match=r"chirpbridge\[plot\]"):
        plotting.plot_fading_margins((7,))
