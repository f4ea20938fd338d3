"""Collection without torch: what needs it is left out, so that radio people can run the suite without installing it."""

from __future__ import annotations

import ast
import importlib.util
from functools import cache
from pathlib import Path

ROOT = Path(__file__).parent
HEAVY = {"torch", "transformers", "peft", "bitsandbytes", "accelerate", "safetensors", "gguf"}
"""What the extra ``llm`` installs and no other does."""
COMPLETE = importlib.util.find_spec("torch") is not None


def pytest_ignore_collect(collection_path: Path) -> bool | None:
    """Leave a file out where torch is missing and the file, or what it imports of ours, imports it at once."""
    if COMPLETE or collection_path.suffix != ".py" or not collection_path.is_file():
        return None
    return True if _needs_torch(collection_path) else None


def pytest_report_header() -> str | None:
    """One line that says what is left out."""
    return None if COMPLETE else "torch is not installed: modules and tests that need it are left out"


@cache
def _needs_torch(path: Path) -> bool:
    for name in _imported(path):
        if name.split(".")[0] in HEAVY:
            return True
        for other in (ROOT.joinpath(*name.split(".")).with_suffix(".py"), path.parent / f"{name}.py"):
            if other.is_file() and other != path and _needs_torch(other):  # no circles: an import contract holds that
                return True
    return False


def _imported(path: Path) -> list[str]:
    """Dotted names that a file imports at its top level, ``from package import module`` as ``package.module`` too."""
    names = []
    for node in ast.parse(path.read_bytes()).body:
        if isinstance(node, ast.Import):
            names += [alias.name for alias in node.names]
        elif isinstance(node, ast.ImportFrom) and node.module and not node.level:
            names += [node.module, *(f"{node.module}.{alias.name}" for alias in node.names)]
    return names
