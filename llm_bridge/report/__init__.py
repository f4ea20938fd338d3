"""The report of a study: ``report.html``, ``results.csv`` and ``items.jsonl``, from the files of its cells alone.

    DIR/<cell>/…  ->  points and curves  ->  tests, controls (numbers)  ->  figures (SVG), tables, sentences  ->  page

Writing a report computes intervals of what was decided before; it runs no model and crosses no link. The files that it
writes are derived from the others, and are written anew whatever became of them.
"""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from llm_bridge.files import write_atomically
from llm_bridge.report.reading import items_text
from llm_bridge.report.results import Curve, Point, Study, load_study, results_csv, scores_csv
from llm_bridge.report.terminal import render_table, table_rows
from llm_bridge.results_format import (
    CHANNEL_TABLE,
    ITEMS_FILE,
    REPORT_FILE,
    RESULT_COLUMNS,
    RESULTS_TABLE,
    SCORES_TABLE,
    cell_dirs,
)

if TYPE_CHECKING:
    from rich.console import Console

__all__ = [
    "RESULT_COLUMNS",
    "Curve",
    "Point",
    "Study",
    "closing_sentences",
    "load_study",
    "print_results",
    "render_table",
    "table_rows",
    "write_report",
]


def write_report(directory: Path | str, *, study: Study | None = None) -> Path:
    """Write the report of all finished cells under `directory`; return the path of ``report.html``.

    A study of the channel alone (``channel.csv``, no cells) has a page of its own.

    Parameters
    ----------
    directory
        Folder of a run, or of a published study.
    study
        The study of that folder, where it is loaded already.

    Raises
    ------
    FileNotFoundError
        There is no finished cell, nor a published study, nor a ``channel.csv``.
    llm_bridge.files.StoreError
        A file was changed after its result was written, a full disk, no permission.
    """
    directory = Path(directory)
    page = directory / REPORT_FILE
    if (directory / CHANNEL_TABLE).exists() and not cell_dirs(directory) and not (directory / RESULTS_TABLE).exists():
        from llm_bridge.report.channel import render_channel_page

        write_atomically(page, render_channel_page(directory))
        return page
    from llm_bridge.report.page import render_page

    study = study or load_study(directory)
    write_atomically(directory / RESULTS_TABLE, results_csv(study.cells))
    write_atomically(directory / SCORES_TABLE, scores_csv(study.points))
    write_atomically(directory / ITEMS_FILE, items_text(study.cells))
    write_atomically(page, render_page(study))
    return page


def print_results(console: Console, study: Study, path: Path) -> None:
    """All scores, over all seeds, in tables of a person's terminal; where the report is, and what was found."""
    from rich.text import Text

    width = console.width if console.is_terminal else max(112, console.width)
    text = render_table(table_rows(study.points), width=width, color=console.is_terminal)
    console.print(Text.from_ansi(text), soft_wrap=True)
    console.print("F1, 95 % interval; ▲ above the baseline, ○ at it, ▼ below it, ✕ nothing arrived", highlight=False)
    console.print(f"\nreport: {path}", soft_wrap=True, highlight=False, markup=False)
    for line in closing_sentences(study):  # folded between words; a file or a pipe gets them in one line each
        console.print(line, soft_wrap=not console.is_terminal, highlight=False, markup=False)


def closing_sentences(study: Study) -> list[str]:
    """What was found, then what cannot be told from it: the contrast of the methods stands last."""
    from llm_bridge.report import curves, results, tests
    from llm_bridge.report import language as say

    headlines = curves.headline_curves(study)
    warnings = [sentence for curve in headlines if (sentence := say.warning_sentence(curve))]
    found = [(c.first.corpus, say.primary_sentence(c)) for c in tests.primary_contrasts(study)]
    found += [(c.first.corpus, say.texture_sentence(c)) for c in tests.texture_contrasts(study)]
    found += [(c.first.corpus, say.training_sentence(c)) for c in tests.training_contrasts(study)]
    first = min(
        (corpus for corpus, _ in found), key=lambda corpus: results.rank(results.CORPUS_ORDER, corpus), default=None
    )
    registered = [sentence for corpus, sentence in found if corpus == first]
    compared = [
        c for methods in curves.compared_methods(study) for c in tests.method_comparisons(study, methods=methods)
    ]
    others = [sentence for comparison in compared for sentence in say.method_sentences(comparison)]
    others.sort(key=lambda sentence: not sentence.startswith("F1 lost"))
    model = " and ".join(say.model_names(study))
    return [*(say.sf_sentence(curve, model=model) for curve in headlines), *warnings, *(registered or others)]
