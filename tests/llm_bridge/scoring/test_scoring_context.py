"""Scores and training rows of a text in its context: those of the text, given the context, and of nothing else."""

from __future__ import annotations

from dataclasses import asdict, replace
from pathlib import Path

import numpy as np
import pytest
import torch

from llm_bridge.corpora import minibugs
from llm_bridge.corpora.contexts import InContext, context_of
from llm_bridge.scoring.likelihood import score_texts
from llm_bridge.scoring.repair import GenerationSettings, generate_repairs
from llm_bridge.training.adapters import attach
from llm_bridge.training.distillation import load_teacher, predict, save_teacher
from llm_bridge.training.examples import SUFFIX, Example, encode_example, encode_repair, encode_text
from llm_bridge.training.finetune import TrainSettings, finetune
from llm_bridge.training.models import LoadedModel, load_model

CONTEXT = "# What f does.\n#\n# f(1) -> 2\n"
TEXT = "def f(x):\n    y = x + 1\n    return y\n"
OTHER = "def f(x):\n    y = x + 2\n    return y\n"


@pytest.fixture(scope="module")
def toy() -> LoadedModel:
    torch.set_num_threads(1)
    return load_model("toy")


def test_scores_are_conditional_on_the_context_in_the_models_own_forward_pass(toy: LoadedModel) -> None:
    ids = torch.tensor([[256, *CONTEXT.encode(), *TEXT.encode(), *SUFFIX.encode()]])
    with torch.inference_mode():
        logits = toy.model(ids).logits[0]
    start, count = 1 + len(CONTEXT), len(TEXT)
    log_p = torch.log_softmax(logits, dim=1)
    nll = np.array([-float(log_p[index - 1, ids[0, index]]) for index in range(start, start + count)])
    ends = np.cumsum([len(line) for line in TEXT.splitlines(keepends=True)])
    verdict = (logits[:, ord("b")] - logits[:, ord("o")]).numpy()
    found = score_texts(toy, [InContext(CONTEXT, TEXT)])[InContext(CONTEXT, TEXT)]
    assert found.num_tokens == count, "the context is no part of the text"
    assert found.sum_nll == pytest.approx(nll.sum(), rel=1e-5)
    assert found.line_nll == pytest.approx([part.sum() for part in np.split(nll, ends[:-1])], rel=1e-5)
    assert found.line_verdict == pytest.approx(verdict[start - 1 + ends].tolist(), abs=1e-5)
    assert found.program_verdict == pytest.approx(verdict[-1], abs=1e-5)
    assert found.sum_nll != pytest.approx(score_texts(toy, [TEXT])[TEXT].sum_nll, abs=1e-3)


def test_a_tree_with_shared_contexts_scores_as_separate_passes_do(toy: LoadedModel) -> None:
    pairs = minibugs.load()[:6]
    readings: list[str | InContext] = [TEXT, InContext(CONTEXT, TEXT), InContext(CONTEXT, OTHER)]
    for pair in pairs:
        known = context_of(pair, "specification+tests")
        readings += [InContext(known, text) for text in (pair.buggy, pair.correct, pair.buggy[40:])]
    together = score_texts(toy, readings, max_nodes=20_000)
    assert list(together) == readings
    for reading in readings:
        alone = score_texts(toy, [reading])[reading]
        assert alone.sum_nll == pytest.approx(together[reading].sum_nll, abs=1e-4, rel=1e-6)
        for name in ("line_nll", "line_verdict"):
            assert getattr(alone, name) == pytest.approx(getattr(together[reading], name), abs=1e-4)
        assert alone.program_verdict == pytest.approx(together[reading].program_verdict, abs=1e-4)
        assert not alone.truncated


def test_a_context_that_leaves_no_room_is_refused_and_a_text_behind_one_is_cut_and_marked(toy: LoadedModel) -> None:
    reading, fixed = InContext(CONTEXT, TEXT), 1 + len(CONTEXT) + len(SUFFIX)
    assert score_texts(toy, [reading], max_tokens=fixed + len(TEXT))[reading].truncated is False
    cut = score_texts(toy, [reading], max_tokens=fixed + 20)[reading]
    assert cut.truncated and cut.num_tokens == 20
    with pytest.raises(ValueError, match=rf"room for the text behind its context: more than {fixed} \(got {fixed}\)"):
        score_texts(toy, [reading], max_tokens=fixed)


def test_examples_without_a_context_are_identified_as_before_and_learn_the_same_tokens(toy: LoadedModel) -> None:
    plain = Example(text=TEXT, label_lines=(1,), buggy=True, item_id="toy/f/buggy", fix="    y = x + 2\n", fix_line=1)
    known = replace(plain, context=CONTEXT)
    before = {"text", "label_lines", "buggy", "item_id", "fix", "fix_line"}
    assert plain.as_plain().keys() == before and known.as_plain() == asdict(known)
    a, b = (encode_example(row, toy.tokenizer) for row in (plain, known))
    shift = len(CONTEXT)
    assert b.input_ids == (256, *CONTEXT.encode(), *a.input_ids[1:])
    assert (b.num_text, b.token_line, b.blank) == (a.num_text, a.token_line, a.blank)
    assert b.line_ends == tuple(end + shift for end in a.line_ends) and b.suffix_end == a.suffix_end + shift
    assert b.text_start == 1 + shift and b.labels == (*[-100] * shift, *a.labels)
    asked, told = (encode_repair(row, toy.tokenizer) for row in (plain, known))
    assert asked is not None and told is not None
    assert told.input_ids == (256, *CONTEXT.encode(), *asked.input_ids[1:])
    assert encode_text(TEXT, toy.tokenizer, context="") == encode_text(TEXT, toy.tokenizer)


def test_the_teacher_predicts_each_text_in_its_context_and_is_read_back(toy: LoadedModel, tmp_path: Path) -> None:
    readings = [TEXT, InContext(CONTEXT, TEXT)]
    teacher = predict(toy, readings)
    with torch.inference_mode():
        ids = torch.tensor([[256, *CONTEXT.encode(), *TEXT.encode()]])
        log_p = torch.log_softmax(toy.model(ids).logits[0, len(CONTEXT) : -1], dim=1)
    kept = teacher.predictions[readings[1]]
    assert kept.log_p == pytest.approx(log_p.gather(1, kept.ids.long()).numpy(), abs=1e-4)
    assert len(kept.ids) == len(TEXT)
    save_teacher(teacher, tmp_path / "teacher.pt")
    again = load_teacher(tmp_path / "teacher.pt")
    assert list(again.predictions) == readings and again.digest == teacher.digest
    with pytest.raises(ValueError, match="a prediction for every text"):
        teacher.require([InContext("# other\n", TEXT)], max_tokens=1024)


def test_a_model_learns_from_texts_in_their_contexts() -> None:
    """What was learnt in a context is another model than what was learnt without, from the same start."""
    rows = [Example(text=TEXT, label_lines=(1,), buggy=True, item_id="toy/f/buggy")]
    settings = TrainSettings(learning_rate=1e-2, steps=4, objectives={"line": 1.0, "distil": 0.1})
    losses = []
    for some in (rows, [replace(row, context=CONTEXT) for row in rows]):
        record = finetune(attach(load_model("toy"), "full"), some, settings)
        assert record.status == "finished" and record.losses[-1] < record.losses[0]
        losses.append(record.losses)
    assert losses[0] != losses[1]


def test_a_repair_is_asked_for_behind_the_context(toy: LoadedModel, monkeypatch: pytest.MonkeyPatch) -> None:
    prompts = []

    def answer(loaded: LoadedModel, prompt: str, *rest: object, **more: object) -> list[str]:
        prompts.append(prompt)
        return ["\n    y = x + 2\n"]

    monkeypatch.setattr("llm_bridge.scoring.repair._generate", answer)
    reading = InContext(CONTEXT, TEXT)
    found = generate_repairs(toy, {TEXT: 1, reading: 1}, GenerationSettings(what="line"))
    assert found == {TEXT: (OTHER,), reading: (OTHER,)}
    assert prompts[1] == CONTEXT + prompts[0]
