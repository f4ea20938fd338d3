"""Joint soft decoding: symbol likelihoods and codewords inform each other, header and CRC included.

A chirp carries one bit of each codeword of its block, so a codeword that is sure of its bits says which of the chirp's
values are left. Demapper and decoder exchange that, bit by bit, as log-likelihood ratios (iterative demapping, BICM-ID:
X. Li, J. A. Ritcey, IEEE Comm. Lett. 1(6), 1997), both exact:

    demapper     L_j = ln sum_(labels with b_j = 1) p(label) prod_(i != j) e^(a_i b_i)  -  the same with b_j = 0
    code         a_j = ln sum_(codewords with b_j = 1) e^(sum_(i != j) L_i b_i)         -  the same with b_j = 0

One round without feedback is the usual bitwise decoding. The explicit header is a (17, 12) code on top: all 2048 legal
headers are scored and the likeliest taken, with its posterior probability. A failed CRC may be given a list of the
likeliest alternatives (`num_trials`): each trial is right by accident with probability 2**-16.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from functools import cache
from typing import Any

import numba
import numpy as np
import numpy.typing as npt

from lora_phy.arrays import Nibbles
from lora_phy.coding.chain import NUM_CRC_NIBBLES, Block, nibbles_to_bytes
from lora_phy.coding.crc import payload_crc
from lora_phy.coding.hamming import codebook
from lora_phy.coding.header import Header, header_checks
from lora_phy.coding.whitening import whiten
from lora_phy.kernels.cache import CAN_KEEP

_JIT: dict[str, Any] = {"cache": CAN_KEEP, "nogil": True, "no_cfunc_wrapper": True}

MAX_ROUNDS = 8
CERTAIN = 16.0
"""Nats by which every nibble of a block must lead its runner-up for one round to be enough."""
ODD_HEADER_PENALTY = 6.0
"""Nats against a header whose three unknown bits are not zero."""

UNEXPECTED_CRC_PENALTY = math.log(100.0)

LONG_INTERLEAVING_PENALTY = math.log(1000.0)
"""Nats against a header that announces long interleaving: rare, and nothing after it can contradict it."""

Metrics = npt.NDArray[np.float32]
_NONE_KNOWN = np.empty(0, np.int64)


@dataclass(frozen=True, kw_only=True)
class HeaderDecision:
    """The likeliest header, its posterior probability, and the five nibbles that say it."""

    header: Header
    probability: float
    nibbles: Nibbles


def decode_block(likelihoods: npt.NDArray[np.float32], block: Block, *, known: Nibbles | None = None) -> Metrics:
    """Log-likelihoods ``(num_codewords, 16)`` of every nibble of a block.

    Parameters
    ----------
    likelihoods
        ``(4 + cr, 2**num_codewords)``, of each label of each symbol, scaled so that the largest is 1.
    known
        Nibbles of the first codewords, where they are known already.

    Examples
    --------
    >>> block = Block(start=0, cr=4, reduced_rate=True, num_codewords=5)
    >>> certain = np.full((8, 32), 1e-6, np.float32)
    >>> certain[:, 0] = 1
    >>> decode_block(certain, block).argmax(axis=1)
    array([0, 0, 0, 0, 0])
    """
    metrics = np.empty((block.num_codewords, 16), dtype=np.float32)
    fixed = _NONE_KNOWN if known is None else known.astype(np.int64)
    _joint_rounds(likelihoods, block.num_codewords, _code_bits(block.cr), MAX_ROUNDS, fixed, metrics)
    return metrics


def decode_blocks(likelihoods: npt.NDArray[np.float32], num_codewords: int, cr: int) -> Metrics:
    """`decode_block` for equal blocks in a row: ``(n (4 + cr), 2**num_codewords)`` to ``(n num_codewords, 16)``."""
    num_blocks = len(likelihoods) // (4 + cr)
    metrics = np.empty((num_blocks * num_codewords, 16), dtype=np.float32)
    _joint_rounds(likelihoods, num_codewords, _code_bits(cr), MAX_ROUNDS, _NONE_KNOWN, metrics)
    return metrics


def search_header(metrics: Metrics, *, crc_expected: bool | None = None) -> HeaderDecision:
    """The likeliest of all headers whose checks hold, from the log-likelihoods ``(5, 16)`` of its nibbles.

    With `crc_expected`, a header with the other CRC flag counts as a hundred times rarer: a frame that is taken for one
    without a CRC has nothing left to contradict it.
    """
    words, checks = _legal_headers()
    without_crc = UNEXPECTED_CRC_PENALTY if crc_expected is True else 0.0
    with_crc = UNEXPECTED_CRC_PENALTY if crc_expected is False else 0.0
    penalties = (ODD_HEADER_PENALTY, without_crc, with_crc, LONG_INTERLEAVING_PENALTY)
    best, probability, upper = _best_header(metrics, words, checks, *penalties)
    word, check = int(words[best]), int(checks[best])
    nibbles = (word >> 8, word >> 4 & 15, word & 15, 2 * int(upper) + (check >> 4), check & 15)
    return HeaderDecision(
        header=Header(payload_len=word >> 4, cr=(word & 15) >> 1, crc=bool(word & 1)),
        probability=float(probability),
        nibbles=np.array(nibbles, dtype=np.uint8),
    )


def payload_from_metrics(
    metrics: Metrics, payload_len: int, *, crc: bool, num_trials: int = 0
) -> tuple[bytes, bool | None]:
    """Payload and its CRC's verdict from the log-likelihoods of the nibbles that follow the header.

    With a CRC that fails, up to `num_trials` likeliest replacements of the least certain nibbles are tried in order.
    """
    num_nibbles = 2 * payload_len + NUM_CRC_NIBBLES * crc
    nibbles = np.zeros(num_nibbles, dtype=np.uint8)
    nibbles[: len(metrics)] = metrics[:num_nibbles].argmax(axis=1)
    payload, crc_ok = _unpack(nibbles, payload_len, crc)
    if crc_ok is not False or num_trials <= 0 or len(metrics) < num_nibbles:
        return payload, crc_ok
    for trial in _trials(metrics[:num_nibbles], nibbles, num_trials):
        candidate, right = _unpack(trial, payload_len, crc)
        if right:
            return candidate, True
    return payload, False


def _unpack(nibbles: Nibbles, payload_len: int, crc: bool) -> tuple[bytes, bool | None]:
    payload = whiten(nibbles_to_bytes(nibbles[: 2 * payload_len])).tobytes()
    if not crc:
        return payload, None
    low, high = nibbles_to_bytes(nibbles[2 * payload_len :]).tolist()
    return payload, payload_crc(payload) == high << 8 | low


def _trials(metrics: Metrics, nibbles: Nibbles, count: int) -> list[Nibbles]:
    """Nibble sequences in order of likelihood: all combinations of the alternatives that cost least."""
    best = metrics[np.arange(len(metrics)), nibbles]
    loss = (best[:, np.newaxis] - metrics).astype(np.float64)
    loss[np.arange(len(metrics)), nibbles] = np.inf
    order = np.argsort(loss, axis=None)[: max(8, math.ceil(math.log2(count + 1)) + 6)]
    # merge: every subset of the cheapest single changes, at most one change a nibble
    sets: list[tuple[float, tuple[int, ...]]] = [(0.0, ())]
    for flat in order.tolist():
        cost = float(loss.flat[flat])
        if not math.isfinite(cost):
            break
        sets += [
            (total + cost, (*changes, flat)) for total, changes in sets if all(c >> 4 != flat >> 4 for c in changes)
        ]
        sets = sorted(sets)[: count + 1]
    result = []
    for _, changes in sets[1:]:
        trial = nibbles.copy()
        for flat in changes:
            trial[flat >> 4] = flat & 15
        result.append(trial)
    return result


@cache
def _code_bits(cr: int) -> npt.NDArray[np.uint8]:
    """Codewords as bits ``(16, 4 + cr)``, in the order of transmission."""
    return (codebook(cr)[:, np.newaxis] >> np.arange(3 + cr, -1, -1, dtype=np.uint8) & 1).astype(np.uint8)


@cache
def _legal_headers() -> tuple[npt.NDArray[np.int64], npt.NDArray[np.int64]]:
    """The twelve information bits of every header with a coding rate, and their five check bits."""
    words = [word for word in range(1 << 12) if (word & 15) >> 1]
    return np.array(words), np.array([header_checks(word) for word in words])


@numba.njit(**_JIT)
def _best_header(  # type: ignore[no-untyped-def]
    metrics, words, checks, odd_penalty, no_crc_penalty, crc_penalty,
    long_penalty,
):  # fmt: skip
    """Index of the header with the largest summed log-likelihood, its posterior, and the upper bits of its nibble 3.

    Those three bits are unknown and take their best value.
    """
    third, upper = np.empty(2, np.float64), np.empty(2, np.int64)
    for c4 in range(2):
        upper[c4] = 0
        third[c4] = metrics[3, c4]
        for bits in range(1, 8):
            if metrics[3, 2 * bits + c4] - odd_penalty > third[c4]:
                third[c4] = metrics[3, 2 * bits + c4] - odd_penalty
                upper[c4] = bits
    scores = np.empty(words.size, np.float64)
    best = 0
    for i in range(words.size):
        word, check = words[i], checks[i]
        scores[i] = (
            metrics[0, word >> 8]
            + metrics[1, word >> 4 & 15]
            + metrics[2, word & 15]
            + third[check >> 4]
            + metrics[4, check & 15]
            - (crc_penalty if word & 1 else no_crc_penalty)
            - (long_penalty if word & 15 >= 10 else 0.0)
        )
        if scores[i] > scores[best]:
            best = i
    total = 0.0
    for i in range(words.size):
        if scores[i] > scores[best] - 40.0:
            total += math.exp(scores[i] - scores[best])
    return best, 1.0 / total, upper[checks[best] >> 4]


@numba.njit(fastmath={"reassoc", "contract", "nsz", "arcp"}, **_JIT)
def _joint_rounds(  # type: ignore[no-untyped-def]
    likelihoods, num_codewords, code, rounds, fixed, metrics
):
    """Fill `metrics`, block by block; a block is done when its decisions no longer change."""
    length = code.shape[1]
    num_labels = likelihoods.shape[1]
    tiny = np.float32(1e-30)
    prior = np.empty((num_codewords, length), np.float32)
    channel = np.empty((num_codewords, length), np.float32)
    decisions = np.empty(num_codewords, np.int64)
    weight, factor = np.empty(num_labels, np.float32), np.empty(num_labels, np.float32)
    posterior = np.empty(16, np.float32)
    for block in range(likelihoods.shape[0] // length):
        first, at = block * length, block * num_codewords
        for c in range(num_codewords):
            decisions[c] = -1
            for i in range(length):
                prior[c, i] = 0.0
                if c < fixed.size:
                    prior[c, i] = 20.0 if code[fixed[c], i] else -20.0
        for turn in range(rounds):
            for i in range(length):
                # column j of symbol i is bit i of codeword (i - j - 1) mod num_codewords; the most significant first
                factor[0] = 1.0
                width = 1
                for j in range(num_codewords - 1, -1, -1):
                    a = prior[(i - j - 1) % num_codewords, i]
                    # exp(min(a, 0)) and exp(min(-a, 0)): one of them is 1, and nothing is known before the first round
                    less = np.float32(math.exp(-abs(a))) if a != 0.0 else np.float32(1.0)
                    if a <= 0.0:
                        for k in range(width):
                            factor[width + k] = factor[k] * less
                    else:
                        for k in range(width):
                            factor[width + k] = factor[k]
                        for k in range(width):
                            factor[k] *= less
                    width *= 2
                for k in range(num_labels):
                    weight[k] = factor[k] * likelihoods[first + i, k]
                width = num_labels
                for j in range(num_codewords):
                    width //= 2
                    zeros = np.float32(0.0)
                    ones = np.float32(0.0)
                    for k in range(width):
                        zeros += weight[k]
                    for k in range(width):
                        ones += weight[width + k]
                    for k in range(width):
                        weight[k] += weight[width + k]
                    c = (i - j - 1) % num_codewords
                    channel[c, i] = math.log(ones + tiny) - math.log(zeros + tiny) - prior[c, i]
            changed = 0
            margin = np.float32(1e30)
            for c in range(num_codewords):
                best = 0
                for word in range(16):
                    total = np.float32(0.0)
                    for i in range(length):
                        total += channel[c, i] * code[word, i]
                    metrics[at + c, word] = total
                    if total > metrics[at + c, best]:
                        best = word
                second = np.float32(-1e30)
                for word in range(16):
                    if word != best:
                        second = max(second, metrics[at + c, word])
                margin = min(margin, metrics[at + c, best] - second)
                if best != decisions[c]:
                    changed += 1
                    decisions[c] = best
            if (turn >= 1 and changed == 0) or margin > CERTAIN or turn == rounds - 1:
                break
            for c in range(fixed.size, num_codewords):
                best = decisions[c]
                for word in range(16):
                    posterior[word] = math.exp(metrics[at + c, word] - metrics[at + c, best])
                for i in range(length):
                    zeros = np.float32(0.0)
                    ones = np.float32(0.0)
                    for word in range(16):
                        if code[word, i]:
                            ones += posterior[word]
                        else:
                            zeros += posterior[word]
                    prior[c, i] = math.log(ones + tiny) - math.log(zeros + tiny) - channel[c, i]
