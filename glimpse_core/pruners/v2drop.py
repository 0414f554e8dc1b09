"""V2Drop: drop in stages the tokens that the last layer changed least."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import ClassVar

from torch import Tensor

from glimpse_core.pruners.base import tokens
from glimpse_core.pruners.method import Card
from glimpse_core.pruners.staged import Staged
from glimpse_core.pruners.state import Positions, PruningState, advance, embeds_per_row

# Layers of the decoder -> the stages of the authors' code, and the shares of all visual tokens that are left by all but
# the last of them. 32: LLaVA-1.5-7B (half, half, 1 token). 28: Qwen2-VL-7B (a quarter, a twentieth, 1 token).
PUBLISHED: dict[int, tuple[tuple[int, ...], tuple[float, ...]]] = {
    32: ((3, 17, 22), (0.5, 0.25)),
    28: ((3, 16, 22), (0.25, 0.0125)),
}


@dataclass(frozen=True)
class V2DropPruner(Staged):
    """V2Drop: drop the visual tokens that change least from layer to layer, in stages, whatever the question is.

    Before layer m, tokens are ranked by the length (L2 norm) of the difference between what enters layer m and what
    enters layer m - 1. No attention is read. The norm, three stages and no merging are the paper's; the layers and
    shares below are those of the authors' code, which leaves the caches of earlier layers and all positions as they
    are, and keeps one token where its last share is 0.

    Our choices: decoders of other depths drop at the same parts of the depth as LLaVA-1.5-7B; a larger budget than one
    token also raises the shares of earlier stages that would be below it; with DeepStack (Qwen3-VL), features added
    between the two layers count as change.

    "Variation-aware Vision Token Dropping for Faster Large Vision-Language Models", CVPR 2026:
    https://arxiv.org/abs/2509.01552, code: https://github.com/xuyang-liu16/V2Drop

    Args:
        model: the model to prune for.
        ratio: share of a row's visual tokens that is left after the last stage, from 0 to 1. Default 0, which leaves
            one token, as published.
        count: the same as a number of visual tokens of every row. Default None.
        layers: tokens are dropped before each of them, counted from 1, ascending. Default None: 3, 17 and 22 of 32
            layers, 3, 16 and 22 of 28, as published; the same parts of other decoders.
        shares: shares of all visual tokens that the stages leave, one per stage; the last stage leaves the budget.
            Default None: a half and a quarter; of 28 layers a quarter and an eightieth.
        cache: "untouched" (default, as published) or "pruned": caches of layers that have run; see `state.drop`.
        positions: "original" (default, as published), "published" or "renumbered"; see `state.drop`.
    """

    ratio: float = 0.0
    positions: Positions = "original"

    least: ClassVar[int] = 1
    card: ClassVar[Card] = Card("V2Drop", "before three layers", "CVPR 2026, arXiv 2509.01552")

    @property
    def usual(self) -> tuple[int, ...]:
        """See `Staged.usual`: the published layers, or the same parts of the decoder."""
        depth = self.model.backbone.layers
        parts = {max(depth * layer // 32, 1) for layer in PUBLISHED[32][0]}
        return PUBLISHED[depth][0] if depth in PUBLISHED else tuple(sorted(parts))

    def budget(self, total: int) -> int:
        """See `Budgeted.budget`. A share of 0 is one token."""
        return min(1, total) if self.count is None and not self.ratio else tokens(total, self.ratio, self.count)

    def counts(self, total: int) -> list[int]:
        last = self.budget(total)
        depth = self.model.backbone.layers
        usual = PUBLISHED.get(depth, PUBLISHED[32])[1]
        if self.shares is not None:
            usual = self.shares[:-1]
        elif len(usual) != len(self.stages) - 1:  # other numbers of stages: equal shares of what came before
            usual = tuple(0.5 ** (stage + 1) for stage in range(len(self.stages) - 1))
        return [max(round(share * total), last) for share in usual] + [last]

    def scored(self, state: PruningState, layer: int) -> tuple[PruningState, Sequence[Tensor]]:
        """See `Staged.scored`: how far layer `layer` - 1 moved every token."""
        before = advance(state, layer - 1)
        entered = embeds_per_row(before)
        state = advance(before, layer)
        pairs = zip(embeds_per_row(state), entered, strict=True)
        return state, [(now.float() - then.float()).norm(dim=-1) for now, then in pairs]
