"""The coding chain over many frames at once: nibbles to chirp symbols, decisions or metrics to nibbles, the verdict.

Symbols of a batch lie symbol-major, ``(num_symbols, num_frames)``: eight neighbours are the same symbol of eight
frames, which is what the lanes of the link take. A frame has at most two kinds of blocks, the first and the rest; every
function handles one kind. The tables (codebooks, labels, whitening, remainders) come from `lora_phy.coding`, so that
the rules stand in one place.
"""

from __future__ import annotations

import numpy as np
from numba import njit

from lora_phy.kernels.lanes import CACHE

OK, BAD_HEADER, BAD_CRC, UNDETECTED = 0, 1, 2, 3
"""Verdicts of `judge_frames`; UNDETECTED is a wrong payload that nothing in the frame contradicts."""


@njit(cache=CACHE, nogil=True)
def remainder(data, count, table):
    """The payload check: M(x) mod (x^16 + x^12 + x^5 + 1), no augmentation."""
    value = np.uint32(0)
    for i in range(count):
        value = (((value & np.uint32(0xFF)) << np.uint32(8)) | np.uint32(data[i])) ^ table[value >> np.uint32(8)]
    return value


@njit(cache=CACHE, nogil=True)
def frame_nibbles(payloads, header, has_crc, whitening, crc_table, out):
    """Header, whitened payload and CRC of each frame as nibbles; `out` ``(num_frames, >= nibbles)`` is zero beyond."""
    num_frames, payload_len = payloads.shape
    for f in range(num_frames):
        at = header.size
        # loops, here and below: numba compiles a slice's assignment together with the text of its error
        for i in range(at):
            out[f, i] = header[i]
        for i in range(payload_len):
            byte = payloads[f, i] ^ whitening[i]
            out[f, at] = byte & 15
            out[f, at + 1] = byte >> 4
            at += 2
        if has_crc:
            check = remainder(payloads[f], payload_len, crc_table)
            for i in range(4):
                out[f, at + i] = (check >> np.uint32(4 * i)) & np.uint32(15)
            at += 4
        for i in range(at, out.shape[1]):
            out[f, i] = 0


@njit(cache=CACHE, nogil=True)
def encode_blocks(nibbles, first_nibble, codebook, codeword_len, rows, symbol_of_label, symbols):
    """Nibbles ``(num_frames, ...)`` to symbols ``(num_blocks * codeword_len, num_frames)``, `rows` words a block."""
    num_frames = nibbles.shape[0]
    for block in range(symbols.shape[0] // codeword_len):
        at = first_nibble + block * rows
        for f in range(num_frames):
            for i in range(codeword_len):
                label = 0
                for j in range(rows):
                    word = codebook[nibbles[f, at + (i - j - 1) % rows]]
                    label = 2 * label + ((word >> (codeword_len - 1 - i)) & 1)
                symbols[block * codeword_len + i, f] = symbol_of_label[label]


@njit(cache=CACHE, nogil=True)
def decode_blocks(decisions, label_of_symbol, codeword_len, rows, hard_table, first_nibble, nibbles):
    """Hard symbols ``(num_blocks * codeword_len, num_frames)`` to nibbles, by the table of received words."""
    words = np.empty(rows, np.int64)
    for block in range(decisions.shape[0] // codeword_len):
        at = first_nibble + block * rows
        for f in range(decisions.shape[1]):
            for j in range(rows):
                words[j] = 0
            for i in range(codeword_len):
                label = np.int64(label_of_symbol[decisions[block * codeword_len + i, f]])
                place = (i - 1) % rows  # row (i - j - 1) mod rows of column j
                for j in range(rows):
                    words[place] = 2 * words[place] + ((label >> (rows - 1 - j)) & 1)
                    place = place - 1 if place else rows - 1
            for j in range(rows):
                nibbles[f, at + j] = hard_table[words[j]]


@njit(cache=CACHE, nogil=True)
def decode_blocks_soft(metrics, codeword_len, rows, signs, first_nibble, nibbles):
    """Bit metrics ``(num_blocks * codeword_len, num_frames, rows)`` to the most likely nibbles."""
    words = np.empty((rows, codeword_len), np.float32)
    for block in range(metrics.shape[0] // codeword_len):
        at = first_nibble + block * rows
        for f in range(metrics.shape[1]):
            for i in range(codeword_len):
                for j in range(rows):
                    words[(i - j - 1) % rows, i] = metrics[block * codeword_len + i, f, j]
            for j in range(rows):
                best, where = np.float32(-np.inf), 0
                for c in range(16):
                    total = np.float32(0)
                    for i in range(codeword_len):
                        total += signs[c, i] * words[j, i]
                    if total > best:
                        best, where = total, c
                nibbles[f, at + j] = where


@njit(cache=CACHE, nogil=True)
def judge_frames(received, sent, header_len, payload_len, has_crc, whitening, crc_table, verdicts):
    """What a receiver would say of each frame: OK, BAD_HEADER (any difference there), BAD_CRC or UNDETECTED."""
    payload = np.empty(payload_len, np.uint8)
    for f in range(received.shape[0]):
        verdicts[f] = OK
        for i in range(header_len):
            if received[f, i] != sent[f, i]:
                verdicts[f] = BAD_HEADER
        if verdicts[f] != OK:
            continue
        same = True
        end = header_len + 2 * payload_len
        for i in range(header_len, end):
            same = same and received[f, i] == sent[f, i]
        if has_crc:
            for i in range(payload_len):
                at = header_len + 2 * i
                payload[i] = (received[f, at] | (received[f, at + 1] << 4)) ^ whitening[i]
            check = remainder(payload, payload_len, crc_table)
            for i in range(4):
                if received[f, end + i] != (check >> np.uint32(4 * i)) & np.uint32(15):
                    verdicts[f] = BAD_CRC
        if verdicts[f] == OK and not same:
            verdicts[f] = UNDETECTED
