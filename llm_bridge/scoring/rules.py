"""Rules that answer without reading, which any model must beat on the same damaged texts and by the same rows.

    method               task       answer
    rules                localise   the line a fixed number of lines from the end (fitted on the training mutants)
                         paired     the longer text is the correct one
                         detect     every text is buggy
    rule-longest-line    localise   the longest readable line that is no header, of those that arrived

One-line bugs are not spread evenly over a program's lines: the last line but two holds those of 16 % of the training
mutants, and of 36 % of QuixBugs; long lines hold more of them than short ones, and a line that an erasure joined to the
next is long. A score above the mean of gold lines / lines and below one of these rules shows no understanding. Skill is
claimed against the best of them and of chance (`llm_bridge.report.results.Point.baseline`).
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence

from llm_bridge.corpora.programs import ProgramPair
from llm_bridge.scoring.text_scores import TextScores

RULES, LONGEST_LINE = "rules", "rule-longest-line"
RULE_TASKS = {RULES: ("localise", "paired", "detect"), LONGEST_LINE: ("localise",)}
"""Methods that read nothing, and the tasks that each of them answers."""


def is_rule(method: str) -> bool:
    """Whether a method reads nothing: its name begins with "rule"."""
    return method.startswith("rule")


def fit_position(pairs: Sequence[ProgramPair]) -> int:
    """Lines between the end and the line that is gold most often in `pairs`; 0 is the last line.

    Examples
    --------
    >>> from llm_bridge.corpora.programs import TestSuite
    >>> fields = dict(docstring="", tests=TestSuite(), corpus="c", group="g")
    >>> pair = ProgramPair(name="p", buggy="a\\nb\\nc\\n", correct="a\\nx\\nc\\n", buggy_line=2, **fields)
    >>> fit_position([pair])
    1
    """
    counts: dict[int, int] = {}
    for pair in pairs:
        num_lines = len(pair.buggy.splitlines())
        for line in pair.gold_lines:
            counts[num_lines - line] = counts.get(num_lines - line, 0) + 1
    return max(counts, key=lambda position: (counts[position], -position), default=0)


def rule_scores(texts: Iterable[str], position: int, *, method: str = RULES) -> dict[str, TextScores]:
    """Scores under which the tasks' own decisions become the rules above (*detect* with the threshold 0).

    Parameters
    ----------
    texts
        Received texts, damaged or empty.
    position
        Lines between the end and the line that the fixed rule names (`fit_position`).
    method
        A key of `RULE_TASKS`: which rule names the line.

    Examples
    --------
    >>> rule_scores(["a\\nb\\nc\\n"], 1)["a\\nb\\nc\\n"].line_nll
    (-1.0, 0.0, -1.0)
    >>> rule_scores(["def f(x):\\n  y = x\\n  return y\\n"], 1, method="rule-longest-line").popitem()[1].line_nll
    (9.0, 7.0, 10.0)
    """
    scores = {}
    for text in dict.fromkeys(texts):
        lines = text.splitlines()
        target = max(len(lines) - 1 - position, 0)
        if method == LONGEST_LINE:
            bug_scores = tuple(float(len(line)) for line in lines)
        else:
            bug_scores = tuple(0.0 - abs(index - target) for index in range(len(lines)))
        length = float(len(text.encode("utf-8", errors="surrogatepass")))
        scores[text] = TextScores(
            num_tokens=len(text),
            sum_nll=-length,
            mean_nll=-length,
            line_nll=bug_scores,
            line_verdict=bug_scores,
            none_verdict=-1.0,
            program_verdict=1.0,
        )
    return scores
