"""Given masks: hand-painted ones, the boxes of an oracle, nothing at all."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import ClassVar

import torch
from torch import Tensor

from glimpse_core.errors import GlimpseError
from glimpse_core.glimpse.boxes import box_mask
from glimpse_core.pruners.at_layer import AtLayer
from glimpse_core.pruners.live import Live, of_slots
from glimpse_core.pruners.method import Card
from glimpse_core.types import Box


@dataclass(frozen=True)
class MaskPruner(AtLayer):
    """masks: one (N_b,) bool per row."""

    masks: tuple[Tensor, ...] = ()

    card: ClassVar[Card] = Card("given mask", "behind layer K", budgeted=False, control=True, needs=("mask",))

    def choose(self, live: Live) -> Sequence[Tensor]:
        if [len(mask) for mask in self.masks] != list(live.totals):
            raise GlimpseError(
                f"the masks have {[len(mask) for mask in self.masks]} entries, but the prompt has {list(live.totals)} "
                "visual tokens: give one mask per row"
            )
        return [mask.to(slots.device)[slots] for mask, slots in zip(self.masks, live.slots, strict=True)]

    def left(self, total: int) -> int:
        return max((int(mask.sum()) for mask in self.masks), default=total)


@dataclass(frozen=True)
class BoxPruner(AtLayer):
    """The tokens under given evidence boxes, dropped where GlimpsePrune drops: an oracle.

    boxes: for every image of the prompt its boxes (x1, y1, x2, y2), from 0 to 1 (`boxes.box_mask`).
    """

    boxes: tuple[tuple[Box, ...], ...] = ()

    card: ClassVar[Card] = Card(
        "oracle boxes", "behind layer K", question=True, budgeted=False, control=True, needs=("boxes",)
    )

    def choose(self, live: Live) -> Sequence[Tensor]:
        grids = live.prompt.grids
        if len(self.boxes) != len(grids):
            raise GlimpseError(
                f"boxes were given for {len(self.boxes)} images, but the prompt has {len(grids)}: give one tuple of "
                "boxes per image"
            )
        masks = [box_mask(boxes, grid) for boxes, grid in zip(self.boxes, grids, strict=True)]
        return of_slots(live, torch.cat([*masks, torch.zeros(0, dtype=torch.bool)]))

    def left(self, total: int) -> int:
        return total


@dataclass(frozen=True, kw_only=True)
class TextOnlyPruner(AtLayer):
    """No visual token at all: what the question alone gives away."""

    depth: int | None = 0

    blind: ClassVar[bool] = True
    card: ClassVar[Card] = Card("text only", "before the decoder", budgeted=False, control=True)

    def choose(self, live: Live) -> Sequence[Tensor]:
        return [torch.zeros(count, dtype=torch.bool) for count in live.counts]

    def left(self, total: int) -> int:
        return 0
