"""Types, and the names of the tasks, that several modules of this package annotate with and check against."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

TASKS = ("localise", "paired", "detect", "repair")
"""What a model can be asked of a received program, in the order of tables."""

Progress = Callable[[int, int], None]
"""Called with (units done, units in all)."""
Row = dict[str, Any]
"""A JSON object as it was read, or as it is written: one line of a file of rows."""
