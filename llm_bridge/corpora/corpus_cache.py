"""Cache of corpora in the user's cache folder, by a hash of Python's version, of files and of settings."""

from __future__ import annotations

import contextlib
import hashlib
import json
import os
import sys
from collections.abc import Callable, Iterable, Sequence
from pathlib import Path

from llm_bridge.corpora.programs import ProgramPair, TestSuite
from llm_bridge.files import StoreError, write_atomically

FIELDS = ("name", "buggy", "correct", "docstring", "buggy_line", "corpus", "group", "defect_class")


def cached(
    stem: str, settings: Sequence[object], files: Iterable[Path], make: Callable[[], list[ProgramPair]]
) -> tuple[ProgramPair, ...]:
    """Pairs without tests: from the cache, or made and kept there.

    Parameters
    ----------
    stem
        Beginning of the file's name.
    settings
        What the corpus depends on beside Python's version and `files`; must go into JSON.
    files
        Whose bytes it depends on, in a fixed order.
    make
        A function that makes the corpus where the cache has none.
    """
    path = folder() / f"{stem}-{_key(settings, files)}.json"
    with contextlib.suppress(OSError, ValueError, TypeError, KeyError, RecursionError):  # none, or not to be read
        pairs = tuple(ProgramPair(tests=TestSuite(), **row) for row in json.loads(path.read_text()))
        if pairs and all(_is_whole(pair) for pair in pairs):
            return pairs
    pairs = tuple(make())
    with contextlib.suppress(StoreError):  # a cache that cannot be written is no cache
        write_atomically(path, json.dumps([{name: getattr(pair, name) for name in FIELDS} for pair in pairs]))
    return pairs


def _is_whole(pair: ProgramPair) -> bool:
    """Whether the fields of a pair from a file are of their types."""
    texts = (pair.name, pair.buggy, pair.correct, pair.docstring, pair.corpus, pair.group, pair.defect_class or "")
    return all(isinstance(text, str) for text in texts) and type(pair.buggy_line) is int


def folder() -> Path:
    """Cache folder: ``$XDG_CACHE_HOME/chirpbridge``, or the same in the user's ``.cache``."""
    return Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "chirpbridge"


def _key(settings: Sequence[object], files: Iterable[Path]) -> str:
    digest = hashlib.sha256(json.dumps([sys.version, *settings]).encode())
    for path in (Path(__file__), *files):
        digest.update(path.read_bytes())
    return digest.hexdigest()[:24]
