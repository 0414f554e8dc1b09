"""FastV: after a few layers, keep what the last prompt token attends to."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

from glimpse_core.costs import flops
from glimpse_core.costs.shape import Shape
from glimpse_core.glimpse.selection import top_mask
from glimpse_core.pruners.at_layer import Early
from glimpse_core.pruners.method import Card
from glimpse_core.pruners.state import PruningState, advance, drop, last_token_attention


@dataclass(frozen=True)
class FastVPruner(Early):
    """FastV: keep the visual tokens to which the last prompt token attends most in an early layer.

    Tokens are ranked by the attention in layer K - 1, averaged over heads, and dropped before layer K. The authors
    leave every token in the caches of layers before K, and keep all positions.

    "An Image is Worth 1/2 Tokens After Layer 2", ECCV 2024: https://arxiv.org/abs/2403.06764

    Args:
        model, ratio, count, layer, cache, positions: as in `at_layer.Early`; `layer` is K.
    """

    card: ClassVar[Card] = Card("FastV", "before layer 2", "ECCV 2024, arXiv 2403.06764", question=True)

    def shorten(self, state: PruningState) -> PruningState:
        ranked = advance(state, self.depth - 1)
        rows = zip(last_token_attention(ranked), self.budgets(state), strict=True)
        kept = [top_mask(scores, budget) for scores, budget in rows]
        return drop(advance(ranked, self.depth), kept, cache=self.cache, positions=self.positions)

    def selector_flops(self, shape: Shape, prompt_length: int, total: int) -> int:
        """One attention row; the queries and keys are the layer's own."""
        return flops.attention_row(shape.text, prompt_length)
