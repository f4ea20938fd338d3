"""Rehearsal of a recipe: its methods on random weights in the exact shape of its model, through the real path.

    random shards, byte tokenizer ─► load (NF4 where the method asks) ─► two steps ─► the second is lost; resumed
        ─► ten texts scored ─► adapter saved ─► loaded ─► the same scores?      memory of each beside the plan's

It tells, before weights are had and a GPU is paid for, whether everything fits and how long a token takes. Its numbers
are those of the path, never of the model: with random weights no answer means anything, and no F1 is computed.

Each method runs in a process of its own, so that one that is killed for memory is a result like any other.
"""

from __future__ import annotations

import contextlib
import gc
import json
import multiprocessing
import tempfile
import time
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from llm_bridge.corpora import minibugs
from llm_bridge.corpora.programs import line_spans
from llm_bridge.files import read_json, write_json
from llm_bridge.scoring.rules import is_rule
from llm_bridge.study.cells import base_method
from llm_bridge.study.model_runs import run_settings
from llm_bridge.study.preflight import check_tasks, check_training
from llm_bridge.study.provenance import provenance
from llm_bridge.study.recipe import Recipe

if TYPE_CHECKING:
    from rich.console import Console

    from llm_bridge.training.estimate import MemoryEstimate
    from llm_bridge.training.examples import Example
    from llm_bridge.training.memory_watch import MemoryWatch
    from llm_bridge.training.models import LoadedModel

STEPS, NUM_TEXTS = 2, 10
ABOUT = "Random weights: numbers of the path (memory, time), never of the model whose shape they have."


@dataclass(frozen=True, kw_only=True)
class RehearsalJob:
    """One method of a recipe, and the folder of the random model; `memory` is the most bytes that it may take."""

    model: str
    folder: str
    method: str
    device: str | None
    compute: str | None
    adapter: Mapping[str, Any]
    training: Mapping[str, Any]
    memory: float | None
    result: str


class _InterruptedError(Exception):
    """The interruption that is rehearsed."""


def rehearse_recipe(
    recipe: Recipe,
    *,
    console: Console,
    methods: Sequence[str] = (),
    folder: Path | None = None,
    tokenizer: str | None = None,
    max_disk: float | None = None,
    max_memory: float | None = None,
) -> list[dict[str, Any]]:
    """Rehearse every method of a recipe that has a model; a record for each, also where it does not fit or is killed.

    Parameters
    ----------
    recipe
        Its model gives the shape; its settings for training hold, but for the number of steps, which is 2.
    console
        Console of the package rich that it reports to.
    methods
        Methods of the recipe to rehearse; all without it.
    folder
        Folder in which the random weights are written, and deleted at the end; by default the system's for temporary
        files.
    tokenizer, max_disk
        The arguments of `random_model.write_random_model`, which says their defaults.
    max_memory
        Most bytes that a method may take before it is stopped; by default no bound, but what does not fit is not begun.

    Raises
    ------
    ValueError
        A method that the recipe does not list, or settings that do not exist.
    ModelError, ModelDownloadError
        Of `write_random_model`.
    """
    from llm_bridge.training.estimate import config_of
    from llm_bridge.training.random_model import write_random_model

    check_training(recipe)
    check_tasks(recipe)
    listed = [method for method in dict.fromkeys(recipe.training.methods) if not is_rule(method)]
    unknown = [method for method in methods if method not in listed]
    if unknown:
        raise ValueError(f"'--method' must be one of the recipe's, {', '.join(listed)} (got {unknown[0]!r})")
    name = recipe.model.name
    shape = _shape(config_of(name))
    console.print(f"Dress rehearsal of {name}. {ABOUT}", soft_wrap=True, highlight=False)
    records: list[dict[str, Any]] = []
    if folder is not None:
        folder.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(dir=folder, prefix="rehearsal-") as place:
        weights = Path(place) / "model"
        weights.mkdir()
        started = time.monotonic()
        with console.status("writing random weights"):
            kind = write_random_model(name, weights, tokenizer=tokenizer, max_disk=max_disk)
        size = sum(path.stat().st_size for path in weights.glob("*.safetensors"))
        shards, seconds = len(list(weights.glob("*.safetensors"))), time.monotonic() - started
        console.print(
            f"{size / 1e9:.1f} GB of random weights in {shards} files, {seconds:.0f} s; tokenizer: {kind}",
            highlight=False,
        )
        for method in methods or listed:
            settings = run_settings(recipe, method, recipe.training.seeds[0])
            job = RehearsalJob(
                model=name,
                folder=str(weights),
                method=base_method(method),
                device=recipe.model.device,
                compute=recipe.model.compute,
                adapter=settings["adapter"],
                training={**settings["training"], "steps": STEPS, "checkpoint_every": 1},
                memory=max_memory,
                result=str(Path(place) / f"{method}.json"),
            )
            files = {"model": name, "shape": shape, "tokenizer": kind, "files": shards, "disk_bytes": size}
            records.append({**files, **in_a_process(job), "provenance": provenance()})
            console.print(render_rehearsal(records[-1]), highlight=False, markup=False)
    return records


def render_rehearsal(record: Mapping[str, Any]) -> str:
    """A record as a small table of plain text."""
    lines = [f"{record['model']}, method {record['method']}: {record['status']}"]
    for phase in record.get("phases", ()):
        memory = "" if phase["peak_bytes"] is None else f"{phase['peak_bytes'] / 1e9:8.2f} GB"
        lines.append(f"  {phase['name']:<28} {phase['wall_s']:8.1f} s {memory}")
    planned, peak = record.get("planned_bytes"), record.get("peak_bytes")
    if planned is None:
        return "\n".join(lines)
    if peak:
        lines.append(
            f"  {'peak':<28} {'':10} {peak / 1e9:8.2f} GB, planned {planned / 1e9:.2f} GB ({peak / planned:.2f})"
        )
    else:
        lines.append(f"  planned {planned / 1e9:.2f} GB; {(record['available_bytes'] or 0) / 1e9:.1f} GB are free")
    for key, words in (("train_s_per_token", "training"), ("score_s_per_token", "scoring")):
        if key in record:
            lines.append(f"  {words:<28} {record[key]:8.3f} s a token")
    return "\n".join(lines)


def write_rehearsals(records: Sequence[Mapping[str, Any]], file: Path) -> None:
    """Add records to a JSON file; one of the same model, method and settings takes the place of the older."""

    def key(record: Mapping[str, Any]) -> str:
        return json.dumps([record[name] for name in ("model", "shape", "method", "settings")], sort_keys=True)

    known = {key(record): record for record in (read_json(file)["rehearsals"] if file.exists() else [])}
    known |= {key(record): dict(record) for record in records}
    write_json(file, {"about": ABOUT, "rehearsals": list(known.values())})


def in_a_process(job: RehearsalJob) -> dict[str, Any]:
    """The record of one method, made by a child that may be killed."""
    from llm_bridge.training.memory_watch import OVER_LIMIT

    child = multiprocessing.get_context("spawn").Process(target=rehearse_method, args=(job,))
    child.start()
    child.join()
    record = dict(read_json(Path(job.result))) if Path(job.result).exists() else {"method": job.method, "phases": []}
    if child.exitcode == OVER_LIMIT:
        record["status"] = f"stopped: it took more than {(job.memory or 0) / 1e9:.1f} GB"
    elif child.exitcode:
        how = f"signal {-child.exitcode}" if child.exitcode < 0 else f"exit status {child.exitcode}"
        record["status"] = f"killed ({how}): out of memory?" if child.exitcode < 0 else f"failed ({how})"
    return record


def rehearse_method(job: RehearsalJob) -> None:
    """Rehearse one method in this process, and write its record to ``job.result`` after each phase."""
    from llm_bridge.training.estimate import require_fit
    from llm_bridge.training.memory_watch import MemoryWatch
    from llm_bridge.training.models import ModelError

    rows, batch = _rows(job)
    plan = _plan(job, batch)
    record: dict[str, Any] = {
        "method": job.method,
        "status": "planned",
        "settings": {"adapter": job.adapter, "training": job.training, "device": plan.device, "compute": job.compute},
        "num_parameters": plan.num_parameters,
        "num_trainable": plan.num_trainable,
        "texts": len(rows),
        "batch_tokens": batch,
        "planned_bytes": plan.total,
        "planned_parts": dict(plan.parts) | ({"teacher": plan.teacher} if plan.teacher else {}),
        "planned_bytes_of_the_recipe": _plan(job, job.training.get("batch_tokens", 1024)).total,
        "available_bytes": plan.available,
        "peak_bytes": None,
        "phases": [],
    }
    write_json(Path(job.result), record)
    try:
        require_fit(plan)
        if job.memory is not None and plan.total > job.memory:
            raise ModelError(f"it is planned to take {plan.total / 1e9:.1f} GB, more than {job.memory / 1e9:.1f} GB")
        with MemoryWatch(plan.device, limit=job.memory) as watch:
            _rehearse(job, rows, record, watch)
        record["status"] = "finished"
    except (ValueError, RuntimeError, MemoryError) as error:  # torch reports memory that is not there as RuntimeError
        record["status"] = f"failed: {' '.join(str(error).split()) or type(error).__name__}"
    write_json(Path(job.result), record)


def _rehearse(job: RehearsalJob, rows: Sequence[Example], record: dict[str, Any], watch: MemoryWatch) -> None:
    """Every phase; `record` is written after each."""
    from llm_bridge.scoring.likelihood import score_texts
    from llm_bridge.training.adapters import attach, load_trained, save_trained
    from llm_bridge.training.distillation import predict
    from llm_bridge.training.finetune import TrainSettings, finetune
    from llm_bridge.training.methods import AdapterSettings, method_named
    from llm_bridge.training.models import load_model

    def note() -> None:
        record["phases"], record["peak_bytes"] = [asdict(phase) for phase in watch.phases], watch.peak
        write_json(Path(job.result), record)

    def load(storage: str) -> LoadedModel:
        return load_model(job.folder, storage=storage, device=job.device, compute=job.compute)

    def prepared(base: LoadedModel) -> LoadedModel:
        return attach(base, job.method, AdapterSettings(**job.adapter), texts=[example.text for example in rows])

    row, place = method_named(job.method), Path(job.result).with_suffix("")
    settings = TrainSettings(**job.training)
    texts = list(dict.fromkeys(pair.buggy for pair in minibugs.load()))[:NUM_TEXTS]
    most, teacher = job.training.get("max_tokens"), None
    if row.trained != "nothing" and settings.objectives.get("distil"):
        with watch.phase("ask the untrained model"):
            base = load("full")
            learnt = [example.text for example in rows]
            teacher = predict(base, learnt, max_tokens=base.limit(settings.max_tokens))
            del base
            gc.collect()
        note()
    with watch.phase("load"):
        base = load(row.storage)
    note()
    with watch.phase("attach"):
        loaded = prepared(base)
    if row.trained != "nothing":
        done: list[float] = []

        def interrupt(step: int, steps: int) -> None:
            done.append(time.monotonic())
            if step == steps:
                raise _InterruptedError

        options: dict[str, Any] = {"teacher": teacher, "checkpoint_dir": place / "checkpoint"}
        with watch.phase("two steps, the second lost"), contextlib.suppress(_InterruptedError):
            finetune(loaded, rows, settings, progress=interrupt, **options)
        note()
        with watch.phase("resume: the second step"):
            untrained = _untrained(loaded, base)
            del loaded, base  # trained weights go before others of their size are loaded
            gc.collect()
            base = untrained or load(row.storage)
            loaded = prepared(base)
            outcome = finetune(loaded, rows, settings, **options)
        record |= {"resumed_at": outcome.resumed_at, "steps": outcome.steps, "training_status": outcome.status}
        record |= {"losses": list(outcome.losses), "train_tokens": outcome.tokens, "step_s": done[-1] - done[0]}
        record["train_s_per_token"] = record["step_s"] * outcome.steps / max(1, outcome.tokens)
        note()
    with watch.phase(f"score {len(texts)} texts"):
        before = score_texts(loaded, texts, max_tokens=most)
    record["score_tokens"] = sum(scores.num_tokens for scores in before.values())
    record["score_s_per_token"] = watch.phases[-1].wall_s / max(1, record["score_tokens"])
    note()
    if row.trained == "nothing":
        return
    with watch.phase("score one text"):
        alone = score_texts(loaded, texts[:1], max_tokens=most)
    with watch.phase("save"):
        save_trained(loaded, place / "trained")
    record["saved_bytes"] = sum(path.stat().st_size for path in (place / "trained").iterdir())
    note()
    with watch.phase("load what was saved"):
        base = _untrained(loaded, base) or loaded
        again = load_trained(base, place / "trained")
    note()
    with watch.phase("score one text again"):
        record["same_scores"] = score_texts(again, texts[:1], max_tokens=most) == alone
    note()


def _untrained(loaded: LoadedModel, base: LoadedModel) -> LoadedModel | None:
    """The base again, where only adapters were trained on it; `None` where its own weights were."""
    unload = getattr(loaded.model, "unload", None)
    if unload is None:
        return None
    return replace(base, model=unload())


def _rows(job: RehearsalJob) -> tuple[list[Example], int]:
    """Examples of one step, and the tokens of its largest micro-batch."""
    from llm_bridge.training.examples import clean_examples, encode_example, length_batches, replaced_line
    from llm_bridge.training.methods import method_named
    from llm_bridge.training.models import load_tokenizer
    from llm_bridge.training.settings import HEAD_TOKENS, MAX_TOKENS

    if method_named(job.method).trained == "nothing":
        return [], HEAD_TOKENS
    pairs = sorted(minibugs.load(), key=lambda pair: line_spans(pair.buggy)[replaced_line(pair)])  # bugs near the start
    rows = clean_examples(pairs)[: job.training["batch_programs"]]
    tokenizer = load_tokenizer(job.folder)
    most = job.training.get("max_tokens", MAX_TOKENS)
    sizes = [len(encode_example(row, tokenizer, max_tokens=most).input_ids) for row in rows]
    batches = length_batches(sizes, job.training.get("batch_tokens", 1024))
    return rows, max(len(some) * max(sizes[index] for index in some) for some in batches)


def _plan(job: RehearsalJob, batch_tokens: int) -> MemoryEstimate:
    from llm_bridge.training.estimate import estimate_memory
    from llm_bridge.training.methods import AdapterSettings

    return estimate_memory(
        job.model,
        job.method,
        adapter=AdapterSettings(**job.adapter),
        batch_tokens=batch_tokens,
        gradient_checkpointing=job.training["gradient_checkpointing"],
        objectives=job.training["objectives"],
        device=job.device,
    )


def _shape(config: object) -> dict[str, object]:
    """The numbers of a configuration that make the shape."""
    names = ("model_type", "hidden_size", "intermediate_size", "num_hidden_layers", "num_attention_heads")
    return {name: getattr(config, name, None) for name in (*names, "num_key_value_heads", "vocab_size")}
