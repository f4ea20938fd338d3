"""WAV files of two channels, I and Q: their header; the samples behind it are raw ones.

Read here because the alternatives do not fit: the standard library knows no floating point, `scipy.io.wavfile` reads
whole files only, and a recorder pipes what has no end yet. RIFF, RF64 (beyond 4 GiB) and WAVE_FORMAT_EXTENSIBLE;
chunks other than "fmt " and "data" are passed over.

Source: Microsoft, "Multiple Channel Audio Data and WAVE Files"; EBU Tech 3306 (RF64).
"""

from __future__ import annotations

import struct
from dataclasses import dataclass
from typing import BinaryIO

_PCM, _FLOAT, _EXTENSIBLE = 1, 3, 0xFFFE
_FORMATS = {(_PCM, 8): "cu8", (_PCM, 16): "cs16", (_PCM, 24): "cs24", (_PCM, 32): "cs32"} | {
    (_FLOAT, 32): "cf32",
    (_FLOAT, 64): "cf64",
}
_OPEN_ENDED = (0, 0x7FFFF000, 0x7FFFFFFF, 0xFFFFFFFF, 0xFFFFFFFF - 36, 0xFFFFFFFF - 44)
"""Lengths that recorders write before they know how long the recording will be."""


@dataclass(frozen=True)
class WavHeader:
    """Sample rate, format of the samples, and bytes of them; None where the header leaves the end open."""

    sample_rate_hz: float
    sample_format: str
    num_bytes: int | None


def is_wav(first: bytes) -> bool:
    """Whether a stream that begins so (12 bytes) is a WAV."""
    return first[:4] in (b"RIFF", b"RF64") and first[8:12] == b"WAVE"


def read_wav_header(handle: BinaryIO, name: str) -> WavHeader:
    """Read up to the first sample.

    Raises
    ------
    ValueError
        No WAV; a header that is cut; one channel, or more than two; an encoding other than linear PCM of 8, 16, 24 or
        32 bits and floating point of 32 or 64.
    """
    if not is_wav(_exactly(handle, 12, name)):
        raise ValueError(f"{name} is no WAV file: it does not begin with RIFF … WAVE")
    found: tuple[int, str] | None = None
    large = 0
    while True:
        kind, size = struct.unpack("<4sI", _exactly(handle, 8, name))
        if kind == b"data":
            break
        body = _exactly(handle, size + size % 2, name)
        if kind == b"ds64" and size >= 16:
            large = struct.unpack_from("<Q", body, 8)[0]
        if kind == b"fmt ":
            found = _format(body, name)
    if found is None:
        raise ValueError(f"{name} has no 'fmt ' chunk before its samples")
    rate, sample_format = found
    if size == 0xFFFFFFFF and large:
        return WavHeader(float(rate), sample_format, large)
    return WavHeader(float(rate), sample_format, None if size in _OPEN_ENDED else size)


def _format(body: bytes, name: str) -> tuple[int, str]:
    if len(body) < 16:
        raise ValueError(f"{name} has a 'fmt ' chunk of {len(body)} bytes, less than 16")
    encoding, channels, rate, _, _, bits = struct.unpack_from("<HHIIHH", body)
    if encoding == _EXTENSIBLE and len(body) >= 26:
        encoding = struct.unpack_from("<H", body, 24)[0]
    if channels != 2:
        raise ValueError(f"{name} must have two channels, I and Q (got {channels}): audio of a receiver is no IQ")
    if (encoding, bits) not in _FORMATS:
        raise ValueError(
            f"{name} must hold PCM of 8, 16, 24 or 32 bits, or floating point of 32 or 64"
            f" (got encoding {encoding} of {bits} bits)"
        )
    if rate <= 0:
        raise ValueError(f"{name} must state a positive sample rate (got {rate})")
    return rate, _FORMATS[encoding, bits]


def _exactly(handle: BinaryIO, count: int, name: str) -> bytes:
    data = b""
    while len(data) < count:
        more = handle.read(count - len(data))
        if not more:
            raise ValueError(f"{name} is cut: it ends inside its WAV header, before the first sample")
        data += more
    return data
