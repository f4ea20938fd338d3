"""Rules that answer without reading: what any model must beat, on the same damaged texts and by the same rows.

    localise   always the line a fixed number of lines from the end (fitted on the training mutants)
    paired     the longer text is the correct one
    detect     every text is buggy

One-line bugs are not spread evenly over a program's lines: the last line but two holds those of 16 % of the training
mutants, and of 36 % of QuixBugs. A score above the mean of gold lines / lines and below this rule shows no
understanding.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence

from llm_bridge.corpora.programs import ProgramPair
from llm_bridge.scoring.text_scores import TextScores


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


def rule_scores(texts: Iterable[str], position: int) -> dict[str, TextScores]:
    """Scores under which the tasks' own decisions become the rules above (*detect* with the threshold 0).

    Examples
    --------
    >>> rule_scores(["a\\nb\\nc\\n"], 1)["a\\nb\\nc\\n"].line_nll
    (-1.0, 0.0, -1.0)
    """
    scores = {}
    for text in dict.fromkeys(texts):
        lines = text.splitlines()
        target = max(len(lines) - 1 - position, 0)
        distance = tuple(0.0 - abs(index - target) for index in range(len(lines)))
        length = float(len(text.encode("utf-8", errors="surrogatepass")))
        scores[text] = TextScores(
            num_tokens=len(text),
            sum_nll=-length,
            mean_nll=-length,
            line_nll=distance,
            line_verdict=distance,
            none_verdict=-1.0,
            program_verdict=1.0,
        )
    return scores
