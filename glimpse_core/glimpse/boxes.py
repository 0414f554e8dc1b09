"""From evidence boxes to the target mask on the grid of visual tokens.

A box (x1, y1, x2, y2) is normalized to 0..1. It covers all tokens from int(x1 * cols) to min(int(x2 * cols), cols - 1),
both ends included, and the same vertically. So a box that starts at 1.0 covers nothing, and a box without area covers
the token it lies in. Where the model pads images to a square, the box is first moved to where the image lies; the
published code leaves that out and supervises other tokens than those under the box.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence

import torch
from torch import Tensor

from glimpse_core.types import Grid


def box_tokens(boxes: Iterable[Sequence[float]], grid: Grid) -> list[int]:
    """Raster indices of the tokens under the boxes: box by box, each in raster order, no index twice.

    Args:
        boxes: (x1, y1, x2, y2) each, from 0 to 1.
        grid: of the image.

    Raises:
        ValueError: for a box that is not four finite numbers, or that begins left of or above the image.
    """
    seen: dict[int, None] = {}
    for box in boxes:
        if len(box) != 4 or not all(math.isfinite(value) for value in box) or min(box) < 0:
            raise ValueError(f"The box is {tuple(box)}. Expected four finite numbers x1, y1, x2, y2 from 0 to 1.")
        left, top, right, bottom = grid.frame
        cols = _cells(box[0], box[2], grid.cols, left, right)
        rows = _cells(box[1], box[3], grid.rows, top, bottom)
        seen.update(dict.fromkeys(row * grid.cols + col for row in rows for col in cols))
    return list(seen)


def box_mask(boxes: Iterable[Sequence[float]], grid: Grid) -> Tensor:
    """The union of the boxes as a mask (rows * cols,) bool in raster order. No boxes: nothing is set."""
    mask = torch.zeros(grid.tokens, dtype=torch.bool)
    mask[box_tokens(boxes, grid)] = True
    return mask


def graded_mask(boxes: Iterable[Sequence[float]], grid: Grid, reach: int = 2) -> Tensor:
    """Return how much each token belongs to the boxes: (rows * cols,) float32 from 0 to 1 in raster order.

    Within a box 1 in the middle, falling to 1/2 at its edges; outside from 1/2 to 0 over `reach` + 1 tokens. So a few
    tokens of every box come before the rest of any box, and a box's surroundings before what is far away.

    Args:
        boxes: (x1, y1, x2, y2) each, from 0 to 1, of which `box_tokens` says what they cover.
        grid: of the image.
        reach: how many tokens around a box still count.
    """
    grades = torch.zeros(grid.rows, grid.cols)
    y, x = torch.arange(grid.rows).float()[:, None], torch.arange(grid.cols).float()[None, :]
    for box in boxes:
        covered = box_mask((box,), grid).view(grid.rows, grid.cols).nonzero()
        if not len(covered):
            continue
        (top, left), (bottom, right) = covered.min(0).values, covered.max(0).values
        inner, outer = [], []
        for place, first, last in ((y, top, bottom), (x, left, right)):
            from_middle = (place - (first + last) / 2).abs()
            share = 1 - from_middle / ((last - first + 1) / 2)
            inner.append(share / share.max())  # two tokens in the middle count 1 both
            outer.append((from_middle - (last - first) / 2).clamp(min=0))
        inside = 0.5 + 0.5 * torch.minimum(*inner)
        outside = 0.5 * (1 - torch.maximum(*outer) / (reach + 1))
        within = torch.maximum(*outer) == 0
        grades = torch.maximum(grades, torch.where(within, inside, outside.clamp(min=0)))
    return grades.flatten()


def _cells(first: float, last: float, count: int, low: float, high: float) -> range:
    """The cells from `first` to `last`, shares of an image that lies from `low` to `high` on `count` cells."""
    begin, end = (int((low + share * (high - low)) * count) for share in (first, last))
    return range(begin, min(end, math.ceil(high * count - 1e-9) - 1) + 1)
