"""Controls that make the whole picture coarser: average pooling behind the vision tower, and a smaller picture."""

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
from glimpse_core.pruners.grid import shares
from glimpse_core.pruners.live import Live, Positions, drop, embeds_per_row, place
from glimpse_core.pruners.method import Budgeted, Card
from glimpse_core.pruners.sharing import Results
from glimpse_core.types import Grid


def coarser(grid: Grid, count: int) -> Grid:
    """The grid of at most `count` (at least 1) tokens: many of them, with about the same proportions.

    What is weighed is tokens times distortion, the ratio of the two proportions, whichever is smaller.
    """
    fits = []
    for rows in range(1, min(grid.rows, count) + 1):
        cols = min(count // rows, grid.cols)
        wide, own = cols * grid.rows, rows * grid.cols
        fits.append((rows * cols * min(wide, own) / max(wide, own), -rows, cols))
    _, rows, cols = max(fits)
    return Grid(-rows, cols, grid.frame)


def centers(old: Grid, new: Grid) -> Tensor:
    """(new tokens,) int64, ascending: the token of `old` in the middle of each cell of `new`."""
    rows = ((torch.arange(new.rows) + 0.5) * old.rows / new.rows).long()
    cols = ((torch.arange(new.cols) + 0.5) * old.cols / new.cols).long()
    return (rows[:, None] * old.cols + cols).flatten()


@dataclass(frozen=True)
class _Coarser(Budgeted):
    """The realized number of tokens is the largest grid within the budget, so it may be a little below."""

    def grids(self, live: Live) -> list[list[Grid | None]]:
        """Per row the new grid of each image; None for an image whose share of the budget is nothing."""
        if live.trunk is not None or live.prefix.depth:
            raise GlimpseError(f"{self.card.label} needs the whole picture: let it come first")
        rows = zip(live.model.backbone.grids_per_row(live.prompt), self.budgets(live), strict=True)
        return [
            [coarser(grid, count) if count else None for grid, count in zip(grids, shares(grids, budget), strict=True)]
            for grids, budget in rows
        ]

    def places(self, live: Live, grids: Sequence[Sequence[Grid | None]]) -> list[Tensor]:
        """Per row the tokens in the middle of the new cells."""
        found = []
        for old_row, new_row in zip(live.model.backbone.grids_per_row(live.prompt), grids, strict=True):
            before, row = 0, [torch.zeros(0, dtype=torch.int64)]
            for old, new in zip(old_row, new_row, strict=True):
                row += [] if new is None else [before + centers(old, new)]
                before += old.tokens
            found.append(torch.cat(row))
        return found

    def plan(self, total: int) -> tuple[Drop, ...]:
        return (Drop(0, self.budget(total)),)


@dataclass(frozen=True)
class PoolPruner(_Coarser):
    """2-D average pooling of the embeddings; each average stands at the middle of its cell."""

    positions: Positions = "original"

    card: ClassVar[Card] = Card("average pooling", "before the decoder", merges=True, control=True)

    def shorten(self, live: Live) -> Live:
        grids, embeds, kept = self.grids(live), [], []
        olds = live.model.backbone.grids_per_row(live.prompt)
        for row, (places, own) in enumerate(zip(self.places(live, grids), embeds_per_row(live), strict=True)):
            parts = [own[:0]]
            images = own.split([grid.tokens for grid in olds[row]]) if olds[row] else ()
            for image, old, new in zip(images, olds[row], grids[row], strict=True):
                if new is not None:
                    picture = image.float().view(old.rows, old.cols, -1).permute(2, 0, 1)
                    pooled = functional.adaptive_avg_pool2d(picture, (new.rows, new.cols))
                    parts.append(pooled.flatten(1).T.to(image))
            mask = torch.zeros(live.totals[row], dtype=torch.bool)
            mask[places] = True
            kept.append(mask)
            embeds.append(torch.cat(parts))
        return place(drop(live, kept, positions=self.positions), embeds)


@dataclass(frozen=True)
class DownsamplePruner(_Coarser):
    """The stock model on a smaller picture: pixels are resized (bicubic, antialiased) and the vision tower sees those.

    The large picture is not looked at, unless its `vision` is given, for the unpruned answer. `kept` marks the middles
    of the new cells.
    """

    blind: ClassVar[bool] = True

    card: ClassVar[Card] = Card("smaller picture", "before the vision tower", control=True)

    def shorten(self, live: Live) -> Live:
        backbone, grids = live.model.backbone, self.grids(live)
        flat = [new for row in grids for new in row]
        if None in flat:
            raise GlimpseError(
                "the budget leaves nothing of one of the images, but each needs a token: raise the budget"
            )
        small = backbone.resized(live.prompt, flat)
        start = backbone.start(small, backbone.encode_images(small))
        slots = tuple(places.to(start.hidden.device) for places in self.places(live, grids))
        drops = tuple((*before, Drop(0, len(own))) for before, own in zip(live.drops, slots, strict=True))
        return replace(
            live,
            results=Results(),
            prefix=fork(start),
            visual=backbone.visual(small),
            slots=slots,
            trunk=live.prefix,
            drops=drops,
            seen=tuple(len(own) for own in slots),
        )
