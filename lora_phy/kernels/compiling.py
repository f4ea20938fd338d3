"""What happens around a compilation: it is announced once, and the garbage collector rests.

numba makes millions of small objects while it compiles, nearly all of which stay; collecting among them takes a tenth
of the time and frees nothing.
"""

from __future__ import annotations

import gc
import logging
import multiprocessing
from typing import Any

from numba.core import event

_log = logging.getLogger("lora_phy.kernels")
_ANNOUNCED = ("lora_phy.modem.", "lora_phy.coding.", "lora_phy.receiver.")
"""Modules whose kernels are compiled together, on the receiver's first use; others are announced by `select`."""


class Watch(event.Listener):
    """A listener to numba's compilations."""

    def __init__(self) -> None:
        """Nothing has been compiled yet."""
        self._depth = 0
        self._collecting = False
        self._said = False

    def on_start(self, event: Any) -> None:
        """Say so before the first one of the receiver."""
        if self._depth == 0:
            self._collecting = gc.isenabled()
            gc.disable()
        self._depth += 1
        kernel = event.data["dispatcher"].py_func.__module__ + "."
        # processes of a pool say nothing: who made the pool does
        if not self._said and kernel.startswith(_ANNOUNCED) and multiprocessing.parent_process() is None:
            self._said = True
            _log.warning(
                "compiling the receiver for this processor (some twenty seconds, once; later starts load it from files;"
                " 'python -m lora_phy warmup' does it ahead)"
            )

    def on_end(self, event: Any) -> None:
        """Let the collector work again after the outermost one."""
        self._depth -= 1
        if self._depth == 0 and self._collecting:
            gc.enable()


event.register("numba:compile", Watch())
