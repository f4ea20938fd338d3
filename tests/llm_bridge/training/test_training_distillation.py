"""Distillation: the divergence is the right number, the teacher is the untrained model, and training stays near it."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest
import torch
from training_texts import examples, same, toy, weights

from llm_bridge.training.common import ModelError
from llm_bridge.training.distillation import NUM_KEPT, Teacher, load_teacher, predict, save_teacher
from llm_bridge.training.distributed_training import TrainingJob, train_together
from llm_bridge.training.examples import encode_example
from llm_bridge.training.finetune import CheckpointError, TrainSettings, finetune
from llm_bridge.training.models import load_model
from llm_bridge.training.objectives import TokenPredictions, distillation_loss

SETTINGS = TrainSettings(
    learning_rate=3e-3, steps=6, batch_programs=2, schedule="constant", objectives={"line": 1.0, "distil": 1.0}
)
TEXTS = [row.text for row in examples()]


def kept(log_p: torch.Tensor, count: int) -> TokenPredictions:
    values, ids = log_p.topk(count, dim=1)
    return TokenPredictions(ids=ids, log_p=values)


def divergence(teacher: Teacher, model: Teacher) -> float:
    """Mean over tokens of KL over the kept tokens that both keep: an independent look, in float64."""
    values = []
    for text, theirs in teacher.predictions.items():
        ours = model.predictions[text]
        for row in range(len(theirs.ids)):
            p = dict(zip(theirs.ids[row].tolist(), theirs.log_p[row].double().exp().tolist(), strict=True))
            q = dict(zip(ours.ids[row].tolist(), ours.log_p[row].double().exp().tolist(), strict=True))
            both = sorted(p.keys() & q.keys())
            a, b = torch.tensor([p[i] for i in both]), torch.tensor([q[i] for i in both])
            a, b = torch.cat([a, 1 - a.sum()[None]]), torch.cat([b, 1 - b.sum()[None]])
            values.append(float((a * (a / b).log()).sum()))
    return sum(values) / len(values)


# ------------------------------------------------------------------------------------------------------------- the loss


def test_the_loss_is_the_divergence_over_kept_tokens_and_the_rest() -> None:
    generator = torch.Generator().manual_seed(0)
    head = torch.nn.Linear(8, 50, bias=False)
    torch.nn.init.normal_(head.weight, generator=generator)
    hidden = torch.randn(2, 6, 8, generator=generator)
    num_text = torch.tensor([3, 4])
    theirs = torch.log_softmax(torch.randn(7, 50, generator=generator), dim=1)
    ours = torch.log_softmax(head(torch.cat([hidden[0, :3], hidden[1, :4]])), dim=1).detach()

    def lumped(row: int, count: int) -> float:
        ids = theirs[row].topk(count).indices
        p, q = theirs[row, ids].double().exp(), ours[row, ids].double().exp()
        p, q = torch.cat([p, 1 - p.sum()[None]]), torch.cat([q, 1 - q.sum()[None]])
        return float((p * (p / q).log()).sum())

    loss = distillation_loss(hidden, head, num_text, kept(theirs, 10))
    wanted = [sum(lumped(row, 10) for row in range(3)) / 3, sum(lumped(row, 10) for row in range(3, 7)) / 4]
    assert loss.tolist() == pytest.approx(wanted, rel=1e-5)
    full = (theirs.exp() * (theirs - ours)).sum(dim=1)
    assert loss[0] < full[:3].mean() and loss[1] < full[3:].mean()  # lumping never adds
    nearly_all = distillation_loss(hidden, head, num_text, kept(theirs, 49))
    assert nearly_all.tolist() == pytest.approx(
        [float(full[:3].mean()), float(full[3:].mean())], rel=1e-3
    )  # "rest" is never below 1e-5


def test_the_loss_and_its_gradient_vanish_where_the_two_agree() -> None:
    head = torch.nn.Linear(8, 50, bias=False)
    hidden = torch.randn(1, 4, 8, generator=torch.Generator().manual_seed(1)).requires_grad_()
    agreed = kept(torch.log_softmax(head(hidden[0, :3]), dim=1).detach(), 10)
    loss = distillation_loss(hidden, head, torch.tensor([3]), agreed)
    loss.sum().backward()
    assert abs(float(loss.detach())) < 1e-6 and hidden.grad is not None
    assert float(hidden.grad.abs().max()) < 1e-5


def test_an_empty_text_costs_nothing_and_certainty_is_finite() -> None:
    head = torch.nn.Linear(2, 5, bias=False)
    hidden = torch.ones(2, 3, 2).requires_grad_()
    sure = TokenPredictions(ids=torch.tensor([[0, 1]]), log_p=torch.tensor([[0.0, -80.0]]))
    loss = distillation_loss(hidden, head, torch.tensor([0, 1]), sure)
    loss.sum().backward()
    assert float(loss[0].detach()) == 0.0 and torch.isfinite(loss).all()
    assert hidden.grad is not None and torch.isfinite(hidden.grad).all()


# ---------------------------------------------------------------------------------------------------------- the teacher


def test_predictions_are_the_models_own_likeliest_tokens() -> None:
    loaded = toy()
    text = TEXTS[0]
    found = predict(loaded, [text, text, TEXTS[1]])
    assert set(found.predictions) == {text, TEXTS[1]}
    encoding = encode_example(examples()[0], loaded.tokenizer)
    with torch.no_grad():
        logits = loaded.base(input_ids=torch.tensor([encoding.input_ids])).logits[0, : encoding.num_text]
    values, ids = torch.log_softmax(logits.float(), dim=1).topk(NUM_KEPT, dim=1)
    assert torch.allclose(found.predictions[text].log_p, values, atol=1e-4)
    assert (found.predictions[text].ids == ids).float().mean() > 0.99  # near-ties may change places


@pytest.mark.parametrize("max_tokens", [40, 64])
def test_a_cut_text_has_as_many_predictions_as_its_example_has_tokens(max_tokens: int) -> None:
    loaded = toy()
    found = predict(loaded, TEXTS, max_tokens=max_tokens)
    for row in examples():
        wanted = encode_example(row, loaded.tokenizer, max_tokens=max_tokens).num_text
        assert len(found.predictions[row.text].ids) == wanted
    finetune(toy("full"), examples(), replace(SETTINGS, max_tokens=max_tokens), teacher=found)


def test_a_teacher_on_file_is_the_same_teacher(tmp_path: Path) -> None:
    teacher = predict(toy(), [*TEXTS, ""])
    save_teacher(teacher, tmp_path / "new" / "teacher.pt")
    again = load_teacher(tmp_path / "new" / "teacher.pt")
    assert again.digest == teacher.digest and again.max_tokens == teacher.max_tokens
    assert [path.name for path in (tmp_path / "new").iterdir()] == ["teacher.pt"]


def test_a_teacher_that_does_not_fit_is_refused() -> None:
    teacher = predict(toy(), TEXTS[:3])
    with pytest.raises(ValueError, match="'teacher' must hold a prediction for every text"):
        finetune(toy("full"), examples(), SETTINGS, teacher=teacher)
    with pytest.raises(ValueError, match=r"'teacher' must have cut its texts to 50 tokens \(got 1024\)"):
        finetune(toy("full"), examples(), replace(SETTINGS, max_tokens=50), teacher=predict(toy(), TEXTS))


# --------------------------------------------------------------------------------------------------------- the training


@pytest.mark.parametrize("method", ["full", "lora", "qlora"])
def test_training_stays_nearer_to_the_teacher(method: str) -> None:
    """The rate falls to 0 at the end: at a constant one, the processor's rounding decides where the last steps stop."""
    teacher = predict(toy(), TEXTS)
    apart = {}
    for weight in (0.0, 30.0):
        loaded = toy(method)
        objectives = {"localise": 1.0, "distil": weight}
        settings = replace(SETTINGS, steps=120, learning_rate=1e-2, schedule="cosine", objectives=objectives)
        record = finetune(loaded, examples(), settings, teacher=teacher)
        assert record.status == "finished" and record.losses[-1] < record.losses[0]
        apart[weight] = divergence(teacher, predict(loaded, TEXTS))
    assert apart[30.0] < 0.2 * apart[0.0]


def test_a_quantised_base_is_pulled_back_to_the_unquantised_one() -> None:
    teacher = predict(toy(), TEXTS)
    before = divergence(teacher, predict(toy("qlora"), TEXTS))
    loaded = toy("qlora")
    settings = replace(SETTINGS, steps=60, learning_rate=1e-2, objectives={"distil": 1.0})
    finetune(loaded, examples(), settings, teacher=teacher)
    assert divergence(teacher, predict(loaded, TEXTS)) < 0.5 * before


def test_without_a_teacher_it_is_the_model_as_it_comes() -> None:
    one, other = toy("lora"), toy("lora")
    finetune(one, examples(), SETTINGS)
    finetune(other, examples(), SETTINGS, teacher=predict(toy("lora"), TEXTS))
    assert same(weights(one), weights(other))


def test_a_checkpoint_of_another_teacher_is_refused(tmp_path: Path) -> None:
    finetune(toy("lora"), examples(), SETTINGS, checkpoint_dir=tmp_path)
    assert finetune(toy("lora"), examples(), SETTINGS, checkpoint_dir=tmp_path).resumed_at == SETTINGS.steps
    with pytest.raises(CheckpointError, match="belongs to another run"):
        finetune(toy("lora"), examples(), SETTINGS, teacher=predict(toy(None, seed=1), TEXTS), checkpoint_dir=tmp_path)


@pytest.mark.parametrize("method", ["lora", "qlora"])
def test_a_training_job_learns_from_the_unquantised_model_and_keeps_what_it_said(method: str, tmp_path: Path) -> None:
    file = tmp_path / "teachers" / "a.pt"
    job = TrainingJob(
        model="toy",
        method=method,
        device=None,
        compute=None,
        adapter={"rank": 2},
        training={"learning_rate": 1e-3, "steps": 2, "batch_programs": 2, "objectives": {"distil": 1.0}},
        examples=tuple(examples()),
        checkpoint_dir=None,
        teacher_file=str(file),
    )
    _, first = train_together(job)
    assert load_teacher(file).digest == predict(toy(), TEXTS).digest
    written = file.stat().st_mtime_ns
    _, second = train_together(job)
    assert file.stat().st_mtime_ns == written and first.losses == second.losses


def test_nothing_is_asked_of_the_model_where_nothing_is_distilled(tmp_path: Path) -> None:
    file = tmp_path / "teacher.pt"
    training = {"learning_rate": 1e-3, "steps": 1, "batch_programs": 2, "objectives": {"line": 1.0}}
    common = {"model": "toy", "method": "lora", "device": None, "compute": None, "adapter": {"rank": 2}}
    rows = tuple(examples())
    train_together(TrainingJob(**common, training=training, examples=rows, checkpoint_dir=None, teacher_file=str(file)))
    distilled = {**training, "objectives": {"distil": 1.0}}
    train_together(TrainingJob(**common, training=distilled, examples=(), checkpoint_dir=None, teacher_file=str(file)))
    assert not file.exists()


@pytest.mark.parametrize("damage", ["torn", "empty", "foreign", "other", "nan"])
def test_a_teacher_file_that_is_torn_or_foreign_is_named(damage: str, tmp_path: Path) -> None:
    file = tmp_path / "teacher.pt"
    save_teacher(predict(load_model("toy"), ["a = 1\n"]), file)
    if damage == "torn":
        file.write_bytes(file.read_bytes()[:-100])
    elif damage == "empty":
        file.write_bytes(b"")
    elif damage == "foreign":
        file.write_text("not a tensor")
    elif damage == "other":
        torch.save({"predictions": {"a": 1}}, file)
    else:
        state = torch.load(file)
        state["predictions"]["a = 1\n"][1][0, 0] = float("nan")
        torch.save(state, file)
    with pytest.raises(ModelError, match=r"teacher\.pt .*delete it, and it is made anew"):
        load_teacher(file)


def test_a_teacher_that_cannot_be_written_is_one_line(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def full(*args: object) -> None:
        raise RuntimeError("PytorchStreamWriter failed writing file data/0: file write failed")

    monkeypatch.setattr(torch, "save", full)
    with pytest.raises(ModelError, match=r"teacher\.pt cannot be written .*is the disk full"):
        save_teacher(predict(load_model("toy"), ["a = 1\n"]), tmp_path / "teacher.pt")
    assert list(tmp_path.iterdir()) == []
