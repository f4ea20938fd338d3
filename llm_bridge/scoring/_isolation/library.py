"""The standard library without what lies in its folder: installed packages and the site's own hooks.

    /usr/lib/python3.11/json            readable
    /usr/lib/python3.11/re              readable
    /usr/lib/python3.11/site-packages   neither readable nor listed; in a private root something empty lies over it
    /usr/lib/python3.11/stray.py        the same: a name that is not the library's (`sys.stdlib_module_names`)

Landlock's rules hold for all that is beneath a folder, so a folder with ``site-packages`` in it cannot be granted as a
whole: what belongs to the library is granted entry by entry, and the folder itself cannot be listed. The import system
therefore lists it beforehand (`keep_listing`).
"""

from __future__ import annotations

import os
import sys
from collections.abc import Sequence

TYPE_CHECKING = False  # `typing` costs a tenth of a start
if TYPE_CHECKING:
    from typing import Any

_PARTS = ("lib-dynload", "__pycache__", "_sysconfigdata")  # of the library, and no modules' names


def readable(library: Sequence[str]) -> list[str]:
    """Paths of all that belongs to the library: archives, and entries of its folders."""
    found: list[str] = []
    for path in _outer(library):
        found += _entries(path) if os.path.isdir(path) else [path]
    return found


def hidden(library: Sequence[str]) -> list[str]:
    """Files and folders inside the library's folders that are not of it."""
    found = [
        f"{folder}/{name}"
        for folder in filter(os.path.isdir, _outer(library))
        for name in sorted(os.listdir(folder))
        if not _belongs(name)
    ]
    return [path for path in found if not os.path.islink(path)]


def keep_listing(library: Sequence[str]) -> None:
    """List the library's folders for the import system now, for it will not be able to."""
    for folder in filter(os.path.isdir, _outer(library)):
        finder: Any = next(filter(None, (_finder(hook, folder) for hook in sys.path_hooks)))
        finder._fill_cache()
        finder._path_cache = {name for name in finder._path_cache if _belongs(name)}
        finder._fill_cache = lambda: None  # called when the folder's time of change differs, and the first time
        sys.path_importer_cache[folder] = finder


def _finder(hook: Any, folder: str) -> Any:
    try:
        return hook(folder)
    except ImportError:
        return None


def _entries(folder: str) -> list[str]:
    """Paths of what belongs to the library in one of its folders; links that lead out of the folder do not."""
    home = os.path.realpath(folder) + "/"
    paths = [f"{folder}/{name}" for name in sorted(os.listdir(folder)) if _belongs(name)]
    return [path for path in paths if not os.path.islink(path) or os.path.realpath(path).startswith(home)]


def _belongs(name: str) -> bool:
    """Whether an entry of a library's folder is the library's, by its name."""
    return name.partition(".")[0] in sys.stdlib_module_names or name.startswith(_PARTS)


def _outer(library: Sequence[str]) -> list[str]:
    """The parts that are not inside another; the others are entries of those."""
    return [path for path in library if not any(path.startswith(other + "/") for other in library)]
