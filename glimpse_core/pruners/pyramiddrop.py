"""PyramidDrop: drop in stages, each by what the last prompt token attends to (CVPR 2025, arXiv 2410.17247)."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

from glimpse_core.costs import flops
from glimpse_core.costs.schedule import Cache, Drop
from glimpse_core.costs.shape import Shape
from glimpse_core.errors import GlimpseError
from glimpse_core.glimpse.selection import top_mask
from glimpse_core.pruners.live import Live, Positions, advance, drop, last_row
from glimpse_core.pruners.method import Budgeted, Card, check_depth


@dataclass(frozen=True)
class PyramidDropPruner(Budgeted):
    """layers: tokens are dropped before each of them, by the attention that it would have on all that are left.

    None: at a quarter, half and three quarters of the decoder (8, 16, 24 of 32 in the paper). The stages keep equal
    shares of what came before, so that the budget is left behind the last (1/2, 1/4, 1/8 for the published ratio 1/8).
    shares: other shares of all tokens, one per stage; then the last is the budget. The authors leave the caches of
    earlier layers as they are, and renumber positions at every stage (on LLaVA). rope: False ranks without positions,
    as the port to Qwen2.5-VL does that the GlimpsePrune paper compares with.
    """

    ratio: float = 0.125
    layers: tuple[int, ...] | None = None
    shares: tuple[float, ...] | None = None
    rope: bool = True
    cache: Cache = "untouched"
    positions: Positions = "published"

    card: ClassVar[Card] = Card("PyramidDrop", "before three layers", "CVPR 2025, arXiv 2410.17247", question=True)

    def __post_init__(self) -> None:
        super().__post_init__()
        if not self.stages or list(self.stages) != sorted(set(self.stages)):
            raise GlimpseError(f"layers is {self.layers!r}, but layers are needed, each deeper than the one before")
        for layer in self.stages:
            check_depth("layers", layer, self.model, 0)
        if self.stages[-1] >= self.model.backbone.layers:
            raise GlimpseError(f"layers is {self.layers!r}, but behind the last layer there is no attention to rank by")
        if self.shares is not None and (
            len(self.shares) != len(self.stages) or not all(0 <= share <= 1 for share in self.shares)
        ):
            raise GlimpseError(
                f"shares is {self.shares!r}, but one share from 0 to 1 per stage {self.stages} is needed"
            )

    @property
    def stages(self) -> tuple[int, ...]:
        depth = self.model.backbone.layers
        return self.layers if self.layers is not None else tuple(sorted({depth * i // 4 for i in (1, 2, 3)}))

    def counts(self, total: int) -> list[int]:
        """What every stage leaves of a row with `total` visual tokens."""
        last, stages = self.budget(total), len(self.stages)
        if self.shares is not None:
            counts = [round(share * total) for share in self.shares[:-1]]
        else:
            final = last / total if total else 1.0
            counts = [round(total * final ** ((i + 1) / stages)) for i in range(stages - 1)]
        return [max(count, last) for count in counts] + [last]

    def shorten(self, live: Live) -> Live:
        plans = [self.counts(total) for total in live.totals]
        for stage, layer in enumerate(self.stages):
            live = advance(live, layer)
            rows = zip(last_row(live, rope=self.rope), plans, strict=True)
            kept = [top_mask(scores, min(plan[stage], len(scores))) for scores, plan in rows]
            live = drop(live, kept, cache=self.cache, positions=self.positions)
        return live

    def plan(self, total: int) -> tuple[Drop, ...]:
        pairs = zip(self.stages, self.counts(total), strict=True)
        return tuple(Drop(layer, left, self.cache) for layer, left in pairs)

    def selector_flops(self, shape: Shape, prompt_length: int, total: int) -> int:
        """Per stage: keys of all tokens and one query, computed once more, and the attention row."""
        words, text, sum_of = prompt_length - total, shape.text, 0
        for before in [total, *self.counts(total)[:-1]]:
            length = words + before
            sum_of += flops.matmul(length, text.width, text.kv_heads * text.head_width)
            sum_of += flops.matmul(1, text.width + length, text.heads * text.head_width)
        return sum_of
