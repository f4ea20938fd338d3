"""Corpus checks: label leaks (rules that tell buggy from correct without reading a program), and malformed pairs.

    pairs ─► counts · form (one hunk, normal form, duplicates) · leaks (length, tokens, bytes) · tests ─► CorpusReport

A *leak* is a rule that tells the buggy version from the correct one and reads no program. Each is a count of pairs
decided rightly, wrongly and not at all; a rule that knows nothing is right in half of the decided ones. The bag-of-
bytes classifier learns from the histograms of bytes: a logistic regression on the difference of the two histograms of
a pair (so it has no intercept: which one comes first is nothing it could know), fitted on other groups than those it
is evaluated on.

`memorisation` asks another question: has a model seen the corpus? Whoever knows a text by heart is less sure of the
same program under other names; whoever understands it is not.
"""

from __future__ import annotations

import io
import platform
import tokenize
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from scipy import stats

from llm_bridge.corpora import near_duplicates
from llm_bridge.corpora.programs import DEFECT_CLASSES, ProgramPair, corpus_hash, entry_point, normalise, single_edit
from llm_bridge.corpora.renaming import rename_identifiers

#: A rule that knows nothing is called a leak with at most this probability.
FALSE_ALARM = 1e-6

TextOf = Callable[[ProgramPair, str], str]


@dataclass(frozen=True, kw_only=True)
class RuleCount:
    """Counts of pairs that a rule decides rightly, wrongly and not at all."""

    right: int
    wrong: int
    ties: int

    @property
    def accuracy(self) -> float:
        """Share of right answers, a tie counting as half; nan without pairs."""
        total = self.right + self.wrong + self.ties
        return (self.right + self.ties / 2) / total if total else float("nan")

    @property
    def p_value(self) -> float:
        """Exact two-sided probability of so lopsided a count if the rule knows nothing; 1 where it decides nothing."""
        decided = self.right + self.wrong
        return float(stats.binomtest(self.right, decided).pvalue) if decided else 1.0

    @property
    def interval(self) -> tuple[float, float]:
        """Clopper-Pearson 95 % interval of the share of right answers among the decided pairs."""
        decided = self.right + self.wrong
        if not decided:
            return 0.0, 1.0
        found = stats.binomtest(self.right, decided).proportion_ci(0.95, method="exact")
        return float(found.low), float(found.high)

    @property
    def leaks(self) -> bool:
        """Whether the rule is right more often than one that knows nothing; wrong with probability `FALSE_ALARM`.

        One-sided and exact. To be right less often is no sign of knowledge in a classifier that is fitted on one part
        of a corpus and evaluated on the other: where the whole is balanced, what one part has too much of the other
        lacks.
        """
        decided = self.right + self.wrong
        return decided > 0 and float(stats.binomtest(self.right, decided, alternative="greater").pvalue) < FALSE_ALARM


@dataclass(frozen=True, kw_only=True)
class CorpusReport:
    """Findings of `check`; names of pairs stand where something is wrong with them."""

    corpora: tuple[str, ...]
    num_pairs: int
    num_groups: int
    corpus_hash: str
    python_version: str
    defect_classes: Mapping[str, int]
    mean_bytes: float
    mean_lines: float
    localise_chance: float
    longest_line_top1: float
    longer_bytes: RuleCount
    more_tokens: RuleCount
    bag_of_bytes: RuleCount
    bag_of_bytes_single: RuleCount
    not_one_hunk: tuple[str, ...]
    not_normal: tuple[str, ...]
    not_python: tuple[str, ...]
    repeated_names: tuple[str, ...]
    repeated_pairs: tuple[str, ...]
    near_duplicates: tuple[tuple[str, str], ...]
    without_tests: int
    tests_run: bool
    correct_not_passing: tuple[str, ...]
    buggy_passing: tuple[str, ...]

    @property
    def problems(self) -> tuple[str, ...]:
        """Reasons why the corpus is unfit, one sentence each; empty where it is fit.

        What can be told from two versions side by side (on QuixBugs, that the longer one is correct) is no defect of a
        corpus: it is the baseline of *paired*. What can be told from a single text is.
        """
        found = []
        for names, what in (
            (self.not_one_hunk, "differ in more than one hunk"),
            (self.not_normal, "are not in normal form"),
            (self.not_python, "do not parse"),
            (self.repeated_names, "share their name with another"),
            (self.repeated_pairs, "occur more than once"),
            (self.correct_not_passing, "have a correct version that does not pass its tests"),
            (self.buggy_passing, "have a buggy version that passes its tests"),
        ):
            if names:
                found.append(f"{len(names)} pairs {what}: {', '.join(names[:5])}{', …' if len(names) > 5 else ''}")
        if self.bag_of_bytes_single.leaks:
            share = self.bag_of_bytes_single.accuracy
            found.append(f"the histogram of its bytes tells of a single text whether it is buggy: accuracy {share:.2f}")
        return tuple(found)


def check(
    pairs: Sequence[ProgramPair],
    *,
    run_tests: Callable[[str, str, Any], Any] | None = None,
    num_folds: int = 5,
) -> CorpusReport:
    """Check a corpus.

    Parameters
    ----------
    pairs
        At least one pair.
    run_tests
        `llm_bridge.scoring.sandbox.run_tests`, or what takes ``(source, entry_point, tests)`` and returns something
        with a `verdict`. Without it nothing is run.
    num_folds
        Folds of the bag-of-bytes classifier, disjoint by group.

    Raises
    ------
    ValueError
        Where `pairs` is empty.
    RuntimeError
        Where `run_tests` refuses to run programs on this machine: not run is not failed.

    Examples
    --------
    >>> from llm_bridge.corpora import minibugs
    >>> report = check(minibugs.load())
    >>> report.problems, report.longer_bytes.accuracy
    ((), 0.5)
    """
    if not pairs:
        raise ValueError("'pairs' must hold at least one pair (got none)")
    names = Counter(pair.name for pair in pairs)
    texts = Counter((pair.buggy, pair.correct) for pair in pairs)
    originals = list({pair.correct: pair for pair in pairs}.values())
    close = near_duplicates.near_duplicates([pair.correct for pair in originals])
    classes = Counter(pair.defect_class or "not classified" for pair in pairs)
    order = [name for name in (*DEFECT_CLASSES, *sorted(set(classes) - set(DEFECT_CLASSES))) if name in classes]
    testable = [pair for pair in pairs if pair.tests.cases or pair.tests.test_module]
    failing, passing = _run(testable, run_tests)
    bytes_of = [(len(pair.buggy.encode()), len(pair.correct.encode())) for pair in pairs]
    localisable = [pair for pair in pairs if _hunk(pair)]
    return CorpusReport(
        corpora=tuple(sorted({pair.corpus for pair in pairs})),
        num_pairs=len(pairs),
        num_groups=len({pair.group for pair in pairs}),
        corpus_hash=corpus_hash(pairs),
        python_version=platform.python_version(),
        defect_classes={name: classes[name] for name in order},
        mean_bytes=float(np.mean(bytes_of)),
        mean_lines=float(np.mean([len(pair.buggy.splitlines()) for pair in pairs])),
        localise_chance=_mean([len(pair.gold_lines) / len(pair.buggy.splitlines()) for pair in localisable]),
        longest_line_top1=_mean([float(_longest_line(pair.buggy) in pair.gold_lines) for pair in localisable]),
        longer_bytes=_rule([correct - buggy for buggy, correct in bytes_of]),
        more_tokens=_rule([num_tokens(pair.correct) - num_tokens(pair.buggy) for pair in pairs]),
        bag_of_bytes=byte_classifier(pairs, num_folds=num_folds),
        bag_of_bytes_single=byte_classifier_single(pairs, num_folds=num_folds),
        not_one_hunk=tuple(pair.name for pair in pairs if not _hunk(pair)),
        not_normal=tuple(pair.name for pair in pairs if not (_normal(pair.buggy) and _normal(pair.correct))),
        not_python=tuple(pair.name for pair in pairs if None in (_normal(pair.buggy), _normal(pair.correct))),
        repeated_names=tuple(name for name, count in names.items() if count > 1),
        repeated_pairs=tuple(pair.name for pair in pairs if texts[pair.buggy, pair.correct] > 1),
        near_duplicates=tuple((originals[i].name, originals[j].name) for i, j in close),
        without_tests=len(pairs) - len(testable),
        tests_run=run_tests is not None,
        correct_not_passing=failing,
        buggy_passing=passing,
    )


def byte_classifier(
    pairs: Sequence[ProgramPair],
    *,
    num_folds: int = 5,
    fitted_on: Sequence[ProgramPair] | None = None,
    text_of: TextOf = getattr,
    shuffle: int | None = None,
) -> RuleCount:
    """Pairs of which a classifier of byte histograms, fitted on other groups, finds the buggy version.

    Parameters
    ----------
    pairs
        The pairs to decide; with less than two groups everything is a tie, unless `fitted_on` is given.
    num_folds
        Folds, disjoint by group.
    fitted_on
        Another corpus to fit on, instead of the folds.
    text_of
        What is read of a pair: called with the pair and "buggy" or "correct".
    shuffle
        Seed for labels shuffled within each pair, for both fitting and evaluation.
    """
    steps = _steps(pairs, text_of)
    if shuffle is not None:
        steps *= np.random.default_rng(shuffle).choice([-1.0, 1.0], size=(len(pairs), 1))
    if fitted_on is not None:
        rounds = [(steps, _steps(fitted_on, text_of))]
    else:
        rounds = [(steps[held], steps[~held]) for held in _folds(pairs, num_folds)]
    right = wrong = 0
    for held, fitted in rounds:
        weights = _logistic(np.concatenate([fitted, -fitted]), np.repeat([1.0, 0.0], len(fitted)))
        scores = held @ weights
        right, wrong = right + int((scores > 1e-9).sum()), wrong + int((scores < -1e-9).sum())
    return RuleCount(right=right, wrong=wrong, ties=len(pairs) - right - wrong)


def byte_classifier_single(pairs: Sequence[ProgramPair], *, num_folds: int = 5, text_of: TextOf = getattr) -> RuleCount:
    """Pairs whose single texts a classifier of byte histograms tells apart, each text on its own.

    A pair counts as right where both answers are, as wrong where none is, and as a tie where both texts get the same
    answer; so `accuracy` is that over all texts, and the exact test does not take the two texts for independent.
    """
    texts = np.array([[_histogram(text_of(pair, version)) for version in ("buggy", "correct")] for pair in pairs])
    features = np.concatenate([texts, np.ones((*texts.shape[:2], 1))], axis=2)
    right = wrong = 0
    for held in _folds(pairs, num_folds):
        fitted = features[~held].reshape(-1, features.shape[2])
        weights = _logistic(fitted, np.tile([1.0, 0.0], (~held).sum()))
        called_buggy = features[held] @ weights > 0
        right += int((called_buggy[:, 0] & ~called_buggy[:, 1]).sum())
        wrong += int((~called_buggy[:, 0] & called_buggy[:, 1]).sum())
    return RuleCount(right=right, wrong=wrong, ties=len(pairs) - right - wrong)


def overlap(first: Sequence[ProgramPair], second: Sequence[ProgramPair]) -> tuple[set[str], list[tuple[str, str]]]:
    """Groups that two corpora share, and pairs of names that are near-duplicates of each other across them."""
    mine = list({pair.correct: pair for pair in first}.values())
    other = list({pair.correct: pair for pair in second}.values())
    found = near_duplicates.near_duplicates([pair.correct for pair in (*mine, *other)])
    across = [(mine[i].name, other[j - len(mine)].name) for i, j in found if i < len(mine) <= j]
    return {pair.group for pair in first} & {pair.group for pair in second}, across


@dataclass(frozen=True, kw_only=True)
class MemorisationProbe:
    """Likelihoods of a corpus and of its renamed copies, as counts and means.

    Parameters
    ----------
    original, renamed
        How often the correct version is the likelier one, with the corpus' own names and with others.
    own_names
        How often the margin of the correct version (nats) is larger with the corpus' own names: half, if names are
        nothing but names.
    nats_per_byte, nats_per_byte_renamed
        Mean negative log-likelihood of the correct versions.
    margin, margin_renamed
        Mean margin, buggy minus correct, in nats.
    """

    original: RuleCount
    renamed: RuleCount
    own_names: RuleCount
    nats_per_byte: float
    nats_per_byte_renamed: float
    margin: float
    margin_renamed: float


def memorisation(
    pairs: Sequence[ProgramPair],
    negative_log_likelihood: Callable[[Sequence[str]], Mapping[str, float]],
) -> MemorisationProbe:
    """Likelihood of correct against buggy versions, and of both again with local identifiers renamed.

    Parameters
    ----------
    pairs
        At least one.
    negative_log_likelihood
        Called once with all texts; gives the sum over each text's tokens, in nats.

    Notes
    -----
    Renaming alone makes a text less likely, since names stop fitting their use, and it lowers margins too: of MiniBugs,
    which was written for this package and cannot be known by heart, SmolLM2-135M has the larger margin with the own
    names in 30 of 42 pairs (p = 0.008); of QuixBugs in 30 of 40 (p = 0.002). So compare a corpus with one that is
    known to be new: memory is what goes beyond its drop.
    """
    if not pairs:
        raise ValueError("'pairs' must hold at least one pair (got none)")
    others = [rename_identifiers(pair) for pair in pairs]
    texts = [text for pair in (*pairs, *others) for text in (pair.buggy, pair.correct)]
    nll = negative_log_likelihood(list(dict.fromkeys(texts)))
    margins = np.array([[nll[pair.buggy] - nll[pair.correct] for pair in row] for row in (pairs, others)])
    rates = [[nll[pair.correct] / len(pair.correct.encode()) for pair in row] for row in (pairs, others)]
    return MemorisationProbe(
        original=_rule(margins[0].tolist()),
        renamed=_rule(margins[1].tolist()),
        own_names=_rule((margins[0] - margins[1]).tolist()),
        nats_per_byte=_mean(rates[0]),
        nats_per_byte_renamed=_mean(rates[1]),
        margin=float(margins[0].mean()),
        margin_renamed=float(margins[1].mean()),
    )


def render_memorisation(probe: MemorisationProbe) -> str:
    """The probe as plain text, for a terminal."""
    return "\n".join(
        [
            "the correct version is likelier  right wrong  ties  accuracy (ties half)",
            _row("with the corpus' own names", probe.original),
            _row("with other names", probe.renamed),
            _row("margin larger with own names", probe.own_names) + f"  p = {probe.own_names.p_value:.2g}",
            "",
            f"nats a byte of correct versions  {probe.nats_per_byte:.3f}, renamed {probe.nats_per_byte_renamed:.3f}",
            f"margin buggy minus correct       {probe.margin:.2f} nats, renamed {probe.margin_renamed:.2f}",
            "",
        ]
    )


def num_tokens(text: str) -> int:
    """Number of Python tokens, without those that only mark layout; of words where the text cannot be read."""
    try:
        tokens = tokenize.generate_tokens(io.StringIO(text).readline)
        return sum(bool(token.string.strip()) for token in tokens)
    except (tokenize.TokenError, SyntaxError):
        return len(text.split())


def render(report: CorpusReport) -> str:
    """The report as plain text, for a terminal."""
    low, high = report.bag_of_bytes.interval
    lines = [
        f"corpus            {', '.join(report.corpora)}",
        f"pairs             {report.num_pairs} in {report.num_groups} groups",
        f"hash              {report.corpus_hash}",
        f"Python            {report.python_version}",
        f"mean size         {report.mean_bytes:.0f} bytes, {report.mean_lines:.1f} lines",
        f"one hunk          {_bad(report.not_one_hunk)}",
        f"normal form       {_bad(report.not_normal)}",
        f"repeated          {_bad(report.repeated_names)} by name, {_bad(report.repeated_pairs)} by text",
        f"near-duplicates   {len(report.near_duplicates)}"
        + "".join(f"\n                  {first} ~ {second}" for first, second in report.near_duplicates[:5]),
        "",
        "rule for the correct version     right wrong  ties  accuracy (ties half)",
        _row("the longer text", report.longer_bytes),
        _row("the one with more tokens", report.more_tokens),
        _row("bag of bytes, other groups", report.bag_of_bytes) + f"  [{low:.3f}, {high:.3f}] of the decided",
        _row("bag of bytes, single texts", report.bag_of_bytes_single),
        "",
        f"localise: chance {report.localise_chance:.3f}, the longest line {report.longest_line_top1:.3f}",
        "",
        "defect class                          pairs",
        *(f"{name:<36s} {count:6d}" for name, count in report.defect_classes.items()),
        "",
    ]
    if report.tests_run:
        lines.append(
            f"tests             correct not passing: {_bad(report.correct_not_passing)}; "
            f"buggy passing: {_bad(report.buggy_passing)}; without tests: {report.without_tests}"
        )
    else:
        lines.append(f"tests             not run; {report.num_pairs - report.without_tests} pairs have some")
    lines += [f"PROBLEM           {problem}" for problem in report.problems] or ["no problems"]
    return "\n".join(lines) + "\n"


def _row(name: str, rule: RuleCount) -> str:
    return f"{name:<32s} {rule.right:5d} {rule.wrong:5d} {rule.ties:5d}  {rule.accuracy:.3f}"


def _bad(names: Sequence[str]) -> str:
    return "all good" if not names else f"{len(names)} bad"


def _run(
    pairs: Sequence[ProgramPair], run_tests: Callable[[str, str, Any], Any] | None
) -> tuple[tuple[str, ...], tuple[str, ...]]:
    """Names of the pairs whose correct version does not pass, and of those whose buggy version does."""
    if run_tests is None:
        return (), ()

    def passes(source: str, pair: ProgramPair) -> bool:
        outcome = run_tests(source, entry_point(pair), pair.tests)
        if outcome.verdict == "refused":
            raise RuntimeError(
                f"the tests of {pair.name!r} were not run, for nothing on this machine shuts programs in"
                f" ({getattr(outcome, 'isolation', 'no isolation')}): that says nothing about the corpus"
            )
        return bool(outcome.verdict == "pass")

    failing = [pair.name for pair in pairs if not passes(pair.correct, pair)]
    passing = [pair.name for pair in pairs if passes(pair.buggy, pair)]
    return tuple(failing), tuple(passing)


def _rule(differences: Sequence[float]) -> RuleCount:
    signs = np.sign(differences)
    return RuleCount(right=int((signs > 0).sum()), wrong=int((signs < 0).sum()), ties=int((signs == 0).sum()))


def _mean(values: Sequence[float]) -> float:
    return float(np.mean(values)) if values else float("nan")


def _hunk(pair: ProgramPair) -> bool:
    try:
        single_edit(pair.buggy, pair.correct)
    except ValueError:
        return False
    return True


def _normal(text: str) -> bool | None:
    try:
        return normalise(text) == text
    except SyntaxError:
        return None


def _longest_line(text: str) -> int:
    """Number of the longest line, from 1; the first of several."""
    lengths = [len(line.strip()) for line in text.splitlines()]
    return lengths.index(max(lengths)) + 1


def _steps(pairs: Sequence[ProgramPair], text_of: TextOf) -> np.ndarray:
    """Difference of the byte histograms, buggy minus correct, one row a pair."""
    return np.array([_histogram(text_of(pair, "buggy")) - _histogram(text_of(pair, "correct")) for pair in pairs])


def _histogram(text: str) -> np.ndarray:
    return np.bincount(np.frombuffer(text.encode(), dtype=np.uint8), minlength=256).astype(float)


def _folds(pairs: Sequence[ProgramPair], num_folds: int) -> list[np.ndarray]:
    """Masks of the pairs held out in each fold: whole groups, the largest first, each into the smallest fold."""
    sizes = Counter(pair.group for pair in pairs)
    if len(sizes) < 2:
        return []
    fold_of: dict[str, int] = {}
    loads = [0] * min(num_folds, len(sizes))
    for group, size in sorted(sizes.items(), key=lambda item: (-item[1], item[0])):
        fold_of[group] = loads.index(min(loads))
        loads[fold_of[group]] += size
    assigned = np.array([fold_of[pair.group] for pair in pairs])
    return [assigned == fold for fold in range(len(loads))]


def _logistic(features: np.ndarray, labels: np.ndarray) -> np.ndarray:
    """Weights of a ridge logistic regression (Newton); columns that never vary get no weight."""
    used = features.std(axis=0) + np.abs(features).max(axis=0) > 0
    x = features[:, used]
    scale = np.sqrt((x**2).mean(axis=0))
    x = x / scale
    weights = np.zeros(x.shape[1])
    for _ in range(12):
        chance = 1 / (1 + np.exp(-np.clip(x @ weights, -30, 30)))
        gradient = x.T @ (labels - chance) - weights
        hessian = (x * (chance * (1 - chance))[:, None]).T @ x + np.eye(x.shape[1])
        weights = weights + np.linalg.solve(hessian, gradient)
    full = np.zeros(features.shape[1])
    full[used] = weights / scale
    return full
