"""Figures of many questions: paired bootstrap intervals (seeded), spread and rank correlation. numpy only.

The intervals are those of `scipy.stats.bootstrap` (method "percentile", paired) with the same seed, which the tests
compare. That function draws anew in every call. Here all cells share the draws, and means of resamples are a product of
matrices: about a tenth of the time for 40 cells, which the page counts again after every question.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence
from dataclasses import dataclass

import numpy as np

ROUNDS = 2000
LEVEL = 0.95


@dataclass(frozen=True)
class Interval:
    """An estimate and the percentile interval around it. None where nothing can be estimated."""

    value: float | None
    low: float | None
    high: float | None


def draws(count: int, rounds: int = ROUNDS, seed: int = 0) -> np.ndarray:
    """Draw `count` questions with replacement, in each of `rounds` rounds. The same draws serve every cell.

    Returns:
        (rounds, count) how often each question was drawn. Counting is enough: a mean over a resample is the product of
        these counts and the scores.
    """
    rng = np.random.default_rng(seed)
    picked = rng.integers(0, count, size=(rounds, count))
    offsets = np.arange(rounds)[:, None] * count
    counts = np.bincount((picked + offsets).ravel(), minlength=rounds * count)
    return counts.reshape(rounds, count).astype(float)


def mean(scores: Sequence[float], drawn: np.ndarray) -> Interval:
    """The interval of the mean score. drawn: see `draws`."""
    own = np.asarray(scores, dtype=float)
    return _interval(float(own.mean()), drawn @ own / len(own))


def difference(scores: Sequence[float], reference: Sequence[float], drawn: np.ndarray) -> Interval:
    """The interval of the mean of score - reference, question by question: negative where pruning costs accuracy."""
    return mean([own - other for own, other in zip(scores, reference, strict=True)], drawn)


def ratio(scores: Sequence[float], reference: Sequence[float], drawn: np.ndarray) -> Interval:
    """The interval of mean score / mean reference. Resamples in which the reference is 0 are left out."""
    own, other = np.asarray(scores, dtype=float), np.asarray(reference, dtype=float)
    if not other.sum():
        return Interval(None, None, None)
    above, below = drawn @ own, drawn @ other
    some = below > 0
    return _interval(float(own.sum() / other.sum()), above[some] / below[some])


def _interval(value: float, resampled: np.ndarray) -> Interval:
    low, high = np.quantile(resampled, [(1 - LEVEL) / 2, (1 + LEVEL) / 2])
    return Interval(value, float(low), float(high))


# ------------------------------------------------------------------------------------------ spread and correlation


def average(values: Iterable[float]) -> float | None:
    """Mean, summed without rounding errors; None where there are no values."""
    found = list(values)
    return math.fsum(found) / len(found) if found else None


def spread(values: Iterable[float]) -> dict[str, float | None]:
    """Mean and quartiles; None where there are no values."""
    ordered = sorted(values)
    if not ordered:
        return dict.fromkeys(("mean", "q25", "median", "q75"))
    quartiles = {name: quantile(ordered, share) for name, share in (("q25", 0.25), ("median", 0.5), ("q75", 0.75))}
    return {"mean": average(ordered)} | quartiles


def quantile(ordered: Sequence[float], share: float) -> float:
    """The value below which `share` of the sorted values lie, interpolated linearly."""
    place = share * (len(ordered) - 1)
    low = math.floor(place)
    high = min(low + 1, len(ordered) - 1)
    return ordered[low] + (place - low) * (ordered[high] - ordered[low])


def ranks(values: Sequence[float]) -> list[float]:
    """Ranks from 1; equal values share the mean of the ranks that they take up."""
    order = sorted(range(len(values)), key=values.__getitem__)
    ranked = [0.0] * len(values)
    start = 0
    while start < len(order):
        stop = start
        while stop < len(order) and values[order[stop]] == values[order[start]]:
            stop += 1
        for place in order[start:stop]:
            ranked[place] = (start + 1 + stop) / 2
        start = stop
    return ranked


def spearman(first: Sequence[float], second: Sequence[float]) -> float | None:
    """Spearman's rank correlation, ties averaged: Pearson's of the ranks. None if one side does not vary."""
    if len(first) != len(second):
        raise ValueError(f"{len(first)} and {len(second)} values were given. Expected equally many.")
    a, b = _centered(ranks(first)), _centered(ranks(second))
    scale = math.sqrt(math.fsum(x * x for x in a) * math.fsum(y * y for y in b))
    return math.fsum(x * y for x, y in zip(a, b, strict=True)) / scale if scale else None


def _centered(values: Sequence[float]) -> list[float]:
    center = average(values) or 0.0
    return [value - center for value in values]
