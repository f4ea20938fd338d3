"""One training loop, the same for every method: only what is trainable differs, and the learning rate.

    order ──► the step's programs ──► micro-batches by length ──► loss, backward ──► clip ──► AdamW ──► schedule
      ▲                                                                                          │
      └────────────── checkpoint: weights, optimiser, schedule, random state, position ◄─────────┘

The number of optimiser steps is fixed by the settings and does not depend on what arrived; a short training set is
gone through again in a new order. The order is a function of (seed, pass) alone. A run that was stopped and resumed
gives the same weights to the last bit as one that went straight through (same machine, same number of threads).
"""

from __future__ import annotations

import hashlib
import json
import math
import os
import resource
import sys
import time
from collections.abc import Mapping, Sequence
from dataclasses import asdict, replace
from pathlib import Path

import torch

from llm_bridge.annotations import Progress
from llm_bridge.training.common import load_saved
from llm_bridge.training.distillation import Teacher, predict
from llm_bridge.training.examples import (
    IGNORED,
    Encoding,
    Example,
    encode_example,
    encode_repair,
    length_batches,
    make_batch,
    verdict_ids,
)
from llm_bridge.training.fetching import quiet
from llm_bridge.training.models import LoadedModel
from llm_bridge.training.objectives import BugLoss, gold_mask
from llm_bridge.training.optimisation import data_order, learning_rate_factor, make_optimiser
from llm_bridge.training.settings import OBJECTIVES, require_readable
from llm_bridge.training.settings import TrainingRecord as TrainingRecord
from llm_bridge.training.settings import TrainSettings as TrainSettings
from llm_bridge.training.sharding import like, own_part, restore, shard, twin_of, wants_shards, whole
from llm_bridge.training.verdict_head import PREFIX
from llm_bridge.training.workers import join_workers

CHECKPOINT_FILE = "checkpoint.pt"


class CheckpointError(ValueError):
    """The checkpoint on disk belongs to another run, or cannot be read."""


def finetune(
    loaded: LoadedModel,
    examples: Sequence[Example],
    settings: TrainSettings,
    *,
    validation: Sequence[Example] = (),
    teacher: Teacher | None = None,
    checkpoint_dir: str | os.PathLike[str] | None = None,
    progress: Progress | None = None,
) -> TrainingRecord:
    """Train what `attach` made trainable; the model is changed in place and left in evaluation mode.

    Parameters
    ----------
    loaded
        A model that `adapters.attach` made trainable.
    examples
        What arrived. Empty (a dead link) is no error: the record says so and the model stays as it was.
    validation
        Scored with the same loss every `settings.eval_every` steps.
    teacher
        Teacher of the objective "distil": predictions for the text of every example. Left out, they are those of
        `loaded` as it comes (`distillation.predict`).
    checkpoint_dir
        Folder of the checkpoint, written every `settings.checkpoint_every` steps and at the end. One that is there
        is resumed.
    progress
        Called as ``progress(steps done, steps in all)``.

    Raises
    ------
    CheckpointError
        When the checkpoint comes from other settings, another model, teacher or other examples.
    ValueError
        When `teacher` lacks a text.

    Notes
    -----
    Optimiser: Loshchilov & Hutter, arXiv 1711.05101 (AdamW).
    """
    started, started_cpu = time.monotonic(), time.process_time()
    trainable = _trainable(loaded)
    require_readable(settings.objectives, loaded.head is not None)
    taught, held_out = ([row for row in rows if row.teaches(settings.objectives)] for rows in (examples, validation))
    count = sum(parameter.numel() for parameter in trainable.values())

    def record(status: str, message: str, run: _Run | None = None) -> TrainingRecord:
        return TrainingRecord(
            status=status,
            message=message,
            steps=run.step if run else 0,
            num_examples=len(examples),
            num_trainable=count,
            losses=tuple(run.losses) if run else (),
            validation=tuple(run.validation) if run else (),
            tokens=run.tokens if run else 0,
            resumed_at=run.resumed_at if run else 0,
            wall_s=time.monotonic() - started,
            cpu_s=time.process_time() - started_cpu,
            peak_rss_bytes=resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024,
            peak_gpu_bytes=torch.cuda.max_memory_allocated() if loaded.device.type == "cuda" else 0,
            run_hash=run.run_hash if run else "",
        )

    if not trainable:
        return record("zero-shot", "nothing is trainable")
    if not taught:
        what = "that the objectives can read " if examples else ""
        return record("empty", f"no training example {what}arrived: the model is the untrained one")

    if not settings.objectives.get("distil"):
        teacher = None
    else:
        texts = [row.reading for row in (*taught, *held_out)]
        most = loaded.limit(settings.max_tokens)
        teacher = teacher or predict(loaded, texts, max_tokens=most)
        teacher.require(texts, max_tokens=most)
    run = _Run(loaded, trainable, taught, held_out, teacher, settings, checkpoint_dir)
    try:
        run.resume()
        while run.step < settings.steps:
            loss, grad_norm = run.backward(run.step)
            if not (math.isfinite(loss) and math.isfinite(grad_norm)):
                run.restore_good_weights()
                return record("diverged", f"the loss was {loss} and the gradient {grad_norm} at step {run.step}", run)
            run.update(loss)
            if progress:
                progress(run.step, settings.steps)
            if run.validate():
                run.restore_best_weights()
                return record("early_stopped", f"no better validation loss in {settings.patience} validations", run)
            if run.step % settings.checkpoint_every == 0 or run.step == settings.steps:
                run.save()
        if settings.patience:
            run.restore_best_weights()
        return record("finished", f"{settings.steps} steps", run)
    finally:
        run.close(failed=sys.exc_info()[0] is not None)


class _Run:
    """The state of one training run: what a checkpoint holds, and the few verbs of the loop."""

    def __init__(
        self,
        loaded: LoadedModel,
        trainable: dict[str, torch.nn.Parameter],
        examples: Sequence[Example],
        validation: Sequence[Example],
        teacher: Teacher | None,
        settings: TrainSettings,
        checkpoint_dir: str | os.PathLike[str] | None,
    ):
        self.home, self.loaded, self.trainable, self.settings = loaded, loaded, trainable, settings
        self.examples, self.held_out, self.teacher = list(examples), list(validation), teacher
        most = loaded.limit(settings.max_tokens)
        self.rows = [encode_example(row, loaded.tokenizer, max_tokens=most, frame=loaded.frame) for row in examples]
        self.held_out_rows = [
            encode_example(row, loaded.tokenizer, max_tokens=most, frame=loaded.frame) for row in validation
        ]
        self.fixes, self.held_out_fixes = self._encode_fixes(self.examples), self._encode_fixes(self.held_out)
        self.order = data_order(self.examples, settings)
        self.workers = join_workers()
        self.step = self.resumed_at = self.tokens = 0
        self.losses: list[float] = []
        self.validation: list[tuple[int, float]] = []
        self.best: tuple[float, dict[str, torch.Tensor]] | None = None
        self.run_hash = _run_hash(loaded, self.examples, self.held_out, teacher, settings)
        self.file = None if checkpoint_dir is None else Path(checkpoint_dir) / CHECKPOINT_FILE
        if self.workers.count > 1:
            self.workers.require_equal(model_sum(loaded.model), "weights")
        self.sharded = wants_shards(loaded, self.workers)
        if self.sharded:
            self.loaded = twin_of(loaded)
        if settings.gradient_checkpointing:
            _blocks_checkpointing(self.loaded, True)
        model, base = self.loaded.model, self.loaded.base
        self.loss = BugLoss(model, base, verdict_ids(loaded.tokenizer), settings.objectives, loaded.head)
        if self.sharded:
            shard(self.loss, self.loaded, self.home)
            self.trainable = _trainable(self.loaded)
        self.optimiser = make_optimiser(self.loaded, self.trainable, settings)
        self.schedule = torch.optim.lr_scheduler.LambdaLR(self.optimiser, learning_rate_factor(settings))
        torch.manual_seed(settings.seed + 1_000_003 * self.workers.rank)
        model.train()

    def backward(self, step: int) -> tuple[float, float]:
        """Gradients of one step's mean loss, clipped; the loss and the gradient's norm before clipping."""
        self.optimiser.zero_grad(set_to_none=True)
        total = 0.0
        chosen = self.order(step)
        batches = length_batches([self._size(self.rows, self.fixes, i) for i in chosen], self.settings.batch_tokens)
        mine = self.workers.rounds(batches) if self.sharded else [(some, True) for some in self.workers.share(batches)]
        for picked, counts in mine:
            some = [chosen[index] for index in picked]
            loss = self._loss(self.examples, self.rows, self.fixes, some).sum() * (counts / len(chosen))
            total += float(loss.detach())
            if not math.isfinite(total) and not self.sharded:  # shards are gathered by all, or by none
                break
            if loss.requires_grad:  # a batch without a fix has nothing to learn for "repair"
                loss.backward()
        total = self.workers.total(total, self.loaded.device)
        if not math.isfinite(total):
            return total, math.nan
        whole_here = [value for name, value in self.trainable.items() if not self.sharded or name.startswith(PREFIX)]
        self.workers.add_gradients(whole_here)
        self.tokens += sum(self._size(self.rows, self.fixes, index) for index in chosen)
        norm = torch.nn.utils.clip_grad_norm_(list(self.trainable.values()), self.settings.clip_norm)
        return total, float(whole(norm))

    def _encode_fixes(self, examples: Sequence[Example]) -> list[Encoding | None]:
        """The repair prompt and answer of each example; `None` where there is none, or the objective is not used."""
        if not self.settings.objectives.get("repair"):
            return [None] * len(examples)
        tokenizer, most = self.loaded.tokenizer, self.loaded.limit(self.settings.max_tokens)
        return [encode_repair(example, tokenizer, max_tokens=most, frame=self.loaded.frame) for example in examples]

    def _size(self, rows: Sequence[Encoding], fixes: Sequence[Encoding | None], index: int) -> int:
        """Tokens that an example costs."""
        fix = fixes[index]
        verdicts = any(self.settings.objectives.get(name) for name in OBJECTIVES if name != "repair")
        return (len(rows[index].input_ids) if verdicts else 0) + (len(fix.input_ids) if fix else 0)

    def _loss(
        self, examples: Sequence[Example], rows: Sequence[Encoding], fixes: Sequence[Encoding | None], some: list[int]
    ) -> torch.Tensor:
        """Loss of each of the examples with the indices `some`."""
        device, pad = self.loaded.device, int(self.loaded.tokenizer.pad_token_id)
        batch = make_batch([rows[i] for i in some], pad_id=pad, device=device)
        gold = gold_mask(
            [examples[i].label_lines for i in some], [examples[i].buggy for i in some], batch.line_ends.shape[1]
        )
        known = [(place, fix) for place, fix in enumerate(fixes[i] for i in some) if fix is not None]
        if self.sharded and not known and any(fixes):  # another process may have some: read one, and learn nothing
            spare = next(fix for fix in fixes if fix is not None)
            known = [(0, replace(spare, labels=(IGNORED,) * len(spare.labels)))]
        repairs = make_batch([fix for _, fix in known], pad_id=pad, device=device) if known else None
        places = torch.tensor([place for place, _ in known], device=device, dtype=torch.long)
        taught = self.teacher.of([examples[i].reading for i in some], device) if self.teacher else None
        with self.loaded.arithmetic():
            loss: torch.Tensor = self.loss(batch, gold.to(device), repairs, places, taught)
        return loss

    def update(self, loss: float) -> None:
        """One optimiser step."""
        self.optimiser.step()
        self.schedule.step()
        self.step += 1
        self.losses.append(loss)

    def validate(self) -> bool:
        """Validate where it is due; whether training should stop."""
        every = self.settings.eval_every
        if not every or not self.held_out or self.step % every:
            return False
        total = 0.0
        self.loaded.model.eval()
        with torch.no_grad():  # shards that were gathered in inference mode could not be trained on
            rows, fixes = self.held_out_rows, self.held_out_fixes
            sizes = [self._size(rows, fixes, index) for index in range(len(rows))]
            for picked in length_batches(sizes, self.settings.batch_tokens):
                total += float(self._loss(self.held_out, rows, fixes, picked).sum())
        self.loaded.model.train()
        value = total / len(self.held_out)
        self.validation.append((self.step, value))
        if self.settings.patience and (self.best is None or value < self.best[0]):
            self.best = (value, self._weights())
        since = len(self.validation) - 1 - min(range(len(self.validation)), key=lambda i: self.validation[i][1])
        return bool(self.settings.patience) and since >= self.settings.patience

    def _weights(self) -> dict[str, torch.Tensor]:
        return {name: parameter.detach().clone() for name, parameter in self.trainable.items()}

    def _weights_to_write(self) -> dict[str, torch.Tensor]:
        """The weights themselves, not copies: those of full fine-tuning are a quarter of the memory that it takes."""
        if self.sharded:
            return self._weights()
        return {name: _own_storage(parameter.detach()) for name, parameter in self.trainable.items()}

    def _set_weights(self, weights: Mapping[str, torch.Tensor]) -> None:
        with torch.no_grad():
            for name, parameter in self.trainable.items():
                parameter.copy_(like(weights[name], parameter))

    def restore_best_weights(self) -> None:
        """Restore the weights of the best validation, where there was one."""
        if self.best is not None:
            self._set_weights(self.best[1])

    def restore_good_weights(self) -> None:
        """After a loss that is no number: the weights before this step where they are finite, else the checkpoint's."""
        broken = sum(int((~torch.isfinite(own_part(parameter))).sum()) for parameter in self.trainable.values())
        if not self.workers.total(broken, self.loaded.device):
            return
        if self.file is not None and self.file.is_file():
            self.resume()

    def save(self) -> None:
        """Write the checkpoint beside the old one, then put it in its place."""
        if self.file is None:
            return
        random = self.workers.gather(torch.get_rng_state())
        self.optimiser.zero_grad(set_to_none=True)  # their memory is free while the file is written
        kept = {"best": self.best, "weights": self._weights_to_write(), "optimiser": self.optimiser.state_dict()}
        if self.sharded:
            kept = whole(kept, keep=self.workers.rank == 0)
        if self.workers.rank:
            self.workers.wait()
            return
        self.file.parent.mkdir(parents=True, exist_ok=True)
        state = {
            "run_hash": self.run_hash,
            "step": self.step,
            "tokens": self.tokens,
            "losses": self.losses,
            "validation": self.validation,
            **kept,
            "schedule": self.schedule.state_dict(),
            "random": random,
            "random_gpu": torch.cuda.get_rng_state_all() if self.loaded.device.type == "cuda" else [],
        }
        temporary = self.file.with_suffix(f".{os.getpid()}.tmp")
        try:
            torch.save(state, temporary)
            os.replace(temporary, self.file)
        except (OSError, RuntimeError) as error:  # torch reports a full disk as a RuntimeError
            raise CheckpointError(
                f"{self.file} cannot be written ({error}); is the disk full? The last checkpoint is kept: run again"
            ) from error
        finally:
            temporary.unlink(missing_ok=True)
        self.workers.wait()

    def resume(self) -> None:
        """Take up the checkpoint where there is one."""
        if self.file is None or not self.file.is_file():
            return
        try:
            state = load_saved(self.file)
            run_hash = state["run_hash"]
        except Exception as error:  # a torn or foreign file raises whatever its reader raises
            raise CheckpointError(f"{self.file} cannot be read ({error}); delete it to start again") from error
        if run_hash != self.run_hash:
            raise CheckpointError(
                f"{self.file} belongs to another run (other settings, model or examples); "
                "delete it, or choose another folder"
            )
        self._set_weights(state["weights"])
        parameters = list(self.trainable.values())
        for index, values in state["optimiser"]["state"].items():
            values.update(
                {key: like(value, parameters[index]) for key, value in values.items() if torch.is_tensor(value)}
            )
        self.optimiser.load_state_dict(state["optimiser"])
        self.schedule.load_state_dict(state["schedule"])
        self.step, self.tokens = state["step"], state["tokens"]
        self.losses, self.validation, self.best = list(state["losses"]), list(state["validation"]), state["best"]
        self.resumed_at = self.step
        if len(state["random"]) == self.workers.count:  # another number of processes draws other dropout
            torch.set_rng_state(state["random"][self.workers.rank])
        if state["random_gpu"]:
            torch.cuda.set_rng_state_all(state["random_gpu"])

    def close(self, *, failed: bool = False) -> None:
        """Leave the model ready to score; shards stay where one process failed, since the others may not be here."""
        self.optimiser.zero_grad(set_to_none=True)
        if self.sharded and not failed:
            restore(self.home, self.loaded)
        elif self.settings.gradient_checkpointing and not self.sharded:
            _blocks_checkpointing(self.home, False)
        self.home.model.eval()


# -------------------------------------------------------------------------------------------------------------- helpers


def model_sum(model: torch.nn.Module) -> float:
    """Sum of all weights: tells whether two processes hold the same model, not which one is right."""
    return float(sum(float(parameter.detach().double().sum()) for parameter in model.parameters()))


def _own_storage(tensor: torch.Tensor) -> torch.Tensor:
    """The tensor, or a copy where it is a part of a larger storage: ``torch.save`` writes storages whole."""
    return tensor if tensor.untyped_storage().nbytes() == tensor.nbytes else tensor.clone()


def _trainable(loaded: LoadedModel) -> dict[str, torch.nn.Parameter]:
    """Trainable parameters by name: the model's, then the verdict head's."""
    own = dict(loaded.model.named_parameters())
    if loaded.head is not None:
        own |= {PREFIX + name: parameter for name, parameter in loaded.head.named_parameters()}
    return {name: parameter for name, parameter in own.items() if parameter.requires_grad}


def _blocks_checkpointing(loaded: LoadedModel, on: bool) -> None:
    """Switch the recomputation of blocks on or off; the library's verb is being renamed, with a warning."""
    with quiet():
        if on:
            loaded.base.gradient_checkpointing_enable(gradient_checkpointing_kwargs={"use_reentrant": False})
        else:
            loaded.base.gradient_checkpointing_disable()


def _run_hash(
    loaded: LoadedModel,
    examples: Sequence[Example],
    validation: Sequence[Example],
    teacher: Teacher | None,
    settings: TrainSettings,
) -> str:
    """SHA-256 of all that shapes the run; how often a checkpoint is written does not."""
    shape = asdict(settings)
    shape.pop("checkpoint_every")
    model = {key: value for key, value in loaded.fingerprint.items() if key not in ("name", "layer_scores")}
    content = [shape, model, [row.as_plain() for row in examples], [row.as_plain() for row in validation]]
    if teacher is not None:
        content.append(teacher.digest)
    return hashlib.sha256(json.dumps(content, sort_keys=True, default=str).encode()).hexdigest()
