"""What a child may read: the system, the interpreter, and for pytest modules pytest with what it imports.

The interpreter often lies where nobody else may go (``~/.pyenv``, a conda folder): it is named here by its own path,
and the private root holds it under that path, with parents that are open to all.
"""

from __future__ import annotations

import importlib.util
import os
import sys
import sysconfig

SYSTEM = ("/usr", "/lib", "/lib32", "/lib64", "/etc/ld.so.cache")
_PYTEST_PARTS = ("pytest", "_pytest", "pluggy", "iniconfig", "packaging", "pygments")
_PYTEST_SOMETIMES = ("py", "exceptiongroup", "tomli", "typing_extensions", "colorama")


def interpreter() -> str:
    """The interpreter itself, not a virtual environment's link to it."""
    return os.path.realpath(getattr(sys, "_base_executable", None) or sys.executable)


def standard_library() -> str:
    """The folder of the standard library's modules."""
    return sysconfig.get_paths()["stdlib"]


def readable() -> list[str]:
    """Folders and files that a child needs, without those inside another."""
    own = {sys.base_prefix, sys.base_exec_prefix, standard_library()}
    own |= {os.path.realpath(path) for path in own}
    if any(path.startswith("/nix/") for path in own):
        own = {"/nix/store"}
    found = list(SYSTEM)
    for path in sorted(own):
        if path != "/" and not any(path == other or path.startswith(other + "/") for other in found):
            found.append(path)
    return found


def pytest_parts() -> dict[str, str]:
    """Name and place of each importable part of pytest; `ImportError` where there is no pytest."""
    parts: dict[str, str] = {}
    for name in (*_PYTEST_PARTS, *_PYTEST_SOMETIMES):
        spec = importlib.util.find_spec(name)
        if spec is None or spec.origin is None:
            if name == "pytest":
                raise ImportError("programs judged by a pytest module need pytest: pip install 'chirpbridge[bridge]'")
            continue
        path = os.path.dirname(spec.origin) if spec.submodule_search_locations else spec.origin
        parts[os.path.basename(path)] = path
    return parts


def open_to_all(path: str, *, with_parents: bool = True) -> bool:
    """Whether any user could read `path`; with the folders above it, unless a private root makes its own."""
    path = os.path.realpath(path)
    needed = 0o005 if os.path.isdir(path) else 0o004
    if os.stat(path).st_mode & needed != needed:
        return False
    while with_parents and path != "/":
        path = os.path.dirname(path)
        if not os.stat(path).st_mode & 0o001:
            return False
    return True
