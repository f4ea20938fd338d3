"""Raw samples: bytes to IQ and back, in whatever pieces the bytes come.

format    a sample, little endian                      who writes it
cf32      two float32, I before Q                      GNU Radio, gr-lora
cs16      two int16, over 32768                        USRP, LimeSDR
cs8       two int8, over 128                           HackRF
cu8       two uint8, less 127.5, over 127.5            RTL-SDR
cs24, cs32, cf64                                       found in WAV files only
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any, BinaryIO, Literal, get_args

import numpy as np
import numpy.typing as npt

from lora_phy.arrays import IQ

SampleFormat = Literal["cf32", "cs16", "cs8", "cu8"]
CHUNK_SAMPLES = 1 << 18
_OTHER_NAMES = {
    "cfile": "cf32", "fc32": "cf32", "c64": "cf32", "complex64": "cf32", "sc16": "cs16", "ci16": "cs16", "sc8": "cs8",
    "ci8": "cs8", "c8": "cs8", "uc8": "cu8",
}  # fmt: skip


@dataclass(frozen=True)
class _Layout:
    """Bytes of one component, the type they are read as, and how a number becomes full scale 1."""

    size: int
    dtype: type[Any]
    scale: float = 1.0
    offset: float = 0.0


_LAYOUTS = {
    "cf32": _Layout(4, np.float32),
    "cs16": _Layout(2, np.int16, 32768.0),
    "cs8": _Layout(1, np.int8, 128.0),
    "cu8": _Layout(1, np.uint8, 127.5, 127.5),
    "cs24": _Layout(3, np.int32, 2.0**31),
    "cs32": _Layout(4, np.int32, 2.0**31),
    "cf64": _Layout(8, np.float64),
}


def sample_bytes(sample_format: str) -> int:
    """Bytes of one complex sample.

    Examples
    --------
    >>> sample_bytes("cf32"), sample_bytes("cu8")
    (8, 2)
    """
    return 2 * _LAYOUTS[sample_format].size


def to_samples(data: bytes, sample_format: str) -> IQ:
    """Complex64 samples of bytes that hold whole ones.

    Examples
    --------
    >>> to_samples(bytes([255, 0]), "cu8")
    array([1.-1.j], dtype=complex64)
    """
    layout = _LAYOUTS[sample_format]
    values: npt.NDArray[Any]
    if layout.size == 3:  # the upper three bytes of an int32
        wide = np.zeros((len(data) // 3, 4), dtype=np.uint8)
        wide[:, 1:] = np.frombuffer(data, dtype=np.uint8).reshape(-1, 3)
        values = wide.reshape(-1).view("<i4")
    else:
        values = np.frombuffer(data, dtype=np.dtype(layout.dtype).newbyteorder("<"))
    with np.errstate(over="ignore", invalid="ignore"):
        floats = values.astype(np.float32)
    if np.dtype(layout.dtype).kind != "f":
        floats = (floats - np.float32(layout.offset)) / np.float32(layout.scale)
    return floats.view(np.complex64)


def sample_chunks(
    handle: BinaryIO, sample_format: str, *, num_bytes: int | None = None, chunk_samples: int = CHUNK_SAMPLES
) -> Iterator[IQ]:
    """Samples of a binary stream as they come; a torn last sample is dropped.

    A pipe hands over what is there without waiting for a whole chunk. `num_bytes`: stop after so many.
    """
    size = sample_bytes(sample_format)
    read = getattr(handle, "read1", handle.read)
    left, rest = num_bytes, b""
    while left is None or left > 0:
        wanted = size * chunk_samples - len(rest)
        data = read(wanted if left is None else min(wanted, left))
        if not data:
            return
        left = None if left is None else left - len(data)
        data = rest + data
        whole = len(data) // size * size
        rest = data[whole:]
        if whole:
            yield to_samples(data[:whole], sample_format)


def format_of(path: str | Path, sample_format: str | None) -> SampleFormat:
    """The format as given, or as the file's suffix names it.

    Raises
    ------
    ValueError
        An unknown format, or none given where the suffix does not name one.
    """
    name = (sample_format or Path(path).suffix.lstrip(".")).lower()
    name = _OTHER_NAMES.get(name, name)
    if name not in get_args(SampleFormat):
        known = ", ".join(get_args(SampleFormat))
        if sample_format is None:
            raise ValueError(f"'sample_format' must be given, one of {known}: {Path(path).name!r} does not end in one")
        raise ValueError(f"'sample_format' must be one of {known} (got {name!r})")
    return name  # type: ignore[return-value]


def read_raw(path: str | Path, sample_format: SampleFormat | None = None) -> IQ:
    """Samples of a raw file, ``(n,)`` complex64; a torn last sample is dropped.

    Raises
    ------
    ValueError
        An unknown format, or none given where the suffix does not name one.
    """
    chunks = list(iterate_raw(path, sample_format))
    return np.concatenate(chunks) if chunks else np.empty(0, dtype=np.complex64)


def iterate_raw(
    path: str | Path, sample_format: SampleFormat | None = None, *, chunk_samples: int = 1 << 20
) -> Iterator[IQ]:
    """The samples of a raw file in chunks, for recordings larger than the memory."""
    name = format_of(path, sample_format)
    with Path(path).open("rb") as handle:
        yield from sample_chunks(handle, name, chunk_samples=chunk_samples)


def write_raw(path: str | Path, iq: npt.ArrayLike, sample_format: SampleFormat | None = None) -> None:
    """Write samples; integer formats clip at full scale 1."""
    layout = _LAYOUTS[format_of(path, sample_format)]
    values = np.ascontiguousarray(iq, dtype=np.complex64).view(np.float32)
    if layout.dtype is not np.float32:
        limits = np.iinfo(layout.dtype)
        values = np.clip(np.round(values * layout.scale + layout.offset), limits.min, limits.max)
    Path(path).write_bytes(values.astype(np.dtype(layout.dtype).newbyteorder("<")).tobytes())
