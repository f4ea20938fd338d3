"""The sentence about a difference says no more than its interval."""

import math

from llm_bridge.report.language import contrast_sentence
from llm_bridge.scoring.statistics import Interval


def interval(value: float, low: float, high: float, n: int = 42) -> Interval:
    return Interval(value=value, low=low, high=high, num_clusters=n)


def test_contrast_sentence_says_no_more_than_the_interval() -> None:
    assert contrast_sentence("QLoRA", "full", interval(-0.001, -0.1, 0.1)) == (
        "QLoRA against full: difference 0.00 [−0.10, 0.10], n = 42, one seed: not distinguishable"
    )
    assert contrast_sentence("a", "b", interval(0.3, 0.1, 0.5), seeds="5 seeds").endswith("5 seeds: a scores higher")
    assert contrast_sentence("a", "b", interval(-0.3, -0.5, -0.1)).endswith("a scores lower")
    assert contrast_sentence("a", "b", interval(0.0, -0.14, 0.05)).endswith("not distinguishable")
    assert "could show: none" in contrast_sentence("a", "b", interval(0.0, -1, 1, n=3), say_smallest=True)
    assert "nothing can be said" in contrast_sentence("a", "b", interval(math.nan, -1, 1, n=0))
