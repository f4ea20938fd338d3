"""A tokenizer that needs no library."""

from collections.abc import Sequence
from dataclasses import dataclass


@dataclass(frozen=True)
class ByteTokenizer:
    """One id for each UTF-8 byte: the smallest lossless tokenizer."""

    vocab_size: int = 256
    special_ids: frozenset[int] = frozenset()

    def tokenize(self, text: str) -> list[int]:
        """Bytes of the UTF-8 form."""
        return list(text.encode())

    def detokenize(self, ids: Sequence[int]) -> str:
        """UTF-8 with ``errors="replace"``."""
        return bytes(ids).decode(errors="replace")
