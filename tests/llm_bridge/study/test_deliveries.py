"""The table of what arrived: every name and number whole in a terminal of 80 columns, what is common above it."""

from __future__ import annotations

import io
import itertools

import pytest
from rich.console import Console

from llm_bridge.link import Link
from llm_bridge.study.transmission import Delivery, _print_delivery

COUNTS: Delivery = {
    "n": 600, "delivered": 412, "intact": 37, "pair_fragments": 1000, "pair_fragments_unequal": 123,
    "fragments_sent": 38612, "fragments_lost": 27028, "byte_errors": 9, "airtime_s": 9807.4,
}  # fmt: skip


def printed(rows: dict[tuple[str, Link], Delivery]) -> str:
    buffer = io.StringIO()
    _print_delivery(Console(file=buffer, width=80), rows)
    return buffer.getvalue()


def test_a_grid_of_links_is_whole_in_80_columns() -> None:
    """Two corpora, SNRs, fadings, policies and channel seeds: a table for each corpus."""
    grid = itertools.product(("quixbugs", "mutants"), (-17.25, 3.0), ("rayleigh", "none"), ("deliver", "drop"), (0, 12))
    text = printed({
        (corpus, Link(axis="fixed_snr", level=snr, sf=12, snr_db=snr, fading=fading, policy=policy, channel_seed=seed)):
            COUNTS | {"delivered": 400 + i}
        for i, (corpus, snr, fading, policy, seed) in enumerate(grid)
    })  # fmt: skip
    assert max(map(len, text.splitlines())) <= 80 and "…" not in text
    assert (
        text.count("What arrived of quixbugs: axis fixed_snr, cr 1,") == 1
        and text.count("What arrived of mutants") == 1
    )
    for words in ("channel", "seed", "snr", "db", "fading", "policy", "SF"):
        assert words in text.split()
    assert "texts 600" in text and "frames 38612" in text and "airtime s 9,807" in text and "unequal 12.3%" in text
    assert all(str(400 + i) in text.split() for i in range(32)) and text.count("-17.25") == 16


@pytest.mark.parametrize("airtime_s", [9807.4, 9.8])
def test_the_unit_stands_in_the_heading_and_a_single_link_has_all_its_numbers(airtime_s: float) -> None:
    link = Link(axis="fixed_snr", level=-10.0, sf=7, snr_db=-10.0)
    text = printed({("minibugs", link): COUNTS | {"airtime_s": airtime_s}})
    *_, heading, rule, line = text.splitlines()
    assert "snr db -10.0" in text and heading.split() == [
        "SF",
        "texts",
        "byte",
        "whole",
        "frames",
        "lost",
        "unequal",
        "s",
    ]
    assert line.split() == ["7", "600", "412", "37", "38612", "70%", "12.3%", f"{airtime_s:,.0f}"] and set(rule) == {
        "─"
    }
