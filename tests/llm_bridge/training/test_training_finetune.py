"""The loop: it learns, stops, resumes to the last bit, and survives what goes wrong."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import pytest
import torch
from training_texts import examples, same, toy, weights

from llm_bridge.scoring.likelihood import score_texts
from llm_bridge.training.examples import encode_example, make_batch, verdict_ids
from llm_bridge.training.finetune import (
    CHECKPOINT_FILE,
    CheckpointError,
    TrainSettings,
    finetune,
)
from llm_bridge.training.objectives import (
    BugLoss,
    completion_loss,
    gold_mask,
    hidden_states,
    line_log_probabilities,
    line_loss,
    localise_loss,
)
from llm_bridge.training.optimisation import data_order, learning_rate_factor
from llm_bridge.training.sharding import wants_shards
from llm_bridge.training.workers import Workers

SETTINGS = TrainSettings(learning_rate=3e-3, steps=6, batch_programs=2, schedule="constant", checkpoint_every=2)
METHODS = ("full", "lora", "qlora", "qlora-manual")


def prepared(method: str, **adapter: object):
    if method.endswith("manual"):
        adapter["layers"] = (1,)
    return toy(method, **adapter)


# ------------------------------------------------------------------------------------------------------------- learning


@pytest.mark.parametrize("method", METHODS)
def test_every_method_learns_which_line_is_wrong(method: str) -> None:
    loaded = prepared(method)
    frozen = {n: p.detach().clone() for n, p in loaded.model.named_parameters() if not p.requires_grad}
    record = finetune(loaded, examples(), replace(SETTINGS, steps=40, learning_rate=1e-2))
    assert record.status == "finished" and record.steps == len(record.losses) == 40
    assert sum(record.losses[-5:]) < 0.6 * sum(record.losses[:5])
    assert all(torch.equal(p, frozen[n]) for n, p in loaded.model.named_parameters() if not p.requires_grad)
    assert not loaded.model.training
    assert record.num_trainable == loaded.fingerprint["num_trainable"] > 0
    assert record.tokens > 0 and record.cpu_s > 0 and record.peak_rss_bytes > 1 << 20


def test_detect_learns_the_answer_token() -> None:
    loaded = toy("full")
    rows = examples()
    finetune(loaded, rows, replace(SETTINGS, steps=60, learning_rate=1e-2, objectives={"detect": 1.0}))
    scores = score_texts(loaded, [row.text for row in rows])
    assert [scores[row.text].program_verdict > 0 for row in rows] == [row.buggy for row in rows]


def test_the_number_of_steps_does_not_depend_on_what_arrived() -> None:
    for count in (1, 3, 6):
        assert finetune(toy("lora"), examples(count), SETTINGS).steps == SETTINGS.steps


def test_micro_batches_change_the_gradient_by_rounding_only() -> None:
    whole, parts = toy("full"), toy("full")
    one = finetune(whole, examples(), replace(SETTINGS, steps=1, batch_tokens=10_000, clip_norm=1e9))
    many = finetune(parts, examples(), replace(SETTINGS, steps=1, batch_tokens=1, clip_norm=1e9))
    assert one.losses == pytest.approx(many.losses, rel=1e-5)
    # Adam's first step is about ± the rate whatever the gradient's size, so all but the tiniest gradients must agree
    moved = [abs(a - b).max().detach() for a, b in zip(whole.model.parameters(), parts.model.parameters(), strict=True)]
    assert float(torch.stack(moved).median()) < 1e-2 * SETTINGS.learning_rate


def test_gradient_checkpointing_computes_the_same() -> None:
    plain, saving = toy("lora"), toy("lora")
    finetune(plain, examples(), SETTINGS)
    finetune(saving, examples(), replace(SETTINGS, gradient_checkpointing=True))
    a, b = weights(plain), weights(saving)
    assert all(torch.allclose(a[name], b[name], atol=1e-6) for name in a)


@pytest.mark.slow
def test_two_processes_train_the_same_model_as_one(tmp_path: Path) -> None:
    """Replicas add up their gradients; one of them stops, and both resume from the one checkpoint."""
    script = """
import sys, torch
sys.path.insert(0, sys.argv[1])
from training_texts import examples, toy, weights
from dataclasses import replace
from llm_bridge.training.finetune import TrainSettings, finetune
settings = TrainSettings(learning_rate=3e-3, steps=6, batch_programs=2, batch_tokens=1, checkpoint_every=3)
loaded = toy("lora")
record = finetune(loaded, examples(), settings, checkpoint_dir=sys.argv[2])
again = toy("lora")
assert finetune(again, examples(), settings, checkpoint_dir=sys.argv[2]).resumed_at == 6
assert all(torch.equal(a, b) for a, b in zip(weights(loaded).values(), weights(again).values()))
torch.save((record.losses, record.tokens, weights(loaded)), f"{sys.argv[2]}/rank{torch.distributed.get_rank()}.pt")
"""
    (tmp_path / "train.py").write_text(script)
    command = [sys.executable, "-m", "torch.distributed.run", "--nproc_per_node=2", "--master_port=0"]
    command += ["--rdzv_backend=c10d", "--rdzv_endpoint=localhost:0", str(tmp_path / "train.py")]
    subprocess.run([*command, str(Path(__file__).parent), str(tmp_path)], check=True, capture_output=True, timeout=250)
    first, second = (torch.load(tmp_path / f"rank{rank}.pt") for rank in range(2))
    assert first[0] == second[0] and same(first[2], second[2])
    alone = toy("lora")
    record = finetune(alone, examples(), replace(SETTINGS, schedule="cosine", batch_tokens=1))
    assert record.losses == pytest.approx(first[0], rel=1e-4) and record.tokens == first[1]
    assert all(torch.allclose(value, first[2][name], atol=1e-4) for name, value in weights(alone).items())


@pytest.mark.slow
@pytest.mark.parametrize(
    "objectives", [{"line": 1.0, "distil": 1.0}, {"localise": 1.0}, {"localise": 1.0, "repair": 0.5}]
)
def test_a_sharded_run_trains_the_same_model_as_one_process(objectives: dict[str, float], tmp_path: Path) -> None:
    """Two processes hold half of the model each (FSDP), stop, resume from whole tensors and end with a whole model.

    Micro-batches of one row make the two do unequal work; only the main process writes.
    """
    script = """
import json, os, sys, torch
sys.path.insert(0, sys.argv[1])
from pathlib import Path
from training_texts import examples, same, toy, weights
from dataclasses import replace
from llm_bridge.training import finetune as module
from llm_bridge.training.finetune import TrainSettings, finetune
from llm_bridge.scoring.likelihood import score_texts
settings = TrainSettings(learning_rate=3e-3, steps=6, batch_programs=5, batch_tokens=1, checkpoint_every=2,
                         eval_every=3, objectives=json.loads(sys.argv[3]))
rows = [replace(row, fix="    z = y * 2\\n", fix_line=2) if row.buggy else row for row in examples()]
folder = Path(sys.argv[2])
shares = []
def stop(done, total):
    if done == 3:
        raise KeyboardInterrupt
straight = toy("full")
record = finetune(straight, rows, settings, validation=rows[:3])
first = toy("full")
real = module.restore
def seen(home, twin):
    shares.append(sum(p.to_local().numel() for p in twin.model.parameters()))
    real(home, twin)
module.restore = seen
try:
    finetune(first, rows, settings, validation=rows[:3], checkpoint_dir=folder, progress=stop)
except KeyboardInterrupt:
    pass
fresh = toy("full")
again = finetune(fresh, rows, settings, validation=rows[:3], checkpoint_dir=folder)
assert again.resumed_at == 2 and again.losses == record.losses and again.validation == record.validation
assert same(weights(straight), weights(fresh)), "resumed to the last bit"
assert type(fresh.model).__name__ == "LlamaForCausalLM" and not fresh.model.training
rank = torch.distributed.get_rank()
if rank == 0:  # the model is whole again: one process scores alone
    print(score_texts(fresh, [rows[0].text])[rows[0].text].num_tokens)
torch.save((record.losses, record.validation, weights(fresh), shares), folder / f"rank{rank}.pt")
"""
    (tmp_path / "train.py").write_text(script)
    checkpoints = tmp_path / "checkpoints"
    checkpoints.mkdir()
    command = [sys.executable, "-m", "torch.distributed.run", "--nproc_per_node=2", "--master_port=0"]
    command += ["--rdzv_backend=c10d", "--rdzv_endpoint=localhost:0", str(tmp_path / "train.py")]
    ran = subprocess.run(
        [*command, str(Path(__file__).parent), str(checkpoints), json.dumps(objectives)],
        capture_output=True,
        text=True,
        timeout=250,
        env={**os.environ, "ACCELERATE_USE_FSDP": "true", "CUDA_VISIBLE_DEVICES": ""},
    )
    assert ran.returncode == 0, ran.stderr[-3000:]
    assert sorted(path.name for path in checkpoints.iterdir()) == [CHECKPOINT_FILE, "rank0.pt", "rank1.pt"]
    one, two = (torch.load(checkpoints / f"rank{rank}.pt") for rank in range(2))
    assert one[:2] == two[:2] and same(one[2], two[2])
    assert max(one[3][0], two[3][0]) < 0.52 * 90_624, "each process held half"
    rows = [replace(row, fix="    z = y * 2\n", fix_line=2) if row.buggy else row for row in examples()]
    alone = toy("full")
    settings = replace(SETTINGS, schedule="cosine", batch_programs=5, batch_tokens=1, eval_every=3)
    record = finetune(alone, rows, replace(settings, objectives=objectives), validation=rows[:3])
    assert record.losses == pytest.approx(one[0], rel=1e-4)
    assert [value for _, value in record.validation] == pytest.approx([value for _, value in one[1]], rel=1e-4)
    assert all(torch.allclose(value, one[2][name], atol=1e-4) for name, value in weights(alone).items())


def test_full_fine_tuning_is_sharded_where_the_launcher_asks_and_adapters_never(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    two = Workers(rank=0, count=2)
    assert not wants_shards(toy("full"), two), "replicas on a CPU, unless asked"
    monkeypatch.setenv("ACCELERATE_USE_FSDP", "true")
    assert wants_shards(toy("full"), two)
    assert not wants_shards(toy("full"), Workers())
    assert not wants_shards(toy("lora"), two)
    monkeypatch.setenv("WORLD_SIZE", "2")
    monkeypatch.setenv("ACCELERATE_USE_DEEPSPEED", "true")
    with pytest.raises(NotImplementedError, match="without DeepSpeed"):
        finetune(toy("lora"), examples(), SETTINGS)


def test_every_process_has_equally_many_rounds_and_each_batch_counts_once() -> None:
    for count in (1, 2, 3, 5):
        for batches in ([["a"]], [[1], [2], [3]], [[n] for n in range(7)]):
            rounds = [Workers(rank=rank, count=count).rounds(batches) for rank in range(count)]
            assert len({len(own) for own in rounds}) == 1
            counted = [batch for own in rounds for batch, counts in own if counts]
            assert sorted(counted) == sorted(batches)


def test_progress_counts_the_steps() -> None:
    seen: list[tuple[int, int]] = []
    finetune(toy("lora"), examples(), SETTINGS, progress=lambda done, total: seen.append((done, total)))
    assert seen == [(step, 6) for step in range(1, 7)]


# ------------------------------------------------------------------------------------------------------ stop and resume


class Stop(Exception):
    pass


def stop_after(step: int):
    def progress(done: int, total: int) -> None:
        if done == step:
            raise Stop

    return progress


@pytest.mark.parametrize("method", ["full", "lora", "qlora"])
def test_stop_and_resume_equals_straight_through_to_the_last_bit(method: str, tmp_path: Path) -> None:
    """With dropout, so that the random state matters too; stopped between two checkpoints."""
    adapter = {} if method == "full" else {"dropout": 0.2}
    straight, resumed = toy(method, **adapter), toy(method, **adapter)
    whole = finetune(straight, examples(), SETTINGS)
    with pytest.raises(Stop):
        finetune(resumed, examples(), SETTINGS, checkpoint_dir=tmp_path, progress=stop_after(3))
    fresh = toy(method, **adapter)  # a new process would load a new model
    torch.manual_seed(12345)
    second = finetune(fresh, examples(), SETTINGS, checkpoint_dir=tmp_path)
    assert second.resumed_at == 2
    assert second.losses == whole.losses
    assert same(weights(straight), weights(fresh))


@pytest.mark.parametrize("optimiser", ["paged_adamw_32bit", "paged_adamw_8bit"])
def test_the_optimisers_of_the_gpu_resume_too(optimiser: str, tmp_path: Path) -> None:
    settings = replace(SETTINGS, optimiser=optimiser)
    straight, fresh = toy("qlora"), toy("qlora")
    whole = finetune(straight, examples(), settings)
    with pytest.raises(Stop):
        finetune(toy("qlora"), examples(), settings, checkpoint_dir=tmp_path, progress=stop_after(3))
    second = finetune(fresh, examples(), settings, checkpoint_dir=tmp_path)
    assert (second.resumed_at, second.losses) == (2, whole.losses)
    assert same(weights(straight), weights(fresh))


def test_a_finished_run_is_taken_up_without_training_again(tmp_path: Path) -> None:
    first = toy("lora")
    finetune(first, examples(), SETTINGS, checkpoint_dir=tmp_path)
    again = toy("lora")
    record = finetune(again, examples(), SETTINGS, checkpoint_dir=tmp_path, progress=stop_after(1))
    assert record.status == "finished" and record.resumed_at == 6
    assert same(weights(first), weights(again))


@pytest.mark.parametrize(
    "change",
    [{"learning_rate": 1e-3}, {"seed": 1}, {"steps": 7}, {"objectives": {"detect": 1.0}}, {"batch_programs": 3}],
)
def test_a_checkpoint_from_other_settings_is_refused(change: dict[str, object], tmp_path: Path) -> None:
    finetune(toy("lora"), examples(), SETTINGS, checkpoint_dir=tmp_path)
    with pytest.raises(CheckpointError, match="another run"):
        finetune(toy("lora"), examples(), replace(SETTINGS, **change), checkpoint_dir=tmp_path)


def test_a_checkpoint_from_other_examples_or_another_model_is_refused(tmp_path: Path) -> None:
    finetune(toy("lora"), examples(), SETTINGS, checkpoint_dir=tmp_path)
    for loaded, rows in (
        (toy("lora"), examples(5)),
        (toy("lora", seed=1), examples()),
        (toy("lora", rank=4), examples()),
    ):
        with pytest.raises(CheckpointError, match="another run"):
            finetune(loaded, rows, SETTINGS, checkpoint_dir=tmp_path)
    relaxed = replace(SETTINGS, checkpoint_every=3)
    assert finetune(toy("lora"), examples(), relaxed, checkpoint_dir=tmp_path).resumed_at == 6


def test_a_torn_checkpoint_is_named(tmp_path: Path) -> None:
    finetune(toy("lora"), examples(), SETTINGS, checkpoint_dir=tmp_path)
    file = tmp_path / CHECKPOINT_FILE
    file.write_bytes(file.read_bytes()[:1000])
    with pytest.raises(CheckpointError, match="cannot be read"):
        finetune(toy("lora"), examples(), SETTINGS, checkpoint_dir=tmp_path)


def test_a_full_disk_while_saving_keeps_the_old_checkpoint(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    loaded = toy("lora")
    real, calls = torch.save, []

    def full(state: object, path: Path) -> None:
        calls.append(path)
        if len(calls) == 2:
            Path(path).write_bytes(b"part")
            raise OSError(28, "No space left on device")
        real(state, path)

    monkeypatch.setattr(torch, "save", full)
    with pytest.raises(CheckpointError, match=r"cannot be written .*No space left.*run again"):
        finetune(loaded, examples(), SETTINGS, checkpoint_dir=tmp_path)
    assert [path.name for path in tmp_path.iterdir()] == [CHECKPOINT_FILE]
    monkeypatch.setattr(torch, "save", real)
    assert finetune(toy("lora"), examples(), SETTINGS, checkpoint_dir=tmp_path).resumed_at == 2


def test_a_checkpoint_is_written_from_the_weights_themselves(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """No copy, and no gradients beside it: for full fine-tuning each would be a quarter of all the memory planned."""
    loaded, seen, real = toy("full"), [], torch.save

    def look(state: dict[str, dict[str, torch.Tensor]], path: Path) -> None:
        own = dict(loaded.model.named_parameters())
        seen.append({name: value.data_ptr() == own[name].data_ptr() for name, value in state["weights"].items()})
        assert all(parameter.grad is None for parameter in own.values())
        real(state, path)

    monkeypatch.setattr(torch, "save", look)
    finetune(loaded, examples(), SETTINGS, checkpoint_dir=tmp_path)
    assert len(seen) == 3 and all(len(own) > 10 and all(own.values()) for own in seen)


def test_of_a_larger_storage_only_the_weights_are_written(tmp_path: Path) -> None:
    loaded = toy("full")
    finetune(loaded, examples(), SETTINGS, checkpoint_dir=tmp_path / "own")
    shared = toy("full")
    for parameter in shared.model.parameters():
        wide = torch.zeros(8 * parameter.numel())
        wide[: parameter.numel()] = parameter.data.flatten()
        parameter.data = wide[: parameter.numel()].view_as(parameter)
    finetune(shared, examples(), SETTINGS, checkpoint_dir=tmp_path / "shared")
    sizes = [(tmp_path / name / CHECKPOINT_FILE).stat().st_size for name in ("own", "shared")]
    assert abs(sizes[1] - sizes[0]) < 0.01 * sizes[0]
    assert same(weights(loaded), weights(shared))


# ------------------------------------------------------------------------------------------------------ what goes wrong


def test_an_empty_training_set_ends_with_the_untrained_model() -> None:
    loaded = toy("lora")
    before = weights(loaded)
    record = finetune(loaded, [], SETTINGS)
    assert record.status == "empty" and record.steps == 0 and "no training example arrived" in record.message
    assert same(weights(loaded), before)


def test_zero_shot_trains_nothing() -> None:
    assert finetune(toy("zero-shot"), examples(), SETTINGS).status == "zero-shot"


def test_a_loss_that_is_no_number_stops_with_the_last_good_weights(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    loaded = toy("lora")
    real, calls = BugLoss.forward, []

    def poisoned(self: BugLoss, *inputs: object) -> torch.Tensor:
        calls.append(1)
        return real(self, *inputs) * (float("nan") if len(calls) > 3 else 1.0)

    monkeypatch.setattr(BugLoss, "forward", poisoned)
    record = finetune(loaded, examples(), SETTINGS, checkpoint_dir=tmp_path)
    assert record.status == "diverged" and "nan" in record.message and record.steps == 3
    assert all(torch.isfinite(value).all() for value in weights(loaded).values())
    monkeypatch.setattr(BugLoss, "forward", real)
    shorter = toy("lora")
    stopped = finetune(shorter, examples(), replace(SETTINGS, steps=record.steps))
    assert record.losses == stopped.losses
    assert same(weights(loaded), weights(shorter)), "the weights before the bad step, constant schedule"


def test_weights_that_broke_in_the_step_before_come_back_from_the_checkpoint(tmp_path: Path) -> None:
    loaded = toy("full")

    def break_weights(done: int, total: int) -> None:
        if done == 5:
            with torch.no_grad():
                next(loaded.model.parameters()).fill_(float("inf"))

    record = finetune(loaded, examples(), SETTINGS, checkpoint_dir=tmp_path, progress=break_weights)
    assert record.status == "diverged" and record.steps == 4
    until = toy("full")
    finetune(until, examples(), replace(SETTINGS, steps=4))
    assert same(weights(loaded), weights(until))


def test_early_stopping_goes_back_to_the_best_weights() -> None:
    """The validation labels contradict the training labels, so validation gets worse from the start."""
    rows = examples()
    contrary = [replace(row, buggy=not row.buggy, label_lines=() if row.buggy else (0,)) for row in rows]
    loaded = toy("full")
    settings = replace(SETTINGS, steps=40, learning_rate=1e-2, warmup_fraction=0.0)
    record = finetune(loaded, rows, replace(settings, eval_every=2, patience=3), validation=contrary)
    assert record.status == "early_stopped" and record.steps < 40
    best = min(record.validation, key=lambda point: point[1])
    assert record.steps == best[0] + 2 * 3
    until = toy("full")
    finetune(until, rows, replace(settings, steps=best[0]))
    assert same(weights(loaded), weights(until))


@pytest.mark.parametrize(
    ("field", "value"),
    [
        ("learning_rate", 0.0), ("learning_rate", float("nan")), ("steps", 0), ("batch_programs", 0),
        ("schedule", "step"),
        ("optimiser", "sgd"), ("objectives", {}), ("objectives", {"guess": 1.0}), ("objectives", {"localise": -1.0}),
        ("warmup_fraction", 1.5), ("clip_norm", 0.0), ("weight_decay", -1.0), ("seed", -1),
    ],
)  # fmt: skip
def test_bad_settings_are_named(field: str, value: object) -> None:
    with pytest.raises(ValueError, match=f"'{field}'"):
        TrainSettings(**{"learning_rate": 1e-3, field: value})


# ------------------------------------------------------------------------------------------------------ order, schedule


def test_each_pass_takes_every_example_once_and_keeps_programs_together() -> None:
    rows = examples(6)
    order = data_order(rows, replace(SETTINGS, batch_programs=2))
    steps = [order(step) for step in range(6)]
    for first in (0, 3):  # 6 programs are 3 steps of 2
        taken = [index for step in steps[first : first + 3] for index in step]
        assert sorted(taken) == list(range(12))
        assert all(rows[a].group == rows[b].group for a, b in zip(taken[::2], taken[1::2], strict=True))
    assert steps[:3] != steps[3:]
    assert order(4) == steps[4], "the order of a step does not depend on the steps before"


def test_a_step_may_be_larger_than_the_training_set() -> None:
    order = data_order(examples(1), replace(SETTINGS, batch_programs=5))
    assert sorted(order(0)) == [0] * 5 + [1] * 5


def test_the_schedule_warms_up_and_decays() -> None:
    factor = learning_rate_factor(TrainSettings(learning_rate=1.0, steps=100, warmup_fraction=0.1))
    assert [round(factor(step), 3) for step in (0, 9, 10, 55, 99)] == [0.091, 0.909, 1.0, 0.5, 0.0]
    constant = learning_rate_factor(TrainSettings(learning_rate=1.0, steps=100, schedule="constant", warmup_steps=2))
    assert [constant(step) for step in (2, 50, 99)] == [1.0, 1.0, 1.0]


# --------------------------------------------------------------------------------------------------------------- losses


def test_localise_loss_against_probabilities_by_hand() -> None:
    lines = torch.tensor([[0.0, 1.0, 5.0], [2.0, 0.0, 0.0]])
    program = torch.tensor([0.5, -1.0])
    candidate = torch.tensor([[True, True, False], [True, True, True]])
    gold = gold_mask([(0, 1), ()], [True, False], 3)
    e = torch.exp
    first = -torch.log((e(lines[0, 0]) + e(lines[0, 1])) / (e(lines[0, 0]) + e(lines[0, 1]) + e(-program[0])))
    second = -torch.log(e(-program[1]) / (e(lines[1]).sum() + e(-program[1])))
    assert torch.allclose(localise_loss(lines, program, candidate, gold), torch.stack([first, second]))
    assert line_log_probabilities(lines, program, candidate).exp().sum(dim=1).tolist() == pytest.approx([1.0, 1.0])


def test_line_loss_against_probabilities_by_hand() -> None:
    lines = torch.tensor([[0.0, 1.0, 5.0], [2.0, 0.0, 0.0]])
    candidate = torch.tensor([[True, True, False], [True, True, True]])
    e = torch.exp
    both = line_loss(lines, candidate, gold_mask([(1,), (0, 2)], [True, True], 3))
    first = -torch.log(e(lines[0, 1]) / (e(lines[0, 0]) + e(lines[0, 1])))
    second = -torch.log((e(lines[1, 0]) + e(lines[1, 2])) / e(lines[1]).sum())
    assert torch.allclose(both, torch.stack([first, second]))
    assert line_loss(lines, candidate, gold_mask([(), ()], [False, False], 3)).tolist() == [0.0, 0.0]


def test_the_likelihood_objective_is_the_mean_nll_of_correct_texts_as_it_is_scored() -> None:
    loaded = toy("full")
    rows = [replace(row, text=row.text + "x = 1\n") if row.buggy else row for row in examples(3)]
    encodings = [encode_example(row, loaded.tokenizer) for row in rows]
    batch = make_batch(encodings, pad_id=int(loaded.tokenizer.pad_token_id))
    gold = gold_mask([row.label_lines for row in rows], [row.buggy for row in rows], batch.line_ends.shape[1])
    loss = BugLoss(loaded.model, loaded.base, verdict_ids(loaded.tokenizer), {"likelihood": 1.0})(batch, gold)
    scores = score_texts(loaded, [row.text for row in rows])
    expected = [0.0 if row.buggy else scores[row.text].mean_nll for row in rows]
    assert loss.tolist() == pytest.approx(expected, abs=1e-4)
    assert min(value for value, row in zip(expected, rows, strict=True) if not row.buggy) > 1.0


@pytest.mark.parametrize("objective", ["localise", "line"])
def test_a_row_whose_gold_line_is_unknown_costs_nothing_and_has_a_zero_gradient(objective: str) -> None:
    lines = torch.zeros(3, 2, requires_grad=True)
    candidate = torch.tensor([[True, True], [False, True], [False, False]])
    gold = gold_mask([(), (0,), (0, 1)], [True, True, True], 2)
    if objective == "line":
        loss = line_loss(lines, candidate, gold)
    else:
        loss = localise_loss(lines, torch.zeros(3), candidate, gold)
    loss.sum().backward()
    assert loss.tolist() == [0.0, 0.0, 0.0]
    assert torch.equal(lines.grad, torch.zeros(3, 2))


def test_completion_loss_is_the_cross_entropy_of_the_answer_alone() -> None:
    loaded = toy()
    rows = examples(2)
    encodings = [encode_example(row, loaded.tokenizer) for row in rows]
    batch = make_batch(encodings, pad_id=258)
    hidden = hidden_states(loaded.base, batch.input_ids, batch.attention_mask)
    loss = completion_loss(hidden, loaded.base.get_output_embeddings(), batch.labels)
    for row, encoding in enumerate(encodings):
        logits = loaded.model(torch.tensor([encoding.input_ids[:-1]])).logits[0, -1]
        assert float(loss[row]) == pytest.approx(-float(torch.log_softmax(logits, 0)[encoding.input_ids[-1]]), abs=1e-4)
    assert verdict_ids(loaded.tokenizer) == (ord("b"), ord("o"))
