"""Twins: the fused link, the batch modem and the FFT against a few lines of numpy, to 1e-5; the generator's files."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from lora_phy.kernels import codelets, generate_codelets
from lora_phy.kernels.lanes import aligned_empty
from lora_phy.kernels.modem import (
    bin_of_label,
    bit_metrics_batch,
    demodulate_batch,
    magnitudes_batch,
    modulate_batch,
    soft_buffer,
)
from lora_phy.kernels.plans import PLANS
from lora_phy.kernels.randomness import fill_gaussians, new_state
from lora_phy.kernels.select import pipeline
from lora_phy.kernels.tables import buffers, offset_factors, tables

# by default a plan of two passes and one of three; the rest takes a minute to compile
SPREADING_FACTORS = [pytest.param(sf, marks=[] if sf in (5, 7) else pytest.mark.slow) for sf in range(5, 13)]


def chirps(symbols, sf):
    """x_m[n] by its phase, in double precision: reference/phy.md section 2.8."""
    n, m = np.arange(1 << sf), np.asarray(symbols)[..., None]
    size = 1 << sf
    return np.exp(2j * np.pi * (n**2 / (2 * size) + (m / size - 0.5) * n - np.where(n >= size - m, n, 0)))


def spectra(iq, sf):
    return np.fft.fft(iq * chirps([0], sf).conj(), axis=-1)


def labels(sf):
    values = (np.arange(1 << sf) - 1) % (1 << sf)
    return values ^ (values >> 1)


def bit_metrics(magnitudes, sf):
    on = (labels(sf)[:, None] >> np.arange(sf - 1, -1, -1)) & 1 == 1
    return np.stack([magnitudes[:, b].max(1) - magnitudes[:, ~b].max(1) for b in on.T], axis=1)


def link_twin(sf, symbols, gains, cfo_bins, power, state):
    """Received and dechirped spectra of the fused link, from the same random numbers."""
    size, first = 1 << sf, PLANS[sf][0]
    groups = symbols.size // 8
    noise = aligned_empty(symbols.size * size * 2)
    fill_gaussians(state.copy(), power, noise)
    noise = noise.reshape(groups, size // first, first, 2, 8)  # group, j, a, re/im, lane
    noise = (noise[:, :, :, 0] + 1j * noise[:, :, :, 1]).transpose(0, 3, 2, 1).reshape(symbols.size, size)
    turn = np.exp(2j * np.pi * cfo_bins * np.arange(size) / size)
    return spectra(chirps(symbols, sf) * turn * gains[:, None] + noise, sf)


def link_arguments(sf, symbols, gains, cfo_bins, power, seed):
    lanes = aligned_empty(2 * symbols.size)
    rows = lanes.reshape(-1, 2, 8)
    rows[:, 0], rows[:, 1] = gains.real.reshape(-1, 8), gains.imag.reshape(-1, 8)
    return (new_state(seed), symbols, lanes, 16, offset_factors(sf, cfo_bins), power)


@pytest.mark.parametrize("sf", SPREADING_FACTORS)
def test_link_is_chirp_channel_noise_dechirp_fft(sf):
    rng = np.random.default_rng(sf)
    symbols = rng.integers(0, 1 << sf, 32, dtype=np.uint32)
    gains = rng.standard_normal(32) + 1j * rng.standard_normal(32)
    arguments = link_arguments(sf, symbols, gains, 0.3, 2.0**sf / 30.0, seed=sf)
    expected = np.abs(link_twin(sf, symbols, gains, 0.3, 2.0**sf / 30.0, new_state(sf)))

    magnitudes = aligned_empty(32 << sf)
    none = np.zeros(0, np.uint32)
    soft = pipeline("link_soft", sf)
    soft(*arguments, tables(sf), buffers(sf), soft_buffer(sf), none, 0, magnitudes)
    scale = expected.max(axis=1, keepdims=True)
    np.testing.assert_allclose(magnitudes.reshape(32, -1) / scale, expected / scale, atol=1e-5)

    arguments[0][:] = new_state(sf)
    metrics = aligned_empty(32 * sf)
    soft(*arguments, tables(sf), buffers(sf), soft_buffer(sf), bin_of_label(sf), sf, metrics)
    np.testing.assert_allclose(metrics.reshape(32, sf) / scale, bit_metrics(expected, sf) / scale, atol=2e-5)

    for first_row, row_step in ((0, 1), (1, 4)):
        arguments[0][:] = new_state(sf)
        decisions = np.empty(32, np.uint32)
        hard = pipeline("link", sf)
        hard(*arguments, first_row, row_step, tables(sf), buffers(sf), decisions)
        np.testing.assert_array_equal(decisions, expected[:, first_row::row_step].argmax(1) * row_step + first_row)


@pytest.mark.parametrize("sf", SPREADING_FACTORS)
def test_modulate_batch(sf):
    symbols = np.random.default_rng(1).integers(0, 1 << sf, (2, 3, 5))
    iq = modulate_batch(symbols, sf)
    assert iq.dtype == np.complex64
    np.testing.assert_allclose(iq, chirps(symbols, sf).reshape(2, 3, 5 << sf), atol=5e-7)
    np.testing.assert_array_equal(modulate_batch(symbols, sf, conjugate=True), iq.conj())


@pytest.mark.parametrize("sf", SPREADING_FACTORS)
def test_demodulate_batch_hard_and_soft(sf):
    rng = np.random.default_rng(2)
    for count in (1, 7, 8, 21):  # whole and broken groups of eight lanes
        iq = modulate_batch(rng.integers(0, 1 << sf, count), sf)
        iq = (iq + np.sqrt(2.0**sf / 40) * (rng.standard_normal((iq.size, 2)) @ [1, 1j])).astype(np.complex64)
        expected = np.abs(spectra(iq.reshape(count, -1), sf)) / (1 << sf)
        decisions = demodulate_batch(iq, sf)
        assert decisions.dtype == np.int32
        np.testing.assert_array_equal(decisions, expected.argmax(1))
        np.testing.assert_array_equal(demodulate_batch(iq, sf, legal_only=True), expected[:, 1::4].argmax(1) * 4 + 1)
        np.testing.assert_array_equal(demodulate_batch(iq.conj(), sf, conjugate=True), decisions)
        scale = expected.max()
        np.testing.assert_allclose(magnitudes_batch(iq, sf) / scale, expected / scale, atol=1e-5)
        np.testing.assert_allclose(bit_metrics_batch(iq, sf) / scale, bit_metrics(expected, sf) / scale, atol=2e-5)


def test_batch_shapes_and_errors():
    symbols = np.arange(24).reshape(2, 3, 4)
    iq = modulate_batch(symbols, 7)
    assert iq.shape == (2, 3, 512)
    np.testing.assert_array_equal(demodulate_batch(iq, 7), symbols)
    assert magnitudes_batch(iq, 7).shape == (2, 3, 4, 128)
    assert bit_metrics_batch(iq, 7).shape == (2, 3, 4, 7)
    assert demodulate_batch(np.zeros(0, np.complex64), 7).shape == (0,)
    assert modulate_batch(np.zeros(0, int), 7).shape == (0,)
    frozen = iq.copy()
    frozen.flags.writeable = False
    np.testing.assert_array_equal(demodulate_batch(frozen, 7), symbols)
    np.testing.assert_array_equal(demodulate_batch(iq[:, ::2], 7), symbols[:, ::2])
    with pytest.raises(ValueError, match="multiple of 128 samples"):
        demodulate_batch(iq[..., :100], 7)


@pytest.mark.parametrize("sf", SPREADING_FACTORS)
def test_fft(sf):
    rng = np.random.default_rng(3)
    x = rng.standard_normal((2, 8, 1 << sf, 2)) @ [1, 1j]
    lanes, out = aligned_empty(2 * 16 << sf), aligned_empty(2 * 16 << sf)
    view = lanes.reshape(2, 1 << sf, 2, 8)
    view[:, :, 0], view[:, :, 1] = x.real.transpose(0, 2, 1), x.imag.transpose(0, 2, 1)
    pipeline("fft", sf)(lanes, tables(sf), buffers(sf), out)
    y = out.reshape(2, 1 << sf, 2, 8)
    y = (y[:, :, 0] + 1j * y[:, :, 1]).transpose(0, 2, 1)
    expected = np.fft.fft(x)
    np.testing.assert_allclose(y, expected, atol=1e-5 * np.abs(expected).max())


def test_generated_files_are_what_the_generator_writes():
    folder = Path(codelets.__file__).parent
    assert (folder / "codelets.py").read_text(encoding="utf-8") == generate_codelets.codelets_source()
    for sf in PLANS:
        text = (folder / "pipelines" / f"sf{sf}.py").read_text(encoding="utf-8")
        assert text == generate_codelets.pipelines_source(sf)


def test_plans_multiply_to_the_symbol():
    for sf, plan in PLANS.items():
        assert np.prod(plan) == 1 << sf
        assert plan[0] % 4 == 0  # legal bins of reduced-rate symbols are whole rows
