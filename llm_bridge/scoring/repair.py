r"""Task *repair*: candidates by generation, evaluated by running all tests.

    what="program"   <text> ⏎ # The function above has one bug. The corrected function: ⏎ def f…     ──► a program
    what="line"      <text up to the line>            ⏎ # bug: <that line> ⏎ # fix: ⏎ <indentation>…  ──► some lines

The line goes back to its place. The prompts are those of training (`repair_prompts`). The first candidate is greedy,
the others are drawn at a temperature. They are run by `evaluate_candidates`, in the sandbox. A
candidate is plausible if it passes every test; plausible@k is computed in `metrics`.
"""

from __future__ import annotations

import ast
import warnings
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, cast

import torch

from llm_bridge.annotations import Progress, Row
from llm_bridge.corpora.contexts import AnyReading, parts_of
from llm_bridge.corpora.programs import ProgramPair, TestSuite, entry_point
from llm_bridge.scoring.decisions import item_row, pairs_by_name
from llm_bridge.scoring.scores import edit_token_f1
from llm_bridge.training.fetching import quiet
from llm_bridge.training.models import LoadedModel
from llm_bridge.training.repair_prompts import line_prompt, program_prompt
from llm_bridge.transport.items import REPLACEMENT_CHARACTER

if TYPE_CHECKING:
    from transformers import GenerationMixin

    from llm_bridge.scoring.sandbox import TestOutcome
    from llm_bridge.transport.link import ReceivedItem

FORMS = ("program", "line")

Runner = Callable[..., "TestOutcome"]


@dataclass(frozen=True, kw_only=True)
class GenerationSettings:
    """Settings of generation.

    Parameters
    ----------
    what
        Form of a repair: a whole "program", or one "line".
    num_candidates
        Number of candidates: one greedy, the rest sampled.
    max_lines
        Lines of a "line" repair after which generation stops, if the model does not stop by itself. More than one
        is for a model trained on fixes, which can add a missing line so.
    temperature, top_p
        Temperature and nucleus of the sampled candidates.
    max_new_tokens
        `None`: 1.3 times the program's tokens and 16 more, or 64 for each line.
    seed
        Seed of the sampling.
    """

    what: str = "line"
    num_candidates: int = 1
    max_lines: int = 1
    temperature: float = 0.8
    top_p: float = 0.95
    max_new_tokens: int | None = None
    seed: int = 0

    def __post_init__(self) -> None:
        """Check each bound once."""
        if self.what not in FORMS:
            raise ValueError(f"'what' must be one of {', '.join(FORMS)} (got {self.what!r})")
        for name in ("num_candidates", "max_lines"):
            if getattr(self, name) < 1:
                raise ValueError(f"{name!r} must be at least 1 (got {getattr(self, name)})")
        if not self.temperature > 0:
            raise ValueError(f"'temperature' must be positive (got {self.temperature})")
        if not 0 < self.top_p <= 1:
            raise ValueError(f"'top_p' must lie in (0, 1] (got {self.top_p})")


def generate_repairs(
    loaded: LoadedModel,
    texts: Mapping[AnyReading, int | None],
    settings: GenerationSettings,
    *,
    progress: Progress | None = None,
) -> dict[AnyReading, tuple[str, ...]]:
    """Candidate programs for each received text.

    Parameters
    ----------
    loaded
        A base or a trained model.
    texts
        Received text to the index of its line with the largest bug score (`localise.rank_lines`); for "program" the
        index is not read. Where it is `None`, or the text is empty, the only candidate is the text itself. The context
        of an `InContext` stands before the prompt.
    settings
        Settings of generation. Candidates of a text depend on the seed and the text alone, not on other texts.
    progress
        Called as ``progress(texts done, texts in all)``.

    Returns
    -------
    dict
        Text to its candidates, the greedy one first; as many as asked for, equal ones not removed.
    """
    repairs: dict[AnyReading, tuple[str, ...]] = {}
    was_training = loaded.model.training
    loaded.model.eval()
    try:
        for reading, line in texts.items():
            context, text = parts_of(reading)
            if not text.strip() or (settings.what == "line" and line is None):
                repairs[reading] = (text,)
            elif settings.what == "program":
                prompt, opening = program_prompt(text)
                size = settings.max_new_tokens or int(1.3 * _num_tokens(loaded, text)) + 16
                made = _generate(loaded, context + prompt, settings, size)
                repairs[reading] = tuple(first_function(opening + continuation) for continuation in made)
            else:
                prompt, indent = line_prompt(text, int(line or 0))
                size, lines = settings.max_new_tokens or 64 * settings.max_lines, settings.max_lines
                made = _generate(loaded, context + prompt, settings, size, lines=lines)
                repairs[reading] = tuple(
                    put_line(text, int(line or 0), indent + continuation, max_lines=lines) for continuation in made
                )
            if progress:
                progress(len(repairs), len(texts))
    finally:
        loaded.model.train(was_training)
    return repairs


def put_line(text: str, line: int, replacement: str, *, max_lines: int = 1) -> str:
    r"""The text with one line replaced by the first non-blank lines of `replacement`, at most `max_lines`.

    The first of them takes the indentation of the line it replaces, and the others keep theirs relative to it.

    Examples
    --------
    >>> put_line("a\nb\nc\n", 1, "\nB\nX\n")
    'a\nB\nc\n'
    >>> put_line("a\n  b\n", 1, "if c:\n  b\n", max_lines=2)
    'a\n  if c:\n    b\n'
    """
    lines = text.splitlines(keepends=True)
    fresh = [row for row in replacement.splitlines() if row.strip()][:max_lines] or [""]
    indent = lines[line][: len(lines[line]) - len(lines[line].lstrip())].strip("\r\n")
    own = len(fresh[0]) - len(fresh[0].lstrip())
    deeper = [max(0, len(row) - len(row.lstrip()) - own) for row in fresh]
    lines[line] = "".join(indent + " " * more + row.strip() + "\n" for row, more in zip(fresh, deeper, strict=True))
    return "".join(lines)


def first_function(text: str) -> str:
    r"""The text up to where its first block ends: the first later line that starts at the margin.

    Examples
    --------
    >>> first_function("def f(x):\n    return x\n\nprint(f(1))\n")
    'def f(x):\n    return x\n'
    """
    kept: list[str] = []
    for row in text.splitlines():
        if kept and row[:1].strip():
            break
        kept.append(row)
    return "\n".join(kept).rstrip() + "\n"


# ---------------------------------------------------------------------------------------------------------- judging


def evaluate_candidates(
    candidates: Sequence[str], pair: ProgramPair, *, run: Runner | None = None, known: dict[str, bool] | None = None
) -> tuple[bool, ...]:
    """Whether each candidate passes every test of its program; equal candidates are run once.

    Parameters
    ----------
    run
        Called as ``run(source, entry_point, tests)``; `None` is `sandbox.run_tests`.
    known
        Verdicts by source text, read and added to.

    Raises
    ------
    IsolationError
        Programs are not run on this machine: that is no verdict on any of them.
    """
    from llm_bridge.scoring import sandbox

    runner: Runner = run or sandbox.run_tests
    verdicts = {} if known is None else known
    for source in dict.fromkeys(candidates):
        if source not in verdicts:
            outcome = runner(source, entry_point(pair), pair.tests) if _parses(source) else None
            if outcome is not None and outcome.verdict == "refused":
                sandbox.require_isolation()
                raise sandbox.IsolationError(f"the tests of {pair.name!r} were not run: isolation was refused")
            verdicts[source] = outcome is not None and outcome.verdict == "pass"
    return tuple(verdicts[source] for source in candidates)


def repair(
    received: Iterable[ReceivedItem],
    pairs: Iterable[ProgramPair],
    candidates: Mapping[str, Sequence[str]],
    *,
    run: Runner | None = None,
) -> list[Row]:
    """Rows of the task *repair*: the buggy items that have tests, in their order.

    Parameters
    ----------
    received, pairs
        Received items and their programs (`localise.localise`).
    candidates
        Candidates of each received text (`generate_repairs`).
    run
        Called as ``run(source, entry_point, tests)``; `None` is `sandbox.run_tests`.

    Returns
    -------
    list of dict
        `decision` and `correct` tell whether the greedy candidate is plausible; `num_candidates` and `num_plausible`
        are for plausible@k, `copy_plausible` is the baseline: the received text, unchanged. `edit_token_f1` compares
        the greedy candidate with the correct program, both as edits of the text that was sent.
    """
    by_name = pairs_by_name(pairs)
    rows = []
    for arrival in received:
        pair = by_name[arrival.item.program]
        if arrival.item.version != "buggy" or not _has_tests(pair.tests):
            continue
        tried = tuple(candidates[arrival.text]) if arrival.delivered else ()
        known: dict[str, bool] = {}
        verdicts = evaluate_candidates(tried, pair, run=run, known=known)
        copy = evaluate_candidates((arrival.text,), pair, run=run, known=known)[0] if arrival.delivered else False
        rows.append(
            item_row(arrival, pair, "repair")
            | {
                "score": sum(verdicts) / len(verdicts) if verdicts else None,
                "decision": "plausible" if verdicts and verdicts[0] else "not plausible",
                "gold": "plausible",
                "correct": bool(verdicts) and verdicts[0],
                "num_candidates": max(1, len(verdicts)),
                "num_plausible": sum(verdicts),
                "copy_plausible": copy,
                "edit_token_f1": edit_token_f1(arrival.item.text, tried[0], pair.correct) if tried else 0.0,
            }
        )
    return rows


def _has_tests(tests: TestSuite) -> bool:
    return bool(tests.cases) or tests.test_module is not None


def _parses(source: str) -> bool:
    """Whether a text is Python at all; other texts are not run."""
    if REPLACEMENT_CHARACTER in source:
        return False
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # an odd escape in a string makes it no less a program
            ast.parse(source)
    except (SyntaxError, ValueError, RecursionError, MemoryError):
        return False
    return True


# ------------------------------------------------------------------------------------------------------- generating


def _num_tokens(loaded: LoadedModel, text: str) -> int:
    return len(loaded.tokenizer(text, add_special_tokens=False, split_special_tokens=True).input_ids)


@torch.inference_mode()
def _generate(
    loaded: LoadedModel, prompt: str, settings: GenerationSettings, max_new_tokens: int, *, lines: int | None = None
) -> list[str]:
    """Continuations of one prompt with the keys and values cached: one greedy, the others sampled together."""
    tokenizer = loaded.tokenizer
    ids = tokenizer(prompt, add_special_tokens=False, split_special_tokens=True).input_ids
    frame = loaded.frame
    first = tokenizer.bos_token_id if tokenizer.bos_token_id is not None else tokenizer.eos_token_id
    before = frame.before or (first,)
    limit = getattr(loaded.base.config, "max_position_embeddings", 2048) - max_new_tokens - 1
    limit -= len(before) + len(frame.after) - 1
    prompt_ids = torch.tensor([[*before, *ids[-limit:], *frame.after]], device=loaded.device)
    common: dict[str, Any] = {
        "generation_config": loaded.base.generation_config,
        "attention_mask": torch.ones_like(prompt_ids),
        "max_new_tokens": max_new_tokens,
        "pad_token_id": tokenizer.pad_token_id,
        "use_cache": True,
    }
    if lines is not None:
        common["stopping_criteria"] = [_LinesWritten(tokenizer, prompt_ids.shape[1], lines)]
    with quiet(), loaded.arithmetic(), torch.random.fork_rng(devices=[]):
        torch.manual_seed(settings.seed)
        model = cast("GenerationMixin", loaded.model)
        sequences = list(model.generate(prompt_ids, do_sample=False, temperature=None, top_p=None, **common))
        if settings.num_candidates > 1:
            sequences += list(
                model.generate(
                    prompt_ids,
                    do_sample=True,
                    temperature=settings.temperature,
                    top_p=settings.top_p,
                    top_k=0,
                    num_return_sequences=settings.num_candidates - 1,
                    **common,
                )
            )
    fresh = [sequence[prompt_ids.shape[1] :] for sequence in sequences]
    return [str(tokenizer.decode(sequence, skip_special_tokens=True)) for sequence in fresh]


class _LinesWritten:
    """Stops a sequence once it has written so many lines that are not blank, and begun the next."""

    def __init__(self, tokenizer: Any, prompt_len: int, num_lines: int):
        self.tokenizer, self.prompt_len, self.num_lines = tokenizer, prompt_len, num_lines

    def __call__(self, input_ids: torch.Tensor, scores: torch.Tensor, **options: Any) -> torch.Tensor:
        written = self.tokenizer.batch_decode(input_ids[:, self.prompt_len :], skip_special_tokens=True)
        whole = [sum(bool(line.strip()) for line in text.split("\n")[:-1]) for text in written]
        return torch.tensor([count >= self.num_lines for count in whole], device=input_ids.device)
