"""Full fine-tuning over several devices: each holds its share of the weights, gradients and optimiser state (FSDP).

    loaded.model ──► twin: same modules, same storage ──► blocks, then the rest, cut into shards ──► training
         ▲                                                                                             │
         └─────────────────────── whole weights again, on every process ◄──────────────────────────────┘

For N processes the 16 bytes a weight of float32 AdamW become 16 / N, and a block's whole weights exist only while it
computes. While the twin trains, the model itself is empty; afterwards it is a plain model again, as if it had been
trained alone. Every process must run the same blocks equally often: each pass gathers a block from all of them.

Source: Zhao et al., arXiv 2304.11277 (FSDP); here `torch.distributed.fsdp.fully_shard`.
"""

from __future__ import annotations

import copy
import os
from collections.abc import Mapping
from dataclasses import replace
from typing import Any

import torch
from torch import nn
from torch.distributed.tensor import DTensor, distribute_tensor

from llm_bridge.training.architecture import decoder_blocks
from llm_bridge.training.models import LoadedModel
from llm_bridge.training.workers import Workers


def wants_shards(loaded: LoadedModel, workers: Workers) -> bool:
    """Whether a run is cut into shards: all weights are trained, by several processes on GPUs, or the launcher asks.

    A launcher asks with ``ACCELERATE_USE_FSDP=true`` (``accelerate launch --use_fsdp``). Adapters are small: there the
    model is replicated, whatever the launcher says.
    """
    if workers.count == 1 or loaded.fingerprint.get("method") != "full":
        return False
    return loaded.device.type == "cuda" or os.environ.get("ACCELERATE_USE_FSDP", "").lower() == "true"


def twin_of(loaded: LoadedModel) -> LoadedModel:
    """The same model once more, with parameters of its own on the same storage; nothing is copied."""
    memo: dict[int, Any] = {
        id(parameter): nn.Parameter(parameter.data, requires_grad=parameter.requires_grad)
        for parameter in loaded.model.parameters()
    }
    return replace(loaded, model=copy.deepcopy(loaded.model, memo))


def shard(root: nn.Module, twin: LoadedModel, home: LoadedModel) -> None:
    """Cut the twin into shards, block by block, and empty the original model block by block.

    Parameters
    ----------
    root
        The module that is called: it holds the twin, and gathers what lies outside the blocks.
    twin, home
        The model of `twin_of`, and its original.
    """
    from torch.distributed.device_mesh import init_device_mesh
    from torch.distributed.fsdp import FSDPModule, fully_shard

    mesh = init_device_mesh(home.device.type, (torch.distributed.get_world_size(),))
    parts = zip([*decoder_blocks(twin.base)[1], root], [*decoder_blocks(home.base)[1], home.model], strict=True)
    for module, origin in parts:
        fully_shard(module, mesh=mesh, reshard_after_forward=True)
        for parameter in origin.parameters():
            parameter.data = parameter.data.new_empty(0)
    for module in root.modules():
        if isinstance(module, FSDPModule):  # gradients are sums over the processes, also where that is no built-in mean
            module.set_force_sum_reduction_for_comms(True)
            module.set_gradient_divide_factor(1.0)


def restore(home: LoadedModel, twin: LoadedModel) -> None:
    """Put whole weights back into the model, on every process."""
    sharded = dict(twin.model.named_parameters())
    for name, parameter in home.model.named_parameters():
        parameter.data = full_tensor(sharded[name])


def whole(tree: Any, *, keep: bool = True) -> Any:
    """A nest of dicts, lists and tuples with each shard replaced by the whole tensor, on the CPU.

    Every process must call it with the same nest; where `keep` is False it takes part and gets `None` for them.
    """
    if isinstance(tree, Mapping):
        return {key: whole(value, keep=keep) for key, value in tree.items()}
    if isinstance(tree, list | tuple):
        return type(tree)(whole(value, keep=keep) for value in tree)
    if isinstance(tree, DTensor):
        gathered = full_tensor(tree)
        return gathered.cpu() if keep else None
    return tree


def full_tensor(tensor: torch.Tensor) -> torch.Tensor:
    """The whole of a sharded tensor, gathered from all processes; any other tensor as it is."""
    return tensor.full_tensor().detach() if isinstance(tensor, DTensor) else tensor.detach()


def own_part(tensor: torch.Tensor) -> torch.Tensor:
    """This process' share of a tensor; all of it where it is not cut."""
    return tensor.to_local() if isinstance(tensor, DTensor) else tensor


def like(tensor: torch.Tensor, parameter: torch.Tensor) -> torch.Tensor:
    """A whole tensor, cut like `parameter`; as it is where that is not cut or has another shape."""
    if not isinstance(parameter, DTensor) or tensor.shape != parameter.shape:
        return tensor
    return distribute_tensor(tensor.to(parameter.device), parameter.device_mesh, parameter.placements)
