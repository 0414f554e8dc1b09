"""Intervals for differences that were measured on the same questions: the paired bootstrap, seeded. numpy only."""

from __future__ import annotations

from collections.abc import Sequence
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
    """(rounds, count) how often each question is drawn, with replacement, in each round. The same for every cell.

    Counting is enough: a mean over a resample is the product of these counts and the scores.
    """
    rng = np.random.default_rng(seed)
    picked = rng.integers(0, count, size=(rounds, count))
    offsets = np.arange(rounds)[:, None] * count
    counts = np.bincount((picked + offsets).ravel(), minlength=rounds * count)
    return counts.reshape(rounds, count).astype(float)


def mean(scores: Sequence[float], drawn: np.ndarray) -> Interval:
    """Of the mean score."""
    own = np.asarray(scores, dtype=float)
    return _interval(float(own.mean()), drawn @ own / len(own))


def difference(scores: Sequence[float], reference: Sequence[float], drawn: np.ndarray) -> Interval:
    """Of the mean of score - reference, question by question: negative where pruning costs accuracy."""
    return mean(np.asarray(scores, dtype=float) - np.asarray(reference, dtype=float), drawn)


def ratio(scores: Sequence[float], reference: Sequence[float], drawn: np.ndarray) -> Interval:
    """Of mean score / mean reference. Resamples in which the reference is 0 are left out."""
    own, other = np.asarray(scores, dtype=float), np.asarray(reference, dtype=float)
    if not other.sum():
        return Interval(None, None, None)
    above, below = drawn @ own, drawn @ other
    some = below > 0
    return _interval(float(own.sum() / other.sum()), above[some] / below[some])


def _interval(value: float, resampled: np.ndarray) -> Interval:
    low, high = np.quantile(resampled, [(1 - LEVEL) / 2, (1 + LEVEL) / 2])
    return Interval(value, float(low), float(high))
