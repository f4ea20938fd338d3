"""From scores to decisions: localise, paired and detect on received items, and their rows under the metrics."""

from __future__ import annotations

import itertools
import math
import random
from dataclasses import replace

import pytest

from llm_bridge.corpora import minibugs
from llm_bridge.corpora.programs import ProgramPair, TestSuite, line_spans
from llm_bridge.scoring.decisions import item_row, readable_lines
from llm_bridge.scoring.detect import bug_score, detect, fit_threshold
from llm_bridge.scoring.likelihood import TextScores
from llm_bridge.scoring.localise import line_probabilities, localise, rank_lines
from llm_bridge.scoring.metrics import measures, score_cell
from llm_bridge.scoring.paired import over_shared_bytes, paired, shared_texts
from llm_bridge.scoring.rules import rule_scores
from llm_bridge.transport.link import Damage, Item, ReceivedItem, _transmitted_line_spans
from llm_bridge.transport.spans import arrived_within
from llm_bridge.transport.tokens import decode_units, encode_units

BUGGY = "def f(x):\n    y = x + 1\n    return y\n"
CORRECT = "def f(x):\n    y = x + 22\n    return y\n"
DAMAGE = Damage(bytes_sent=30, byte_errors=2, symbol_errors=1, fragments_sent=1, fragments_lost=0, airtime_s=0.5)


def pair(name: str = "f", buggy: str = BUGGY, correct: str = CORRECT, line: int = 2) -> ProgramPair:
    return ProgramPair(
        name=name,
        buggy=buggy,
        correct=correct,
        docstring="",
        buggy_line=line,
        tests=TestSuite(),
        corpus="toy",
        group=f"group-{name}",
    )


def arrive(
    version: str,
    text: str | None = None,
    *,
    name: str = "f",
    delivered: bool = True,
    spans: tuple = (),
    erasures: tuple = (),
) -> ReceivedItem:
    sent = BUGGY if version == "buggy" else CORRECT
    text = ("" if not delivered else sent) if text is None else text
    return ReceivedItem(
        item=Item(corpus="toy", program=name, version=version, text=sent),
        text=text,
        erasures=(),
        line_spans=spans or tuple(line_spans(text)),
        delivered=delivered,
        intact=text == sent,
        damage=DAMAGE,
    )


def scores(
    nll: tuple[float, ...] = (1.0, 5.0, 2.0),
    verdict: tuple[float, ...] = (0.0, 1.0, 2.0),
    program: float = 0.0,
    tokens: int = 4,
) -> TextScores:
    return TextScores(
        num_tokens=tokens,
        sum_nll=sum(nll),
        mean_nll=sum(nll) / tokens,
        line_nll=nll,
        line_verdict=verdict,
        none_verdict=-program,
        program_verdict=program,
    )


# ------------------------------------------------------------------------------------------------------------- localise


def test_lines_are_ranked_by_likelihood_or_by_verdict() -> None:
    assert rank_lines(BUGGY, scores(), by="nll") == (1, 2, 0)
    assert rank_lines(BUGGY, scores(), by="verdict") == (2, 1, 0)
    assert rank_lines(BUGGY, scores(verdict=(1.0, 1.0, 1.0)), by="verdict") == (0, 1, 2)
    with pytest.raises(ValueError, match="'by' must be one of nll, verdict"):
        rank_lines(BUGGY, scores(), by="guess")


def test_by_likelihood_the_first_line_and_headers_come_last() -> None:
    """Freely chosen names are a surprise in every program, buggy or not."""
    text = "import x\n\nclass A:\n    def f(self):\n        return x\n\nb = 1\n"
    nll = (50.0, 0.0, 40.0, 45.0, 1.0, 0.0, 2.0)
    assert rank_lines(text, scores(nll=nll, verdict=nll), by="nll") == (6, 4, 0, 3, 2)
    assert rank_lines(text, scores(nll=nll, verdict=nll), by="verdict") == (0, 3, 2, 6, 4)
    assert rank_lines("def f(x)\n", scores(nll=(3.0,)), by="nll") == (0,)


def test_a_localise_row_says_what_was_predicted_and_whether_it_is_right() -> None:
    (row,) = localise([arrive("buggy"), arrive("correct")], [pair()], {BUGGY: scores()}, by="nll")
    assert (row["decision"], row["gold"], row["correct"], row["score"], row["rank"]) == (2, [2], True, 5.0, 1)
    assert (row["num_lines"], row["num_gold"], row["group"]) == (3, 1, "group-f")
    assert (row["bytes_sent"], row["airtime_s"], row["delivered"], row["intact"]) == (30, 0.5, True, True)
    (other,) = localise([arrive("buggy")], [pair()], {BUGGY: scores()}, by="verdict")
    assert (other["decision"], other["correct"], other["rank"]) == (3, False, 2)


def test_a_prediction_is_judged_by_its_span_in_the_transmitted_text() -> None:
    """The first line was lost: received line 1 is transmitted line 2."""
    text = "\ufffd\n    y = x + 1\n    return y\n"
    spans = ((0, 10), (10, 24), (24, 37))
    (row,) = localise([arrive("buggy", text, spans=spans)], [pair()], {text: scores(nll=(99.0, 5.0, 2.0))}, by="nll")
    assert (row["decision"], row["correct"], row["intact"]) == (2, True, False)
    assert arrived_within((0, 5), [(4, 6)]) and not arrived_within((0, 4), [(4, 6)])


def test_lost_bytes_earn_nothing() -> None:
    """One received line spans the whole program; the buggy line inside it was lost, so pointing at it is no hit."""
    text = "def f(x\ufffdn y\n"
    lost_bug, lost_else = (7, 34), (24, 34)
    for hole, hit in ((lost_bug, False), (lost_else, True)):
        arrival = replace(arrive("buggy", text, spans=((0, 37),)), erasures=(hole,))
        (row,) = localise([arrival], [pair()], {text: scores(nll=(1.0,))}, by="nll")
        assert row["correct"] == hit
        assert row["chance"] == row["credit"] == pytest.approx(hit / 3)  # of all three lines bytes arrived, or of two


MERGED = {  # received text, spans of its lines, holes; of the first line: transmitted lines behind it, credit
    "whole": (BUGGY, ((0, 11), (11, 25), (25, 37)), (), 1, 0.0),
    "a hole within a line": ("def f(\ufffd):\n    y = x + 1\n", ((0, 10), (10, 24)), ((6, 8),), 1, 0.0),
    "a hole swallowed a newline": ("def f(x\ufffd = x + 1\n    return y\n", ((0, 24), (24, 37)), ((7, 15),), 2, 1 / 2),
    "a hole swallowed a line": ("def f(x\ufffdreturn y\n", ((0, 37),), ((7, 28),), 2, 0.0),
    "a hole swallowed two newlines": ("def f(x\ufffd + 1\ufffdn y\n", ((0, 37),), ((7, 19), (22, 34)), 3, 1 / 3),
    "a newline arrived as another letter": (
        "def f(x):?    y = x + 1\n    return y\n",
        ((0, 24), (24, 37)),
        (),
        2,
        1 / 2,
    ),
}


@pytest.mark.parametrize("case", MERGED)
def test_a_line_that_stands_for_several_shares_its_credit_among_them(case: str) -> None:
    """Lines of BUGGY are bytes 0-10, 10-24 (gold) and 24-37; the first received line is named."""
    text, spans, holes, merged, credit = MERGED[case]
    spans = tuple((min(first, 37), last) for first, last in spans) if case != "whole" else ((0, 10), (10, 24), (24, 37))
    arrival = replace(arrive("buggy", text, spans=spans), erasures=holes)
    nll = (9.0,) + (1.0,) * (len(spans) - 1)
    (row,) = localise([arrival], [pair()], {text: scores(nll=nll, verdict=nll)}, by="verdict")
    assert (row["decision"], row["num_merged"], row["credit"]) == (1, merged, pytest.approx(credit))
    assert row["correct"] == (credit > 0), "as published: any byte of a gold line makes it a hit"


def test_two_gold_lines_in_one_received_line_earn_two_shares() -> None:
    """A missing line has two gold neighbours: lines 2 and 3 of three are joined with line 1."""
    program = pair(correct=BUGGY.replace("    return", "    y += 1\n    return"), line=3)
    text = "def f(x\ufffd + 1\ufffdn y\n"
    arrival = replace(arrive("buggy", text, spans=((0, 37),)), erasures=((7, 19), (22, 34)))
    (row,) = localise([arrival], [program], {text: scores(nll=(9.0,))}, by="nll")
    assert (row["num_merged"], row["credit"]) == (3, pytest.approx(2 / 3))


def test_f1_counts_credit_and_the_published_form_stands_beside_it() -> None:
    """One whole line hit, half of a joined one, one miss: F1 = 2 x 1.5 / (3 + 3); all or nothing 2 x 2 / 6."""
    place = {"cell": "c", "task": "localise", "delivered": True, "intact": True, "num_lines": 4, "num_gold": 1}
    rows = [
        {**place, "program": name, "correct": credit > 0, "credit": credit}
        for name, credit in (("a", 1.0), ("b", 0.5), ("c", 0.0))
    ]
    found = score_cell(rows, num_resamples=200)
    assert (found["f1"], found["f1_all_or_nothing"]) == (pytest.approx(0.5), pytest.approx(2 / 3))
    assert measures(rows, num_resamples=200)["top1"].value == pytest.approx(0.5)
    published = score_cell([{k: v for k, v in row.items() if k != "credit"} for row in rows], num_resamples=200)
    assert (published["f1"], published["f1_all_or_nothing"]) == (pytest.approx(2 / 3), None)


def lose_fragments(pairs: list[ProgramPair], share: float, seed: int) -> list[ReceivedItem]:
    """Buggy texts of which fragments of 48 bytes are lost at random; what is left of a text, holes as one U+FFFD."""
    rng, received = random.Random(seed), []
    for one in pairs:
        raw = one.buggy.encode()
        lost = [rng.random() < share for _ in range(0, len(raw), 48)]
        units = encode_units(one.buggy, "utf8")
        decoded = decode_units(units.units, [not lost[i // 48] for i in range(len(raw))], units, "utf8")
        item = Item(corpus="minibugs", program=one.name, version="buggy", text=one.buggy)
        received.append(
            ReceivedItem(
                item=item,
                text=decoded.text,
                erasures=decoded.erasures,
                line_spans=_transmitted_line_spans(decoded.text, decoded.spans),
                delivered=not all(lost),
                intact=not any(lost),
                damage=DAMAGE,
            )
        )
    return received


def test_a_worse_link_does_not_win() -> None:
    """A guesser, and "the last line but one", over lost fragments: with shared credit neither gains by damage.

    Forty draws of 42 programs at each loss; standard error of a mean below 0.01. All or nothing, the line gains.
    """
    pairs = minibugs.load()
    guessed, shared, overlapping = {}, {}, {}
    for share in (0.0, 0.15, 0.3, 0.5, 0.7):
        rows = []
        for seed in range(40 if share else 1):
            arrivals = lose_fragments(pairs, share, seed)
            rows += localise(arrivals, pairs, rule_scores([a.text for a in arrivals], 1), by="verdict")
        guessed[share] = sum(row["chance"] for row in rows) / len(rows)
        shared[share] = sum(row["credit"] for row in rows) / len(rows)
        overlapping[share] = sum(row["correct"] for row in rows) / len(rows)
    for better, worse in itertools.pairwise(shared):
        assert guessed[worse] < guessed[better] + 0.005
        assert shared[worse] < shared[better]
    assert overlapping[0.15] > overlapping[0.0]


def test_a_hole_alone_is_never_predicted() -> None:
    assert readable_lines("\ufffd\n  \nx\n") == (False, False, True)
    text = "\ufffd\n"
    (row,) = localise(
        [arrive("buggy", text, spans=((0, 37),))], [pair()], {text: scores(nll=(9.0,), verdict=(9.0,))}, by="nll"
    )
    assert (row["decision"], row["correct"], row["rank"], row["delivered"]) == (None, False, None, True)


def test_a_missing_line_has_two_gold_lines_either_of_which_is_right() -> None:
    program = pair(correct=BUGGY.replace("    return", "    y += 1\n    return"), line=3)
    for values in ((0.0, 1.0, 0.0), (0.0, 0.0, 1.0)):
        (row,) = localise([arrive("buggy")], [program], {BUGGY: scores(nll=values)}, by="nll")
        assert row["correct"] and row["num_gold"] == 2 and row["gold"] == [2, 3]


def test_an_undelivered_item_is_a_miss_and_needs_no_score() -> None:
    (row,) = localise([arrive("buggy", delivered=False)], [pair()], {}, by="nll")
    assert (row["decision"], row["correct"], row["score"], row["rank"]) == (None, False, None, None)


def test_line_probabilities_are_given_a_bug_and_leave_out_what_cannot_be_read() -> None:
    p = line_probabilities(BUGGY, scores(verdict=(0.0, 1.0, 0.0), program=-50.0))
    assert p == pytest.approx([1 / (2 + math.e), math.e / (2 + math.e), 1 / (2 + math.e)])
    assert line_probabilities("x\n\ny\n", scores(verdict=(0.0, 9.0, 0.0))) == pytest.approx((0.5, 0, 0.5))
    assert line_probabilities("\n", scores(nll=(0.0,), verdict=(5.0,))) == (0.0,)


def test_a_trained_model_says_how_sure_it_is_and_an_untrained_one_does_not() -> None:
    (trained,) = localise([arrive("buggy")], [pair()], {BUGGY: scores(verdict=(0.0, 1.0, 0.0))}, by="verdict")
    assert trained["probability"] == trained["score"] == pytest.approx(math.e / (2 + math.e))
    (untrained,) = localise([arrive("buggy")], [pair()], {BUGGY: scores()}, by="nll")
    assert untrained["probability"] is None


# --------------------------------------------------------------------------------------------------------------- paired


def both(**changes: object) -> list[ReceivedItem]:
    return [arrive("correct"), arrive("buggy", **changes)]


def test_the_less_likely_version_is_called_buggy() -> None:
    table = {BUGGY: scores(nll=(4.0, 0.0, 0.0), tokens=2), CORRECT: scores(nll=(5.0, 0.0, 0.0), tokens=4)}
    (by_mean,) = paired(both(), [pair()], table, by="mean")
    (by_sum,) = paired(both(), [pair()], table, by="sum")
    assert (by_mean["decision"], by_mean["correct"], by_mean["score"]) == ("buggy", True, 2.0 - 1.25)
    assert (by_sum["decision"], by_sum["correct"], by_sum["score"]) == ("correct", False, -1.0)
    assert (by_mean["version"], by_mean["gold"], by_mean["longer"]) == ("pair", "buggy", True)
    assert by_mean["bytes_sent"] == 60 and by_mean["airtime_s"] == 1.0
    with pytest.raises(ValueError, match="'by' must be one of mean, sum"):
        paired(both(), [pair()], table, by="max")


def test_texts_that_arrive_equal_are_a_tie_and_a_tie_is_wrong() -> None:
    (row,) = paired(both(text=CORRECT), [pair()], {}, by="mean")
    assert (row["decision"], row["correct"], row["score"]) == ("tie", False, 0.0)


def test_a_pair_with_an_undelivered_version_is_a_miss() -> None:
    (row,) = paired(both(delivered=False), [pair()], {CORRECT: scores()}, by="mean")
    assert (row["decision"], row["correct"], row["delivered"], row["intact"]) == (None, False, False, False)


def test_a_program_of_which_one_version_was_sent_is_no_pair() -> None:
    assert paired([arrive("buggy")], [pair()], {BUGGY: scores()}) == []


def damaged(version: str, holes: tuple[tuple[int, int], ...]) -> ReceivedItem:
    """A text of which byte spans were lost, as the link gives it."""
    sent = BUGGY if version == "buggy" else CORRECT
    units = encode_units(sent, "utf8")
    present = [not any(first <= i < last for first, last in holes) for i in range(len(sent))]
    decoded = decode_units(units.units, present, units, "utf8")
    arrival = arrive(version, decoded.text, spans=_transmitted_line_spans(decoded.text, decoded.spans))
    return replace(arrival, erasures=decoded.erasures)


def test_unequal_damage_is_compared_over_what_arrived_in_both() -> None:
    """The buggy text lost bytes 30 on, the correct one 4 to 8; both are read without either."""
    first, second = damaged("buggy", ((30, 37),)), damaged("correct", ((4, 8),))
    assert shared_texts(first, second) == (
        "def \ufffd:\n    y = x + 1\n    re\ufffd",
        "def \ufffd:\n    y = x + 22\n    r\ufffd\n",
    )
    table = {first.text: scores(nll=(1.0,)), second.text: scores(nll=(2.0,))}
    (row,) = paired([first, second], [pair()], table)
    assert (row["correct"], row["correct_shared"]) == (False, None), "those texts have no scores"
    table |= dict(zip(shared_texts(first, second), (scores(nll=(4.0,)), scores(nll=(3.0,))), strict=True))
    (row,) = paired([first, second], [pair()], table)
    assert (row["correct"], row["correct_shared"]) == (False, True)
    found = score_cell([row | {"cell": "c"}], num_resamples=100)
    assert (found["f1"], found["f1_shared"], found["damaged"], found["f1_damaged"]) == (0.0, 1.0, 1, 0.0)


def test_equal_damage_is_compared_once() -> None:
    """The tail that both lost is longer in the longer text; a hole beyond the other's end takes nothing from it."""
    assert shared_texts(damaged("buggy", ((30, 37),)), damaged("correct", ((30, 38),))) is None
    assert shared_texts(damaged("buggy", ()), damaged("correct", ())) is None
    assert shared_texts(damaged("buggy", ()), damaged("correct", ((37, 38),))) is None
    wrong_byte = arrive("buggy", BUGGY.replace("x + 1", "x \ufffd 1"))
    assert over_shared_bytes(wrong_byte, [(16, 18)]) == BUGGY.replace("= x + 1", "\ufffdx \ufffd 1")


def test_fates_of_fragments_and_damaged_pairs_by_hand() -> None:
    """Three pairs: whole and right; damaged, right, one of two fragments unequal; one version did not arrive."""
    sent = {
        "a": ((True, True), (True, True), True),
        "b": ((True, False), (True, True), False),
        "c": ((True, True), (False, False), False),
    }
    received = []
    for name, (buggy, correct, _) in sent.items():
        for version, fates in (("buggy", buggy), ("correct", correct)):
            text = (BUGGY if version == "buggy" else CORRECT)[: None if all(fates) else 20 * any(fates)]
            received.append(replace(arrive(version, text, name=name, delivered=any(fates)), kept_fragments=fates))
    table = {item.text: scores(nll=(5.0 if item.item.version == "buggy" else 1.0,)) for item in received}
    rows = paired(received, [pair(name) for name in sent], table)
    assert [(row["pair_fragments"], row["pair_fragments_unequal"]) for row in rows] == [(2, 0), (2, 1), (2, 2)]
    found = score_cell([row | {"cell": "c"} for row in rows], num_resamples=100)
    assert (found["f1"], found["damaged"], found["f1_damaged"]) == (pytest.approx(2 / 3), 1, 1.0)
    assert found["fates_unequal"] == pytest.approx(3 / 6)


# --------------------------------------------------------------------------------------------------------------- detect


def test_detect_decides_by_threshold_and_undelivered_is_not_buggy() -> None:
    items = [arrive("buggy"), arrive("correct"), arrive("buggy", delivered=False)]
    table = {BUGGY: scores(program=2.0), CORRECT: scores(program=1.0)}
    rows = detect(items, [pair()], table, threshold=1.5)
    assert [row["decision"] for row in rows] == ["buggy", "not buggy", "not buggy"]
    assert [row["correct"] for row in rows] == [True, True, False]
    assert [row["score"] for row in rows] == [2.0, 1.0, None]


def test_suspicion_by_lines_is_the_log_odds_of_some_line() -> None:
    row = scores(verdict=(0.0, 1.0, -1.0), program=0.3)
    odds = (1 + math.e + 1 / math.e) / math.exp(-0.3)  # of the lines against "none", which is minus the program's
    assert bug_score(BUGGY, row, by="lines") == pytest.approx(math.log(odds))
    assert bug_score(BUGGY, row) == 0.3
    assert bug_score("\n", scores(nll=(0.0,), verdict=(5.0,), program=-1.0), by="lines") == -1.0


def test_the_threshold_maximises_macro_f1_and_not_the_always_buggy_f1() -> None:
    assert fit_threshold([1.0, 2.0, 3.0, 4.0], [False, False, True, True]) == 2.5
    values, truth = [0.0, 1.0, 2.0, 3.0, 4.0, 5.0], [False, False, True, False, True, True]
    threshold = fit_threshold(values, truth)
    assert 0.0 < threshold < 5.0
    with pytest.raises(ValueError, match="'buggy' must hold both classes"):
        fit_threshold([1.0], [True])


# ------------------------------------------------------------------------------------------ rows under the metrics


@pytest.mark.parametrize("task", ["localise", "paired", "detect"])
def test_rows_are_what_the_metrics_take(task: str) -> None:
    """A dead link scores as the contract says, a clean one as the decisions were."""
    names = [f"p{index}" for index in range(6)]
    pairs = [pair(name) for name in names]
    clean = [arrive(version, name=name) for name in names for version in ("buggy", "correct")]
    dead = [arrive(version, name=name, delivered=False) for name in names for version in ("buggy", "correct")]
    table = {BUGGY: scores(program=1.0), CORRECT: scores(nll=(0.5, 0.5, 0.5), program=-1.0)}
    make = {
        "localise": lambda items: localise(items, pairs, table, by="nll"),
        "paired": lambda items: paired(items, pairs, table),
        "detect": lambda items: detect(items, pairs, table, threshold=0.0),
    }[task]
    good, lost = (
        score_cell([row | {"cell": "c"} for row in make(items)], num_resamples=200) for items in (clean, dead)
    )
    assert good["f1"] == 1.0 and good["n"] == (12 if task == "detect" else 6)
    assert lost["f1"] == 0.0 and lost["delivered"] == 0
    if task == "detect":
        assert lost["macro_f1"] == pytest.approx(1 / 3) and lost["mcc"] == 0.0


def test_the_brier_score_of_a_trained_model_is_among_its_measures() -> None:
    rows = localise([arrive("buggy")], [pair()], {BUGGY: scores(verdict=(0.0, 1.0, 0.0))}, by="verdict")
    p, hit = rows[0]["probability"], rows[0]["correct"]
    assert measures(rows, num_resamples=100)["brier"].value == pytest.approx((p - hit) ** 2)
    assert "brier" not in measures(
        localise([arrive("buggy")], [pair()], {BUGGY: scores()}, by="nll"), num_resamples=100
    )


@pytest.mark.parametrize(("bytes_sent", "lost"), [(32, 8), (12, 3), (0, 0)])
def test_lost_bytes_are_counted_in_bytes_as_sent(bytes_sent: int, lost: int) -> None:
    """A quarter of a text of 32 bytes is lost: 8 bytes of UTF-8, or 3 of the 12 bytes that carried its token ids."""
    assert len(BUGGY.encode()) == 37
    sent = Item(corpus="toy", program="f", version="buggy", text=BUGGY[:32])
    arrival = replace(
        arrive("buggy"), item=sent, erasures=((4, 12),), damage=replace(DAMAGE, bytes_sent=bytes_sent), intact=False
    )
    assert item_row(arrival, pair(), "localise")["bytes_lost"] == lost
