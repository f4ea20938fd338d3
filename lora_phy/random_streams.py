"""Random numbers by key: what a frame, a packet or a trial draws depends on its own name and on nothing else.

A key is 128 bits, four words of a row; a stream is a small integer that separates what one key draws for different
purposes. Draws are those of Philox4x32-10 (`lora_phy.kernels.counters`), so they depend neither on how many rows are
drawn together, nor on their order, nor on processes.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterable

import numpy as np
import numpy.typing as npt

from lora_phy.kernels.counters import fill_children, fill_words

Keys = npt.NDArray[np.uint32]


def keys_of(names: Iterable[bytes]) -> Keys:
    """Keys ``(n, 4)`` of names: the first 128 bits of each name's SHA-256.

    Examples
    --------
    >>> keys_of([b"seed 1, frame 0", b"seed 1, frame 1"]).shape
    (2, 4)
    """
    digests = b"".join(hashlib.sha256(name).digest()[:16] for name in names)
    return np.frombuffer(digests, dtype="<u4").astype(np.uint32).reshape(-1, 4)


def child_keys(
    keys: Keys, parents: npt.NDArray[np.int64], first: npt.NDArray[np.int64], second: npt.NDArray[np.int64]
) -> Keys:
    """Keys ``(n, 4)`` of things that are counted under a name: the fragments of a text and their attempts, say.

    Parameters
    ----------
    keys
        ``(m, 4)``, of the names. A key that has children is not to be drawn from itself.
    parents
        ``(n,)``: row of each child's name in `keys`.
    first, second
        ``(n,)``: the two numbers of each child, 0…2**32 - 1.

    Examples
    --------
    >>> names = keys_of([b"a", b"b"])
    >>> children = child_keys(names, np.array([0, 0, 1]), np.array([0, 1, 0]), np.array([0, 0, 0]))
    >>> len({tuple(child) for child in children.tolist()})
    3
    """
    out = np.empty((len(parents), 4), np.uint32)
    fill_children(np.ascontiguousarray(keys, np.uint32), parents, first, second, out)
    return out


def random_words(keys: Keys, count: int, *, stream: int) -> npt.NDArray[np.uint32]:
    """Words of 32 uniform bits ``(n, count)`` of keys ``(n, 4)``.

    Parameters
    ----------
    keys
        ``(n, 4)`` uint32.
    count
        Words of each key, from 0 up; a longer row begins with the shorter one.
    stream
        0…2**32 - 1.

    Raises
    ------
    ValueError
        Keys of another shape.

    Examples
    --------
    >>> [hex(word) for word in random_words(np.zeros((1, 4), np.uint32), 4, stream=0)[0]]    # published vector
    ['0x6627e8d5', '0xe169c58d', '0xbc57ac4c', '0x9b00dbd8']
    """
    keys = np.ascontiguousarray(keys, dtype=np.uint32)
    if keys.ndim != 2 or keys.shape[1] != 4:
        raise ValueError(f"'keys' must have the shape (n, 4) (got {keys.shape})")
    out = np.empty((len(keys), -(-count // 4) * 4), np.uint32)
    fill_words(keys, stream, out)
    return out[:, :count]


def uniforms(keys: Keys, count: int, *, stream: int) -> npt.NDArray[np.float64]:
    """Uniform numbers ``(n, count)`` in the open interval (0, 1), in steps of 2**-32.

    Examples
    --------
    >>> draws = uniforms(keys_of([b"a", b"b"]), 1000, stream=3)
    >>> bool(draws.min() > 0), bool(draws.max() < 1), round(float(draws.mean()), 1)
    (True, True, 0.5)
    """
    return np.asarray((random_words(keys, count, stream=stream) + 0.5) * 2.0**-32, np.float64)
