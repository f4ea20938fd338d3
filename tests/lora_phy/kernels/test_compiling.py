"""Ctrl-C while a kernel is compiled: held until it is done, and then raised, never lost."""

from __future__ import annotations

import signal
from typing import Any

import numba
import pytest
from numba.core import event

from lora_phy.kernels import compiling


class Interrupting(event.Listener):
    """Ctrl-C in the midst of each compilation, where LLVM may call back into Python."""

    def __init__(self) -> None:
        self.count = 0

    def on_start(self, event: Any) -> None:
        self.count += 1
        signal.raise_signal(signal.SIGINT)

    def on_end(self, event: Any) -> None:
        """Nothing."""


def test_an_interruption_waits_for_the_end_of_a_compilation() -> None:
    assert compiling.Watch  # what is tested is the listener that the module has registered
    handler = signal.signal(signal.SIGINT, signal.default_int_handler)  # a shell's background jobs ignore it
    compiled: list[int] = []

    @numba.njit
    def plus(a: int, b: int) -> int:
        return a + b

    interrupting = Interrupting()
    try:
        with event.install_listener("numba:llvm_lock", interrupting), pytest.raises(KeyboardInterrupt):
            compiled.append(plus(1, 2))
        assert interrupting.count and not compiled
        assert signal.getsignal(signal.SIGINT) is signal.default_int_handler and len(plus.signatures) == 1
        assert plus(1, 2) == 3
    finally:
        signal.signal(signal.SIGINT, handler)


def test_without_a_handler_in_python_nothing_is_held() -> None:
    """A process that ignores interruptions, as those of a pool do, still ignores them."""
    handler = signal.signal(signal.SIGINT, signal.SIG_IGN)
    try:
        watch = compiling.Watch()
        start = event.Event("numba:compile", event.EventStatus.START, data={"dispatcher": numba.njit(lambda a: a)})
        watch.on_start(start)
        signal.raise_signal(signal.SIGINT)
        watch.on_end(start)
        assert signal.getsignal(signal.SIGINT) is signal.SIG_IGN
    finally:
        signal.signal(signal.SIGINT, handler)
