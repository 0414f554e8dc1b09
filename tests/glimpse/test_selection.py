"""Selection: threshold, cap, floor, anchors, paint, in this order."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from glimpse_core.errors import GlimpseError
from glimpse_core.glimpse.selection import (
    ABOVE,
    ANCHOR,
    BELOW,
    BEYOND,
    CAPPED,
    ERASED,
    FLOOR,
    PAINTED,
    REASONS,
    WITHIN,
    paint,
    select,
)
from glimpse_core.pruners.grid import grid_mask
from glimpse_core.pruners.random import random_mask
from glimpse_core.types import Grid, Selection

LOGITS = torch.tensor([2.0, -1.0, 0.0, 1.0, 3.0, -2.0])


def chosen(**settings):
    grid = settings.pop("grid", None)
    return select(LOGITS, Selection(**settings), grid)


def test_the_threshold_is_strict():
    kept = chosen(min_tokens=0)
    assert kept.mask.tolist() == [True, False, False, True, True, False]
    assert kept.reason.tolist() == [ABOVE, BELOW, BELOW, ABOVE, ABOVE, BELOW]


@pytest.mark.parametrize(("ratio", "count"), [(0.5, 3), (0.49, 2), (0.34, 2), (0.33, 1), (0.16, 1), (0.0, 1), (1.0, 3)])
def test_the_cap_truncates_and_leaves_one_token(ratio, count):
    kept = chosen(max_ratio=ratio, min_tokens=0)
    assert kept.mask.sum() == count
    assert (kept.reason == CAPPED).sum() == 3 - count
    assert kept.mask[LOGITS.argsort(descending=True)[:count]].all()


def test_the_cap_keeps_nothing_that_is_below_the_threshold():
    assert not chosen(threshold=0.99, max_ratio=0.0, min_tokens=0).mask.any()


@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16, torch.float16])
def test_without_a_threshold_the_cap_alone_decides(dtype):
    """Also where 16 bits round the probability to 0: the published fixed share."""
    logits = torch.arange(-40.0, -20.0).to(dtype)
    assert select(logits, Selection(0.0, 0.25)).mask.nonzero().flatten().tolist() == [15, 16, 17, 18, 19]


@pytest.mark.parametrize(("floor", "count"), [(0, 0), (1, 1), (4, 4), (99, 6)])
def test_the_floor_adds_the_most_probable(floor, count):
    kept = chosen(threshold=0.99, min_tokens=floor)
    assert kept.mask.sum() == count
    assert kept.mask[LOGITS.argsort(descending=True)[:count]].all()
    assert (kept.reason == FLOOR).sum() == count


def test_the_floor_comes_after_the_cap():
    kept = chosen(max_ratio=0.17, min_tokens=2)
    assert kept.reason.tolist() == [FLOOR, BELOW, BELOW, CAPPED, ABOVE, BELOW]


def test_anchors_come_last_and_may_exceed_the_cap():
    kept = chosen(max_ratio=0.17, anchors=("tl", "tr", "bl", "br"), grid=Grid(2, 3))
    assert kept.mask.tolist() == [True, False, True, True, True, True]
    assert kept.reason.tolist() == [ANCHOR, BELOW, ANCHOR, ANCHOR, ABOVE, ANCHOR]


@pytest.mark.parametrize("budget", [1, 2, 5, 6, 99])
def test_a_budget_keeps_exactly_so_many_by_rank(budget):
    kept = select(LOGITS, Selection(threshold=0.99, max_ratio=0.0, min_tokens=4), budget=budget)
    assert kept.mask.sum() == min(budget, 6)
    assert kept.mask[LOGITS.argsort(descending=True)[:budget]].all()
    assert kept.reason.tolist() == [WITHIN if on else BEYOND for on in kept.mask]


def test_anchors_are_added_to_a_budget():
    kept = select(LOGITS, Selection(anchors=("bl", "br")), Grid(2, 3), budget=2)
    assert kept.reason.tolist() == [WITHIN, BEYOND, BEYOND, ANCHOR, WITHIN, ANCHOR]


def test_of_equals_in_a_budget_the_earlier_wins():
    assert select(torch.zeros(50), Selection(), budget=3).mask.nonzero().flatten().tolist() == [0, 1, 2]


def test_an_anchor_that_was_kept_anyway_is_no_anchor():
    assert chosen(anchors=("tl",), grid=Grid(2, 3)).reason[0] == ABOVE


def test_of_equals_the_earlier_wins():
    same = torch.zeros(50)
    assert select(same, Selection(threshold=0.1, max_ratio=0.1)).mask.nonzero().flatten().tolist() == [0, 1, 2, 3, 4]
    assert select(same, Selection(min_tokens=3)).mask.nonzero().flatten().tolist() == [0, 1, 2]


def test_ties_can_be_left_to_topk():
    same = torch.full((50,), -torch.inf)
    kept = select(same, Selection(min_tokens=3), ties="topk").mask
    assert torch.equal(kept.nonzero().flatten(), same.sigmoid().topk(3).indices.sort().values)


def test_given_masks_pass_through():
    logits = torch.tensor([True, False, True]).float().logit()
    assert select(logits, Selection()).mask.tolist() == [True, False, True]


def test_no_tokens():
    assert select(torch.empty(0), Selection(max_ratio=0.5)).mask.shape == (0,)


def test_paint_has_the_last_word():
    kept = paint(chosen(), {0: False, 1: True, 4: True})
    assert kept.mask.tolist() == [False, True, False, True, True, False]
    assert kept.reason.tolist() == [ERASED, PAINTED, BELOW, ABOVE, PAINTED, BELOW]


def test_paint_leaves_its_argument_alone():
    before = chosen()
    paint(before, {0: False})
    assert before.mask[0]


@pytest.mark.parametrize("index", [-1, 6, "0"])
def test_paint_outside_the_picture(index):
    with pytest.raises(GlimpseError, match="tokens 0 to 5"):
        paint(chosen(), {index: True})


@pytest.mark.parametrize(
    "settings",
    [
        dict(threshold=-0.1),
        dict(threshold=1.1),
        dict(threshold=float("nan")),
        dict(threshold="half"),
        dict(max_ratio=-1),
        dict(max_ratio=float("inf")),
        dict(min_tokens=-1),
        dict(min_tokens=1.5),
        dict(anchors=("top",)),
    ],
)
def test_impossible_settings_are_named(settings):
    with pytest.raises(GlimpseError, match=next(iter(settings))):
        chosen(**settings)


def test_anchors_need_one_image():
    with pytest.raises(GlimpseError, match="several"):
        chosen(anchors=("tl",))


def test_numbers_of_numpy_are_numbers():
    settings = dict(threshold=np.float32(0.5), max_ratio=np.float64(0.5), min_tokens=np.int64(1))
    assert torch.equal(chosen(**settings).mask, chosen(max_ratio=0.5).mask)
    assert paint(chosen(), {np.int64(1): True}).mask[1]


def test_every_reason_has_words():
    assert len(REASONS) == 9


# ------------------------------------------------------------------------------------------------ controls


@pytest.mark.parametrize("grids", [[Grid(6, 6)], [Grid(5, 7)], [Grid(1, 9)], [Grid(9, 1)], [Grid(4, 5), Grid(5, 3)]])
def test_grid_and_random_keep_exactly_as_many(grids):
    total = sum(grid.tokens for grid in grids)
    for count in range(total + 2):
        assert grid_mask(grids, count).sum() == min(count, total)
        assert random_mask(total, count).sum() == min(count, total)


def test_the_grid_is_even():
    kept = grid_mask([Grid(8, 8)], 16).view(4, 2, 4, 2)
    assert (kept.sum((1, 3)) == 1).all()
