"""Exact intervals of scores that are all 0 or 1, for few questions: where a bootstrap says that 8 of 8 is certain.

Of one proportion it is Clopper and Pearson's interval (Biometrika 26, 1934), from scipy. Ratios and differences of two
paired proportions are put together from two of these, of the questions that pruning lost and of those that it fixed,
each at half of the error (Bonferroni): they hold at least at the level, and are wider than necessary.
"""

from __future__ import annotations

from collections.abc import Sequence
from functools import lru_cache

from glimpse_core.evaluation.statistics import LEVEL, Interval


@lru_cache(maxsize=4096)
def bounds(successes: int, count: int, level: float = LEVEL) -> tuple[float, float]:
    """Return Clopper and Pearson's lower and upper bound of a proportion.

    Args:
        successes: 0 to `count`.
        count: of how many. For 0 nothing is known: (0, 1).
        level: probability with which the interval holds the true proportion, at least.
    """
    from scipy.stats import binomtest  # takes a second to import, which the page would pay for at its start

    if not count:
        return 0.0, 1.0
    found = binomtest(successes, count).proportion_ci(level, method="exact")
    return float(found.low), float(found.high)


def is_binary(*scores: Sequence[float]) -> bool:
    """Whether every score is 0 or 1."""
    return all(score in (0, 1) for part in scores for score in part)


def mean(scores: Sequence[float]) -> Interval:
    """Return the interval of the mean of scores that are all 0 or 1."""
    right, count = round(sum(scores)), len(scores)
    return Interval(right / count, *bounds(right, count))


def ratio(scores: Sequence[float], reference: Sequence[float]) -> Interval:
    """Return the interval of mean score / mean reference, given which questions the reference has right.

    Args:
        scores, reference: 0 or 1 for each question.

    Returns:
        None in all three where the reference has nothing right.
    """
    held, fixed, right, wrong = _paired(scores, reference)
    if not right:
        return Interval(None, None, None)
    level = _each(right, wrong)
    (low, high), (least, most) = bounds(held, right, level), bounds(fixed, wrong, level) if wrong else (0.0, 0.0)
    return Interval((held + fixed) / right, low + least * wrong / right, high + most * wrong / right)


def difference(scores: Sequence[float], reference: Sequence[float]) -> Interval:
    """Return the interval of mean score - mean reference: the share of questions that were fixed less those lost."""
    held, fixed, right, wrong = _paired(scores, reference)
    count, lost, level = right + wrong, right - held, (1 + LEVEL) / 2
    (least, most), (low, high) = bounds(fixed, count, level), bounds(lost, count, level)
    return Interval((fixed - lost) / count, least - high, most - low)


def _paired(scores: Sequence[float], reference: Sequence[float]) -> tuple[int, int, int, int]:
    """Return how many of the reference's right ones are right, of its wrong ones; and how many these are."""
    pairs = list(zip(scores, reference, strict=True))
    right = sum(1 for _, other in pairs if other)
    held = sum(1 for own, other in pairs if own and other)
    fixed = sum(1 for own, other in pairs if own and not other)
    return held, fixed, right, len(pairs) - right


def _each(*counts: int) -> float:
    """Return the level of each of the intervals that are put together, where only those with questions err."""
    return 1 - (1 - LEVEL) / max(1, sum(1 for count in counts if count))
