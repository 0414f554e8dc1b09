"""FastV: after a few layers, keep what the last prompt token attended to (ECCV 2024, arXiv 2403.06764)."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

from glimpse_core.costs import flops
from glimpse_core.costs.shape import Shape
from glimpse_core.glimpse.selection import top_mask
from glimpse_core.pruners.at_layer import Early
from glimpse_core.pruners.live import Live, advance, drop, last_row
from glimpse_core.pruners.method import Card


@dataclass(frozen=True)
class FastVPruner(Early):
    """Ranked by the attention in layer K - 1 (0-based; K is 2 in the paper)."""

    card: ClassVar[Card] = Card("FastV", "before layer 2", "ECCV 2024, arXiv 2403.06764", question=True)

    def shorten(self, live: Live) -> Live:
        ranked = advance(live, self.depth - 1)
        rows = zip(last_row(ranked), self.budgets(live), strict=True)
        kept = [top_mask(scores, budget) for scores, budget in rows]
        return drop(advance(ranked, self.depth), kept, cache=self.cache, positions=self.positions)

    def selector_flops(self, shape: Shape, prompt_length: int, total: int) -> int:
        """One attention row; the queries and keys are the layer's own."""
        return flops.matmul(1, shape.text.heads * shape.text.head_width, prompt_length)
