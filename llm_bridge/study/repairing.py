"""The task *repair* inside a study: candidates generated once for each text, every test run once for each candidate.

    DIR/cache/repairs/<model run>.jsonl    a line per received text: its candidates
    DIR/cache/verdicts/<model run>.jsonl   a line per program and candidate: what the sandbox said

The line to be replaced is the one with the highest bug score of the same model. A text that would still have an erasure
after that cannot become a program, so nothing is generated for it. Torch is imported when a text has no candidates yet.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from functools import partial
from types import SimpleNamespace
from typing import TYPE_CHECKING, Any

from llm_bridge.annotations import Progress, Row
from llm_bridge.corpora.contexts import Reading, context_of, in_context, parts_of
from llm_bridge.corpora.programs import ProgramPair, TestSuite
from llm_bridge.files import StoreError, text_digest
from llm_bridge.scoring.decisions import pairs_by_name
from llm_bridge.scoring.localise import rank_lines
from llm_bridge.study.cache import CachedRows
from llm_bridge.study.model_runs import reading_digest
from llm_bridge.study.recipe import ScoreConfig
from llm_bridge.study.rows import by_context
from llm_bridge.transport.items import REPLACEMENT_CHARACTER, ReceivedItem

if TYPE_CHECKING:
    from llm_bridge.scoring.text_scores import TextScores
    from llm_bridge.study.model_runs import ModelRun


MAX_FIX_LINES = 3
"""Lines that a model trained on fixes may put in the place of one; any other model writes one."""


def lines_to_repair(
    received: Sequence[ReceivedItem],
    pairs: Sequence[ProgramPair],
    scores: Mapping[Reading, TextScores],
    *,
    trained: bool,
    context: str = "none",
) -> dict[Reading, int | None]:
    """Received buggy texts of programs that have tests, with the index of the line of the largest bug score."""
    by_name = pairs_by_name(pairs)
    found: dict[Reading, int | None] = {}
    for arrival in received:
        pair = by_name[arrival.item.program]
        has_tests = pair.tests.cases or pair.tests.test_module is not None
        if arrival.item.version == "buggy" and arrival.delivered and has_tests:
            reading = in_context(arrival.text, context_of(pair, context))
            ranked = rank_lines(arrival.text, scores[reading], by="verdict" if trained else "nll")
            found[reading] = ranked[0] if ranked else None
    return found


def candidates_of(
    model_run: ModelRun, lines: Mapping[Reading, int | None], config: ScoreConfig, *, progress: Progress | None = None
) -> dict[Reading, tuple[str, ...]]:
    """Candidates for every text: from the file where they are there, from the model where not."""
    form, count = config.repair_form, config.repair_candidates
    kept = model_run.cache.rows("repairs", model_run.key, "key")
    keys = {text: f"{form} {count} {reading_digest(text)}" for text in lines}
    missing = [text for text in lines if keys[text] not in kept.known]
    for number, text in enumerate(missing, start=1):
        plain = parts_of(text)[1]
        made: tuple[str, ...] = (plain,)
        if form == "program" or not _erasure_stays(plain, lines[text]):
            from llm_bridge.scoring.repair import GenerationSettings, generate_repairs

            max_lines = MAX_FIX_LINES if model_run.learns_repair else 1
            settings = GenerationSettings(what=form, num_candidates=count, max_lines=max_lines)
            made = generate_repairs(model_run.model(), {text: lines[text]}, settings)[text]
        kept.add([{"key": keys[text], "candidates": made}])
        if progress is not None:
            progress(number, len(missing))
    return {text: tuple(kept.known[keys[text]]["candidates"]) for text in lines}


def repair_rows(
    model_run: ModelRun,
    received: Sequence[ReceivedItem],
    pairs: Sequence[ProgramPair],
    candidates: Mapping[Reading, Sequence[str]],
    *,
    context: str = "none",
) -> list[Row]:
    """Item rows of the task, each candidate run against all tests of its program.

    Raises
    ------
    StoreError
        The sandbox refuses to run programs here: nothing shuts them in.
    """
    from llm_bridge.scoring.repair import repair

    known = model_run.cache.rows("verdicts", model_run.key, "key")
    groups = by_context(received, pairs, candidates, context)
    return [row for some, own in groups for row in repair(some, pairs, own, run=partial(_verdict, known))]


def _verdict(kept: CachedRows, source: str, entry_point: str, tests: TestSuite) -> Any:
    """Outcome of `sandbox.run_tests` with its verdict, which is kept on file."""
    key = text_digest("\0".join([source, entry_point, repr(tests)]))
    if key not in kept.known:
        from llm_bridge.scoring.sandbox import run_tests

        outcome = run_tests(source, entry_point, tests)
        if outcome.verdict == "refused":
            raise StoreError(
                f"the task 'repair' runs generated programs, and nothing here shuts them in ({outcome.isolation}):"
                " leave it out of 'score.tasks', or run on a system with user namespaces or Landlock"
            )
        kept.add([{"key": key, "program": entry_point, "verdict": outcome.verdict}])
    return SimpleNamespace(verdict=kept.known[key]["verdict"])


def _erasure_stays(text: str, line: int | None) -> bool:
    """Whether an erasure would be left after one line was replaced: then no candidate is a program."""
    return any(REPLACEMENT_CHARACTER in row for index, row in enumerate(text.splitlines()) if index != line)
