"""Private numba kernel of the filter bank."""

from __future__ import annotations

import numba
import numpy as np

from lora_phy.modem._tone_kernels import JIT


@numba.njit(**JIT)
def filter_and_fold(spectra, centre, first, second, phases, fine, chips):  # type: ignore[no-untyped-def]
    """The bins around `centre`, filtered and folded to spectra of two samples a chip, and these to one a chip.

    `first` holds the first filter at bins -r … r - 1 around the centre, `second` the second at all bins of `fine`, both
    in that order; the results are in the order of the FFT. Block b is turned by ``phases[b]``.
    """
    length, reach = spectra.shape[1], first.size // 2
    num_fine, num_chips = fine.shape[1], chips.shape[1]
    wrap = (centre - reach) % length
    before_end = min(2 * reach, length - wrap)
    picked = np.empty(2 * reach, np.complex64)
    for b in range(spectra.shape[0]):
        turn, row, out = phases[b], spectra[b], fine[b]
        for i in range(before_end):
            picked[i] = row[wrap + i] * (turn * first[i])
        for i in range(before_end, 2 * reach):
            picked[i] = row[wrap + i - length] * (turn * first[i])
        for i in range(reach):
            out[i] = picked[reach + i]
        for i in range(reach, num_fine):
            out[i] = 0.0
        for i in range(reach):
            out[num_fine - reach + i] += picked[i]
        half = chips[b]
        for i in range(num_chips):
            half[i] = out[i] * second[num_chips + i] + out[num_chips + i] * second[i]
