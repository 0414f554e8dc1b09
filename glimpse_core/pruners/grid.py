"""Tokens spread evenly over the picture, dropped at the same layer: what a smaller picture would leave."""

from __future__ import annotations

import math
from dataclasses import dataclass

import torch
from torch import Tensor

from glimpse_core.model import GlimpseModel
from glimpse_core.pruners.base import cut, plain_trunk
from glimpse_core.types import Grid, Prompt, Pruned, Vision


def grid_mask(grids: list[Grid] | tuple[Grid, ...], count: int) -> Tensor:
    """(N,) bool with exactly `count` (at most N) places set, spread over all images in proportion to their size."""
    total = sum(grid.tokens for grid in grids)
    count = min(max(count, 0), total)
    masks, seen, given = [], 0, 0
    for grid in grids:
        seen += grid.tokens
        share = round(count * seen / total) - given
        given += share
        masks.append(_even(grid, share))
    return torch.cat(masks)


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


@dataclass(frozen=True)
class GridPruner:
    """Keep `ratio` of every row's tokens, rounded to the nearest count."""

    model: GlimpseModel
    ratio: float = 0.1

    def __call__(self, prompt: Prompt, vision: Vision | None = None) -> Pruned:
        rows = self.model.backbone.grids_per_row(prompt)
        kept = tuple(grid_mask(grids, round(self.ratio * sum(grid.tokens for grid in grids))) for grids in rows)
        return cut(self.model, prompt, plain_trunk(self.model, prompt, vision), kept)
