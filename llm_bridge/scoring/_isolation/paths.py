"""What a child may read: the standard library, the shared libraries that it opens, and for pytest modules pytest.

Not the prefix that the interpreter lies in, and not ``/usr``: beside a standard library there are often other packages
(a container's, conda's, the system's), whose data may hold what a program is to find out. The interpreter often lies
where nobody else may go (``~/.pyenv``, a conda folder): the private root holds the library under its own path, with
parents that are open to all.
"""

from __future__ import annotations

import functools
import importlib.util
import json
import os
import subprocess
import sys
from dataclasses import dataclass

OPTIONS = ("-s", "-S", "-P", "-X", "utf8")  # no site packages, no folder of the caller's on the path
LOADER_CACHE = "/etc/ld.so.cache"
_PYTEST_PARTS = ("pytest", "_pytest", "pluggy", "iniconfig", "packaging", "pygments")
_PYTEST_SOMETIMES = ("py", "exceptiongroup", "tomli", "typing_extensions", "colorama")
_OWN_NAMES = ("_isolation", "program_under_test", "__main__", "sitecustomize", "usercustomize")
_PROBE = os.path.join(os.path.dirname(os.path.abspath(__file__)), "probe.py")


@dataclass(frozen=True)
class Needs:
    """What the interpreter reads while it runs.

    Attributes
    ----------
    library
        Folders and archives of the standard library, in the order of its search path.
    shared
        Files outside them that the dynamic loader opens.
    """

    library: tuple[str, ...]
    shared: tuple[str, ...]


def interpreter() -> str:
    """The interpreter itself, not a virtual environment's link to it."""
    return os.path.realpath(getattr(sys, "_base_executable", None) or sys.executable)


def start_variables() -> dict[str, str]:
    """What some interpreters cannot start without; the worker's environment is emptied before the program runs."""
    return {name: os.environ[name] for name in ("LD_LIBRARY_PATH", "PYTHONHOME") if name in os.environ}


@functools.cache
def needs() -> Needs:
    """What the interpreter needs, found once by asking it (`probe`); `OSError` where it does not answer."""
    command = [interpreter(), *OPTIONS, "-B", _PROBE]
    try:
        done = subprocess.run(
            command,
            stdin=subprocess.DEVNULL,
            capture_output=True,
            cwd="/",
            env=start_variables(),
            timeout=60,
            check=True,
        )
        found = json.loads(done.stdout)
    except (subprocess.SubprocessError, ValueError) as error:
        raise OSError(f"{command[0]} does not say what it needs ({error})") from error
    shared = [*found["shared"], *([LOADER_CACHE] if os.path.exists(LOADER_CACHE) else [])]
    return Needs(tuple(found["library"]), tuple(shared))


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


def is_taken(name: str) -> bool:
    """Whether a module of that name is the standard library's, pytest's or the judge's own."""
    return name in sys.stdlib_module_names or name in (*_PYTEST_PARTS, *_PYTEST_SOMETIMES, *_OWN_NAMES)


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
