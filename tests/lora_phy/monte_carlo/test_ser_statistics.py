"""Simulated symbol error rates against the exact forms: modulate -> apply_channel -> demodulate.

Every comparison is an exact binomial test of false-alarm probability `FALSE_ALARM`, at the smallest number of symbols
with which it would also *notice* a shift of the SNR by `shift_db` either way with probability `POWER`. That number is
computed from the exact curves, and the test asserts it of itself: a test that cannot fail shows nothing.
"""

from __future__ import annotations

import math
from collections.abc import Callable

import numpy as np
import pytest
from scipy import stats

from lora_phy import FrameStatus, LoRaParams, decode_symbols, demodulate, encode_payload, modulate, theory
from lora_phy.channel import ChannelParams, apply_channel

FALSE_ALARM = 1e-6
POWER = 0.99
SAMPLES_AT_ONCE = 1 << 18

Curve = Callable[[float], np.ndarray]


def acceptance(num_symbols: int, ser: float) -> tuple[int, int]:
    """Error counts that agree with `ser`: outside lies at most FALSE_ALARM, half on either side."""
    low = int(stats.binom.ppf(FALSE_ALARM / 2, num_symbols, ser))
    high = int(stats.binom.isf(FALSE_ALARM / 2, num_symbols, ser))
    return low, high


def power_against(num_symbols: int, curve: Curve, snr_db: float, shift_db: float) -> float:
    """Probability that a link whose SNR is off by `shift_db` is noticed, the weaker of both directions."""
    low, high = acceptance(num_symbols, float(curve(snr_db)))
    noticed = []
    for shifted in (snr_db - shift_db, snr_db + shift_db):
        ser = float(curve(shifted))
        noticed.append(stats.binom.cdf(low - 1, num_symbols, ser) + stats.binom.sf(high, num_symbols, ser))
    return min(noticed)


def symbols_needed(curve: Curve, snr_db: float, shift_db: float) -> int:
    """Symbols with which `power_against` reaches POWER, to within one part in 64."""
    low, high = 1, 64
    while power_against(high, curve, snr_db, shift_db) < POWER:
        low, high = high, 2 * high
    while high - low > max(1, high // 64):
        middle = (low + high) // 2
        low, high = (low, middle) if power_against(middle, curve, snr_db, shift_db) >= POWER else (middle, high)
    return high


def count_errors(params: LoRaParams, channel: ChannelParams, num_symbols: int, seed: int) -> int:
    """One row a symbol: fading is drawn anew for each."""
    rng = np.random.default_rng(seed)
    block = SAMPLES_AT_ONCE // params.samples_per_symbol
    errors = 0
    for start in range(0, num_symbols, block):
        sent = rng.integers(0, params.num_bins, (min(block, num_symbols - start), 1))
        heard = apply_channel(modulate(sent, params), channel, params, rng=rng)
        errors += int(np.count_nonzero(demodulate(heard, params) != sent))
    return errors


def check(
    params: LoRaParams, fading: dict[str, object], curve: Curve, snr_db: float, shift_db: float, at_least: int = 0
) -> None:
    num_symbols = max(at_least, symbols_needed(curve, snr_db, shift_db))
    ser = float(curve(snr_db))
    assert power_against(num_symbols, curve, snr_db, shift_db) >= POWER - 0.01  # the power is a saw-tooth in the number
    channel = ChannelParams(snr_db=snr_db, **fading)  # type: ignore[arg-type]
    errors = count_errors(params, channel, num_symbols, seed=1000 * params.sf + int(-math.log2(ser) * 10))
    low, high = acceptance(num_symbols, ser)
    print(
        f"sf={params.sf} R={params.oversampling} {fading} snr_db={snr_db:.3f} theory={ser:.5e}"
        f" simulated={errors / num_symbols:.5e} n={num_symbols} errors={errors} accepted=[{low}, {high}]"
        f" notices {shift_db} dB"
    )
    assert low <= errors <= high


def awgn(sf: int) -> Curve:
    return lambda snr_db: theory.ser_awgn(sf, snr_db)


SHORT = {1e-2: (0.1, 0.15, 0.2, 0.25, 0.35, 0.5), 1e-3: (0.3, 0.3, 0.4, 0.5, 0.6, 0.8)}  # dB noticed, SF7…SF12


@pytest.mark.parametrize("sf", range(7, 13))
@pytest.mark.parametrize("target", [1e-2, 1e-3])
def test_awgn(sf: int, target: float) -> None:
    """The short form: 0.1 dB would show at SF7 and SER 1e-2, less elsewhere."""
    snr_db = theory.required_snr_db(awgn(sf), target)
    check(LoRaParams(sf=sf), {}, awgn(sf), snr_db, SHORT[target][sf - 7])


@pytest.mark.slow
@pytest.mark.timeout(3600)
@pytest.mark.parametrize("sf", range(7, 13))
@pytest.mark.parametrize("target", [1e-2, 1e-3])
def test_awgn_so_that_a_tenth_of_a_decibel_would_show(sf: int, target: float) -> None:
    snr_db = theory.required_snr_db(awgn(sf), target)
    check(LoRaParams(sf=sf), {}, awgn(sf), snr_db, 0.1)


def test_awgn_oversampled_and_inverted() -> None:
    """The noise convention: at R samples a chip the same curve, less nothing for a matched filter over the full band.

    At R > 1 chirps of different symbols are no longer exactly orthogonal, so theory is met to 0.2 dB only.
    """
    params = LoRaParams(sf=7, oversampling=4, inverted_iq=True)
    snr_db = theory.required_snr_db(awgn(7), 1e-2)
    num_symbols = symbols_needed(awgn(7), snr_db, 0.2)
    errors = count_errors(params, ChannelParams(snr_db=snr_db), num_symbols, seed=4)
    low = acceptance(num_symbols, float(awgn(7)(snr_db + 0.2)))[0]
    high = acceptance(num_symbols, float(awgn(7)(snr_db - 0.2)))[1]
    assert low <= errors <= high


FADING = {
    "rayleigh": ({"fading": "rayleigh"}, lambda sf: lambda s: theory.ser_rayleigh(sf, s)),
    "rician": ({"fading": "rician", "k_factor_db": 6.0}, lambda sf: lambda s: theory.ser_rician(sf, s, 6.0)),
    "nakagami": ({"fading": "nakagami", "nakagami_m": 2.0}, lambda sf: lambda s: theory.ser_nakagami(sf, s, 2.0)),
}


@pytest.mark.parametrize("kind", list(FADING))
@pytest.mark.parametrize(("sf", "shift_db"), [(7, 0.4), (9, 0.7), (12, 2.0)])
def test_fading(kind: str, sf: int, shift_db: float) -> None:
    """The short form, at a SER of 0.2."""
    fading, family = FADING[kind]
    snr_db = theory.required_snr_db(family(sf), 0.2)
    check(LoRaParams(sf=sf), fading, family(sf), snr_db, shift_db)


@pytest.mark.slow
@pytest.mark.timeout(3600)
@pytest.mark.parametrize("kind", ["rayleigh", "rician"])
@pytest.mark.parametrize("sf", range(7, 13))
@pytest.mark.parametrize("target", [0.5, 0.2, 0.1])
def test_fading_with_a_million_symbols(kind: str, sf: int, target: float) -> None:
    """At least 10^6 symbols, so that 0.1 dB shows: fading curves are flat, and below SER 0.1 it takes 10^7 symbols."""
    fading, family = FADING[kind]
    snr_db = theory.required_snr_db(family(sf), target)
    check(LoRaParams(sf=sf), fading, family(sf), snr_db, 0.1, at_least=1_000_000)


@pytest.mark.parametrize("cr", [1, 3, 4])
def test_packets_of_hard_decoding(cr: int) -> None:
    """`per_awgn` against whole frames, hard decisions over the legal bins: within 0.1 dB, exact bounds at either end.

    The block-exact form treats the bits of a wrong symbol as independent coin tosses, which costs it up to 0.06 dB.
    """
    params, num_frames = LoRaParams(sf=7, cr=cr), 700
    snr_db = theory.required_snr_db(lambda s: theory.per_awgn(params, 16, s), 0.2)
    rng = np.random.default_rng(cr)
    lost = 0
    for _ in range(num_frames):
        payload = rng.bytes(16)
        sent = encode_payload(payload, params)
        heard = apply_channel(modulate(sent, params), ChannelParams(snr_db=snr_db), params, rng=rng)
        bins = demodulate(heard, params, soft="bins")
        decided = np.argmax(bins, axis=-1)
        decided[:8] = 4 * np.argmax(bins[:8, 1::4], axis=-1) + 1
        decoded = decode_symbols(decided, params)
        lost += decoded.payload != payload or decoded.status != FrameStatus.OK
    low = acceptance(num_frames, float(theory.per_awgn(params, 16, snr_db + 0.1)))[0]
    high = acceptance(num_frames, float(theory.per_awgn(params, 16, snr_db - 0.1)))[1]
    print(f"cr={cr} snr_db={snr_db:.2f} lost={lost} of {num_frames}, theory 0.2, accepted [{low}, {high}]")
    assert low <= lost <= high
