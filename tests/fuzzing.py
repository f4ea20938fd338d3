"""The fuzzer of files: a `Reader` with a file as we write it, ways to damage it, and what must hold of what is read."""

from __future__ import annotations

import json
import os
import resource
import shutil
import time
import warnings
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

IN_ALL, BY_DEFAULT = int(os.environ.get("CHIRPBRIDGE_FUZZ", "100000")), 25
"""Inputs of all readers of a module together in the slow tests, and of each reader by default."""
MOST_SECONDS, MOST_MEGABYTES = 20.0, 500
DEEP = "[" * 20_000
ODD = (
    None, True, False, 0, -1, 1, 2**70, -(10**30), 0.5, float("inf"), float("-inf"), float("nan"), "",
    "x", "0", "\ud800", "\0", [], [[]], {}, {"": {}}, [None] * 3, "../x", "\x1b[31m",
)  # fmt: skip


@dataclass(frozen=True)
class Reader:
    """A file as it is written, how it is read, and the errors that are its own."""

    name: str
    content: bytes
    read: Callable[[Path], Any]
    errors: tuple[type[Exception], ...] = (ValueError, OSError)
    suffix: str = ""
    kind: str = "json"  # "json" | "lines" | "bytes"
    protected: bool = False  # by a checksum: what is read equals, or is part of, what was written
    resigned: Callable[[bytes], bytes] | None = None  # puts a right checksum on a damaged line


@st.composite
def damage(draw: st.DrawFn) -> tuple[str, int, int, Any]:
    """One way to damage a file: what, where (two numbers), and by what."""
    kind = draw(
        st.sampled_from(["flip", "cut", "insert", "double", "retype", "retype", "retype", "drop", "nest", "empty"])
    )
    return kind, draw(st.integers(0, 2**31)), draw(st.integers(0, 2**31)), draw(st.sampled_from(ODD))


def _damaged(content: bytes, how: tuple[str, int, int, Any], reader: Reader) -> bytes:
    kind, first, second, odd = how
    if kind in ("retype", "drop", "nest") and reader.kind != "bytes":
        lines = content.split(b"\n") if reader.kind == "lines" else [content]
        at = first % len(lines)
        try:
            tree = json.loads(lines[at])
        except (ValueError, RecursionError):
            return content
        tree = _replaced(tree, second, kind, odd)
        body = DEEP if tree is _Deep else json.dumps(tree)
        lines[at] = body.encode("utf-8", "surrogatepass")
        if reader.resigned is not None:
            if isinstance(tree, dict):
                tree.pop("check", None)
                lines[at] = reader.resigned(json.dumps(tree).encode())
        return b"\n".join(lines)
    at = first % (len(content) + 1)
    if kind == "flip" and content:
        at = first % len(content)
        return content[:at] + bytes([content[at] ^ (1 << second % 8)]) + content[at + 1 :]
    if kind == "cut":
        return content[:at]
    if kind == "double":
        return content + content[at:]
    if kind == "empty":
        return b"" if second % 2 else content[: at // 2] + content[at:]
    return content[:at] + str(odd).encode("utf-8", "surrogatepass") * (1 + second % 3) + content[at:]


class _Deep:
    """Stands for a tree that is too deep to be written by `json`."""


def _replaced(tree: Any, place: int, kind: str, odd: Any) -> Any:
    """The tree with one of its nodes replaced, left out, or put into brackets without end."""
    if kind == "nest" and place % 4 == 0:
        return _Deep
    children = list(tree) if isinstance(tree, dict) else list(range(len(tree))) if isinstance(tree, list) else []
    if not children or place % 5 == 0:
        return [[tree]] if kind == "nest" else odd
    child = children[place % len(children)]
    if kind == "drop" and place % 3 == 0:
        tree.pop(child)
    else:
        found = _replaced(tree[child], place // 7 + 1, kind, odd)
        if found is _Deep:
            return _Deep
        tree[child] = found
    return tree


def _check(reader: Reader, content: bytes, folder: Path, whole: Any) -> None:
    for old in folder.iterdir():
        shutil.rmtree(old) if old.is_dir() else old.unlink()
    path = folder / f"file{reader.suffix}"
    path.write_bytes(content)
    start = time.process_time()
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            found = reader.read(path)
    except reader.errors as error:
        assert str(error).strip(), "an error that says nothing"
        return
    finally:
        assert time.process_time() - start < MOST_SECONDS
    if reader.protected:
        assert found.items() <= whole.items()


def fuzz(reader: Reader, folder: Path, examples: int) -> None:
    folder.mkdir()
    path = folder / f"file{reader.suffix}"
    path.write_bytes(reader.content)
    whole = reader.read(path) if reader.protected else None
    assert not reader.protected or whole
    before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss

    @settings(
        max_examples=examples, deadline=None, database=None, derandomize=True,
        suppress_health_check=list(HealthCheck), phases=[*settings.default.phases][:3],
    )  # fmt: skip
    @given(st.lists(damage(), min_size=1, max_size=3))
    def run(ways: list[tuple[str, int, int, Any]]) -> None:
        content = reader.content
        for how in ways:
            content = _damaged(content, how, reader)
        _check(reader, content, folder, whole)

    run()
    grown = (resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before) / 1024
    assert grown < MOST_MEGABYTES, f"{grown:.0f} MB more"
