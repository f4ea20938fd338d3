"""Verdict head: a trained linear reader of the hidden states after a chosen block.

    tokens ─► block 1 … block `layer` ─► final norm ─► line verdict, program verdict        (no later block is run)

Without one, a verdict is the difference of two rows of the output head after the last block (`objectives`). A small
model tells more in its middle: blocks near the end prepare the next token. The head begins at zero, so that training
starts from no opinion. In a method of adapters only the blocks before the head can get adapters; full fine-tuning
trains what the head reads: those blocks, the embedding and the final norm.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import torch
from torch import nn
from transformers import PreTrainedModel

from llm_bridge.training.architecture import decoder_blocks, is_encoder
from llm_bridge.training.common import ModelError
from llm_bridge.training.precision import stored_arithmetic

HEAD_FILE = "verdict_head.safetensors"
PREFIX = "verdict_head."
"""In front of the head's own parameters, among those of the model."""


class VerdictHead(nn.Module):
    """Linear map from a hidden state to the verdict on a line and the verdict on the program, both in nats."""

    def __init__(self, width: int, layer: int):
        """Hold zeros ``(2, width)``; `layer` is the number of blocks that are run, from 1."""
        super().__init__()
        self.layer = layer
        self.weight = nn.Parameter(torch.zeros(2, width))
        self.bias = nn.Parameter(torch.zeros(2))

    def forward(self, hidden: torch.Tensor) -> torch.Tensor:
        """Line and program verdicts ``(..., 2)`` of hidden states ``(..., width)``, in float32."""
        with stored_arithmetic(hidden.device):
            return hidden.float() @ self.weight.T + self.bias


def new_head(model: PreTrainedModel, layer: int) -> VerdictHead:
    """A head at zero behind the first `layer` blocks of a model, on its device.

    Raises
    ------
    ModelError
        The model has fewer blocks, or is an encoder, which has a classifier of its own.
    """
    if is_encoder(model.config):
        raise ModelError(f"'read_layer' is for causal models: {type(model).__name__} has a classifier of its own")
    blocks = len(decoder_blocks(model)[1])
    if not 1 <= layer <= blocks:
        raise ModelError(f"'read_layer' must lie in 1...{blocks}, the model's blocks (got {layer})")
    head = VerdictHead(int(model.config.hidden_size), layer)
    return head.to(next(model.parameters()).device)


@contextmanager
def first_blocks(model: PreTrainedModel, count: int | None) -> Iterator[None]:
    """Context in which the decoder runs its first `count` blocks and its final norm; all of them where it is `None`."""
    if count is None:
        yield
        return
    decoder = model.get_decoder()
    name = decoder_blocks(model)[0]
    every = getattr(decoder, name)
    setattr(decoder, name, nn.ModuleList(every[:count]))
    try:
        yield
    finally:
        setattr(decoder, name, every)


def save_head(head: VerdictHead, folder: Path) -> None:
    """Write the head beside the model that it reads."""
    from safetensors.torch import save_file

    weights = {name: value.detach().cpu().contiguous() for name, value in head.state_dict().items()}
    save_file(weights, folder / HEAD_FILE, metadata={"layer": str(head.layer)})


def load_head(model: PreTrainedModel, folder: Path) -> VerdictHead | None:
    """The head of `save_head`; `None` where the folder has none."""
    from safetensors import SafetensorError, safe_open

    path = folder / HEAD_FILE
    if not path.exists():
        return None
    try:
        with safe_open(path, framework="pt") as file:
            head = new_head(model, int((file.metadata() or {})["layer"]))
            head.load_state_dict({name: file.get_tensor(name) for name in file.keys()})
    except (OSError, KeyError, ValueError, RuntimeError, SafetensorError) as error:
        raise ModelError(f"{path} holds no readable verdict head ({error})") from error
    return head.to(next(model.parameters()).device)
