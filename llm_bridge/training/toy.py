"""The toy: a two-layer random Llama over bytes, the real architecture in milliseconds, for tests and dry runs."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from transformers import PreTrainedModel, PreTrainedTokenizerBase


def toy_model(vocab_size: int) -> PreTrainedModel:
    """Two-layer Llama of width 64 with random weights: the real architecture, 90,624 parameters."""
    from transformers import LlamaConfig, LlamaForCausalLM

    config = LlamaConfig(
        vocab_size=vocab_size,
        hidden_size=64,
        intermediate_size=128,
        num_hidden_layers=2,
        num_attention_heads=4,
        num_key_value_heads=2,
        max_position_embeddings=2048,
        tie_word_embeddings=True,
        bos_token_id=256,
        eos_token_id=257,
        pad_token_id=258,
        architectures=["LlamaForCausalLM"],
    )
    return LlamaForCausalLM(config)


def byte_tokenizer(size: int = 259) -> PreTrainedTokenizerBase:
    r"""Tokenizer with one token for each byte and three special ones; lossless on any text.

    With a larger `size` it has entries beyond those, which no text has.

    Examples
    --------
    >>> byte_tokenizer()("é\n", add_special_tokens=False).input_ids
    [195, 169, 10]
    """
    from tokenizers import Tokenizer, decoders, models, pre_tokenizers
    from transformers import PreTrainedTokenizerFast

    vocabulary = {character: byte for byte, character in byte_characters().items()}
    vocabulary |= {"<|bos|>": 256, "<|eos|>": 257, "<|pad|>": 258}
    vocabulary |= {f"<|unused {entry}|>": entry for entry in range(len(vocabulary), size)}
    tokenizer = Tokenizer(models.BPE(vocab=vocabulary, merges=[]))
    tokenizer.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False, use_regex=False)
    tokenizer.decoder = decoders.ByteLevel()
    return PreTrainedTokenizerFast(
        tokenizer_object=tokenizer, bos_token="<|bos|>", eos_token="<|eos|>", pad_token="<|pad|>"
    )


def byte_characters() -> dict[int, str]:
    """The printable character that stands for each byte in a byte-level vocabulary (GPT-2's table)."""
    printable = [*range(33, 127), *range(161, 173), *range(174, 256)]
    table = {byte: chr(byte) for byte in printable}
    others = (byte for byte in range(256) if byte not in table)
    table.update({byte: chr(256 + rank) for rank, byte in enumerate(others)})
    return table
