"""Where compiled kernels are kept: beside the sources, else in the user's cache, else in a temporary folder.

numba keeps compiled functions in files. It finds a place for them by itself where the package's folder or the home
directory can be written, and raises an error while the module is imported where neither can: in a container with a
foreign user id, for instance. Then a temporary folder serves, or kernels are compiled anew in each process.

    NUMBA_CACHE_DIR=/some/folder     names the place, in a container image for instance, which is filled once by
                                     ``python -m lora_phy warmup``
"""

from __future__ import annotations

import logging
import multiprocessing
import os
import stat
import tempfile
from pathlib import Path

from numba.core import config
from numba.misc.appdirs import AppDirs

from lora_phy.kernels import compiling as compiling

_log = logging.getLogger("lora_phy.kernels")
_PACKAGE = Path(__file__).resolve().parents[1]
_FOLDERS = (".", "coding", "kernels", "kernels/pipelines", "modem", "receiver")
"""Those with compiled functions."""


def find_cache() -> bool:
    """Whether compiled kernels can be kept; sets ``NUMBA_CACHE_DIR`` where numba would find no place by itself.

    The variable rather than a setting of this process, so that processes started from here use the same place.
    """
    named: str = getattr(config, "CACHE_DIR", "")
    if named:
        if _can_write(Path(named)):
            return True
        _say(f"the folder in NUMBA_CACHE_DIR, {named}, cannot be written")
        _use("")
    if all(_can_write(_PACKAGE / folder / "__pycache__") for folder in _FOLDERS) or _user_cache_works():
        return True
    folder = _temporary_folder()
    if folder is None:
        _say("compiled kernels cannot be kept anywhere: each process compiles its own (set NUMBA_CACHE_DIR)")
        return False
    _say(f"compiled kernels are kept in {folder} (set NUMBA_CACHE_DIR for a place that outlives it)")
    _use(str(folder))
    return True


def _use(folder: str) -> None:
    os.environ["NUMBA_CACHE_DIR"] = folder
    setattr(config, "CACHE_DIR", folder)  # noqa: B010 - numba makes its settings at run time, unseen by type checkers


def _user_cache_works() -> bool:
    try:
        folder = Path(AppDirs(appname="numba", appauthor=False).user_cache_dir)
    except RuntimeError:  # a user id without a home directory
        return False
    return folder.is_absolute() and _can_write(folder)  # "~" where there is no home: numba would make a folder "~"


def _temporary_folder() -> Path | None:
    """A folder that this user alone can write (what lies in it is executed), or None."""
    user = os.getuid() if hasattr(os, "getuid") else 0
    try:
        folder = Path(tempfile.gettempdir()) / f"lora_phy-{user}"
        folder.mkdir(mode=0o700, exist_ok=True)
        found = folder.lstat()
    except OSError:
        return None
    private = stat.S_ISDIR(found.st_mode) and (os.name == "nt" or (found.st_uid == user and not found.st_mode & 0o022))
    return folder if private and _can_write(folder) else None


def _can_write(folder: Path) -> bool:
    try:
        folder.mkdir(parents=True, exist_ok=True)
        tempfile.TemporaryFile(dir=folder).close()
    except OSError:
        return False
    return True


def _say(what: str) -> None:
    if multiprocessing.parent_process() is None:  # once, not once a worker
        _log.warning("%s", what)


CAN_KEEP = find_cache()
"""Whether kernels are kept in files: what each compiled function's ``cache`` option is."""
