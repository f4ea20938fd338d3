"""Workspace of a running study: recipe, corpora, folder, cache, and the console of its messages."""

from __future__ import annotations

import json
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from functools import cached_property, lru_cache
from pathlib import Path
from typing import TYPE_CHECKING, Any

from llm_bridge.corpora import contexts, own_corpus
from llm_bridge.corpora.programs import ProgramPair, corpus_hash
from llm_bridge.files import canonical_json, digest
from llm_bridge.study.cache import Cache
from llm_bridge.study.cells import IN_CONTEXT, UNTRAINED
from llm_bridge.study.provenance import model_sha256
from llm_bridge.study.recipe import RENAMED, CorpusConfig, Recipe, RecipeError, as_plain
from llm_bridge.study.recipe_files import recipe_of

if TYPE_CHECKING:
    from rich.console import Console


@dataclass(kw_only=True)
class Workspace:
    """Recipe, corpora, folder and console of a running study."""

    recipe: Recipe
    directory: Path
    console: Console
    test: dict[str, list[ProgramPair]]
    train: list[ProgramPair]
    validation: list[ProgramPair]
    model: dict[str, str] = field(default_factory=dict)
    keep_models: bool = False
    phases: list[tuple[str, float]] = field(default_factory=list)

    @property
    def cache(self) -> Cache:
        """Cache of what cells share."""
        return Cache(self.directory / "cache")

    @cached_property
    def corpus_hashes(self) -> dict[str, str]:
        """Hash of every corpus in use, and of its contexts where there are any, by name."""
        hashes = {name: corpus_hash(pairs) for name, pairs in self.corpora.items()}
        kind = self.recipe.score.context
        if kind != "none":
            for name, pairs in self.corpora.items():
                hashes[name + IN_CONTEXT] = digest([contexts.context_of(pair, kind) for pair in pairs], length=64)
        return hashes

    @property
    def corpora(self) -> dict[str, list[ProgramPair]]:
        """Every corpus in use, by name."""
        return {**self.test, "mutants-train": self.train, "mutants-validation": self.validation}

    @property
    def read_corpora(self) -> dict[str, list[ProgramPair]]:
        """Corpora that a model of the study reads, by name."""
        trains = any(method not in UNTRAINED for method in self.recipe.training.methods)
        read = {**self.test}
        if trains:
            read["mutants-train"] = self.train
        if "detect" in self.recipe.score.all_tasks:
            read["mutants-validation"] = self.validation
        return read

    @cached_property
    def context_counts(self) -> dict[str, dict[str, int]]:
        """Programs of each corpus that is read, those of which a docstring is known, and those of which cases are."""
        tests = self.recipe.score.context == "specification+tests"
        return {
            name: {
                "programs": len(pairs),
                "specification": sum(bool(pair.docstring.strip()) for pair in pairs),
                "tests": sum(bool(contexts.shown_cases(pair)) for pair in pairs) if tests else 0,
            }
            for name, pairs in self.read_corpora.items()
        }

    @property
    def model_sha256(self) -> str | None:
        """Hash of the model's files; None where no method has a model."""
        return model_sha256(self.model) if self.model else None

    @cached_property
    def tokenizer(self) -> object:
        """The model's tokenizer: needed where token ids cross the link."""
        from llm_bridge.training.models import load_tokenizer

        return load_tokenizer(self.recipe.model.name)

    @contextmanager
    def phase(self, name: str) -> Iterator[Any]:
        """Time a phase and show its progress; yields ``advance(done, total)``."""
        from rich.progress import (
            BarColumn,
            MofNCompleteColumn,
            Progress,
            TextColumn,
            TimeElapsedColumn,
            TimeRemainingColumn,
        )

        started = time.monotonic()
        columns = (
            TextColumn("{task.description:<44}"),
            BarColumn(bar_width=24),
            MofNCompleteColumn(),
            TimeElapsedColumn(),
            TextColumn("left"),
            TimeRemainingColumn(),
        )
        with Progress(*columns, console=self.console, transient=True, disable=not self.console.is_terminal) as bar:
            task = bar.add_task(name, total=None)
            yield lambda done, total: bar.update(task, completed=done, total=total)
        seconds = time.monotonic() - started
        self.phases.append((name, seconds))
        self.console.print(f"{name:<60}{seconds:7.1f} s", highlight=False)


def open_workspace(recipe: Recipe, directory: Path, console: Console) -> Workspace:
    """Read the corpora that a recipe names; those to learn from only where there is a method."""
    config, learns = recipe.corpus, bool(recipe.training.methods)
    test = {own_corpus.label(name): _test_corpus(name, config) for name in config.test}
    train = [pair for name in config.train for pair in _training_corpus(name, config)] if learns else []
    if any(map(own_corpus.reference, (*config.test, *config.train))):
        for sentence in own_corpus.require_apart(test, train):
            console.print(f"warning: {sentence}", markup=False, highlight=False, soft_wrap=True)
    return Workspace(
        recipe=recipe,
        directory=directory,
        console=console,
        test=test,
        train=train,
        validation=_mutants("validation", config, config.validation_pairs) if learns else [],
    )


def task_of(study: Workspace) -> tuple[str, str, dict[str, str]]:
    """A workspace as plain values: what a worker process needs to open it again (`workspace_of`)."""
    return canonical_json(as_plain(study.recipe)), str(study.directory.resolve()), study.model


def workspace_of(recipe: str, directory: str, model: dict[str, str]) -> Workspace:
    """The workspace of a task; a worker process opens it once."""
    study = _opened(recipe, directory)
    study.model = model
    return study


@lru_cache(maxsize=2)
def _opened(recipe: str, directory: str) -> Workspace:
    from rich.console import Console

    return open_workspace(recipe_of(json.loads(recipe)), Path(directory), Console(quiet=True))


def _test_corpus(name: str, config: CorpusConfig) -> list[ProgramPair]:
    from llm_bridge.corpora import frozen_mutants, minibugs, mutmut_mutants, quixbugs
    from llm_bridge.corpora.renaming import rename_identifiers

    loaders: dict[str, Callable[[], list[ProgramPair]]] = {
        "minibugs": minibugs.load,
        "quixbugs": lambda: quixbugs.load(config.quixbugs_path),
        "mutants": lambda: frozen_mutants.load("test"),
        "mutants-mutmut": lambda: mutmut_mutants.load(seed=config.mutants_seed),
    }
    if own_corpus.reference(name) is not None:
        return own_corpus.load_reference(name)[: config.limit or None]
    pairs = loaders[name.removesuffix(RENAMED)]()[: config.limit or None]
    return [rename_identifiers(pair) for pair in pairs] if name.endswith(RENAMED) else pairs


def _training_corpus(name: str, config: CorpusConfig) -> list[ProgramPair]:
    if own_corpus.reference(name) is not None:
        return own_corpus.load_reference(name)
    return _mutants("train", config, config.train_pairs)


def _mutants(split: str, config: CorpusConfig, count: int) -> list[ProgramPair]:
    """The first frozen mutants of a split that are short enough."""
    from llm_bridge.corpora import frozen_mutants

    most = config.train_max_chars
    pairs = [pair for pair in frozen_mutants.load(split) if max(len(pair.buggy), len(pair.correct)) <= most]
    if len(pairs) < count:
        wanted = f"{count} {split} pairs of at most {most} characters"
        raise RecipeError(f"'corpus' asks for {wanted} (got {len(pairs)} on this Python and its packages)")
    return pairs[:count]
