"""The dress rehearsal: random files in a model's shape, memory by phase, and a method from loading to resuming."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
import torch
from rich.console import Console
from safetensors import safe_open
from transformers import AutoConfig, AutoModelForCausalLM, AutoTokenizer

from llm_bridge.study.recipe_files import load_recipe
from llm_bridge.study.rehearsal import (
    RehearsalJob,
    in_a_process,
    rehearse_method,
    rehearse_recipe,
    render_rehearsal,
    write_rehearsals,
)
from llm_bridge.training.common import ModelError
from llm_bridge.training.memory_watch import OVER_LIMIT, STATUS
from llm_bridge.training.models import load_tokenizer
from llm_bridge.training.random_model import write_random_model
from llm_bridge.training.toy import byte_tokenizer

SHAPE = {
    "model_type": "llama", "vocab_size": 1000, "hidden_size": 64, "intermediate_size": 128, "num_hidden_layers": 2,
    "num_attention_heads": 4, "num_key_value_heads": 2, "max_position_embeddings": 512,
    "architectures": ["LlamaForCausalLM"],
}  # fmt: skip
CHANGES = (
    "training.methods=['rules', 'zero-shot', 'qlora']", "training.objectives={line=1.0, likelihood=0.3}",
    "training.batch_programs=2", "training.max_tokens=64",
)  # fmt: skip


def shape_folder(folder: Path, **fields: Any) -> Path:
    """A configuration alone, as a user has it who has no weights yet."""
    folder.mkdir()
    (folder / "config.json").write_text(json.dumps({**SHAPE, **fields}))
    return folder


@pytest.mark.parametrize("tied", [False, True])
def test_random_files_are_a_whole_model_of_the_shape(tied: bool, tmp_path: Path) -> None:
    shape, folder = shape_folder(tmp_path / "shape", tie_word_embeddings=tied), tmp_path / "model"
    folder.mkdir()
    steps: list[tuple[int, int]] = []
    kind = write_random_model(str(shape), folder, shard_bytes=100_000, progress=lambda *done: steps.append(done))
    assert kind == "byte stand-in, 1,000 entries"
    files = sorted(folder.glob("*.safetensors"))
    assert len(files) > 2 and steps[-1] == (len(files), len(files))
    model, info = AutoModelForCausalLM.from_pretrained(folder, output_loading_info=True, dtype=torch.float32)
    assert not info["missing_keys"] and not info["unexpected_keys"] and not info["mismatched_keys"]
    own = AutoModelForCausalLM.from_config(AutoConfig.for_model(**SHAPE, tie_word_embeddings=tied))
    assert model.num_parameters() == own.num_parameters()
    assert sum(path.stat().st_size for path in files) == pytest.approx(2 * own.num_parameters(), rel=0.05)
    weights = model.get_input_embeddings().weight
    assert (
        abs(float(weights.detach().std()) / 0.02 - 1) < 6 * (2 * weights.numel()) ** -0.5
    )  # six standard errors, and bfloat16
    assert float(model.model.norm.weight.detach().min()) == 1.0
    with safe_open(files[0], "pt") as file:
        assert {file.get_tensor(name).dtype for name in file.keys()} == {torch.bfloat16}
    if not tied:
        assert all(path.stat().st_size < 2 * 1000 * 64 + 2000 for path in files), (
            "a shard is one matrix, or below its bound"
        )


def test_the_stand_in_has_an_entry_for_each_row_and_reads_bytes(tmp_path: Path) -> None:
    tokenizer = byte_tokenizer(5000)
    assert len(tokenizer) == 5000 and tokenizer.decode(
        tokenizer("é <|bos|>\n", split_special_tokens=True).input_ids
    ) == ("é <|bos|>\n")
    assert [tokenizer.bos_token_id, tokenizer.eos_token_id, tokenizer.pad_token_id] == [256, 257, 258]
    shape = shape_folder(tmp_path / "shape")
    byte_tokenizer(300).save_pretrained(shape)
    (tmp_path / "model").mkdir()
    assert write_random_model(str(shape), tmp_path / "model") == "its own, 300 entries"
    assert len(AutoTokenizer.from_pretrained(tmp_path / "model")) == len(load_tokenizer(shape)) == 300


@pytest.mark.parametrize(
    ("fields", "options", "message"),
    [
        ({}, {"max_disk": 1e5}, r"take 0.0 GB of disk, and 0.0 GB may be used"),
        ({"vocab_size": 200}, {}, r"a vocabulary of at least 259 \(got 200"),
        ({}, {"tokenizer": "/no/such"}, "holds no readable tokenizer"),
    ],
)
def test_what_cannot_be_written_is_refused(
    fields: dict[str, Any], options: dict[str, Any], message: str, tmp_path: Path
) -> None:
    shape = shape_folder(tmp_path / "shape", **fields)
    (tmp_path / "model").mkdir()
    with pytest.raises(ModelError, match=message):
        write_random_model(str(shape), tmp_path / "model", **options)
    assert not list((tmp_path / "model").glob("*.safetensors"))


@pytest.mark.skipif(not STATUS.exists(), reason="resident anonymous memory is told by Linux alone")
def test_each_phase_has_its_own_peak() -> None:
    """In a process of its own: what other tests have freed would be taken again."""
    size = 200_000_000
    program = (
        "import time, torch\n"
        "from llm_bridge.training.memory_watch import MemoryWatch\n"
        "with MemoryWatch('cpu', interval_s=0.01) as watch:\n"
        "    with watch.phase('small'):\n"
        "        pass\n"
        "    with watch.phase('large'):\n"
        f"        filled = torch.ones({size} // 4)\n"
        "        time.sleep(0.3)\n"
        "        del filled\n"
        "    with watch.phase('small again'):\n"
        "        pass\n"
        "print(*(phase.peak_bytes for phase in watch.phases), watch.peak)\n"
    )
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, timeout=120)
    small, large, again, peak = map(float, done.stdout.split())
    assert large - small > 0.9 * size and again - small < 0.1 * size and peak == large


@pytest.mark.skipif(not STATUS.exists(), reason="resident anonymous memory is told by Linux alone")
def test_a_process_that_passes_its_limit_ends() -> None:
    program = (
        "from llm_bridge.training.memory_watch import MemoryWatch\n"
        "with MemoryWatch('cpu', limit=2e8) as watch, watch.phase('all'):\n"
        "    rows = []\n"
        "    while True:\n"
        "        rows.append(bytearray(10_000_000))\n"
    )
    ended = subprocess.run([sys.executable, "-c", program], check=False, timeout=60)
    assert ended.returncode == OVER_LIMIT


def test_a_rehearsal_goes_from_random_files_to_the_same_scores(tmp_path: Path) -> None:
    shape = shape_folder(tmp_path / "shape")
    recipe = load_recipe("toy", [f"model.name={shape}", *CHANGES])
    console = Console(record=True, width=120)
    records = rehearse_recipe(recipe, console=console, methods=["qlora"], folder=tmp_path, max_disk=1e9)
    (record,) = records
    assert record["status"] == "finished" and record["settings"]["training"]["steps"] == 2
    assert (record["resumed_at"], record["steps"], record["training_status"]) == (1, 2, "finished")
    assert record["same_scores"] and record["train_tokens"] == 2 * 2 * 2 * 64
    assert len(record["losses"]) == 2 and all(loss > 0 for loss in record["losses"]), "there is something to learn"
    assert record["num_trainable"] == 2 * 8 * (2 * 128 + 2 * 96 + 3 * 192)  # rank 8 on seven matrices of two blocks
    assert record["batch_tokens"] == 2 * 64 and record["planned_bytes"] == sum(record["planned_parts"].values())
    names = [phase["name"] for phase in record["phases"]]
    assert names[:4] == ["load", "attach", "two steps, the second lost", "resume: the second step"]
    if STATUS.exists():
        assert record["peak_bytes"] == max(phase["peak_bytes"] for phase in record["phases"]) > 1e8
    assert not list(tmp_path.glob("rehearsal-*")), "the weights are deleted"
    assert "never of the model" in console.export_text()
    for _ in range(2):
        write_rehearsals(records, tmp_path / "out.json")
    kept = json.loads((tmp_path / "out.json").read_text())["rehearsals"]
    assert len(kept) == 1 and kept[0]["provenance"]["versions"]["torch"] and kept[0]["shape"]["vocab_size"] == 1000


def test_a_rehearsal_of_full_fine_tuning_reads_the_whole_model_back_with_the_same_scores(tmp_path: Path) -> None:
    """To the last bit, on a CPU too, where models are loaded with another attention than the library's default."""
    shape, place = shape_folder(tmp_path / "shape"), tmp_path / "not" / "there"
    recipe = load_recipe("toy", [f"model.name={shape}", *CHANGES[1:], "training.methods=['full']"])
    (record,) = rehearse_recipe(recipe, console=Console(quiet=True), folder=place, max_disk=1e9)
    assert record["status"] == "finished" and record["same_scores"]
    assert record["num_trainable"] == record["num_parameters"] and place.is_dir()


def test_what_does_not_fit_is_a_result_and_is_not_begun(tmp_path: Path) -> None:
    shape = shape_folder(tmp_path / "shape")
    model = tmp_path / "model"
    model.mkdir()
    write_random_model(str(shape), model)
    job = RehearsalJob(
        model=str(shape), folder=str(model), method="full", device="cpu", compute=None, adapter={}, memory=1e8,
        training={"learning_rate": 1e-5, "batch_programs": 1, "objectives": {"line": 1.0},
                  "gradient_checkpointing": True, "steps": 2}, result=str(tmp_path / "record.json"),
    )  # fmt: skip
    rehearse_method(job)
    record = json.loads((tmp_path / "record.json").read_text())
    assert record["status"] == "failed: it is planned to take 0.6 GB, more than 0.1 GB"
    assert record["phases"] == [] and record["peak_bytes"] is None and record["planned_bytes"] > 6e8


def test_a_method_that_the_recipe_does_not_list_is_refused(tmp_path: Path) -> None:
    recipe = load_recipe("toy", [f"model.name={shape_folder(tmp_path / 'shape')}", *CHANGES])
    with pytest.raises(ValueError, match=r"'--method' must be one of the recipe's, zero-shot, qlora \(got 'full'\)"):
        rehearse_recipe(recipe, console=Console(), methods=["full"], folder=tmp_path)


def test_a_child_that_ends_without_a_record_is_a_result_too(tmp_path: Path) -> None:
    job = RehearsalJob(
        model="toy", folder="toy", method="no-such", device="cpu", compute=None, adapter={}, training={}, memory=None,
        result=str(tmp_path / "record.json"),
    )  # fmt: skip
    record = in_a_process(job)
    assert record["status"] == "failed (exit status 1)"
    assert render_rehearsal({"model": "toy", **record}) == "toy, method no-such: failed (exit status 1)"


def test_what_a_run_would_refuse_is_not_rehearsed(tmp_path: Path) -> None:
    """RoBERTa's shape is known: nothing is fetched or written before its tasks are refused."""
    recipe = load_recipe("toy", ["model.name=FacebookAI/roberta-base", "training.methods=['full']"])
    with pytest.raises(ModelError, match=r"an encoder \(roberta\) has no likelihoods"):
        rehearse_recipe(recipe, console=Console(), folder=tmp_path)
    assert not list(tmp_path.iterdir())
