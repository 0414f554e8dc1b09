"""The target mask against golden records of the original code, and the edges that it leaves open."""

import json
from pathlib import Path

import pytest
import torch

from glimpse_core.glimpse.boxes import box_mask, box_tokens, graded_mask
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


def test_grades_fall_from_the_middle_of_a_box_to_its_surroundings():
    grid = Grid(5, 9)
    grades = graded_mask([(3 / 9, 1 / 5, 5.9 / 9, 3.9 / 5)], grid).view(5, 9)  # columns 3 to 5, rows 1 to 3
    assert grades[2].tolist() == pytest.approx([0, 1 / 6, 1 / 3, 2 / 3, 1, 2 / 3, 1 / 3, 1 / 6, 0])
    assert grades[:, 4].tolist() == pytest.approx([1 / 3, 2 / 3, 1, 2 / 3, 1 / 3])
    assert grades[0, 0] == 0 and grades[0, 1] == pytest.approx(1 / 6) and grades[1, 3] == pytest.approx(2 / 3)


@pytest.mark.parametrize("seed", range(5))
def test_grades_are_above_half_in_the_mask_and_highest_over_the_boxes(seed):
    generator = torch.Generator().manual_seed(seed)
    grid, boxes = Grid(11, 14), []
    for _ in range(3):
        x1, y1, wide, high = torch.rand(4, generator=generator).tolist()
        boxes.append((0.8 * x1, 0.8 * y1, 0.8 * x1 + 0.2 * wide, 0.8 * y1 + 0.2 * high))
    grades = graded_mask(boxes, grid)
    assert torch.equal(grades > 0.5, box_mask(boxes, grid)) and grades.max() == 1
    single = torch.stack([graded_mask([box], grid) for box in boxes])
    assert torch.equal(grades, single.max(0).values)
    assert not graded_mask([], grid).any()
