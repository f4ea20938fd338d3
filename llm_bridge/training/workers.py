"""Several processes, one training run: each takes its share of a step's micro-batches, and gradients are added up.

    accelerate launch --num_processes 2 …        (or torchrun: both set WORLD_SIZE, RANK and LOCAL_RANK)

Adapters are trained on replicas; for full fine-tuning on GPUs the model is cut into shards (`sharding`). Every process
knows the whole order, so the result is that of one process up to the rounding of the sums, whatever the number of
processes. One process alone talks to nobody; of several, only the main one (rank 0) writes files.
"""

from __future__ import annotations

import os
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import TypeVar

import torch
from torch import distributed

T = TypeVar("T")


@dataclass(frozen=True)
class Workers:
    """Rank of this process, and the number of processes."""

    rank: int = 0
    count: int = 1

    def share(self, batches: Sequence[T]) -> Sequence[T]:
        """The batches that are this process' to compute; perhaps none."""
        return batches[self.rank :: self.count]

    def rounds(self, batches: Sequence[T]) -> list[tuple[T, bool]]:
        """As `share`, but equally many for every process: a batch that is another's to count is marked False."""
        count = -(-len(batches) // self.count)
        places = [self.rank + self.count * turn for turn in range(count)]
        return [(batches[min(place, len(batches) - 1)], place < len(batches)) for place in places]

    def total(self, value: float, device: torch.device) -> float:
        """Sum over the processes; not a number where one of them has none."""
        if self.count == 1:
            return value
        tensor = torch.tensor(value, dtype=torch.float64, device=device)
        distributed.all_reduce(tensor)
        return float(tensor)

    def add_gradients(self, parameters: Iterable[torch.nn.Parameter]) -> None:
        """Replace each gradient by its sum over the processes."""
        if self.count == 1:
            return
        for parameter in parameters:
            if parameter.grad is None:
                parameter.grad = torch.zeros_like(parameter)
            distributed.all_reduce(parameter.grad)

    def gather(self, tensor: torch.Tensor) -> list[torch.Tensor]:
        """The (CPU) tensor of every process, in order of rank."""
        if self.count == 1:
            return [tensor]
        found: list[torch.Tensor | None] = [None] * self.count
        distributed.all_gather_object(found, tensor)
        return [item for item in found if item is not None]

    def require_equal(self, value: float, what: str) -> None:
        """Refuse to go on where the processes differ."""
        if self.count == 1:
            return
        found: list[float | None] = [None] * self.count
        distributed.all_gather_object(found, value)
        if len(set(found)) > 1:
            raise RuntimeError(f"the processes start with different {what}: {found}")

    def wait(self) -> None:
        """Barrier: return once all processes are here."""
        if self.count > 1:
            distributed.barrier()


def compute_on_one_thread() -> None:
    """Let torch compute on one thread in this process: sums have one order then, on any number of cores."""
    torch.set_num_threads(1)


def join_workers() -> Workers:
    """The processes that the launcher started; one alone where none did.

    Raises
    ------
    NotImplementedError
        Where the launcher was told to use DeepSpeed.
    """
    count = int(os.environ.get("WORLD_SIZE", "1"))
    if count == 1:
        return Workers()
    if os.environ.get("ACCELERATE_USE_DEEPSPEED", "").lower() == "true":
        raise NotImplementedError("training shards the model with FSDP; launch without DeepSpeed")
    if torch.cuda.is_available():
        torch.cuda.set_device(int(os.environ.get("LOCAL_RANK", "0")))
    if not distributed.is_initialized():
        distributed.init_process_group("nccl" if torch.cuda.is_available() else "gloo")
    return Workers(rank=distributed.get_rank(), count=count)
