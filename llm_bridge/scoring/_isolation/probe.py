"""What an interpreter needs of the file system: printed by the interpreter itself, started as a child is.

    {"library": folders and archives of the standard library, "shared": files of shared libraries outside them}

A shared library has the name by which the dynamic loader opened it (``dl_iterate_phdr(3)``): the private root offers it
under that very name. All extension modules of the standard library are opened, and ``libgcc_s``, which glibc opens by
itself when a thread ends. Run as a script; nothing imports it.
"""

from __future__ import annotations

import ctypes
import importlib.machinery
import json
import os
import sys
from typing import Any


class _Object(ctypes.Structure):
    """The first fields of ``struct dl_phdr_info``."""

    _fields_ = (("address", ctypes.c_void_p), ("name", ctypes.c_char_p))


def main() -> None:
    """Print the two lists as JSON."""
    library = [path for path in sys.path if os.path.isabs(path) and os.path.exists(path)]
    for folder in filter(os.path.isdir, library):
        for name in sorted(os.listdir(folder)):
            if name.endswith(tuple(importlib.machinery.EXTENSION_SUFFIXES)):
                _open(os.path.join(folder, name))
    _open("libgcc_s.so.1")
    shared = [path for path in _opened() if os.path.isabs(path) and not _inside(path, library)]
    print(json.dumps({"library": library, "shared": sorted(set(shared))}))


def _open(name: str) -> None:
    try:
        ctypes.CDLL(name)
    except OSError:  # needs a library that this machine lacks: then the module cannot be imported outside either
        pass


def _opened() -> list[str]:
    names: list[str] = []

    def note(info: Any, size: int, data: Any) -> int:
        names.append(os.fsdecode(info.contents.name or b""))
        return 0

    kind = ctypes.CFUNCTYPE(ctypes.c_int, ctypes.POINTER(_Object), ctypes.c_size_t, ctypes.c_void_p)
    ctypes.CDLL(None).dl_iterate_phdr(kind(note), None)
    return names


def _inside(path: str, folders: list[str]) -> bool:
    return any(path.startswith(folder + "/") for folder in folders)


if __name__ == "__main__":
    main()
