"""Checks before any work: the recipe's values exist, its model is there, each method fits into memory, contexts fit."""

from __future__ import annotations

import itertools
from collections.abc import Callable, Mapping, Sequence
from contextlib import AbstractContextManager
from pathlib import Path
from typing import TYPE_CHECKING, Any

from llm_bridge.annotations import Progress
from llm_bridge.corpora.contexts import context_of, holds_fix
from llm_bridge.corpora.own_corpus import CorpusError
from llm_bridge.corpora.programs import ProgramPair
from llm_bridge.scoring.rules import RULE_TASKS, is_rule
from llm_bridge.study.cells import SHUFFLED, UNTRAINED, base_method, expand, links
from llm_bridge.study.model_runs import run_settings
from llm_bridge.study.recipe import Recipe, RecipeError

if TYPE_CHECKING:
    from rich.console import Console

    from llm_bridge.study.workspace import Workspace
    from llm_bridge.training.estimate import MemoryEstimate

NO_LIMIT = 1 << 40
"""Tokens, more than any text has."""


def check_links(recipe: Recipe) -> None:
    """Refuse a grid with a value that the radio link refuses."""
    crossed = [cell.link for cell in expand(recipe)] if recipe.training.methods else links(recipe)
    for link in dict.fromkeys(crossed):
        if link is not None:
            recipe.radio.settings_of(link)


def check_isolation(recipe: Recipe) -> None:
    """Refuse the task "repair" where nothing shuts in the programs that it runs.

    Raises
    ------
    IsolationError
        It says why each level of isolation is not to be had.
    """
    if "repair" in recipe.score.all_tasks:
        from llm_bridge.scoring.sandbox import require_isolation

        require_isolation()


def check_test_suites(recipe: Recipe, corpora: Mapping[str, Sequence[ProgramPair]]) -> None:
    """Refuse the task "repair" on programs whose tests the sandbox would refuse to run.

    Parameters
    ----------
    recipe
        The recipe; without that task nothing is refused.
    corpora
        Pairs of each test corpus.

    Raises
    ------
    CorpusError
        It names the first such program, and counts the others.
    """
    if "repair" in recipe.score.all_tasks:
        from llm_bridge.scoring.sandbox import suite_problems

        problems = [f"{name}: {problem}" for name, pairs in corpora.items() for problem in suite_problems(pairs)]
        if problems:
            more = f" (and {len(problems) - 1} more)" if len(problems) > 1 else ""
            raise CorpusError(f"the task 'repair' cannot run the tests of {problems[0]}{more}")


def check_training(recipe: Recipe) -> None:
    """Refuse methods and training settings that do not exist.

    Raises
    ------
    ValueError
        It names the value, and what is known.
    """
    from llm_bridge.training.methods import METHODS, PRESETS, AdapterSettings, method_named
    from llm_bridge.training.settings import require_readable

    for method in recipe.training.methods:
        if method in RULE_TASKS:
            continue
        if method_named(base_method(method)).trained == "nothing" and method.endswith(SHUFFLED):
            raise RecipeError(f"'training.methods': {method!r} has no labels to shuffle")
    for method in recipe.training.learning_rate:
        if method not in METHODS:
            raise RecipeError(
                f"unknown key 'training.learning_rate.{method}' in the recipe; known: {', '.join(METHODS)}"
            )
    preset = recipe.training.preset
    if preset is not None and not set(PRESETS[preset]["methods"]) & set(map(base_method, recipe.training.methods)):
        known = " and ".join(PRESETS[preset]["methods"])
        raise RecipeError(f"'training.preset' {preset!r} is of the method {known}: list it in 'training.methods'")
    for method, seed in itertools.product(recipe.training.methods, recipe.training.seeds):
        if method not in UNTRAINED:
            from llm_bridge.training.finetune import TrainSettings

            settings = run_settings(recipe, method, seed)
            adapter = AdapterSettings(**settings["adapter"])
            if method_named(base_method(method)).trained == "head" and adapter.read_layer is None:
                raise RecipeError(f"'training.read_layer' must be given for the method {method!r} (got none)")
            require_readable(TrainSettings(**settings["training"]).objectives, adapter.read_layer is not None)


def prepare_model(
    recipe: Recipe, phase: Callable[[str], AbstractContextManager[Progress]], *, console: Console | None = None
) -> None:
    """Before any work: methods and settings exist, the model is there, and each method fits into memory.

    `phase` names what takes its time, and yields ``progress(done, total)``; the plans of memory go to `console`.
    """
    from llm_bridge.training.estimate import estimate_line, require_fit
    from llm_bridge.training.models import TOY, fetch_model, resolve_device

    check_training(recipe)
    if recipe.model.name == TOY:
        resolve_device(recipe.model.device)
        return
    check_tasks(recipe)
    if (folder := Path(recipe.model.name).expanduser()).is_dir():
        _check_folder(recipe, folder)
    for estimate in _estimates(recipe):
        if console is not None:
            console.print(estimate_line(estimate), highlight=False, soft_wrap=True)
        require_fit(estimate)
    resolve_device(recipe.model.device)
    with phase(f"model: {recipe.model.name}") as advance:
        _check_folder(recipe, fetch_model(recipe.model.name, progress=advance))


def check_tasks(recipe: Recipe) -> None:
    """Refuse tasks, objectives and methods that an encoder has not: every reason, one line each."""
    from llm_bridge.training.common import ModelDownloadError, ModelError
    from llm_bridge.training.estimate import config_of
    from llm_bridge.training.model_checks import encoder_problems

    methods = [base_method(method) for method in recipe.training.methods if not is_rule(method)]
    learnt = [_settings(recipe, method)["training"]["objectives"] for method in methods if method not in UNTRAINED]
    tasks = recipe.score.all_tasks
    try:
        config = config_of(recipe.model.name)
    except (ModelError, ModelDownloadError):
        return  # whatever follows says so, among its other reasons
    problems = encoder_problems(config, methods, tasks, learnt)
    if problems:
        raise ModelError("\n".join(problems))


def _check_folder(recipe: Recipe, folder: Path) -> None:
    """Refuse a model that a method of the recipe cannot use: every reason, one line each."""
    from llm_bridge.training.methods import AdapterSettings
    from llm_bridge.training.model_checks import check_folder

    methods = [base_method(method) for method in recipe.training.methods if not is_rule(method)]
    if methods:
        settings = [_settings(recipe, method) for method in methods if method not in UNTRAINED]
        adapters = [AdapterSettings(**chosen["adapter"]) for chosen in settings] or [AdapterSettings()]
        limits = [chosen["training"].get("max_tokens", 1) for chosen in settings]
        check_folder(
            folder,
            methods,
            distils=any(chosen["training"]["objectives"].get("distil") for chosen in settings),
            target_modules=tuple(dict.fromkeys(name for adapter in adapters for name in adapter.target_modules)),
            max_tokens=max([recipe.training.max_tokens or 1, *limits]),
            chat_template=recipe.model.chat_template,
        )


def estimate_recipe(recipe: Recipe, *, console: Console) -> None:
    """Print what each method of a recipe would need in memory."""
    from llm_bridge.training.estimate import render_estimate

    for estimate in _estimates(recipe):
        console.print(render_estimate(estimate), highlight=False)


def _estimates(recipe: Recipe) -> list[MemoryEstimate]:
    """Memory of each method that has a model."""
    from llm_bridge.training.estimate import estimate_memory
    from llm_bridge.training.methods import AdapterSettings

    estimates = []
    for method in recipe.training.methods:
        if is_rule(method):
            continue
        settings = _settings(recipe, method)
        estimates.append(
            estimate_memory(
                recipe.model.name,
                base_method(method),
                adapter=AdapterSettings(**settings["adapter"]),
                gradient_checkpointing=settings["training"]["gradient_checkpointing"],
                objectives=settings["training"]["objectives"],
                device=recipe.model.device,
            )
        )
    return estimates


def _settings(recipe: Recipe, method: str) -> dict[str, dict[str, Any]]:
    """Settings of a method's first run, with the preset that holds for it."""
    return run_settings(recipe, method, recipe.training.seeds[0])


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
    for name, counts in study.context_counts.items():
        of, known = counts["programs"], f"a specification of {counts['specification']}"
        tests = f", tests of {counts['tests']}" if kind == "specification+tests" else ""
        study.console.print(f"known at the receiver of {of} {name}: {known}{tests}", markup=False, highlight=False)
    for name, pairs in study.read_corpora.items():
        telling = [pair.name for pair in pairs if holds_fix(pair, kind)]
        if telling:
            text = f"warning: of {len(telling)} {name} the context holds the line that the fix puts in, as {telling[0]}"
            study.console.print(text, markup=False, highlight=False, soft_wrap=True)
    _require_fit(study, kind)


def _require_fit(study: Workspace, kind: str) -> None:
    from llm_bridge.training.estimate import config_of
    from llm_bridge.training.examples import encode_text
    from llm_bridge.training.models import frame_of, load_tokenizer, token_limit

    model = study.recipe.model
    config, tokenizer = config_of(model.name), load_tokenizer(model.name)
    most = token_limit(config, study.recipe.training.max_tokens)
    frame = frame_of(config, tokenizer, chat_template=model.chat_template)
    for name, pairs in study.read_corpora.items():
        for pair in pairs:
            context = context_of(pair, kind)
            for text in (pair.buggy, pair.correct) if context else ():
                read = encode_text(text, tokenizer, max_tokens=NO_LIMIT, answer=0, frame=frame, context=context)
                if len(read.input_ids) > most:
                    raise RecipeError(
                        f"'score.context' = {kind!r}: {pair.name} of {name} with its context must have at most {most} "
                        f"tokens, 'training.max_tokens' or the model's positions (got {len(read.input_ids)})"
                    )
