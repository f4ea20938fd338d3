"""Whether a value that came over the pipe is the expected one, with an eye on the clock.

The two are walked side by side, so that nothing is built of the answer but what the expected value has in that place.
Hash tables are the one thing whose cost a hostile answer can choose (integers that collide make each look-up slow);
the clock is read for each of their entries.
"""

from __future__ import annotations

import time
from collections.abc import Sequence
from collections.abc import Set as AbstractSet

from . import wire


def equal(value: object, expected: object, deadline: float) -> bool:
    """Whether the value, once decoded, equals `expected`: as ``==`` says, but a list is no tuple's equal.

    Parameters
    ----------
    value
        JSON form of a value (`wire.encode`), from a pipe that nobody vouches for.
    expected
        Trusted; plain data, or anything with an ``__eq__``.
    deadline
        Reading of `time.monotonic` at which the comparison is given up.

    Raises
    ------
    TimeoutError
        The deadline has passed.
    WireError
        `value` is not what `wire.encode` writes.

    Examples
    --------
    >>> import time
    >>> soon = time.monotonic() + 1
    >>> equal({"t": [1, [2.0]]}, (1, [2]), soon), equal([1], (1,), soon)
    (True, False)
    """
    _look(deadline)
    ((tag, body),) = value.items() if isinstance(value, dict) and len(value) == 1 else ((None, value),)
    if isinstance(expected, (list, tuple)):
        wanted = body if tag == ("t" if isinstance(expected, tuple) else None) else None
        return isinstance(wanted, list) and _items_equal(wanted, expected, deadline)
    if isinstance(expected, (set, frozenset)):
        return tag in ("s", "z") and isinstance(body, list) and _members_equal(body, expected, deadline)
    if isinstance(expected, dict):
        return tag == "d" and isinstance(body, list) and _entries_equal(body, expected, deadline)
    if isinstance(value, list) and isinstance(expected, (bool, int, float, complex, str, bytes, type(None))):
        return False  # not read, however long it is
    largest = wire.largest_hashed(expected)
    return bool(wire.decode(value, max_hashed=largest, deadline=deadline) == expected)


def _items_equal(items: list[object], expected: Sequence[object], deadline: float) -> bool:
    if len(items) != len(expected):
        return False
    return all(equal(item, other, deadline) for item, other in zip(items, expected, strict=True))


def _members_equal(members: list[object], expected: AbstractSet[object], deadline: float) -> bool:
    largest = max(map(wire.largest_hashed, expected), default=0)
    left = set(expected)
    for member in members:
        item = wire.decode(member, max_hashed=largest, deadline=deadline)
        _look(deadline)
        if not _is_hashable(item) or item not in expected:
            return False
        left.discard(item)
    return not left


def _entries_equal(entries: list[object], expected: dict[object, object], deadline: float) -> bool:
    largest = max(map(wire.largest_hashed, expected), default=0)
    found: dict[object, object] = {}
    for entry in entries:
        if not isinstance(entry, list) or len(entry) != 2:
            raise wire.WireError("not a value")
        key = wire.decode(entry[0], max_hashed=largest, deadline=deadline)
        _look(deadline)
        if not _is_hashable(key) or key not in expected:
            return False
        found[key] = entry[1]  # the last of several, as in a dict
    return len(found) == len(expected) and all(equal(found[key], expected[key], deadline) for key in found)


def _is_hashable(item: object) -> bool:
    try:
        hash(item)
    except TypeError:
        return False
    return True


def _look(deadline: float) -> None:
    if time.monotonic() > deadline:
        raise TimeoutError("the comparison was not done in time")
