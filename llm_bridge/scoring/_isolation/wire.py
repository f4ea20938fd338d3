"""What crosses the pipes between the parent and an untrusted child: frames of JSON, and plain values in them.

    frame = 4 bytes length, big endian │ JSON, ASCII

A value is plain data and nothing else: None, bool, int, float, complex, str, bytes, list, tuple, set, frozenset,
dict. JSON's own types stand for themselves; the others are one-key objects, ``{"t": [...]}`` for a tuple. What comes
back from a child is therefore rebuilt by the parent from builtins: no class of the program's, hence no ``__eq__`` of
its, ever reaches the comparison. An instance of a subclass travels as its builtin content; anything else travels as
`OPAQUE`, which equals nothing.

The decoder is written for hostile input. Depth and bytes are bounded, and sets and dicts may hold no more entries than
the caller names: integers that collide in the hash table would otherwise cost quadratic time in the parent.
"""

from __future__ import annotations

import json
import os
import struct
import time
from collections.abc import Mapping, Sequence

TYPE_CHECKING = False  # `typing` costs a tenth of a start
if TYPE_CHECKING:
    from typing import Any, NotRequired, TypedDict

    class JobFrame(TypedDict):
        """The first frame, from the parent: what the child is for, and the cage to build."""

        level: str
        library: Sequence[str]
        shared: Sequence[str]
        files: Mapping[str, str]
        site: Mapping[str, str]
        limits: Mapping[str, int]
        open_to_all: bool
        mode: str
        entry_point: str
        test_file: str | None
        landlock_abi: int | None
        own_user: bool
        base: NotRequired[str]


HEADER = struct.Struct(">I")
MAX_FRAME_BYTES = 4 << 20
MAX_DEPTH = 150
_ITEM_COST = 16  # bytes that an item is counted for, beside its characters or digits
_SAFE_INT = 1 << 53


class WireError(Exception):
    """A frame or a value that breaks the rules above."""


class Opaque:
    """A value that is not plain data. It equals nothing, itself included."""

    __hash__ = None  # type: ignore[assignment]

    def __eq__(self, other: object) -> bool:
        """Never equal."""
        return False

    def __ne__(self, other: object) -> bool:
        """Always different."""
        return True


OPAQUE = Opaque()


def pack(message: object) -> bytes:
    """One frame that carries `message` (JSON types only)."""
    body = json.dumps(message, ensure_ascii=True, separators=(",", ":")).encode("ascii")
    return HEADER.pack(len(body)) + body


def unpack(body: bytes) -> object:
    """Message of a frame's body; `WireError` for anything that is not one."""
    try:
        return json.loads(body.decode("ascii"))
    except (ValueError, RecursionError, MemoryError) as error:
        raise WireError("not a frame") from error


def write_frame(fd: int, message: object) -> None:
    """Write one frame, blocking (the child's side; the parent's side has deadlines and is in `process`)."""
    view = memoryview(pack(message))
    while view:
        view = view[os.write(fd, view) :]


def read_frame(fd: int) -> Any:
    """Read one frame of the parent's, blocking; `EOFError` where it has gone."""
    (length,) = HEADER.unpack(_read_exactly(fd, HEADER.size))
    return unpack(_read_exactly(fd, length))


def _read_exactly(fd: int, count: int) -> bytes:
    parts = []
    while count:
        part = os.read(fd, min(count, 1 << 20))
        if not part:
            raise EOFError("the other side closed the pipe")
        parts.append(part)
        count -= len(part)
    return b"".join(parts)


def encode(value: object, *, strict: bool = False) -> object:
    """JSON form of a plain value.

    Parameters
    ----------
    value
        Anything.
    strict
        Raise `TypeError` for what is not plain data, instead of writing `OPAQUE` in its place.

    Raises
    ------
    WireError
        Deeper than `MAX_DEPTH`, or too large for a frame.

    Examples
    --------
    >>> encode([1, (2.5, "x"), {3}])
    [1, {'t': [2.5, 'x']}, {'s': [3]}]
    """
    return _encode(value, MAX_DEPTH, [MAX_FRAME_BYTES], strict)


def decode(value: object, *, max_hashed: int | None = None, deadline: float | None = None) -> object:
    """Plain value of its JSON form, built from builtins only.

    Parameters
    ----------
    value
        What `encode` returned, after a passage through JSON that nobody vouches for.
    max_hashed
        Largest number of entries in any one set or dict; a larger one becomes `OPAQUE`. None: any number.
    deadline
        Reading of `time.monotonic` at which the building of sets and dicts is given up with a `TimeoutError`.

    Raises
    ------
    WireError
        For anything that `encode` does not write.

    Examples
    --------
    >>> decode({"d": [["a", {"t": [1, 2]}]]})
    {'a': (1, 2)}
    """
    return _decode(value, MAX_DEPTH, max_hashed, deadline)


def largest_hashed(value: object) -> int:
    """Entries in the largest set or dict inside a trusted value: the `max_hashed` of a result that may equal it."""
    if isinstance(value, (set, frozenset)):
        return max([len(value), *map(largest_hashed, value)])
    if isinstance(value, dict):
        return max([len(value), *map(largest_hashed, value), *map(largest_hashed, value.values())])
    if isinstance(value, (list, tuple)):
        return max(map(largest_hashed, value), default=0)
    return 0


def _encode(value: Any, depth: int, budget: list[int], strict: bool) -> object:
    if depth <= 0:
        raise WireError("a value is too deep")
    _spend(_ITEM_COST, budget)
    kind = type(value)
    if value is None or kind is bool or kind is float:
        return value
    # issubclass and the base classes' own methods: a subclass cannot answer for its content
    if issubclass(kind, int):
        number = int.__add__(value, 0)
        _spend(number.bit_length() // 4, budget)
        return number if -_SAFE_INT < number < _SAFE_INT else {"i": hex(number)}
    if issubclass(kind, str):
        _spend(str.__len__(value), budget)
        return str.__str__(value)
    if issubclass(kind, float):
        return float.__float__(value)
    if issubclass(kind, complex):
        return {"c": [complex.real.__get__(value), complex.imag.__get__(value)]}
    if issubclass(kind, (bytes, bytearray)):
        _spend(memoryview(value).nbytes * 2, budget)
        return {"b": bytes(memoryview(value)).hex()}
    bases: tuple[tuple[Any, str], ...] = ((list, ""), (tuple, "t"), (set, "s"), (frozenset, "z"))
    for base, tag in bases:
        if issubclass(kind, base):
            items = [_encode(item, depth - 1, budget, strict) for item in base.__iter__(value)]
            return {tag: items} if tag else items
    if issubclass(kind, dict):
        pairs = dict.items(value)
        return {"d": [[_encode(part, depth - 1, budget, strict) for part in pair] for pair in pairs]}
    if strict:
        raise TypeError(f"not plain data: {kind.__name__}")
    return {"o": 0}


def _spend(cost: int, budget: list[int]) -> None:
    budget[0] -= cost
    if budget[0] < 0:
        raise WireError("a value is too large")


def _decode(value: object, depth: int, max_hashed: int | None, deadline: float | None) -> object:
    if depth <= 0:
        raise WireError("a value is too deep")
    if value is None or isinstance(value, (bool, int, float, str)):
        return value
    if isinstance(value, list):
        return [_decode(item, depth - 1, max_hashed, deadline) for item in value]
    if not isinstance(value, dict) or len(value) != 1:
        raise WireError("not a value")
    ((tag, body),) = value.items()
    try:
        if tag == "i" and isinstance(body, str):
            return int(body, 16)
        if tag == "b" and isinstance(body, str):
            return bytes.fromhex(body)
        if tag == "o":
            return OPAQUE
        if not isinstance(body, list):
            raise WireError("not a value")
        if tag == "c":
            real, imaginary = body
            return complex(real, imaginary)
        if tag == "t":
            return tuple([_decode(item, depth - 1, max_hashed, deadline) for item in body])
        if tag in ("s", "z", "d") and max_hashed is not None and len(body) > max_hashed:
            return OPAQUE
        if tag in ("s", "z"):
            members: set[object] = set()
            for item in body:
                _look(deadline)
                members.add(_decode(item, depth - 1, max_hashed, deadline))
            return members if tag == "s" else frozenset(members)
        if tag == "d":
            entries: dict[object, object] = {}
            for key, item in body:
                _look(deadline)
                entries[_decode(key, depth - 1, max_hashed, deadline)] = _decode(item, depth - 1, max_hashed, deadline)
            return entries
    except (ValueError, TypeError, OverflowError) as error:
        raise WireError("not a value") from error
    raise WireError("not a value")


def _look(deadline: float | None) -> None:
    if deadline is not None and time.monotonic() > deadline:
        raise TimeoutError("the value was not read in time")
