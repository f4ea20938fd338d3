"""Array aliases and the shape glossary.

The last axis is the signal, leading axes are batch: ``(..., n)``.

========== ========= ====================================================================
alias      dtype     meaning
========== ========= ====================================================================
Nibbles    uint8     values 0…15, one per codeword
Codewords  uint8     4 + cr bits, the most significant is d0 (the nibble's least significant)
Symbols    int32     chirp symbol values in [0, 2**sf)
IQ         complex64 baseband samples, ``bandwidth_hz * oversampling`` per second
Bins       float32   ``(..., num_symbols, 2**sf)``, matched-filter magnitude per symbol value
BitMetrics float32   ``(..., num_symbols, sf)``, column 0 the most significant bit, positive = 1
========== ========= ====================================================================
"""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

Nibbles = npt.NDArray[np.uint8]
Codewords = npt.NDArray[np.uint8]
Symbols = npt.NDArray[np.int32]
IQ = npt.NDArray[np.complex64]
Bins = npt.NDArray[np.float32]
BitMetrics = npt.NDArray[np.float32]
FloatArray = npt.NDArray[np.float64]
