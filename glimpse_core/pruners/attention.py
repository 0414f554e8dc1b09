"""Untrained attention at GlimpsePrune's layer: the paper's ablation, without glimpse token and without predictor."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

from glimpse_core.pruners.fastv import FastVPruner
from glimpse_core.pruners.method import Card
from glimpse_core.schedule import Cache


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
