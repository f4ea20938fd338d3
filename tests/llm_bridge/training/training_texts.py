"""Small programs for the training tests, and a toy ready to train."""

from __future__ import annotations

import torch

from llm_bridge.training.adapters import attach
from llm_bridge.training.examples import Example
from llm_bridge.training.methods import AdapterSettings, method_named
from llm_bridge.training.models import LoadedModel, load_model

torch.set_num_threads(1)


def toy(method: str | None = None, *, texts: tuple[str, ...] = (), seed: int = 0, **adapter: object) -> LoadedModel:
    storage = "full" if method is None else method_named(method).storage
    loaded = load_model("toy", storage=storage, seed=seed)
    return loaded if method is None else attach(loaded, method, AdapterSettings(**adapter), texts=texts)


def examples(count: int = 6) -> list[Example]:
    rows = []
    for number in range(count):
        correct = f"def f{number}(x):\n    y = x + {number}\n    z = y * 2\n    return z\n"
        rows.append(Example(text=correct, label_lines=(), buggy=False, item_id=f"toy/f{number}/correct"))
        rows.append(
            Example(text=correct.replace("* 2", "* 3"), label_lines=(2,), buggy=True, item_id=f"toy/f{number}/buggy")
        )
    return rows


def weights(loaded: LoadedModel) -> dict[str, torch.Tensor]:
    return {name: value.detach().clone() for name, value in loaded.model.named_parameters() if value.requires_grad}


def same(a: dict[str, torch.Tensor], b: dict[str, torch.Tensor]) -> bool:
    return a.keys() == b.keys() and all(torch.equal(a[name], b[name]) for name in a)
