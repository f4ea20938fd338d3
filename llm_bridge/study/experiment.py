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
from collections.abc import Mapping, Sequence
from contextlib import nullcontext
from functools import lru_cache
from pathlib import Path
from typing import TYPE_CHECKING, Any

from llm_bridge.files import StoreError, canonical_json, write_json, write_jsonl
from llm_bridge.link import Link
from llm_bridge.results_format import finalise, is_finished
from llm_bridge.scoring.rules import fit_position, rule_scores
from llm_bridge.study.cells import RULES, Cell, cell_config, cell_name, expand
from llm_bridge.study.channel import run_channel
from llm_bridge.study.learning import Learner, learner_for
from llm_bridge.study.loading import Study as Study
from llm_bridge.study.loading import load_study as load_study
from llm_bridge.study.model_files import model_hashes
from llm_bridge.study.parallel import ONE_JOB, open_executor, run_jobs
from llm_bridge.study.preflight import check_isolation, check_links, prepare_model
from llm_bridge.study.provenance import provenance
from llm_bridge.study.recipe import Recipe, as_plain
from llm_bridge.study.recipe_files import recipe_of
from llm_bridge.study.repairing import candidates_of, repair_rows, suspicious_lines
from llm_bridge.study.rows import cell_rows, damage_example, result_row, texts_needed
from llm_bridge.study.store import locked, share_cache, waiting_lock
from llm_bridge.study.transmission import Arrivals, cross, links_of
from llm_bridge.study.transmission import transmit_all as transmit_all
from llm_bridge.transport.link import ReceivedItem

if TYPE_CHECKING:
    from concurrent.futures import Executor

    from rich.console import Console

ConfiguredCell = tuple[Cell, dict[str, Any], Path]


def run_recipe(
    recipe: Recipe,
    directory: Path,
    *,
    console: Console,
    workers: int | None = None,
    cluster: str | None = None,
    cache: Path | None = None,
) -> Path:
    """Run a recipe to its report; returns the report's path. Without a method it is the channel stage alone.

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
    IsolationError
        The recipe runs generated programs, and nothing here shuts them in.
    """
    check_links(recipe)
    check_isolation(recipe)
    with locked(directory):
        if cache is not None:
            share_cache(directory, cache)
        if not recipe.training.methods:
            return run_channel(recipe, directory, console=console, workers=workers, cluster=cluster)
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
        link=cell.link,
        repaired=repaired,
    )
    folder.mkdir(parents=True, exist_ok=True)
    write_json(folder / "config.json", config)
    origin = {
        **provenance(),
        "corpora": study.corpus_hashes,
        "model": study.model,
        "learner": learner.record,
        "seeds": {"train": cell.train_seed, "channel": cell.link.channel_seed if cell.link else None},
    }
    write_json(folder / "provenance.json", origin)
    write_jsonl(folder / "items.jsonl", [row for task in tasks for row in rows[task]])
    example = damage_example(arrived.evaluated)
    if example is not None:
        write_json(folder / "example.json", example)
    train_delivered = sum(item.delivered for item in arrived.learnt) / len(arrived.learnt) if cell.trained else None
    bootstrap = study.recipe.score.bootstrap
    on_air = _on_air(study, cell, arrived.evaluated)
    finalise(
        folder,
        {
            "cell": folder.name,
            "training": (learner.record.get("training") or {}).get("status"),
            "rows": [result_row(cell, task, rows[task], train_delivered, bootstrap, on_air=on_air) for task in tasks],
        },
    )


def _on_air(study: Study, cell: Cell, evaluated: Sequence[ReceivedItem]) -> dict[str, Any]:
    """What sending the corpus over a cell's link takes; nothing where no link was crossed."""
    if cell.link is None or not cell.crosses_link_in_evaluation:
        return {}
    radio = study.recipe.radio
    seconds = math.fsum(arrival.damage.airtime_s for arrival in evaluated)
    return {
        "airtime_s": seconds,
        "duty_cycle": radio.allowed_duty_cycle,
        "send_time_s": seconds / radio.allowed_duty_cycle,
        "within_dwell_time": radio.settings_of(cell.link).within_dwell_time(radio.region),
    }


# --- the same stages in worker processes


def _send_elsewhere(study: Study, cells: Sequence[Cell], executor: Executor) -> None:
    """Let workers do the radio links; `transmit_all` finds their files."""
    links = list(dict.fromkeys(link for cell in cells for link in links_of(cell)))
    links.sort(key=lambda link: -link[0].sf)  # the long frames first
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


def link_job(recipe: str, directory: str, model: dict[str, str], link: Link, corpus: str) -> None:
    """One corpus over one link, to its file."""
    with ONE_JOB:
        study = _study_of(recipe, directory)
        study.model = model
        cross(study, link, corpus)


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


def _report(study: Study) -> Path:
    from llm_bridge import report

    with study.phase("report"):
        seen = report.load_study(study.directory)
        path = report.write_report(study.directory, study=seen)
    study.console.print(f"in all{'':<54}{sum(seconds for _, seconds in study.phases):7.1f} s", highlight=False)
    report.print_results(study.console, seen, path)
    return path
