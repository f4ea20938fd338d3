"""Error rates in closed form or by one stable integral: the oracle every simulation is held against.

A chirp symbol is one of M = 2**sf orthogonal signals; per FFT bin the noise power is 1 and the signal's g = Es/N0 =
2**sf · SNR. A non-coherent receiver takes the largest magnitude, so with r the magnitude of the right bin

    SER = ∫ p(r) [1 - (1 - exp(-r²))^(M-1)] dr                                                       (1)

    AWGN      p(r) = 2r exp(-r² - g) I0(2 r sqrt g)
    Rician    the same with steady power K g/(K+1) and scattered-plus-noise power b = 1 + g/(K+1)
    Rayleigh  closed: 1 - Γ(M) Γ(1+a) / Γ(M+a) = 1 - Π_{k<M} k/(k+a),   a = 1/(1+g)
    coherent  SER = ∫ φ(x - sqrt(2g)) [1 - Φ(x)^(M-1)] dx

Every wrong bin is equally likely, so the bit error rate is SER · (M/2)/(M-1), whatever the labelling. (1) is the
textbook sum Σ (-1)^(k+1) C(M-1,k)/(k+1) exp(-kg/(k+1)), whose terms cancel to nothing above M = 64 in double precision.
By Gauss-Legendre quadrature it keeps its relative accuracy down to the smallest double. In reduced-rate symbols one bin
in four is legal and M counts those; g does not change.

Proakis, Digital Communications, 4th ed., §5.2 and §5.4; Elshabrawy and Robert, IEEE Commun. Lett. 22(9), 2018.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from functools import lru_cache

import numpy as np
import numpy.typing as npt
from scipy import special

from lora_phy.arrays import FloatArray
from lora_phy.checks import integer
from lora_phy.params import MAX_PAYLOAD_LEN, LoRaParams

_NUM_NODES = 512
_AT_ONCE = 4096  # SNRs worked on at a time
_MAX_ESN0 = 1e4  # exp(-g/2) has long underflown: the error rate is 0
_INFINITE = 1e30  # fading: from here on the error rate is called 0
_REACH = 9.0  # a Gaussian tail of exp(-81) relative to the peak is nothing


def ser_awgn(sf: int, snr_db: npt.ArrayLike) -> FloatArray:
    """Symbol error rate of the non-coherent receiver in AWGN, exact.

    Parameters
    ----------
    sf
        Spreading factor, 5–12.
    snr_db
        Any shape, dB in the bandwidth. Plus infinity gives 0, minus infinity (M - 1)/M.

    Returns
    -------
    float64 of the shape of `snr_db`; relative error below 1e-9 down to 1e-300.

    Raises
    ------
    ValueError
        `sf` outside 5–12, or a NaN.

    Examples
    --------
    >>> print(f"{ser_awgn(7, -9.0):.6e}")
    9.919715e-03
    >>> ser_awgn(12, [-27.0, float("inf")]).round(4)
    array([0.5147, 0.    ])
    """
    return _ser_rice(_num_bins(sf), _esn0(sf, snr_db), math.inf)


def ser_awgn_coherent(sf: int, snr_db: npt.ArrayLike) -> FloatArray:
    """Symbol error rate of a receiver that knows the carrier phase, in AWGN, exact.

    Examples
    --------
    >>> print(f"{ser_awgn_coherent(7, -8.49):.1e}")
    1.0e-03
    """
    num_bins = _num_bins(sf)
    threshold = math.sqrt(2.0 * math.log(num_bins))

    def rate(g: FloatArray) -> FloatArray:
        centre = np.sqrt(2.0 * np.minimum(g, _MAX_ESN0))
        peak = np.maximum(centre / 2, np.minimum(centre, threshold))

        def integrand(x: FloatArray) -> FloatArray:
            density = np.exp(-0.5 * (x - centre[:, None]) ** 2) / math.sqrt(2.0 * math.pi)
            return np.asarray(density * -np.expm1((num_bins - 1) * special.log_ndtr(x)))

        return _integrate(integrand, np.minimum(peak, centre) - 1.5 * _REACH, peak + 1.5 * _REACH)

    return _in_pieces(rate, _esn0(sf, snr_db))


def ser_rayleigh(sf: int, snr_db: npt.ArrayLike) -> FloatArray:
    """Symbol error rate at mean SNR `snr_db` where each symbol meets its own Rayleigh fade, exact.

    Also the mean over frames that each meet one fade.

    Examples
    --------
    >>> print(f"{ser_rayleigh(7, 10.0):.6e}")
    4.225781e-03
    """
    return _ser_rayleigh(_num_bins(sf), _esn0(sf, snr_db))


def ser_rician(sf: int, snr_db: npt.ArrayLike, k_factor_db: float) -> FloatArray:
    """Symbol error rate at mean SNR `snr_db` under Rician fading drawn anew for each symbol, exact.

    `k_factor_db` is steady over scattered power; minus infinity is Rayleigh, plus infinity AWGN.

    Examples
    --------
    >>> print(f"{ser_rician(7, -6.11, 10.0):.1e}")
    1.0e-02
    """
    if not isinstance(k_factor_db, int | float | np.number) or math.isnan(k_factor_db):
        raise ValueError(f"'k_factor_db' must be a number (got {k_factor_db!r})")
    k_factor = math.inf if k_factor_db > 300.0 else 10.0 ** (float(k_factor_db) / 10.0)
    if k_factor < 1e-30:
        return ser_rayleigh(sf, snr_db)
    return _ser_rice(_num_bins(sf), _esn0(sf, snr_db), k_factor)


def ser_nakagami(sf: int, snr_db: npt.ArrayLike, m: float) -> FloatArray:
    """Symbol error rate at mean SNR `snr_db` under Nakagami-m fading drawn anew for each symbol.

    With z = r², q = g/(m+g):  p(z) = (1-q)^m exp(-z(1-q)) 1F1(1-m; 1; -q z).  `m` from 0.5 to 100; 1 is Rayleigh.

    Examples
    --------
    >>> bool(np.isclose(ser_nakagami(7, 3.0, 1.0), ser_rayleigh(7, 3.0), rtol=1e-9))
    True
    """
    if not (isinstance(m, int | float | np.number) and 0.5 <= m <= 100.0):
        raise ValueError(f"'m' must be in [0.5, 100] (got {m!r})")
    num_bins = _num_bins(sf)

    def rate(g: FloatArray) -> FloatArray:
        rest = (m / (m + np.minimum(g, _INFINITE)))[:, None]  # 1 - q

        def integrand(z: FloatArray) -> FloatArray:
            density = rest**m * np.exp(-z * rest) * special.hyp1f1(1.0 - m, 1.0, -z * (1.0 - rest))
            return np.asarray(density * _any_above(z, num_bins))

        found = _integrate(integrand, np.zeros(g.size), np.full(g.size, math.log(num_bins) + 60.0))
        return np.asarray(np.where(g < _INFINITE, found, 0.0))

    return _in_pieces(rate, _esn0(sf, snr_db))


def ber_awgn(sf: int, snr_db: npt.ArrayLike) -> FloatArray:
    """Uncoded bit error rate in AWGN, exact: ``ser_awgn · (M/2)/(M-1)``.

    Examples
    --------
    >>> print(f"{ber_awgn(7, -6.348):.1e}")
    1.0e-05
    """
    num_bins = _num_bins(sf)
    return np.asarray(ser_awgn(sf, snr_db) * (num_bins / 2) / (num_bins - 1))[()]


def ber_rayleigh(sf: int, snr_db: npt.ArrayLike) -> FloatArray:
    """Uncoded bit error rate under Rayleigh fading, exact: ``ser_rayleigh · (M/2)/(M-1)``.

    Examples
    --------
    >>> bool(ber_rayleigh(7, -200.0).round(6) == 0.5)
    True
    """
    num_bins = _num_bins(sf)
    return np.asarray(ser_rayleigh(sf, snr_db) * (num_bins / 2) / (num_bins - 1))[()]


def ber_rician(sf: int, snr_db: npt.ArrayLike, k_factor_db: float) -> FloatArray:
    """Uncoded bit error rate under Rician fading, exact: ``ser_rician · (M/2)/(M-1)``.

    Examples
    --------
    >>> bool(np.isclose(ber_rician(7, 3.0, -np.inf), ber_rayleigh(7, 3.0)))
    True
    """
    num_bins = _num_bins(sf)
    return np.asarray(ser_rician(sf, snr_db, k_factor_db) * (num_bins / 2) / (num_bins - 1))[()]


def ber_awgn_elshabrawy(sf: int, snr_db: npt.ArrayLike) -> FloatArray:
    """LEGACY APPROXIMATION of `ber_awgn`, kept to compare with papers: a Gaussian fit to the largest noise bin.

    ½ Q((sqrt g - (H² - π²/12)^¼) / sqrt(H - sqrt(H² - π²/12) + ½)), H the harmonic number of M - 1. Within 0.1 dB of
    the exact curve between 1e-3 and 1e-5. Elshabrawy and Robert, IEEE Commun. Lett. 22(9), 2018.

    Examples
    --------
    >>> print(f"{ber_awgn_elshabrawy(7, -6.348):.1e} {ber_awgn(7, -6.348):.1e}")
    9.1e-06 1.0e-05
    """
    harmonic = float(np.sum(1.0 / np.arange(1, _num_bins(sf))))
    root = math.sqrt(harmonic**2 - math.pi**2 / 12)
    argument = (np.sqrt(_esn0(sf, snr_db)) - math.sqrt(root)) / math.sqrt(harmonic - root + 0.5)
    return np.asarray(0.5 * special.ndtr(-argument))[()]


def ber_awgn_legacy(sf: int, snr_db: npt.ArrayLike) -> FloatArray:
    """LEGACY APPROXIMATION most papers use, ½ Q(sqrt(2g) - sqrt(1.386 sf + 1.154)): 0.07 to 0.5 dB optimistic.

    Elshabrawy and Robert, IEEE Commun. Lett. 22(9), 2018. For comparison only; `ber_awgn` is exact.

    Examples
    --------
    >>> bool(ber_awgn_legacy(7, -7.0) < ber_awgn(7, -7.0))
    True
    """
    _num_bins(sf)
    argument = np.sqrt(2.0 * _esn0(sf, snr_db)) - math.sqrt(1.386 * sf + 1.154)
    return np.asarray(0.5 * special.ndtr(-argument))[()]


def ber_rayleigh_elshabrawy(sf: int, snr_db: npt.ArrayLike) -> FloatArray:
    """LEGACY APPROXIMATION of `ber_rayleigh`: 5 to 9 % above the exact curve at useful SNRs.

    ½ [Q(-sqrt(2H)) - sqrt(g/(g+1)) e^{-H/(g+1)} Q(sqrt((g+1)/g) (-sqrt(2H) + sqrt(2H)/(g+1)))], H as above.
    Elshabrawy and Robert, IEEE Commun. Lett. 22(9), 2018.

    Examples
    --------
    >>> bool(1.05 < ber_rayleigh_elshabrawy(7, 0.0) / ber_rayleigh(7, 0.0) < 1.09)
    True
    """
    root = math.sqrt(2.0 * float(np.sum(1.0 / np.arange(1, _num_bins(sf)))))
    g = np.clip(_esn0(sf, snr_db), 1e-12, _INFINITE)
    fade = np.sqrt(g / (g + 1)) * np.exp(-(root**2) / 2 / (g + 1))
    tail = special.ndtr(np.sqrt((g + 1) / g) * (root - root / (g + 1)))
    return np.asarray(0.5 * (special.ndtr(root) - fade * tail))[()]


def per_awgn(params: LoRaParams, payload_len: int, snr_db: npt.ArrayLike) -> FloatArray:
    """Packet error rate of hard decoding in AWGN: perfect sync, legal bins only in reduced-rate symbols.

    Symbol errors are independent; k wrong symbols of an interleaver block flip each of their bits with probability one
    half, so a codeword survives them with probability ok_k, and of a block of n symbols and u used codewords

    - 4/7: ok_k = (1 + k)/2^k;   4/8: + C(k,2)/2^k · 6/28 (two flips of parity bits only);
      a further C(k,4)/2^k · 1/70 (all four parity bits flip) is left out: it moves the curve by less than 0.001 dB
      P = Σ_{k≥2} C(n,k) Ps^k (1-Ps)^(n-k) [1 - ok_k^u]
    - 4/5, 4/6 (the data bits are kept): P = 1 - (1-Ps)^4 in a full block, 1 - (1 - Ps(1-2^-u))^4 in one partly used.

    PER = 1 - Π(1 - P). Block 1 has 8 symbols at 4/8 and, but for SF5 and SF6 of the sx126x, the alphabet M/4. Padding
    codewords carry nothing that can break. Agrees with simulated frames to 0.06 dB at 50 % and 10 %.

    Parameters
    ----------
    params
        `sf`, `cr`, `explicit_header`, `crc`, `ldro` and `variant` matter.
    payload_len
        Bytes, 0–255. A frame that carries no nibble at all cannot be lost.
    snr_db
        Any shape.

    Examples
    --------
    >>> print(f"{per_awgn(LoRaParams(sf=7), 16, -7.44):.3f} {per_awgn(LoRaParams(sf=7, cr=3), 16, -9.02):.3f}")
    0.010 0.010
    """
    payload_len = integer("payload_len", payload_len, 0, MAX_PAYLOAD_LEN)
    g = _esn0(params.sf, snr_db)
    full_rate = _ser_rice(params.num_bins, g, math.inf)
    reduced = _ser_rice(params.num_bins // 4, g, math.inf)

    nibbles = 5 * params.explicit_header + 2 * payload_len + 4 * params.crc
    first = params.sf - 2 * params.header_reduced_rate
    log_success = np.log1p(
        -_block_error_rate(reduced if params.header_reduced_rate else full_rate, 4, min(nibbles, first), first)
    )
    whole_blocks, left = divmod(max(0, nibbles - first), params.bits_per_symbol)
    symbol_error_rate = reduced if params.reduced_rate else full_rate
    with np.errstate(divide="ignore"):  # a certain loss: log 0
        for count, used in ((whole_blocks, params.bits_per_symbol), (1, left)):
            if count and used:
                block = _block_error_rate(symbol_error_rate, params.cr, used, params.bits_per_symbol)
                log_success = log_success + count * np.log1p(-block)
    return np.asarray(-np.expm1(log_success) + 0.0)[()]


def required_snr_db(error_rate: Callable[[float], npt.ArrayLike], target: float) -> float:
    """SNR in dB at which a decreasing `error_rate(snr_db)` equals `target`.

    Examples
    --------
    >>> round(required_snr_db(lambda snr_db: ser_awgn(7, snr_db), 1e-3), 3)
    -7.78
    """
    if not 0.0 < target < 1.0:
        raise ValueError(f"'target' must be in (0, 1) (got {target!r})")

    def gap(snr_db: float) -> float:
        return math.log(max(float(np.asarray(error_rate(snr_db))), 1e-300)) - math.log(target)

    from scipy import optimize  # slow to import, and needed here alone

    return float(optimize.brentq(gap, -60.0, 150.0, xtol=1e-9))


def _num_bins(sf: int) -> int:
    return 1 << integer("sf", sf, 5, 12)


def _esn0(sf: int, snr_db: npt.ArrayLike) -> FloatArray:
    snr = np.asarray(snr_db, dtype=np.float64)
    if np.any(np.isnan(snr)):
        raise ValueError("'snr_db' must not be NaN (got nan)")
    with np.errstate(over="ignore"):
        return np.asarray(2.0**sf * 10.0 ** (snr / 10.0))


def _any_above(z: FloatArray, num_bins: int) -> FloatArray:
    """P(the largest of num_bins - 1 unit exponentials exceeds z), without cancellation."""
    with np.errstate(divide="ignore"):  # z = 0: log 0, and the answer 1
        return np.asarray(-np.expm1((num_bins - 1) * np.log1p(-np.exp(-z))))


def _ser_rayleigh(num_bins: int, esn0: FloatArray) -> FloatArray:
    def rate(g: FloatArray) -> FloatArray:
        a = 1.0 / (1.0 + g)
        # a difference of log-gammas would lose every digit where a is small; the product has none to lose
        return np.asarray(-np.expm1(-np.sum(np.log1p(a[:, None] / np.arange(1, num_bins)), axis=-1)) + 0.0)

    return _in_pieces(rate, esn0)


def _ser_rice(num_bins: int, esn0: FloatArray, k_factor: float) -> FloatArray:
    """(1) for a right bin with steady power K g/(K+1) and scattered-plus-noise power b = 1 + g/(K+1)."""
    threshold = math.sqrt(math.log(num_bins))

    def rate(g: FloatArray) -> FloatArray:
        if math.isinf(k_factor):
            steady, b = np.sqrt(np.minimum(g, _MAX_ESN0)), np.ones(g.shape)
        else:
            bounded = np.minimum(g, _INFINITE)
            steady, b = np.sqrt(bounded * (k_factor / (k_factor + 1.0))), 1.0 + bounded / (k_factor + 1.0)
        # Left of r = sqrt(ln M) some wrong bin is above r for sure; right of it the chance falls like M exp(-r²), and
        # the product with p(r) peaks at steady/(1+b). The window holds whichever of the two is the peak.
        width = np.sqrt(b)
        peak = np.maximum(steady / (1.0 + b), np.minimum(steady, threshold))
        low = np.maximum(0.0, np.minimum(peak, steady) - _REACH * width)
        high = np.maximum(peak, np.minimum(steady + _REACH * width, threshold)) + _REACH

        def integrand(r: FloatArray) -> FloatArray:
            centre, spread = steady[:, None], b[:, None]
            density = 2.0 * r / spread * np.exp(-((r - centre) ** 2) / spread) * special.i0e(2.0 * r * centre / spread)
            return np.asarray(density * _any_above(r * r, num_bins))

        return np.asarray(np.where(g < _INFINITE, _integrate(integrand, low, high), 0.0))

    return _in_pieces(rate, esn0)


def _in_pieces(rate: Callable[[FloatArray], FloatArray], esn0: FloatArray) -> FloatArray:
    """`rate` of a one-dimensional array, applied to any shape with bounded memory."""
    flat = esn0.reshape(-1)
    pieces = [rate(flat[start : start + _AT_ONCE]) for start in range(0, flat.size, _AT_ONCE)]
    return np.asarray(np.concatenate(pieces).reshape(esn0.shape) if pieces else np.zeros(esn0.shape))[()]


@lru_cache(maxsize=1)
def _nodes() -> tuple[FloatArray, FloatArray]:
    nodes, weights = np.polynomial.legendre.leggauss(_NUM_NODES)
    return (nodes + 1.0) / 2.0, weights / 2.0


def _integrate(integrand: Callable[[FloatArray], FloatArray], low: FloatArray, high: FloatArray) -> FloatArray:
    nodes, weights = _nodes()
    values = integrand(low[:, None] + (high - low)[:, None] * nodes)
    return np.asarray(np.sum(values * weights, axis=-1) * (high - low))


def _block_error_rate(symbol_error_rate: FloatArray, cr: int, used: int, codewords: int) -> FloatArray:
    """Probability that one of the `used` codewords out of `codewords` in an interleaver block is decoded wrongly."""
    p = np.minimum(symbol_error_rate, 1.0)
    if cr <= 2:
        harmful = p if used == codewords else p * (1.0 - 0.5**used)
        with np.errstate(divide="ignore"):
            return np.asarray(-np.expm1(4 * np.log1p(-harmful)))
    n = 4 + cr
    total = np.zeros(np.shape(p))
    for k in range(2, n + 1):
        survives = (1 + k) / 2.0**k + (math.comb(k, 2) / 2.0**k * 6 / 28 if cr == 4 else 0.0)
        total = total + math.comb(n, k) * p**k * (1.0 - p) ** (n - k) * (1.0 - survives**used)
    return np.asarray(total)
