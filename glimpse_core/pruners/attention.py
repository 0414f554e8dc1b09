"""Attention at GlimpsePrune's layer, no predictor: the last token's (the paper's ablation), the glimpse token's."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import ClassVar

from glimpse_core.costs import flops
from glimpse_core.costs.schedule import Cache, Drop
from glimpse_core.costs.shape import Shape
from glimpse_core.engine.prefix import fork
from glimpse_core.glimpse.selection import top_mask
from glimpse_core.pruners.fastv import FastVPruner
from glimpse_core.pruners.glimpse import check_glimpse, look_at
from glimpse_core.pruners.live import Live, drop
from glimpse_core.pruners.method import Budgeted, Card


@dataclass(frozen=True)
class AttentionPruner(FastVPruner):
    """Keep what the last prompt token, which writes the first answer token, attends to in layer K.

    FastV's rule where and how GlimpsePrune drops: behind K, from all caches. layer: K + 1; None: the checkpoint's.
    """

    layer: int | None = None
    cache: Cache = "pruned"

    card: ClassVar[Card] = Card("attention at K", "behind layer K", question=True, control=True)

    @property
    def depth(self) -> int:
        return max(self.model.keep_depth, 1) if self.layer is None else self.layer


@dataclass(frozen=True)
class GlimpseAttentionPruner(Budgeted):
    """Keep what the trained glimpse token attends to, all read heads averaged: what the predictor adds is the rest.

    Every head counts by how it divides itself among the visual tokens of the row.
    """

    card: ClassVar[Card] = Card("glimpse attention", "behind layer K", question=True, control=True)

    def __post_init__(self) -> None:
        super().__post_init__()
        check_glimpse(self.model)

    def conditions(self) -> tuple[int, ...]:
        return self.model.config.vision_layers

    def shorten(self, live: Live) -> Live:
        trunk, scores = look_at(live)
        rows = zip(scores.attention.float().split(live.counts), self.budgets(live), strict=True)
        # Logits and log-probabilities differ by a constant per head, so both are normalized alike.
        kept = [top_mask(row.softmax(0).mean(1), budget) for row, budget in rows]
        return drop(replace(live, prefix=fork(trunk)), kept)

    def plan(self, total: int) -> tuple[Drop, ...]:
        return (Drop(self.model.keep_depth, self.budget(total)),)

    def selector_flops(self, shape: Shape, prompt_length: int, total: int) -> int:
        """The glimpse token in layers 0..K and its attention rows; the predictor is run, too, but not needed."""
        length = prompt_length + self.model.config.glimpse_length
        token = flops.decoder_layer(shape.text, length, length**2)
        token -= flops.decoder_layer(shape.text, prompt_length, prompt_length**2)
        row = flops.matmul(length, shape.text.heads * shape.text.head_width, 1)
        return self.model.keep_depth * token + len(self.model.config.read_layers) * row
