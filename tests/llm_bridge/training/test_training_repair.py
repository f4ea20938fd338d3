"""Fixes are learnt in the words in which they are asked for, and what was learnt passes its tests in the sandbox."""

from __future__ import annotations

from dataclasses import replace
from itertools import pairwise

import pytest
import torch
from training_texts import examples, same, toy, weights

from llm_bridge.corpora.programs import ProgramPair, TestSuite
from llm_bridge.scoring.metrics import measures
from llm_bridge.scoring.repair import GenerationSettings, generate_repairs, put_line, repair
from llm_bridge.training.adapters import attach
from llm_bridge.training.examples import (
    IGNORED,
    Example,
    clean_examples,
    encode_example,
    encode_repair,
    fixed_lines,
    make_batch,
    replaced_line,
    training_examples,
)
from llm_bridge.training.finetune import TrainSettings, finetune
from llm_bridge.training.methods import AdapterSettings, method_named
from llm_bridge.training.models import load_model
from llm_bridge.training.objectives import BugLoss, gold_mask
from llm_bridge.training.repair_prompts import line_prompt
from llm_bridge.training.toy import byte_tokenizer
from llm_bridge.transport.link import Damage, Item, ReceivedItem

TOKENIZER = byte_tokenizer()
ADD = ProgramPair(
    name="add",
    buggy="def add(x, y):\n    z = x - y\n    return z\n",
    correct="def add(x, y):\n    z = x + y\n    return z\n",
    docstring="",
    buggy_line=2,
    tests=TestSuite(cases=(((1, 2), 3), ((0, 0), 0))),
    corpus="toy",
    group="add",
)
MISSING = replace(
    ADD,
    name="clip",
    group="clip",
    buggy="def clip(x):\n    y = x\n    return y\n",
    correct="def clip(x):\n    y = x\n    y = max(y, 0)\n    return y\n",
    buggy_line=3,
    tests=TestSuite(cases=(((3,), 3), ((-2,), 0))),
)
LAST = replace(
    ADD,
    name="last",
    group="last",
    buggy="def last(x):\n    y = x[-1]\n",
    correct="def last(x):\n    y = x[-1]\n    return y\n",
    buggy_line=3,
)
REPAIR = TrainSettings(learning_rate=1e-2, steps=60, batch_programs=2, schedule="constant", objectives={"repair": 1.0})


def arrive(
    pair: ProgramPair, text: str | None = None, spans: tuple[tuple[int, int], ...] | None = None
) -> ReceivedItem:
    sent = pair.buggy
    if spans is None:
        ends = [0]
        for line in sent.splitlines(keepends=True):
            ends.append(ends[-1] + len(line))
        spans = tuple(pairwise(ends))
    nothing = Damage(bytes_sent=1, byte_errors=0, symbol_errors=0, fragments_sent=1, fragments_lost=0, airtime_s=0.1)
    return ReceivedItem(
        item=Item(corpus=pair.corpus, program=pair.name, version="buggy", text=sent),
        text=sent if text is None else text,
        erasures=(),
        line_spans=spans,
        delivered=True,
        intact=text is None,
        damage=nothing,
    )


@pytest.mark.parametrize("pair", [ADD, MISSING, LAST], ids=lambda pair: pair.name)
def test_the_fix_in_its_place_is_the_correct_program(pair: ProgramPair) -> None:
    assert put_line(pair.buggy, replaced_line(pair), fixed_lines(pair), max_lines=9) == pair.correct


@pytest.mark.parametrize("pair", [ADD, MISSING, LAST], ids=lambda pair: pair.name)
def test_the_encoding_is_the_generators_prompt_then_the_fix_and_the_end(pair: ProgramPair) -> None:
    example = clean_examples([pair])[0]
    encoding = encode_repair(example, TOKENIZER)
    prompt, _ = line_prompt(pair.buggy, replaced_line(pair))
    answer = [*b"\n", *fixed_lines(pair).encode(), TOKENIZER.eos_token_id]
    assert list(encoding.input_ids) == [TOKENIZER.bos_token_id, *prompt.encode(), *answer]
    assert list(encoding.labels) == [IGNORED] * (1 + len(prompt)) + answer
    assert not encoding.truncated


def test_a_long_prompt_loses_its_beginning_and_never_its_fix() -> None:
    example = clean_examples([ADD])[0]
    whole = encode_repair(example, TOKENIZER)
    cut = encode_repair(example, TOKENIZER, max_tokens=40)
    assert len(cut.input_ids) == 40 and cut.truncated
    assert cut.input_ids[1:] == whole.input_ids[-39:] and cut.input_ids[0] == whole.input_ids[0]
    assert encode_repair(example, TOKENIZER, max_tokens=15) is None, "no room beside the fix"


def test_rows_without_a_fix_or_without_its_line_are_not_encoded() -> None:
    assert encode_repair(clean_examples([ADD])[1], TOKENIZER) is None
    lost = "def add(x, y):\n\ufffd    return z\n"
    arrival = replace(arrive(ADD), text=lost, erasures=((15, 29),), line_spans=((0, 15), (15, 42)))
    (row,) = training_examples([arrival], [ADD])
    assert row.fix == "    z = x + y\n" and row.fix_line is None
    assert encode_repair(row, TOKENIZER) is None


def test_the_fix_of_a_missing_line_replaces_the_line_below_it_also_where_that_is_the_only_one_left() -> None:
    (whole,) = training_examples([arrive(MISSING)], [MISSING])
    assert (whole.label_lines, whole.fix_line) == ((1, 2), 2)
    text = "def clip(x):\n    y = x\n\ufffd"
    damaged = replace(arrive(MISSING), text=text, erasures=((23, 36),), line_spans=((0, 13), (13, 23), (23, 36)))
    (row,) = training_examples([damaged], [MISSING])
    assert row.label_lines == (1,) and row.fix_line is None, "the line above is a gold line, not the fix' place"


def test_the_loss_is_the_mean_over_the_answers_tokens() -> None:
    loaded = toy()
    rows = clean_examples([ADD])
    fix = encode_repair(rows[0], TOKENIZER)
    batch = make_batch([encode_example(row, TOKENIZER) for row in rows], pad_id=258)
    gold = gold_mask([row.label_lines for row in rows], [row.buggy for row in rows], batch.line_ends.shape[1])
    loss = BugLoss(loaded.model, loaded.base, (98, 111), {"repair": 2.0})
    found = loss(batch, gold, make_batch([fix], pad_id=258), torch.tensor([0]))
    log_p = torch.log_softmax(loaded.model(torch.tensor([fix.input_ids])).logits[0], dim=1)
    asked = [i for i, label in enumerate(fix.labels) if label != IGNORED]
    expected = -sum(float(log_p[i - 1, fix.labels[i]]) for i in asked) / len(asked)
    assert found.tolist() == pytest.approx([2 * expected, 0.0], rel=1e-5)


@pytest.mark.parametrize("method", ["full", "lora", "qlora"])
def test_a_fix_that_was_learnt_is_written_and_accepted_by_the_sandbox(method: str) -> None:
    """Two pairs, one of them a missing line: before training neither is repaired, afterwards both are.

    The toy's embedding, which is also its head, is enlarged: as it is drawn no adapter below it could make it sure.
    """
    pairs = [ADD, MISSING]
    suspicious = {pair.buggy: replaced_line(pair) for pair in pairs}
    settings = GenerationSettings(what="line", max_lines=2)
    base = load_model("toy", storage=method_named(method).storage)
    base.base.get_input_embeddings().weight.data.mul_(1.0 if method == "full" else 15.0)
    loaded = attach(base, method, AdapterSettings(rank=16, alpha=32.0))

    def plausible() -> float:
        candidates = generate_repairs(loaded, suspicious, settings)
        return measures(repair([arrive(pair) for pair in pairs], pairs, candidates))["plausible@1"].value

    assert plausible() == 0.0
    settings_of = replace(REPAIR, steps=120 if method == "full" else 350, learning_rate=5e-3, schedule="cosine")
    record = finetune(loaded, clean_examples(pairs), settings_of)
    assert record.status == "finished" and record.losses[-1] < 0.05 * record.losses[0]
    assert plausible() == 1.0


def test_repair_joins_the_other_objectives() -> None:
    rows = clean_examples([ADD, MISSING])
    settings = replace(REPAIR, steps=1, learning_rate=1e-9, batch_programs=len(rows))
    each = [finetune(toy("full"), rows, replace(settings, objectives={name: 1.0})).losses[0]
            for name in ("localise", "repair")]  # fmt: skip
    both = finetune(toy("full"), rows, replace(settings, objectives={"localise": 1.0, "repair": 0.5})).losses[0]
    assert both == pytest.approx(each[0] + 0.5 * each[1] / 2, rel=1e-5), "half of the four texts have a fix"


def test_without_any_fix_nothing_is_learnt_and_nothing_breaks() -> None:
    loaded = toy("lora")
    before = weights(loaded)
    record = finetune(loaded, [row for row in examples() if not row.buggy], replace(REPAIR, steps=2))
    assert record.status == "empty" and record.losses == () and same(weights(loaded), before)


def test_validation_reads_the_fixes_too() -> None:
    rows = clean_examples([ADD, MISSING])
    settings = replace(REPAIR, steps=4, eval_every=2)
    record = finetune(toy("full"), rows, settings, validation=rows)
    assert [step for step, _ in record.validation] == [2, 4]
    assert record.validation[1][1] < record.validation[0][1] < record.losses[0] * len(rows)


def test_old_rows_without_a_fix_line_are_accepted() -> None:
    row = Example(text="a\n", label_lines=(0,), buggy=True, item_id="toy/a/buggy", fix="b\n")
    assert encode_repair(row, TOKENIZER) is None
