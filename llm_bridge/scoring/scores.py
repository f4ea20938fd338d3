"""Scores of counts, ranks, probabilities and texts: pure functions, broadcasting over leading axes.

With tp, fn, fp, tn counted over items (positive = the transmitted text is buggy),

    F1 = 2 tp / (2 tp + fp + fn),      localise: F1 = 2 hits / (P predicted + gold lines).

Where a score is undefined it is NaN; only `mcc` has a convention for that, 0 for a constant answer.

Sources: Matthews, BBA 405, 1975; Chen et al., arXiv 2107.03374 (unbiased pass@k); Guo et al., ICML 2017 (calibration).
"""

from __future__ import annotations

import difflib
import io
import math
import re
import tokenize
from collections import Counter

import numpy as np
import numpy.typing as npt

from llm_bridge.arrays import FloatArray


def f1_score(counts: npt.ArrayLike) -> FloatArray:
    """``2 tp / (2 tp + fp + fn)`` of counts ``(..., [tp, fn, fp, tn])``; NaN without positives and predictions.

    Examples
    --------
    >>> float(f1_score([40, 0, 40, 0])), float(f1_score([0, 40, 0, 40]))
    (0.6666666666666666, 0.0)
    """
    tp, fn, fp, _ = _split(counts)
    return ratio(2 * tp, 2 * tp + fp + fn)


def macro_f1(counts: npt.ArrayLike) -> FloatArray:
    """Mean of the F1 of both classes, of counts ``(..., [tp, fn, fp, tn])``.

    Examples
    --------
    >>> round(float(macro_f1([0, 40, 0, 40])), 4)
    0.3333
    """
    tp, fn, fp, tn = _split(counts)
    return (ratio(2 * tp, 2 * tp + fp + fn) + ratio(2 * tn, 2 * tn + fp + fn)) / 2


def mcc(counts: npt.ArrayLike) -> FloatArray:
    """Matthews' correlation of counts ``(..., [tp, fn, fp, tn])``, in [-1, 1]; 0 for a constant answer.

    Examples
    --------
    >>> float(mcc([0, 40, 0, 40])), float(mcc([30, 10, 10, 30]))
    (0.0, 0.5)
    """
    tp, fn, fp, tn = _split(counts)
    scale = np.sqrt((tp + fp) * (tp + fn) * (tn + fp) * (tn + fn))
    return np.where(scale > 0, (tp * tn - fp * fn) / np.where(scale > 0, scale, 1.0), 0.0)


def balanced_accuracy(counts: npt.ArrayLike) -> FloatArray:
    """Mean of sensitivity and specificity of counts ``(..., [tp, fn, fp, tn])``.

    Examples
    --------
    >>> float(balanced_accuracy([30, 10, 20, 20]))
    0.625
    """
    tp, fn, fp, tn = _split(counts)
    return (ratio(tp, tp + fn) + ratio(tn, tn + fp)) / 2


def auroc(scores: npt.ArrayLike, positive: npt.ArrayLike) -> float:
    """Probability that a random positive scores above a random negative, ties half; NaN where a class is empty.

    Parameters
    ----------
    scores : array (n,)
        Larger is likelier positive; minus infinity for what did not arrive.

    Examples
    --------
    >>> auroc([3.0, 1.0, 2.0, 0.0], [True, True, False, False])
    0.75
    """
    values, labels = np.asarray(scores, dtype=np.float64), np.asarray(positive, dtype=bool)
    wins = wins_matrix(values[labels], values[~labels])
    return float(wins.mean()) if wins.size else math.nan


def localise_f1(counts: npt.ArrayLike) -> FloatArray:
    """``2 hits / (P + gold)`` of counts ``(..., [hits, misses, gold])``: one predicted line for each text.

    Examples
    --------
    >>> float(localise_f1([21, 21, 42]))
    0.5
    """
    hits, misses, gold = np.moveaxis(np.asarray(counts, dtype=np.float64), -1, 0)
    return ratio(2 * hits, hits + misses + gold)


def plausible_at_k(num_candidates: int, num_plausible: int, k: int) -> float:
    """Probability that k of the candidates, drawn without replacement, hold a plausible one.

    ``1 - C(n - c, k) / C(n, k)``; 1 where fewer than k are implausible.

    Examples
    --------
    >>> round(plausible_at_k(10, 3, 1), 12), plausible_at_k(10, 8, 5)
    (0.3, 1.0)
    """
    if not 0 <= num_plausible <= num_candidates:
        raise ValueError(f"'num_plausible' must lie between 0 and {num_candidates} (got {num_plausible})")
    if not 1 <= k <= num_candidates:
        raise ValueError(f"'k' must lie between 1 and the number of candidates, {num_candidates} (got {k})")
    return 1.0 - math.comb(num_candidates - num_plausible, k) / math.comb(num_candidates, k)


def edit_token_f1(buggy: str, candidate: str, gold: str) -> float:
    """F1 of the candidate's edit against the gold edit, as multisets of Python tokens added and removed.

    Measured on the edit alone, because the unchanged input shares 98 % of its tokens with the fix.

    Examples
    --------
    >>> edit_token_f1("return a + b", "return a - b", "return a - b")
    1.0
    >>> edit_token_f1("return a + b", "return a + b", "return a - b")
    0.0
    """
    wanted, made = _edit_tokens(buggy, gold), _edit_tokens(buggy, candidate)
    total = wanted.total() + made.total()
    return 2 * (wanted & made).total() / total if total else 1.0


# --- helpers ----------------------------------------------------------------------------------------------------------


def _split(counts: npt.ArrayLike) -> FloatArray:
    """Counts (..., 4) as four arrays."""
    return np.moveaxis(np.asarray(counts, dtype=np.float64), -1, 0)


def ratio(above: FloatArray, below: FloatArray) -> FloatArray:
    """above / below; 0/0 is NaN, silently."""
    with np.errstate(divide="ignore", invalid="ignore"):
        return np.asarray(above / below)


def wins_matrix(positive: FloatArray, negative: FloatArray) -> FloatArray:
    """1, 1/2 or 0 for each (positive, negative): above, tied, below."""
    return np.asarray((positive[:, None] > negative) + 0.5 * (positive[:, None] == negative))


def _edit_tokens(before: str, after: str) -> Counter[tuple[str, str]]:
    """Multiset of ("-", token) and ("+", token) between two texts."""
    old, new = _python_tokens(before), _python_tokens(after)
    changed: Counter[tuple[str, str]] = Counter()
    for code, i0, i1, j0, j1 in difflib.SequenceMatcher(a=old, b=new, autojunk=False).get_opcodes():
        if code != "equal":
            changed.update(("-", token) for token in old[i0:i1])
            changed.update(("+", token) for token in new[j0:j1])
    return changed


def _python_tokens(text: str) -> list[str]:
    """Tokens of a text, layout left out; of a damaged text the words and signs."""
    layout = {tokenize.NEWLINE, tokenize.NL, tokenize.INDENT, tokenize.DEDENT, tokenize.ENDMARKER, tokenize.COMMENT}
    try:
        read = list(tokenize.generate_tokens(io.StringIO(text).readline))
    except (tokenize.TokenError, SyntaxError):
        return re.findall(r"\w+|[^\w\s]", text)
    return [token.string for token in read if token.type not in layout]
