"""Controls that make the whole image coarser: average pooling after the vision tower, and a smaller image."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import ClassVar

import torch
from torch import Tensor
from torch.nn import functional

from glimpse_core.costs.schedule import Drop
from glimpse_core.engine.prefix import fork
from glimpse_core.errors import GlimpseError
from glimpse_core.pruners.at_layer import BeforeDecoder
from glimpse_core.pruners.grid import shares
from glimpse_core.pruners.method import Card
from glimpse_core.pruners.sharing import Results
from glimpse_core.pruners.state import Positions, PruningState, carried_per_row, drop, replace_embeddings
from glimpse_core.types import Grid


def coarser(grid: Grid, count: int) -> Grid:
    """The grid of at most `count` (at least 1) tokens with the most tokens and about the same proportions.

    The largest product of tokens and the ratio of the two proportions (at most 1) wins.
    """
    fits = []
    for rows in range(1, min(grid.rows, count) + 1):
        cols = min(count // rows, grid.cols)
        wide, own = cols * grid.rows, rows * grid.cols
        fits.append((rows * cols * min(wide, own) / max(wide, own), -rows, cols))
    _, rows, cols = max(fits)
    return Grid(-rows, cols, grid.frame)


def centers(old: Grid, new: Grid) -> Tensor:
    """The token of grid `old` in the middle of each cell of grid `new`: (new tokens,) int64, ascending."""
    rows = ((torch.arange(new.rows) + 0.5) * old.rows / new.rows).long()
    cols = ((torch.arange(new.cols) + 0.5) * old.cols / new.cols).long()
    return (rows[:, None] * old.cols + cols).flatten()


@dataclass(frozen=True)
class _Coarser(BeforeDecoder):
    """Base class: keep a coarser grid of every image, the largest within the budget, so possibly a little below it."""

    def grids(self, state: PruningState) -> list[list[Grid | None]]:
        """Per row the new grid of each image; None for an image whose share of the budget is nothing."""
        if state.trunk is not None or state.prefix.depth:
            raise GlimpseError(
                f"A method before {self.card.label} has dropped tokens or run layers. Expected the whole image: change "
                "their order."
            )
        rows = zip(state.model.backbone.grids_per_row(state.prompt), self.budgets(state), strict=True)
        return [
            [coarser(grid, count) if count else None for grid, count in zip(grids, shares(grids, budget), strict=True)]
            for grids, budget in rows
        ]

    def places(self, state: PruningState, grids: Sequence[Sequence[Grid | None]]) -> list[Tensor]:
        """Per row (n,) int64: the tokens in the middle of the new cells."""
        found = []
        for old_row, new_row in zip(state.model.backbone.grids_per_row(state.prompt), grids, strict=True):
            before, row = 0, [torch.zeros(0, dtype=torch.int64)]
            for old, new in zip(old_row, new_row, strict=True):
                row += [] if new is None else [before + centers(old, new)]
                before += old.tokens
            found.append(torch.cat(row))
        return found


@dataclass(frozen=True)
class PoolPruner(_Coarser):
    """Control: average the visual tokens' embeddings over a coarser grid (2-D average pooling), before the decoder.

    Each average stands at the middle of its cell.

    Args:
        model: the model to prune for.
        ratio: most of a row's visual tokens that are left, as a share from 0 to 1. Default 0.1.
        count: the same as a number of visual tokens of every row. Default None.
        positions: "original" (default), "renumbered" or "published"; see `state.drop`.
    """

    positions: Positions = "original"

    card: ClassVar[Card] = Card("average pooling", "before the decoder", merges=True, control=True)

    def shorten(self, state: PruningState) -> PruningState:
        grids, embeds, kept = self.grids(state), [], []
        olds = state.model.backbone.grids_per_row(state.prompt)
        for row, (places, own) in enumerate(zip(self.places(state, grids), carried_per_row(state), strict=True)):
            parts = [own[:0]]
            images = own.split([grid.tokens for grid in olds[row]]) if olds[row] else ()
            for image, old, new in zip(images, olds[row], grids[row], strict=True):
                if new is not None:
                    cells = image.float().view(old.rows, old.cols, -1).permute(2, 0, 1)
                    pooled = functional.adaptive_avg_pool2d(cells, (new.rows, new.cols))
                    parts.append(pooled.flatten(1).T.to(image))
            mask = torch.zeros(state.totals[row], dtype=torch.bool)
            mask[places] = True
            kept.append(mask)
            embeds.append(torch.cat(parts))
        return replace_embeddings(drop(state, kept, positions=self.positions), embeds)


@dataclass(frozen=True)
class DownsamplePruner(_Coarser):
    """Control: the stock model on smaller images, resized (bicubic, antialiased) before the vision tower.

    The images as given are not encoded, unless their `vision` is handed in, for the unpruned answer. `Pruned.kept`
    marks the middles of the new cells. Not for models whose vision tower has one input size (LLaVA-1.5).

    Args:
        model: the model to prune for.
        ratio: most of a row's visual tokens that are left, as a share from 0 to 1. Default 0.1.
        count: the same as a number of visual tokens of every row. Default None.
    """

    blind: ClassVar[bool] = True

    card: ClassVar[Card] = Card("smaller picture", "before the vision tower", control=True)

    def shorten(self, state: PruningState) -> PruningState:
        backbone, grids = state.model.backbone, self.grids(state)
        flat = [new for row in grids for new in row if new is not None]
        if len(flat) < sum(map(len, grids)):
            raise GlimpseError("The budget leaves nothing of one of the images. Expected a token for each: raise it.")
        small = backbone.resized(state.prompt, flat)
        start = backbone.start(small, backbone.encode_images(small))
        indices = tuple(places.to(start.hidden.device) for places in self.places(state, grids))
        drops = tuple((*before, Drop(0, len(own))) for before, own in zip(state.drops, indices, strict=True))
        return replace(
            state,
            results=Results(),
            prefix=fork(start),
            visual=backbone.visual(small),
            indices=indices,
            trunk=state.prefix,
            drops=drops,
            seen=tuple(len(own) for own in indices),
        )
