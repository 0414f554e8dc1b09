"""Tokens spread evenly over the picture: what coverage without a score is worth."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import ClassVar

import torch
from torch import Tensor

from glimpse_core.pruners.at_layer import AtLayer
from glimpse_core.pruners.live import Live
from glimpse_core.pruners.method import Budgeted, Card
from glimpse_core.types import Grid


def grid_mask(grids: list[Grid] | tuple[Grid, ...], count: int) -> Tensor:
    """(N,) bool with exactly `count` (at most N) places set, spread over all images in proportion to their size."""
    masks = [_even(grid, share) for grid, share in zip(grids, shares(grids, count), strict=True)]
    return torch.cat(masks) if masks else torch.zeros(0, dtype=torch.bool)


def shares(grids: Sequence[Grid], count: int) -> list[int]:
    """`count` (at most N) tokens divided among images in proportion to their size; they add up to it exactly."""
    total = sum(grid.tokens for grid in grids)
    count = min(max(count, 0), total)
    parts, seen, given = [], 0, 0
    for grid in grids:
        seen += grid.tokens
        parts.append(round(count * seen / total) - given)
        given += parts[-1]
    return parts


def _even(grid: Grid, count: int) -> Tensor:
    mask = torch.zeros(grid.rows, grid.cols, dtype=torch.bool)
    if count:
        lines = round(math.sqrt(count * grid.rows / grid.cols))
        lines = min(max(lines, math.ceil(count / grid.cols), 1), grid.rows, count)
        for line in range(lines):
            row = int((line + 0.5) * grid.rows / lines)
            here = count * (line + 1) // lines - count * line // lines
            mask[row, [int((place + 0.5) * grid.cols / here) for place in range(here)]] = True
    return mask.flatten()


@dataclass(frozen=True, kw_only=True)
class GridPruner(AtLayer, Budgeted):
    depth: int | None = 0

    card: ClassVar[Card] = Card("uniform grid", "before the decoder", control=True)

    def choose(self, live: Live) -> Sequence[Tensor]:
        rows = zip(live.model.backbone.grids_per_row(live.prompt), live.slots, self.budgets(live), strict=True)
        return [_spread(grids, slots.cpu(), count) for grids, slots, count in rows]

    def left(self, total: int) -> int:
        return self.budget(total)


def _spread(grids: list[Grid], slots: Tensor, count: int) -> Tensor:
    """(n,) bool. Where a method before has left only `slots`, every n/count-th of them."""
    if len(slots) == sum(grid.tokens for grid in grids):
        return grid_mask(grids, count)
    mask = torch.zeros(len(slots), dtype=torch.bool)
    if count:
        mask[(torch.arange(count) * len(slots)).div(count, rounding_mode="floor")] = True
    return mask
