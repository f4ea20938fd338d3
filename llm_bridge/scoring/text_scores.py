"""`TextScores`: everything known of a text after one look at it. No torch: scores on file do not need it."""

from __future__ import annotations

from dataclasses import dataclass


class LikelihoodError(ValueError):
    """Scores that are not numbers: the model diverged in training, or its weights are damaged."""


@dataclass(frozen=True, kw_only=True)
class TextScores:
    """Scores of one text; likelihoods in nats.

    Parameters
    ----------
    num_tokens, sum_nll, mean_nll
        Number, sum and mean of the text's own tokens' likelihoods, in nats; all 0 for an empty text. Sum and mean are 0
        where no likelihood was computed: an encoder has none, and beside a trained head none is asked for.
    line_nll, line_verdict
        One entry for each line of ``text.splitlines()``; shorter where the text was truncated. `line_nll` is empty
        where no likelihood was computed.
    none_verdict
        What competes with the line verdicts for "no line is wrong": minus `program_verdict`.
    program_verdict
        Verdict at the end of the fixed suffix.
    truncated
        Whether the text was longer than the model was shown.
    """

    num_tokens: int
    sum_nll: float
    mean_nll: float
    line_nll: tuple[float, ...]
    line_verdict: tuple[float, ...]
    none_verdict: float
    program_verdict: float
    truncated: bool = False
