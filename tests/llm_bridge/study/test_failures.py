"""A model that fails ends neither the others nor the record of it; trained models are kept and exported."""

from __future__ import annotations

import errno
import json
import math
import shlex
import sys
from pathlib import Path

import pytest
from rich.console import Console

from llm_bridge.__main__ import main
from llm_bridge.corpora import minibugs
from llm_bridge.files import FailedModelsError, StoreError, read_jsonl, text_digest
from llm_bridge.report import load_study, write_report
from llm_bridge.results_format import FAILURES_FILE, cell_dirs, failure_sentences
from llm_bridge.run import run_recipe
from llm_bridge.study.recipe_files import load_recipe
from llm_bridge.training.common import ModelError

SMALL = [
    "radio.sf=7",
    "radio.snr_db=inf",
    "corpus.limit=4",
    "corpus.train_pairs=6",
    "corpus.validation_pairs=4",
    "training.steps=2",
    "score.bootstrap=100",
]
DIVERGES = "training.learning_rate={full=1e30}"
REASON = "full, seed 0: diverged at step 1, lower its 'training.learning_rate' (now 1e+30); no cells"


def run(out: Path, *overrides: str, keep_models: bool = False) -> None:
    run_recipe(load_recipe("toy", [*SMALL, *overrides]), out, console=Console(quiet=True), keep_models=keep_models)


def methods_of(out: Path) -> list[str]:
    return sorted(json.loads((folder / "config.json").read_text())["method"] for folder in cell_dirs(out))


def test_a_diverged_method_ends_with_status_one_and_the_others_have_their_cells(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    settings = [*SMALL, DIVERGES, "training.methods=['full', 'lora', 'rules']"]
    words = ["llm_bridge", "run", "toy", "--out", str(tmp_path), "--set", *settings]
    monkeypatch.setattr(sys, "argv", words)
    before = None
    for _ in range(2):  # the same command again tries the failed method alone
        with pytest.raises(SystemExit) as stop:
            main()
        assert stop.value.code == 1
        assert capsys.readouterr().err.splitlines()[-1] == f"error: {REASON}"
        assert methods_of(tmp_path) == ["lora", "rules"]
        written = {folder: (folder / "result.json").stat().st_mtime_ns for folder in cell_dirs(tmp_path)}
        assert before in (None, written)
        before = written
    [row] = json.loads((tmp_path / FAILURES_FILE).read_text())
    assert (row["method"], row["train_seed"], len(row["cells"])) == ("full", 0, 1)
    assert load_study(tmp_path).failures == [REASON]
    assert REASON.replace("'", "&#39;") in (tmp_path / "report.html").read_text()
    monkeypatch.setattr(sys, "argv", ["llm_bridge", "report", str(tmp_path)])
    main()
    assert REASON in capsys.readouterr().out


def test_likelihoods_that_are_no_numbers_are_a_failure_of_their_model(tmp_path: Path) -> None:
    """One step: its loss is finite, and the weights after it are not usable."""
    with pytest.raises(FailedModelsError, match=r"\Afull, seed 0: likelihoods are not numbers for .*; no cells\Z"):
        run(
            tmp_path, "training.learning_rate={full=1e15}", "training.steps=1", "training.methods=['full', 'zero-shot']"
        )
    assert methods_of(tmp_path) == ["zero-shot"]


def test_a_model_that_answers_every_text_alike_is_a_failure(tmp_path: Path) -> None:
    """Weights of 1e6 make every logit zero: -log of 1/259, the size of the toy's vocabulary, for each token."""
    guessed = rf"\Afull, seed 0: the answers are the same for each of 16 texts \({math.log(259):.4g} nats a token\).*"
    with pytest.raises(FailedModelsError, match=guessed):
        run(tmp_path, "training.learning_rate={full=1e6}", "training.steps=1", "training.methods=['full', 'zero-shot']")
    assert methods_of(tmp_path) == ["zero-shot"]


def test_a_full_disk_while_saving_the_teacher_is_no_end_of_the_untrained_model(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    import torch

    def full(*_: object, **__: object) -> None:
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr(torch, "save", full)
    objectives = "training.objectives={line=1.0, distil=1.0}"
    with pytest.raises(FailedModelsError, match=r"full, seed 0: .*teachers.*No space left on device.*; no cells"):
        run(tmp_path, objectives, "training.methods=['full', 'zero-shot']")
    assert methods_of(tmp_path) == ["zero-shot"]


def test_a_failure_leaves_the_record_when_its_method_succeeds(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    settings = ["training.methods=['full', 'lora']", "training.seeds=[0, 1]"]
    from llm_bridge.training import adapters

    attach = adapters.attach

    def refuse(loaded, method, *rest, **options):  # type: ignore[no-untyped-def]
        if method == "lora":
            raise ModelError("no layer of that name")
        return attach(loaded, method, *rest, **options)

    with monkeypatch.context() as patch:
        patch.setattr(adapters, "attach", refuse)
        with pytest.raises(FailedModelsError) as failed:
            run(tmp_path, *settings)
    assert str(failed.value).splitlines() == [f"lora, seed {seed}: no layer of that name; no cells" for seed in (0, 1)]
    assert methods_of(tmp_path) == ["full", "full"]
    run(tmp_path, *settings)
    assert methods_of(tmp_path) == ["full", "full", "lora", "lora"]
    assert not (tmp_path / FAILURES_FILE).exists() and failure_sentences(tmp_path) == []


def test_where_every_method_failed_the_report_says_so(tmp_path: Path) -> None:
    with pytest.raises(FailedModelsError):
        run(tmp_path, DIVERGES, "training.methods=['full']")
    with pytest.raises(FileNotFoundError, match="no finished cell") as missing:
        write_report(tmp_path)
    assert str(missing.value).splitlines()[-1] == REASON


@pytest.mark.parametrize("error", [KeyboardInterrupt(), StoreError("the folder was edited")])
def test_an_interruption_and_a_damaged_folder_end_the_run(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, error: BaseException
) -> None:
    from llm_bridge.study.model_runs import ModelRun

    def stop(*_: object, **__: object) -> None:
        raise error

    settings = "training.methods=['zero-shot', 'rules']"
    with monkeypatch.context() as patch:
        patch.setattr(ModelRun, "model", stop)
        with pytest.raises(type(error)):
            run(tmp_path, settings)
    assert not (tmp_path / FAILURES_FILE).exists()
    run(tmp_path, settings)
    assert methods_of(tmp_path) == ["rules", "zero-shot"]


@pytest.mark.parametrize("content", ["{}", "[1]", '[{"method": "full"}]', '[{"method": 1, "reason": "", "cells": []}]'])
def test_a_record_that_is_none_is_named(tmp_path: Path, content: str) -> None:
    (tmp_path / FAILURES_FILE).write_text(content)
    with pytest.raises(StoreError, match=r"failures\.json is no record of failures"):
        failure_sentences(tmp_path)


@pytest.mark.slow
def test_worker_processes_report_a_failed_method_too(tmp_path: Path) -> None:
    recipe = load_recipe("toy", [*SMALL, DIVERGES, "training.methods=['full', 'lora']"])
    with pytest.raises(FailedModelsError, match="diverged at step 1"):
        run_recipe(recipe, tmp_path, console=Console(quiet=True), workers=2, keep_models=True)
    assert methods_of(tmp_path) == ["lora"]
    assert [path.name for path in (tmp_path / "models").iterdir()] == ["lora-seed0"]


def test_kept_models_are_those_that_were_scored_and_load_elsewhere(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    import torch
    from peft import PeftModel
    from transformers import AutoModelForCausalLM

    from llm_bridge.scoring.likelihood import score_texts
    from llm_bridge.training.adapters import load_trained
    from llm_bridge.training.models import load_model

    def export(name: str, out: Path, *options: str) -> int:
        words = ["llm_bridge", "models", "export", str(tmp_path / "run"), name, "--out", str(out), *options]
        monkeypatch.setattr(sys, "argv", words)
        try:
            main()
        except SystemExit as stop:
            return int(stop.code or 0)
        return 0

    settings = ["training.methods=['lora', 'qlora', 'zero-shot']", "training.learning_rate={lora=1e-2, qlora=1e-2}"]
    run(tmp_path / "run", *settings)
    assert not (tmp_path / "run" / "models").exists()
    run(tmp_path / "run", *settings, keep_models=True)  # a finished study: trained anew, and kept
    assert sorted(path.name for path in (tmp_path / "run" / "models").iterdir()) == ["lora-seed0", "qlora-seed0"]

    kept = load_trained(load_model("toy"), tmp_path / "run" / "models" / "lora-seed0")
    text = minibugs.load()[0].buggy
    scored = read_jsonl(tmp_path / "run" / "cache" / "scores" / f"{kept.fingerprint['model_run']}.jsonl")
    [known] = [row["scores"]["sum_nll"] for row in scored if row["text_sha256"] == text_digest(text)]
    assert score_texts(kept, [text])[text].sum_nll == pytest.approx(known, rel=1e-5)
    assert score_texts(load_model("toy"), [text])[text].sum_nll != pytest.approx(known, rel=1e-3)

    assert export("lora-seed0", tmp_path / "adapter") == 0
    assert export("lora-seed0", tmp_path / "whole", "--merged") == 0
    ids = torch.arange(40)[None]
    base = load_model("toy").model
    with torch.inference_mode():
        plain = base(ids).logits.clone()
        adapted = PeftModel.from_pretrained(base, str(tmp_path / "adapter"))(ids).logits
        merged = AutoModelForCausalLM.from_pretrained(tmp_path / "whole")(ids).logits
    torch.testing.assert_close(merged, adapted, rtol=0, atol=1e-4)
    assert (adapted - plain).abs().max() > 1e-2  # it learnt something

    capsys.readouterr()
    assert export("qlora-seed0", tmp_path / "no", "--merged") == 2
    assert "has a base in 4 bits" in capsys.readouterr().err
    assert export("lora-seed0", tmp_path / "adapter") == 2  # not empty
    assert export("full-seed0", tmp_path / "no") == 2
    assert "there: lora-seed0, qlora-seed0" in capsys.readouterr().err


def test_an_interruption_tells_the_command_that_continues(monkeypatch, capsys):
    import llm_bridge.__main__ as command_line

    def interrupted(*_: object, **__: object) -> None:
        raise KeyboardInterrupt

    arguments = ["run", "toy", "--set", "radio.snr_db=[-10.0, inf]", "--out", "two words"]
    monkeypatch.setattr(command_line, "app", interrupted)
    for program, begin in (
        ("/x/llm_bridge/__main__.py", "python -m llm_bridge"),
        ("/x/chirpbridge-study", "chirpbridge-study"),
    ):
        monkeypatch.setattr("sys.argv", [program, *arguments])
        with pytest.raises(SystemExit) as stopped:
            command_line.main()
        first, again = capsys.readouterr().err.splitlines()
        assert stopped.value.code == 130 and first.startswith("error: interrupted; nothing finished was lost")
        assert again.startswith(f"  {begin} run") and shlex.split(again)[-len(arguments) :] == arguments
