"""Shared parts of the commands that simulate: worker processes, progress, a figure, the table of results."""

from __future__ import annotations

import argparse
import signal
import warnings
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING

from lora_phy.commands.printing import add_forms, print_result

if TYPE_CHECKING:
    from concurrent.futures import Executor

    from lora_phy.monte_carlo.collect import LinkResult

FIGURES = (".pdf", ".png", ".svg")


def add_simulation(parser: argparse.ArgumentParser) -> None:
    """Declare ``--workers``, ``--plot``, ``--quiet``, ``--json`` and ``--csv``."""
    parser.add_argument("--workers", type=int, default=1, help="processes; the numbers do not depend on it")
    parser.add_argument("--plot", metavar="FILE", help="also draw a figure: .svg, .pdf or .png")
    parser.add_argument("--quiet", action="store_true", help="show no progress")
    add_forms(parser)


@contextmanager
def workers(options: argparse.Namespace) -> Iterator[Executor | None]:
    """The processes that were asked for; what would be refused after the work is refused here, before it."""
    from lora_phy.checks import integer

    count = integer("--workers", options.workers, 1, 1024)
    if options.plot is not None:
        _require_figure(options.plot)
    if count == 1:
        yield None
        return
    from concurrent.futures import ProcessPoolExecutor

    with ProcessPoolExecutor(count, initializer=_ignore_interrupts) as pool:
        yield pool


@contextmanager
def continuing(options: argparse.Namespace, results_file: Path | None) -> Iterator[None]:
    """On an interruption, tell what the results file holds by then, and the command that continues from it."""
    try:
        yield
    except KeyboardInterrupt:
        raise KeyboardInterrupt(_how_to_continue(options.command_line, results_file)) from None


def _how_to_continue(command_line: str, results_file: Path | None) -> str:
    from lora_phy.monte_carlo.saved_results import load_results

    if results_file is None:
        return "nothing is kept without --save-to"
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # a last line that the interruption tore
        results = load_results(results_file) if results_file.exists() else []
    points = [result.counts.frames for result in results if result.counts.frames]
    return f"{sum(points):,} frames of {len(points)} points are kept in {results_file}; to continue:\n  {command_line}"


def show_results(results: Sequence[LinkResult], options: argparse.Namespace) -> None:
    """Print the table of results, and draw them where ``--plot`` asks for it."""
    from lora_phy.studies.tables import results_table

    keys = ("sf", "bandwidth_hz", "cr", "payload_len", "snr_db", "fading", "sync", "decoding", "engine")
    hidden = ("missed", "bad_header", "bad_crc", "truncated", "undetected", "version", "point")
    print_result(results_table(results), options, keys=keys, hidden=hidden)
    if options.plot is not None:
        import matplotlib.pyplot as plt

        from lora_phy.plotting import plot_waterfall

        figure = plt.figure(figsize=(8.0, 4.2), layout="tight")
        plot_waterfall(results, ax=figure.gca())
        figure.savefig(options.plot)


def _require_figure(name: str) -> None:
    """Raise where matplotlib is missing, or the figure's name is no good."""
    path = Path(name)
    if path.suffix not in FIGURES:
        raise ValueError(f"'--plot' must end in {', '.join(FIGURES)} (got {name!r})")
    if not path.parent.is_dir():
        raise ValueError(f"'--plot' must lie in a folder that exists (got {name!r})")
    try:
        import matplotlib
    except ImportError as error:
        raise ValueError("'--plot' needs matplotlib: pip install 'chirpbridge[plot]'") from error
    matplotlib.use("agg")


def _ignore_interrupts() -> None:
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # of the terminal's Ctrl-C the parent takes care
