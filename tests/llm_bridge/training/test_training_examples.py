"""From received texts to token ids, line ends and labels."""

from __future__ import annotations

import os
from dataclasses import dataclass, replace

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from llm_bridge.corpora.programs import ProgramPair, TestSuite, line_spans
from llm_bridge.scoring.likelihood import score_texts
from llm_bridge.training.adapters import attach
from llm_bridge.training.distillation import predict
from llm_bridge.training.examples import (
    ANSWERS,
    IGNORED,
    SUFFIX,
    Example,
    chat_frame,
    clean_examples,
    encode_example,
    encode_text,
    fixed_lines,
    gold_spans,
    length_batches,
    make_batch,
    received_gold_lines,
    training_examples,
    verdict_ids,
)
from llm_bridge.training.finetune import TrainSettings, finetune
from llm_bridge.training.models import LoadedModel, load_model
from llm_bridge.training.toy import byte_tokenizer

TOKENIZER = byte_tokenizer()
BUGGY = "def f(x):\n    y = x + 1\n    return y\n"
CORRECT = "def f(x):\n    y = x + 2\n    return y\n"


def pair(buggy: str = BUGGY, correct: str = CORRECT, line: int = 2) -> ProgramPair:
    return ProgramPair(
        name="f",
        buggy=buggy,
        correct=correct,
        docstring="",
        buggy_line=line,
        tests=TestSuite(),
        corpus="toy",
        group="f",
    )


@dataclass
class Sent:
    version: str
    corpus: str = "toy"
    program: str = "f"


@dataclass
class Arrived:
    item: Sent
    text: str
    line_spans: tuple[tuple[int, int], ...]
    erasures: tuple[tuple[int, int], ...] = ()
    delivered: bool = True


def arrived(version: str, text: str, **changes: object) -> Arrived:
    return Arrived(item=Sent(version), text=text, line_spans=tuple(line_spans(text)), **changes)


# --------------------------------------------------------------------------------------------------------------- labels


def test_clean_examples_mark_the_changed_line_and_the_fix() -> None:
    buggy, correct = clean_examples([pair()])
    assert (buggy.buggy, buggy.label_lines, buggy.fix) == (True, (1,), "    y = x + 2\n")
    assert (correct.buggy, correct.label_lines, correct.fix) == (False, (), None)
    assert buggy.group == correct.group == "toy/f"


def test_a_missing_line_has_two_gold_lines_and_a_fix_of_two_lines() -> None:
    missing = pair("def f(x):\n    y = x\n    return y\n", "def f(x):\n    y = x\n    y += 1\n    return y\n", line=3)
    assert clean_examples([missing])[0].label_lines == (1, 2)
    assert fixed_lines(missing) == "    y += 1\n    return y\n"


def test_labels_follow_the_transmitted_item_whatever_the_channel_did() -> None:
    damaged = CORRECT.replace("2", "7")
    rows = training_examples([arrived("correct", damaged), arrived("buggy", BUGGY)], [pair()])
    assert [(row.buggy, row.label_lines) for row in rows] == [(False, ()), (True, (1,))]
    assert rows[0].text == damaged


def test_an_undelivered_item_gives_no_example() -> None:
    assert training_examples([arrived("buggy", "", delivered=False)], [pair()]) == []


def test_a_gold_line_that_was_wholly_lost_is_not_labelled() -> None:
    (gold,) = gold_spans(pair())
    text = "def f(x):\n\ufffd    return y\n"
    spans = ((0, 10), (10, len(BUGGY.encode())))
    lost = Arrived(item=Sent("buggy"), text=text, line_spans=spans, erasures=(gold,))
    assert received_gold_lines(lost, [gold]) == ()
    row = training_examples([lost], [pair()])[0]
    assert row.buggy and row.label_lines == ()


def test_a_gold_line_that_was_lost_in_part_is_the_line_that_holds_the_rest() -> None:
    (gold,) = gold_spans(pair())
    text = "def f(x)\ufffd + 1\n    return y\n"
    spans = ((0, gold[1]), (gold[1], len(BUGGY.encode())))
    part = Arrived(item=Sent("buggy"), text=text, line_spans=spans, erasures=((8, gold[0] + 5),))
    assert received_gold_lines(part, [gold]) == (0,)


def test_an_item_of_an_unknown_program_is_an_error() -> None:
    with pytest.raises(KeyError, match="f"):
        training_examples([arrived("buggy", BUGGY)], [])


# ------------------------------------------------------------------------------------------------------------- encoding


def test_prompt_labels_are_ignored_and_only_the_answer_is_labelled() -> None:
    bug, ok = verdict_ids(TOKENIZER)
    for buggy, answer in ((True, bug), (False, ok)):
        encoding = encode_example(Example(text=BUGGY, label_lines=(), buggy=buggy, item_id="a/b/c"), TOKENIZER)
        assert encoding.labels[-1] == encoding.input_ids[-1] == answer
        assert set(encoding.labels[:-1]) == {IGNORED}
        assert encoding.suffix_end == len(encoding.input_ids) - 2


def test_input_is_prefix_text_suffix() -> None:
    encoding = encode_text(BUGGY, TOKENIZER)
    assert list(encoding.input_ids) == [TOKENIZER.bos_token_id, *BUGGY.encode(), *SUFFIX.encode()]
    assert encoding.num_text == len(BUGGY)


def test_line_ends_hold_the_newline() -> None:
    encoding = encode_text(BUGGY, TOKENIZER)
    assert [encoding.input_ids[index] for index in encoding.line_ends] == [ord("\n")] * 3
    assert encoding.line_ends == (10, 24, 37)


@given(st.text(alphabet=st.sampled_from("ab \n\t\ufffdé😀\x0b\r\u2028"), max_size=40))
def test_every_text_has_an_end_for_every_line_and_a_line_for_every_token(text: str) -> None:
    encoding = encode_text(text, TOKENIZER)
    spans = line_spans(text)
    assert len(encoding.line_ends) == len(encoding.blank) == len(spans)
    assert [index - 1 for index in encoding.line_ends] == [end - 1 for _, end in spans]  # a token is a byte here
    assert all(spans[line][0] <= byte < spans[line][1] for byte, line in enumerate(encoding.token_line))
    assert not encoding.truncated


def test_a_lone_surrogate_does_not_raise() -> None:
    assert encode_text("a\ud800b\n", TOKENIZER).num_text == 4


def test_names_of_special_tokens_are_plain_text() -> None:
    encoding = encode_text("x = '<|eos|>'\n", TOKENIZER)
    assert TOKENIZER.eos_token_id not in encoding.input_ids


def test_a_long_text_is_cut_and_marked_and_its_last_line_judged_by_what_is_there() -> None:
    encoding = encode_text("ab\ncdefgh\nij\n", TOKENIZER, max_tokens=1 + len(SUFFIX) + 6)
    assert encoding.truncated and encoding.num_text == 6
    assert encoding.line_ends == (3, 6)
    assert encode_text("x" * 9999, TOKENIZER, max_tokens=64).line_ends == (64 - len(SUFFIX) - 1,)
    with pytest.raises(ValueError, match=r"'max_tokens' must leave room"):
        encode_text("x", TOKENIZER, max_tokens=3)


def test_a_hole_alone_and_a_blank_line_are_no_place_for_a_bug() -> None:
    assert encode_text("a\n\n \ufffd\nb\ufffd\n", TOKENIZER).blank == (False, True, True, False)


def test_a_token_that_spans_lines_belongs_to_the_first() -> None:
    """As in large vocabularies, where one token is a newline with the next line's indentation."""
    from llm_bridge.training.examples import _place_lines

    text = "a:\n\n  b"  # tokens 'a', ':\n\n  ', 'b'
    token_line, ends = _place_lines([1, 6, 7], [end for _, end in line_spans(text)])
    assert token_line == [0, 0, 2]
    assert ends == [1, 1, 2]


@pytest.mark.skipif("CHIRPBRIDGE_LLAMA3_TOKENIZER" not in os.environ, reason="set it to a Llama-3 tokenizer.json")
def test_the_llama_3_tokenizer_gives_every_line_its_end_and_the_answers_one_token_each() -> None:
    """Meta's vocabulary is under its own licence and not part of this repository."""
    from transformers import PreTrainedTokenizerFast

    tokenizer = PreTrainedTokenizerFast(
        tokenizer_file=os.environ["CHIRPBRIDGE_LLAMA3_TOKENIZER"],
        bos_token="<|begin_of_text|>",
        eos_token="<|end_of_text|>",
    )
    assert len(tokenizer) == 128_256 < 2**17
    assert all(len(tokenizer(answer, add_special_tokens=False).input_ids) == 1 for answer in ANSWERS)
    for text in (BUGGY, BUGGY.replace("\n    ", "\n\n\ufffd", 1), "x = '<|eot_id|>'\n", "é😀\n"):
        encoding = encode_text(text, tokenizer)
        assert encoding.input_ids[0] == 128_000 and max(encoding.input_ids[1:]) < 128_000
        assert len(encoding.line_ends) == len(text.splitlines())
        words = encoding.input_ids[1 : 1 + encoding.num_text]
        assert tokenizer.decode(words) == text
        for line, end in enumerate(encoding.line_ends):  # everything up to the end token covers the line, and no less
            covered = tokenizer.decode(words[:end])
            needed = "".join(text.splitlines(keepends=True)[: line + 1])
            assert covered.startswith(needed) and not tokenizer.decode(words[: end - 1]).startswith(needed)


# ------------------------------------------------------------------------------------------------------------- batching


def test_batches_pad_on_the_right_and_mark_candidate_lines() -> None:
    rows = [encode_text("a\n\nb\n", TOKENIZER), encode_text("abc\n", TOKENIZER)]
    batch = make_batch(rows, pad_id=258)
    for row, encoding in enumerate(rows):
        size = len(encoding.input_ids)
        assert tuple(batch.input_ids[row, :size].tolist()) == encoding.input_ids
        assert batch.attention_mask[row].tolist() == [1] * size + [0] * (batch.input_ids.shape[1] - size)
        assert (batch.input_ids[row, size:] == 258).all() and (batch.labels[row, size:] == IGNORED).all()
    assert batch.candidate.tolist() == [[True, False, True], [True, False, False]]


@given(st.lists(st.integers(1, 300), max_size=30), st.integers(1, 600))
def test_length_batches_hold_each_index_once_within_the_bound(lengths: list[int], bound: int) -> None:
    batches = length_batches(lengths, bound)
    assert sorted(index for batch in batches for index in batch) == list(range(len(lengths)))
    for batch in batches:
        assert len(batch) == 1 or len(batch) * max(lengths[index] for index in batch) <= bound


def test_batches_are_tensors_of_integers() -> None:
    batch = make_batch([encode_text("", TOKENIZER)], pad_id=258)
    assert batch.input_ids.dtype == batch.labels.dtype == torch.long
    assert batch.candidate.shape == (1, 1) and not batch.candidate.any()


# ------------------------------------------------------------------------------------------------------- chat template

TEMPLATE = (
    "{% for m in messages %}[{{ m.role }}]{{ m.content }}[/]{% endfor %}{% if add_generation_prompt %}[bot]{% endif %}"
)


def chatty() -> LoadedModel:
    """The toy with a chat template, as `load_model(..., chat_template=True)` loads a model that has one."""
    loaded = load_model("toy")
    loaded.tokenizer.chat_template = TEMPLATE
    return replace(loaded, frame=chat_frame(loaded.tokenizer))


def test_a_chat_template_stands_around_text_and_suffix() -> None:
    loaded, text = chatty(), "def f(x):\n    return x\n"
    encoding = encode_text(text, loaded.tokenizer, frame=loaded.frame)
    assert bytes(encoding.input_ids).decode() == f"[user]{text}{SUFFIX}[/][bot]"
    start, size = encoding.text_start, encoding.num_text
    assert bytes(encoding.input_ids[start : start + size]).decode() == text
    assert [encoding.input_ids[end] for end in encoding.line_ends] == [10, 10]
    assert encoding.suffix_end == len(encoding.input_ids) - 1
    cut = encode_text(text * 9, loaded.tokenizer, frame=loaded.frame, max_tokens=60)
    assert len(cut.input_ids) == 60 and cut.truncated
    assert bytes(cut.input_ids).decode().endswith(f"{SUFFIX}[/][bot]")


def test_scores_and_teacher_under_a_chat_template_are_the_models_own() -> None:
    """Both read the right tokens: compared with one plain pass over the written-out prompt."""
    loaded, text = chatty(), "def f(x):\n    return x + 1\n"
    ids = torch.tensor([[*f"[user]{text}{SUFFIX}[/][bot]".encode()]])
    with torch.inference_mode():
        logits = loaded.model(ids).logits[0]
    log_p, first, size = torch.log_softmax(logits, dim=1), len("[user]"), len(text)
    own = -log_p[first - 1 : first + size - 1].gather(1, ids[0, first : first + size, None]).sum()
    scores = score_texts(loaded, [text])[text]
    assert scores.sum_nll == pytest.approx(float(own), rel=1e-5)
    assert scores.program_verdict == pytest.approx(float(logits[-1, ord("b")] - logits[-1, ord("o")]), abs=1e-4)
    taught = predict(loaded, [text]).predictions[text]
    expected = log_p[first - 1 : first + size - 1].topk(64, dim=1)
    assert torch.allclose(taught.log_p, expected.values, atol=1e-4)


def test_training_under_a_chat_template_starts_at_no_divergence_from_its_teacher() -> None:
    loaded = attach(chatty(), "full")
    rows = [Example(text="a = 1\nb = 2\n", label_lines=(1,), buggy=True, item_id="c/p/buggy")]
    settings = TrainSettings(learning_rate=1e-3, steps=2, objectives={"distil": 1.0}, schedule="constant")
    record = finetune(loaded, rows, settings)
    assert record.losses[0] == pytest.approx(0.0, abs=1e-5)


def test_a_template_that_is_not_there_or_changes_the_message_is_refused() -> None:
    tokenizer = load_model("toy").tokenizer
    with pytest.raises(ValueError, match="the model's tokenizer has none"):
        chat_frame(tokenizer)
    tokenizer.chat_template = "{{ messages[0].content | upper }}"
    with pytest.raises(ValueError, match="changes the message"):
        chat_frame(tokenizer)
