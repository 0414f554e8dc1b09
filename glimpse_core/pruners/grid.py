"""Tokens spread evenly over the image: what coverage is worth without a score."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import ClassVar

import torch
from torch import Tensor

from glimpse_core.pruners.at_layer import AtLayer
from glimpse_core.pruners.method import Budgeted, Card
from glimpse_core.pruners.state import PruningState
from glimpse_core.types import Grid


def grid_mask(grids: Sequence[Grid], count: int) -> Tensor:
    """(N,) bool with exactly `count` (at most N) places set, spread over all images in proportion to their size."""
    masks = [_even(grid, share) for grid, share in zip(grids, shares(grids, count), strict=True)]
    return torch.cat(masks) if masks else torch.zeros(0, dtype=torch.bool)


def shares(grids: Sequence[Grid], count: int) -> list[int]:
    """Divide `count` (at most N) tokens among images in proportion to their size; the parts add up to it exactly."""
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
    """Control: keep visual tokens that are spread evenly over the images, before the decoder.

    Where a method before has left only some tokens, every n/count-th of those is kept.

    Args:
        model: the model to prune for.
        ratio: share of a row's visual tokens that is kept, from 0 to 1. Default 0.1.
        count: number of visual tokens that is kept of every row, instead of a share. Default None.
        depth: layers that process every token. Default 0.
        cache: "pruned" (default) or "untouched": caches of layers that have run; see `state.drop`.
        positions: "original" (default), "renumbered" or "published"; see `state.drop`.
    """

    depth: int | None = 0

    card: ClassVar[Card] = Card("uniform grid", "before the decoder", control=True)

    def choose(self, state: PruningState) -> Sequence[Tensor]:
        rows = zip(state.model.backbone.grids_per_row(state.prompt), state.indices, self.budgets(state), strict=True)
        return [_spread(grids, indices.cpu(), count) for grids, indices, count in rows]

    def left(self, total: int) -> int:
        return self.budget(total)


def _spread(grids: list[Grid], indices: Tensor, count: int) -> Tensor:
    """(n,) bool: `count` of the n tokens that are left of images with these grids."""
    if len(indices) == sum(grid.tokens for grid in grids):
        return grid_mask(grids, count)
    mask = torch.zeros(len(indices), dtype=torch.bool)
    if count:
        mask[(torch.arange(count) * len(indices)).div(count, rounding_mode="floor")] = True
    return mask
