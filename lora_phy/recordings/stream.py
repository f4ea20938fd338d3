"""A recording of any kind, whole (`read_recording`) or as it comes (`open_recording`), files and pipes alike."""

from __future__ import annotations

import io
import os
import stat
import sys
import warnings
from collections.abc import Iterator
from dataclasses import dataclass, field
from datetime import datetime
from pathlib import Path
from typing import BinaryIO

import numpy as np

from lora_phy.arrays import IQ
from lora_phy.params import LoRaParams
from lora_phy.recordings.raw import SampleFormat, format_of, read_raw, sample_bytes, sample_chunks
from lora_phy.recordings.sigmf import Metadata, read_metadata, sigmf_paths
from lora_phy.recordings.wav import is_wav, read_wav_header

PIPE_FORMAT: SampleFormat = "cf32"
"""What a pipe is taken to carry where nothing says otherwise: what GNU Radio writes."""


@dataclass(frozen=True, eq=False, kw_only=True)
class Recording:
    """IQ with what its metadata says; `params` is None where that names no LoRa parameters.

    Parameters
    ----------
    iq
        ``(n,)`` complex64, full scale 1.
    sample_rate_hz
        Samples per second.
    frequency_hz
        Radio frequency of the recording's centre, where it is known.
    center_offset_hz
        Frequency of the LoRa channel against the centre.
    params
        LoRa parameters, where the metadata holds them.
    start_time
        Instant of the first sample, where it is known.
    """

    iq: IQ
    sample_rate_hz: float
    frequency_hz: float | None = None
    center_offset_hz: float = 0.0
    params: LoRaParams | None = None
    start_time: datetime | None = None


@dataclass(frozen=True, eq=False, kw_only=True)
class RecordingStream:
    """A recording that is read as it comes: `chunks` yields its samples once; the rest is as in `Recording`.

    `sample_rate_hz` is None for raw samples, whose files do not say it; `assumed_format` is True where nothing named
    the sample format, `live` where samples come from a pipe.
    """

    name: str
    chunks: Iterator[IQ] = field(repr=False)
    sample_format: str
    assumed_format: bool = False
    live: bool = False
    sample_rate_hz: float | None = None
    frequency_hz: float | None = None
    center_offset_hz: float = 0.0
    params: LoRaParams | None = None
    start_time: datetime | None = None


def open_recording(path: str | Path, *, sample_format: SampleFormat | None = None) -> RecordingStream:
    """Open a file, a named pipe, or the standard input (``-``): SigMF, WAV or raw samples.

    Parameters
    ----------
    path
        Either file of a SigMF recording or their common stem, a WAV, or raw samples whose suffix names their format.
    sample_format
        Of raw samples: "cf32", "cs16", "cs8" or "cu8". A pipe that does not say is taken for cf32, or for a WAV where
        it begins like one.

    Raises
    ------
    OSError
        The file cannot be read.
    ValueError
        Metadata or a WAV header that makes no sense, each named; a file whose format nothing tells.
    """
    path = Path(path)
    if str(path) != "-" and not _is_pipe(path) and _has_metadata(path):
        return _open_sigmf(path)
    if str(path) == "-":
        name, handle, piped = "the standard input", _standard_input(), True
    else:
        name, handle, piped = path.name, path.open("rb"), _is_pipe(path)
    # peeking waits for the first byte of a pipe, as reading would
    first = handle.peek(12)[:12] if isinstance(handle, io.BufferedReader) and sample_format is None else b""
    if is_wav(first) or (path.suffix.lower() == ".wav" and sample_format is None):
        header = read_wav_header(handle, name)
        return RecordingStream(
            name=name,
            chunks=_wav_samples(handle, header.sample_format, header.num_bytes, name),
            sample_format=header.sample_format,
            sample_rate_hz=header.sample_rate_hz,
            live=piped,
        )
    try:
        known = format_of(path, sample_format)
    except ValueError:
        if sample_format is not None or not piped:
            handle.close()
            raise
        known = None
    return RecordingStream(
        name=name,
        chunks=_raw_samples(handle, known or PIPE_FORMAT),
        sample_format=known or PIPE_FORMAT,
        assumed_format=known is None,
        live=piped,
    )


def read_recording(
    path: str | Path, *, sample_rate_hz: float | None = None, sample_format: SampleFormat | None = None
) -> Recording:
    """A whole recording: SigMF, WAV or raw samples.

    Parameters
    ----------
    path
        Either file of a SigMF recording or their common stem, a WAV, or raw samples whose suffix names their format.
    sample_rate_hz
        Needed for raw samples, whose files do not say it; takes the place of what another file says.
    sample_format
        Of raw samples whose suffix does not name it.

    Raises
    ------
    OSError
        The file cannot be read.
    ValueError
        No sample rate for raw samples; metadata or a WAV header that makes no sense, each named.
    """
    stream = open_recording(path, sample_format=sample_format)
    rate = stream.sample_rate_hz if sample_rate_hz is None else sample_rate_hz
    if rate is None:
        raise ValueError("'sample_rate_hz' must be given for a raw recording (got None)")
    chunks = list(stream.chunks)
    return Recording(
        iq=np.concatenate(chunks) if chunks else np.empty(0, dtype=np.complex64),
        sample_rate_hz=float(rate),
        frequency_hz=stream.frequency_hz,
        center_offset_hz=stream.center_offset_hz,
        params=stream.params,
        start_time=stream.start_time,
    )


def read_sigmf(path: str | Path) -> Recording:
    """A SigMF recording, by the path of either file or their common stem.

    Raises
    ------
    OSError
        A file is missing, or cannot be read.
    ValueError
        Metadata that is no SigMF, or samples of a type other than `SampleFormat`.
    """
    metadata = read_metadata(path)
    return Recording(
        iq=read_raw(sigmf_paths(path)[1], metadata.sample_format),
        sample_rate_hz=metadata.sample_rate_hz,
        frequency_hz=metadata.frequency_hz,
        center_offset_hz=metadata.center_offset_hz,
        params=metadata.params,
        start_time=metadata.start_time,
    )


def _open_sigmf(path: Path) -> RecordingStream:
    metadata: Metadata = read_metadata(path)
    _, data = sigmf_paths(path)
    return RecordingStream(
        name=data.name,
        chunks=_raw_samples(data.open("rb"), metadata.sample_format),
        sample_format=metadata.sample_format,
        sample_rate_hz=metadata.sample_rate_hz,
        frequency_hz=metadata.frequency_hz,
        center_offset_hz=metadata.center_offset_hz,
        params=metadata.params,
        start_time=metadata.start_time,
    )


def _raw_samples(handle: BinaryIO, sample_format: str) -> Iterator[IQ]:
    with handle:
        yield from sample_chunks(handle, sample_format)


def _wav_samples(handle: BinaryIO, sample_format: str, num_bytes: int | None, name: str) -> Iterator[IQ]:
    count = 0
    with handle:
        for chunk in sample_chunks(handle, sample_format, num_bytes=num_bytes):
            count += len(chunk)
            yield chunk
    announced = 0 if num_bytes is None else num_bytes // sample_bytes(sample_format)
    if count < announced:
        warnings.warn(f"{name} is cut: its header announces {announced} samples, {count} are there", stacklevel=2)


def _standard_input() -> BinaryIO:
    if sys.stdin is None:
        raise OSError("the standard input is closed")
    return io.BufferedReader(io.FileIO(os.dup(sys.stdin.fileno())), 1 << 16)


def _is_pipe(path: Path) -> bool:
    try:
        mode = path.stat().st_mode
    except OSError:
        return False
    return stat.S_ISFIFO(mode) or stat.S_ISCHR(mode) or stat.S_ISSOCK(mode)


def _has_metadata(path: Path) -> bool:
    named = path.suffix in (".sigmf-meta", ".sigmf-data", ".sigmf")
    # a file that is there is read itself, even where a SigMF recording of the same stem lies beside it
    return named or (bool(path.name) and not path.is_file() and path.with_suffix(".sigmf-meta").exists())
