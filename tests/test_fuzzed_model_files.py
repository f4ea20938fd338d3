"""Files of training are not believed (`fuzzing`): teachers, checkpoints, adapters and their records, GGUF files.

Where a file has checksums, tensors come back as they were written, or not at all: torch itself reads a checkpoint in
which a bit has changed without a word.
"""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from fuzzing import BY_DEFAULT, IN_ALL, Reader, fuzz

from llm_bridge.files import StoreError
from llm_bridge.study.federated import factors_of, read_factors, write_factors
from llm_bridge.training.adapters import RECORD_FILE, _read_record, attach
from llm_bridge.training.common import ModelError, load_saved
from llm_bridge.training.distillation import load_teacher, predict, save_teacher
from llm_bridge.training.examples import Example
from llm_bridge.training.finetune import CHECKPOINT_FILE, CheckpointError, TrainSettings, _Run, _trainable, finetune
from llm_bridge.training.gguf_files import read_header
from llm_bridge.training.methods import AdapterSettings
from llm_bridge.training.models import load_model

torch.set_num_threads(1)  # small tensors


def write_gguf(path: Path) -> None:
    """The fields and tensors of a Llama of one block that our own reading looks at."""
    gguf = pytest.importorskip("gguf")
    writer = gguf.GGUFWriter(str(path), "llama")
    writer.add_context_length(64)
    writer.add_embedding_length(8)
    writer.add_block_count(1)
    writer.add_feed_forward_length(16)
    writer.add_head_count(2)
    writer.add_rope_freq_base(10_000.0)
    writer.add_vocab_size(4)
    writer.add_tokenizer_model("gpt2")
    writer.add_token_list(["a", "b", "c", "d"])
    writer.add_bos_token_id(2)
    for name, shape in (
        ("token_embd.weight", (4, 8)),
        ("blk.0.ffn_gate.weight", (16, 8)),
        ("output_norm.weight", (8,)),
    ):
        writer.add_tensor(name, np.zeros(shape, np.float32))
    writer.write_header_to_file()
    writer.write_kv_data_to_file()
    writer.write_tensors_to_file()
    writer.close()


def _readers(folder: Path) -> list[Reader]:
    settings = AdapterSettings(rank=1, target_modules=("q_proj",), layers=(0,))
    loaded = attach(load_model("toy"), "lora", settings)
    save_teacher(predict(loaded, ["a = 1\n"]), folder / "teacher.pt")
    examples = [Example(text="a = 1\nb = 2\n", label_lines=(0,), buggy=True, item_id="x")]
    training = TrainSettings(learning_rate=1e-3, steps=1, objectives={"line": 1.0})
    finetune(loaded, examples, training, checkpoint_dir=folder)
    write_factors(folder / "factors.safetensors", factors_of(loaded))
    write_gguf(folder / "model.gguf")
    record = {
        "name": "toy",
        "method": "lora",
        "storage": "full",
        "seed": 0,
        "weights_sha256": "a",
        "config_sha256": "b",
    }

    def teacher(path: Path) -> Any:
        return {text: (rows.ids.tolist(), rows.log_p.tolist()) for text, rows in load_teacher(path).predictions.items()}

    def checkpoint(path: Path) -> Any:
        run = _Run(loaded, _trainable(loaded), examples, [], None, training, None)
        run.file = path
        run.resume()
        weights = {name: value.tolist() for name, value in run._weights().items()}
        return {**weights, "step": run.step, "losses": run.losses}

    def factors(path: Path) -> Any:
        a, b, _ = read_factors(path)
        return {f"{which}{layer}": x.tolist() for which, some in (("a", a), ("b", b)) for layer, x in some.items()}

    def trained(path: Path) -> Any:
        path.replace(path.parent / RECORD_FILE)
        found = _read_record(path.parent)
        return found["weights_sha256"].encode("utf-8", "surrogatepass"), found["name"], found.get("seed")

    return [
        Reader("teacher", (folder / "teacher.pt").read_bytes(), teacher, (ModelError,), kind="bytes", protected=True),
        Reader("checkpoint", (folder / CHECKPOINT_FILE).read_bytes(), checkpoint, (CheckpointError,), kind="bytes",
               protected=True),
        Reader("factors", (folder / "factors.safetensors").read_bytes(), factors, (StoreError,), kind="bytes",
               protected=True),
        Reader("record of an adapter", json.dumps(record).encode(), trained, (ModelError,)),
        Reader("GGUF", (folder / "model.gguf").read_bytes(), lambda path: read_header(path)[1], (ModelError,),
               kind="bytes"),
    ]  # fmt: skip


NAMES = ("teacher", "checkpoint", "factors", "record of an adapter", "GGUF")


@pytest.fixture(scope="module")
def readers(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Reader]:
    found = {reader.name: reader for reader in _readers(tmp_path_factory.mktemp("whole"))}
    assert tuple(found) == NAMES
    return found


def test_a_changed_bit_is_read_by_torch_and_refused_by_us(tmp_path: Path) -> None:
    path = tmp_path / "x.pt"
    torch.save({"a": torch.arange(100.0)}, path)
    content = bytearray(path.read_bytes())
    content[content.find(torch.arange(100.0).numpy().tobytes()) + 203] ^= 1
    path.write_bytes(content)
    assert not torch.equal(torch.load(path)["a"], torch.arange(100.0))
    with pytest.raises(ValueError, match=r"the checksum of its part .*data/0' is wrong"):
        load_saved(path)


@pytest.mark.parametrize("name", NAMES)
def test_a_damaged_file_is_read_rightly_or_refused(name: str, readers: dict[str, Reader], tmp_path: Path) -> None:
    fuzz(readers[name], tmp_path / "box", BY_DEFAULT)


@pytest.mark.slow
@pytest.mark.timeout(7200)
@pytest.mark.parametrize("name", NAMES)
def test_a_hundred_thousand_damaged_files(name: str, readers: dict[str, Reader], tmp_path: Path) -> None:
    fuzz(readers[name], tmp_path / "box", -(-IN_ALL // len(NAMES)))
