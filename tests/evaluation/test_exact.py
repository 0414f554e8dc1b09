"""Exact intervals: published bounds, the definition by a slow sum, coverage by counting every outcome."""

from __future__ import annotations

import itertools
import math
from collections.abc import Iterator

import pytest

from glimpse_core.evaluation import exact, statistics
from glimpse_core.evaluation.exact import bounds
from glimpse_core.evaluation.statistics import Interval


@pytest.mark.parametrize(
    ("successes", "count", "expected"),
    [  # scipy.stats.binomtest(...).proportion_ci(method="exact")
        (8, 8, (0.6305834, 1.0)),
        (0, 10, (0.0, 0.3084971)),
        (7, 8, (0.4734903, 0.9968403)),
        (5, 10, (0.1870860, 0.8129140)),
        (1, 1, (0.025, 1.0)),
        (995, 1000, (0.9883704, 0.9983746)),
        (0, 0, (0.0, 1.0)),
    ],
)
def test_published_bounds(successes: int, count: int, expected: tuple[float, float]) -> None:
    assert bounds(successes, count) == pytest.approx(expected, abs=1e-6)


def slow_tail(successes: int, count: int, share: float) -> float:
    return sum(math.comb(count, k) * share**k * (1 - share) ** (count - k) for k in range(successes, count + 1))


@pytest.mark.parametrize("count", [1, 2, 5, 13])
@pytest.mark.parametrize("level", [0.95, 0.8])
def test_at_a_bound_the_tail_has_half_of_the_error(count: int, level: float) -> None:
    tail = (1 - level) / 2
    for successes in range(count + 1):
        low, high = bounds(successes, count, level)
        assert low < successes / count + 1e-12 and high > successes / count - 1e-12
        if successes:
            assert slow_tail(successes, count, low) == pytest.approx(tail, abs=1e-9)
        if successes < count:
            assert 1 - slow_tail(successes + 1, count, high) == pytest.approx(tail, abs=1e-9)
        mirrored = bounds(count - successes, count, level)
        assert (1 - mirrored[1], 1 - mirrored[0]) == pytest.approx((low, high), abs=1e-9)


def outcomes(cells: tuple[float, float, float, float], count: int) -> Iterator[tuple[list[int], list[int], float]]:
    """Every (scores, reference) up to order, with its probability: both right, lost, fixed, both wrong."""
    for both, lost, fixed in itertools.product(range(count + 1), repeat=3):
        neither = count - both - lost - fixed
        if neither >= 0:
            ways = math.factorial(count) // math.prod(map(math.factorial, (both, lost, fixed, neither)))
            chance = ways * math.prod(p**n for p, n in zip(cells, (both, lost, fixed, neither), strict=True))
            if chance:
                own = [1] * both + [0] * lost + [1] * fixed + [0] * neither
                yield own, [1] * (both + lost) + [0] * (fixed + neither), chance


@pytest.mark.parametrize("cells", [(0.7, 0.1, 0.05, 0.15), (0.9, 0.1, 0.0, 0.0), (0.5, 0.02, 0.2, 0.28)])
def test_they_hold_at_least_at_their_level(cells: tuple[float, float, float, float]) -> None:
    """Over all outcomes of 9 questions the true figures are inside with at least 95%. The ratio's truth is that of the
    conditional question: what pruning makes of those that the reference has right, and of the others.
    """
    both, lost, fixed, neither = cells
    means = differences = ratios = known = 0.0
    for own, other, chance in outcomes(cells, 9):
        mean, difference, ratio = exact.mean(own), exact.difference(own, other), exact.ratio(own, other)
        means += chance * (mean.low <= both + fixed <= mean.high)  # type: ignore[operator]
        differences += chance * (difference.low <= fixed - lost <= difference.high)  # type: ignore[operator]
        right = sum(other)
        if not right:
            assert ratio == Interval(None, None, None)
            continue
        expected = both / (both + lost)
        if right < 9:
            expected += fixed / (fixed + neither) * (9 - right) / right
        ratios += chance * (ratio.low <= expected <= ratio.high)  # type: ignore[operator]
        known += chance
    assert min(means, differences, ratios / known) >= 0.95, (means, differences, ratios / known)


def test_eight_of_eight_is_not_certain() -> None:
    ones = [1.0] * 8
    drawn = statistics.draws(8)
    assert statistics.ratio(ones, ones, drawn) == Interval(1.0, 1.0, 1.0)  # what the page used to show
    assert exact.ratio(ones, ones).low == pytest.approx(0.6305834, abs=1e-6) == exact.mean(ones).low
    assert exact.ratio(ones, ones).high == 1.0
    nothing = exact.difference(ones, ones)
    assert nothing.value == 0 and nothing.low < -0.3 and nothing.high > 0.3


def test_only_scores_of_0_and_1_are_counted() -> None:
    assert exact.is_binary([0, 1.0], [True]) and not exact.is_binary([0, 1], [0.5])
