"""What the selection rules promise for any input: order, ties, permutations, scales; and edge cases."""

from __future__ import annotations

import pytest
import torch

from glimpse_core.glimpse.selection import top_mask
from glimpse_core.pruners import ivcprune
from glimpse_core.pruners.cdpruner import diverse, scaled
from glimpse_core.pruners.dart import least_alike
from glimpse_core.pruners.divprune import farthest
from glimpse_core.pruners.hawk import weighed
from glimpse_core.pruners.mmtok import covering, similarities
from glimpse_core.pruners.visionzip import zipped
from glimpse_core.pruners.vscan import local_mask, merged, window_numbers
from glimpse_core.types import Grid
from tests.support import scorers
from tests.support import slow_methods as rules

N, SIZE = 24, 8


@pytest.fixture
def rows():
    return torch.randn(N, SIZE, generator=torch.Generator().manual_seed(5))


@pytest.fixture
def weights():
    return torch.rand(N, generator=torch.Generator().manual_seed(6))


@pytest.fixture
def order():
    return torch.randperm(N, generator=torch.Generator().manual_seed(7))


def indices(mask):
    return mask.nonzero()[:, 0].tolist()


@pytest.mark.parametrize("count", [0, 1, 5, N, N + 3])
def test_rules_give_exactly_what_is_asked(rows, weights, count):
    wanted = min(count, N)
    assert farthest(rows, count).sum() == wanted
    assert diverse(rows, weights + 0.1, count).sum() == wanted
    assert covering(similarities(rows, rows, 0.2), count).sum() == wanted
    assert least_alike(rows, weights, rows[:3], weights[:3], wanted, (4, 4)).sum() == wanted
    assert top_mask(weights, count).sum() == wanted


def test_the_order_of_tokens_does_not_matter(rows, weights, order):
    """Without ties, shuffled tokens give the shuffled choice."""
    assert torch.equal(farthest(rows, 7)[order], farthest(rows[order], 7))
    assert torch.equal(diverse(rows, weights, 7)[order], diverse(rows[order], weights[order], 7))
    gains = similarities(rows, rows, 0.2)
    assert torch.equal(covering(gains, 7)[order], covering(gains[:, order], 7))
    text = (rows[:3] * 2 + 1, weights[:3])
    shuffled = least_alike(rows[order], weights[order], *text, 9, (2, 2))
    assert torch.equal(least_alike(rows, weights, *text, 9, (2, 2))[order], shuffled)


def test_the_lengths_of_vectors_do_not_matter_to_cosines(rows, weights):
    longer = rows * (1 + weights[:, None])
    assert torch.equal(farthest(rows, 7), farthest(longer, 7))
    assert torch.equal(diverse(rows, weights, 7), diverse(longer, weights, 7))
    assert torch.equal(diverse(rows, weights, 7), diverse(rows, 3 * weights, 7))
    torch.testing.assert_close(similarities(rows, rows, 0.2), similarities(longer, 5 * rows, 0.2))


def test_relevance_is_scaled_like_the_authors(weights):
    found = scaled(weights)
    assert 0 < found.min() < 1e-4 and found.max() == pytest.approx(1, abs=1e-4)
    torch.testing.assert_close(scaled(2 * weights - 5), found, atol=1e-5, rtol=1e-4)
    assert torch.equal(scaled(torch.full((4,), 0.3)), torch.ones(4))


def test_equal_tokens_go_to_the_earlier(rows):
    same = rows[:1].expand(6, -1)
    assert indices(top_mask(torch.ones(6), 2)) == [0, 1]
    assert indices(farthest(same, 3)) == [0, 1, 2]
    assert indices(diverse(same, torch.ones(6), 3)) == [0, 1, 2]
    assert indices(covering(torch.ones(2, 6), 3)) == [0, 1, 2]
    assert indices(least_alike(same, torch.ones(6), same[:2], torch.ones(2), 4, (2, 2))) == [0, 1, 2, 3]


def test_duplicates_are_the_last_choice(rows):
    """Of three pairs of twins, three picks are one of each."""
    twins = rows[:3].repeat_interleave(2, 0)
    for mask in (farthest(twins, 3), diverse(twins, torch.ones(6), 3)):
        assert [int(pair.sum()) for pair in mask.split(2)] == [1, 1, 1]


def test_a_head_counts_by_its_weight_and_not_by_its_size(rows, order):
    """Scaling a head changes nothing, scaling all weights changes no order, and tokens may be shuffled."""
    weights = torch.rand(SIZE, generator=torch.Generator().manual_seed(8))
    scores = weighed(rows, weights)
    torch.testing.assert_close(weighed(rows * torch.arange(1, SIZE + 1), weights), scores)
    torch.testing.assert_close(weighed(rows, 3 * weights), 3 * scores)
    torch.testing.assert_close(weighed(rows[order], weights), scores[order])
    assert weighed(rows * 0, weights).eq(0).all() and weighed(rows[:0], weights).shape == (0,)


def test_words_then_coordinates_then_what_is_alike(rows, order):
    values = rows.view(N, 2, SIZE // 2).transpose(0, 1)
    weights = ivcprune.similarity(values[:, :5], values)
    torch.testing.assert_close(weights.sum(1), torch.ones(5))
    places = torch.stack([torch.linspace(1, 0, N), torch.linspace(0, 1, N)], dim=1)
    for count in (1, 5, 13, N):
        mask = ivcprune.preferred(values[:, :5], values, places, count)
        share = round(0.2 * count)
        assert mask.sum() == count and mask[:share].all() and mask[N - share :].all()
        shuffled = ivcprune.preferred(values[:, :5], values[:, order], places[order], count)
        assert torch.equal(shuffled, mask[order])
    seed = ivcprune.preferred(values[:, :5], values, places, 1)
    assert torch.equal(seed, top_mask(weights.mean(0), 1))


def test_a_scorer_ranks_without_a_matrix_of_pairs(rows, order):
    """All pairs, one by one, give the same; and tokens may be shuffled."""
    own = scorers.scorer(SIZE)
    query, key = rows @ own.query.T + own.query_bias, rows @ own.key.T + own.key_bias
    pairs = (query @ key.T / (SIZE // 2) ** 0.5).mean(1)
    torch.testing.assert_close(own.score(rows), pairs)
    torch.testing.assert_close(own.score(rows[order]), pairs[order])
    assert own.score(rows[:0]).shape == (0,)


def test_more_tokens_than_dimensions(rows):
    """Behind SIZE independent rows the determinant is zero; the choice goes on and stays exact in count."""
    mask = diverse(rows, torch.ones(N), SIZE)
    first = rules.cdpruner(rows, torch.linspace(0, 1, N), 5)
    assert indices(diverse(rows, scaled(torch.linspace(0, 1, N)), 5)) == first
    assert mask.sum() == SIZE and diverse(rows, torch.ones(N), N - 1).sum() == N - 1
    assert (mask & diverse(rows, torch.ones(N), N - 1)).sum() == SIZE


def test_blocks_change_nothing(rows):
    assert torch.equal(farthest(rows, 9, block=5), farthest(rows, 9))


def test_all_pivots_and_no_text(rows, weights):
    nothing = (rows[:0], weights[:0])
    assert indices(least_alike(rows, weights, *nothing, 3, (4, 4))) == indices(top_mask(weights, 3))
    assert least_alike(rows, weights, *nothing, 9, (1, 0)).sum() == 9


def test_zipped_tokens(rows, weights):
    found = zipped(rows, weights, rows, 4, 3)
    assert found.dominant.tolist() == indices(top_mask(weights, 4))
    rest = [i for i in range(N) if i not in found.dominant.tolist()]
    assert found.targets.tolist() == [rest[0], rest[6], rest[12]]
    everything = zipped(rows, weights, rows, 0, N)
    assert everything.targets.tolist() == list(range(N)) and torch.equal(everything.merged, rows)
    one = zipped(rows, weights, rows, 0, 1)
    torch.testing.assert_close(one.merged[0], rows[0] + rows[1:].mean(0))


def test_merging_keeps_the_mean_of_a_group(rows):
    only = torch.zeros(N, dtype=torch.bool)
    only[3] = True
    torch.testing.assert_close(merged(rows, only, rows), rows.mean(0, keepdim=True))
    assert torch.equal(merged(rows, torch.ones(N, dtype=torch.bool), rows), rows)
    assert merged(rows, torch.zeros(N, dtype=torch.bool), rows).shape == (0, SIZE)


def test_no_window_gives_more_than_its_part(weights):
    windows = window_numbers([Grid(4, 6)], 2)
    assert windows.tolist() == [0, 0, 1, 1, 2, 2] * 2 + [3, 3, 4, 4, 5, 5] * 2
    for count in (1, 5, 6, 7, 12, 23):
        mask = local_mask(weights, windows, count)
        assert mask.sum() == count
        assert windows[mask].bincount().max() <= -(-count // 6)
    uneven = window_numbers([Grid(3, 3), Grid(1, 2)], 2)
    assert uneven.tolist() == [0, 0, 1, 0, 0, 1, 2, 2, 3, 4, 4]
    crowded = local_mask(torch.tensor([9.0, 8, 7, 6, 1]), torch.tensor([0, 0, 0, 0, 1]), 4)
    assert indices(crowded) == [0, 1, 4], "one window is full, the other has no more: three of four"
