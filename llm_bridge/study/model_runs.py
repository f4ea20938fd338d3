"""Middle stages: a model run for each method, seed and training set, and its scores of each text, kept as files.

    DIR/cache/models/<hash>/        record.json, and the checkpoint of an unfinished study
    DIR/cache/teachers/<hash>.pt    what the untrained model expects in a training set, for the objective "distil"
    DIR/cache/scores/<hash>.jsonl   a line per distinct text, appended as it is scored

A model is identified by everything that shaped it: base, method, settings, seed and the texts it learnt from. It is
loaded only when a text has no score yet. Torch is imported here when a model is used, and not before.
"""

from __future__ import annotations

import math
import shutil
from collections.abc import Iterable, Sequence
from dataclasses import asdict, dataclass, field, replace
from functools import cached_property, lru_cache
from pathlib import Path
from typing import TYPE_CHECKING, Any

from pydantic import TypeAdapter

from llm_bridge.annotations import Progress
from llm_bridge.corpora.contexts import Reading, parts_of
from llm_bridge.files import StoreError, digest, read_json, storage_error, text_digest, write_json
from llm_bridge.study.cache import Cache, CachedRows
from llm_bridge.study.cells import SHUFFLED, Cell, base_method
from llm_bridge.study.provenance import code_identity, simulator_version
from llm_bridge.study.recipe import Recipe
from llm_bridge.study.shuffling import shuffled_labels

if TYPE_CHECKING:
    from llm_bridge.scoring.text_scores import TextScores
    from llm_bridge.training.examples import Example
    from llm_bridge.training.models import LoadedModel


SCORES_PER_LINE_FLUSH = 128
"""Texts scored between two writes: what an interruption can cost."""


MANY_TEXTS, SAME_ANSWER = 4, 1e-6
"""Distinct texts, and the distance in nats, from which and below which a model that answers all alike has collapsed."""


class DivergedError(ValueError):
    """Training after which there is no model to score: a loss that is not a number, or weights that tell nothing."""


@dataclass(kw_only=True)
class ModelRun:
    """One model of a study: how it is made, and where its files lie."""

    cache: Cache
    recipe: Recipe
    method: str
    seed: int | None
    examples: tuple[Example, ...] = ()
    model_sha256: str | None = None
    _loaded: LoadedModel | None = field(default=None, repr=False)

    @cached_property
    def key(self) -> str:
        """Hash of everything that shapes the model."""
        return digest(
            {
                "model": self.model_sha256 or self.recipe.model.name,
                **({"compute": self.recipe.model.compute} if self.recipe.model.compute else {}),
                "method": self.method,
                "seed": self.seed,
                "settings": None if self.seed is None else run_settings(self.recipe, self.method, self.seed),
                "examples": [example.as_plain() for example in self.examples],
                **self._younger,
                "chirpbridge": simulator_version(),
                "code": code_identity("model"),
            }
        )

    @property
    def _younger(self) -> dict[str, object]:
        """Settings that shape every score and are younger than published results: named where they are set."""
        found = {"max_tokens": self.recipe.training.max_tokens, "chat_template": self.recipe.model.chat_template}
        return {name: value for name, value in found.items() if value}

    @property
    def record(self) -> dict[str, Any]:
        """Fingerprint of the model and what happened in training; empty until it was made once."""
        path = self.folder / "record.json"
        found = read_json(path) if path.exists() else {}
        parts = [found.get(name) for name in ("fingerprint", "training")] if isinstance(found, dict) else [""]
        if not all(isinstance(part, dict | None) for part in parts):
            raise StoreError(f"{path} is no record of a model: delete its folder and run again")
        return dict(found)

    @property
    def folder(self) -> Path:
        """Folder of the model's own files."""
        return self.cache.path("models", self.key, "")

    @property
    def learns_repair(self) -> bool:
        """Whether the model is trained on fixes."""
        return self.seed is not None and self.recipe.training.objectives.get("repair", 0.0) > 0

    def model(self, *, progress: Progress | None = None) -> LoadedModel:
        """The model, made or taken up where it was left."""
        if self._loaded is not None:
            return self._loaded
        from llm_bridge.training.adapters import attach
        from llm_bridge.training.distributed_training import TrainingJob, train_together
        from llm_bridge.training.methods import method_named

        method = base_method(self.method)
        model = self.recipe.model
        if self.seed is None:
            self._loaded = attach(base_model(self.recipe, method_named(method).storage), method)
            self._remember(None)
            return self._loaded
        settings = run_settings(self.recipe, self.method, self.seed)
        job = TrainingJob(
            model=model.name,
            method=method,
            device=model.device,
            compute=model.compute,
            chat_template=model.chat_template,
            adapter=settings["adapter"],
            training=settings["training"],
            examples=self.examples,
            checkpoint_dir=str(self.folder),
            teacher_file=str(self._teacher_path),
        )
        self._loaded, outcome = train_together(job, progress=progress)
        self._remember(asdict(outcome))
        if outcome.status == "diverged":
            self._loaded = None
            raise DivergedError(
                f"diverged at step {outcome.steps}, lower its 'training.learning_rate' "
                f"(now {settings['training']['learning_rate']:g})"
            )
        return self._loaded

    def known_scores(self) -> dict[str, TextScores]:
        """Scores on file, by the SHA-256 of their text."""
        rows = self._rows()
        try:
            return {name: _scores().validate_python(row["scores"]) for name, row in rows.known.items()}
        except (KeyError, ValueError) as error:
            raise StoreError(f"{rows.path} holds no scores of texts: delete it and run again") from error

    def missing(self, texts: Iterable[Reading]) -> list[Reading]:
        """Distinct texts without a score."""
        known = self._rows().known
        return [text for text in dict.fromkeys(texts) if reading_digest(text) not in known]

    def scores(self, texts: Sequence[Reading], *, progress: Progress | None = None) -> dict[Reading, TextScores]:
        """Scores of every text: from the file where they are there, from the model where not."""
        missing = self.missing(texts)
        if missing:
            from llm_bridge.scoring.likelihood import score_texts

            loaded, kept = self.model(), self._rows()
            unknown, done = set(missing), 0
            for part in self._parts(missing, texts):
                found = score_texts(loaded, part, max_tokens=self.recipe.training.max_tokens)
                fresh = [text for text in part if text in unknown]
                kept.add({"text_sha256": reading_digest(text), "scores": asdict(found[text])} for text in fresh)
                done += len(fresh)
                if progress is not None:
                    progress(done, len(missing))
            self._plan_path.unlink(missing_ok=True)
        known = self.known_scores()
        found = {text: known[reading_digest(text)] for text in dict.fromkeys(texts)}
        answers = [
            (row.mean_nll, row.program_verdict, *row.line_verdict[:1]) for row in found.values() if row.num_tokens
        ]
        if len(answers) >= MANY_TEXTS and all(math.dist(answers[0], answer) < SAME_ANSWER for answer in answers):
            raise DivergedError(
                f"the answers are the same for each of {len(answers)} texts ({answers[0][0]:.4g} nats a token), "
                "as if guessed: the model diverged in training, lower its 'training.learning_rate'"
            )
        return found

    def release(self) -> None:
        """Forget the model in memory; its files stay."""
        self._loaded = None

    def keep(self, folder: Path) -> None:
        """Write the trained model into a folder, whole or not at all; one that holds this very model is left."""
        from llm_bridge.training.adapters import RECORD_FILE, save_trained

        record, draft = folder / RECORD_FILE, folder.with_name(f".{folder.name}.tmp")
        if record.exists() and read_json(record).get("model_run") == self.key:
            return
        loaded = self.model()
        try:
            shutil.rmtree(draft, ignore_errors=True)
            save_trained(replace(loaded, fingerprint={**loaded.fingerprint, "model_run": self.key}), draft)
            shutil.rmtree(folder, ignore_errors=True)
            draft.rename(folder)
        except OSError as error:
            raise storage_error(error, folder) from error
        finally:
            shutil.rmtree(draft, ignore_errors=True)

    def discard_checkpoint(self) -> None:
        """Delete the large files once every cell that needs them has its result; the record stays.

        A cache that other studies share keeps its models.
        """
        if self.cache.directory.is_symlink():
            return
        for path in self.folder.glob("*"):
            if path.name != "record.json":
                shutil.rmtree(path) if path.is_dir() else path.unlink()

    def _parts(self, missing: Sequence[Reading], texts: Sequence[Reading]) -> list[list[Reading]]:
        """Missing texts in parts that begin alike, which share a prefix tree.

        A score's last digits depend on its batch, so the parts are written down: after an interruption they are the
        same, with what was scored before in them.
        """
        by_hash = {reading_digest(text): text for text in texts}
        unknown = {reading_digest(text) for text in missing}
        planned = read_json(self._plan_path) if self._plan_path.exists() else []
        if not _is_plan(planned):
            raise StoreError(f"{self._plan_path} is no plan of parts: delete it and run again")
        parts = [part for part in planned if not unknown.isdisjoint(part) and by_hash.keys() >= set(part)]
        in_parts = {text for part in parts for text in part}
        rest = [text for text in missing if reading_digest(text) not in in_parts]
        rest.sort(key=parts_of)  # near copies side by side
        for start in range(0, len(rest), SCORES_PER_LINE_FLUSH):
            parts.append([reading_digest(text) for text in rest[start : start + SCORES_PER_LINE_FLUSH]])
        write_json(self._plan_path, parts)
        return [[by_hash[name] for name in part] for part in parts]

    @property
    def _teacher_path(self) -> Path:
        texts = [example.reading for example in self.examples]
        name = digest([self.model_sha256 or self.recipe.model.name, self.recipe.model.compute, texts])
        return self.cache.path("teachers", name, ".pt")

    @property
    def _plan_path(self) -> Path:
        return self.cache.path("scores", self.key, ".plan.json")

    def _rows(self) -> CachedRows:
        return self.cache.rows("scores", self.key, "text_sha256")

    def _remember(self, training: dict[str, object] | None) -> None:
        before = self.record
        if self._loaded is None or (before and (before.get("training") or {}).get("status") != "diverged"):
            return
        write_json(self.folder / "record.json", {"fingerprint": self._loaded.fingerprint, "training": training})


def base_model(recipe: Recipe, storage: str = "full") -> LoadedModel:
    """The recipe's model as it is before any training; `storage` is "full" or "nf4"."""
    from llm_bridge.training.models import load_model

    model = recipe.model
    return load_model(
        model.name, storage=storage, device=model.device, compute=model.compute, chat_template=model.chat_template
    )


def run_settings(recipe: Recipe, method: str, seed: int | None) -> dict[str, dict[str, Any]]:
    """Arguments of `AdapterSettings` and of `TrainSettings`, as plain values: part of a model's identity."""
    from llm_bridge.training.methods import PRESETS, method_named

    training = recipe.training
    method = base_method(method)
    stem = method.split("-")[0]
    rate = training.learning_rate.get(method, training.learning_rate.get(stem))
    younger_adapter = {
        "target_modules": training.target_modules, "layers": training.layers, "read_layer": training.read_layer,
    }  # fmt: skip
    younger_training = {"max_tokens": training.max_tokens, "head_learning_rate": training.head_learning_rate}
    preset = PRESETS[training.preset] if training.preset and method in PRESETS[training.preset]["methods"] else {}
    return {
        "adapter": {
            "rank": training.adapter_rank,
            "alpha": float(training.adapter_alpha),
            "dropout": training.adapter_dropout,
            "seed": seed,
            **{name: value for name, value in younger_adapter.items() if value},
            **preset.get("adapter", {}),
        },
        "training": {
            "learning_rate": method_named(method).learning_rate if rate is None else rate,
            "steps": training.steps,
            "batch_programs": training.batch_programs,
            "schedule": training.schedule,
            "warmup_fraction": training.warmup_fraction,
            "clip_norm": training.clip_norm,
            "objectives": dict(training.objectives),
            "gradient_checkpointing": training.gradient_checkpointing,
            "seed": seed,
            **{name: value for name, value in younger_training.items() if value},
            **preset.get("training", {}),
        },
    }


def model_run_for(
    cell: Cell, recipe: Recipe, cache: Cache, examples: Sequence[Example], *, model_sha256: str | None = None
) -> ModelRun:
    """The model that a cell needs; `examples` are what the training set became on its way.

    A control of shuffled labels learns from the same texts.
    """
    if not cell.trained:
        examples = ()
    elif cell.method.endswith(SHUFFLED):
        examples = shuffled_labels(examples, cell.train_seed or 0)
    return ModelRun(
        cache=cache,
        recipe=recipe,
        method=cell.method,
        seed=cell.train_seed if cell.trained else None,
        examples=tuple(examples),
        model_sha256=model_sha256,
    )


def reading_digest(reading: Reading) -> str:
    """SHA-256 of what is read: of a text alone, or of the hashes of its context and of itself."""
    context, text = parts_of(reading)
    return text_digest(f"{text_digest(context)} {text_digest(text)}") if context else text_digest(text)


def _is_plan(value: object) -> bool:
    """Whether a value from a file is a list of lists of texts."""
    parts = value if isinstance(value, list) else [None]
    return all(isinstance(part, list) and all(isinstance(name, str) for name in part) for part in parts)


@lru_cache(maxsize=1)
def _scores() -> TypeAdapter[TextScores]:
    from llm_bridge.scoring.text_scores import TextScores

    return TypeAdapter(TextScores)
