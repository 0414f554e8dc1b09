"""The target mask against golden records of the original code, and the edges that it leaves open."""

import json
from pathlib import Path

import pytest

from glimpse_core.boxes import box_mask, box_tokens
from glimpse_core.types import Grid

GOLDEN = json.loads((Path(__file__).parent / "parity" / "bbox" / "bbox_golden.json").read_text())


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
