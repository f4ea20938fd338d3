"""Layer-wise adapters on the architectures of arXiv 2602.05988: tiny random models of every one, and the full shapes.

Counts come from publications and closed forms: RoBERTa-base with adapters of rank 8 on query and value trains 0.3 M
numbers (Hu et al., arXiv 2106.09685, Table 2); of rank 128 on seven linear layers Llama-2-7B trains 320 M (Meng et al.,
PiSSA, arXiv 2404.02948, Table 1, which has Mistral and Gemma at rank 64: 168 M and 200 M).
"""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from training_texts import examples
from transformers import (
    AutoConfig,
    AutoModelForCausalLM,
    AutoModelForSequenceClassification,
    LlavaForConditionalGeneration,
    PreTrainedModel,
    RobertaForMaskedLM,
)

from llm_bridge.report import write_report
from llm_bridge.run import run_recipe
from llm_bridge.scoring.likelihood import score_texts
from llm_bridge.study.recipe_files import load_recipe
from llm_bridge.training.adapter_modules import adapted_layers
from llm_bridge.training.adapters import attach, load_trained, save_trained
from llm_bridge.training.architecture import decoder_blocks, meta_model, read_config
from llm_bridge.training.common import ModelError
from llm_bridge.training.estimate import KNOWN_SHAPES, config_of, estimate_memory
from llm_bridge.training.fetching import fetch_model
from llm_bridge.training.finetune import TrainSettings, finetune
from llm_bridge.training.layer_selection import block_states, select_layers
from llm_bridge.training.methods import PRESETS, AdapterSettings
from llm_bridge.training.models import load_model
from llm_bridge.training.optimisation import learning_rate_factor
from llm_bridge.training.toy import byte_tokenizer

ROWS = examples(8)
TEXTS = [row.text for row in ROWS]
VOCABULARY = 259
SMALL = {
    "vocab_size": VOCABULARY, "hidden_size": 32, "intermediate_size": 64, "num_hidden_layers": 4,
    "num_attention_heads": 4, "bos_token_id": 256, "eos_token_id": 257, "pad_token_id": 258,
}  # fmt: skip
DECODER = {**SMALL, "num_key_value_heads": 2, "max_position_embeddings": 512}
DEBERTA = {
    name: value for name, value in KNOWN_SHAPES["microsoft/deberta-v3-base"].items() if name not in SMALL
} | SMALL  # fmt: skip
CONFIGS: dict[str, dict[str, Any]] = {
    "roberta-base": {"model_type": "roberta", **SMALL, "max_position_embeddings": 259 + 512, "type_vocab_size": 1},
    "deberta-v3-base": DEBERTA,
    "llama-2-7b": {"model_type": "llama", **DECODER},
    "mistral-7b": {"model_type": "mistral", **DECODER},
    "gemma-7b": {"model_type": "gemma", **DECODER, "head_dim": 16},
    "llava-1.5-7b": {
        "model_type": "llava",
        "text_config": {"model_type": "llama", **DECODER},
        "vision_config": {
            "model_type": "clip_vision_model", "hidden_size": 16, "intermediate_size": 32, "num_hidden_layers": 1,
            "num_attention_heads": 2, "image_size": 16, "patch_size": 8, "projection_dim": 16,
        },
        "image_token_index": 250,
    },
}  # fmt: skip
ENCODERS = ("roberta-base", "deberta-v3-base")
FULL = {
    "roberta-base": "FacebookAI/roberta-base",
    "deberta-v3-base": "microsoft/deberta-v3-base",
    "llama-2-7b": "meta-llama/Llama-2-7b-hf",
    "mistral-7b": "mistralai/Mistral-7B-v0.1",
    "gemma-7b": "google/gemma-7b",
    "llava-1.5-7b": "llava-hf/llava-1.5-7b-hf",
}


def written(name: str, folder: Path) -> tuple[Path, PreTrainedModel]:
    """A tiny random model of the architecture, as its publisher's files lie, and the model itself."""
    config = AutoConfig.for_model(**CONFIGS[name])
    torch.manual_seed(0)
    if name == "llava-1.5-7b":
        model: PreTrainedModel = LlavaForConditionalGeneration(config)
    elif name == "roberta-base":
        model = RobertaForMaskedLM(config)  # as published: without a classification head
    else:
        model = (AutoModelForSequenceClassification if name in ENCODERS else AutoModelForCausalLM).from_config(config)
    model.eval().save_pretrained(folder)
    tokenizer = byte_tokenizer()
    if name in ENCODERS:
        tokenizer.cls_token, tokenizer.sep_token = "<|bos|>", "<|eos|>"
    tokenizer.save_pretrained(folder)
    return folder, model


def adapter_of(name: str, **fields: Any) -> AdapterSettings:
    """The preset's adapter, small."""
    return AdapterSettings(
        **{**PRESETS[f"layerwise-{name}"]["adapter"], "rank": 2, "alpha": 2.0, "num_texts": 16, **fields}
    )


@pytest.mark.parametrize("name", CONFIGS)
def test_half_of_the_layers_by_cka_on_every_architecture(name: str, tmp_path: Path) -> None:
    """Scores, adapters on exactly the chosen layers, a training step, and the same verdicts from the saved adapter."""
    folder, _ = written(name, tmp_path / "base")
    loaded = attach(load_model(str(folder), device="cpu"), "lora-cka", adapter_of(name), texts=TEXTS)
    layers, scores = loaded.fingerprint["layers"], loaded.fingerprint["layer_scores"]
    assert len(layers) == 2 and len(scores["scores"]) == 4
    assert scores["details"]["position"] == ("first" if name in ENCODERS else "last")
    assert scores["excluded"] == ((0,) if name in ENCODERS else ()) and (name not in ENCODERS or 0 not in layers)
    per_block = {"roberta-base": 2, "deberta-v3-base": 6}.get(name, 7)
    pattern, _blocks = decoder_blocks(loaded.base)
    assert adapted_layers(loaded.model, pattern) == dict.fromkeys(layers, per_block)
    trained = {n: p.detach().clone() for n, p in loaded.model.named_parameters() if p.requires_grad}
    assert any("classifier" in n for n in trained) == (name in ENCODERS)
    objectives = {"detect": 1.0} if name in ENCODERS else {"line": 1.0}
    settings = TrainSettings(learning_rate=1e-2, steps=2, batch_programs=2, objectives=objectives)
    record = finetune(loaded, ROWS, settings)
    assert record.status == "finished" and record.losses[0] > 0
    moved = [n for n, p in loaded.model.named_parameters() if p.requires_grad and not torch.equal(p, trained[n])]
    assert moved and all("lora_" in n or "classifier" in n or "pooler" in n for n in moved)
    before = score_texts(loaded, TEXTS[:4])
    save_trained(loaded, tmp_path / "adapter")
    again = load_trained(load_model(str(folder), device="cpu"), tmp_path / "adapter")
    assert score_texts(again, TEXTS[:4]) == before


@pytest.mark.parametrize("name", ENCODERS)
def test_an_encoders_verdict_and_states_are_those_of_the_library(name: str, tmp_path: Path) -> None:
    folder, _ = written(name, tmp_path / "base")
    loaded = load_model(str(folder), device="cpu")
    found = score_texts(loaded, TEXTS)
    states = block_states(loaded, TEXTS[:2], position="first")
    for index, text in enumerate(TEXTS[:2]):
        ids = torch.tensor([[256, *text.encode(), 257]])
        with torch.inference_mode():
            out = loaded.model(ids, output_hidden_states=True)
        assert found[text].program_verdict == pytest.approx(float(out.logits[0, 1] - out.logits[0, 0]), abs=1e-5)
        for level in range(5):  # no final norm: every hidden state is a block's own
            assert np.allclose(states[level][index], out.hidden_states[level][0, 0].numpy(), atol=1e-5)
    again = load_model(str(folder), device="cpu")
    assert score_texts(again, TEXTS) == found, "the head is drawn by a seed"


def test_the_class_token_is_constant_before_the_first_block_which_is_left_out(tmp_path: Path) -> None:
    loaded = load_model(str(written("roberta-base", tmp_path / "base")[0]), device="cpu")
    automatic = select_layers("cka", loaded, TEXTS, position="first", exclude_first="auto")
    assert automatic.excluded == (0,) and automatic.scores is not None and automatic.scores[0] == 1.0


def test_the_language_model_is_taken_out_of_llava(tmp_path: Path) -> None:
    folder, whole = written("llava-1.5-7b", tmp_path / "base")
    loaded = load_model(str(folder), device="cpu")
    assert loaded.fingerprint["architecture"] == "LlamaForCausalLM" and read_config(folder).model_type == "llama"
    ids = torch.tensor([[256, *b"return x\n"]])
    with torch.inference_mode():
        assert torch.allclose(loaded.model(ids).logits, whole(input_ids=ids).logits, atol=1e-5)


@pytest.mark.parametrize("width", [512, 513])
def test_robertas_positions_begin_behind_its_padding_token(width: int, tmp_path: Path) -> None:
    loaded = load_model(str(written("roberta-base", tmp_path / "base")[0]), device="cpu")
    assert loaded.limit(None) == loaded.limit(width) == 512
    assert score_texts(loaded, ["x" * 600])["x" * 600].truncated
    assert config_of(FULL["roberta-base"]).max_position_embeddings == 514


@pytest.mark.parametrize(
    ("name", "count", "half"),
    [
        ("roberta-base", 124_647_170, 12 * 2 * 8 * (768 + 768) // 2),
        ("deberta-v3-base", 184_423_682, 12 * 8 * (4 * 1536 + 2 * (768 + 3072)) // 2),
        ("llama-2-7b", 6_738_415_616, 319_815_680 // 2),
        ("mistral-7b", 7_241_732_096, 335_544_320 // 2),
        ("gemma-7b", 8_537_680_896, 400_031_744 // 2),
        ("llava-1.5-7b", 6_738_415_616 + 2 * 64 * 4096, 319_815_680 // 2),
    ],
)
def test_the_full_size_is_planned_without_a_weight(name: str, count: int, half: int) -> None:
    preset = PRESETS[f"layerwise-{name}"]
    adapter = AdapterSettings(**preset["adapter"])
    options = {"adapter": adapter, "objectives": preset["training"].get("objectives", {"line": 1.0}), "device": "cuda"}
    chosen, every = (estimate_memory(FULL[name], method, **options) for method in ("lora-cka", "lora"))
    assert chosen.num_parameters == count
    head = 590_592 + 1_538 if name in ENCODERS else 0
    assert chosen.num_trainable == half + head and every.num_trainable == 2 * half + head
    assert every.total > chosen.total > dict(chosen.parts)["weights"] == 2 * count
    assert meta_model(config_of(FULL[name])).num_parameters() == count


TINY_RUN = (
    "training.methods=['lora-cka', 'lora']", "training.steps=2", "corpus.limit=4", "score.bootstrap=100",
    "radio.corrupted_split=none", "corpus.train_pairs=8", "corpus.validation_pairs=4",
)  # fmt: skip


def test_a_report_shows_f1_of_half_the_layers_beside_all(tmp_path: Path) -> None:
    folder, _ = written("roberta-base", tmp_path / "base")
    changes = [*TINY_RUN, f"model.name={folder}", "training.preset=layerwise-roberta-base", "score.tasks=['detect']"]
    run_recipe(load_recipe("toy", changes), tmp_path / "run")
    page = write_report(tmp_path / "run").read_text()
    rows = [line.split(",") for line in (tmp_path / "run/results.csv").read_text().splitlines()]
    table = [dict(zip(rows[0], row, strict=True)) for row in rows[1:]]
    assert {(row["method"], row["task"]) for row in table} == {("lora-cka", "detect"), ("lora", "detect")}
    assert all(0 <= float(row["f1"]) <= 1 for row in table)
    head = 32 * 32 + 32 + 2 * 32 + 2
    trained = {"lora-cka": 2 * 2 * 8 * (32 + 32) + head, "lora": 4 * 2 * 8 * (32 + 32) + head}
    found = [json.loads(p.read_text())["learner"]["fingerprint"] for p in (tmp_path / "run").glob("*/provenance.json")]
    assert {row["method"]: row["num_trainable"] for row in found} == trained
    assert f"LoRA {trained['lora']:,} in blocks 0, 1, 2, 3" in page and f"LoRA (CKA) {trained['lora-cka']:,} in" in page


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ("score.tasks=['localise', 'detect']", r"'score.tasks' can be detect alone \(got localise\)"),
        ("score.tasks=['detect', 'paired', 'repair']", r"\(got paired, repair\)"),
        ("training.preset=layerwise-paper", r"must be {detect = 1.0} alone \(got also distil, line\)"),
        ("training.methods=['lora-cka', 'qlora']", "is not stored in 4 bits: no method qlora"),
        ("training.methods=['lora-cka', 'lora-fisher']", "choose layers by cka"),
    ],
)
@pytest.mark.parametrize("place", ["folder", "hub"])
def test_an_encoder_with_a_causal_task_is_refused_before_any_work(
    change: str, message: str, place: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("llm_bridge.study.preflight.check_isolation", lambda recipe: None)
    monkeypatch.setattr("llm_bridge.run.check_isolation", lambda recipe: None)
    name = str(written("roberta-base", tmp_path / "base")[0]) if place == "folder" else FULL["roberta-base"]
    changes = [
        *TINY_RUN,
        f"model.name={name}",
        "training.preset=layerwise-roberta-base",
        "score.tasks=['detect']",
        change,
    ]
    with pytest.raises(ModelError, match=message):
        run_recipe(load_recipe("toy", changes), tmp_path / "run")
    assert not list((tmp_path / "run").glob("cache/*"))


def test_the_encoders_schedule_falls_in_a_straight_line_to_zero() -> None:
    factor = learning_rate_factor(TrainSettings(learning_rate=1.0, steps=12, warmup_steps=2, schedule="linear"))
    assert [factor(step) for step in (0, 1, 2, 7, 12)] == pytest.approx([1 / 3, 2 / 3, 1.0, 0.5, 0.0])


def test_a_hub_repository_without_safetensors_is_fetched_with_its_older_files(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """As microsoft/deberta-v3-base is: ``pytorch_model.bin`` alone."""
    asked: list[list[str]] = []

    def snapshot(hub_id: str, *, revision: str | None, allow_patterns: list[str], **_: object) -> str:
        asked.append(allow_patterns)
        (tmp_path / "config.json").write_text("{}")
        return str(tmp_path)

    monkeypatch.setattr("huggingface_hub.snapshot_download", snapshot)
    assert fetch_model("microsoft/deberta-v3-base") == tmp_path
    assert "pytorch_model*.bin" not in asked[0] and "pytorch_model*.bin" in asked[1]
    asked.clear()
    (tmp_path / "model.safetensors").touch()
    assert fetch_model("microsoft/deberta-v3-base") == tmp_path and len(asked) == 1
