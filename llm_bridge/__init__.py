"""Program text over a LoRa radio link into the fine-tuning of a language model, scored on bugs.

    recipe ─► `run_recipe` ─► a folder of results ─► `load_study`
    texts ─► `items_of` ─► `send_items` with `RadioSettings` ─► what arrived

Importing this package stays light: a name is imported from its module when it is used, and nothing here imports torch.
"""

from __future__ import annotations

from importlib import import_module

TYPE_CHECKING = False  # `typing` is a file, and `python -m llm_bridge` looks for it in the caller's folder first
if TYPE_CHECKING:
    from llm_bridge.corpora.programs import ProgramPair
    from llm_bridge.report import load_study
    from llm_bridge.run import run_recipe
    from llm_bridge.study.recipe_files import load_recipe
    from llm_bridge.study.transmission import items_of
    from llm_bridge.transport.link import send_items
    from llm_bridge.transport.settings import RadioSettings

__all__ = ["ProgramPair", "RadioSettings", "items_of", "load_recipe", "load_study", "run_recipe", "send_items"]
PLACES = {
    "ProgramPair": "corpora.programs",
    "RadioSettings": "transport.settings",
    "items_of": "study.transmission",
    "load_recipe": "study.recipe_files",
    "load_study": "report",
    "run_recipe": "run",
    "send_items": "transport.link",
}
"""The module of each public name."""


def __getattr__(name: str) -> object:
    if name not in PLACES:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return getattr(import_module(f"{__name__}.{PLACES[name]}"), name)
