"""Laws of the modem: symbols to synchronised chirps and back, without framing."""

from __future__ import annotations

import numpy as np
import scipy.stats

from lora_phy.conformance.adapter import Adapter
from lora_phy.conformance.definition import continuous_phase
from lora_phy.params import LoRaParams

FALSE_ALARM = 1e-9
SER_SF7_MINUS_11_DB = 1.008854e-1
"""Non-coherent detection among 128 orthogonal signals, exact; 0.1008854 at -11 dB in the bandwidth."""


def chirps_are_their_definition(adapter: Adapter, params: LoRaParams, symbols: list[int]) -> None:
    """`modulate` gives chirps of constant power whose frequency wraps from the top of the band to the bottom."""
    iq = np.asarray(adapter.call("modulate", np.array(symbols), params), np.complex128)
    length = params.samples_per_symbol
    assert iq.shape == (len(symbols) * length,), f"{iq.shape} samples for {len(symbols)} symbols of {length}"
    for i, s in enumerate(symbols):
        chirp = continuous_phase([(1, s, params.num_bins)], params.num_bins, params.oversampling)
        chirp = chirp.conj() if params.inverted_iq else chirp
        part = iq[i * length : (i + 1) * length]
        likeness = abs(np.vdot(chirp, part)) / (np.linalg.norm(chirp) * max(float(np.linalg.norm(part)), 1e-12))
        assert likeness > 0.999, f"symbol {s} at {i}: {likeness:.3f} of its chirp"
        assert np.allclose(np.abs(part), 1.0, atol=1e-2), f"symbol {s} at {i}: magnitudes from {np.abs(part).min():.3f}"


def demodulation_undoes_modulation(adapter: Adapter, params: LoRaParams, symbols: list[int]) -> None:
    """`demodulate(modulate(symbols))` is the symbols, at any oversampling and in either direction."""
    found = adapter.call("demodulate", adapter.call("modulate", np.array(symbols), params), params)
    assert [int(s) for s in found] == symbols, f"{list(map(int, found))} for {symbols}"


def definition_is_demodulated(
    adapter: Adapter, params: LoRaParams, symbols: list[int], offset: float, gain_db: float
) -> None:
    """Chirps by their definition are read, also off by up to 0.4 bins of either sign, turned, loud or soft."""
    iq = continuous_phase([(1, s, params.num_bins) for s in symbols], params.num_bins, params.oversampling)
    iq = iq.conj() if params.inverted_iq else iq
    cycles = offset / (params.num_bins * params.oversampling)
    heard = 10 ** (gain_db / 20) * iq * np.exp(2j * np.pi * (cycles * np.arange(len(iq)) + 0.3))
    found = adapter.call("demodulate", heard.astype(np.complex64), params)
    assert [int(s) for s in found] == symbols, f"{offset:+.2f} bins: {list(map(int, found))} for {symbols}"


def errors_are_those_of_theory(adapter: Adapter, oversampling: int) -> None:
    """In white noise hard decisions are wrong as often as theory says (within 0.2 dB above one sample a chip)."""
    params = LoRaParams(sf=7, oversampling=oversampling)
    rng = np.random.default_rng(7)
    sent = rng.integers(0, 128, 4000)
    iq = continuous_phase([(1, int(s), 128) for s in sent], 128, oversampling)
    power = oversampling * 10**1.1
    noise = rng.standard_normal(len(iq)) + 1j * rng.standard_normal(len(iq))
    heard = (iq + np.sqrt(power / 2) * noise).astype(np.complex64)
    errors = int(np.count_nonzero(np.asarray(adapter.call("demodulate", heard, params)) != sent))
    low = int(scipy.stats.binom.ppf(FALSE_ALARM / 2, len(sent), SER_SF7_MINUS_11_DB))
    # 0.2 dB at this point are 18 % more errors
    most = SER_SF7_MINUS_11_DB * (1.18 if oversampling > 1 else 1.0)
    high = int(scipy.stats.binom.isf(FALSE_ALARM / 2, len(sent), most))
    assert low <= errors <= high, f"{errors} of {len(sent)} symbols wrong at -11 dB, expected {low} to {high}"
