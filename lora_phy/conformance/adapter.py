"""The modem under test: whichever of the six functions a module has."""

from __future__ import annotations

import importlib
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

FUNCTIONS = ("encode_payload", "decode_symbols", "modulate", "demodulate", "transmit", "receive")


@dataclass(frozen=True, kw_only=True)
class Adapter:
    """Functions of a modem, with the signatures of `lora_phy`'s; None for what it lacks.

    Examples
    --------
    >>> load_adapter("lora_phy").missing(("encode_payload", "receive"))
    ()
    """

    name: str
    encode_payload: Callable[..., Any] | None = None
    decode_symbols: Callable[..., Any] | None = None
    modulate: Callable[..., Any] | None = None
    demodulate: Callable[..., Any] | None = None
    transmit: Callable[..., Any] | None = None
    receive: Callable[..., Any] | None = None

    def missing(self, needs: tuple[str, ...]) -> tuple[str, ...]:
        """Functions of `needs` that the modem lacks."""
        return tuple(name for name in needs if getattr(self, name) is None)

    def call(self, function: str, *arguments: Any, **settings: Any) -> Any:
        """The result of one of its functions."""
        return getattr(self, function)(*arguments, **settings)


def load_adapter(module: str) -> Adapter:
    """The adapter of an importable module.

    Raises
    ------
    ValueError
        A module that has none of the functions.
    """
    found = importlib.import_module(module)
    functions = {name: getattr(found, name) for name in FUNCTIONS if callable(getattr(found, name, None))}
    if not functions:
        raise ValueError(f"'modem' must have at least one of {', '.join(FUNCTIONS)} (module {module!r} has none)")
    return Adapter(name=module, **functions)
