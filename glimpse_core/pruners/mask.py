"""Given masks: a caller's own, the boxes of an oracle, nothing at all, from the start or after some layers."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import ClassVar

import torch
from torch import Tensor

from glimpse_core.errors import GlimpseError
from glimpse_core.glimpse.boxes import box_mask
from glimpse_core.pruners.at_layer import AtLayer
from glimpse_core.pruners.method import Card
from glimpse_core.pruners.state import PruningState, gather_remaining
from glimpse_core.types import Box


@dataclass(frozen=True)
class MaskPruner(AtLayer):
    """Control: keep the visual tokens of given masks.

    Args:
        model: the model to prune for.
        masks: per row (N_b,) bool, in raster order, True for tokens to keep.
        depth: layers that process every token. Default None: K + 1; see `AtLayer`.
        cache: "pruned" (default) or "untouched": caches of layers that have run; see `state.drop`.
        positions: "original" (default), "renumbered" or "published"; see `state.drop`.
    """

    masks: tuple[Tensor, ...] = ()

    card: ClassVar[Card] = Card("given mask", "after layer K", budgeted=False, control=True, needs=("mask",))

    def choose(self, state: PruningState) -> Sequence[Tensor]:
        if [len(mask) for mask in self.masks] != list(state.totals):
            raise GlimpseError(
                f"The masks have {[len(mask) for mask in self.masks]} entries. Expected one mask per row, of "
                f"{list(state.totals)} visual tokens."
            )
        return [mask.to(indices.device)[indices] for mask, indices in zip(self.masks, state.indices, strict=True)]

    def left(self, total: int) -> int:
        return max((int(mask.sum()) for mask in self.masks), default=total)


@dataclass(frozen=True)
class BoxPruner(AtLayer):
    """Control: keep the visual tokens under given evidence boxes, an oracle.

    Args:
        model: the model to prune for.
        boxes: for every image of the prompt its boxes (x1, y1, x2, y2), from 0 to 1; which tokens a box covers says
            `glimpse.boxes`.
        depth: layers that process every token. Default None: K + 1; see `AtLayer`.
        cache: "pruned" (default) or "untouched": caches of layers that have run; see `state.drop`.
        positions: "original" (default), "renumbered" or "published"; see `state.drop`.
    """

    boxes: tuple[tuple[Box, ...], ...] = ()

    card: ClassVar[Card] = Card(
        "oracle boxes", "after layer K", question=True, budgeted=False, control=True, needs=("boxes",)
    )

    def choose(self, state: PruningState) -> Sequence[Tensor]:
        grids = state.prompt.grids
        if len(self.boxes) != len(grids):
            raise GlimpseError(
                f"Boxes were given for {len(self.boxes)} images. Expected one tuple of boxes for each of the "
                f"{len(grids)} images of the prompt."
            )
        masks = [box_mask(boxes, grid) for boxes, grid in zip(self.boxes, grids, strict=True)]
        return gather_remaining(state, torch.cat([*masks, torch.zeros(0, dtype=torch.bool)]))

    def left(self, total: int) -> int:
        return total


@dataclass(frozen=True, kw_only=True)
class TextOnlyPruner(AtLayer):
    """Control: drop every visual token, which shows what the question alone gives away.

    Args:
        model: the model to prune for.
        depth: 0, the only possible value, since the images are not even encoded.
        cache: has no effect, since no layer has run.
        positions: "original" (default), "renumbered" or "published"; see `state.drop`.
    """

    depth: int | None = 0

    blind: ClassVar[bool] = True
    card: ClassVar[Card] = Card("text only", "before the decoder", budgeted=False, control=True)

    def __post_init__(self) -> None:
        super().__post_init__()
        if self.depth != 0:
            raise GlimpseError(
                f"depth is {self.depth!r}. Expected 0, since the images are not encoded: to drop every visual token "
                "after some layers, use drop_all."
            )

    def choose(self, state: PruningState) -> Sequence[Tensor]:
        return [torch.zeros(count, dtype=torch.bool) for count in state.counts]

    def left(self, total: int) -> int:
        return 0


@dataclass(frozen=True, kw_only=True)
class DropAllPruner(AtLayer):
    """Control: drop every visual token after some layers, from all caches.

    What is answered right all the same was already read off the image by the tokens of the text. Where this costs
    nothing any more, no choice of tokens can be better than another ("When Token Pruning is Worse than Random", CVPR
    2026, calls the layer the information horizon).

    Args:
        model: the model to prune for.
        depth: layers that process every token. Default None: K + 1; see `AtLayer`.
        cache: "pruned" (default) or "untouched": caches of layers that have run; see `state.drop`.
        positions: "original" (default), "renumbered" or "published"; see `state.drop`.
    """

    card: ClassVar[Card] = Card("drop everything", "after layer K", budgeted=False, control=True)

    def choose(self, state: PruningState) -> Sequence[Tensor]:
        return [torch.zeros(count, dtype=torch.bool) for count in state.counts]

    def left(self, total: int) -> int:
        return 0
