"""The target mask against golden records of the original code, and the edges that it leaves open."""

import json
from pathlib import Path

import pytest

from glimpse_core.glimpse.boxes import box_mask, box_tokens
from glimpse_core.types import Grid

GOLDEN = json.loads((Path(__file__).parents[1] / "parity" / "bbox" / "bbox_golden.json").read_text())


@pytest.mark.parametrize("record", GOLDEN, ids=range(len(GOLDEN)))
def test_boxes_rasterize_like_the_original(record):
    grid = Grid(*record["grid_hw"])
    assert box_tokens(record["boxes"], grid) == record["indices_in_order"]
    assert box_mask(record["boxes"], grid).nonzero().flatten().tolist() == record["mask_indices"]


def test_no_boxes_is_an_empty_mask():
    assert box_mask([], Grid(3, 4)).sum() == 0
    assert box_mask([], Grid(3, 4)).shape == (12,)


@pytest.mark.parametrize("box", [(0, 0, 1), (-0.1, 0, 1, 1), (0, 0, float("nan"), 1), (0, 0, float("inf"), 1)])
def test_impossible_boxes_are_refused(box):
    with pytest.raises(ValueError, match="four finite numbers"):
        box_tokens([box], Grid(3, 4))


def test_boxes_stay_inside_a_padded_picture():
    """A picture twice as wide as high in a square of 8 x 8: it fills rows 2 to 5."""
    grid = Grid(8, 8, (0.0, 0.25, 1.0, 0.75))
    assert box_mask([(0, 0, 1, 1)], grid).view(8, 8).sum(1).tolist() == [0, 0, 8, 8, 8, 8, 0, 0]
    assert box_tokens([(0.0, 0.5, 0.1, 0.6)], grid) == [4 * 8]
    assert box_tokens([(0.0, 1.0, 0.1, 1.0)], grid) == []
    narrow = Grid(6, 6, (19 / 120, 0.0, 101 / 120, 1.0))  # columns 0.95 to 5.05: the picture begins and ends in a token
    assert box_mask([(0, 0, 1, 1)], narrow).view(6, 6).sum(0).tolist() == [6] * 6
