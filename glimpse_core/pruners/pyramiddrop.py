"""PyramidDrop: drop in stages, each by what the last prompt token attends to."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import ClassVar

from torch import Tensor

from glimpse_core.costs import flops
from glimpse_core.costs.shape import Shape
from glimpse_core.pruners.method import Card
from glimpse_core.pruners.staged import Staged
from glimpse_core.pruners.state import PruningState, advance, last_token_attention


@dataclass(frozen=True)
class PyramidDropPruner(Staged):
    """PyramidDrop: drop more visual tokens the deeper the layer, each time by the last prompt token's attention.

    Before each of some layers, the tokens that are left are ranked by the attention that the last prompt token would
    pay them there. The stages keep equal shares of what came before, so that the budget is left after the last (1/2,
    1/4, 1/8 for the published ratio 1/8). The authors leave the caches of earlier layers as they are, and renumber
    positions at every stage (on LLaVA).

    CVPR 2025: https://arxiv.org/abs/2410.17247

    Args:
        model: the model to prune for.
        ratio: share of a row's visual tokens that is left after the last stage, from 0 to 1. Default 0.125, as
            published.
        count: the same as a number of visual tokens of every row. Default None.
        layers: tokens are dropped before each of them, counted from 0, ascending. Default None: at a quarter, half and
            three quarters of the decoder (8, 16, 24 of 32 in the paper).
        shares: shares of all visual tokens that the stages leave, one per stage; the last stage leaves the budget.
            Default None: equal shares of what came before.
        rope: rank with positions. Default True; False is what the port to Qwen2.5-VL does with which the GlimpsePrune
            paper compares.
        cache: "untouched" (default, as published) or "pruned": caches of layers that have run; see `state.drop`.
        positions: "published" (default), "original" or "renumbered"; see `state.drop`.
    """

    ratio: float = 0.125
    rope: bool = True

    card: ClassVar[Card] = Card("PyramidDrop", "before three layers", "CVPR 2025, arXiv 2410.17247", question=True)

    @property
    def usual(self) -> tuple[int, ...]:
        """See `Staged.usual`: a quarter, half and three quarters of the decoder."""
        depth = self.model.backbone.layers
        return tuple(sorted({depth * i // 4 for i in (1, 2, 3)}))

    def counts(self, total: int) -> list[int]:
        """Visual tokens that every stage leaves of a row with `total` of them."""
        last, stages = self.budget(total), len(self.stages)
        if self.shares is not None:
            counts = [round(share * total) for share in self.shares[:-1]]
        else:
            final = last / total if total else 1.0
            counts = [round(total * final ** ((i + 1) / stages)) for i in range(stages - 1)]
        return [max(count, last) for count in counts] + [last]

    def scored(self, state: PruningState, layer: int) -> tuple[PruningState, Sequence[Tensor]]:
        """See `Staged.scored`: the attention that the last prompt token would pay them in that layer."""
        state = advance(state, layer)
        return state, last_token_attention(state, rope=self.rope)

    def selector_flops(self, shape: Shape, prompt_length: int, total: int) -> int:
        """Per stage: keys of all tokens and one query, computed once more, and the attention row."""
        words, text, sum_of = prompt_length - total, shape.text, 0
        for before in [total, *self.counts(total)[:-1]]:
            length = words + before
            sum_of += flops.matmul(length, text.width, text.kv_heads * text.head_width)
            sum_of += flops.matmul(1, text.width + length, text.heads * text.head_width)
        return sum_of
