"""Chirps, modulation and demodulation: phases, inverses, both directions, oversampling, soft metrics."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from lora_phy import LoRaParams, decode_symbols, demodulate, encode_payload, modulate, transmit
from lora_phy.frames.transceiver import receive_synchronised
from lora_phy.modem.modulation import KERNEL_SAMPLES, data_start

params_strategy = st.builds(
    LoRaParams, sf=st.integers(5, 9), oversampling=st.sampled_from([1, 2, 3, 4]), inverted_iq=st.booleans()
)


def chirp_by_definition(symbol: int, params: LoRaParams) -> np.ndarray:
    """x_s[n] of the module docstring, straight, in double precision."""
    num_bins, t = params.num_bins, np.arange(params.samples_per_symbol) / params.oversampling
    turns = t**2 / (2 * num_bins) + (symbol / num_bins - 0.5) * t - (t >= num_bins - symbol) * t
    chirp = np.exp(2j * np.pi * turns)
    return chirp.conj() if params.inverted_iq else chirp


@given(params_strategy, st.integers(0, 511))
def test_a_chirp_is_its_definition(params: LoRaParams, symbol: int) -> None:
    symbol %= params.num_bins
    assert np.abs(modulate([symbol], params) - chirp_by_definition(symbol, params)).max() < 2e-6


@pytest.mark.parametrize("sf", [5, 7, 12])
@pytest.mark.parametrize("oversampling", [1, 4, 16])
def test_the_phase_is_continuous_at_every_symbol_edge(sf: int, oversampling: int) -> None:
    """Every chirp starts at phase 0 and would end at a whole turn: t = N gives N/2 + s - N/2 - N turns, an integer."""
    params = LoRaParams(sf=sf, oversampling=oversampling)
    symbols = np.arange(0, params.num_bins, max(1, params.num_bins // 16))
    iq = modulate(symbols, params).reshape(len(symbols), -1)
    assert np.abs(np.angle(iq[:, 0])).max() < 1e-6
    end_frequency = np.where(symbols == 0, 0.5, symbols / params.num_bins - 0.5)  # in bandwidths; 0 never folds
    step = 2 * np.pi * end_frequency / oversampling
    last = np.angle(iq[:, -1] * np.exp(1j * step))
    assert np.abs(last).max() < np.pi / (params.num_bins * oversampling**2) + 1e-5  # half a step of the frequency ramp


@given(params_strategy, st.data())
def test_demodulation_inverts_modulation(params: LoRaParams, data: st.DataObject) -> None:
    shape = data.draw(st.sampled_from([(4,), (2, 3), (2, 1, 2)]))
    rng = np.random.default_rng(data.draw(st.integers(0, 2**32 - 1)))
    symbols = rng.integers(0, params.num_bins, size=shape)
    iq = modulate(symbols, params)
    assert iq.shape == (*shape[:-1], shape[-1] * params.samples_per_symbol)
    assert iq.dtype == np.complex64
    assert np.abs(np.abs(iq) - 1).max() < 1e-5
    hard = demodulate(iq, params)
    assert hard.dtype == np.int32
    assert np.array_equal(hard, symbols)
    bins = demodulate(iq, params, soft="bins")
    assert bins.shape == (*shape, params.num_bins)
    assert np.array_equal(bins.argmax(axis=-1), symbols)
    metrics = demodulate(iq, params, soft=True)
    labels = (symbols - 1) % params.num_bins
    labels ^= labels >> 1
    bits = labels[..., np.newaxis] >> np.arange(params.sf - 1, -1, -1) & 1
    assert np.array_equal(metrics > 0, bits.astype(bool))


def test_batches_are_independent_rows() -> None:
    params = LoRaParams(sf=7, oversampling=2)
    rng = np.random.default_rng(1)
    iq = (rng.normal(size=(3, 5 * 256)) + 1j * rng.normal(size=(3, 5 * 256))).astype(np.complex64)
    together = demodulate(iq, params, soft="bins")
    for row in range(3):
        assert np.allclose(demodulate(iq[row], params, soft="bins"), together[row], rtol=1e-5, atol=1e-6)


def test_the_input_is_left_alone() -> None:
    params = LoRaParams(sf=7)
    iq = modulate([1, 2, 3], params)
    before = iq.copy()
    demodulate(iq, params, soft="bins")
    assert np.array_equal(iq, before)


def test_exact_metrics_are_log_likelihood_ratios() -> None:
    """Against a direct sum over all symbol values in double precision."""
    from scipy.special import ive

    params, snr_db = LoRaParams(sf=5), -3.0
    rng = np.random.default_rng(3)
    noise = 10 ** (-snr_db / 10)
    iq = modulate(rng.integers(0, 32, 6), params)
    iq = iq + np.sqrt(noise / 2) * (rng.normal(size=iq.shape) + 1j * rng.normal(size=iq.shape))
    exact = demodulate(iq, params, soft=True, snr_db=snr_db)
    x = np.stack([chirp_by_definition(s, params) for s in range(32)])
    z = np.abs(iq.reshape(6, 32) @ x.conj().T)
    log_likelihood = np.log(ive(0, 2 * z / noise)) + 2 * z / noise
    labels = (np.arange(32) - 1) % 32
    labels ^= labels >> 1
    for bit in range(5):
        one = (labels >> (4 - bit) & 1).astype(bool)
        expected = np.log(np.exp(log_likelihood)[:, one].sum(axis=1) / np.exp(log_likelihood)[:, ~one].sum(axis=1))
        assert np.allclose(exact[:, bit], expected, rtol=1e-4, atol=1e-4)


@pytest.mark.parametrize("sf", range(5, 13))
@pytest.mark.parametrize("inverted_iq", [False, True])
def test_a_frame_round_trips_in_both_directions(sf: int, inverted_iq: bool) -> None:
    params = LoRaParams(sf=sf, cr=2, inverted_iq=inverted_iq)
    iq = transmit(b"chirp", params)
    assert receive_synchronised(iq, params).payload == b"chirp"
    opposite = transmit(b"chirp", LoRaParams(sf=sf, cr=2, inverted_iq=not inverted_iq))
    assert np.allclose(iq, opposite.conj(), atol=1e-6)


@pytest.mark.parametrize(
    ("sync_word", "sf", "symbols"),
    [(0x12, 7, (8, 16)), (0x34, 7, (24, 32)), (0x2B, 7, (16, 88)), (0xFF, 5, (24, 24)), (0x00, 8, (0, 0))],
)
def test_sync_words(sync_word: int, sf: int, symbols: tuple[int, int]) -> None:
    params = LoRaParams(sf=sf, sync_word=sync_word)
    assert params.sync_symbols == symbols
    length = params.samples_per_symbol
    sync = transmit(b"", params)[8 * length : 10 * length]
    assert tuple(demodulate(sync, params)) == symbols


def test_the_sx126x_sends_two_more_upchirps_at_sf5_and_sf6() -> None:
    for sf in (5, 6):
        old = LoRaParams(sf=sf, variant="sx127x", waveform="textbook")
        new = replace(old, variant="sx126x")
        assert data_start(new) - data_start(old) == 2 * new.samples_per_symbol
        start = data_start(new) - 2 * new.samples_per_symbol
        extra = transmit(b"x", new)[start : data_start(new)]
        assert demodulate(extra, new).tolist() == [0, 0]


def test_a_fractional_carrier_offset_of_either_sign_moves_no_symbol() -> None:
    """A known fault elsewhere: truncating instead of rounding loses every frame with a positive offset."""
    params = LoRaParams(sf=8)
    payload = bytes(range(20))
    iq = modulate(encode_payload(payload, params), params)
    n = np.arange(len(iq))
    for bins in (-0.3, 0.3):
        shifted = iq * np.exp(2j * np.pi * bins / params.num_bins * n)
        assert decode_symbols(demodulate(shifted, params), params).payload == payload


def test_bad_arguments_are_named() -> None:
    params = LoRaParams(sf=7)
    with pytest.raises(ValueError, match=r"'symbols' must be in \[0, 128\) \(got 128\)"):
        modulate([0, 128], params)
    with pytest.raises(ValueError, match=r"\(got -1\)"):
        modulate([-1], params)
    with pytest.raises(TypeError, match="integers"):
        modulate([0.5], params)
    with pytest.raises(ValueError, match="whole symbols of 128 samples"):
        demodulate(np.zeros(100, dtype=np.complex64), params)
    with pytest.raises(ValueError, match="'sync_word'"):
        transmit(b"", LoRaParams(sf=7, sync_word=None))


@pytest.mark.parametrize("fill", [0.0, np.nan, np.inf])
def test_damaged_samples_do_not_raise(fill: float) -> None:
    params = LoRaParams(sf=7)
    iq = np.full(60 * 128, fill, dtype=np.complex64)
    with np.errstate(all="ignore"):
        assert receive_synchronised(iq, params).payload is not None
        assert receive_synchronised(iq, params, soft=False).payload is not None


@pytest.mark.parametrize("dtype", [np.int8, np.uint8, np.uint16, np.uint64])
def test_narrow_symbol_types_do_not_overflow_in_sample_positions(dtype: type) -> None:
    params = LoRaParams(sf=8, oversampling=8)
    symbols = np.array([0, 1, 100, 127], dtype=dtype)
    assert np.array_equal(modulate(symbols, params), modulate(symbols.tolist(), params))


@pytest.mark.parametrize("soft", ["hard", "bits", 1, 0, None])
def test_an_unknown_kind_of_decision_is_named(soft: object) -> None:
    with pytest.raises(ValueError, match="'soft' must be False, True or 'bins'"):
        demodulate(np.zeros(128, np.complex64), LoRaParams(sf=7), soft=soft)  # type: ignore[call-overload]


@pytest.mark.parametrize("inverted_iq", [False, True])
def test_long_arrays_take_the_kernels_and_give_the_same(inverted_iq: bool) -> None:
    """At and above `KERNEL_SAMPLES` compiled kernels work; halves of the same array are below it."""
    params = LoRaParams(sf=7, inverted_iq=inverted_iq)
    rng = np.random.default_rng(11)
    symbols = rng.integers(0, 128, KERNEL_SAMPLES // 128)
    halves = np.array_split(symbols, 2)
    clean = modulate(symbols, params)
    assert np.abs(clean - np.concatenate([modulate(half, params) for half in halves])).max() < 2e-6
    noisy = clean + (rng.normal(size=clean.shape) + 1j * rng.normal(size=clean.shape)).astype(np.complex64)
    for soft in (True, "bins"):
        whole = demodulate(noisy, params, soft=soft)
        parts = np.concatenate([demodulate(half, params, soft=soft) for half in np.split(noisy, 2)])
        assert np.abs(whole - parts).max() < 1e-5 * np.abs(parts).max()
    assert np.array_equal(demodulate(noisy, params), demodulate(noisy, params, soft="bins").argmax(axis=-1))
    damaged = np.full(KERNEL_SAMPLES, np.nan, dtype=np.complex64)
    assert np.all(demodulate(damaged, params) < 128)
