"""Base models that cannot be used: refused before any work, or at load, with one line that names the reason.

Each test makes a model of the kind in a temporary folder: a few thousand random weights, the library's own classes.
"""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
import torch
from safetensors.torch import load_file, save_file
from transformers import AutoConfig, AutoModelForCausalLM, BitsAndBytesConfig
from transformers.modeling_rope_utils import ROPE_INIT_FUNCTIONS

from llm_bridge.scoring.likelihood import score_texts
from llm_bridge.scoring.repair import GenerationSettings, generate_repairs
from llm_bridge.training.adapters import attach, load_trained, save_trained
from llm_bridge.training.architecture import decoder_blocks, meta_model
from llm_bridge.training.common import ModelError
from llm_bridge.training.estimate import estimate_memory
from llm_bridge.training.fetching import fetch_model, split_revision
from llm_bridge.training.gguf_files import llama3_factors
from llm_bridge.training.methods import AdapterSettings
from llm_bridge.training.model_checks import check_folder, safetensors_problem
from llm_bridge.training.models import load_model
from llm_bridge.training.toy import byte_tokenizer, toy_model

TEXT = "def f(x):\n    return x + 1\n"
SMALL = {
    "vocab_size": 259, "hidden_size": 32, "intermediate_size": 64, "num_hidden_layers": 2, "num_attention_heads": 4,
    "num_key_value_heads": 2, "bos_token_id": 256, "eos_token_id": 257, "pad_token_id": 258,
}  # fmt: skip


def folder_of(folder: Path, kind: str = "llama", **fields: object) -> Path:
    """A random model of one architecture, with the byte tokenizer."""
    torch.manual_seed(0)
    model = AutoModelForCausalLM.from_config(AutoConfig.for_model(kind, **{**SMALL, **fields}))
    with torch.no_grad():
        for parameter in model.parameters():  # so large that a bias or a cap shows
            parameter.copy_(torch.randn_like(parameter) * 0.3)
    model.save_pretrained(folder)
    byte_tokenizer().save_pretrained(folder)
    return folder


def edit_json(path: Path, **fields: object) -> None:
    content = json.loads(path.read_text()) if path.exists() else {}
    path.write_text(json.dumps({**content, **fields}))


# -------------------------------------------------------------------------------------------------------------- storage


def test_a_base_saved_in_4_bits_is_no_full_base(tmp_path: Path) -> None:
    """Otherwise LoRA, QLoRA and the teacher would be one model, and the fingerprint would say "full, float32"."""
    plain = folder_of(tmp_path / "plain")
    config = BitsAndBytesConfig(load_in_4bit=True, bnb_4bit_quant_type="nf4")
    packed = tmp_path / "packed"
    AutoModelForCausalLM.from_pretrained(plain, quantization_config=config).save_pretrained(packed)
    byte_tokenizer().save_pretrained(packed)
    with pytest.raises(ModelError, match=r"saved quantised \(bitsandbytes\): there is no full-precision base"):
        load_model(packed)
    for method in ("full", "lora", "zero-shot"):
        with pytest.raises(ModelError, match="saved quantised"):
            check_folder(packed, [method])
    with pytest.raises(ModelError, match="teacher of 'distil'"):
        check_folder(packed, ["qlora"], distils=True)
    check_folder(packed, ["qlora"])
    assert load_model(packed, storage="nf4").fingerprint["storage"] == "nf4"


@pytest.mark.parametrize("saved", [{"quant_method": "gptq", "bits": 4}, {"quant_method": "fp8"}])
def test_another_quantisation_is_refused_for_every_storage(tmp_path: Path, saved: dict[str, object]) -> None:
    folder = folder_of(tmp_path)
    edit_json(folder / "config.json", quantization_config=saved)
    for storage in ("full", "nf4"):
        with pytest.raises(ModelError, match=f"saved quantised .{saved['quant_method']}"):
            load_model(folder, storage=storage)


# -------------------------------------------------------------------------------------------------------------- numbers


@pytest.mark.parametrize("value", [float("nan"), float("inf")])
def test_a_weight_that_is_no_number_is_named(tmp_path: Path, value: float) -> None:
    folder = folder_of(tmp_path)
    weights = load_file(folder / "model.safetensors")
    weights["model.layers.1.mlp.up_proj.weight"][3, 5] = value
    save_file(weights, folder / "model.safetensors", metadata={"format": "pt"})
    with pytest.raises(ModelError, match=r"1 of the weights in model\.layers\.1\.mlp\.up_proj\.weight are not finite"):
        load_model(folder)


HEADS = {
    "phi": {},
    "gptj": {"n_embd": 32, "n_layer": 2, "n_head": 4, "rotary_dim": 4},
    "codegen": {"n_embd": 32, "n_layer": 2, "n_head": 4, "rotary_dim": 4},
    "recurrent_gemma": {"lru_width": 32, "attention_window_size": 16},
    "gemma2": {"head_dim": 8},
    "cohere": {},
    "granite": {"logits_scaling": 8.0},
}


@pytest.mark.parametrize("kind", HEADS)
def test_heads_with_a_bias_or_a_scale_are_refused_before_any_weight_is_read(tmp_path: Path, kind: str) -> None:
    folder = folder_of(tmp_path, kind, **HEADS[kind])
    with pytest.raises(ModelError, match=r"adds a bias to its logits|rescales its logits"):
        check_folder(folder, ["zero-shot"])
    with pytest.raises(ModelError, match=r"adds a bias to its logits|rescales its logits"):
        load_model(folder)


@pytest.mark.parametrize("kind", ["bloom", "mamba"])
def test_decoders_that_take_no_positions_are_refused(tmp_path: Path, kind: str) -> None:
    folder = folder_of(tmp_path, kind, n_layer=2, n_head=4)
    with pytest.raises(ModelError, match=r"takes no (attention_mask and no )?position_ids; it cannot be scored"):
        check_folder(folder, ["zero-shot"])


def test_any_other_head_is_found_by_comparing_logits(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    folder = folder_of(tmp_path)
    load_model(folder)
    from transformers import LlamaForCausalLM

    plain = LlamaForCausalLM.forward

    def capped(self: LlamaForCausalLM, *args: object, **options: object) -> object:
        output = plain(self, *args, **options)
        output.logits = torch.tanh(output.logits)
        return output

    monkeypatch.setattr(LlamaForCausalLM, "forward", capped)
    with pytest.raises(ModelError, match="does more with its hidden states than multiply them by its head"):
        load_model(folder)


# ---------------------------------------------------------------------------------------------------------------- files


def test_git_lfs_pointers_torn_weights_and_missing_parts_are_named_together(tmp_path: Path) -> None:
    folder = folder_of(tmp_path)
    (folder / "model.safetensors").rename(folder / "model-00001-of-00003.safetensors")
    pointer = folder / "model-00002-of-00003.safetensors"
    pointer.write_text("version https://git-lfs.github.com/spec/v1\noid sha256:0\nsize 9\n")
    torn = folder / "model-00001-of-00003.safetensors"
    torn.write_bytes(torn.read_bytes()[:-7])
    names = {f"w{number}": f"model-0000{number}-of-00003.safetensors" for number in (1, 2, 3)}
    (folder / "model.safetensors.index.json").write_text(json.dumps({"weight_map": names}))
    with pytest.raises(ModelError) as caught:
        check_folder(folder, ["full"])
    lines = str(caught.value).splitlines()
    assert len(lines) == 3
    assert "model-00003-of-00003.safetensors is missing" in lines[0]
    assert "model-00001-of-00003.safetensors is torn" in lines[1] and "delete it and fetch it again" in lines[1]
    assert "model-00002-of-00003.safetensors is a git-lfs pointer" in lines[2] and "git lfs pull" in lines[2]


@pytest.mark.parametrize("content", [b"", b"abc", b"\xff" * 64, (5).to_bytes(8, "little") + b"[1,2]", b"\0" * 16])
def test_what_is_no_safetensors_file_is_named(tmp_path: Path, content: bytes) -> None:
    path = tmp_path / "model.safetensors"
    path.write_bytes(content)
    assert "model.safetensors is " in str(safetensors_problem(path))


def test_no_tokenizer_and_no_weights_are_two_lines(tmp_path: Path) -> None:
    toy_model(259).config.save_pretrained(tmp_path)
    with pytest.raises(ModelError) as caught:
        check_folder(tmp_path, ["full"])
    assert len(str(caught.value).splitlines()) == 2
    assert "holds no weights" in str(caught.value) and "holds no readable tokenizer" in str(caught.value)


@pytest.mark.parametrize("device", ["mps", "xpu", "meta", "tpu"])
def test_a_device_that_is_neither_cpu_nor_cuda_is_refused(device: str) -> None:
    with pytest.raises(ModelError, match=rf"'device' must be cpu or cuda \(got '{device}'\)"):
        load_model("toy", device=device)


def test_code_of_the_repository_is_never_run_nor_asked_for(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    folder, witness = folder_of(tmp_path / "model"), tmp_path / "it_ran"
    (folder / "own.py").write_text(f"open({str(witness)!r}, 'w').close()\n")
    edit_json(
        folder / "config.json", model_type="own", auto_map={"AutoConfig": "own.C", "AutoModelForCausalLM": "own.M"}
    )
    monkeypatch.setattr("builtins.input", lambda *_: pytest.fail("asked on stdin"))
    for use in (lambda: load_model(folder), lambda: check_folder(folder), lambda: estimate_memory(str(folder), "full")):
        with pytest.raises(ModelError, match=r"needs Python code of its own \(own\.C, own\.M\), which is never run"):
            use()
    assert not witness.exists()


# ------------------------------------------------------------------------------------------------------- architectures

OTHERS = {
    "phi3": ({}, "o_proj, qkv_proj"),
    "gpt_neox": ({}, "query_key_value"),
    "falcon": ({}, "query_key_value"),
    "gpt2": ({"n_embd": 32, "n_layer": 2, "n_head": 4}, "some of: none"),
}


@pytest.mark.parametrize("kind", OTHERS)
def test_missing_adapter_targets_are_one_line_that_names_what_is_there(tmp_path: Path, kind: str) -> None:
    fields, known = OTHERS[kind]
    folder = folder_of(tmp_path, kind, **fields)
    check_folder(folder, ["zero-shot", "full"])
    with pytest.raises(ModelError, match="have no linear layer q_proj") as caught:
        check_folder(folder, ["lora"])
    assert known in str(caught.value) and "\n" not in str(caught.value)
    with pytest.raises(ModelError, match="have no linear layer q_proj"):
        attach(load_model(folder), "lora")
    assert estimate_memory(str(folder), "full", device="cpu").num_trainable > 0


@pytest.mark.parametrize("kind", ["gpt_neox", "falcon"])
def test_other_architectures_take_adapters_where_they_are_named(tmp_path: Path, kind: str) -> None:
    folder = folder_of(tmp_path, kind)
    settings = AdapterSettings(target_modules=("query_key_value", "dense"), rank=2, layers=(1,))
    loaded = attach(load_model(folder), "lora-manual", settings)
    assert loaded.fingerprint["layers"] == [1] and loaded.fingerprint["num_trainable"] > 0


def test_more_tokens_than_the_model_has_positions_are_refused(tmp_path: Path) -> None:
    folder = folder_of(tmp_path, max_position_embeddings=128)
    check_folder(folder, ["full"], max_tokens=128)
    with pytest.raises(ModelError, match=r"'max_tokens' must be at most the model's 128 positions \(got 1024\)"):
        check_folder(folder, ["full"], max_tokens=1024)


def test_blocks_are_found_under_any_name() -> None:
    for kind, name in (("llama", "layers"), ("gpt2", "h"), ("falcon", "h"), ("bloom", "h")):
        config = AutoConfig.for_model(kind, **SMALL, n_layer=2, n_head=4)
        found, blocks = decoder_blocks(meta_model(config))
        assert (found, len(blocks)) == (name, 2)


# ------------------------------------------------------------------------------------------------- identity, generation


def test_the_content_of_every_shard_counts_and_an_adapter_on_another_base_is_refused(tmp_path: Path) -> None:
    bases = []
    for number in (1, 2):
        folder = tmp_path / f"base{number}"
        torch.manual_seed(number)
        toy_model(259).save_pretrained(folder, max_shard_size="200KB")
        byte_tokenizer().save_pretrained(folder)
        assert len(list(folder.glob("*.safetensors"))) > 1
        bases.append(folder)
    sizes = [{path.name: path.stat().st_size for path in folder.glob("*.safetensors")} for folder in bases]
    assert sizes[0] == sizes[1], "the bases are told apart by content alone"
    first, second = (load_model(folder) for folder in bases)
    assert first.fingerprint["config_sha256"] == second.fingerprint["config_sha256"]
    assert first.fingerprint["weights_sha256"] != second.fingerprint["weights_sha256"]
    assert load_model(bases[0]).fingerprint["weights_sha256"] == first.fingerprint["weights_sha256"]
    saved = save_trained(attach(first, "lora"), tmp_path / "adapter")
    with pytest.raises(ModelError, match="was trained on another base: its weights_sha256"):
        load_trained(second, saved)
    load_trained(load_model(bases[0]), saved)


HABITS = {
    "repetition_penalty": 5.0, "no_repeat_ngram_size": 2, "num_beams": 4, "min_p": 0.9, "suppress_tokens": [97, 120],
    "do_sample": True, "temperature": 9.0, "top_k": 3, "max_length": 7,
}  # fmt: skip


@pytest.mark.parametrize("name", HABITS)
def test_candidates_do_not_depend_on_the_folders_generation_config(tmp_path: Path, name: str) -> None:
    folder = folder_of(tmp_path)
    settings = GenerationSettings(num_candidates=3, max_new_tokens=12)
    (folder / "generation_config.json").unlink(missing_ok=True)
    before = generate_repairs(load_model(folder), {TEXT: 1}, settings)
    edit_json(folder / "generation_config.json", **{name: HABITS[name]})
    assert generate_repairs(load_model(folder), {TEXT: 1}, settings) == before


def test_a_revision_is_part_of_the_name() -> None:
    assert split_revision("meta-llama/Llama-3.2-1B@4e20de3") == ("meta-llama/Llama-3.2-1B", "4e20de3")


# ----------------------------------------------------------------------------------------------------------------- GGUF


@pytest.mark.parametrize(("theta", "factor"), [(500_000.0, 8.0), (500_000.0, 32.0), (10_000.0, 8.0)])
def test_llama3_factors_are_those_of_the_library(theta: float, factor: float) -> None:
    config = AutoConfig.for_model("llama", hidden_size=128, num_attention_heads=2, head_dim=64)
    config.rope_parameters = {
        "rope_type": "llama3", "rope_theta": theta, "factor": factor, "low_freq_factor": 1.0, "high_freq_factor": 4.0,
        "original_max_position_embeddings": 8192,
    }  # fmt: skip
    scaled, _ = ROPE_INIT_FUNCTIONS["llama3"](config, torch.device("cpu"))
    plain = theta ** -(np.arange(32) / 32)
    assert llama3_factors(32, theta, factor) == pytest.approx(plain / scaled.numpy(), rel=1e-4)


def write_llama3_gguf(path: Path, model: torch.nn.Module, factors: np.ndarray | None, **fields: object) -> None:
    """A GGUF file with Llama 3's token names and, as llama.cpp writes it, the tensor ``rope_freqs.weight``."""
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
    writer.add_rope_freq_base(config.rope_parameters["rope_theta"])
    writer.add_vocab_size(config.vocab_size)
    for name, value in fields.items():
        writer.add_string(name.replace("__", "."), str(value))
    writer.add_tokenizer_model("gpt2")
    pieces = [piece for piece, _ in sorted(byte_tokenizer().get_vocab().items(), key=lambda item: item[1])][:256]
    writer.add_token_list([*pieces, "<|begin_of_text|>", "<|end_of_text|>", "<|eot_id|>", "<|finetune_right_pad_id|>"])
    writer.add_token_scores([0.0] * 260)
    writer.add_token_types([1] * 256 + [3] * 4)
    writer.add_bos_token_id(256)
    writer.add_eos_token_id(257)
    if factors is not None:
        writer.add_tensor("rope_freqs.weight", factors.astype(np.float32))
    names = gguf.get_tensor_name_map(gguf.MODEL_ARCH.LLAMA, config.num_hidden_layers)
    for key, value in model.state_dict().items():
        if key == "lm_head.weight":
            continue
        array = value.numpy()
        heads = {"q_proj": config.num_attention_heads, "k_proj": config.num_key_value_heads}.get(key.split(".")[-2])
        if heads:
            array = array.reshape(heads, 2, -1, array.shape[1]).swapaxes(1, 2).reshape(array.shape)
        writer.add_tensor(names.get_name(key, try_suffixes=(".weight",)), np.ascontiguousarray(array))
    writer.write_header_to_file()
    writer.write_kv_data_to_file()
    writer.write_tensors_to_file()
    writer.close()


def llama3_model() -> torch.nn.Module:
    """A tiny Llama 3.2: its rotary embedding is scaled by 32."""
    config = AutoConfig.for_model("llama", **{**SMALL, "vocab_size": 260}, tie_word_embeddings=True)
    config.rope_parameters = {
        "rope_type": "llama3", "rope_theta": 500_000.0, "factor": 32.0, "low_freq_factor": 1.0,
        "high_freq_factor": 4.0, "original_max_position_embeddings": 8192,
    }  # fmt: skip
    torch.manual_seed(3)
    model = AutoModelForCausalLM.from_config(config)
    with torch.no_grad():
        for parameter in model.parameters():
            parameter.copy_(torch.randn_like(parameter) * 0.3)
    return model.eval()


def test_a_llama_3_gguf_computes_what_the_original_does(tmp_path: Path) -> None:
    """The rotary factors are read, and no token is added that the embedding has no row for."""
    model = llama3_model()
    factors = 500_000.0 ** -(np.arange(4) / 4) / model.model.rotary_emb.inv_freq.numpy()
    assert factors.max() == pytest.approx(32.0, rel=1e-3)
    file = tmp_path / "llama3.gguf"
    write_llama3_gguf(file, model, factors)
    loaded = load_model(str(file), cache_dir=tmp_path / "cache")
    assert loaded.base.config.rope_parameters["rope_type"] == "llama3"
    assert (len(loaded.tokenizer), loaded.tokenizer.bos_token) == (260, "<|begin_of_text|>")
    ids = torch.tensor([[256, *(TEXT * 20).encode()]])
    with torch.inference_mode():
        own = -torch.log_softmax(model(ids).logits[0, :-1], dim=1).gather(1, ids[0, 1:, None]).sum()
    assert score_texts(loaded, [TEXT * 20])[TEXT * 20].sum_nll == pytest.approx(float(own), rel=1e-4)
    plan = estimate_memory(str(file), "qlora", device="cpu")
    assert plan.num_parameters == loaded.fingerprint["num_parameters"]


def test_rotary_factors_of_another_kind_are_refused_by_name(tmp_path: Path) -> None:
    write_llama3_gguf(tmp_path / "odd.gguf", llama3_model(), np.array([1.0, 3.0, 2.0, 8.0]))
    with pytest.raises(ModelError, match=r"odd\.gguf holds rope_freqs\.weight"):
        fetch_model(str(tmp_path / "odd.gguf"), cache_dir=tmp_path / "cache")
    write_llama3_gguf(tmp_path / "yarn.gguf", llama3_model(), None, llama__rope__scaling__type="yarn")
    with pytest.raises(ModelError, match=r"yarn\.gguf scales its rotary embedding \(yarn\)"):
        fetch_model(str(tmp_path / "yarn.gguf"), cache_dir=tmp_path / "cache")
    (tmp_path / "torn.gguf").write_bytes((tmp_path / "odd.gguf").read_bytes()[:700])
    with pytest.raises(ModelError, match=r"torn\.gguf is no whole GGUF file"):
        fetch_model(str(tmp_path / "torn.gguf"), cache_dir=tmp_path / "cache")
