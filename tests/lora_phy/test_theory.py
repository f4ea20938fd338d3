"""Theory against big-number sums, the published tables and its own limits."""

from __future__ import annotations

import math
from collections.abc import Callable
from decimal import Decimal, localcontext

import numpy as np
import pytest
from scipy import integrate, special

from lora_phy import theory
from lora_phy.params import LoRaParams

# reference tables: SNR dB -> SER, non-coherent, AWGN (600-node quadrature checked against 400-digit sums)
SER_TABLE = {
    5: {-8: 3.049720e-01, -5: 4.750554e-02, -3: 3.638322e-03, -2: 5.269284e-04, -1: 4.265704e-05},
    6: {-10: 2.620865e-01, -8: 7.103119e-02, -6: 6.145983e-03, -5: 9.392923e-04, -4: 7.928346e-05},
    7: {-13: 3.325627e-01, -11: 1.008854e-01, -9: 9.919715e-03, -8: 1.610674e-03, -7: 1.430203e-04},
    8: {-16: 4.053757e-01, -14: 1.371314e-01, -12: 1.536602e-02, -11: 2.664080e-03, -10: 2.507488e-04},
    9: {-18: 3.220831e-01, -16: 7.672325e-02, -15: 2.292140e-02, -14: 4.257739e-03, -13: 4.273646e-04},
    10: {-21: 3.862539e-01, -19: 1.032703e-01, -18: 3.302358e-02, -17: 6.585630e-03, -16: 7.081313e-04},
    11: {-24: 4.510289e-01, -22: 1.347200e-01, -21: 4.607946e-02, -20: 9.874810e-03, -19: 1.141105e-03},
    12: {-27: 5.147000e-01, -25: 1.708685e-01, -24: 6.243333e-02, -23: 1.437934e-02, -22: 1.789410e-03},
}
# SNR at SER 1e-1, 1e-2, 1e-3, 1e-4, 1e-5, 1e-6; BER 1e-5; coherent 1e-3, 1e-5; legal bins 1e-3, 1e-5
SNR_TABLE = {
    5: (-5.90, -3.66, -2.303, -1.31, -0.521, 0.14, -0.732, -3.10, -1.12, -2.98, -0.99),
    6: (-8.41, -6.31, -5.029, -4.08, -3.326, -2.69, -3.534, -5.78, -3.91, -5.63, -3.75),
    7: (-10.99, -9.01, -7.780, -6.87, -6.145, -5.53, -6.348, -8.49, -6.70, -8.32, -6.54),
    8: (-13.61, -11.73, -10.550, -9.68, -8.974, -8.38, -9.171, -11.23, -9.51, -11.05, -9.35),
    9: (-16.28, -14.47, -13.336, -12.49, -11.813, -11.24, -12.004, -13.98, -12.33, -13.80, -12.17),
    10: (-18.97, -17.23, -16.136, -15.32, -14.659, -14.10, -14.845, -16.75, -15.16, -16.57, -15.00),
    11: (-21.68, -20.01, -18.948, -18.16, -17.513, -16.97, -17.694, -19.54, -18.00, -19.36, -17.83),
    12: (-24.42, -22.80, -21.771, -21.00, -20.374, -19.84, -20.551, -22.34, -20.84, -22.16, -20.68),
}
# SNR at SER 1e-2 for SF7..12
RICIAN_TABLE = {
    10: (-6.11, -8.74, -11.39, -14.08, -16.78, -19.51),
    6: (-1.75, -4.29, -6.87, -9.49, -12.14, -14.82),
    3: (2.57, 0.08, -2.47, -5.06, -7.69, -10.35),
    0: (4.94, 2.45, -0.09, -2.68, -5.31, -7.97),
}
# SNR at PER 10 % and 1 %, 16 bytes, explicit header, CRC, automatic LDRO, 4/5 and 4/7
PER_TABLE = {
    7: (-8.56, -7.44, -9.91, -9.02),
    8: (-11.37, -10.28, -12.62, -11.77),
    9: (-14.23, -13.15, -15.38, -14.55),
    10: (-17.01, -15.97, -18.13, -17.32),
    11: (-20.25, -19.17, -21.32, -20.50),
    12: (-23.08, -22.03, -24.09, -23.29),
}


def snr_at(target: float, curve: Callable[..., np.ndarray], link: object, *rest: float) -> float:
    return theory.required_snr_db(lambda snr_db: curve(link, snr_db, *rest), target)


def per_16_bytes(params: LoRaParams, snr_db: float) -> np.ndarray:
    return theory.per_awgn(params, 16, snr_db)


def ser_legal_bins(sf: int, snr_db: float) -> np.ndarray:
    return theory._ser_rice(2**sf // 4, theory._esn0(sf, snr_db), math.inf)


def exact_sum(num_bins: int, g: float, k_factor: float | None = None, digits: int = 400) -> Decimal:
    """The alternating sum of the textbooks in `digits`-digit arithmetic; Rician with `k_factor`."""
    with localcontext() as context:
        context.prec = digits
        total, energy = Decimal(0), Decimal(g)
        for k in range(1, num_bins):
            if k_factor is None:
                term = (-Decimal(k) * energy / (k + 1)).exp() / (k + 1)
            else:
                factor = Decimal(k_factor)
                denominator = 1 + factor + k * (1 + factor + energy)
                term = (1 + factor) / denominator * (-k * factor * energy / denominator).exp()
            total += (-1) ** (k + 1) * math.comb(num_bins - 1, k) * term
        return total


@pytest.mark.parametrize("sf", range(5, 13))
def test_ser_awgn_agrees_with_the_reference_values(sf: int) -> None:
    snr_db = list(SER_TABLE[sf])
    np.testing.assert_allclose(theory.ser_awgn(sf, snr_db), list(SER_TABLE[sf].values()), rtol=5.1e-7)


@pytest.mark.parametrize("sf", [5, 6, 7, 8, 9])
@pytest.mark.parametrize("target", [0.5, 1e-3, 1e-9, 1e-15])
def test_ser_awgn_agrees_with_the_alternating_sum_down_to_1e_15(sf: int, target: float) -> None:
    snr_db = round(snr_at(target, theory.ser_awgn, sf), 2)
    expected = float(exact_sum(2**sf, 2.0**sf * 10 ** (snr_db / 10)))
    assert theory.ser_awgn(sf, snr_db) == pytest.approx(expected, rel=1e-10)


@pytest.mark.slow
@pytest.mark.timeout(3600)
@pytest.mark.parametrize(("sf", "targets"), [(10, (0.5, 1e-3, 1e-15)), (11, (0.5, 1e-3, 1e-15)), (12, (1e-15,))])
def test_ser_awgn_agrees_with_the_alternating_sum_at_high_sf(sf: int, targets: tuple[float, ...]) -> None:
    """Binomials of 4095 have 1231 digits, which cancel to 15."""
    for target in targets:
        snr_db = round(snr_at(target, theory.ser_awgn, sf), 2)
        expected = float(exact_sum(2**sf, 2.0**sf * 10 ** (snr_db / 10), digits=1300))
        assert theory.ser_awgn(sf, snr_db) == pytest.approx(expected, rel=1e-10)


def test_rates_fall_to_the_union_bound_and_below_the_smallest_double() -> None:
    """Far out the union bound (M-1)/2 exp(-g/2) is exact to the probability of two rivals, here below exp(-40)."""
    for sf in (5, 9, 12):
        g = np.array([300.0, 700.0, 1200.0])
        union = (2**sf - 1) / 2 * np.exp(-g / 2)
        np.testing.assert_allclose(theory.ser_awgn(sf, 10 * np.log10(g / 2**sf)), union, rtol=1e-9)
        assert theory.ser_awgn(sf, 40.0) == 0.0


@pytest.mark.parametrize("sf", range(5, 13))
def test_snr_table(sf: int) -> None:
    curves = [(theory.ser_awgn, 10.0**-e) for e in range(1, 7)]
    curves += [(theory.ber_awgn, 1e-5)]
    curves += [(curve, target) for curve in (theory.ser_awgn_coherent, ser_legal_bins) for target in (1e-3, 1e-5)]
    decimals = [2, 2, 3, 2, 3, 2, 3, 2, 2, 2, 2]
    for (curve, target), expected, places in zip(curves, SNR_TABLE[sf], decimals, strict=True):
        # the table is rounded, from values good to a tenth of its last digit
        assert snr_at(target, curve, sf) == pytest.approx(expected, abs=0.6 * 10.0**-places)


def test_rayleigh_reference_values() -> None:
    expected = {7: (3.222572e-01, 4.113775e-02, 4.225781e-03), 9: (1.221227e-01, 1.319283e-02, 1.329793e-03)}
    expected[12] = (2.142535e-02, 2.168663e-03, 2.171303e-04)
    for sf, values in expected.items():
        np.testing.assert_allclose(theory.ser_rayleigh(sf, [-10, 0, 10]), values, rtol=5.1e-7)
    for sf, snr_db in zip(range(7, 13), (6.24, 3.76, 1.21, -1.38, -4.00, -6.66), strict=True):
        assert snr_at(1e-2, theory.ser_rayleigh, sf) == pytest.approx(snr_db, abs=0.006)
    for sf, snr_db in zip(range(7, 13), (16.27, 13.78, 11.24, 8.65, 6.02, 3.37), strict=True):
        assert snr_at(1e-3, theory.ser_rayleigh, sf) == pytest.approx(snr_db, abs=0.006)


def test_rayleigh_keeps_its_digits_at_high_snr() -> None:
    """Small a: Ps = a H_{M-1} (1 - O(a)); a difference of log-gammas would be noise here."""
    for sf in (7, 12):
        a = 1 / (1 + 2.0**sf * 1e13)
        harmonic = sum(1 / k for k in range(1, 2**sf))
        assert theory.ser_rayleigh(sf, 130.0) == pytest.approx(a * harmonic, rel=1e-12)


def test_rician_reference_values_and_limits() -> None:
    assert theory.ser_rician(5, 10 * math.log10(20 / 32), 10 * math.log10(3)) == pytest.approx(0.0806173600, rel=1e-8)
    for k_factor_db, row in RICIAN_TABLE.items():
        for sf, expected in zip(range(7, 13), row, strict=True):
            found = snr_at(1e-2, theory.ser_rician, sf, k_factor_db)
            assert found == pytest.approx(expected, abs=0.006)
    for sf in (5, 7, 12):
        for snr_db in (-30.0, -10.0, 5.0, 40.0):
            rayleigh = theory.ser_rayleigh(sf, snr_db)
            assert theory.ser_rician(sf, snr_db, -math.inf) == rayleigh
            assert theory.ser_rician(sf, snr_db, -200.0) == pytest.approx(rayleigh, rel=1e-9)
            assert theory.ser_rician(sf, snr_db, math.inf) == theory.ser_awgn(sf, snr_db)


@pytest.mark.parametrize("k_factor", [0.1, 1.0, 10.0, 100.0])
def test_rician_agrees_with_the_alternating_sum(k_factor: float) -> None:
    for sf, g in ((5, 3.0), (7, 30.0), (7, 1000.0), (8, 60.0)):
        expected = float(exact_sum(2**sf, g, k_factor))
        found = theory.ser_rician(sf, 10 * math.log10(g / 2**sf), 10 * math.log10(k_factor))
        assert found == pytest.approx(expected, rel=1e-9)


def test_nakagami_meets_its_two_neighbours() -> None:
    snr_db = np.array([-15.0, -5.0, 5.0, 25.0])
    np.testing.assert_allclose(theory.ser_nakagami(7, snr_db, 1.0), theory.ser_rayleigh(7, snr_db), rtol=1e-9)
    for m in (
        0.5,
        2.5,
    ):  # the AWGN curve averaged over the gains, by an integrator that knows nothing of Bessel functions
        for snr in (-10.0, -5.0):
            mean, _ = integrate.quad(
                lambda q, m=m, snr=snr: theory.ser_awgn(7, snr + 10 * math.log10(special.gammaincinv(m, q) / m)),
                0.0, 1.0, limit=200,
            )  # fmt: skip
            assert theory.ser_nakagami(7, snr, m) == pytest.approx(mean, rel=1e-6)
    assert snr_at(1e-3, theory.ser_nakagami, 7, 100.0) == pytest.approx(snr_at(1e-3, theory.ser_awgn, 7), abs=1.0)


@pytest.mark.parametrize("sf", range(7, 13))
def test_per_table(sf: int) -> None:
    for cr, columns in ((1, PER_TABLE[sf][:2]), (3, PER_TABLE[sf][2:])):
        params = LoRaParams(sf=sf, cr=cr)
        for target, expected in zip((0.1, 0.01), columns, strict=True):
            found = snr_at(target, per_16_bytes, params)
            assert found == pytest.approx(expected, abs=0.006)


def test_per_sf7_every_coding_rate() -> None:
    table = {1: (-9.82, -8.56, -7.44), 2: (-9.82, -8.56, -7.44), 3: (-10.90, -9.91, -9.02), 4: (-10.81, -9.84, -8.97)}
    for cr, row in table.items():
        params = LoRaParams(sf=7, cr=cr)
        for target, expected in zip((0.5, 0.1, 0.01), row, strict=True):
            found = snr_at(target, per_16_bytes, params)
            assert found == pytest.approx(expected, abs=0.006)


def test_per_by_hand_for_one_block() -> None:
    """Implicit header, no CRC, 2 bytes at SF7: four of five codewords of one 4/8 block over the M/4 alphabet."""
    params = LoRaParams(sf=7, explicit_header=False, crc=False, cr=1)
    ps = float(ser_legal_bins(7, -9.0))
    expected = 0.0
    for k in range(2, 9):
        survives = ((1 + k) + math.comb(k, 2) * 6 / 28) / 2**k
        expected += math.comb(8, k) * ps**k * (1 - ps) ** (8 - k) * (1 - survives**4)
    assert theory.per_awgn(params, 2, -9.0) == pytest.approx(expected, rel=1e-12)


def test_per_is_total_and_monotone() -> None:
    snr_db = np.linspace(-40.0, 20.0, 61)
    for sf in (5, 6, 7, 12):
        for variant in ("sx126x", "sx127x"):
            for cr in (1, 2, 3, 4):
                for explicit_header in (True, False):
                    params = LoRaParams(sf=sf, cr=cr, explicit_header=explicit_header, crc=False, variant=variant)
                    previous = np.zeros(61)
                    for payload_len in (0, 1, 255):
                        per = theory.per_awgn(params, payload_len, snr_db)
                        assert np.all((per >= previous - 1e-12) & (per <= 1.0)) and np.all(np.diff(per) <= 1e-12)
                        previous = per
    nothing = LoRaParams(sf=7, explicit_header=False, crc=False)
    assert theory.per_awgn(nothing, 0, -30.0) == 0.0
    assert theory.per_awgn(LoRaParams(sf=7), 16, -math.inf) == pytest.approx(1.0)
    assert theory.per_awgn(LoRaParams(sf=7), 16, math.inf) == 0.0
    # relative accuracy far out: 4/5 is 1 - (1 - Ps)^4 per block, so PER = 4 Ps (blocks, the last weighted) + block 1
    tiny = theory.per_awgn(LoRaParams(sf=7), 16, -3.5)
    ps = float(theory.ser_awgn(7, -3.5))
    assert ps < 1e-9 and tiny == pytest.approx(4 * ps * (5 + 0.5), rel=1e-4)


def test_broadcasting_and_extremes() -> None:
    snr_db = np.zeros((2, 3, 4)) - 9.0
    for curve in (
        lambda s: theory.ser_awgn(7, s),
        lambda s: theory.ser_awgn_coherent(7, s),
        lambda s: theory.ser_rayleigh(7, s),
        lambda s: theory.ser_rician(7, s, 3.0),
        lambda s: theory.ser_nakagami(7, s, 2.0),
        lambda s: theory.ber_awgn(7, s),
        lambda s: theory.per_awgn(LoRaParams(sf=7), 16, s),
    ):
        out = curve(snr_db)
        assert out.shape == (2, 3, 4) and np.all(out == out[0, 0, 0]) and curve(-9.0) == out[0, 0, 0]
        assert curve(np.zeros(0)).shape == (0,)
        assert curve(math.inf) == 0.0 and curve(5000.0) < 1e-25
        with pytest.raises(ValueError, match="snr_db"):
            curve([0.0, math.nan])
    for dead in (-math.inf, -5000.0, -300.0):
        for ser in (theory.ser_awgn, theory.ser_rayleigh, theory.ser_awgn_coherent):
            assert ser(9, dead) == pytest.approx(511 / 512, rel=1e-9)
        assert theory.ser_rician(9, dead, 5.0) == pytest.approx(511 / 512, rel=1e-9)
        assert theory.ber_awgn(9, dead) == pytest.approx(0.5, rel=1e-9)


def test_bad_parameters_are_named() -> None:
    for bad_sf in (4, 13, 7.5, True, "7"):
        with pytest.raises(ValueError, match="'sf'"):
            theory.ser_awgn(bad_sf, 0.0)  # type: ignore[arg-type]
    with pytest.raises(ValueError, match="'k_factor_db'"):
        theory.ser_rician(7, 0.0, math.nan)
    with pytest.raises(ValueError, match="'m'"):
        theory.ser_nakagami(7, 0.0, 0.4)
    for bad_len in (-1, 256, 1.5, True):
        with pytest.raises(ValueError, match="'payload_len'"):
            theory.per_awgn(LoRaParams(sf=7), bad_len, 0.0)  # type: ignore[arg-type]


def test_legacy_curves_sit_where_the_paper_puts_them() -> None:
    """The long form within 0.1 dB at 1e-3…1e-5; the short one 0.17 dB (1e-3) and 0.35 dB (1e-5) optimistic at SF7."""
    for sf in range(5, 13):
        for target in (1e-3, 1e-5):
            exact = snr_at(target, theory.ber_awgn, sf)
            long_form = snr_at(target, theory.ber_awgn_elshabrawy, sf)
            short_form = snr_at(target, theory.ber_awgn_legacy, sf)
            assert abs(long_form - exact) < 0.1 and 0.06 < exact - short_form < 0.5
    for target, gap in ((1e-3, 0.17), (1e-5, 0.35)):
        exact = snr_at(target, theory.ber_awgn, 7)
        assert exact - snr_at(target, theory.ber_awgn_legacy, 7) == pytest.approx(gap, abs=0.01)


def test_legacy_rayleigh_curve_sits_above_the_exact_one() -> None:
    """5.6–8.4 % by the reference, over SERs from 0.2 to 1e-3."""
    for sf in (7, 9, 12):
        for target in (0.1, 1e-2, 1e-3):
            snr_db = snr_at(target, theory.ber_rayleigh, sf)
            assert 1.05 < theory.ber_rayleigh_elshabrawy(sf, snr_db) / target < 1.09


def test_large_arrays_are_worked_in_pieces() -> None:
    snr_db = np.linspace(-30.0, 10.0, 9000).reshape(3, 3000)
    for curve in (theory.ser_awgn, theory.ser_rayleigh, theory.ser_awgn_coherent):
        whole = curve(7, snr_db)
        np.testing.assert_allclose(whole[:, ::500], curve(7, snr_db[:, ::500]), rtol=1e-12)
