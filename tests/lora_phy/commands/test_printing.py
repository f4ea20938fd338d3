"""Tables of the terminal: every name and value whole in 80 columns; one line a row where the output is no terminal."""

from __future__ import annotations

import re

import pytest

from lora_phy.__main__ import main
from lora_phy.commands import printing
from lora_phy.studies.tables import from_json

WIDE = {
    "plan, all that may vary": [
        "plan", "20", "200", "--preset", "meshtastic-long-moderate", "eu868-dr0", "--region", "EU868", "US915",
        "--path-loss", "hata-suburban", "free-space", "--distance-km", "1", "30",
    ],
    "plan of a region": ["plan", "200"],
    "waterfall": [
        "waterfall", "--sf", "7", "8", "--bandwidth-hz", "125e3", "250e3", "--snr-db", "-10", "-9.25", "--frames", "50",
        "--sync", "perfect", "--decoding", "hard", "--engine", "order-statistics", "--quiet",
    ],
}  # fmt: skip


@pytest.mark.parametrize("arguments", WIDE.values(), ids=WIDE.keys())
def test_a_table_is_whole_in_80_columns(arguments, capsys, monkeypatch) -> None:
    assert main([*arguments, "--json"]) == 0
    table = from_json(capsys.readouterr().out)
    monkeypatch.setattr(printing, "terminal_width", lambda: 80)
    assert main(arguments) == 0
    out = capsys.readouterr().out
    assert max(map(len, out.splitlines())) <= 80 and "…" not in out
    hidden = {"missed", "bad_header", "bad_crc", "truncated", "undetected", "version", "point"}
    columns = set(table.columns) - hidden
    for name in columns:
        assert name in out or all(re.search(rf"(^|[\s(]){re.escape(word)}\b", out) for word in name.split("_")), name
    for row in table.rows:
        for name, value in zip(table.columns, row, strict=True):
            if name in columns and isinstance(value, str):
                assert value in out.replace("\n", " "), name


def test_a_row_is_one_line_where_the_output_is_no_terminal(capsys) -> None:
    arguments = ["plan", "20", "--preset", "eu868-dr0", "eu868-dr5", "--distance-km", "1", "3"]
    assert main(arguments) == 0
    head, rule, *rows = capsys.readouterr().out.splitlines()[1:7]
    assert head.split()[:4] == ["preset", "distance_km", "sf", "airtime_ms"] and set(rule) == {"-"}
    assert [row.split()[:2] for row in rows] == [[f"eu868-dr{rate}", str(km)] for rate in (0, 5) for km in (1, 3)]
    assert len({len(row.rstrip()) for row in (head, *rows)} | {len(rule)}) <= 2


def test_rows_of_a_later_block_begin_with_what_tells_them_apart() -> None:
    rows = [{"preset": "dr0", "distance_km": str(km), "a": "1" * 9, "margin_db": str(-km)} for km in (1, 12)]
    assert printing.lines_of(rows, 27, num_keys=2) == [
        "preset  distance          a",
        "              km",
        "---------------------------",
        "dr0            1  111111111",
        "dr0           12  111111111",
        "",
        "preset  distance  margin",
        "              km      db",
        "------------------------",
        "dr0            1      -1",
        "dr0           12     -12",
    ]
    assert printing.lines_of([], 80) == []
