"""Scores from one forward pass, against the model asked plainly; and the decisions made of them."""

from __future__ import annotations

import math
from dataclasses import replace

import numpy as np
import pytest
import torch
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from llm_bridge.corpora.programs import ProgramPair, TestSuite
from llm_bridge.scoring import likelihood
from llm_bridge.scoring.detect import detect
from llm_bridge.scoring.likelihood import LikelihoodError, TextScores, score_texts
from llm_bridge.scoring.localise import localise
from llm_bridge.scoring.metrics import measures
from llm_bridge.scoring.paired import paired
from llm_bridge.training.adapters import attach
from llm_bridge.training.examples import SUFFIX
from llm_bridge.training.models import LoadedModel, load_model
from llm_bridge.transport.link import Item, RadioSettings, send_items

TEXTS = [f"def f{n}(x):\n    y = x + {n}\n{'    y += 1' + chr(10) if n % 2 else ''}    return y\n" for n in range(6)]
BUG, OK = ord("b"), ord("o")


@pytest.fixture(scope="module")
def toy() -> LoadedModel:
    torch.set_num_threads(1)
    return load_model("toy")


def plain(loaded: LoadedModel, text: str) -> tuple[np.ndarray, np.ndarray]:
    """Token NLLs and all logits of one text with its suffix, from the model's own forward pass."""
    ids = torch.tensor([[256, *text.encode(), *SUFFIX.encode()]])
    with torch.inference_mode():
        logits = loaded.model(ids).logits[0]
    log_p = torch.log_softmax(logits, dim=1)
    count = len(text.encode())
    nll = [-float(log_p[index, ids[0, index + 1]]) for index in range(count)]
    return np.array(nll), logits.numpy()


def test_scores_are_those_of_the_models_own_forward_pass(toy: LoadedModel) -> None:
    scores = score_texts(toy, TEXTS)
    for text in TEXTS:
        nll, logits = plain(toy, text)
        found = scores[text]
        assert found.num_tokens == len(text)
        assert found.sum_nll == pytest.approx(nll.sum(), rel=1e-5)
        assert found.mean_nll == pytest.approx(nll.mean(), rel=1e-5)
        ends = np.cumsum([len(line) for line in text.splitlines(keepends=True)])
        assert found.line_nll == pytest.approx([part.sum() for part in np.split(nll, ends[:-1])], rel=1e-5)
        assert found.line_verdict == pytest.approx((logits[ends, BUG] - logits[ends, OK]).tolist(), abs=1e-5)
        assert found.program_verdict == pytest.approx(logits[-1, BUG] - logits[-1, OK], abs=1e-5)
        assert found.none_verdict == -found.program_verdict


ARCHITECTURES = {
    "llama": {"num_key_value_heads": 2},
    "mistral": {"num_key_value_heads": 2, "sliding_window": 512},
    "qwen2": {"num_key_value_heads": 4},
    "gemma": {"num_key_value_heads": 1, "head_dim": 16},
}


@pytest.mark.parametrize("attention", ["sdpa", "eager"])
@pytest.mark.parametrize("kind", ARCHITECTURES)
def test_a_prefix_tree_gives_what_separate_passes_give(toy: LoadedModel, kind: str, attention: str) -> None:
    from transformers import AutoConfig, AutoModelForCausalLM

    config = AutoConfig.for_model(
        kind, vocab_size=259, hidden_size=64, intermediate_size=96, num_hidden_layers=3, num_attention_heads=4,
        max_position_embeddings=1024, **ARCHITECTURES[kind],
    )  # fmt: skip
    torch.manual_seed(1)
    model = AutoModelForCausalLM.from_config(config, attn_implementation=attention).eval()
    for parameter in model.parameters():  # of the size that makes attention matter
        parameter.data.mul_(4.0)
    loaded = replace(toy, model=model)
    for text, found in score_texts(loaded, [*TEXTS, "", "z"]).items():
        nll, logits = plain(loaded, text)
        assert found.sum_nll == pytest.approx(nll.sum(), abs=1e-4)
        ends = np.cumsum([len(line) for line in text.splitlines(keepends=True)], dtype=int)
        assert found.line_verdict == pytest.approx((logits[ends, BUG] - logits[ends, OK]).tolist(), abs=1e-4)
        assert found.program_verdict == pytest.approx(logits[-1, BUG] - logits[-1, OK], abs=1e-4)


def test_scores_do_not_depend_on_what_else_is_scored(toy: LoadedModel) -> None:
    """Only rounding may differ (float32, sums of some 300 nats)."""
    together = score_texts(toy, [*TEXTS, "x" * 300, "y"], max_nodes=10_000)
    for text in TEXTS:
        alone = score_texts(toy, [text])[text]
        assert alone.sum_nll == pytest.approx(together[text].sum_nll, abs=1e-3)
        assert alone.line_verdict == pytest.approx(together[text].line_verdict, abs=1e-5)
        assert alone.program_verdict == pytest.approx(together[text].program_verdict, abs=1e-5)


def test_identical_texts_are_scored_once(toy: LoadedModel, monkeypatch: pytest.MonkeyPatch) -> None:
    rows: list[int] = []
    real = likelihood._score_tree

    def counted(loaded: LoadedModel, tree, encodings):
        rows.append(len(encodings))
        return real(loaded, tree, encodings)

    monkeypatch.setattr(likelihood, "_score_tree", counted)
    scores = score_texts(toy, [TEXTS[0]] * 50 + [TEXTS[1]])
    assert sum(rows) == 2 and list(scores) == TEXTS[:2]


def test_what_texts_share_is_read_once(toy: LoadedModel, monkeypatch: pytest.MonkeyPatch) -> None:
    nodes: list[int] = []
    real = likelihood._tree_states
    monkeypatch.setattr(
        likelihood, "_tree_states", lambda loaded, tree: nodes.append(len(tree.tokens)) or real(loaded, tree)
    )
    stem = "def f(x):\n    y = x\n"
    score_texts(toy, [stem + "    return y\n", stem + "    return x\n"])
    # the first token, what is shared, and two ends, each with the suffix
    assert nodes == [1 + len(stem + "    return ") + 2 * (len("y\n") + len(SUFFIX))]


def test_the_vocabulary_is_taken_in_pieces_with_the_same_result(
    toy: LoadedModel, monkeypatch: pytest.MonkeyPatch
) -> None:
    whole = score_texts(toy, TEXTS)
    monkeypatch.setattr(likelihood, "HEAD_TOKENS", 7)
    parts = score_texts(toy, TEXTS)
    assert all(parts[text].sum_nll == pytest.approx(whole[text].sum_nll, rel=1e-6) for text in TEXTS)


@settings(max_examples=25, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(st.lists(st.text(alphabet=st.sampled_from("ab \n\t\ufffdé😀\x00\x0b\u2028"), max_size=30), max_size=4))
def test_damaged_text_never_raises(toy: LoadedModel, texts: list[str]) -> None:
    scores = score_texts(toy, texts)
    assert set(scores) == set(texts)
    for text, found in scores.items():
        assert len(found.line_nll) == len(found.line_verdict) == len(text.splitlines())
        assert math.isfinite(found.sum_nll) and math.isfinite(found.program_verdict)
        assert sum(found.line_nll) == pytest.approx(found.sum_nll, abs=1e-6)


def test_an_empty_text_has_no_lines_and_a_program_verdict(toy: LoadedModel) -> None:
    found = score_texts(toy, [""])[""]
    assert (found.num_tokens, found.sum_nll, found.mean_nll, found.line_nll) == (0, 0.0, 0.0, ())
    assert math.isfinite(found.program_verdict)
    assert score_texts(toy, []) == {}


def test_a_long_text_is_truncated_with_a_flag(toy: LoadedModel) -> None:
    text = "x = 1\n" * 400
    found = score_texts(toy, [text], max_tokens=128)[text]
    assert found.truncated and found.num_tokens == 128 - 1 - len(SUFFIX)
    assert len(found.line_nll) == math.ceil(found.num_tokens / 6)
    assert not score_texts(toy, [TEXTS[0]])[TEXTS[0]].truncated


def test_the_models_mode_is_left_as_it_was(toy: LoadedModel) -> None:
    loaded = attach(load_model("toy"), "lora")
    loaded.model.train()
    score_texts(loaded, TEXTS[:1])
    assert loaded.model.training


def test_progress_counts_distinct_texts(toy: LoadedModel) -> None:
    seen: list[tuple[int, int]] = []
    score_texts(toy, TEXTS + TEXTS, max_nodes=1, progress=lambda done, total: seen.append((done, total)))
    assert seen == [(count, 6) for count in range(1, 7)]


def test_scores_survive_json() -> None:
    import json
    from dataclasses import asdict

    row = TextScores(
        num_tokens=1,
        sum_nll=0.5,
        mean_nll=0.5,
        line_nll=(0.5,),
        line_verdict=(1.0,),
        none_verdict=0.0,
        program_verdict=0.0,
    )
    assert json.loads(json.dumps(asdict(row), allow_nan=False))["line_nll"] == [0.5]


def test_likelihoods_that_are_no_numbers_are_an_error_and_not_rows() -> None:
    """What a diverged model leaves: without this, every row would be wrong and nothing would say so."""
    loaded = toy_with(float("nan"))
    with pytest.raises(LikelihoodError, match=r"likelihoods are not numbers for 2 of the first 2 texts"):
        score_texts(loaded, ["a = 1\n", "b = 2\n"])


def toy_with(value: float) -> LoadedModel:
    loaded = load_model("toy")
    with torch.no_grad():
        loaded.model.model.norm.weight[0] = value
    return loaded


def test_a_bug_beyond_the_token_limit_is_counted_as_truncated() -> None:
    """The byte tokenizer has a token a byte: 40 bytes of 60 are shown, and the rows and the measures say so."""
    long, bug = (
        "def f(x):\n" + "    y = 1\n" * 3 + "    return x\n",
        "def f(x):\n" + "    y = 1\n" * 3 + "    return y\n",
    )
    pair = ProgramPair(
        name="f", buggy=bug, correct=long, docstring="", buggy_line=5, tests=TestSuite(), corpus="c", group="f"
    )
    items = [Item(corpus="c", program="f", version=v, text=getattr(pair, v)) for v in ("buggy", "correct")]
    received = send_items(items, RadioSettings(sf=7, snr_db=math.inf))
    scores = score_texts(load_model("toy"), [item.text for item in items], max_tokens=40)
    assert [scores[item.text].truncated for item in items] == [True, True]
    for rows in (
        localise(received, [pair], scores, by="nll"),
        paired(received, [pair], scores),
        detect(received, [pair], scores, threshold=0.0),
    ):
        assert [row["truncated"] for row in rows] == [True] * len(rows)
        assert measures(rows, num_resamples=100)["truncated"].value == 1.0
    assert paired(received, [pair], scores)[0]["decision"] == "tie"  # what was read of them is equal
