r"""Program text to units that cross the link, and back to text with the place of every character.

A *unit* is what a fragment is cut into: a byte (``utf8``) or a token id of 17 bits (``token_ids``)::

    text ── encode_units ──► units, spans ── pack_units ──► bytes │ link │ bytes ── unpack_units ──► units, mask
    DecodedText(text, spans, erasures) ◄── decode_units ────────────┘

`spans` says, in bytes of the transmitted text's UTF-8 form, what each unit stands for; after the link it says what each
received character stands for. Missing units come as runs of a boolean mask: each run is an *erasure*, one U+FFFD.

UTF-8 is decoded with ``errors="replace"``: one U+FFFD for each maximal ill-formed subsequence (Unicode, section 3.9).
Token ids hold Llama-3's 128,256 entries in 17 bits; a received id outside the vocabulary, or special, becomes U+FFFD
and never reaches a model as a control token. No torch and no transformers are imported here.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from itertools import accumulate, pairwise

import numpy as np
import numpy.typing as npt

from llm_bridge.transport.items import REPLACEMENT_CHARACTER
from llm_bridge.transport.tokenizer import TOKEN_ID_BITS, Tokenizer

NOT_ASCII = re.compile(rb"[\x80-\xff]+")

Ints = npt.NDArray[np.int64]
Mask = npt.NDArray[np.bool_]


@dataclass(frozen=True)
class SourceText:
    """A text as units.

    Parameters
    ----------
    units
        ``(num_units,)`` values below ``2**unit_bits``.
    spans
        ``(num_units, 2)`` start and end of each unit in the text's UTF-8 bytes; they follow each other without gaps.
    unit_bits
        8 (bytes) or 17 (token ids).
    """

    units: Ints
    spans: Ints
    unit_bits: int


@dataclass(frozen=True)
class DecodedText:
    """Received text, with the transmitted bytes behind each character.

    Parameters
    ----------
    text
        Each erasure is one U+FFFD.
    spans
        ``(len(text), 2)`` start and end, in the transmitted text's UTF-8 bytes, of what each character stands for.
    erasures
        Byte spans of the transmitted text that are missing.
    """

    text: str
    spans: Ints
    erasures: tuple[tuple[int, int], ...]


@dataclass(frozen=True)
class SourceCoding:
    """A way to turn text into units; one entry of `SOURCE_CODINGS`."""

    unit_bits: int
    encode: Callable[[str, Tokenizer | None], SourceText]
    pieces: Callable[[Ints, Mask, Tokenizer | None], tuple[list[str], Mask]] = field(repr=False)


def encode_units(text: str, coding: str, tokenizer: Tokenizer | None = None) -> SourceText:
    r"""Units of a text.

    Parameters
    ----------
    text
        Any text that has a UTF-8 form.
    coding
        A key of `SOURCE_CODINGS`: "utf8" or "token_ids".
    tokenizer
        Needed by "token_ids". It must be lossless on `text`.

    Raises
    ------
    ValueError
        Unknown coding; no tokenizer where one is needed; a tokenizer that does not give the text back.

    Examples
    --------
    >>> encode_units("a\n", "utf8").units.tolist()
    [97, 10]
    """
    return find_coding(coding).encode(text, tokenizer)


def find_coding(name: str) -> SourceCoding:
    """The source coding called `name`; a `ValueError` that lists the known ones otherwise."""
    if name not in SOURCE_CODINGS:
        raise ValueError(f"'source_coding' must be one of {', '.join(SOURCE_CODINGS)} (got {name!r})")
    return SOURCE_CODINGS[name]


def pack_units(units: npt.ArrayLike, unit_bits: int) -> bytes:
    """Units as bytes: each unit most significant bit first, units in order, zero bits up to a whole byte.

    Examples
    --------
    >>> pack_units([1, 2], 17).hex()
    '0000800080'
    """
    values = np.asarray(units, dtype=np.int64).reshape(-1)
    if unit_bits == 8:
        return values.astype(np.uint8).tobytes()
    shifts = np.arange(unit_bits - 1, -1, -1)
    bits = ((values[:, None] >> shifts) & 1).astype(np.uint8)
    return np.packbits(bits.reshape(-1)).tobytes()


def unpack_units(data: bytes, unit_bits: int) -> Ints:
    """Inverse of `pack_units`: as many whole units as `data` holds (padding may look like one more of a narrow unit).

    Examples
    --------
    >>> unpack_units(bytes.fromhex("0000800080"), 17).tolist()
    [1, 2]
    """
    if unit_bits == 8:
        return np.frombuffer(data, dtype=np.uint8).astype(np.int64)
    bits = np.unpackbits(np.frombuffer(data, dtype=np.uint8))
    num_units = bits.size // unit_bits
    weights = np.int64(1) << np.arange(unit_bits - 1, -1, -1)
    return bits[: num_units * unit_bits].reshape(num_units, unit_bits).astype(np.int64) @ weights


def decode_units(
    units: npt.ArrayLike, present: npt.ArrayLike, source: SourceText, coding: str, tokenizer: Tokenizer | None = None
) -> DecodedText:
    r"""Text of received units, with erasures and the place of every character.

    Units that arrived but cannot be read because an erasure cut their character in two belong to that erasure.

    Parameters
    ----------
    units
        ``(num_units,)`` received values; where `present` is false they are ignored.
    present
        ``(num_units,)`` booleans; each run of false is one erasure.
    source
        What was sent: only its spans are used, never its units.

    Examples
    --------
    >>> source = encode_units("abcdef", "utf8")
    >>> decode_units(source.units, [1, 0, 0, 1, 1, 1], source, "utf8")
    DecodedText(text='a\ufffddef', spans=array([[0, 1], [1, 3], [3, 4], [4, 5], [5, 6]]), erasures=((1, 3),))
    """
    values = np.asarray(units, dtype=np.int64)
    if find_coding(coding).unit_bits == 8 and (data := values.astype(np.uint8).tobytes()).isascii():
        return _decode_ascii(data.decode("ascii"), np.asarray(present, dtype=bool), source.spans)
    pieces, mask = find_coding(coding).pieces(values, np.asarray(present, dtype=bool), tokenizer)
    bytewise, long = find_coding(coding).unit_bits == 8, False  # long: some character has more than one byte
    text: list[str] = []
    spans: list[npt.ArrayLike] = []
    erasures: list[tuple[int, int]] = []
    for start, end, here in _runs(mask):
        if not here:
            erasure = (int(source.spans[start, 0]), int(source.spans[end - 1, 1]))
            erasures.append(erasure)
            text.append(REPLACEMENT_CHARACTER)
            spans.append([erasure])
            continue
        run, places = pieces[start:end], source.spans[start:end]
        text.append("".join(run))
        if bytewise:  # a piece is a character at its first byte, or nothing at the others
            whole = len(text[-1]) == len(run)
            long |= not whole
            spans.append(places if whole else places[np.fromiter(map(len, run), np.int64, len(run)) > 0])
        else:
            characters = [_character_spans(piece, *span) for piece, span in zip(run, places.tolist(), strict=True)]
            spans.append(np.array([span for piece in characters for span in piece], np.int64).reshape(-1, 2))
    joined = np.concatenate(spans).reshape(-1, 2) if spans else np.zeros((0, 2), np.int64)
    if long:
        joined = _close_characters(joined, source.spans)
    return DecodedText("".join(text), joined, tuple(erasures))


def _decode_ascii(characters: str, present: Mask, unit_spans: Ints) -> DecodedText:
    """`decode_units` where every byte that arrived is a character."""
    text, spans, erasures = [], [], []
    for start, end, here in _runs(present):
        if here:
            text.append(characters[start:end])
            spans.append(unit_spans[start:end])
            continue
        erasures.append((int(unit_spans[start, 0]), int(unit_spans[end - 1, 1])))
        text.append(REPLACEMENT_CHARACTER)
        spans.append(np.array(erasures[-1:]))
    joined = spans[0] if len(spans) == 1 else np.concatenate(spans) if spans else np.zeros((0, 2), np.int64)
    return DecodedText("".join(text), joined, tuple(erasures))


# --- one coding after the other


def _encode_utf8(text: str, tokenizer: Tokenizer | None) -> SourceText:
    units = np.frombuffer(text.encode(), dtype=np.uint8).astype(np.int64)
    spans = np.arange(units.size, dtype=np.int64)[:, np.newaxis] + np.array([0, 1])
    return SourceText(units, spans, 8)


def _utf8_pieces(units: Ints, present: Mask, tokenizer: Tokenizer | None) -> tuple[list[str], Mask]:
    """Characters of each run of bytes; the bytes of a character stand as ``[character, "", …]``."""
    mask = present.copy()
    pieces = [""] * units.size
    for start, end, here in _runs(present):
        if not here:
            continue
        data = units[start:end].astype(np.uint8).tobytes()
        pieces[start:end] = data.decode("latin-1")  # right for ASCII; the stretches of other bytes follow
        first, last = 0, len(data)
        if start > 0:  # after an erasure: the tail of a character whose head is missing
            while first < min(3, last) and 0x80 <= data[first] < 0xC0:
                first += 1
        for stretch in NOT_ASCII.finditer(data, first):
            low, high = stretch.span()
            characters, cut = _decode_utf8(stretch[0])
            if high == len(data) and end < units.size:  # an erasure follows: the last character may lack its tail
                last = low + cut
            pieces[start + low : start + high] = [""] * (high - low)
            for place, character in characters:
                if low + place < last:
                    pieces[start + low + place] = character
        mask[start : start + first] = False
        mask[start + last : end] = False
    return pieces, mask


def _decode_utf8(data: bytes) -> tuple[list[tuple[int, str]], int]:
    """``(offset, character)`` pairs of ``data.decode(errors="replace")``, and where an unfinished character begins."""
    characters: list[tuple[int, str]] = []
    offset, cut = 0, len(data)
    while offset < len(data):
        try:
            good, bad = data[offset:].decode(), None
        except UnicodeDecodeError as error:
            good, bad = data[offset : offset + error.start].decode(), error
        for character in good:
            characters.append((offset, character))
            offset += len(character.encode())
        if bad is not None:
            characters.append((offset, REPLACEMENT_CHARACTER))
            if bad.reason == "unexpected end of data":
                cut = offset
            offset += bad.end - bad.start
    return characters, cut


def _close_characters(spans: Ints, unit_spans: Ints) -> Ints:
    """Stretch the span of a character of several bytes over all of them: up to the next character, or to the end."""
    if spans.size == 0:
        return spans
    ends = np.append(spans[1:, 0], unit_spans[-1, 1])
    return np.stack([spans[:, 0], np.maximum(spans[:, 1], ends)], axis=-1)


def _encode_token_ids(text: str, tokenizer: Tokenizer | None) -> SourceText:
    if tokenizer is None:
        raise ValueError("'tokenizer' must be given with source_coding 'token_ids' (got None)")
    ids = tokenizer.tokenize(text)
    pieces = _token_pieces(ids, tokenizer)
    if "".join(pieces) != text:
        raise ValueError(f"'tokenizer' must give the text back unchanged; use 'utf8' for {text[:40]!r}…")
    ends = np.cumsum([0, *(len(piece.encode()) for piece in pieces)])
    spans = np.array(list(pairwise(ends.tolist())), dtype=np.int64).reshape(-1, 2)
    return SourceText(np.array(ids, dtype=np.int64), spans, TOKEN_ID_BITS)


def _token_id_pieces(units: Ints, present: Mask, tokenizer: Tokenizer | None) -> tuple[list[str], Mask]:
    """Text of each token; ids that are not text give U+FFFD; halves of characters beside an erasure join it."""
    if tokenizer is None:
        raise ValueError("'tokenizer' must be given with source_coding 'token_ids' (got None)")
    special = np.array(sorted(tokenizer.special_ids), dtype=np.int64)
    readable = present & (units < tokenizer.vocab_size) & ~np.isin(units, special)
    pieces = [REPLACEMENT_CHARACTER] * units.size
    mask = present.copy()
    for start, end, here in _runs(readable):
        if not here:
            continue
        pieces[start:end] = _token_pieces(units[start:end].tolist(), tokenizer)
        first, last = start, end
        while start > 0 and not present[start - 1] and first < last and _is_half(pieces[first]):
            first += 1
        while end < units.size and not present[end] and first < last and _is_half(pieces[last - 1]):
            last -= 1
        mask[start:first] = False
        mask[last:end] = False
    return pieces, mask


def _is_half(piece: str) -> bool:
    return piece != "" and not piece.strip(REPLACEMENT_CHARACTER)


def _token_pieces(ids: Sequence[int], tokenizer: Tokenizer) -> list[str]:
    """Text that each token adds to the run; the last token of a split character carries it."""
    whole = tokenizer.detokenize(ids)
    pieces = [tokenizer.detokenize([index]) for index in ids]
    if "".join(pieces) == whole:
        return pieces
    ends = [0]
    for count in range(1, len(ids) + 1):
        prefix = tokenizer.detokenize(ids[:count])
        if count < len(ids):
            prefix = prefix.rstrip(REPLACEMENT_CHARACTER)
        agree = len(prefix) if whole.startswith(prefix) else ends[-1]
        ends.append(max(ends[-1], agree))
    ends[-1] = len(whole)
    return [whole[start:end] for start, end in pairwise(ends)]


# --- helpers


def _runs(mask: Mask) -> list[tuple[int, int, bool]]:
    """Maximal runs ``(start, end, value)`` of a mask."""
    if mask.all():
        return [(0, mask.size, True)] if mask.size else []
    edges = [0, *(np.flatnonzero(mask[1:] != mask[:-1]) + 1).tolist(), mask.size]
    return [(start, end, bool(mask[start])) for start, end in pairwise(edges) if start < end]


def _character_spans(piece: str, start: int, end: int) -> list[tuple[int, int]]:
    """Spread a piece's characters over the span of its unit: exact where the lengths agree, in proportion else."""
    if len(piece) == 1:
        return [(start, end)]
    edges = list(accumulate((len(character.encode()) for character in piece), initial=0))
    width, total = end - start, edges[-1]
    return [(start + first * width // total, start - (-last * width // total)) for first, last in pairwise(edges)]


SOURCE_CODINGS: dict[str, SourceCoding] = {
    "utf8": SourceCoding(8, _encode_utf8, _utf8_pieces),
    "token_ids": SourceCoding(TOKEN_ID_BITS, _encode_token_ids, _token_id_pieces),
}
"""Source codings by name: a new one is one entry here."""
