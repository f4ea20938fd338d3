"""The experiment, from recipe to report: stages joined by files, what is finished is skipped.

    corpora ─► links (every text over every radio link) ─► learners (train, score each distinct text once)
            ─► cells (items.jsonl, result.json) ─► report.html, results.csv, items.jsonl

The same command again continues: links, models and scores are found by the hash of everything that shaped them, a cell
is finished when its `result.json` is there. One process at a time works in a folder.
"""

from __future__ import annotations

import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any

from llm_bridge.corpora.programs import ProgramPair, corpus_hash
from llm_bridge.scoring.rules import fit_position, rule_scores
from llm_bridge.study.cells import RULES, Cell, cell_config, cell_name, expand, radio_settings
from llm_bridge.study.config import CorpusConfig, Recipe, RecipeError, as_plain
from llm_bridge.study.learning import Learner, learner_for
from llm_bridge.study.links import (
    delivery_row,
    equal_airtime,
    items_of,
    perfect_arrival,
    transmit_items,
)
from llm_bridge.study.preflight import check_links, prepare_model
from llm_bridge.study.provenance import provenance
from llm_bridge.study.rows import cell_rows, damage_example, result_row, texts_needed
from llm_bridge.study.store import cell_dirs, is_finished, locked, read_json, seal, write_json, write_jsonl
from llm_bridge.transport.link import Item, ReceivedItem

if TYPE_CHECKING:
    from rich.console import Console


@dataclass(kw_only=True)
class Study:
    """A recipe with its corpora, its folder, and where it speaks to a person."""

    recipe: Recipe
    directory: Path
    console: Console
    test: dict[str, list[ProgramPair]]
    train: list[ProgramPair]
    validation: list[ProgramPair]
    phases: list[tuple[str, float]] = field(default_factory=list)

    @property
    def corpus_hashes(self) -> dict[str, str]:
        """Hash of every corpus in use, by name."""
        hashes = {name: corpus_hash(pairs) for name, pairs in self.test.items()}
        return hashes | {
            "mutants-train": corpus_hash(self.train),
            "mutants-validation": corpus_hash(self.validation),
        }

    @cached_property
    def tokenizer(self) -> object:
        """The model's tokenizer: needed where token ids cross the link."""
        from llm_bridge.training.models import load_model

        return load_model(self.recipe.model.name, device="cpu").tokenizer

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


def run_recipe(recipe: Recipe, directory: Path, *, console: Console) -> Path:
    """Run a recipe to its report; returns the report's path.

    Raises
    ------
    StoreError
        The folder is in use, cannot be written, or was edited.
    RecipeError, CorpusError, ModelError, ModelDownloadError
        What the user asked for is not there, or not possible; nothing was written for it.
    """
    check_links(recipe)
    with locked(directory):
        study = load_study(recipe, directory, console)
        cells = _configured_cells(study)
        unfinished = [cell for cell, _, folder in cells if not is_finished(folder)]
        console.print(f"[bold]{recipe.name}[/bold]: {len(cells)} cells, {len(unfinished)} to compute", highlight=False)
        if unfinished:
            prepare_model(recipe, study.phase)
        write_json(directory / "recipe.json", as_plain(recipe))
        arrivals = transmit_all(study, unfinished)
        learn_and_score(study, cells, arrivals)
        return _report(study)


def load_study(recipe: Recipe, directory: Path, console: Console) -> Study:
    """Read the corpora that a recipe names."""
    from llm_bridge.corpora import minibugs, mutants, quixbugs

    config = recipe.corpus
    loaders = {
        "minibugs": minibugs.load,
        "quixbugs": lambda: quixbugs.load(config.quixbugs_path),
        "mutants": lambda: mutants.load("test", seed=config.mutants_seed, limit=config.limit or None),
    }
    limit = config.limit or None
    return Study(
        recipe=recipe,
        directory=directory,
        console=console,
        test={name: loaders[name]()[:limit] for name in config.test},
        train=_mutants("train", config, config.train_pairs),
        validation=_mutants("validation", config, config.validation_pairs),
    )


def _mutants(split: str, config: CorpusConfig, count: int) -> list[ProgramPair]:
    """The first mutants of a split that are short enough; a prefix of them is balanced by length."""
    from llm_bridge.corpora import mutants

    pairs = mutants.load(split, seed=config.mutants_seed, max_chars=config.train_max_chars, limit=count)
    if len(pairs) < count:
        wanted = f"{count} {split} pairs of at most {config.train_max_chars} characters"
        raise RecipeError(f"'corpus' asks for {wanted} (got {len(pairs)} on this Python)")
    return pairs


@dataclass(frozen=True, kw_only=True)
class Arrivals:
    """What arrived for a cell: the texts to judge, and the texts to learn from."""

    evaluated: list[ReceivedItem]
    learnt: list[ReceivedItem]


def transmit_all(study: Study, cells: Sequence[Cell]) -> dict[Cell, Arrivals]:
    """First stage: everything that has to cross a link crosses it; the delivery table is shown at once."""
    arrivals: dict[Cell, Arrivals] = {}
    training_items = items_of(study.train)
    clean = {name: perfect_arrival(items_of(pairs)) for name, pairs in study.test.items()}
    clean_training = perfect_arrival(training_items)
    delivered: dict[Cell, dict[str, Any]] = {}
    with study.phase("radio links: frames over the air") as advance:
        for number, cell in enumerate(cells):
            evaluated, learnt = clean[cell.corpus], clean_training
            if cell.crosses_link_in_evaluation:
                evaluated = _over_the_link(study, cell, items_of(study.test[cell.corpus]), budget=True)
                link = replace(cell, method="", train_seed=None, corrupted_split="")
                delivered[link] = delivery_row(evaluated)
            if cell.crosses_link_in_training:
                learnt = _over_the_link(study, cell, training_items, budget=False)
            arrivals[cell] = Arrivals(evaluated=evaluated, learnt=learnt)
            advance(number + 1, len(cells))
    if delivered:
        _print_delivery(study.console, delivered)
    return arrivals


def _over_the_link(study: Study, cell: Cell, items: Sequence[Item], *, budget: bool) -> list[ReceivedItem]:
    """Items over a cell's link, from the file where they crossed it before.

    The airtime budget is that of the texts to be judged; a training set is sent once, in its fixed order, on any axis.
    """
    recipe, radio = study.recipe, radio_settings(cell, study.recipe)
    tokenizer = study.tokenizer if radio.source_coding == "token_ids" else None
    if budget and cell.axis == "equal_airtime":
        radio = equal_airtime(items, radio, recipe.radio.airtime_reference_sf, tokenizer)
    return transmit_items(items, radio, study.directory, tokenizer=tokenizer, tokenizer_name=recipe.model.name)


def learn_and_score(
    study: Study, cells: Sequence[tuple[Cell, dict[str, Any], Path]], arrivals: dict[Cell, Arrivals]
) -> None:
    """Middle stages: one learner after the other; its cells are written as soon as their texts are scored."""
    from llm_bridge.training.examples import training_examples

    by_learner: dict[str, tuple[Learner, list[tuple[Cell, dict[str, Any], Path]]]] = {}
    for cell, config, folder in cells:
        if cell not in arrivals:
            continue
        examples = training_examples(arrivals[cell].learnt, study.train) if cell.trained else []
        learner = learner_for(cell, study.recipe, study.directory, examples)
        by_learner.setdefault(learner.key, (learner, []))[1].append((cell, config, folder))
    for learner, own_cells in by_learner.values():
        _score_learner(study, learner, own_cells, arrivals)


def _score_learner(
    study: Study,
    learner: Learner,
    cells: Sequence[tuple[Cell, dict[str, Any], Path]],
    arrivals: dict[Cell, Arrivals],
) -> None:
    texts: dict[str, None] = {}
    for cell, _, _ in cells:
        tasks = tasks_of(cell, study.recipe)
        texts |= dict.fromkeys(texts_needed(tasks, arrivals[cell].evaluated, study.validation))
    label = learner.method if learner.seed is None else f"{learner.method}, seed {learner.seed}"
    if learner.method == RULES:
        scores = rule_scores(texts, fit_position(study.train))
        for cell, config, folder in cells:
            write_cell(study, cell, config, folder, arrivals[cell], scores, learner)
        return
    if learner.missing(texts):
        if learner.seed is not None:
            with study.phase(f"{label}: {study.recipe.training.steps} steps") as advance:
                learner.model(progress=advance)
        else:
            with study.phase(f"{label}: load the model") as advance:
                learner.model()
    with study.phase(f"{label}: score {len(texts)} distinct texts") as advance:
        scores = learner.scores(list(texts), progress=advance)
    with study.phase(f"{label}: {len(cells)} cells, intervals") as advance:
        for number, (cell, config, folder) in enumerate(cells):
            write_cell(study, cell, config, folder, arrivals[cell], scores, learner)
            advance(number + 1, len(cells))
    learner.release()
    learner.discard_checkpoint()


def write_cell(
    study: Study,
    cell: Cell,
    config: dict[str, Any],
    folder: Path,
    arrived: Arrivals,
    scores: dict[str, Any],
    learner: Learner,
) -> None:
    """Write a cell's files, `result.json` last."""
    tasks = tasks_of(cell, study.recipe)
    pairs = study.test[cell.corpus]
    rows = cell_rows(folder.name, tasks, pairs, arrived.evaluated, scores, study.validation, method=cell.method)
    folder.mkdir(parents=True, exist_ok=True)
    write_json(folder / "config.json", config)
    origin = {
        **provenance(),
        "corpora": study.corpus_hashes,
        "learner": learner.record,
        "seeds": {"train": cell.train_seed, "channel": cell.channel_seed},
    }
    write_json(folder / "provenance.json", origin)
    write_jsonl(folder / "items.jsonl", [row for task in tasks for row in rows[task]])
    example = damage_example(arrived.evaluated)
    if example is not None:
        write_json(folder / "example.json", example)
    train_delivered = sum(item.delivered for item in arrived.learnt) / len(arrived.learnt) if cell.trained else None
    seal(
        folder,
        {
            "cell": folder.name,
            "training": (learner.record.get("training") or {}).get("status"),
            "rows": [
                result_row(cell, task, rows[task], train_delivered, study.recipe.score.bootstrap) for task in tasks
            ],
        },
    )


def tasks_of(cell: Cell, recipe: Recipe) -> tuple[str, ...]:
    """Tasks that are scored in a cell: a fine-tuned model over a link may be asked for fewer of them."""
    fewer = cell.trained and cell.crosses_link_in_evaluation and recipe.score.trained_tasks
    return recipe.score.trained_tasks if fewer else recipe.score.tasks


def _configured_cells(study: Study) -> list[tuple[Cell, dict[str, Any], Path]]:
    hashes = study.corpus_hashes
    cells = []
    for cell in expand(study.recipe):
        config = cell_config(cell, study.recipe, hashes)
        cells.append((cell, config, study.directory / cell_name(cell, config)))
    return cells


def _print_delivery(console: Console, rows: Mapping[Cell, dict[str, Any]]) -> None:
    """What each link brought over; columns in which all links agree are said once, above the table."""
    from rich.table import Table

    names = ("corpus", "axis", "snr_db", "fading", "cr", "policy", "source_coding", "channel_seed")
    varying = [name for name in names if len({getattr(cell, name) for cell in rows}) > 1]
    fixed = ", ".join(f"{name} {getattr(next(iter(rows)), name)}" for name in names if name not in varying)
    table = Table(title=f"What arrived ({fixed})", title_justify="left")
    for name in (*varying, "SF", "texts", "any byte", "whole", "frames", "lost", "airtime"):
        table.add_column(name, justify="right")
    for cell, row in rows.items():
        lost = row["fragments_lost"] / row["fragments_sent"] if row["fragments_sent"] else 0.0
        counts = (cell.sf, row["n"], row["delivered"], row["intact"], row["fragments_sent"])
        table.add_row(
            *(str(getattr(cell, name)) for name in varying),
            *map(str, counts),
            f"{lost:.0%}",
            f"{row['airtime_s']:.0f} s",
        )
    console.print(table)


def _report(study: Study) -> Path:
    from llm_bridge.study.report import write_report

    with study.phase("report"):
        path = write_report(study.directory)
    study.console.print(f"in all{'':<54}{sum(seconds for _, seconds in study.phases):7.1f} s", highlight=False)
    _print_results(study)
    study.console.print(f"\nreport: {path}", soft_wrap=True, highlight=False)
    for sentence in _closing_sentences(study.directory):
        study.console.print(sentence, soft_wrap=True, highlight=False, markup=False)
    return path


def _closing_sentences(directory: Path) -> list[str]:
    """What was found, then what cannot be told from it: the contrast of the methods stands last."""
    from llm_bridge.study import findings, points

    seen = points.load_study(directory)
    headlines = findings.headline_curves(seen)
    warnings = [sentence for curve in headlines if (sentence := findings.warning_sentence(curve))]
    contrasts = sorted(findings.method_sentences(seen), key=lambda sentence: not sentence.startswith("F1 lost"))
    return [*(findings.sf_sentence(curve) for curve in headlines), *warnings, *contrasts]


def _print_results(study: Study) -> None:
    """All rows of `results.csv`, in tables of a person's terminal."""
    from rich.text import Text

    from llm_bridge.study.report import render_table

    rows = [
        {**row, "axis": (read_json(folder / "config.json").get("axis"))}
        for folder in cell_dirs(study.directory)
        for row in read_json(folder / "result.json")["rows"]
    ]
    width = max(112, study.console.width)
    text = render_table(rows, width=width, color=study.console.is_terminal)
    study.console.print(Text.from_ansi(text), soft_wrap=True)
    study.console.print(
        "F1, 95 % interval; ▲ above the baseline, ○ at it, ▼ below it, ✕ nothing arrived", highlight=False
    )
