"""Bit metrics from what was seen of each bit label; coding and modem both read them."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt


def max_log_metrics(by_label: npt.NDArray[np.floating]) -> npt.NDArray[np.float32]:
    """Metrics ``(n, bits)`` of ``(n, 2**bits)``: for each bit, the best label with a 1 minus the best with a 0.

    Column 0 is the most significant bit of the label.

    Examples
    --------
    >>> max_log_metrics(np.array([[0.0, 1.0, 5.0, 2.0]], np.float32))
    array([[ 4., -3.]], dtype=float32)
    """
    num_bits = by_label.shape[1].bit_length() - 1
    metrics = np.empty((len(by_label), num_bits), dtype=np.float32)
    for column in range(num_bits):
        split = by_label.reshape(len(by_label), 1 << column, 2, -1)
        metrics[:, column] = split[:, :, 1].max(axis=(1, 2)) - split[:, :, 0].max(axis=(1, 2))
    return metrics
