"""Private numba kernels of the tracker: what a stretch of symbols says about timing and carrier."""

from __future__ import annotations

import math

import numba
import numpy as np

from lora_phy.coding.chain import FIRST_BLOCK_LEN
from lora_phy.modem._interpolation_kernels import interpolate, mix
from lora_phy.modem._payload_kernels import read_and_track
from lora_phy.modem._tone_kernels import INLINE, JIT, tone_rotor

DONE, SHORTER, AGAIN = 0, 1, 2
"""What `track_stretch` says of a stretch: read, to be read in halves, to be read elsewhere."""
MAX_STRETCH_DRIFT = 0.2
"""Chips the timing may move within a stretch."""
MAX_STRETCH_OFFSET = 0.4
"""Bins the carrier may move within a stretch of more than four symbols."""
LITTLE = 0.05
"""Bins from the middle of a stretch to its ends that a moving carrier may have moved."""
REREAD = 0.25
"""Chips and bins by which a stretch must turn out to lie elsewhere to be read again."""
MOST_READINGS = 4
SHORTEST_STRETCH = 4
"""Symbols, at the least, of a stretch that is halved because its errors scatter."""
SURPRISE_MARGIN = 6.0
"""Nats by which a surprise must make a stretch likelier to be believed."""


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
def posterior(covariance, information, push, left, right, out):  # type: ignore[no-untyped-def]
    """out = (covariance^-1 + information)^-1; returns the log-evidence of `push`, the information's weighted residual.

    By elimination of (1 + covariance information) out = covariance, in the work space `left` and `right`: no inverse of
    either is needed.
    """
    for i in range(4):
        for k in range(4):
            right[i, k] = covariance[i, k]
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
        size = abs(left[i, i])
        log_determinant += math.log(size if size > 1e-300 else 1e-300)
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
def update(  # type: ignore[no-untyped-def]
    mean, covariance, read_at, slope, surprise, margin, information, push, work, new_mean, new_covariance
):
    """Bayes' step: fill the mean and covariance after the stretch; `surprise` is added to the covariance before it
    where that makes the measurement likelier by more than `margin` nats. Returns whether it was.

    `push` counts errors from where the rows were read, the offsets of `read_at` and a rate of `slope`, and is moved to
    count from `mean`. `work` ``(4, 4, 4)``: work space.
    """
    for k in range(4):
        place = 0.0
        if k % 2 == 0:
            place = read_at[k]
        elif k == 3:
            place = slope
        for i in range(4):
            push[i] += information[i, k] * (place - mean[k])
    left, right, before, wider = work[0], work[1], work[2], work[3]
    usual = likeliest = 0.0
    for attempt in range(2):
        usual = likeliest
        for i in range(4):
            for k in range(4):
                before[i, k] = covariance[i, k] + attempt * surprise[i, k]
        likeliest = posterior(before, information, push, left, right, wider if attempt else new_covariance)
    surprised = likeliest > usual + margin
    for i in range(4):
        total = mean[i]
        for k in range(4):
            if surprised:
                new_covariance[i, k] = wider[i, k]
            total += new_covariance[i, k] * push[k]
        new_mean[i] = total
    return surprised


@numba.njit(**JIT)
def next_stretch(  # type: ignore[no-untyped-def]
    samples, z, task, progress, stretch, rows, dechirped, chirp, scaled, strides, scratch, small, magnitude, best,
    matched, state, covariance,
):  # fmt: skip
    """Decide the symbols of the stretch that was read last, then read the next one, or the same one again in halves or
    where it turns out to lie; returns how many rows of `dechirped` are to be transformed, 0 at the end.

    Parameters
    ----------
    z
        The rows' matched-filter output; none: nothing was read yet, or (`blind`) the next stretch is to be read.
    task
        What is to be done, in the order of the first lines below.
    progress
        Where this payload is: symbols done, rows and attempts of the present stretch, whether it is read where the
        state says (else at `read_at`); first sample, cycles a sample and bins a row that were removed from it; phase of
        the carrier that was removed at the stretch before, and that one's first sample.
    stretch, rows, dechirped, strides, scratch, small
        Work space: ``(most samples + 2 half_width)`` complex64; a row for each symbol, twice; an integer each; three
        float32 each, and two rows of them; ``(11, 4, 4)``, of which nine are work space, the next is what a surprise
        adds to the covariance, and the last one's first row what each symbol adds to its diagonal.
    magnitude, best, matched
        Filled, all symbols of the payload one after the other.
    state, covariance
        At the beginning of the stretch.
    """
    origin, cfo, first, rate = task[0], task[1], int(task[2]), int(task[3])
    half_width, early, header_stride, stride = int(task[4]), int(task[5]), int(task[6]), int(task[7])
    lead_needed, variance, most_drift, blind, longest = task[8], task[9], task[10], task[11] > 0.0, int(task[12])
    done, num, attempt = int(progress[0]), int(progress[1]), int(progress[2])
    count, most, length = magnitude.shape[0], rows.shape[0], rows.shape[1]
    mean, read_at, spread, wander = small[8, 0], small[8, 1], small[7], small[10, 0]
    if z.shape[0] > 0:
        for i in range(num):
            strides[i] = header_stride if first + done + i < FIRST_BLOCK_LEN else stride
        phase = progress[7] + progress[5] * (progress[4] - progress[8])
        phase -= int(phase)
        verdict = track_stretch(
            z, rows[:num], chirp, rate, early, strides[:num], lead_needed, variance, progress[6], phase, blind,
            attempt == MOST_READINGS - 1, most_drift, wander, small[9], mean, spread, read_at, scratch[:most],
            scratch[most : 3 * most].reshape(most, 2), small, magnitude[done : done + num], best[done : done + num],
            matched[done : done + num], state, covariance,
        )  # fmt: skip
        progress[3] = 1.0 if verdict == SHORTER else 0.0
        attempt += 1
        if verdict == SHORTER:
            num //= 2
        if verdict == DONE:
            done += num
            num = 0
            progress[7], progress[8] = phase, progress[4]
            if blind:
                progress[0], progress[1] = done, 0
                return 0
    if num == 0:
        if done == count:
            return 0
        num = min(most, count - done)
        if abs(state[1]) * num > MAX_STRETCH_DRIFT:
            num = max(1, int(MAX_STRETCH_DRIFT / abs(state[1])))
        if num > SHORTEST_STRETCH and abs(state[3]) * num > MAX_STRETCH_OFFSET:
            num = max(SHORTEST_STRETCH, int(MAX_STRETCH_OFFSET / abs(state[3])))
        num = min(num, longest)
        attempt = 0
        progress[3] = 1.0
    half = 0.5 * (num - 1)
    moved(state, covariance, half, mean, spread)
    if progress[3] > 0.0:
        for i in range(4):
            read_at[i] = mean[i]
    at = origin + (first + done) * (length // rate)
    rotor = scratch[3 * most : 3 * most + 2 * length].reshape(2, length)
    whole, cycles, slope = read_stretch(
        samples, at, cfo, rate, half_width, scaled, read_at, rotor, stretch, rows[:num], dechirped[:num]
    )
    progress[0], progress[1], progress[2] = done, num, attempt
    progress[4], progress[5], progress[6] = whole, cycles, slope
    return num


@numba.njit(**INLINE)
def read_stretch(  # type: ignore[no-untyped-def]
    samples, origin, cfo, rate, half_width, chirp, read_at, rotor, stretch, rows, dechirped
):
    """Read the chirps of a stretch at a state, without their carrier, and dechirp them.

    Parameters
    ----------
    origin, cfo
        Chip at which a chirp of no earliness begins, and carrier offset in bins.
    read_at
        The state at the stretch's middle.
    rotor, stretch
        Work space: ``(2, chirp)`` float32; ``(rows + 2 half_width)`` complex64.

    Returns
    -------
    first whole sample that was read, cycles a sample and bins a row that were removed
    """
    count, length = rows.shape
    half = 0.5 * (count - 1)
    start = rate * (origin - read_at[0])
    cycles = (cfo + read_at[2]) / length
    whole, lead = math.floor(start), half_width - 1
    num = count * length
    here = stretch[: num + 2 * half_width]
    mix(samples, whole - lead, -cycles, cycles * lead, here)
    flat = rows.reshape(num)
    interpolate(here.view(np.float32), start - whole, half_width, flat.view(np.float32))
    slope = read_at[3] if abs(read_at[3]) * half > LITTLE else 0.0
    if slope != 0.0:
        re, im = rotor[0], rotor[1]
        for i in range(count):
            tone_rotor(slope * (i - half), re, im)
            for n in range(length):
                y = rows[i, n]
                rows[i, n] = complex(y.real * re[n] - y.imag * im[n], y.real * im[n] + y.imag * re[n])
    for i in range(count):
        for n in range(length):
            dechirped[i, n] = rows[i, n] * chirp[n]
    return whole, cycles, slope


@numba.njit(**INLINE)
def track_stretch(  # type: ignore[no-untyped-def]
    z, rows, chirp, rate, early, strides, lead_needed, variance, slope, turns, blind, last_try, most_drift, wander,
    surprise, mean, spread, read_at, lead, error, work, magnitude, best, matched, state, covariance,
):  # fmt: skip
    """Decide a stretch's symbols, and take what they say about timing and carrier into account.

    Parameters
    ----------
    z, rows
        The rows of `read_stretch`, and their matched-filter output.
    turns
        Phase of the carrier that was removed, at the rows' first sample, which `matched` is freed from.
    blind
        The symbols' errors say nothing.
    last_try
        The stretch is read, wherever it turns out to lie.
    mean, spread, read_at
        The state at the stretch's middle and its covariance, and where the stretch was read, which is moved where it is
        to be read elsewhere.
    lead, error, work
        Work space: ``(rows)`` and ``(rows, 2)`` float32, ``(7, 4, 4)``.
    state, covariance
        Filled with those at the next stretch's beginning, if this one is done.

    Returns
    -------
    `DONE`, `SHORTER` or `AGAIN`
    """
    count = len(z)
    half = 0.5 * (count - 1)
    information, new_covariance, push, after = work[4], work[5], work[6, 0], work[6, 1]
    scattered = read_and_track(
        z, rows, chirp, rate, early, strides, lead_needed, variance, lead, error, magnitude, best, matched, information,
        push,
    )  # fmt: skip
    if blind:
        scattered = False
        for i in range(4):
            push[i] = 0.0
            for k in range(4):
                information[i, k] = 0.0
    update(mean, spread, read_at, slope, surprise, SURPRISE_MARGIN, information, push, work, after, new_covariance)
    if not last_try:
        if scattered and count >= 2 * SHORTEST_STRETCH:  # symbols decided one beside the truth look like this
            return SHORTER
        moved_on = abs(after[0] - read_at[0]) >= REREAD or abs(after[2] - read_at[2]) >= REREAD
        if moved_on or abs(after[3] - slope) * half >= REREAD:
            for i in range(4):
                read_at[i] = after[i]
            return AGAIN
    turn = complex(math.cos(2 * math.pi * turns), -math.sin(2 * math.pi * turns))
    for i in range(count):
        matched[i] *= turn
    if abs(after[1]) > most_drift:
        after[1] = math.copysign(most_drift, after[1])
    moved(after, new_covariance, count - half, state, covariance)
    for i in range(4):
        covariance[i, i] += count * wander[i]
    return DONE


@numba.njit(**JIT)
def coherence_of_other_waveform(matched, values, phases, sign):  # type: ignore[no-untyped-def]
    """By how much neighbouring chirps agree better in phase if the waveform is the other one, over their magnitudes."""
    total = gain = 0.0
    for i in range(1, matched.size):
        here = matched[i] * phases[values[i]].conjugate()
        before = matched[i - 1] * phases[values[i - 1]].conjugate()
        turn = here * before.conjugate()
        angle = 2 * math.pi * sign * (values[i] - values[i - 1]) / phases.size
        size = math.sqrt(turn.real * turn.real + turn.imag * turn.imag)
        total += size
        gain += turn.real * (math.cos(angle) - 1.0) - turn.imag * math.sin(angle)
    return gain / total if total > 0.0 else 0.0
