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


def _cells(first: float, last: float, count: int, low: float, high: float) -> range:
    """The cells from `first` to `last`, shares of an image that lies from `low` to `high` on `count` cells."""
    begin, end = (int((low + share * (high - low)) * count) for share in (first, last))
    return range(begin, min(end, math.ceil(high * count - 1e-9) - 1) + 1)
