"""The checks themselves: they see the leaks and defects that are put in, and none where none is."""

import dataclasses
import sys
from pathlib import Path
from types import SimpleNamespace

import pytest
from scipy import stats

from llm_bridge import __main__ as command_line
from llm_bridge.corpora import checks, minibugs, near_duplicates, quixbugs
from llm_bridge.scoring import sandbox

PAIRS = minibugs.load()
JSONL = Path(__file__).resolve().parents[3].parent / "shared" / "data" / "quixbugs.jsonl"
needs_data = pytest.mark.skipif(not JSONL.is_file(), reason=f"QuixBugs is not part of this project; no {JSONL}")


def test_minibugs_has_no_problems():
    report = checks.check(PAIRS)
    assert report.problems == ()
    assert report.longer_bytes.accuracy == report.more_tokens.accuracy == 0.5
    assert (report.num_pairs, report.num_groups, report.without_tests) == (42, 42, 0)
    assert report.near_duplicates == ()


def test_bytes_tell_nothing_of_minibugs():
    # false alarm of each: 1e-6, exact binomial
    assert not checks.byte_classifier(PAIRS).leaks
    assert not checks.byte_classifier_single(PAIRS).leaks


@needs_data
def test_bytes_tell_nothing_of_a_single_normalised_quixbugs_program():
    pairs = quixbugs.load(JSONL)
    assert not checks.byte_classifier_single(pairs).leaks
    report = checks.check(pairs)
    assert report.problems == ()
    # known: side by side the longer one is correct in 24, wrong in 7, the same length in 9
    assert (report.longer_bytes.right, report.longer_bytes.wrong, report.longer_bytes.ties) == (24, 7, 9)


@needs_data
def test_the_leak_of_the_raw_quixbugs_files_is_seen():
    # every buggy file ends with its specification, hardly a correct one does
    pairs = [
        dataclasses.replace(pair, buggy=f'{pair.buggy}\n"""\n{pair.docstring}\n"""\n') for pair in quixbugs.load(JSONL)
    ]
    assert checks.byte_classifier(pairs).leaks
    assert checks.byte_classifier_single(pairs).leaks
    assert any("whether it is buggy" in problem for problem in checks.check(pairs).problems)


def test_a_planted_fingerprint_is_seen():
    marked = [dataclasses.replace(pair, buggy=pair.correct.replace("return", "return not", 1)) for pair in PAIRS]
    assert checks.byte_classifier(marked).leaks


def test_shuffled_labels_are_at_chance():
    marked = [dataclasses.replace(pair, buggy=pair.correct.replace("return", "return not", 1)) for pair in PAIRS]
    for seed in range(5):
        assert not checks.byte_classifier(marked, shuffle=seed).leaks  # false alarm 1e-6 each


def test_specification_alone_decides_nothing():
    found = checks.byte_classifier(PAIRS, text_of=lambda pair, version: pair.docstring)
    assert (found.right, found.wrong, found.ties) == (0, 0, 42)
    single = checks.byte_classifier_single(PAIRS, text_of=lambda pair, version: pair.docstring)
    assert single.accuracy == 0.5


def test_folds_keep_groups_together():
    grouped = [dataclasses.replace(pair, group=pair.name[0]) for pair in PAIRS]
    folds = checks._folds(grouped, 5)
    assert sum(fold.sum() for fold in folds) == 42
    for fold in folds:
        inside = {pair.group for pair, held in zip(grouped, fold, strict=True) if held}
        outside = {pair.group for pair, held in zip(grouped, fold, strict=True) if not held}
        assert not inside & outside
    assert checks._folds([dataclasses.replace(pair, group="one") for pair in PAIRS], 5) == []


def test_rule_count():
    rule = checks.RuleCount(right=24, wrong=7, ties=9)
    assert rule.accuracy == pytest.approx(28.5 / 40)
    assert rule.p_value == stats.binomtest(24, 31).pvalue
    low, high = rule.interval
    assert low == pytest.approx(stats.beta.ppf(0.025, 24, 8)) and high == pytest.approx(stats.beta.ppf(0.975, 25, 7))
    nothing = checks.RuleCount(right=0, wrong=0, ties=3)
    assert (nothing.accuracy, nothing.p_value, nothing.interval) == (0.5, 1.0, (0.0, 1.0))


def test_defects_of_pairs_are_named():
    first, second, third, fourth, *rest = PAIRS
    bad = [
        dataclasses.replace(first, buggy="def f(a):\n    return a   # why\n"),
        dataclasses.replace(second, buggy="def f(:\n"),
        third,
        third,
        dataclasses.replace(fourth, buggy=fourth.correct.replace("    ", "   ")),
        *rest,
    ]
    report = checks.check(bad)
    assert report.not_normal == (first.name, second.name, fourth.name)
    assert report.not_python == (second.name,)
    assert report.repeated_names == (third.name,)
    assert report.repeated_pairs == (third.name, third.name)
    assert len(report.problems) >= 4
    assert "PROBLEM" in checks.render(report)


def test_more_than_one_hunk_is_named():
    lines = PAIRS[0].correct.splitlines()
    twice = "\n".join([lines[0], "    pass", *lines[1:-1], "    pass", lines[-1]]) + "\n"
    report = checks.check([dataclasses.replace(PAIRS[0], buggy=twice), PAIRS[1]])
    assert report.not_one_hunk == (PAIRS[0].name,)


def test_tests_are_run_by_what_is_passed_in():
    seen = []

    def run_tests(source, entry_point, tests):
        seen.append((source, entry_point, tests))
        broken = entry_point == PAIRS[3].name
        right = any(source == pair.correct for pair in PAIRS) != broken
        return SimpleNamespace(verdict="pass" if right else "fail")

    report = checks.check(PAIRS, run_tests=run_tests)
    assert len(seen) == 84
    assert report.correct_not_passing == report.buggy_passing == (PAIRS[3].name,)
    assert len(report.problems) == 2


def test_refused_is_an_error_and_no_verdict_on_the_corpus(monkeypatch, capsys):
    """Where nothing shuts programs in (macOS, a locked-down container) no program has failed its tests."""
    refused = SimpleNamespace(verdict="refused", isolation="rlimits")
    with pytest.raises(RuntimeError, match=r"not run.*rlimits"):
        checks.check(PAIRS, run_tests=lambda *_: refused)
    monkeypatch.setattr(sandbox, "isolation_level", lambda: "rlimits")
    monkeypatch.setattr(sys, "argv", ["llm_bridge", "corpora", "check"])
    with pytest.raises(SystemExit) as stopped:
        command_line.main()
    said = capsys.readouterr()
    assert stopped.value.code == 2 and "nothing shuts them in" in said.out + said.err and "PROBLEM" not in said.out


def test_a_corpus_with_problems_ends_in_status_1(monkeypatch, capsys):
    monkeypatch.setattr(minibugs, "load", lambda: [PAIRS[0], PAIRS[1], PAIRS[0]])
    monkeypatch.setattr(sys, "argv", ["llm_bridge", "corpora", "check"])
    with pytest.raises(SystemExit) as stopped:
        command_line.main()
    assert stopped.value.code == 1 and "PROBLEM" in capsys.readouterr().out


def test_near_duplicates_and_overlap():
    renamed = dataclasses.replace(
        PAIRS[0], name="copy", group="other", correct=PAIRS[0].correct.replace("values", "numbers")
    )
    assert checks.overlap(PAIRS, [renamed]) == (set(), [(PAIRS[0].name, "copy")])
    assert checks.overlap(PAIRS, [PAIRS[1]])[0] == {PAIRS[1].group}
    assert checks.check([*PAIRS, renamed]).near_duplicates == ((PAIRS[0].name, "copy"),)


def similarity(a, b):
    """Jaccard similarity of the shapes of two texts, 0 to 1."""
    first, second = near_duplicates._grams(a), near_duplicates._grams(b)
    return len(first & second) / len(first | second)


def test_similarity_counts_shapes():
    text = PAIRS[0].correct
    assert similarity(text, text.replace("window", "part")) == 1.0
    assert similarity(text, PAIRS[20].correct) < 0.3
    assert near_duplicates.distinct([text, PAIRS[5].correct, text], against=[PAIRS[5].correct]) == [0]


def test_minhash_finds_what_comparing_all_finds():
    texts = [pair.correct for pair in PAIRS] + [pair.buggy for pair in PAIRS]
    found = near_duplicates.near_duplicates(texts)
    expected = [
        (i, j)
        for i in range(len(texts))
        for j in range(i + 1, len(texts))
        if similarity(texts[i], texts[j]) >= near_duplicates.THRESHOLD
    ]
    assert len(expected) > 20
    assert found == expected  # a miss has a probability below 1e-4 for each pair at the threshold, less above it


def test_report_reads_well():
    text = checks.render(checks.check(PAIRS))
    assert "42 in 42 groups" in text
    assert "the longer text                     18    18     6  0.500" in text
    assert text.endswith("no problems\n")
    assert all(len(line) <= 120 for line in text.splitlines())


def test_no_pairs_is_an_error():
    with pytest.raises(ValueError, match="'pairs' must hold at least one pair"):
        checks.check([])


def bytes_as_nats(texts):
    return {text: float(len(text.encode())) for text in texts}


def test_a_model_that_counts_bytes_remembers_nothing():
    probe = checks.memorisation(PAIRS, bytes_as_nats)
    rule = checks.check(PAIRS).longer_bytes
    assert (probe.original.right, probe.original.wrong) == (rule.wrong, rule.right)  # a shorter text is likelier here
    assert probe.original == probe.renamed, "renaming keeps every length"
    assert (probe.own_names.ties, probe.own_names.p_value) == (42, 1.0)
    assert probe.nats_per_byte == probe.nats_per_byte_renamed == 1.0


def test_a_model_that_knows_the_corpus_by_heart_is_found_out():
    known = {pair.correct for pair in PAIRS}
    probe = checks.memorisation(
        PAIRS, lambda texts: {text: len(text) * (0.1 if text in known else 1.0) for text in texts}
    )
    assert probe.original.accuracy == 1.0 and probe.renamed.accuracy == 0.5
    assert probe.own_names.right == 42 and probe.own_names.leaks
    assert probe.margin > probe.margin_renamed + 10
    assert probe.nats_per_byte == pytest.approx(0.1) and probe.nats_per_byte_renamed == pytest.approx(1.0)


def test_the_probe_reads_well_and_needs_pairs():
    text = checks.render_memorisation(checks.memorisation(PAIRS, bytes_as_nats))
    assert "with other names" in text and "p = 1" in text
    assert all(len(line) <= 120 for line in text.splitlines())
    with pytest.raises(ValueError, match="'pairs' must hold at least one pair"):
        checks.memorisation([], bytes_as_nats)
