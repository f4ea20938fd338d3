"""What recordings of real transmitters leave once a frame made from the definition of a chirp is subtracted.

Fitted: start, carrier, clock, and one complex gain for every eight symbols. Of the energy of a frame, the chip's form
leaves what the noise is; the textbook's leaves most of it.
"""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from closed_form import continuous_phase, frame_chirps, phase_at
from scipy.optimize import minimize

from lora_phy import FrameStatus, receive
from lora_phy.recordings import read_sigmf
from lora_phy.resampling import change_rate

SAMPLES_PER_CHIP = 2
MOST_CHIRPS = 80


def residual_db(
    iq: np.ndarray, chirps: list[tuple[int, float, float]], num_bins: int, start: float, cfo: float, ppm: float
) -> float:
    """Energy left of a frame over its energy, in dB; `iq` at two samples a chip, `cfo` in cycles a chip."""
    total = sum(length for *_, length in chirps)
    first = int(np.ceil(SAMPLES_PER_CHIP * start))
    stretch = iq[first : first + int(SAMPLES_PER_CHIP * total)].astype(np.complex128)
    n = np.arange(len(stretch)) / SAMPLES_PER_CHIP
    edges = np.arange(0, len(stretch), 8 * num_bins * SAMPLES_PER_CHIP)
    sizes = np.diff(np.append(edges, len(stretch)))

    def explained(x: np.ndarray) -> float:
        t = (n + first / SAMPLES_PER_CHIP - start - x[0]) * (1 + x[2] * 1e-6)
        wave = np.exp(2j * np.pi * (phase_at(t, chirps, num_bins) + x[1] * n))
        return -float((np.abs(np.add.reduceat(stretch * wave.conj(), edges)) ** 2 / sizes).sum())

    begin = np.array([0.0, cfo, ppm])
    simplex = begin + np.array([[0, 0, 0], [0.3, 0, 0], [0, 0.1 / num_bins, 0], [0, 0, 2.0]])
    options = {"initial_simplex": simplex, "maxiter": 90, "xatol": 1e-4, "fatol": 1e-3}
    found = minimize(explained, begin, method="Nelder-Mead", options=options)
    return float(10 * np.log10(1 + found.fun / (np.abs(stretch) ** 2).sum()))


def test_the_two_references_agree() -> None:
    chirps = frame_chirps([5, 100, 0], 7, (16, 88), early=1)
    times = np.arange(sum(int(3 * length) for *_, length in chirps)) / 3
    assert np.allclose(np.exp(2j * np.pi * phase_at(times, chirps, 128)), continuous_phase(chirps, 128, 3), atol=1e-6)


@pytest.mark.parametrize(
    ("name", "left"),
    [
        ("seguar_lorawan_sf7_1", -10.0), ("wux_sf7_bw500", -10.0), ("oat4cat_sf11_bw500_ldro_on", -10.0),
        ("unicorn_sf11_nocrc_ldro_off", -7.0),  # 12 dB over the noise of one sample a chip, and clipped
    ],
)  # fmt: skip
def test_a_real_frame_is_the_chip_s_waveform_and_not_the_textbook_s(shared: Path, name: str, left: float) -> None:
    recording = read_sigmf(shared / "captures" / f"{name}.sigmf-meta")
    params = recording.params
    assert params is not None
    turn = np.exp(-2j * np.pi * recording.center_offset_hz / recording.sample_rate_hz * np.arange(len(recording.iq)))
    iq = (recording.iq * turn).astype(np.complex64)
    frames = [f for f in receive(iq, params, sample_rate_hz=recording.sample_rate_hz) if f.status is FrameStatus.OK]
    frame = max(frames, key=lambda item: item.snr_db)
    assert frame.params.waveform == "chip"
    slow = change_rate(iq, recording.sample_rate_hz, SAMPLES_PER_CHIP * params.bandwidth_hz)
    start = (frame.start_sample + frame.sto_samples) * params.bandwidth_hz / recording.sample_rate_hz
    cfo = frame.cfo_hz / params.bandwidth_hz
    residuals = {}
    for form, early in (("chip", 1), ("textbook", 0)):
        chirps = frame_chirps(
            frame.symbols.tolist(), params.sf, frame.sync_symbols, early=early, preamble_len=frame.preamble_len
        )
        residuals[form] = residual_db(slow, chirps[:MOST_CHIRPS], params.num_bins, start, cfo, frame.sfo_ppm)
    assert residuals["chip"] < left, residuals
    assert residuals["textbook"] > -3.0, residuals
