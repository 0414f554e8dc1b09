"""Bootstrap intervals against a slow resampling loop, and small cases worked out by hand."""

import numpy as np
import pytest
from scipy import stats

from glimpse_core.evaluation import statistics
from glimpse_core.evaluation.statistics import Interval, quantile, ranks, spearman, spread


def slow(scores, reference, estimate, rounds, seed):
    """The definition: draw questions with replacement, estimate again, take percentiles by counting."""
    picked = np.random.default_rng(seed).integers(0, len(scores), size=(rounds, len(scores)))
    found = []
    for round_ in picked:
        own, other = [scores[i] for i in round_], [reference[i] for i in round_]
        if (value := estimate(own, other)) is not None:
            found.append(value)
    found.sort()

    def quantile(share):
        place = share * (len(found) - 1)
        low = int(place)
        high = min(low + 1, len(found) - 1)
        return found[low] + (place - low) * (found[high] - found[low])

    return Interval(estimate(scores, reference), quantile(0.025), quantile(0.975))


def average(values):
    return sum(values) / len(values)


ESTIMATES = {
    "mean": lambda own, other: average(own),
    "difference": lambda own, other: average(own) - average(other),
    "ratio": lambda own, other: average(own) / average(other) if sum(other) else None,
}


@pytest.mark.parametrize("name", ESTIMATES)
@pytest.mark.parametrize("count", [1, 7, 40])
def test_intervals_equal_the_slow_loop(name, count):
    rng = np.random.default_rng(count)
    scores, reference = (rng.integers(0, 2, count) * rng.random(count)).tolist(), rng.integers(0, 2, count).tolist()
    reference[0] = 1
    drawn = statistics.draws(count, 300, seed=5)
    arguments = (scores,) if name == "mean" else (scores, reference)
    fast = getattr(statistics, name)(*arguments, drawn)
    expected = slow(scores, reference, ESTIMATES[name], 300, 5)
    assert (fast.value, fast.low, fast.high) == pytest.approx((expected.value, expected.low, expected.high))


@pytest.mark.parametrize("count", [7, 40, 500])
def test_intervals_are_scipys(count):
    """Means and differences to the last bit, ratios up to rounding."""
    rng = np.random.default_rng(count)
    scores, reference = rng.random(count), (rng.random(count) < 0.8).astype(float)
    reference[: count // 2] = 1.0  # so that every resample has some
    drawn = statistics.draws(count)

    def scipys(*samples, estimate=np.mean):
        seeded = {"n_resamples": statistics.ROUNDS, "rng": np.random.default_rng(0), "method": "percentile"}
        paired = {"paired": True, "vectorized": True} if len(samples) > 1 else {}
        return stats.bootstrap(samples, estimate, **seeded, **paired).confidence_interval

    mean, found = statistics.mean(scores, drawn), scipys(scores)
    assert (mean.low, mean.high) == pytest.approx((found.low, found.high), abs=1e-15)
    apart, found = statistics.difference(scores, reference, drawn), scipys(scores - reference)
    assert (apart.low, apart.high) == pytest.approx((found.low, found.high), abs=1e-15)
    ratio = statistics.ratio(scores, reference, drawn)
    found = scipys(scores, reference, estimate=lambda own, other, axis=-1: own.sum(axis) / other.sum(axis))
    assert (ratio.low, ratio.high) == pytest.approx((found.low, found.high), rel=1e-12)


def test_pairing_matters():
    """Two methods that fail on the same questions differ by nothing, however wide their own intervals are."""
    scores = [0.0, 1.0] * 20
    drawn = statistics.draws(40)
    assert statistics.difference(scores, scores, drawn) == Interval(0.0, 0.0, 0.0)
    own = statistics.mean(scores, drawn)
    assert own.low < 0.4 and own.high > 0.6
    apart = statistics.difference(scores, scores[::-1], drawn)
    assert apart.low < -0.2 and apart.high > 0.2


def test_seeds_and_nothing_to_compare_with():
    assert (statistics.draws(9, 50, seed=1) == statistics.draws(9, 50, seed=1)).all()
    assert (statistics.draws(9, 50, seed=1) != statistics.draws(9, 50, seed=2)).any()
    assert (statistics.draws(9, 50).sum(1) == 9).all()
    assert statistics.ratio([1.0], [0.0], statistics.draws(1)) == Interval(None, None, None)


def test_ties_share_their_mean_rank():
    assert ranks([3, 1, 3, 2]) == [3.5, 1.0, 3.5, 2.0]
    assert ranks([5, 5, 5]) == [2.0, 2.0, 2.0]
    assert ranks([]) == []


@pytest.mark.parametrize(
    ("first", "second", "expected"),
    [
        ([1, 2, 3], [10, 20, 30], 1.0),
        ([1, 2, 3], [3, 2, 1], -1.0),
        ([106, 100, 86, 101, 99, 103, 97, 113, 112, 110], [7, 27, 2, 50, 28, 29, 20, 12, 6, 17], -29 / 165),
        ([1, 2, 2, 3], [1, 3, 2, 4], 0.9486832980505138),  # ranks 1 2.5 2.5 4 against 1 3 2 4
        ([1, 1, 1], [1, 2, 3], None),
        ([], [], None),
    ],
)
def test_spearman(first, second, expected):
    assert spearman(first, second) == (None if expected is None else pytest.approx(expected))


def test_quartiles_interpolate():
    assert quantile([0.0, 1.0], 0.25) == 0.25
    assert spread([4, 1, 3, 2]) == {"mean": 2.5, "q25": 1.75, "median": 2.5, "q75": 3.25}
    assert spread([7]) == {"mean": 7.0, "q25": 7, "median": 7, "q75": 7}
    assert spread([])["mean"] is None


def test_averages_do_not_depend_on_the_order():
    values = [0.1] * 10 + [1e16, -1e16]
    assert statistics.average(values) == statistics.average(values[::-1]) == pytest.approx(1 / 12)
    assert statistics.average([]) is None
