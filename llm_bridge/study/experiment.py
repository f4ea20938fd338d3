"""The experiment, from recipe to finished cells: stages joined by files, what is finished is skipped.

    corpora ─► links (every text over every radio link) ─► model runs (train, score each distinct text once)
            ─► cells (items.jsonl, result.json)

The same command again continues: links, models and scores are found by the hash of everything that shaped them, a cell
is finished when its `result.json` is there. One run at a time works in a folder; it may have worker processes
(`parallel`), which do whole links and whole model runs by the same functions.
"""

from __future__ import annotations

import math
import os
from collections.abc import Mapping, Sequence
from contextlib import nullcontext
from pathlib import Path
from typing import TYPE_CHECKING, Any

from rich.markup import escape

from llm_bridge.axes import QUANTITIES
from llm_bridge.corpora.contexts import Reading, parts_of
from llm_bridge.corpora.own_corpus import without_folder
from llm_bridge.files import StoreError, read_json, write_json, write_jsonl
from llm_bridge.link import Link
from llm_bridge.results_format import (
    CONFIG_FILE,
    EXAMPLE_FILE,
    ITEMS_FILE,
    MODELS_FOLDER,
    PROVENANCE_FILE,
    RECIPE_FILE,
    RESULT_FILE,
    Failure,
    cell_dirs,
    finalise,
    is_finished,
    record_failure,
)
from llm_bridge.scoring.rules import fit_position, is_rule, rule_scores
from llm_bridge.scoring.sandbox import CageError, IsolationError
from llm_bridge.scoring.text_scores import LikelihoodError, TextScores
from llm_bridge.study.cache import waiting_lock
from llm_bridge.study.cells import Cell, cell_config, cell_name, context_kind, expand, tasks_of
from llm_bridge.study.model_runs import DivergedError, ModelRun, model_run_for
from llm_bridge.study.parallel import ONE_JOB, open_executor, run_jobs
from llm_bridge.study.preflight import check_contexts, prepare_model
from llm_bridge.study.provenance import model_hashes, provenance
from llm_bridge.study.recipe import Recipe, RecipeError, as_plain
from llm_bridge.study.recipe_files import recipe_of
from llm_bridge.study.repairing import candidates_of, lines_to_repair, repair_rows
from llm_bridge.study.rows import cell_rows, damage_example, result_row, texts_needed
from llm_bridge.study.transmission import Arrivals, cross, links_of, transmit_all
from llm_bridge.study.workspace import Workspace, task_of, workspace_of
from llm_bridge.training.distributed_training import is_distributed
from llm_bridge.transport.items import ReceivedItem

if TYPE_CHECKING:
    from concurrent.futures import Executor

ConfiguredCell = tuple[Cell, dict[str, Any], Path]
GROWING = (
    *(f"radio.{name}" for name in ("axis", "sf", "fading", "cr", "policy", "source_coding", "corrupted_split")),
    *(f"radio.{name}" for name in QUANTITIES),
    "radio.channel_seeds", "training.methods", "training.seeds", "corpus.test",
)  # fmt: skip
"""Lists of a recipe that may grow in a folder that it filled before (``--extend``)."""
LABELS = ("name", "description")
"""Keys of a recipe that shape no number."""


def claim_folder(recipe: Recipe, directory: Path, *, extend: bool = False) -> None:
    """Write a recipe into the folder of its results.

    Parameters
    ----------
    recipe, directory
        The recipe, and the folder; it may hold what the same recipe computed before.
    extend
        Whether lists of axes, seeds, methods and corpora may have grown since; the default is that they may not.

    Raises
    ------
    StoreError
        Another recipe filled the folder; the message holds the difference.
    """
    path = directory / RECIPE_FILE
    if path.exists():
        try:
            before = _flat(stored_recipe(recipe_of(read_json(path))))
        except (RecipeError, AttributeError, TypeError) as error:
            raise StoreError(f"{path} is no recipe of this program ({error}): choose another --out") from error
        after = _flat(stored_recipe(recipe))
        differ = [key for key in sorted(before | after) if before.get(key) != after.get(key) and key not in LABELS]
        grown = [key for key in differ if key in GROWING and set(before[key]) <= set(after[key])]
        if differ and not (extend and grown == differ):
            lines = [f"  {key}: {before.get(key)!r} there, {after.get(key)!r} here" for key in differ]
            hint = "; only lists grew: --extend adds their cells" if grown == differ else ""
            difference = "\n".join(lines)
            raise StoreError(f"{directory} was filled by another recipe: choose another --out{hint}\n{difference}")
    write_json(path, stored_recipe(recipe))


def run_cells(
    study: Workspace, *, workers: int | None = None, cluster: str | None = None, extend: bool = False
) -> None:
    """Compute every cell of a recipe that is not finished; a model that fails is recorded, the others are computed.

    Parameters
    ----------
    study
        The workspace; its folder is locked by the caller.
    workers, cluster
        The arguments of `parallel.open_executor`; the default is this process alone. The result does not depend on
        them, given one thread.
    extend
        Whether another recipe may fill the folder, as `claim_folder` allows it; the default is that it is refused.

    Raises
    ------
    StoreError
        The folder holds cells of another origin, or was edited.
    """
    prepare_model(study.recipe, study.phase, console=study.console)
    if not all(map(is_rule, study.recipe.training.methods)):
        study.model = model_hashes(study.recipe.model.name, study.directory)
    check_contexts(study)
    claim_folder(study.recipe, study.directory, extend=extend)
    cells = configured_cells(study)
    foreign = set(cell_dirs(study.directory)) - {folder for _, _, folder in cells}
    if foreign:
        raise StoreError(
            f"{study.directory} holds {len(foreign)} cells of other corpora, another model or another version, as"
            f" {min(foreign).name}: choose another --out, or delete them"
        )
    finished = [entry for entry in cells if is_finished(entry[2])]
    stale = [folder for _, config, folder in finished if read_json(folder / CONFIG_FILE).get("code") != config["code"]]
    for folder in stale:
        (folder / RESULT_FILE).unlink()
    unfinished = [cell for cell, _, folder in cells if not is_finished(folder)]
    name = escape(study.recipe.name)
    study.console.print(f"[bold]{name}[/bold]: {len(cells)} cells, {len(unfinished)} to compute", highlight=False)
    if stale:
        study.console.print(f"{len(stale)} of them were computed by other code, and are computed anew", highlight=False)
    with open_executor(workers=workers, cluster=cluster) if unfinished else nullcontext() as executor:
        if executor is not None:
            _send_elsewhere(study, unfinished, executor)
        unkept = [
            cell for cell, _, _ in cells if study.keep_models and cell.trained and not kept_path(study, cell).exists()
        ]
        arrivals = transmit_all(study, list(dict.fromkeys([*unfinished, *unkept])))
        train_and_score(study, cells, arrivals, executor=executor)


def train_and_score(
    study: Workspace,
    cells: Sequence[ConfiguredCell],
    arrivals: dict[Cell, Arrivals],
    *,
    executor: Executor | None = None,
) -> None:
    """Middle stages: one model run after the other; its cells are written as soon as their texts are scored."""
    runs = group_by_model_run(study, cells, arrivals)

    def remember(own_cells: Sequence[ConfiguredCell], reason: str | None) -> None:
        origins = {_origin(cell) for cell, _, _ in own_cells}
        names = [folder.name for cell, _, folder in cells if _origin(cell) in origins]
        method, seed, link = _origin(own_cells[0][0])
        failure = None
        if reason is not None:
            label = None if link is None else link.label
            failure = Failure(method=method, train_seed=seed, training_link=label, reason=reason, cells=names)
        record_failure(study.directory, names, failure)

    if executor is None:
        for model_run, own_cells in runs:
            remember(own_cells, score_or_reason(study, model_run, own_cells, arrivals))
        return
    jobs = [(*task_of(study), model_run.key, study.keep_models, own_cells) for model_run, own_cells in runs]
    jobs.sort(key=lambda job: not job[-1][0][0].trained)  # the long ones first
    with study.phase(f"{len(jobs)} model runs on worker processes") as advance:
        run_jobs(executor, model_run_job, jobs, advance, lambda job, reason: remember(job[-1], reason))


def group_by_model_run(
    study: Workspace, cells: Sequence[ConfiguredCell], arrivals: dict[Cell, Arrivals]
) -> list[tuple[ModelRun, list[ConfiguredCell]]]:
    """Cells that need the same model, with it; only those of which is known what arrived."""
    from llm_bridge.training.examples import training_examples

    groups: dict[str, tuple[ModelRun, list[ConfiguredCell]]] = {}
    known: dict[tuple[str, int | None, Link | None], ModelRun] = {}
    for cell, config, folder in cells:
        if cell not in arrivals:
            continue
        origin = _origin(cell)
        if origin not in known:
            learnt, kind = arrivals[cell].learnt, study.recipe.score.context
            examples = training_examples(learnt, study.train, context=kind) if cell.trained else []
            known[origin] = model_run_for(cell, study.recipe, study.cache, examples, model_sha256=study.model_sha256)
        model_run = known[origin]
        groups.setdefault(model_run.key, (model_run, []))[1].append((cell, config, folder))
    return list(groups.values())


def score_or_reason(
    study: Workspace, model_run: ModelRun, cells: Sequence[ConfiguredCell], arrivals: dict[Cell, Arrivals]
) -> str | None:
    """`score_model_run`; where this model cannot be trained or scored, the reason in one line.

    What concerns the folder, the machine or the installation ends the run. So does, under a launcher, whatever the
    other processes may not have met: they would wait for this one.
    """
    own = (DivergedError, LikelihoodError)
    try:
        score_model_run(study, model_run, cells, arrivals)
    except (StoreError, IsolationError, CageError, ModuleNotFoundError):
        raise
    except Exception as error:
        if os.environ.get("CHIRPBRIDGE_TRACEBACK") or (is_distributed() and not isinstance(error, own)):
            raise
        text = " ".join(str(error).split()).rstrip(".")
        ours = type(error).__module__.startswith("llm_bridge") or text.startswith("'")
        return text if ours else f"{type(error).__name__}: {text} (CHIRPBRIDGE_TRACEBACK=1 shows where)"
    finally:
        model_run.release()
    return None


def kept_path(study: Workspace, cell: Cell) -> Path:
    """Folder of the trained model that a cell needs, where models are kept."""
    words = [cell.method, f"seed{cell.train_seed}", *([cell.training_link.label] if cell.training_link else [])]
    return study.directory / MODELS_FOLDER / "-".join(words)


def score_model_run(
    study: Workspace, model_run: ModelRun, cells: Sequence[ConfiguredCell], arrivals: dict[Cell, Arrivals]
) -> None:
    """Train a model where that is needed, score the texts of its cells, write the cells.

    No other process works on this model meanwhile; what another one finished is left as it is.
    """
    with waiting_lock(study.cache.path("locks", model_run.key, ".lock")):
        unfinished = [entry for entry in cells if not is_finished(entry[2])]
        if unfinished:
            _score_model_run(study, model_run, unfinished, arrivals)
        if study.keep_models and model_run.seed is not None:
            for path in {kept_path(study, cell) for cell, _, _ in cells}:
                with study.phase(f"keep the model {path.name}"):
                    model_run.keep(path)
        model_run.release()
        model_run.discard_checkpoint()


def _score_model_run(
    study: Workspace, model_run: ModelRun, cells: Sequence[ConfiguredCell], arrivals: dict[Cell, Arrivals]
) -> None:
    texts: dict[Reading, None] = {}
    for cell, _, _ in cells:
        tasks, kind = tasks_of(cell, study.recipe), context_kind(cell, study.recipe)
        received, pairs = arrivals[cell].evaluated, study.test[cell.corpus]
        texts |= dict.fromkeys(texts_needed(tasks, received, study.validation, pairs=pairs, context=kind))
    label = model_run.method if model_run.seed is None else f"{model_run.method}, seed {model_run.seed}"
    scores: dict[Reading, TextScores] = {}
    if is_rule(model_run.method):
        plain = [parts_of(text)[1] for text in texts]
        scores.update(rule_scores(plain, fit_position(study.train), method=model_run.method).items())
        for cell, config, folder in cells:
            write_cell(study, cell, config, folder, arrivals[cell], scores, model_run)
        return
    if model_run.missing(texts):
        if model_run.seed is not None:
            with study.phase(f"{label}: {study.recipe.training.steps} steps") as advance:
                model_run.model(progress=advance)
        else:
            with study.phase(f"{label}: load the model") as advance:
                model_run.model()
    with study.phase(f"{label}: score {len(texts)} distinct texts") as advance:
        scores = model_run.scores(list(texts), progress=advance)
    cut = sum(scores[text].truncated for text in texts)
    if cut:
        study.console.print(
            f"{label}: {cut} of {len(texts)} texts are longer than the model's limit of tokens, and read up to there "
            "('training.max_tokens')",
            highlight=False,
        )
    candidates: dict[Reading, tuple[str, ...]] = {}
    lines = _lines_to_repair(study, cells, arrivals, scores)
    if lines:
        with study.phase(f"{label}: repair {len(lines)} distinct texts") as advance:
            candidates = candidates_of(model_run, lines, study.recipe.score, progress=advance)
    with study.phase(f"{label}: {len(cells)} cells, intervals") as advance:
        for number, (cell, config, folder) in enumerate(cells):
            write_cell(study, cell, config, folder, arrivals[cell], scores, model_run, candidates)
            advance(number + 1, len(cells))


def _lines_to_repair(
    study: Workspace,
    cells: Sequence[ConfiguredCell],
    arrivals: dict[Cell, Arrivals],
    scores: Mapping[Reading, TextScores],
) -> dict[Reading, int | None]:
    """Every text to be repaired, with its line of the largest bug score."""
    lines: dict[Reading, int | None] = {}
    for cell, _, _ in cells:
        if "repair" in tasks_of(cell, study.recipe):
            received, pairs, kind = arrivals[cell].evaluated, study.test[cell.corpus], study.recipe.score.context
            lines |= lines_to_repair(received, pairs, scores, trained=cell.trained, context=kind)
    return lines


def write_cell(
    study: Workspace,
    cell: Cell,
    config: dict[str, Any],
    folder: Path,
    arrived: Arrivals,
    scores: Mapping[Reading, TextScores],
    model_run: ModelRun,
    candidates: Mapping[Reading, Sequence[str]] | None = None,
) -> None:
    """Write a cell's files, `result.json` last."""
    tasks, kind = tasks_of(cell, study.recipe), context_kind(cell, study.recipe)
    pairs, received = study.test[cell.corpus], arrived.evaluated
    repaired = repair_rows(model_run, received, pairs, candidates or {}, context=kind) if "repair" in tasks else []
    rows = cell_rows(
        folder.name,
        cell,
        tasks,
        pairs,
        received,
        scores,
        study.validation,
        repaired=repaired,
        context=kind,
        has_head=cell.trained and study.recipe.training.read_layer is not None,
    )
    folder.mkdir(parents=True, exist_ok=True)
    write_json(folder / CONFIG_FILE, config)
    origin = {
        **provenance(),
        "corpora": study.corpus_hashes,
        "model": study.model,
        **({} if study.recipe.score.context == "none" else {"contexts": study.context_counts}),
        "learner": model_run.record,
        "seeds": {"train": cell.train_seed, "channel": cell.link.channel_seed if cell.link else None},
    }
    write_json(folder / PROVENANCE_FILE, origin)
    write_jsonl(folder / ITEMS_FILE, [row for task in tasks for row in rows[task]])
    example = damage_example(arrived.evaluated)
    if example is not None:
        write_json(folder / EXAMPLE_FILE, example)
    train_delivered = sum(item.delivered for item in arrived.learnt) / len(arrived.learnt) if cell.trained else None
    bootstrap = study.recipe.score.bootstrap
    on_air = _on_air(study, cell, arrived.evaluated)
    finalise(
        folder,
        {
            "cell": folder.name,
            "training": (model_run.record.get("training") or {}).get("status"),
            "rows": [
                result_row(cell, task, rows[task], train_delivered, bootstrap, on_air=on_air, context=kind)
                for task in tasks
            ],
        },
    )


def _on_air(study: Workspace, cell: Cell, evaluated: Sequence[ReceivedItem]) -> dict[str, object]:
    """Time on air of the corpus over a cell's link; nothing where no link was crossed."""
    if cell.evaluation_link is None:
        return {}
    radio = study.recipe.radio
    seconds = math.fsum(arrival.damage.airtime_s for arrival in evaluated)
    return {
        "airtime_s": seconds,
        "duty_cycle": radio.allowed_duty_cycle,
        "send_time_s": seconds / radio.allowed_duty_cycle,
        "within_dwell_time": radio.settings_of(cell.evaluation_link).within_dwell_time(radio.region),
    }


# --- the same stages in worker processes


def _send_elsewhere(study: Workspace, cells: Sequence[Cell], executor: Executor) -> None:
    """Let workers do the radio links; `transmit_all` finds their files."""
    links = list(dict.fromkeys(link for cell in cells for link in links_of(cell)))
    links.sort(key=lambda link: -link[0].sf)  # the long frames first
    with study.phase(f"{len(links)} radio links on worker processes") as advance:
        run_jobs(executor, link_job, [(*task_of(study), *link) for link in links], advance)


def link_job(recipe: str, directory: str, model: dict[str, str], link: Link, corpus: str) -> None:
    """One corpus over one link, to its file."""
    with ONE_JOB:
        cross(workspace_of(recipe, directory, model), link, corpus)


def model_run_job(
    recipe: str, directory: str, model: dict[str, str], key: str, keep_models: bool, cells: list[ConfiguredCell]
) -> str | None:
    """One model run with all its cells, to their files; the reason where that failed.

    Raises
    ------
    StoreError
        This worker would make another model: its Python, its packages or its corpora differ.
    """
    with ONE_JOB:
        study = workspace_of(recipe, directory, model)
        if not is_rule(cells[0][0].method):
            from llm_bridge.training.workers import compute_on_one_thread

            compute_on_one_thread()
        arrivals = transmit_all(study, [cell for cell, _, _ in cells])
        ((model_run, _),) = group_by_model_run(study, cells, arrivals)
        if model_run.key != key:
            raise StoreError("a worker has other corpora or another version than the one that asks: install the same")
        here = [(cell, config, Path(directory) / folder.name) for cell, config, folder in cells]
        study.keep_models = keep_models
        return score_or_reason(study, model_run, here, arrivals)


def configured_cells(study: Workspace) -> list[ConfiguredCell]:
    """Every cell of the recipe, with its configuration and its folder."""
    cells = []
    for cell in expand(study.recipe):
        config = cell_config(cell, study.recipe, study.corpus_hashes, study.model_sha256)
        cells.append((cell, config, study.directory / cell_name(cell, config)))
    return cells


def _origin(cell: Cell) -> tuple[str, int | None, Link | None]:
    """Method, training seed and training link of a cell: cells that share them share the model."""
    return cell.method, cell.train_seed, cell.training_link


def stored_recipe(recipe: Recipe) -> dict[str, object]:
    """A recipe as it is kept with its results: of a corpus' file the name and the hash, wherever it lies."""
    tree = dict(as_plain(recipe))
    names = {key: [without_folder(name) for name in tree["corpus"][key]] for key in ("test", "train")}
    return {**tree, "corpus": {**tree["corpus"], **names}}


def _flat(tree: Mapping[str, object]) -> dict[str, Any]:
    """Keys of a plain recipe with their section in front."""
    sections = {key: value if isinstance(value, dict) else {"": value} for key, value in tree.items()}
    return {f"{key}.{name}".rstrip("."): value for key, part in sections.items() for name, value in part.items()}
