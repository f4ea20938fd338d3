"""Contexts of a study's programs (`llm_bridge.corpora.contexts`): how many, whether they fit, and tell a fix."""

from __future__ import annotations

from typing import TYPE_CHECKING

from llm_bridge.corpora.contexts import context_of, holds_fix, shown_cases
from llm_bridge.scoring.rules import is_rule
from llm_bridge.study.cells import UNTRAINED
from llm_bridge.study.recipe import RecipeError
from llm_bridge.study.workspace import Workspace

if TYPE_CHECKING:
    from llm_bridge.corpora.programs import ProgramPair

NO_LIMIT = 1 << 40
"""Tokens, more than any text has."""


def context_counts(study: Workspace) -> dict[str, dict[str, int]]:
    """Number of programs of each corpus, of those of which a docstring is known, and of those of which cases are."""
    tests = study.recipe.score.context == "specification+tests"
    return {
        name: {
            "programs": len(pairs),
            "specification": sum(bool(pair.docstring.strip()) for pair in pairs),
            "tests": sum(bool(shown_cases(pair)) for pair in pairs) if tests else 0,
        }
        for name, pairs in _corpora(study).items()
    }


def check_contexts(study: Workspace) -> None:
    """Say how many programs have a context, and refuse one that does not fit before its whole text.

    Raises
    ------
    RecipeError
        A program whose context and longer version have more tokens together than the model reads.
    """
    kind = study.recipe.score.context
    if kind == "none" or all(map(is_rule, study.recipe.training.methods)):
        return
    for name, counts in context_counts(study).items():
        of, known = counts["programs"], f"a specification of {counts['specification']}"
        tests = f", tests of {counts['tests']}" if kind == "specification+tests" else ""
        study.console.print(f"known at the receiver of {of} {name}: {known}{tests}", markup=False, highlight=False)
    for name, pairs in _corpora(study).items():
        telling = [pair.name for pair in pairs if holds_fix(pair, kind)]
        if telling:
            text = f"warning: of {len(telling)} {name} the context holds the line that the fix puts in, as {telling[0]}"
            study.console.print(text, markup=False, highlight=False, soft_wrap=True)
    _require_fit(study, kind)


def _require_fit(study: Workspace, kind: str) -> None:
    from llm_bridge.training.architecture import is_encoder, num_positions
    from llm_bridge.training.estimate import config_of
    from llm_bridge.training.examples import RAW, chat_frame, class_frame, encode_text
    from llm_bridge.training.models import load_tokenizer
    from llm_bridge.training.settings import MAX_TOKENS

    model = study.recipe.model
    config, tokenizer = config_of(model.name), load_tokenizer(model.name)
    wanted = study.recipe.training.max_tokens or MAX_TOKENS
    most = min(wanted, num_positions(config) or wanted)
    frame = class_frame(tokenizer) if is_encoder(config) else chat_frame(tokenizer) if model.chat_template else RAW
    for name, pairs in _corpora(study).items():
        for pair in pairs:
            context = context_of(pair, kind)
            for text in (pair.buggy, pair.correct) if context else ():
                read = encode_text(text, tokenizer, max_tokens=NO_LIMIT, answer=0, frame=frame, context=context)
                if len(read.input_ids) > most:
                    raise RecipeError(
                        f"'score.context' = {kind!r}: {pair.name} of {name} with its context must have at most {most} "
                        f"tokens, 'training.max_tokens' or the model's positions (got {len(read.input_ids)})"
                    )


def _corpora(study: Workspace) -> dict[str, list[ProgramPair]]:
    """Corpora that a model of the study reads, by name."""
    trains = any(method not in UNTRAINED for method in study.recipe.training.methods)
    scored = (*study.recipe.score.tasks, *study.recipe.score.trained_tasks)
    read = {**study.test}
    if trains:
        read["mutants-train"] = study.train
    if "detect" in scored:
        read["mutants-validation"] = study.validation
    return read
