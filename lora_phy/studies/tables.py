"""Tables of results and for network simulators, each with its provenance.

    table            columns                                     read by
    results_table    a row for each `LinkResult`                 a spreadsheet, pandas
    per_table        sf, snr_db, per                             any simulator with an SNR-driven error model
    rejection_table  sf, interferer_sf, sir_db                   capture models (ns-3 lorawan, FLoRa)
    sensitivity_table sf, bandwidth_hz, sensitivity_dbm          threshold models (LoRaSim's sf7 = [7, …] rows)

CSV carries the provenance as comment lines before the header, JSON as an object beside the rows; both give back the
same `Table`. `rejection_source` writes the matrix as the literal the simulators keep in their sources.
"""

from __future__ import annotations

import csv
import io
import json
from collections.abc import Iterable, Sequence
from dataclasses import asdict, dataclass
from importlib import metadata
from pathlib import Path
from typing import Any, Literal

import numpy as np

from lora_phy.channel.path_loss import thermal_noise_dbm
from lora_phy.monte_carlo.collect import LinkResult
from lora_phy.params import LoRaParams
from lora_phy.studies.rejection import RejectionMatrix
from lora_phy.theory import per_awgn, required_snr_db


@dataclass(frozen=True, kw_only=True)
class Table:
    """Columns, rows of numbers and texts, and where they come from.

    Examples
    --------
    >>> Table(columns=("sf",), rows=((7,),), provenance={"method": "by hand"}).rows
    ((7,),)
    """

    columns: tuple[str, ...]
    rows: tuple[tuple[float | str, ...], ...]
    provenance: dict[str, Any]

    def __post_init__(self) -> None:
        """Validate."""
        for row in self.rows:
            if len(row) != len(self.columns):
                raise ValueError(f"'rows' must have {len(self.columns)} entries each (got {row!r})")


PER_COLUMNS = ("sf", "bandwidth_hz", "cr", "snr_db", "received_dbm", "per")
RESULT_COLUMNS = (
    "sf", "bandwidth_hz", "cr", "payload_len", "snr_db", "fading", "sync", "decoding", "engine", "frames",
    "frame_errors", "per", "per_low", "per_high", "missed", "bad_header", "bad_crc", "truncated", "undetected", "seed",
    "version", "point",
)  # fmt: skip
"""Columns of `results_table`: the link; frames and failed frames; the packet error rate with its interval; why frames
failed (0 in all for importance sampling, which weighs and does not count); what simulated it; the point's hash.
"""


def results_table(results: Iterable[LinkResult], *, confidence: float = 0.95) -> Table:
    """Results of `lora_phy.collect` as rows, in the columns `RESULT_COLUMNS`.

    Parameters
    ----------
    results
        What `collect` or `load_results` returns.
    confidence
        Of the intervals, in (0, 1).

    Examples
    --------
    ``pandas.DataFrame(table.rows, columns=table.columns)`` is the same as a frame.

    >>> from lora_phy import LinkPoint, LoRaParams, collect
    >>> point = LinkPoint(LoRaParams(sf=7), -6.0, 16, sync="perfect", decoding="hard")
    >>> table = results_table(collect([point], max_frames=200, seed=1, engine="bins"))
    >>> dict(zip(table.columns, table.rows[0]))["frames"]
    200
    """
    rows = []
    for result in results:
        point, counts = result.point, result.counts
        low, high = result.interval(confidence)
        failures = [int(getattr(counts, name, 0)) for name in RESULT_COLUMNS[14:19]]
        rows.append(
            (
                point.params.sf, point.params.bandwidth_hz, point.params.cr, point.payload_len, point.channel.snr_db,
                point.channel.fading or "none", point.sync, point.decoding, result.engine, counts.frames,
                int(getattr(counts, "frame_errors", 0)), result.per, low, high, *failures, result.seed, result.version,
                point.key,
            )
        )  # fmt: skip
    return Table(
        columns=RESULT_COLUMNS, rows=tuple(rows), provenance=provenance_of("lora_phy.collect", confidence=confidence)
    )


def per_table(
    params: Sequence[LoRaParams] = (),
    payload_len: int | None = None,
    snr_db: Sequence[float] = (),
    *,
    results: Sequence[LinkResult] = (),
    noise_figure_db: float = 6.0,
) -> Table:
    """Packet error rate of each link over the SNRs, by `theory.per_awgn`, or as it was simulated.

    Parameters
    ----------
    params, payload_len, snr_db
        Links, bytes in each frame and SNRs in dB, for theory.
    results
        Of `lora_phy.collect`, in place of the three: their packet error rates, in their order.
    noise_figure_db
        Of the receiver, for the column `received_dbm`.

    Raises
    ------
    ValueError
        Both, or neither, of a payload length and results.

    Examples
    --------
    >>> per_table([LoRaParams(sf=7)], 16, [-8.0, -7.0]).columns
    ('sf', 'bandwidth_hz', 'cr', 'snr_db', 'received_dbm', 'per')
    """
    if (payload_len is None) == (not results) or (results and (params or snr_db)):
        raise ValueError(
            "'results' takes the place of 'params', 'payload_len' and 'snr_db': give the one or the others"
        )
    rows: list[tuple[float, ...]] = []
    if payload_len is None:
        for result in results:
            link, snr = result.point.params, result.point.channel.snr_db
            level = thermal_noise_dbm(link.bandwidth_hz, noise_figure_db) + snr
            rows.append((link.sf, link.bandwidth_hz, link.cr, snr, level, result.per))
        return Table(
            columns=PER_COLUMNS,
            rows=tuple(rows),
            provenance=provenance_of(
                "lora_phy.collect",
                noise_figure_db=noise_figure_db,
                points=[result.point.as_dict() for result in results],
                engines=[result.engine for result in results],
                frames=[result.counts.frames for result in results],
            ),
        )
    for link in params:
        floor = thermal_noise_dbm(link.bandwidth_hz, noise_figure_db)
        for snr, per in zip(snr_db, np.atleast_1d(per_awgn(link, payload_len, list(snr_db))), strict=True):
            rows.append((link.sf, link.bandwidth_hz, link.cr, float(snr), floor + float(snr), float(per)))
    return Table(
        columns=PER_COLUMNS,
        rows=tuple(rows),
        provenance=provenance_of(
            "theory.per_awgn: AWGN, perfect sync, hard decoding, block-exact",
            payload_len=payload_len,
            noise_figure_db=noise_figure_db,
            links=[asdict(link) for link in params],
        ),
    )


def sensitivity_table(
    params: Sequence[LoRaParams], payload_len: int, *, target_per: float = 0.01, noise_figure_db: float = 6.0
) -> Table:
    """Received power at which each link loses `target_per` of its frames.

    Examples
    --------
    >>> round(sensitivity_table([LoRaParams(sf=12)], 16).rows[0][2], 1)
    -139.0
    """
    rows = []
    for link in params:
        snr = required_snr_db(lambda s, link=link: per_awgn(link, payload_len, s), target_per)  # type: ignore[misc]
        rows.append((link.sf, link.bandwidth_hz, thermal_noise_dbm(link.bandwidth_hz, noise_figure_db) + snr))
    return Table(
        columns=("sf", "bandwidth_hz", "sensitivity_dbm"),
        rows=tuple(rows),
        provenance=provenance_of(
            "thermal noise and theory.per_awgn",
            payload_len=payload_len,
            target_per=target_per,
            noise_figure_db=noise_figure_db,
            links=[asdict(link) for link in params],
        ),
    )


def rejection_table(matrix: RejectionMatrix) -> Table:
    """A rejection matrix as rows of pairs.

    Examples
    --------
    >>> from lora_phy.studies.rejection import rejection_matrix
    >>> rejection_table(rejection_matrix((7, 8), num_symbols=100)).rows[1][:2]
    (7, 8)
    """
    rows = tuple(
        (sf, other, float(matrix.sir_db[i, j])) for i, sf in enumerate(matrix.sfs) for j, other in enumerate(matrix.sfs)
    )
    return Table(
        columns=("sf", "interferer_sf", "sir_db"),
        rows=rows,
        provenance=provenance_of(
            "rejection.rejection_matrix: no noise, one unaligned interferer, uncoded",
            criterion=matrix.criterion,
            target=matrix.target,
            num_symbols=matrix.num_symbols,
            seed=matrix.seed,
        ),
    )


def rejection_source(matrix: RejectionMatrix, style: Literal["c++", "python"]) -> str:
    """The matrix as a literal: ``{{…}, …}`` for ns-3 lorawan and FLoRa, nested lists for Python.

    LoRaSim itself has no such matrix, some of its descendants do (`IsoThresholds`). FLoRa declares its own as `int`:
    make it `double`.

    Examples
    --------
    >>> from lora_phy.studies.rejection import rejection_matrix
    >>> print(rejection_source(rejection_matrix((7,), num_symbols=100), "c++"))  # doctest: +ELLIPSIS
    // rows: wanted SF7; columns: interferer...
    """
    if style not in ("c++", "python"):
        raise ValueError(f"'style' must be 'c++' or 'python' (got {style!r})")
    names = ", ".join(f"SF{sf}" for sf in matrix.sfs)
    comment, opening, closing = ("//", "{", "}") if style == "c++" else ("#", "[", "]")
    rows = [opening + ", ".join(f"{value:.1f}" for value in row) + closing for row in matrix.sir_db]
    head = f"{comment} rows: wanted {names}; columns: interferer; SIR in dB at {matrix.criterion} {matrix.target:g}"
    return f"{head}\n{opening}" + ",\n ".join(rows) + closing


def to_csv(table: Table) -> str:
    """Comment lines ``# key: value`` (JSON), a header, one row a line.

    Examples
    --------
    >>> print(to_csv(Table(columns=("sf",), rows=((7,),), provenance={"seed": 1})), end="")
    # seed: 1
    sf
    7
    """
    out = io.StringIO()
    for key, value in table.provenance.items():
        out.write(f"# {key}: {json.dumps(value)}\n")
    writer = csv.writer(out, lineterminator="\n")
    writer.writerow(table.columns)
    writer.writerows([[value if isinstance(value, str) else repr(value) for value in row] for row in table.rows])
    return out.getvalue()


def from_csv(text: str) -> Table:
    """Inverse of `to_csv`.

    Examples
    --------
    >>> table = Table(columns=("sf", "per"), rows=((7, 0.5),), provenance={"seed": 1})
    >>> from_csv(to_csv(table)) == table
    True
    """
    provenance: dict[str, Any] = {}
    lines = text.splitlines()
    while lines and lines[0].startswith("# "):
        key, _, value = lines.pop(0)[2:].partition(": ")
        provenance[key] = _json(value)
    try:
        header, *rows = csv.reader(lines)
    except csv.Error as error:
        raise ValueError(f"no table: {error}") from error
    return Table(columns=tuple(header), rows=tuple(tuple(map(_value, row)) for row in rows), provenance=provenance)


def _json(text: str) -> Any:
    try:
        return json.loads(text)
    except RecursionError as error:
        raise ValueError("no table: its JSON is nested too deeply") from error


def to_json(table: Table) -> str:
    """An object with provenance, columns and rows.

    Examples
    --------
    >>> to_json(Table(columns=("sf",), rows=((7,),), provenance={}))
    '{"provenance": {}, "columns": ["sf"], "rows": [[7]]}'
    """
    return json.dumps({"provenance": table.provenance, "columns": table.columns, "rows": table.rows})


def from_json(text: str) -> Table:
    """Inverse of `to_json`.

    Examples
    --------
    >>> from_json('{"provenance": {}, "columns": ["sf"], "rows": [[7]]}').rows
    ((7,),)
    """
    found = _json(text)
    try:
        rows = tuple(tuple(row) for row in found["rows"])
        return Table(columns=tuple(found["columns"]), rows=rows, provenance=dict(found["provenance"]))
    except (KeyError, TypeError) as error:
        raise ValueError(f"no table: it must have provenance, columns and rows ({error!r})") from error


def save(table: Table, path: str | Path) -> Path:
    """Write a table; the suffix, .csv or .json, chooses the form.

    Examples
    --------
    >>> save(Table(columns=("sf",), rows=(), provenance={}), "table.txt")
    Traceback (most recent call last):
        ...
    ValueError: 'path' must end in .csv or .json (got 'table.txt')
    """
    target = Path(path)
    writers = {".csv": to_csv, ".json": to_json}
    if target.suffix not in writers:
        raise ValueError(f"'path' must end in .csv or .json (got {str(path)!r})")
    target.write_text(writers[target.suffix](table), encoding="utf-8")
    return target


def provenance_of(method: str, **settings: Any) -> dict[str, Any]:
    """The provenance of a table: this package with its version, what made the table, and the settings by name."""
    try:
        version = metadata.version("chirpbridge")
    except metadata.PackageNotFoundError:
        version = "unknown"
    return {"generator": "chirpbridge", "version": version, "method": method, **settings}


def _value(text: str) -> float | str:
    for kind in (int, float):
        try:
            return kind(text)
        except ValueError:
            continue
    return text
