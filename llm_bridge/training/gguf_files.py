"""GGUF files of Llama-architecture models, dequantised into safetensors with a tokenizer beside them.

What the library's own converter leaves out without a word is read here, or refused by name: the frequency factors of
Llama 3.1 and 3.2 (the tensor ``rope_freqs.weight``, one divisor for each rotated pair of dimensions), other scalings of
the rotary embedding, and a token of the tokenizer that the embedding has no row for.
"""

from __future__ import annotations

import json
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from llm_bridge.training.common import ModelError, first_line, quiet, require_all_weights

if TYPE_CHECKING:
    from gguf import GGUFReader
    from transformers import PreTrainedTokenizerBase

ROPE_FACTORS = "rope_freqs.weight"
LOW_FREQUENCY_FACTOR, HIGH_FREQUENCY_FACTOR, ORIGINAL_POSITIONS = 1.0, 4.0, 8192
"""Constants of the scaling "llama3", the same in every published Llama 3.1, 3.2 and 3.3."""


def convert_gguf(gguf_file: Path, folder: Path) -> None:
    """Write a model in the transformers layout, float32, from a GGUF file.

    Raises
    ------
    ModelError
        Weights that are missing, or a scaling of the rotary embedding that is not "llama3".
    """
    import torch
    from transformers import AutoModelForCausalLM, GgufConfig

    header, rope = read_header(gguf_file)
    with quiet():
        # without dequantize=True the model counts as quantised: not trainable, and save_pretrained refuses
        try:
            loaded: Any = AutoModelForCausalLM.from_pretrained(
                gguf_file.parent,
                gguf_file=gguf_file.name,
                dtype=torch.float32,
                quantization_config=GgufConfig(dequantize=True),
                output_loading_info=True,
            )
        except Exception as error:  # the library raises whatever its parsing raises
            raise ModelError(f"{gguf_file} holds a model that cannot be read ({first_line(error)})") from error
        require_all_weights(loaded[1], gguf_file)
        model = loaded[0]
        if rope is not None:
            model.config.rope_parameters = {**(model.config.rope_parameters or {}), **rope}
        model.save_pretrained(folder)
        gguf_tokenizer(header, gguf_file, model.config.vocab_size).save_pretrained(folder)


def read_header(gguf_file: Path) -> tuple[GGUFReader, dict[str, str | float] | None]:
    """Reader of a GGUF file whose fields agree with its tensors, and its `rope_parameters`.

    Raises
    ------
    ModelError
        A file that is none, torn, or whose fields speak of a larger model than its tensors are: what is then allocated
        is not bounded by the file.
    """
    header = read_gguf(gguf_file)
    try:
        problem = _disagreement(header)
        rope = rope_parameters(header, gguf_file)
    except ModelError:
        raise
    except Exception as error:  # a field of another type raises whatever its use raises
        raise ModelError(f"{gguf_file} holds fields that cannot be used ({first_line(error)})") from error
    if problem:
        raise ModelError(f"{gguf_file} is damaged: {problem}")
    return header, rope


def _disagreement(header: GGUFReader) -> str | None:
    """Disagreement between a file's fields and its tensors; None where they agree."""
    architecture = str(_field(header, "general.architecture") or "llama")
    shapes = {tensor.name: [int(size) for size in tensor.shape] for tensor in header.tensors}
    embedding = shapes.get("token_embd.weight", [])
    blocks = {name.split(".")[1] for name in shapes if name.startswith("blk.")}
    wanted = {"block_count": len(blocks)}
    if len(embedding) == 2:
        wanted |= {"embedding_length": embedding[0], "vocab_size": embedding[1]}
    gate = shapes.get("blk.0.ffn_gate.weight", [])
    if len(gate) == 2:
        wanted["feed_forward_length"] = gate[1]
    for name, size in wanted.items():
        given = _field(header, f"{architecture}.{name}")
        if given is not None and (type(given) is not int or given != size):
            return f"{architecture}.{name} is {given!r}, its tensors have {size}"
    heads = _field(header, f"{architecture}.attention.head_count")
    if heads is not None and (type(heads) is not int or not 0 < heads <= wanted.get("embedding_length", heads)):
        return f"{architecture}.attention.head_count is {heads!r}"
    return None


def read_gguf(gguf_file: Path) -> GGUFReader:
    """Reader of a GGUF file's fields and tensors; a `ModelError` for what is none, or torn."""
    from gguf import GGUFReader

    try:
        return GGUFReader(gguf_file)
    except Exception as error:  # the reader raises whatever its parsing raises
        raise ModelError(f"{gguf_file} is no whole GGUF file ({first_line(error)})") from error


def rope_parameters(header: GGUFReader, gguf_file: Path) -> dict[str, str | float] | None:
    """Parameters of the rotary embedding's scaling that the library does not read; `None` where there is none."""
    architecture = _field(header, "general.architecture") or "llama"
    kind = _field(header, f"{architecture}.rope.scaling.type")
    if kind not in (None, "none"):
        raise ModelError(
            f"{gguf_file} scales its rotary embedding ({kind}), which is not read; give the original model"
        )
    tensor = next((tensor for tensor in header.tensors if tensor.name == ROPE_FACTORS), None)
    if tensor is None:
        return None
    factors = np.asarray(tensor.data, dtype=np.float64).reshape(-1)
    theta = float(_field(header, f"{architecture}.rope.freq_base") or 10_000.0)
    factor = round(float(factors.max()), 6)
    rope: dict[str, str | float] = {
        "rope_type": "llama3",
        "factor": factor,
        "low_freq_factor": LOW_FREQUENCY_FACTOR,
        "high_freq_factor": HIGH_FREQUENCY_FACTOR,
        "original_max_position_embeddings": ORIGINAL_POSITIONS,
    }
    if not np.allclose(factors, llama3_factors(len(factors), theta, factor), rtol=1e-3):
        raise ModelError(
            f"{gguf_file} holds {ROPE_FACTORS} that is not the scaling of Llama 3.1; give the original model"
        )
    return rope


def llama3_factors(num_pairs: int, theta: float, factor: float) -> np.ndarray:
    """Divisors of the rotary frequencies ``(num_pairs,)`` by the rule of Llama 3.1.

    Wavelengths above ``positions / low`` are divided by `factor`, those below ``positions / high`` by 1, and between
    them the frequency is interpolated (Dubey et al., arXiv 2407.21783, as published in the model's code).
    """
    frequency = theta ** -(np.arange(num_pairs) / num_pairs)
    turns = ORIGINAL_POSITIONS * frequency / (2 * np.pi)
    smooth = np.clip((turns - LOW_FREQUENCY_FACTOR) / (HIGH_FREQUENCY_FACTOR - LOW_FREQUENCY_FACTOR), 0.0, 1.0)
    return np.asarray(1.0 / ((1 - smooth) / factor + smooth))


def gguf_tokenizer(header: GGUFReader, gguf_file: Path, vocab_size: int) -> PreTrainedTokenizerBase:
    """Tokenizer of a GGUF file without the tokens that the library adds beyond the file's own list.

    Parameters
    ----------
    vocab_size
        Rows of the embedding.
    """
    from tokenizers import Tokenizer
    from transformers import AutoTokenizer, PreTrainedTokenizerFast

    try:
        read: PreTrainedTokenizerBase = AutoTokenizer.from_pretrained(gguf_file.parent, gguf_file=gguf_file.name)
    except Exception as error:  # the library raises whatever its parsing raises
        raise ModelError(f"{gguf_file} holds no readable tokenizer ({type(error).__name__}: {error})") from error
    if len(read) <= vocab_size:
        return read
    state = json.loads(read.backend_tokenizer.to_str())
    state["added_tokens"] = [token for token in state["added_tokens"] if token["id"] < vocab_size]
    names = {}
    for role in ("bos", "eos", "pad"):
        index = _field(header, f"tokenizer.ggml.{role if role != 'pad' else 'padding'}_token_id")
        if index is not None:
            names[f"{role}_token"] = read.convert_ids_to_tokens(int(index))
    made = PreTrainedTokenizerFast(tokenizer_object=Tokenizer.from_str(json.dumps(state)), **names)
    made.chat_template = read.chat_template
    return made


def _field(header: GGUFReader, name: str) -> Any:
    """Value of a field; `None` where it is not there."""
    field = header.fields.get(name)
    return None if field is None else field.contents()
