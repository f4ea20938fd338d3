"""Counter-based random numbers: Philox4x32-10, the function itself and rows of words for many keys.

    words of row f = Philox(counter = (0, stream, k2, k3), key = (k0, k1)), Philox(counter = (1, …)), …

A row depends on its own key, the stream and nothing else: not on its neighbours, the order or the number of rows.
Salmon, Moraes, Dror and Shaw, "Parallel random numbers: as easy as 1, 2, 3", SC 2011.
"""

from __future__ import annotations

import numpy as np
from numba import njit

from lora_phy.kernels.lanes import CACHE

_M0, _M1 = np.uint64(0xD2511F53), np.uint64(0xCD9E8D57)
_W0, _W1 = np.uint64(0x9E3779B9), np.uint64(0xBB67AE85)
_LOW = np.uint64(0xFFFFFFFF)
_32 = np.uint64(32)


@njit(cache=CACHE, nogil=True)
def philox(c0, c1, c2, c3, k0, k1):
    """Four words of 32 bits, in uint64, of a counter of four words and a key of two."""
    for _ in range(10):
        p0, p1 = _M0 * c0, _M1 * c2
        c0, c1, c2, c3 = (p1 >> _32) ^ c1 ^ k0, p1 & _LOW, (p0 >> _32) ^ c3 ^ k1, p0 & _LOW
        k0, k1 = (k0 + _W0) & _LOW, (k1 + _W1) & _LOW
    return c0, c1, c2, c3


@njit(cache=CACHE, nogil=True)
def fill_words(keys, stream, out):
    """Fill uint32 `out` ``(rows, 4 * n)`` from uint32 `keys` ``(rows, 4)`` and the number of a stream."""
    for f in range(keys.shape[0]):
        k0, k1, k2, k3 = np.uint64(keys[f, 0]), np.uint64(keys[f, 1]), np.uint64(keys[f, 2]), np.uint64(keys[f, 3])
        for block in range(out.shape[1] // 4):
            a, b, c, d = philox(np.uint64(block), np.uint64(stream), k2, k3, k0, k1)
            out[f, 4 * block] = a
            out[f, 4 * block + 1] = b
            out[f, 4 * block + 2] = c
            out[f, 4 * block + 3] = d


@njit(cache=CACHE, nogil=True)
def fill_children(keys, parents, first, second, out):
    """Key f of `out` ``(n, 4)``: Philox at the counter (first[f], second[f], k2, k3) of the key of its parent."""
    for f in range(parents.size):
        k = keys[parents[f]]
        k0, k1, k2, k3 = np.uint64(k[0]), np.uint64(k[1]), np.uint64(k[2]), np.uint64(k[3])
        a, b, c, d = philox(np.uint64(first[f]), np.uint64(second[f]), k2, k3, k0, k1)
        out[f, 0] = a
        out[f, 1] = b
        out[f, 2] = c
        out[f, 3] = d
