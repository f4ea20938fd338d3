"""Find the kernel of a spreading factor, and say so when it has to be compiled first."""

from __future__ import annotations

import importlib
import logging
from pathlib import Path
from typing import Any

_log = logging.getLogger("lora_phy.kernels")


def is_ready(kernel: Any) -> bool:
    """Whether a kernel has been compiled in this process or lies in numba's cache on disk."""
    if kernel.signatures:
        return True
    cache: Any = getattr(kernel, "_cache", None)
    index = getattr(getattr(cache, "_cache_file", None), "_index_name", None)
    return index is not None and (Path(cache.cache_path) / index).exists()


def announce(kernel: Any, what: str) -> None:
    """Log one warning line before a compilation that takes seconds; silent where the kernel is ready."""
    if not is_ready(kernel):
        _log.warning("compiling %s for this processor (some seconds, once; later starts load it from a file)", what)


def pipeline(kind: str, sf: int) -> Any:
    """The compiled function `kind` ("link", "link_soft", "demodulate", "bins", "fft") of a spreading factor."""
    kernel = getattr(importlib.import_module(f"lora_phy.kernels.pipelines.sf{sf}"), kind)
    announce(kernel, f"the {kind} kernel of SF{sf}")
    return kernel
