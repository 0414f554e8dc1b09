"""From evidence boxes to the target mask on the grid of visual tokens.

A box (x1, y1, x2, y2) is normalized to 0..1. It covers all tokens from int(x1 * cols) to min(int(x2 * cols), cols - 1),
both ends included, and the same vertically. So a box that starts at 1.0 covers nothing, and a box without area covers
the token it lies in.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence

import torch
from torch import Tensor

from glimpse_core.types import Grid

Box = tuple[float, float, float, float]


def box_tokens(boxes: Iterable[Sequence[float]], grid: Grid) -> list[int]:
    """Raster indices of the tokens under the boxes: box by box, each in raster order, no index twice.

    Raises ValueError for a box that is not four finite numbers, or that begins left of or above the picture.
    """
    seen: dict[int, None] = {}
    for box in boxes:
        if len(box) != 4 or not all(math.isfinite(value) for value in box) or min(box) < 0:
            raise ValueError(f"a box is four finite numbers x1, y1, x2, y2 from 0 to 1, got {tuple(box)}")
        x1, y1, x2, y2 = box
        rows = range(int(y1 * grid.rows), min(int(y2 * grid.rows), grid.rows - 1) + 1)
        cols = range(int(x1 * grid.cols), min(int(x2 * grid.cols), grid.cols - 1) + 1)
        seen.update(dict.fromkeys(row * grid.cols + col for row in rows for col in cols))
    return list(seen)


def box_mask(boxes: Iterable[Sequence[float]], grid: Grid) -> Tensor:
    """The union of the boxes as a mask (rows * cols,) bool in raster order. No boxes: nothing is set."""
    mask = torch.zeros(grid.tokens, dtype=torch.bool)
    mask[box_tokens(boxes, grid)] = True
    return mask
