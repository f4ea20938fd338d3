"""Tokenizers behind two functions, so that the link knows none of the libraries that bring them."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any, Protocol

TOKEN_ID_BITS = 17
"""Bits of a token id on the link: Llama-3's 128,256 ids fit."""


class Tokenizer(Protocol):
    """Text to token ids and back; ids run from 0 to ``vocab_size - 1``, of which `special_ids` are never text."""

    @property
    def vocab_size(self) -> int:
        """Number of ids, special ones included."""

    @property
    def special_ids(self) -> frozenset[int]:
        """Ids that stand for no text (begin of text, end of turn, reserved)."""

    def tokenize(self, text: str) -> list[int]:
        """Ids of `text`, no special id added."""

    def detokenize(self, ids: Sequence[int]) -> str:
        """Text of `ids`, nothing stripped or tidied."""


@dataclass(frozen=True)
class _Adapted:
    """A foreign tokenizer behind the two functions."""

    vocab_size: int
    special_ids: frozenset[int]
    tokenize: Callable[[str], list[int]]
    detokenize: Callable[[Sequence[int]], str]


def adapt_tokenizer(tokenizer: Any) -> Tokenizer:
    """Put any usual tokenizer behind `Tokenizer`'s two functions.

    The name of a special token in a text is read as plain text: a program that mentions one is not to lose it.

    Parameters
    ----------
    tokenizer
        A `Tokenizer` (returned as it is), a ``tokenizers.Tokenizer``, or a ``transformers`` tokenizer. They are told
        apart by their methods; neither library is imported.

    Raises
    ------
    ValueError
        Where none of the three fits, or where the vocabulary does not fit 17 bits.
    """
    if hasattr(tokenizer, "detokenize"):
        adapted: Tokenizer = tokenizer
    elif hasattr(tokenizer, "get_added_tokens_decoder"):  # tokenizers.Tokenizer
        added = tokenizer.get_added_tokens_decoder()
        plain = type(tokenizer).from_str(tokenizer.to_str())
        plain.encode_special_tokens = True
        adapted = _Adapted(
            vocab_size=tokenizer.get_vocab_size(with_added_tokens=True),
            special_ids=frozenset(index for index, token in added.items() if token.special),
            tokenize=lambda text: list(plain.encode(text, add_special_tokens=False).ids),
            detokenize=lambda ids: tokenizer.decode(list(ids), skip_special_tokens=False),
        )
    elif hasattr(tokenizer, "all_special_ids"):  # transformers.PreTrainedTokenizerBase
        added = getattr(tokenizer, "added_tokens_decoder", {})
        special = {index for index, token in added.items() if getattr(token, "special", True)}
        adapted = _Adapted(
            vocab_size=len(tokenizer),
            special_ids=frozenset(special | set(tokenizer.all_special_ids)),
            tokenize=lambda text: list(tokenizer.encode(text, add_special_tokens=False, split_special_tokens=True)),
            detokenize=lambda ids: tokenizer.decode(
                list(ids), skip_special_tokens=False, clean_up_tokenization_spaces=False
            ),
        )
    else:
        raise ValueError(
            "'tokenizer' must offer tokenize and detokenize, or be one of the tokenizers or transformers libraries "
            f"(got {type(tokenizer).__name__})"
        )
    if adapted.vocab_size > 1 << TOKEN_ID_BITS:
        raise ValueError(f"'tokenizer' must have at most {1 << TOKEN_ID_BITS} ids (got {adapted.vocab_size})")
    return adapted
