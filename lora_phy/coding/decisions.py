"""Hard decisions: which bins a symbol may lie in, and the strongest of them.

    full rate      any bin                                        s = argmax_k |z_k|
    reduced rate   the legal bins 4k + 1 (`lora_phy.coding.gray`)  s = argmax_{k = 1 mod 4} |z_k|

The first block of a frame is at reduced rate, but for SF5 and SF6 of the sx126x; the rest is where LDRO is on. Every
path that decides a frame's symbols takes the rule from here: the receiver, single frames, batches, and links of others.
"""

from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt

from lora_phy.arrays import Symbols
from lora_phy.coding.chain import FIRST_BLOCK_LEN
from lora_phy.params import LoRaParams

LEGAL_STEP = 4
"""Legal bins of a reduced-rate symbol lie this far apart; the first of them is bin 1."""


def reduced_rate_symbols(num_symbols: int, params: LoRaParams) -> npt.NDArray[np.bool_]:
    """Mask of a frame's first `num_symbols` data symbols that are at reduced rate, ``(num_symbols,)``.

    Examples
    --------
    >>> reduced_rate_symbols(10, LoRaParams(sf=7)).astype(int)
    array([1, 1, 1, 1, 1, 1, 1, 1, 0, 0])
    """
    reduced = np.full(num_symbols, params.reduced_rate)
    reduced[:FIRST_BLOCK_LEN] = params.header_reduced_rate
    return reduced


def decide_symbols(bins: npt.NDArray[Any], params: LoRaParams) -> Symbols:
    """Decide the symbols of a frame, the first data symbol first.

    Parameters
    ----------
    bins
        ``(..., num_symbols, 2**sf)`` matched-filter magnitudes or powers.
    params
        `sf`, `ldro` and `variant` say which symbols are at reduced rate.

    Returns
    -------
    numpy.ndarray
        ``(..., num_symbols)`` int32; at reduced rate the strongest of the bins 4k + 1. Of equal bins the first.

    Raises
    ------
    ValueError
        A last axis that is not ``2**sf`` long.

    Examples
    --------
    >>> bins = np.zeros((9, 128), np.float32)
    >>> bins[:, 8], bins[:, 5] = 2.0, 1.0
    >>> decide_symbols(bins, LoRaParams(sf=7))       # bin 8 is not legal in the first block
    array([5, 5, 5, 5, 5, 5, 5, 5, 8], dtype=int32)
    """
    bins = np.asarray(bins)
    if bins.ndim < 2 or bins.shape[-1] != params.num_bins:
        raise ValueError(f"'bins' must have the shape (..., num_symbols, {params.num_bins}) (got {bins.shape})")
    symbols = np.empty(bins.shape[:-1], np.int32)
    # two slices, as `reduced_rate_symbols` says: masks would copy the bins
    first, rest = slice(0, FIRST_BLOCK_LEN), slice(FIRST_BLOCK_LEN, None)
    for part, reduced in ((first, params.header_reduced_rate), (rest, params.reduced_rate)):
        if reduced:
            symbols[..., part] = LEGAL_STEP * np.argmax(bins[..., part, 1::LEGAL_STEP], axis=-1) + 1
        else:
            symbols[..., part] = np.argmax(bins[..., part, :], axis=-1)
    return symbols
