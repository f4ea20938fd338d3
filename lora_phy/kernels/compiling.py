"""What happens around a compilation: it is announced once, the garbage collector rests, and Ctrl-C waits for its end.

numba makes millions of small objects while it compiles, nearly all of which stay; collecting among them takes a tenth
of the time and frees nothing. LLVM calls back into Python, which drops an exception that is raised there: a
KeyboardInterrupt at the wrong moment would be lost, and the work would go on.
"""

from __future__ import annotations

import gc
import logging
import multiprocessing
import signal
import threading
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
        self._interrupted = False
        self._on_interrupt: Any = None

    def on_start(self, event: Any) -> None:
        """Say so before the first one of the receiver."""
        if self._depth == 0:
            self._collecting = gc.isenabled()
            gc.disable()
            self._hold_interrupts()
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
        if self._depth == 0:
            if self._collecting:
                gc.enable()
            self._release_interrupts()

    def _hold_interrupts(self) -> None:
        """Note an interruption instead of raising it: in the main thread, where the handler is one of Python."""
        self._on_interrupt = signal.getsignal(signal.SIGINT)
        if threading.current_thread() is threading.main_thread() and callable(self._on_interrupt):
            self._interrupted = False
            signal.signal(signal.SIGINT, self._note_interrupt)
        else:
            self._on_interrupt = None

    def _note_interrupt(self, *_: object) -> None:
        self._interrupted = True

    def _release_interrupts(self) -> None:
        handler, self._on_interrupt = self._on_interrupt, None
        if handler is not None:
            signal.signal(signal.SIGINT, handler)
            if self._interrupted:
                signal.raise_signal(signal.SIGINT)


event.register("numba:compile", Watch())
