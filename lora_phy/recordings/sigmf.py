"""SigMF: JSON metadata beside raw samples, with the `lora:*` keys that gr-lora uses.

Written here without its library, and checked against it in the tests. Source: https://sigmf.org.
"""

from __future__ import annotations

import hashlib
import json
import math
import warnings
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import numpy.typing as npt

from lora_phy.params import MAX_OVERSAMPLING, LoRaParams
from lora_phy.recordings.raw import SampleFormat, write_raw

SIGMF_VERSION = "1.2.5"
_SIGMF_TYPES: dict[str, SampleFormat] = {"cf32_le": "cf32", "ci16_le": "cs16", "ci8": "cs8", "cu8": "cu8"}
_TRUTHS = {"true": True, "yes": True, "on": True, "1": True, "false": False, "no": False, "off": False, "0": False}


@dataclass(frozen=True, kw_only=True)
class Metadata:
    """Metadata of a SigMF recording on its samples."""

    sample_format: SampleFormat
    sample_rate_hz: float
    frequency_hz: float | None
    center_offset_hz: float
    params: LoRaParams | None
    start_time: datetime | None


def read_metadata(path: str | Path) -> Metadata:
    """The metadata of a SigMF recording, by the path of either file or their common stem.

    LoRa parameters and times that make no sense are passed over with a warning: the samples may be fine.

    Raises
    ------
    FileNotFoundError
        One of the two files is missing.
    ValueError
        Metadata that is no SigMF, a sample rate that is not positive, samples of a type other than `SampleFormat`; a
        checksum or a file name that is not the samples', a capture that begins at no sample; or what is not read here:
        several channels, bytes before or after the samples, a required extension, captures that differ.
    """
    meta_path, data_path = sigmf_paths(path)
    try:
        meta = json.loads(meta_path.read_text(encoding="utf-8"))
        header = meta["global"]
        datatype, rate = header["core:datatype"], float(header["core:sample_rate"])
        captures = meta.get("captures") or [{}]
        _require_plain(header, captures)
        capture = {**header, **captures[0]}
        skipped = _require_own_samples(header, captures, data_path)
    except KeyError as error:
        raise ValueError(f"{meta_path.name} is no SigMF metadata: {error.args[0]!r} is missing") from error
    except (ArithmeticError, AttributeError, TypeError, RecursionError) as error:
        raise ValueError(f"{meta_path.name} is no SigMF metadata: {error!r}") from error
    except ValueError as error:
        raise ValueError(f"{meta_path.name} is no SigMF metadata that can be read here: {error}") from error
    _require_checksum(meta_path, data_path, header.get("core:sha512"))
    if not isinstance(datatype, str) or datatype not in _SIGMF_TYPES:
        raise ValueError(f"'core:datatype' must be one of {', '.join(_SIGMF_TYPES)} (got {datatype!r})")
    if not (math.isfinite(rate) and rate > 0):
        raise ValueError(f"'core:sample_rate' must be positive and finite (got {rate!r})")
    frequency = _told(meta_path, _number, capture, "core:frequency")
    offset = _told(meta_path, _offset, capture, "lora:frequency", frequency, rate)
    return Metadata(
        sample_format=_SIGMF_TYPES[datatype],
        sample_rate_hz=rate,
        frequency_hz=frequency,
        center_offset_hz=offset or 0.0,
        params=_told(meta_path, _params, capture, "lora:sf", rate),
        start_time=_told(meta_path, _instant, capture, "core:datetime", skipped / rate),
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
    start_time: datetime | None = None,
) -> Path:
    """Write samples and metadata; `frames` (of `RxFrame`) become annotations. Returns the metadata's path.

    `start_time` is the instant of the first sample; one without a zone counts as local time.
    """
    meta_path, data_path = sigmf_paths(path, must_exist=False)
    datatype = next(name for name, own in _SIGMF_TYPES.items() if own == sample_format)
    capture: dict[str, Any] = {
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
    if start_time is not None:
        capture["core:datetime"] = start_time.astimezone(UTC).strftime("%Y-%m-%dT%H:%M:%S.%fZ")
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


def sigmf_paths(path: str | Path, *, must_exist: bool = True) -> tuple[Path, Path]:
    """The two files of a recording, by the path of either or their common stem."""
    path = Path(path)
    stem = path.with_suffix("") if path.suffix in (".sigmf-meta", ".sigmf-data", ".sigmf") else path
    if must_exist and not (path.parent / f"{stem.name}.sigmf-meta").exists():
        shorter = path.with_suffix("")
        stem = shorter if (path.parent / f"{shorter.name}.sigmf-meta").exists() else stem
    meta, data = stem.parent / f"{stem.name}.sigmf-meta", stem.parent / f"{stem.name}.sigmf-data"
    if must_exist and path.suffix not in (".sigmf-meta", ".sigmf-data", ".sigmf") and path.is_file():
        data = path  # raw samples with metadata beside them
    for file in (meta, data) if must_exist else ():
        if not file.exists():
            raise FileNotFoundError(f"no SigMF recording: {file} is missing")
    return meta, data


def _require_plain(header: dict[str, Any], captures: list[dict[str, Any]]) -> None:
    """Refuse by name what would change the meaning of the bytes and is not read here."""
    if not isinstance(captures, list):
        raise ValueError(f"'captures' must be a list (got {type(captures).__name__})")
    channels = header.get("core:num_channels", 1)
    if channels != 1 or isinstance(channels, bool):
        raise ValueError(f"'core:num_channels' must be 1 (got {channels!r})")
    for key, places in (
        ("core:trailing_bytes", [header]), ("core:header_bytes", captures), ("core:metadata_only", [header]),
    ):  # fmt: skip
        for place in places:
            if place.get(key):
                raise ValueError(f"{key!r} must be absent or 0 (got {place[key]!r})")
    for extension in header.get("core:extensions", ()):
        if extension["name"] != "lora" and extension.get("optional") is not True:
            raise ValueError(f"'core:extensions' requires {extension['name']!r}, which is not known here")
    for number, capture in enumerate(captures[1:], 1):
        for key in sorted({*captures[0], *capture}):
            same = capture.get(key, captures[0].get(key)) == captures[0].get(key)
            if (key == "core:frequency" or key.startswith("lora:")) and not same:
                raise ValueError(f"'captures' must agree: {key!r} of number {number} differs from that of the first")


def _require_own_samples(header: dict[str, Any], captures: list[dict[str, Any]], data_path: Path) -> int:
    """The first capture's first sample; metadata of another file, and captures that begin nowhere, are refused."""
    named = header.get("core:dataset", data_path.name)
    if named != data_path.name:
        raise ValueError(f"'core:dataset' must name the file beside it, {data_path.name!r} (got {named!r})")
    starts = [capture.get("core:sample_start", 0) for capture in captures]
    for start in starts:
        if isinstance(start, bool) or not 0 <= float(start) < 2**63 or float(start) != int(float(start)):
            raise ValueError(f"'core:sample_start' must be an integer of at least 0 (got {start!r})")
    return int(float(starts[0]))


def _require_checksum(meta_path: Path, data_path: Path, expected: Any) -> None:
    """Refuse samples that are not those that the metadata was written for."""
    if expected is None:
        return
    with data_path.open("rb") as data:
        found = hashlib.file_digest(data, "sha512").hexdigest()
    if not isinstance(expected, str) or found != expected.lower():
        raise ValueError(f"'core:sha512' of {meta_path.name} is not that of {data_path.name}: one of them was changed")


def _told(meta_path: Path, read: Any, capture: dict[str, Any], key: str, *more: Any) -> Any:
    """What `read` makes of an optional key; None, with a warning, where that makes no sense."""
    if capture.get(key) is None:
        return None
    try:
        return read(capture, key, *more)
    except (ArithmeticError, TypeError, ValueError) as error:
        warnings.warn(f"{meta_path.name}: passed over {key!r} and what goes with it: {error}", stacklevel=4)
        return None


def _number(capture: dict[str, Any], key: str) -> float:
    value = float(capture[key])
    if not math.isfinite(value):
        raise ValueError(f"{key!r} must be finite (got {value!r})")
    return value


def _offset(capture: dict[str, Any], key: str, frequency: float | None, rate: float) -> float | None:
    """Frequency of the channel against the recording's centre."""
    carrier = _number(capture, key)
    if frequency is None:
        return None
    if abs(carrier - frequency) > rate / 2:
        raise ValueError(f"{carrier:.10g} Hz is outside the recording, {rate:.10g} Hz around {frequency:.10g} Hz")
    return carrier - frequency


def _integer(value: Any) -> int:
    """A whole number, also as a string: "7", "0x12"."""
    if isinstance(value, str):
        return int(value, 0)
    if isinstance(value, bool) or int(value) != value:
        raise ValueError(f"must be a whole number (got {value!r})")
    return int(value)


def _truth(value: Any) -> bool:
    """True or False, also as a string: gr-lora writes Python's ("False"), which are all true as strings."""
    if isinstance(value, str):
        if value.strip().lower() not in _TRUTHS:
            raise ValueError(f"must be true or false (got {value!r})")
        return _TRUTHS[value.strip().lower()]
    if value not in (0, 1):
        raise ValueError(f"must be true or false (got {value!r})")
    return bool(value)


def _instant(capture: dict[str, Any], key: str, elapsed_s: float) -> datetime:
    """The instant of the first sample, from that of the capture `elapsed_s` later; UTC where no zone is named."""
    found = datetime.fromisoformat(str(capture[key]))
    found = found if found.tzinfo is not None else found.replace(tzinfo=UTC)
    return found - timedelta(seconds=elapsed_s)


def _params(capture: dict[str, Any], _: str, rate: float) -> LoRaParams:
    def value(name: str, read: Any, otherwise: Any) -> Any:
        given = capture.get(f"lora:{name}")
        if given in (None, "", "None", "null"):
            return otherwise
        try:
            return read(given)
        except (ArithmeticError, TypeError, ValueError) as error:
            raise ValueError(f"'lora:{name}': {error}") from error

    bandwidth = value("bw", float, 125e3)
    ratio = rate / bandwidth if bandwidth else 0.0
    return LoRaParams(
        sf=value("sf", _integer, None),
        bandwidth_hz=bandwidth,
        cr=value("cr", _integer, 1),
        explicit_header=not value("implicit", _truth, False),
        crc=value("crc", _truth, True),
        preamble_len=value("prlen", _integer, 8),
        sync_word=value("sync_word", _integer, None),
        inverted_iq=value("inverted_iq", _truth, False),
        ldro=value("ldro", _truth, None),
        payload_len=value("payload_len", _integer, None),
        oversampling=int(ratio) if 1 <= ratio <= MAX_OVERSAMPLING and ratio == int(ratio) else 1,
    )
