"""Recordings: IQ in files, raw or with SigMF metadata beside it.

    name.sigmf-meta     JSON: sample rate, centre frequency, and per capture the `lora:*` keys that gr-lora uses
    name.sigmf-data     the samples
    name.cf32 …         samples alone: cf32 (complex64), cs16, cs8, cu8, little endian, I before Q

Integer samples are scaled to full scale 1. SigMF: https://sigmf.org; written here without its library, and checked
against it in the tests.
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal, get_args

import numpy as np
import numpy.typing as npt

from lora_phy.arrays import IQ
from lora_phy.params import LoRaParams

SampleFormat = Literal["cf32", "cs16", "cs8", "cu8"]
SIGMF_VERSION = "1.2.5"

_DTYPES: dict[str, tuple[type[Any], float, float]] = {  # (of one component, scale, offset)
    "cf32": (np.float32, 1.0, 0.0),
    "cs16": (np.int16, 32768.0, 0.0),
    "cs8": (np.int8, 128.0, 0.0),
    "cu8": (np.uint8, 127.5, 127.5),
}
_SIGMF_TYPES = {"cf32_le": "cf32", "ci16_le": "cs16", "ci8": "cs8", "cu8": "cu8"}


@dataclass(frozen=True, eq=False, kw_only=True)
class Recording:
    """IQ with what its metadata says; `params` is None where that names no LoRa parameters."""

    iq: IQ
    sample_rate_hz: float
    frequency_hz: float | None = None
    center_offset_hz: float = 0.0
    params: LoRaParams | None = None


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
    dtype, scale, offset = _component(path, sample_format)
    with Path(path).open("rb") as handle:
        while True:
            data = handle.read(2 * chunk_samples * np.dtype(dtype).itemsize)
            values = np.frombuffer(
                data, dtype=np.dtype(dtype).newbyteorder("<"), count=len(data) // np.dtype(dtype).itemsize
            )
            values = values[: len(values) // 2 * 2]
            if len(values) == 0:
                return
            floats = values.astype(np.float32)
            if dtype is not np.float32:
                floats = (floats - np.float32(offset)) / np.float32(scale)
            yield floats.view(np.complex64)


def write_raw(path: str | Path, iq: npt.ArrayLike, sample_format: SampleFormat | None = None) -> None:
    """Write samples; integer formats clip at full scale 1."""
    dtype, scale, offset = _component(path, sample_format)
    values = np.ascontiguousarray(iq, dtype=np.complex64).view(np.float32)
    if dtype is not np.float32:
        limits = np.iinfo(dtype)
        values = np.clip(np.round(values * scale + offset), limits.min, limits.max)
    Path(path).write_bytes(values.astype(np.dtype(dtype).newbyteorder("<")).tobytes())


def read_sigmf(path: str | Path) -> Recording:
    """A SigMF recording, by the path of either file or their common stem.

    Raises
    ------
    ValueError
        Metadata that is no SigMF, or samples of a type other than `SampleFormat`.
    """
    meta_path, data_path = _sigmf_paths(path)
    try:
        meta = json.loads(meta_path.read_text(encoding="utf-8"))
        header = meta["global"]
        datatype, rate = header["core:datatype"], float(header["core:sample_rate"])
    except (KeyError, TypeError, ValueError) as error:
        raise ValueError(f"{meta_path.name} is no SigMF metadata: {error!r}") from error
    if datatype not in _SIGMF_TYPES:
        raise ValueError(f"'core:datatype' must be one of {', '.join(_SIGMF_TYPES)} (got {datatype!r})")
    sample_format = _SIGMF_TYPES[datatype]
    captures = meta.get("captures") or [{}]
    capture = {**header, **captures[0]}
    frequency = capture.get("core:frequency")
    carrier = capture.get("lora:frequency")
    offset = float(carrier) - float(frequency) if carrier is not None and frequency is not None else 0.0
    return Recording(
        iq=read_raw(data_path, sample_format),  # type: ignore[arg-type]
        sample_rate_hz=rate,
        frequency_hz=None if frequency is None else float(frequency),
        center_offset_hz=offset,
        params=_params_from(capture, rate),
    )


def write_sigmf(
    path: str | Path,
    iq: npt.ArrayLike,
    params: LoRaParams,
    *,
    sample_rate_hz: float | None = None,
    frequency_hz: float = 868.1e6,
    center_offset_hz: float = 0.0,
    sample_format: SampleFormat = "cf32",
    frames: Sequence[Any] = (),
) -> Path:
    """Write samples and metadata; `frames` (of `RxFrame`) become annotations. Returns the metadata's path."""
    meta_path, data_path = _sigmf_paths(path, must_exist=False)
    datatype = next(name for name, own in _SIGMF_TYPES.items() if own == sample_format)
    capture = {
        "core:sample_start": 0,
        "core:frequency": frequency_hz,
        "lora:frequency": frequency_hz + center_offset_hz,
        "lora:sf": params.sf,
        "lora:cr": params.cr,
        "lora:bw": params.bandwidth_hz,
        "lora:prlen": params.preamble_len,
        "lora:crc": params.crc,
        "lora:implicit": not params.explicit_header,
    }
    if params.sync_word is not None:
        capture["lora:sync_word"] = params.sync_word
    if params.inverted_iq:
        capture["lora:inverted_iq"] = True
    if params.ldro is not None:
        capture["lora:ldro"] = params.ldro
    if params.payload_len is not None:
        capture["lora:payload_len"] = params.payload_len
    annotations = [
        {
            "core:sample_start": max(frame.start_sample, 0),
            "core:label": "LoRa frame",
            "core:comment": f"{frame.status}: {frame.payload.hex()}",
        }
        for frame in frames
    ]
    meta = {
        "global": {
            "core:datatype": datatype,
            "core:sample_rate": params.sample_rate_hz if sample_rate_hz is None else sample_rate_hz,
            "core:version": SIGMF_VERSION,
            "core:description": "LoRa",
            "core:extensions": [{"name": "lora", "version": "0.1.0", "optional": True}],
        },
        "captures": [capture],
        "annotations": annotations,
    }
    write_raw(data_path, iq, sample_format)
    meta_path.write_text(json.dumps(meta, indent=2) + "\n", encoding="utf-8")
    return meta_path


def read_recording(
    path: str | Path, *, sample_rate_hz: float | None = None, sample_format: SampleFormat | None = None
) -> Recording:
    """SigMF where there is metadata, else raw samples; `sample_rate_hz` is then needed."""
    path = Path(path)
    if path.suffix in (".sigmf-meta", ".sigmf-data") or path.with_suffix(".sigmf-meta").exists():
        return read_sigmf(path)
    if sample_rate_hz is None:
        raise ValueError("'sample_rate_hz' must be given for a raw recording (got None)")
    return Recording(iq=read_raw(path, sample_format), sample_rate_hz=sample_rate_hz)


def _params_from(capture: dict[str, Any], rate: float) -> LoRaParams | None:
    if "lora:sf" not in capture:
        return None
    bandwidth = float(capture.get("lora:bw", 125e3))
    ratio = rate / bandwidth
    return LoRaParams(
        sf=int(capture["lora:sf"]),
        bandwidth_hz=bandwidth,
        cr=int(capture.get("lora:cr", 1)),
        explicit_header=not bool(capture.get("lora:implicit", False)),
        crc=bool(capture.get("lora:crc", True)),
        preamble_len=int(capture.get("lora:prlen", 8)),
        sync_word=capture.get("lora:sync_word"),
        inverted_iq=bool(capture.get("lora:inverted_iq", False)),
        ldro=capture.get("lora:ldro"),
        payload_len=capture.get("lora:payload_len"),
        oversampling=int(ratio) if ratio == int(ratio) >= 1 else 1,
    )


def _component(path: str | Path, sample_format: str | None) -> tuple[type[Any], float, float]:
    name = sample_format or Path(path).suffix.lstrip(".").lower().replace("cfile", "cf32")
    if name not in _DTYPES:
        raise ValueError(f"'sample_format' must be one of {', '.join(get_args(SampleFormat))} (got {name!r})")
    return _DTYPES[name]


def _sigmf_paths(path: str | Path, *, must_exist: bool = True) -> tuple[Path, Path]:
    path = Path(path)
    stem = path.with_suffix("") if path.suffix in (".sigmf-meta", ".sigmf-data", ".sigmf") else path
    meta, data = stem.parent / f"{stem.name}.sigmf-meta", stem.parent / f"{stem.name}.sigmf-data"
    for file in (meta, data) if must_exist else ():
        if not file.exists():
            raise FileNotFoundError(f"no SigMF recording: {file} is missing")
    return meta, data
