"""Private numba kernels of the tracker: what a stretch of symbols says about timing and carrier."""

from __future__ import annotations

import math

import numba
import numpy as np

from lora_phy.modem._tone_kernels import JIT


@numba.njit(**JIT)
def moved(mean, covariance, symbols, next_mean, next_covariance):  # type: ignore[no-untyped-def]
    """The state (earliness, drift, offset, rate) `symbols` later: the first and third move by the second and fourth."""
    for i in range(4):
        other = mean[i + 1] if i % 2 == 0 else 0.0
        next_mean[i] = mean[i] + symbols * other
        for k in range(4):
            right, below, both = 0.0, 0.0, 0.0
            if k % 2 == 0:
                right = covariance[i, k + 1]
            if i % 2 == 0:
                below = covariance[i + 1, k]
                if k % 2 == 0:
                    both = covariance[i + 1, k + 1]
            next_covariance[i, k] = covariance[i, k] + symbols * (right + below) + symbols * symbols * both


@numba.njit(**JIT)
def posterior(covariance, information, push, out):  # type: ignore[no-untyped-def]
    """out = (covariance^-1 + information)^-1; returns the log-evidence of `push`, the information's weighted residual.

    By elimination of (1 + covariance information) out = covariance: no inverse of either is needed.
    """
    left, right = np.empty((4, 4)), covariance.copy()
    for i in range(4):
        for k in range(4):
            total = 1.0 if i == k else 0.0
            for m in range(4):
                total += covariance[i, m] * information[m, k]
            left[i, k] = total
    log_determinant = 0.0
    for i in range(4):
        pivot = i
        for k in range(i + 1, 4):
            if abs(left[k, i]) > abs(left[pivot, i]):
                pivot = k
        for m in range(4):
            left[i, m], left[pivot, m] = left[pivot, m], left[i, m]
            right[i, m], right[pivot, m] = right[pivot, m], right[i, m]
        log_determinant += math.log(max(abs(left[i, i]), 1e-300))
        for k in range(4):
            if k != i:
                factor = left[k, i] / left[i, i]
                for m in range(4):
                    left[k, m] -= factor * left[i, m]
                    right[k, m] -= factor * right[i, m]
    evidence = -0.5 * log_determinant
    for i in range(4):
        for k in range(4):
            out[i, k] = right[i, k] / left[i, i]
    for i in range(4):
        for k in range(i):
            out[i, k] = out[k, i] = 0.5 * (out[i, k] + out[k, i])
    for i in range(4):
        for k in range(4):
            evidence += 0.5 * push[i] * out[i, k] * push[k]
    return evidence


@numba.njit(**JIT)
def update(mean, covariance, read_at, slope, surprise, margin, information, push, new_mean, new_covariance):  # type: ignore[no-untyped-def]
    """Bayes' step: fill the mean and covariance after the stretch; `surprise` is added to the covariance before it
    where that makes the measurement likelier by more than `margin` nats. Returns whether it was.

    `push` counts errors from where the rows were read, the offsets of `read_at` and a rate of `slope`, and is moved to
    count from `mean`.
    """
    for k in range(4):
        place = 0.0
        if k % 2 == 0:
            place = read_at[k]
        elif k == 3:
            place = slope
        for i in range(4):
            push[i] += information[i, k] * (place - mean[k])
    usual = posterior(covariance, information, push, new_covariance)
    wider = np.empty((4, 4))
    surprised = posterior(covariance + surprise, information, push, wider) > usual + margin
    if surprised:
        new_covariance[:] = wider
    for i in range(4):
        total = mean[i]
        for k in range(4):
            total += new_covariance[i, k] * push[k]
        new_mean[i] = total
    return surprised
