"""The 8B recipe without 8B weights: the right architecture from its shape, a pass without memory, plans and refusals.

Real weights were never loaded here. With CHIRPBRIDGE_LLAMA3_TOKENIZER set to a Llama-3 tokenizer.json the real
vocabulary is tested too (Meta's, under its own licence, not part of this repository).
"""

from __future__ import annotations

import io
import os
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from rich.console import Console
from safetensors.torch import save_file
from training_texts import examples
from transformers import AutoModelForCausalLM, LlamaConfig, LlamaForCausalLM, PreTrainedTokenizerFast

from llm_bridge.corpora import minibugs
from llm_bridge.study.preflight import check_training, prepare_model
from llm_bridge.study.recipe_files import load_recipe
from llm_bridge.training import estimate, fetching
from llm_bridge.training.adapter_modules import adapted_layers
from llm_bridge.training.adapters import attach
from llm_bridge.training.estimate import KNOWN_SHAPES, ModelDoesNotFitError, estimate_memory, require_fit
from llm_bridge.training.examples import encode_example, make_batch
from llm_bridge.training.fetching import ModelError, fetch_model
from llm_bridge.training.methods import LLAMA_LINEARS, PRESETS, AdapterSettings
from llm_bridge.training.models import LoadedModel, load_model
from llm_bridge.training.objectives import BugLoss, gold_mask
from llm_bridge.training.toy import byte_tokenizer, toy_model
from llm_bridge.transport.tokenizer import adapt_tokenizer
from llm_bridge.transport.tokens import decode_units, encode_units, pack_units, unpack_units

LLAMA = "meta-llama/Meta-Llama-3-8B"
GPU_80GB = 80e9


def on_meta(name: str) -> LoadedModel:
    """A model of the published shape: every module and every shape, no weight."""
    with torch.device("meta"):
        # plain attention: the others look into the mask, and there is nothing in it here
        model = AutoModelForCausalLM.from_config(LlamaConfig(**KNOWN_SHAPES[name]), attn_implementation="eager")
    model.requires_grad_(False)
    return LoadedModel(model=model, tokenizer=byte_tokenizer(), fingerprint={"storage": "full", "compute": "float32"})


def test_the_recipe_is_valid_and_names_methods_that_exist() -> None:
    recipe = load_recipe("llama3_8b")
    assert recipe.model.name == LLAMA and {"qlora", "full", "zero-shot"} <= set(recipe.training.methods)
    assert "NOT EXECUTED" in recipe.description
    check_training(recipe)


def test_the_shape_is_that_of_llama_3_8b() -> None:
    loaded = on_meta(LLAMA)
    assert type(loaded.model).__name__ == "LlamaForCausalLM"
    assert sum(p.numel() for p in loaded.model.parameters()) == 8_030_261_248
    assert all(p.device.type == "meta" for p in loaded.model.parameters())
    assert (loaded.base.config.num_hidden_layers, loaded.base.config.vocab_size) == (32, 128_256)


@pytest.mark.parametrize("name", [LLAMA, "meta-llama/Llama-3.2-1B", "meta-llama/Llama-3.2-3B"])
def test_adapters_and_a_training_step_have_the_right_shapes(name: str) -> None:
    """Forward and backward pass on the meta device: every product of the real size, none computed."""
    loaded = attach(on_meta(name), "lora", AdapterSettings(rank=8))
    blocks = loaded.base.config.num_hidden_layers
    assert adapted_layers(loaded.model) == dict.fromkeys(range(blocks), len(LLAMA_LINEARS))
    assert loaded.fingerprint["num_trainable"] == estimate_memory(name, "lora", device="cuda").num_trainable
    rows = examples(2)
    batch = make_batch([encode_example(row, loaded.tokenizer) for row in rows], pad_id=258, device="meta")
    gold = gold_mask([row.label_lines for row in rows], [row.buggy for row in rows], batch.line_ends.shape[1])
    loss = BugLoss(loaded.model, loaded.base, (98, 111), {"localise": 1.0})(batch, gold.to("meta"))
    assert loss.shape == (len(rows),) and loss.dtype == torch.float32
    loss.sum().backward()
    trained = [p for p in loaded.model.parameters() if p.requires_grad]
    assert len(trained) == 2 * blocks * len(LLAMA_LINEARS)
    assert all(p.grad is not None and p.grad.shape == p.shape for p in trained)


def test_the_torchtune_preset_has_torchtunes_adapters() -> None:
    preset = PRESETS["torchtune-8b"]
    plan = estimate_memory(LLAMA, preset["methods"][0], adapter=AdapterSettings(**preset["adapter"]), device="cuda")
    without_k = 8 * 32 * (4096 + 1024)
    assert plan.num_trainable == 2_621_440 * 8 - without_k


def test_full_fine_tuning_is_refused_on_one_80_gb_gpu_and_planned_in_shards_on_more() -> None:
    def plan(processes: int) -> estimate.MemoryEstimate:
        found = estimate_memory(LLAMA, "full", device="cuda", gradient_checkpointing=True, processes=processes)
        return replace(found, available=GPU_80GB)

    with pytest.raises(ModelDoesNotFitError, match=r"needs about 13\d\.\d GB .*qlora.*more GPUs"):
        require_fit(plan(1))
    for processes in (2, 4):
        require_fit(plan(processes))
        parts = dict(plan(processes).parts)
        assert parts["weights"] + parts["gradients"] + parts["optimiser"] == 16 * 8_030_261_248 / processes
        assert parts["gathered"] > 4 * 2 * 128_256 * 4096, "embedding and head are whole while they compute"
    assert plan(64).total > 4 * 8_030_261_248, "every process reads the whole model once"
    adapters = estimate_memory(LLAMA, "qlora", device="cuda", processes=4)
    assert adapters.total == estimate_memory(LLAMA, "qlora", device="cuda", processes=1).total, "replicas"


def test_a_run_prints_the_plan_and_refuses_before_anything_is_loaded(monkeypatch: pytest.MonkeyPatch) -> None:
    def never(*_: object, **__: object) -> None:
        raise AssertionError("something was fetched or loaded")

    monkeypatch.setattr(estimate, "_available", lambda device: 24e9)
    monkeypatch.setattr(fetching, "_from_hub", never)
    monkeypatch.setattr("transformers.AutoModelForCausalLM.from_pretrained", never)

    @contextmanager
    def phase(name: str) -> Iterator[object]:
        yield lambda done, total: None

    said = io.StringIO()
    recipe = load_recipe("llama3_8b", ["model.device=cuda"])
    with pytest.raises(ModelDoesNotFitError, match=r"'full' needs about .* and 24.0 GB are free"):
        prepare_model(recipe, phase, console=Console(file=said, width=200))
    lines = [line for line in said.getvalue().splitlines() if line.startswith("memory of")]
    assert len(lines) == 4 and all("free on the cuda: 24.0 GB" in line for line in lines)


# ------------------------------------------------------------------------------------------------------ tokenizer, GGUF


@pytest.mark.skipif("CHIRPBRIDGE_LLAMA3_TOKENIZER" not in os.environ, reason="set it to a Llama-3 tokenizer.json")
def test_the_real_vocabulary_crosses_the_link_in_17_bits_a_token() -> None:
    tokenizer = PreTrainedTokenizerFast(
        tokenizer_file=os.environ["CHIRPBRIDGE_LLAMA3_TOKENIZER"],
        bos_token="<|begin_of_text|>",
        eos_token="<|end_of_text|>",
    )
    assert len(tokenizer) == KNOWN_SHAPES[LLAMA]["vocab_size"]
    adapted = adapt_tokenizer(tokenizer)
    assert adapted.vocab_size == 128_256 and set(range(128_000, 128_256)) <= adapted.special_ids
    as_ids = as_bytes = 0
    for text in [pair.buggy for pair in minibugs.load()] + ["é😀\n", "x = '<|eot_id|>'\n", "\ufffd"]:
        source = encode_units(text, "token_ids", adapted)
        assert source.unit_bits == 17 and int(source.units.max()) < 128_000
        packed = pack_units(source.units, 17)
        assert len(packed) == -(-17 * len(source.units) // 8)
        units = unpack_units(packed, 17)[: len(source.units)]
        assert np.array_equal(units, source.units)
        present = np.ones(len(units), dtype=bool)
        assert decode_units(units, present, source, "token_ids", adapted).text == text
        as_ids, as_bytes = as_ids + len(packed), as_bytes + len(text.encode())
    print(f"{as_ids} bytes as token ids, {as_bytes} as UTF-8: {as_ids / as_bytes:.2f}")
    assert as_ids < as_bytes


def test_the_name_of_a_special_token_in_a_program_crosses_as_plain_text() -> None:
    """Read as the token, it would be taken out at the receiver: control tokens never reach a model."""
    tokenizer = byte_tokenizer()
    text = "stop = '<|eos|>'\n"
    for given in (tokenizer, tokenizer.backend_tokenizer):
        adapted = adapt_tokenizer(given)
        assert adapted.tokenize(text) == list(text.encode())
        assert 257 in adapted.special_ids
    assert tokenizer.encode(text, add_special_tokens=False) != list(text.encode()), "the caller's own is as it was"


def write_gguf(path: Path, model: LlamaForCausalLM, *, leave_out: str = "nothing") -> None:
    """The toy as a GGUF file, by the rules of its format: names, and the order of rotated dimensions."""
    gguf = pytest.importorskip("gguf")
    config = model.config
    writer = gguf.GGUFWriter(str(path), "llama")
    writer.add_context_length(config.max_position_embeddings)
    writer.add_embedding_length(config.hidden_size)
    writer.add_block_count(config.num_hidden_layers)
    writer.add_feed_forward_length(config.intermediate_size)
    writer.add_head_count(config.num_attention_heads)
    writer.add_head_count_kv(config.num_key_value_heads)
    writer.add_layer_norm_rms_eps(config.rms_norm_eps)
    writer.add_rope_dimension_count(config.hidden_size // config.num_attention_heads)
    writer.add_vocab_size(config.vocab_size)
    writer.add_tokenizer_model("gpt2")
    pieces = [piece for piece, _ in sorted(byte_tokenizer().get_vocab().items(), key=lambda item: item[1])]
    writer.add_token_list([*pieces, "<|endoftext|>"])
    writer.add_token_scores([0.0] * config.vocab_size)
    writer.add_bos_token_id(256)
    writer.add_eos_token_id(257)
    writer.add_pad_token_id(258)
    names = gguf.get_tensor_name_map(gguf.MODEL_ARCH.LLAMA, config.num_hidden_layers)
    for key, value in model.state_dict().items():
        if key == "lm_head.weight" or leave_out in key:  # the head is the embedding
            continue
        array = value.numpy()
        heads = {"q_proj": config.num_attention_heads, "k_proj": config.num_key_value_heads}.get(key.split(".")[-2])
        if heads:  # llama.cpp pairs the rotated dimensions in another order
            array = array.reshape(heads, 2, -1, array.shape[1]).swapaxes(1, 2).reshape(array.shape)
        writer.add_tensor(names.get_name(key, try_suffixes=(".weight",)), np.ascontiguousarray(array))
    writer.write_header_to_file()
    writer.write_kv_data_to_file()
    writer.write_tensors_to_file()
    writer.close()


def test_a_gguf_file_is_converted_and_computes_the_same(tmp_path: Path) -> None:
    model = toy_model(260)  # one more entry: the reader's default name for unknown text
    write_gguf(tmp_path / "toy.gguf", model)
    folder = fetch_model(str(tmp_path / "toy.gguf"), cache_dir=tmp_path / "cache")
    assert folder.parent == tmp_path / "cache" / "models"
    loaded = load_model(str(tmp_path / "toy.gguf"), cache_dir=tmp_path / "cache")
    assert loaded.fingerprint["architecture"] == "LlamaForCausalLM"
    found = loaded.model.state_dict()
    assert [name for name, value in model.state_dict().items() if not torch.equal(value, found[name])] == []
    ids = torch.tensor([[*b"def f(x):\n    return x\n"]])
    with torch.inference_mode():
        assert torch.allclose(loaded.model(ids).logits, model(ids).logits, atol=1e-5)
    assert loaded.tokenizer("a\n", add_special_tokens=False).input_ids == [97, 10]


def test_weights_that_are_missing_are_an_error_and_not_drawn_at_random(tmp_path: Path) -> None:
    write_gguf(tmp_path / "part.gguf", toy_model(260), leave_out="layers.1.mlp")
    with pytest.raises(ModelError, match=r"part.gguf lacks 3 weights .*model.layers.1.mlp"):
        fetch_model(str(tmp_path / "part.gguf"), cache_dir=tmp_path / "cache")
    assert list((tmp_path / "cache").rglob("*.safetensors")) == []
    model, folder = toy_model(259), tmp_path / "folder"
    folder.mkdir()
    weights = {key: value for key, value in model.state_dict().items() if key not in ("lm_head.weight",)}
    weights.pop("model.norm.weight")
    model.config.save_pretrained(folder)
    byte_tokenizer().save_pretrained(folder)
    save_file(weights, folder / "model.safetensors", metadata={"format": "pt"})
    with pytest.raises(ModelError, match=r"lacks 1 weights .*model.norm.weight"):
        load_model(folder)
