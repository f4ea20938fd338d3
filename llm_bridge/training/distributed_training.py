"""Distributed training in one command (`accelerate launch`, `torchrun`): the main process runs the study.

    main       study … ──► train_together(job) ──► finetune ──► score, write … ──► end
                                  │ the job           ▲ gradients, or shards             │ nothing more
    others     serve: wait  ◄─────┴──► finetune ◄─────┘ ──► forget the model, wait ◄─────┘

Only training is shared out; sending, scoring and writing are the main process' alone. All see one file system.
"""

from __future__ import annotations

import os
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import timedelta
from functools import lru_cache
from pathlib import Path
from typing import TYPE_CHECKING, Any

from llm_bridge.annotations import Progress

if TYPE_CHECKING:
    from llm_bridge.training.distillation import Teacher
    from llm_bridge.training.examples import Example
    from llm_bridge.training.finetune import TrainingRecord, TrainSettings
    from llm_bridge.training.models import LoadedModel

CONTROL_TIMEOUT = timedelta(days=30)
"""Timeout of the group that broadcasts jobs: the main process may score for hours between two of them."""


@dataclass(frozen=True, kw_only=True)
class TrainingJob:
    """Everything that a process needs to take its part in one training run.

    `adapter` and `training` are the arguments of `AdapterSettings` and `TrainSettings`; `teacher_file` is where the
    untrained model's predictions lie or shall lie, for the objective "distil"; the rest as in `load_model`, `attach`
    and `finetune`.
    """

    model: str
    method: str
    device: str | None
    compute: str | None
    adapter: Mapping[str, Any]
    training: Mapping[str, Any]
    examples: tuple[Example, ...]
    checkpoint_dir: str | None
    teacher_file: str | None = None
    chat_template: bool = False


def is_distributed() -> bool:
    """Whether a launcher started this process as one of several."""
    return int(os.environ.get("WORLD_SIZE", "1")) > 1


def is_main_process() -> bool:
    """Whether this process is the one that writes; true for a process alone."""
    return not is_distributed() or int(os.environ.get("RANK", "0")) == 0


@contextmanager
def coordinate_workers() -> Iterator[None]:
    """Context in which the main process trains with the others; at its end they are released."""
    if is_distributed():
        _control_group()
    try:
        yield
    finally:
        if is_distributed():
            _broadcast_job(None)


def serve_training_jobs() -> None:
    """Take part in the main process' training runs until it is done. For every process but the main one."""
    while (job := _broadcast_job(None)) is not None:
        _train(job, None)
        _free()


def train_together(job: TrainingJob, *, progress: Progress | None = None) -> tuple[LoadedModel, TrainingRecord]:
    """Load, attach and fine-tune; with the other processes, where there are any and they `serve_training_jobs`."""
    if is_distributed():
        _broadcast_job(job)
    return _train(job, progress)


def _train(job: TrainingJob, progress: Progress | None) -> tuple[LoadedModel, TrainingRecord]:
    from llm_bridge.training.adapters import attach
    from llm_bridge.training.finetune import TrainSettings, finetune
    from llm_bridge.training.methods import AdapterSettings, method_named
    from llm_bridge.training.models import load_model

    settings = TrainSettings(**job.training)
    teacher = _teacher(job, settings) if settings.objectives.get("distil") and job.examples else None
    base = load_model(job.model, storage=method_named(job.method).storage, **_loading(job))
    texts = [example.text for example in job.examples]
    loaded = attach(base, job.method, AdapterSettings(**job.adapter), texts=texts)
    folder = job.checkpoint_dir
    return loaded, finetune(loaded, job.examples, settings, teacher=teacher, checkpoint_dir=folder, progress=progress)


def _teacher(job: TrainingJob, settings: TrainSettings) -> Teacher:
    """The unquantised, untrained model's predictions: from their file, or from the model, which is then forgotten."""
    from llm_bridge.training.distillation import load_teacher, predict, save_teacher
    from llm_bridge.training.models import load_model

    file = None if job.teacher_file is None else Path(job.teacher_file)
    if file is not None and file.is_file():
        return load_teacher(file)
    base = load_model(job.model, **_loading(job))
    teacher = predict(base, [row.reading for row in job.examples], max_tokens=base.limit(settings.max_tokens))
    del base
    _free()
    if file is not None and is_main_process():
        save_teacher(teacher, file)
    return teacher


def _loading(job: TrainingJob) -> dict[str, Any]:
    """Arguments of `load_model` that the model and its teacher share."""
    return {"device": job.device, "compute": job.compute, "chat_template": job.chat_template}


def _broadcast_job(job: TrainingJob | None) -> TrainingJob | None:
    """The main process' job, in every process."""
    from torch import distributed

    holder = [job]
    distributed.broadcast_object_list(holder, src=0, group=_control_group())
    return holder[0]


@lru_cache(maxsize=1)
def _control_group() -> Any:
    """Gloo process group with a long timeout, beside the group that adds up gradients: jobs are broadcast in it."""
    from torch import distributed

    from llm_bridge.training.workers import join_workers

    join_workers()
    return distributed.new_group(backend="gloo", timeout=CONTROL_TIMEOUT)


def _free() -> None:
    """Give a forgotten model's memory back."""
    import gc

    import torch

    gc.collect()
    if torch.cuda.is_available():
        torch.cuda.empty_cache()
