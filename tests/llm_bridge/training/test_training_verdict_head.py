"""The trained verdict head: what it reads, what it trains, and that it is kept."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest
import torch

from llm_bridge.scoring.likelihood import score_texts
from llm_bridge.training.adapters import attach, load_trained, save_trained
from llm_bridge.training.common import ModelError
from llm_bridge.training.examples import Example, encode_text, make_batch
from llm_bridge.training.finetune import TrainSettings, finetune
from llm_bridge.training.methods import AdapterSettings
from llm_bridge.training.models import LoadedModel, load_model
from llm_bridge.training.objectives import hidden_states
from llm_bridge.training.optimisation import data_order
from llm_bridge.training.verdict_head import first_blocks

TEXT = "def f(x):\n    y = x\n    return y\n"
LINE = TrainSettings(learning_rate=1e-2, steps=40, batch_programs=2, schedule="constant", objectives={"line": 1.0})


def examples(count: int = 6) -> list[Example]:
    """Programs whose bug is the line that holds a z, in both versions."""
    rows = []
    for index in range(count):
        lines = [f"def f{index}(x):", "    y = x", "    return y"]
        place = 1 + index % 2
        lines[place] = lines[place].replace("y", "z")
        buggy = "\n".join(lines) + "\n"
        rows.append(Example(text=buggy, label_lines=(place,), buggy=True, item_id=f"c/p{index}/buggy"))
        correct = buggy.replace("z", "y")
        rows.append(Example(text=correct, label_lines=(), buggy=False, item_id=f"c/p{index}/correct"))
    return rows


def model(method: str, layer: int | None = 1) -> LoadedModel:
    storage = "nf4" if method.startswith("qlora") else "full"
    return attach(load_model("toy", storage=storage), method, AdapterSettings(read_layer=layer))


def test_the_states_after_some_blocks_are_the_models_own() -> None:
    loaded = load_model("toy")
    batch = make_batch([encode_text(TEXT, loaded.tokenizer)], pad_id=0)
    base = loaded.base
    with torch.no_grad():
        every = base.get_decoder()(
            input_ids=batch.input_ids, attention_mask=batch.attention_mask, output_hidden_states=True
        ).hidden_states
        found = hidden_states(base, batch.input_ids, batch.attention_mask, num_blocks=1)
    expected = base.get_decoder().norm(every[1])  # the library's own output of block 1, then the final norm
    assert torch.allclose(found, expected, atol=1e-6)


def test_the_blocks_come_back_after_an_error() -> None:
    base = load_model("toy").base
    blocks = base.get_decoder().layers
    with pytest.raises(RuntimeError), first_blocks(base, 1):
        assert len(base.get_decoder().layers) == 1
        raise RuntimeError
    assert base.get_decoder().layers is blocks


@pytest.mark.parametrize("method", ["lora", "qlora", "full"])
def test_nothing_behind_the_head_is_trained(method: str) -> None:
    loaded = model(method)
    names = [name for name, parameter in loaded.model.named_parameters() if parameter.requires_grad]
    assert names
    assert not any("layers.1." in name for name in names)
    counted = sum(p.numel() for p in loaded.model.parameters() if p.requires_grad)
    assert loaded.head is not None
    assert loaded.fingerprint["num_trainable"] == counted + sum(p.numel() for p in loaded.head.parameters())


def test_a_probe_trains_the_head_alone() -> None:
    loaded = model("probe")
    before = {name: value.clone() for name, value in loaded.model.state_dict().items()}
    record = finetune(loaded, examples(), LINE)
    assert record.status == "finished"
    assert record.num_trainable == 2 * (loaded.base.config.hidden_size + 1)
    assert all(torch.equal(value, before[name]) for name, value in loaded.model.state_dict().items())
    assert loaded.head is not None
    assert float(loaded.head.weight[0].abs().sum()) > 0, "the row for lines moved"
    assert float(loaded.head.weight[1].abs().sum()) == 0, "the row for programs has no loss here"


@pytest.mark.parametrize("method", ["probe", "lora", "full"])
def test_the_line_is_learnt(method: str) -> None:
    loaded = model(method)
    rows = examples(8)
    record = finetune(loaded, rows, replace(LINE, steps=60, head_learning_rate=3e-2))
    scores = score_texts(loaded, [row.text for row in rows if row.buggy])
    right = [
        max(range(3), key=scores[row.text].line_verdict.__getitem__) in row.label_lines for row in rows if row.buggy
    ]
    assert record.losses[0] == pytest.approx(1.0986, abs=1e-3), "three lines, no opinion: log 3"
    assert all(right)
    assert scores[rows[0].text].line_nll == ()
    assert scores[rows[0].text].sum_nll == 0.0


def test_detect_with_a_head_is_a_logistic_loss() -> None:
    record = finetune(model("probe"), examples(), replace(LINE, objectives={"detect": 1.0}, steps=1))
    assert record.losses[0] == pytest.approx(0.6931, abs=1e-3), "no opinion: log 2"


@pytest.mark.parametrize("method", ["probe", "lora", "full"])
def test_a_kept_model_gives_the_same_verdicts(method: str, tmp_path: Path) -> None:
    loaded = model(method)
    finetune(loaded, examples(), replace(LINE, steps=3))
    before = score_texts(loaded, [TEXT])[TEXT]
    save_trained(loaded, tmp_path / "kept")
    again = load_trained(load_model("toy"), tmp_path / "kept")
    assert score_texts(again, [TEXT])[TEXT].line_verdict == pytest.approx(before.line_verdict, abs=1e-6)


def test_a_run_that_was_stopped_gives_the_same_head(tmp_path: Path) -> None:
    def stop(done: int, total: int) -> None:
        if done == 3:
            raise KeyboardInterrupt

    settings = replace(LINE, steps=6, checkpoint_every=1)
    straight, stopped, resumed = model("lora"), model("lora"), model("lora")
    finetune(straight, examples(), settings)
    with pytest.raises(KeyboardInterrupt):
        finetune(stopped, examples(), settings, checkpoint_dir=tmp_path, progress=stop)
    record = finetune(resumed, examples(), settings, checkpoint_dir=tmp_path)
    assert record.resumed_at >= 2
    assert straight.head is not None
    assert resumed.head is not None
    assert torch.equal(straight.head.weight, resumed.head.weight)


def test_correct_texts_cost_nothing_where_no_objective_reads_them() -> None:
    rows = examples()
    both, buggy = model("probe"), model("probe")
    finetune(both, rows, replace(LINE, steps=4))
    finetune(buggy, [row for row in rows if row.buggy], replace(LINE, steps=4))
    assert both.head is not None
    assert buggy.head is not None
    assert torch.equal(both.head.weight, buggy.head.weight)


def test_a_step_counts_programs() -> None:
    rows = examples(4)
    assert sorted({rows[index].group for index in data_order(rows, LINE)(0)}) != []
    assert len({rows[index].group for index in data_order(rows, LINE)(0)}) == 2
    assert len(data_order(rows, LINE)(0)) == 4


def test_a_training_set_without_a_known_line_leaves_the_model_untrained() -> None:
    rows = [replace(row, label_lines=()) for row in examples()]
    record = finetune(model("probe"), rows, LINE)
    assert record.status == "empty"


@pytest.mark.parametrize("layer", [0, 3])
def test_a_layer_beyond_the_model_is_refused(layer: int) -> None:
    with pytest.raises(ModelError, match=rf"'read_layer' must lie in 1\.\.\.2.*got {layer}"):
        attach(load_model("toy"), "lora", AdapterSettings(read_layer=layer))


def test_a_probe_without_a_layer_is_refused() -> None:
    with pytest.raises(ValueError, match="'read_layer' must be given"):
        attach(load_model("toy"), "probe")


def test_objectives_that_need_later_blocks_are_refused() -> None:
    with pytest.raises(ValueError, match=r"'objectives' with a 'read_layer'.*distil"):
        finetune(model("lora"), examples(), replace(LINE, objectives={"line": 1.0, "distil": 1.0}))
