"""Kernels are found by name; a compilation is announced, a ready kernel is not; memory stays flat."""

from __future__ import annotations

import importlib
import sys
import tracemalloc

import pytest

from lora_phy.kernels.select import announce, is_ready, pipeline
from lora_phy.monte_carlo.engines import symbol_errors
from lora_phy.params import LoRaParams


def test_a_compilation_is_announced_once(tmp_path, monkeypatch, caplog):
    (tmp_path / "some_kernel.py").write_text(
        "from numba import njit\n\n\n@njit(cache=True)\ndef double(x):\n    return 2 * x\n"
    )
    monkeypatch.syspath_prepend(str(tmp_path))
    kernel = importlib.import_module("some_kernel").double
    assert not is_ready(kernel)
    announce(kernel, "the doubling")
    assert [record.levelname for record in caplog.records] == ["WARNING"]
    assert "compiling the doubling" in caplog.text
    assert kernel(21) == 42
    announce(kernel, "the doubling")
    del sys.modules["some_kernel"]
    again = importlib.import_module("some_kernel").double  # a new process would find the file
    assert is_ready(again) and not again.signatures
    announce(again, "the doubling")
    assert len(caplog.records) == 1
    del sys.modules["some_kernel"]


def test_pipelines_have_names():
    assert pipeline("link", 7).__name__ == "link"
    with pytest.raises(AttributeError):
        pipeline("magic", 7)
    with pytest.raises(ModuleNotFoundError):
        pipeline("link", 13)


@pytest.mark.parametrize("engine", ["waveform", "bins"])
def test_memory_does_not_grow_with_the_number_of_symbols(engine):
    def peak(count: int) -> int:
        tracemalloc.start()
        symbol_errors(LoRaParams(sf=7), -9.0, count, seed=1, engine=engine)
        size = tracemalloc.get_traced_memory()[1]
        tracemalloc.stop()
        return size

    peak(1000)
    assert peak(1_000_000) < 1.2 * peak(100_000) < 8e6
