"""Decibels and the three signal-to-noise ratios of the field.

`snr_db` is signal power over noise power in the bandwidth; one chirp symbol lasts 2**sf / bandwidth, so

    Es/N0 = 2**sf * SNR,        Eb/N0 = Es/N0 / (bits per symbol * code rate).
"""

from __future__ import annotations

import numpy as np
import numpy.typing as npt


def db_to_linear(value_db: npt.ArrayLike) -> npt.NDArray[np.float64]:
    """Power ratio 10**(dB/10); minus infinity gives 0.

    Examples
    --------
    >>> float(db_to_linear(-20.0))
    0.01
    """
    return np.asarray(10.0 ** (np.asarray(value_db, dtype=np.float64) / 10.0))


def linear_to_db(ratio: npt.ArrayLike) -> npt.NDArray[np.float64]:
    """Decibels of a power ratio, 10 log10(ratio); 0 gives minus infinity.

    Examples
    --------
    >>> float(linear_to_db(1000.0))
    30.0
    """
    with np.errstate(divide="ignore"):
        return np.asarray(10.0 * np.log10(np.asarray(ratio, dtype=np.float64)))


def esn0_db(sf: int, snr_db: npt.ArrayLike) -> npt.NDArray[np.float64]:
    """Symbol energy over noise density in dB: SNR + 10 log10(2**sf).

    Examples
    --------
    >>> round(float(esn0_db(7, -7.5)), 2)
    13.57
    """
    return np.asarray(np.asarray(snr_db, dtype=np.float64) + 10.0 * np.log10(2.0**sf))
