"""The experiment, from recipe to report: stages joined by files, what is finished is skipped.

    corpora ─► links (every text over every radio link) ─► learners (train, score each distinct text once)
            ─► cells (items.jsonl, result.json) ─► report.html, results.csv, items.jsonl

The same command again continues: links, models and scores are found by the hash of everything that shaped them, a cell
is finished when its `result.json` is there. One run at a time works in a folder; it may have worker processes
(`parallel`), which do whole links and whole learners by the same functions.
"""

from __future__ import annotations

import json
import math
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager, nullcontext
from dataclasses import dataclass, field, replace
from functools import cached_property, lru_cache
from pathlib import Path
from typing import TYPE_CHECKING, Any

from llm_bridge.corpora.programs import ProgramPair, corpus_hash
from llm_bridge.scoring.rules import fit_position, rule_scores
from llm_bridge.study.axes import duty_cycle_of, send_time_s, within_dwell_time
from llm_bridge.study.cells import RULES, Cell, cell_config, cell_name, expand, radio_settings
from llm_bridge.study.config import RENAMED, CorpusConfig, Recipe, RecipeError, as_plain, recipe_of
from llm_bridge.study.learning import Learner, learner_for
from llm_bridge.study.links import (
    delivery_row,
    equal_airtime,
    items_of,
    perfect_arrival,
    transmit_items,
)
from llm_bridge.study.model_files import model_hashes, model_sha256
from llm_bridge.study.parallel import ONE_JOB, open_executor, run_jobs
from llm_bridge.study.preflight import check_links, prepare_model
from llm_bridge.study.provenance import provenance
from llm_bridge.study.repairing import candidates_of, repair_rows, suspicious_lines
from llm_bridge.study.rows import cell_rows, damage_example, result_row, texts_needed
from llm_bridge.study.store import (
    StoreError,
    canonical_json,
    cell_dirs,
    is_finished,
    locked,
    read_json,
    seal,
    share_cache,
    waiting_lock,
    write_json,
    write_jsonl,
)
from llm_bridge.transport.link import RadioSettings, ReceivedItem

if TYPE_CHECKING:
    from concurrent.futures import Executor

    from rich.console import Console

ConfiguredCell = tuple[Cell, dict[str, Any], Path]
TRAINING = "training set"
"""In the place of a test corpus' name: what the model learns from."""


@dataclass(kw_only=True)
class Study:
    """A recipe with its corpora, its folder, and where it speaks to a person."""

    recipe: Recipe
    directory: Path
    console: Console
    test: dict[str, list[ProgramPair]]
    train: list[ProgramPair]
    validation: list[ProgramPair]
    model: dict[str, str] = field(default_factory=dict)
    phases: list[tuple[str, float]] = field(default_factory=list)

    @property
    def corpus_hashes(self) -> dict[str, str]:
        """Hash of every corpus in use, by name."""
        hashes = {name: corpus_hash(pairs) for name, pairs in self.test.items()}
        return hashes | {
            "mutants-train": corpus_hash(self.train),
            "mutants-validation": corpus_hash(self.validation),
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


def run_recipe(
    recipe: Recipe,
    directory: Path,
    *,
    console: Console,
    workers: int | None = None,
    cluster: str | None = None,
    cache: Path | None = None,
) -> Path:
    """Run a recipe to its report; returns the report's path.

    Parameters
    ----------
    recipe, directory
        What to run, and the folder of its results.
    console
        Where it speaks to a person.
    workers, cluster
        See `parallel.open_executor`. The result does not depend on them, given one thread.
    cache
        Folder for links, models and scores that several studies share (see `share_cache`).

    Raises
    ------
    StoreError
        The folder is in use, cannot be written, or was edited.
    RecipeError, CorpusError, ModelError, ModelDownloadError
        What the user asked for is not there, or not possible; nothing was written for it.
    """
    check_links(recipe)
    with locked(directory):
        if cache is not None:
            share_cache(directory, cache)
        study = load_study(recipe, directory, console)
        prepare_model(recipe, study.phase, console=console)
        if set(recipe.training.methods) != {RULES}:
            study.model = model_hashes(recipe.model.name, directory)
        cells = _configured_cells(study)
        unfinished = [cell for cell, _, folder in cells if not is_finished(folder)]
        console.print(f"[bold]{recipe.name}[/bold]: {len(cells)} cells, {len(unfinished)} to compute", highlight=False)
        write_json(directory / "recipe.json", as_plain(recipe))
        with open_executor(workers=workers, cluster=cluster) if unfinished else nullcontext() as executor:
            if executor is not None:
                _send_elsewhere(study, unfinished, executor)
            arrivals = transmit_all(study, unfinished)
            learn_and_score(study, cells, arrivals, executor=executor)
        return _report(study)


def load_study(recipe: Recipe, directory: Path, console: Console) -> Study:
    """Read the corpora that a recipe names."""
    from llm_bridge.corpora import minibugs, mutants, mutmut_mutants, quixbugs
    from llm_bridge.corpora.renaming import rename_identifiers

    config = recipe.corpus
    loaders = {
        "minibugs": minibugs.load,
        "quixbugs": lambda: quixbugs.load(config.quixbugs_path),
        "mutants": lambda: mutants.load("test", seed=config.mutants_seed, limit=config.limit or None),
        "mutants-mutmut": lambda: mutmut_mutants.load(seed=config.mutants_seed),
    }

    def load(name: str) -> list[ProgramPair]:
        pairs = loaders[name.removesuffix(RENAMED)]()[: config.limit or None]
        return [rename_identifiers(pair) for pair in pairs] if name.endswith(RENAMED) else pairs

    return Study(
        recipe=recipe,
        directory=directory,
        console=console,
        test={name: load(name) for name in config.test},
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
    clean = {name: perfect_arrival(items_of(pairs)) for name, pairs in study.test.items()}
    clean_training = perfect_arrival(items_of(study.train))
    crossed: dict[tuple[Cell, str], list[ReceivedItem]] = {}
    delivered: dict[Cell, dict[str, Any]] = {}
    with study.phase("radio links: frames over the air") as advance:
        for number, cell in enumerate(cells):
            for link in _links_of(cell):
                if link not in crossed:
                    crossed[link] = _cross(study, *link)
            evaluated, learnt = clean[cell.corpus], clean_training
            if cell.crosses_link_in_evaluation:
                evaluated = crossed[cell.link, cell.corpus]
                delivered[replace(cell.link, corpus=cell.corpus)] = delivery_row(evaluated)
            if cell.crosses_link_in_training:
                learnt = crossed[cell.link, TRAINING]
            arrivals[cell] = Arrivals(evaluated=evaluated, learnt=learnt)
            advance(number + 1, len(cells))
    if delivered:
        _print_delivery(study.console, delivered)
    return arrivals


def _links_of(cell: Cell) -> list[tuple[Cell, str]]:
    """What a cell sends: a link, and the name of a test corpus or `TRAINING`."""
    sent = [(cell.link, cell.corpus)] if cell.crosses_link_in_evaluation else []
    return sent + ([(cell.link, TRAINING)] if cell.crosses_link_in_training else [])


def _cross(study: Study, link: Cell, corpus: str) -> list[ReceivedItem]:
    """A corpus over a link, from the file where it crossed it before.

    The airtime budget is that of the texts to be judged; a training set is sent once, in its fixed order, on any axis.
    """
    items = items_of(study.train if corpus == TRAINING else study.test[corpus])
    radio = radio_settings(link, study.recipe)
    tokenizer = study.tokenizer if radio.source_coding == "token_ids" else None
    if corpus != TRAINING and link.axis == "equal_airtime":
        settings = study.recipe.radio
        budget_s = settings.period_s * duty_cycle_of(settings)
        radio = equal_airtime(items, radio, settings.airtime_reference_sf, tokenizer, budget_s=budget_s)
    name = study.model.get("tokenizer") or study.recipe.model.name
    return transmit_items(items, radio, study.directory, tokenizer=tokenizer, tokenizer_name=name)


def learn_and_score(
    study: Study,
    cells: Sequence[ConfiguredCell],
    arrivals: dict[Cell, Arrivals],
    *,
    executor: Executor | None = None,
) -> None:
    """Middle stages: one learner after the other; its cells are written as soon as their texts are scored."""
    learners = group_by_learner(study, cells, arrivals)
    if executor is None:
        for learner, own_cells in learners:
            score_learner(study, learner, own_cells, arrivals)
        return
    task = _task_of(study)
    jobs = [(*task, study.model, learner.key, own_cells) for learner, own_cells in learners]
    jobs.sort(key=lambda job: not job[-1][0][0].trained)  # the long ones first
    with study.phase(f"{len(jobs)} learners on worker processes") as advance:
        run_jobs(executor, learner_job, jobs, advance)


def group_by_learner(
    study: Study, cells: Sequence[ConfiguredCell], arrivals: dict[Cell, Arrivals]
) -> list[tuple[Learner, list[ConfiguredCell]]]:
    """Cells that need the same model, with it; only those of which is known what arrived."""
    from llm_bridge.training.examples import training_examples

    by_learner: dict[str, tuple[Learner, list[ConfiguredCell]]] = {}
    known: dict[tuple[Any, ...], Learner] = {}
    for cell, config, folder in cells:
        if cell not in arrivals:
            continue
        origin = (cell.method, cell.train_seed, cell.link if cell.crosses_link_in_training else None)
        if origin not in known:
            examples = training_examples(arrivals[cell].learnt, study.train) if cell.trained else []
            known[origin] = learner_for(cell, study.recipe, study.directory, examples, model_sha256=study.model_sha256)
        learner = known[origin]
        by_learner.setdefault(learner.key, (learner, []))[1].append((cell, config, folder))
    return list(by_learner.values())


def score_learner(
    study: Study, learner: Learner, cells: Sequence[ConfiguredCell], arrivals: dict[Cell, Arrivals]
) -> None:
    """Train a model where that is needed, score the texts of its cells, write the cells.

    No other process works on this model meanwhile; what another one finished is left as it is.
    """
    with waiting_lock(study.directory / "cache" / "locks" / f"{learner.key}.lock"):
        cells = [entry for entry in cells if not is_finished(entry[2])]
        if cells:
            _score_learner(study, learner, cells, arrivals)


def _score_learner(
    study: Study, learner: Learner, cells: Sequence[ConfiguredCell], arrivals: dict[Cell, Arrivals]
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
    candidates: dict[str, tuple[str, ...]] = {}
    lines = _suspicious_lines(study, cells, arrivals, scores)
    if lines:
        with study.phase(f"{label}: repair {len(lines)} distinct texts") as advance:
            candidates = candidates_of(learner, lines, study.recipe.score, progress=advance)
    with study.phase(f"{label}: {len(cells)} cells, intervals") as advance:
        for number, (cell, config, folder) in enumerate(cells):
            write_cell(study, cell, config, folder, arrivals[cell], scores, learner, candidates)
            advance(number + 1, len(cells))
    learner.release()
    learner.discard_checkpoint()


def _suspicious_lines(
    study: Study, cells: Sequence[ConfiguredCell], arrivals: dict[Cell, Arrivals], scores: Mapping[str, Any]
) -> dict[str, int | None]:
    """Every text to be repaired, with its most suspicious line."""
    lines: dict[str, int | None] = {}
    for cell, _, _ in cells:
        if "repair" in tasks_of(cell, study.recipe):
            pairs = study.test[cell.corpus]
            lines |= suspicious_lines(arrivals[cell].evaluated, pairs, scores, trained=cell.trained)
    return lines


def write_cell(
    study: Study,
    cell: Cell,
    config: dict[str, Any],
    folder: Path,
    arrived: Arrivals,
    scores: dict[str, Any],
    learner: Learner,
    candidates: Mapping[str, Sequence[str]] | None = None,
) -> None:
    """Write a cell's files, `result.json` last."""
    tasks = tasks_of(cell, study.recipe)
    pairs = study.test[cell.corpus]
    repaired = repair_rows(learner, arrived.evaluated, pairs, candidates or {}) if "repair" in tasks else []
    rows = cell_rows(
        folder.name,
        tasks,
        pairs,
        arrived.evaluated,
        scores,
        study.validation,
        method=cell.method,
        axis=cell.axis,
        repaired=repaired,
    )
    folder.mkdir(parents=True, exist_ok=True)
    write_json(folder / "config.json", config)
    origin = {
        **provenance(),
        "corpora": study.corpus_hashes,
        "model": study.model,
        "learner": learner.record,
        "seeds": {"train": cell.train_seed, "channel": cell.channel_seed},
    }
    write_json(folder / "provenance.json", origin)
    write_jsonl(folder / "items.jsonl", [row for task in tasks for row in rows[task]])
    example = damage_example(arrived.evaluated)
    if example is not None:
        write_json(folder / "example.json", example)
    train_delivered = sum(item.delivered for item in arrived.learnt) / len(arrived.learnt) if cell.trained else None
    bootstrap = study.recipe.score.bootstrap
    on_air = _on_air(study, cell, arrived.evaluated)
    seal(
        folder,
        {
            "cell": folder.name,
            "training": (learner.record.get("training") or {}).get("status"),
            "rows": [result_row(cell, task, rows[task], train_delivered, bootstrap, on_air=on_air) for task in tasks],
        },
    )


def _on_air(study: Study, cell: Cell, evaluated: Sequence[ReceivedItem]) -> dict[str, Any]:
    """What sending the corpus over a cell's link takes; nothing where no link was crossed."""
    if not cell.crosses_link_in_evaluation:
        return {}
    settings = study.recipe.radio
    seconds = math.fsum(arrival.damage.airtime_s for arrival in evaluated)
    share = duty_cycle_of(settings)
    radio: RadioSettings = radio_settings(cell, study.recipe)
    return {
        "airtime_s": seconds,
        "duty_cycle": share,
        "send_time_s": send_time_s(seconds, share),
        "within_dwell_time": within_dwell_time(radio, settings.region),
    }


# --- the same stages in worker processes


def _send_elsewhere(study: Study, cells: Sequence[Cell], executor: Executor) -> None:
    """Let workers do the radio links; `transmit_all` finds their files."""
    links = list(dict.fromkeys(link for cell in cells for link in _links_of(cell)))
    links.sort(key=lambda link: -(link[0].sf or 0))  # the long frames first
    task = _task_of(study)
    with study.phase(f"{len(links)} radio links on worker processes") as advance:
        run_jobs(executor, link_job, [(*task, study.model, *link) for link in links], advance)


def _task_of(study: Study) -> tuple[str, str]:
    """A study in words: what a worker needs to read it again."""
    return canonical_json(as_plain(study.recipe)), str(study.directory.resolve())


@lru_cache(maxsize=2)
def _study_of(recipe: str, directory: str) -> Study:
    from rich.console import Console

    return load_study(recipe_of(json.loads(recipe)), Path(directory), Console(quiet=True))


def link_job(recipe: str, directory: str, model: dict[str, str], link: Cell, corpus: str) -> None:
    """One corpus over one link, to its file."""
    with ONE_JOB:
        study = _study_of(recipe, directory)
        study.model = model
        _cross(study, link, corpus)


def learner_job(recipe: str, directory: str, model: dict[str, str], key: str, cells: list[ConfiguredCell]) -> None:
    """One learner with all its cells, to their files.

    Raises
    ------
    StoreError
        This worker would make another model: its Python, its packages or its corpora differ.
    """
    with ONE_JOB:
        study = _study_of(recipe, directory)
        study.model = model
        if cells[0][0].method != RULES:
            from llm_bridge.training.workers import compute_on_one_thread

            compute_on_one_thread()
        arrivals = transmit_all(study, [cell for cell, _, _ in cells])
        ((learner, _),) = group_by_learner(study, cells, arrivals)
        if learner.key != key:
            raise StoreError("a worker has other corpora or another version than the one that asks: install the same")
        here = [(cell, config, Path(directory) / folder.name) for cell, config, folder in cells]
        score_learner(study, learner, here, arrivals)


def tasks_of(cell: Cell, recipe: Recipe) -> tuple[str, ...]:
    """Tasks that are scored in a cell: a fine-tuned model over a link may be asked for fewer; rules repair nothing."""
    fewer = cell.trained and cell.crosses_link_in_evaluation and recipe.score.trained_tasks
    tasks = recipe.score.trained_tasks if fewer else recipe.score.tasks
    return tuple(task for task in tasks if not (task == "repair" and cell.method == RULES))


def _configured_cells(study: Study) -> list[tuple[Cell, dict[str, Any], Path]]:
    hashes = study.corpus_hashes
    cells = []
    for cell in expand(study.recipe):
        config = cell_config(cell, study.recipe, hashes, study.model_sha256)
        cells.append((cell, config, study.directory / cell_name(cell, config)))
    return cells


def _print_delivery(console: Console, rows: Mapping[Cell, dict[str, Any]]) -> None:
    """What each link brought over; columns in which all links agree are said once, above the table."""
    from rich.table import Table

    names = (
        "corpus",
        "axis",
        "distance_km",
        "ebn0_db",
        "frame_loss",
        "snr_db",
        "fading",
        "cr",
        "policy",
        "source_coding",
        "channel_seed",
    )
    varying = [name for name in names if len({getattr(cell, name) for cell in rows}) > 1]
    common = {name: getattr(next(iter(rows)), name) for name in names if name not in varying}
    fixed = ", ".join(f"{name} {value}" for name, value in common.items() if value is not None)
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
    from llm_bridge.study import evidence, findings, points

    seen = points.load_study(directory)
    headlines = findings.headline_curves(seen)
    warnings = [sentence for curve in headlines if (sentence := findings.warning_sentence(curve))]
    registered = [text for tasks in evidence.contrast_sentences(seen).values() for text in tasks.values()]
    others = sorted(findings.method_sentences(seen), key=lambda sentence: not sentence.startswith("F1 lost"))
    model = " and ".join(findings.model_names(seen))
    return [*(findings.sf_sentence(curve, model=model) for curve in headlines), *warnings, *(registered or others)]


def _print_results(study: Study) -> None:
    """All rows of `results.csv`, in tables of a person's terminal."""
    from rich.text import Text

    from llm_bridge.study.report import render_table

    rows = [row for folder in cell_dirs(study.directory) for row in read_json(folder / "result.json")["rows"]]
    width = max(112, study.console.width)
    text = render_table(rows, width=width, color=study.console.is_terminal)
    study.console.print(Text.from_ansi(text), soft_wrap=True)
    study.console.print(
        "F1, 95 % interval; ▲ above the baseline, ○ at it, ▼ below it, ✕ nothing arrived", highlight=False
    )
