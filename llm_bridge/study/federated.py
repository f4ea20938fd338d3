"""Federated study: receivers at several spreading factors train an adapter each, and a server merges them.

    training texts ─► one radio link a site ─► each site trains on what it received, from the server's adapter
        ▲                                                              │
        └── the next round's start ◄── server: average, or refined ◄───┘     (`llm_bridge.training.federated`)

Every model sees the same number of optimiser steps, ``training.steps``: a site alone, the pooled data, and each site of
a federation, which divides its steps by the rounds. So a federation computes as many times more as it has sites. What
is tested on crosses no link. The best site is chosen on the validation mutants, never on what is tested on.

    DIR/federated.json   a row for each model, seed and task, differences to the best site and to pooled data, the sites
    DIR/federated.md     the same as a table
    DIR/cache/federated  items of each model; DIR/cache/adapters, adapters of an unfinished study
"""

from __future__ import annotations

import hashlib
import shutil
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import cached_property, partial
from pathlib import Path
from statistics import fmean
from typing import TYPE_CHECKING, Any, NamedTuple

from llm_bridge.annotations import Row
from llm_bridge.files import StoreError, digest, storage_error, write_atomically, write_json
from llm_bridge.link import Link
from llm_bridge.scoring.localise import localise
from llm_bridge.scoring.metrics import compare_cells, score_cell
from llm_bridge.study.cache import locked, share_cache
from llm_bridge.study.cells import Cell, links
from llm_bridge.study.experiment import claim_folder
from llm_bridge.study.model_runs import DivergedError, base_model, run_settings
from llm_bridge.study.preflight import check_contexts, check_links, prepare_model
from llm_bridge.study.provenance import code_identity, model_hashes, provenance, simulator_version
from llm_bridge.study.recipe import Recipe, RecipeError
from llm_bridge.study.rows import by_context, cell_rows, texts_needed
from llm_bridge.study.transmission import TRAINING, cross, items_of, perfect_arrival
from llm_bridge.study.workspace import Workspace, open_workspace

if TYPE_CHECKING:
    from rich.console import Console

    from llm_bridge.training.distillation import Teacher
    from llm_bridge.training.examples import Example
    from llm_bridge.training.federated import Merged
    from llm_bridge.training.models import LoadedModel

METHODS = ("lora", "qlora")
WORDS = {
    "average": "average (FedIT)",
    "least-squares": "refined (LoRA-FAIR)",
    "cosine": "refined by cosine (LoRA-FAIR)",
}
RESULTS_FILE, TABLE_FILE = "federated.json", "federated.md"
KINDS = "ABH"
"""First letters of the names of `Factors` in a file."""


class Factors(NamedTuple):
    """Exchange of sites and server: A and B of every adapted layer by its name, and the trained head's tensors."""

    a: Mapping[str, Any]
    b: Mapping[str, Any]
    head: Mapping[str, Any]


@dataclass(frozen=True, kw_only=True)
class Site:
    """One receiver: its link, the number of texts sent to it, and its training examples."""

    link: Link
    sent: int
    examples: tuple[Example, ...]

    @property
    def name(self) -> str:
        """Name in results, by the spreading factor."""
        return f"SF{self.link.sf}"


@dataclass(frozen=True, kw_only=True)
class Trained:
    """One model of the study: its name, what identifies it, and how to make it."""

    name: str
    rounds: int
    key: str
    make: Callable[[], tuple[Factors, float | None]]
    """Returns the factors, and of a merged model the mean distance from the average of the products."""


def run_federated(
    recipe: Recipe,
    directory: Path | str,
    *,
    rounds: Sequence[int] = (1, 5),
    aggregations: Sequence[str] = ("average", "least-squares"),
    penalty: float = 0.01,
    console: Console | None = None,
    cache: Path | None = None,
) -> Path:
    """Run a recipe's sites as a federation; returns the path of the table. What is finished is not computed again.

    Parameters
    ----------
    recipe, directory
        A recipe with one method, "lora" or "qlora", and one link for each spreading factor and channel seed; and the
        folder of its results.
    rounds
        Numbers of rounds, each at least 1 and at most ``training.steps``.
    aggregations, penalty
        Ways to merge and the weight of the penalty, `how` and `penalty` of `llm_bridge.training.federated.merge`.
    console, cache
        The console to report to and the folder that studies share; the defaults are those of
        `llm_bridge.run.run_recipe`.

    Raises
    ------
    RecipeError
        The recipe names no federation.
    ValueError
        Nothing arrived at any site, or `rounds`, `aggregations` or `penalty` out of bounds.
    DivergedError
        A site's training ended in numbers that are none.
    StoreError
        The folder is in use, cannot be written, was edited, or was filled by another recipe.
    """
    from rich.console import Console

    directory, console = Path(directory), console or Console()
    _check(recipe, rounds, aggregations, penalty)
    check_links(recipe)
    with locked(directory):
        if cache is not None:
            share_cache(directory, cache)
        study = open_workspace(recipe, directory, console)
        prepare_model(recipe, study.phase, console=console)
        study.model = model_hashes(recipe.model.name, directory)
        check_contexts(study)
        claim_folder(recipe, directory)
        items: list[Row] = []
        models: list[Row] = []
        sites_of: dict[int, list[Site]] = {}
        for channel_seed in recipe.radio.channel_seeds:
            sites_of[channel_seed] = _receive(study, channel_seed)
            for seed in recipe.training.seeds:
                if channel_seed in recipe.channel_seeds_of(seed):
                    server = Server(study, sites_of[channel_seed], seed, penalty)
                    found, rows = server.run(rounds, aggregations)
                    items += [{**row, "channel_seed": channel_seed, "train_seed": seed} for row in rows]
                    models += [{**model, "channel_seed": channel_seed, "train_seed": seed} for model in found]
        result = _result(study, models, items, sites_of, penalty)
        write_json(directory / RESULTS_FILE, result)
        write_atomically(directory / TABLE_FILE, table(result))
        if not study.cache.directory.is_symlink():
            shutil.rmtree(study.cache.directory / "adapters", ignore_errors=True)
    console.print(table(result), markup=False, highlight=False, soft_wrap=True)
    console.print(f"wrote {directory / TABLE_FILE}", markup=False, highlight=False, soft_wrap=True)
    return directory / TABLE_FILE


@dataclass
class Server:
    """The server and its sites, for one training seed and one realisation of the channel."""

    study: Workspace
    sites: list[Site]
    seed: int
    penalty: float

    def run(self, rounds: Sequence[int], aggregations: Sequence[str]) -> tuple[list[Row], list[Row]]:
        """Every model's row, and its item rows of each test corpus and task."""
        models, items = [], []
        for model in self.models(rounds, aggregations):
            found = self.items(model)
            models.append(found[0])
            items += found[1:]
        return models, items

    def models(self, rounds: Sequence[int], aggregations: Sequence[str]) -> Iterable[Trained]:
        """All models that are compared."""
        steps = self.study.recipe.training.steps
        yield Trained(name="untrained", rounds=0, key=self.start, make=lambda: (self.initial, None))
        pooled = tuple(example for site in self.sites for example in site.examples)
        for name, some in (*((site.name, site.examples) for site in self.sites), ("pooled", pooled)):
            if some:
                key = self.key(self.start, some, steps, 0)
                yield Trained(name=name, rounds=0, key=key, make=partial(self.alone, name, some))
        for how in aggregations:
            for count in rounds:
                key = self.after(count, count, how)
                yield Trained(name=WORDS[how], rounds=count, key=key, make=partial(self.rounds, count, how))

    def items(self, model: Trained) -> list[Row]:
        """A row of the model, then its item rows; from their file where they are there."""
        study = self.study
        identity = {
            "model": model.key,
            "tasks": study.recipe.score.tasks,
            "max_tokens": study.recipe.training.max_tokens,
            "corpora": study.corpus_hashes,
        }
        label = f"{model.name}, {model.rounds} round{'s' * (model.rounds > 1)}" if model.rounds else model.name

        def make() -> list[Row]:
            from llm_bridge.scoring.likelihood import score_texts

            factors, distance = model.make()
            self.write(factors)
            trained = model.name != "untrained"
            scored = self.loaded if trained else replace(self.loaded, head=None)  # at zero it has no opinion
            received = {name: perfect_arrival(items_of(pairs)) for name, pairs in study.test.items()}
            held_out = perfect_arrival(items_of(study.validation))
            kind, tasks = study.recipe.score.context, study.recipe.score.tasks
            read = [arrival for some in received.values() for arrival in some]
            every = [*(pair for pairs in study.test.values() for pair in pairs), *study.validation]
            texts = texts_needed(tasks, read, study.validation, pairs=every, context=kind)
            texts += texts_needed(("localise",), held_out, study.validation, pairs=every, context=kind)
            with study.phase(f"seed {self.seed}, {label}: score {len(set(texts))} texts") as advance:
                scores = score_texts(
                    scored, texts, max_tokens=study.recipe.training.max_tokens, progress=advance
                )  # fmt: skip
            by = "verdict" if trained else "nll"
            groups = by_context(held_out, study.validation, scores, kind)
            found = [row for some, known in groups for row in localise(some, study.validation, known, by=by)]
            chosen = score_cell(found, num_resamples=100)
            rows: list[Row] = [{"validation_f1": chosen["f1"], "distance": distance}]
            for corpus, pairs in study.test.items():
                method = self.study.recipe.training.methods[0] if trained else "zero-shot"
                cell = Cell(corpus=corpus, method=method, train_seed=self.seed, corrupted_split="none")
                by_task = cell_rows(
                    model.key,
                    cell,
                    tasks,
                    pairs,
                    received[corpus],
                    scores,
                    study.validation,
                    context=kind,
                    has_head=scored.head is not None,
                )
                rows += [row for task in tasks for row in by_task[task]]
            return rows

        rows = study.cache.get_or_make("federated", identity, make, read=_whole_items, write=list)
        return [{**row, "model": model.name, "rounds": model.rounds} for row in rows]

    # --- identities: of a model by what it is made of, before it is made

    @cached_property
    def settings(self) -> dict[str, dict[str, Any]]:
        """Settings of the adapters and of training."""
        return run_settings(self.study.recipe, self.study.recipe.training.methods[0], self.seed)

    @cached_property
    def start(self) -> str:
        """Identity of the untrained model with its fresh adapters."""
        model = self.study.recipe.model
        return digest(
            {
                "model": self.study.model_sha256,
                "compute": model.compute,
                "chat_template": model.chat_template,
                "method": self.study.recipe.training.methods[0],
                "adapter": self.settings["adapter"],
                "chirpbridge": simulator_version(),
                "code": code_identity("model"),
            }
        )

    def key(self, start: str, examples: Sequence[Example], steps: int, number: int) -> str:
        """Identity of an adapter that a site trained."""
        return digest([start, [row.as_plain() for row in examples], self.training(steps, number)])

    def after(self, done: int, count: int, how: str) -> str:
        """Identity of the server's adapter after `done` of `count` rounds."""
        if not done:
            return self.start
        start, steps = self.after(done - 1, count, how), self.steps(count)[done - 1]
        own = [[self.key(start, site.examples, steps, done - 1), len(site.examples)] for site in self.sites]
        return digest([own, how, self.penalty])

    def steps(self, count: int) -> list[int]:
        """Optimiser steps of each of `count` rounds."""
        steps = self.study.recipe.training.steps
        return [steps // count + (number < steps % count) for number in range(count)]

    def training(self, steps: int, number: int) -> dict[str, Any]:
        """Arguments of `TrainSettings` in a round; each has an order of its own."""
        return {**self.settings["training"], "steps": steps, "seed": self.seed + 1000 * number}

    # --- models made

    def alone(self, name: str, examples: tuple[Example, ...]) -> tuple[Factors, float | None]:
        """Factors of a site that trains by itself, or of all that arrived."""
        steps = self.study.recipe.training.steps
        return self.train(name, lambda: self.initial, self.start, examples, steps, 0), None

    def rounds(self, count: int, how: str) -> tuple[Factors, float | None]:
        """The server's adapter after `count` rounds, and its mean distance from the average of the products."""
        factors, distance = self.initial, None
        for number, steps in enumerate(self.steps(count)):
            start = self.after(number, count, how)
            merged = self.merged(factors, start, steps, number, how, f"{WORDS[how]}, round {number + 1} of {count}")
            factors = Factors(merged.a, merged.b, merged.head)
            distance = sum(merged.distance.values()) / len(merged.distance)
        return factors, distance

    def merged(self, factors: Factors, start: str, steps: int, number: int, how: str, label: str) -> Merged:
        """One round: every site trains from `factors`, the server merges."""
        from llm_bridge.training.federated import SiteAdapter, merge

        adapters = []
        for site in self.sites:
            own = factors
            if site.examples:
                own = self.train(f"{label}, {site.name}", lambda: factors, start, site.examples, steps, number)
            adapters.append(SiteAdapter(name=site.name, weight=len(site.examples), **own._asdict()))
        return merge(adapters, how=how, penalty=self.penalty)

    def train(
        self,
        label: str,
        factors: Callable[[], Factors],
        start: str,
        examples: tuple[Example, ...],
        steps: int,
        number: int,
    ) -> Factors:
        """Factors that a site trained from others, from their file where they are there."""
        from llm_bridge.training.finetune import TrainSettings, finetune

        key = self.key(start, examples, steps, number)
        path, folder = (
            self.study.cache.path("adapters", key, ".safetensors"),
            self.study.cache.path("adapters", key, ""),
        )
        if path.exists():
            return read_factors(path)
        self.write(factors())
        settings = TrainSettings(**self.training(steps, number))
        with self.study.phase(f"seed {self.seed}, {label}: {steps} steps") as advance:
            record = finetune(
                self.loaded, examples, settings, teacher=self.teacher, checkpoint_dir=folder, progress=advance
            )
        if record.status == "diverged":
            rate = f"now {settings.learning_rate:g}"
            raise DivergedError(f"{label} diverged at step {record.steps}, lower 'training.learning_rate' ({rate})")
        found = factors_of(self.loaded)
        write_factors(path, found)
        shutil.rmtree(folder, ignore_errors=True)
        return found

    @cached_property
    def loaded(self) -> LoadedModel:
        """The one model whose adapters are exchanged."""
        from llm_bridge.training.adapters import attach
        from llm_bridge.training.methods import AdapterSettings, method_named

        method = self.study.recipe.training.methods[0]
        base = base_model(self.study.recipe, method_named(method).storage)
        return attach(base, method, AdapterSettings(**self.settings["adapter"]))

    @cached_property
    def initial(self) -> Factors:
        """Start of every site's first round: B = 0, so that the adapters change nothing, and a head at zero."""
        own = factors_of(self.loaded)
        zero = [{name: 0 * value for name, value in some.items()} for some in (own.b, own.head)]
        return Factors(own.a, *zero)

    @cached_property
    def teacher(self) -> Teacher | None:
        """Predictions of the untrained, unquantised model for all that arrived, for the objective "distil"."""
        if not self.settings["training"]["objectives"].get("distil"):
            return None
        from llm_bridge.training.distillation import predict

        base = base_model(self.study.recipe)
        most = base.limit(self.study.recipe.training.max_tokens)
        texts = [example.reading for site in self.sites for example in site.examples]
        with self.study.phase(f"seed {self.seed}: predictions of the untrained model"):
            return predict(base, texts, max_tokens=most)

    def write(self, factors: Factors) -> None:
        """Put factors into the model."""
        for own, others in zip(_parameters(self.loaded), factors, strict=True):
            for name, parameter in own.items():
                parameter.data.copy_(others[name])


# --- adapters' factors and their files


def factors_of(loaded: LoadedModel) -> Factors:
    """Copies of A and B of every adapted layer by the layer's name, and of the trained head."""
    copies = [
        {name: parameter.detach().cpu().clone() for name, parameter in some.items()} for some in _parameters(loaded)
    ]
    return Factors(*copies)


def write_factors(path: Path, factors: Factors) -> None:
    """Write factors whole or not at all."""
    from safetensors.torch import save_file

    tensors = {
        f"{which}.{name}": value for which, some in zip(KINDS, factors, strict=True) for name, value in some.items()
    }
    draft = path.with_name(f".{path.name}.tmp")
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        save_file({name: value.contiguous() for name, value in tensors.items()}, draft, {"sha256": _sha256(tensors)})
        draft.replace(path)
    except OSError as error:
        raise storage_error(error, path) from error
    finally:
        draft.unlink(missing_ok=True)


def read_factors(path: Path) -> Factors:
    """Factors of `write_factors`; a file that is not such is a `StoreError` that names it."""
    from safetensors import SafetensorError, safe_open

    try:
        with safe_open(path, framework="pt") as file:
            tensors = {name: file.get_tensor(name) for name in file.keys()}
            written = (file.metadata() or {}).get("sha256")
    except (OSError, ValueError, RuntimeError, SafetensorError) as error:
        raise StoreError(f"{path} cannot be read ({error}): delete it and run again") from error
    found = Factors(*({name[2:]: x for name, x in tensors.items() if name.startswith(f"{kind}.")} for kind in KINDS))
    whole = found.a and found.a.keys() == found.b.keys() and len(tensors) == sum(map(len, found))
    if not whole or written != _sha256(tensors):
        raise StoreError(f"{path} holds no adapter: delete it and run again")
    return found


def _sha256(tensors: Mapping[str, Any]) -> str:
    found = hashlib.sha256()
    for name, value in sorted(tensors.items()):
        found.update(f"{name} {value.dtype} {list(value.shape)}\0".encode() + value.numpy().tobytes())
    return found.hexdigest()


def _parameters(loaded: LoadedModel) -> Factors:
    a: dict[str, Any] = {}
    b: dict[str, Any] = {}
    for name, parameter in loaded.model.named_parameters():
        for which, found in ((".lora_A.", a), (".lora_B.", b)):
            if which in name:
                found[name.partition(which)[0]] = parameter
    return Factors(a, b, {} if loaded.head is None else dict(loaded.head.named_parameters()))


# --- results


def table(result: Mapping[str, Any]) -> str:
    """The results as text in Markdown: sites, then F1 of every model, and the differences between models."""
    lines = ["| site | texts sent | arrived | weight |", "|---|---|---|---|"]
    for site in result["sites"]:
        note = "0: nothing arrived" if not site["arrived"] else f"{site['weight']:.3f}"
        lines.append(
            f"| {site['site']} (channel seed {site['channel_seed']}) | {site['sent']} | {site['arrived']} | {note} |"
        )
    tasks = list(dict.fromkeys((row["corpus"], row["task"]) for row in result["models"]))
    head = [f"{corpus}, {task}" for corpus, task in tasks]
    lines += ["", f"| model | rounds | distance | {' | '.join(head)} |", f"|---|---|---|{'---|' * len(head)}"]
    by_model: dict[tuple[str, int], dict[tuple[str, str], Row]] = {}
    for row in result["models"]:
        by_model.setdefault((row["model"], row["rounds"]), {})[row["corpus"], row["task"]] = row
    for (name, count), found in by_model.items():
        best = " (best site on validation)" if name in result["best_sites"] else ""
        cells = [_interval(found.get(key)) for key in tasks]
        away = [run["distance"] for run in result["runs"] if (run["model"], run["rounds"]) == (name, count)]
        distance = f"{fmean(away):.3f}" if count else ""
        lines.append(f"| {name}{best} | {count or ''} | {distance} | {' | '.join(cells)} |")
    lines += ["", f"| difference of F1 | rounds | {' | '.join(head)} |", f"|---|---|{'---|' * len(head)}"]
    by_pair: dict[tuple[str, int, str], dict[tuple[str, str], Row]] = {}
    for row in result["differences"]:
        by_pair.setdefault((row["model"], row["rounds"], row["against"]), {})[row["corpus"], row["task"]] = row
    for (name, count, other), found in by_pair.items():
        cells = [_interval(found.get(key)) for key in tasks]
        lines.append(f"| {name} − {other} | {count} | {' | '.join(cells)} |")
    n = sorted({row["n"] for row in result["models"]})
    lines += [
        "",
        f"F1 with 95 % intervals over programs; n = {', '.join(map(str, n))} items of all seeds together."
        " Distance: of a merged product from the average of the sites' products, over its norm, the layers' mean.",
    ]
    return "\n".join(lines) + "\n"


def _result(
    study: Workspace,
    models: Sequence[Row],
    items: Sequence[Row],
    sites: Mapping[int, Sequence[Site]],
    penalty: float,
) -> dict[str, Any]:
    """Content of the results' file: models, differences, sites, and provenance."""
    bootstrap = study.recipe.score.bootstrap
    seeds = [(seed, channel) for channel in sites for seed in study.recipe.training.seeds]
    best = {}
    for seed, channel in seeds:
        names = {site.name for site in sites[channel]}
        own = [row for row in models if (row["train_seed"], row["channel_seed"]) == (seed, channel)]
        alone = [row for row in own if row["model"] in names]
        if alone:
            best[seed, channel] = max(alone, key=lambda row: row["validation_f1"] or 0.0)["model"]
    rows, differences = [], []
    kinds = list(dict.fromkeys((row["model"], row["rounds"]) for row in models))
    tasks = list(dict.fromkeys((row["corpus"], row["task"]) for row in items))
    groups: dict[tuple[object, ...], list[Row]] = {}
    for row in items:
        key = (row["model"], row["rounds"], row["corpus"], row["task"])
        groups.setdefault(key, []).append(row)
        if row["model"] == best[row["train_seed"], row["channel_seed"]]:
            groups.setdefault(("the best site", 0, *key[2:]), []).append(row)
    for name, count in [*kinds, ("the best site", 0)]:
        for corpus, task in tasks:
            own = groups.get((name, count, corpus, task), [])
            scores = score_cell(own, num_resamples=bootstrap)
            rows.append({"model": name, "rounds": count, "corpus": corpus, "task": task, **scores})
            for other in ("the best site", "pooled") if count else ():
                found = compare_cells(own, groups[other, 0, corpus, task], num_resamples=bootstrap)
                place = {"model": name, "rounds": count, "against": other, "corpus": corpus, "task": task}
                differences.append({**place, "f1": found.value, "f1_low": found.low, "f1_high": found.high})
    total = {channel: sum(len(site.examples) for site in some) for channel, some in sites.items()}
    return {
        "models": rows,
        "differences": differences,
        "runs": list(models),
        "best_sites": sorted(set(best.values())),
        "sites": [
            {"site": site.name, "channel_seed": channel, "snr_db": site.link.snr_db, "sent": site.sent,
             "arrived": len(site.examples), "weight": len(site.examples) / total[channel]}
            for channel, some in sites.items() for site in some
        ],
        "penalty": penalty,
        "corpora": study.corpus_hashes,
        "model": study.model,
        **provenance(),
    }  # fmt: skip


def _interval(row: Mapping[str, Any] | None) -> str:
    if row is None or row["f1"] is None:
        return ""
    value, low, high = (f"{row[name]:z.2f}" for name in ("f1", "f1_low", "f1_high"))  # z: no zero is negative
    return f"{value} [{low}, {high}]".replace("-", "−")


# --- what is asked for, and what arrives


def _check(recipe: Recipe, rounds: Sequence[int], aggregations: Sequence[str], penalty: float) -> None:
    """Refuse what is no federation, before any work."""
    methods, problems = recipe.training.methods, []
    if len(methods) != 1 or methods[0] not in METHODS:
        problems.append(f"'training.methods' must be one of {', '.join(METHODS)} in a federation (got {list(methods)})")
    if recipe.training.preset is not None:
        problems.append(f"'training.preset' has no place in a federation (got {recipe.training.preset!r})")
    if recipe.radio.corrupted_split != ("train",):
        split = list(recipe.radio.corrupted_split)
        problems.append(f"'radio.corrupted_split' must be [\"train\"]: what is tested on crosses no link (got {split})")
    if "repair" in recipe.score.tasks:
        problems.append("'score.tasks' must not hold 'repair' in a federation")
    if not recipe.corpus.validation_pairs:
        problems.append("'corpus.validation_pairs' must be at least 1: the best site is chosen on them (got 0)")
    for channel_seed in recipe.radio.channel_seeds:
        found = [link.sf for link in links(recipe) if link.channel_seed == channel_seed]
        if len(found) != len(set(found)):
            problems.append(
                f"a federation has one link for each spreading factor and channel seed (got {len(found)} links for "
                f"{len(set(found))}): give 'radio.axis', its levels, 'radio.fading', 'cr', 'policy' and "
                "'source_coding' one value each"
            )
            break
    steps = recipe.training.steps
    if not rounds or not all(1 <= count <= steps for count in rounds):
        problems.append(f"'--rounds' must lie in 1…{steps}, the steps that they divide (got {list(rounds)})")
    if not aggregations or not set(aggregations) <= WORDS.keys():
        problems.append(f"'--how' must be among {', '.join(WORDS)} (got {list(aggregations)})")
    if not 0 <= penalty < float("inf"):
        problems.append(f"'--penalty' must be at least 0 and finite (got {penalty})")
    if problems:
        raise RecipeError("\n".join(problems))


def _receive(study: Workspace, channel_seed: int) -> list[Site]:
    """Every site with the training texts that it received."""
    from llm_bridge.training.examples import training_examples

    sites = []
    with study.phase(f"channel seed {channel_seed}: training texts over every site's link") as advance:
        own = [link for link in links(study.recipe) if link.channel_seed == channel_seed]
        for number, link in enumerate(own):
            received = cross(study, link, TRAINING)
            examples = tuple(training_examples(received, study.train, context=study.recipe.score.context))
            sites.append(Site(link=link, sent=len(received), examples=examples))
            advance(number + 1, len(own))
    for site in sites:
        if not site.examples:
            study.console.print(f"{site.name}: nothing arrived, its weight is 0", markup=False, highlight=False)
    if not any(site.examples for site in sites):
        names = ", ".join(site.name for site in sites)
        raise RecipeError(f"nothing arrived at any site ({names}), so there is nothing to learn from: raise the SNR")
    return sites


def _whole_items(rows: list[Row]) -> list[Row]:
    """Rows from their file: the model's first."""
    if "validation_f1" not in rows[0] or any("task" not in row for row in rows[1:]):
        raise ValueError("the model's row is missing")
    return rows
