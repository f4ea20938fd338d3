"""Where a number comes from: versions, commit, machine, corpora, model. Stored beside every result, shapes none."""

from __future__ import annotations

import os
import platform
import subprocess
import sys
from functools import lru_cache
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Any

PACKAGES = ("chirpbridge", "numpy", "scipy", "numba", "torch", "transformers", "peft", "bitsandbytes", "tokenizers")


def provenance() -> dict[str, Any]:
    """Versions of what computes, the commit where the source lies in a repository, and the machine.

    Examples
    --------
    >>> sorted(provenance())
    ['commit', 'machine', 'python', 'versions']
    """
    return {
        "versions": {name: _version(name) for name in PACKAGES},
        "python": platform.python_version(),
        "commit": _commit(),
        "machine": {
            "system": platform.system(),
            "architecture": platform.machine(),
            "processor": _processor(),
            "cores": os.cpu_count(),
            **_accelerator(),
        },
    }


def _accelerator() -> dict[str, Any]:
    """What torch computes with: its threads and the GPU's name; nothing where no model was used in this process."""
    torch = sys.modules.get("torch")
    if torch is None:
        return {"threads": None, "gpu": None}
    gpu = torch.cuda.get_device_name(0) if torch.cuda.is_available() else None
    return {"threads": torch.get_num_threads(), "gpu": gpu}


def _version(name: str) -> str | None:
    try:
        return version(name)
    except PackageNotFoundError:
        return None


@lru_cache(maxsize=1)
def _commit() -> str | None:
    """Commit of the repository that holds this file, "+changes" where the working tree differs; None outside one.

    As it was when first asked for: what runs was read then.
    """
    root = Path(__file__).resolve().parents[2]
    if not (root / ".git").exists():
        return None

    def git(*arguments: str) -> str:
        return subprocess.run(
            ["git", "-C", str(root), *arguments], capture_output=True, text=True, check=True, timeout=20
        ).stdout.strip()

    try:
        changed = git("status", "--porcelain", "--untracked-files=no")
        return git("rev-parse", "--short=12", "HEAD") + ("+changes" if changed else "")
    except (OSError, subprocess.SubprocessError):
        return None


def _processor() -> str:
    """Name of the processor as the system gives it."""
    try:
        for line in Path("/proc/cpuinfo").read_text().splitlines():
            if line.startswith("model name"):
                return line.partition(":")[2].strip()
    except OSError:
        pass
    return platform.processor() or "unknown"
