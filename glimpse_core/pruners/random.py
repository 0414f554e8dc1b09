"""Random tokens: what a score has to beat at the same budget, before the decoder or at GlimpsePrune's layer."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import ClassVar

import torch
from torch import Tensor

from glimpse_core.pruners.at_layer import AtLayer
from glimpse_core.pruners.live import Live
from glimpse_core.pruners.method import Budgeted, Card


def random_mask(tokens: int, count: int, seed: int = 0) -> Tensor:
    """(tokens,) bool with `count` (at most `tokens`) places set, the same ones for the same seed."""
    mask = torch.zeros(tokens, dtype=torch.bool)
    mask[torch.randperm(tokens, generator=torch.Generator().manual_seed(seed))[: max(count, 0)]] = True
    return mask


@dataclass(frozen=True, kw_only=True)
class RandomPruner(AtLayer, Budgeted):
    """Row i is drawn with seed + i."""

    depth: int | None = 0
    seed: int = 0

    card: ClassVar[Card] = Card("random", "before the decoder", control=True, seeded=True)

    def choose(self, live: Live) -> Sequence[Tensor]:
        rows = zip(live.counts, self.budgets(live), strict=True)
        return [random_mask(left, count, self.seed + row) for row, (left, count) in enumerate(rows)]

    def left(self, total: int) -> int:
        return self.budget(total)


@dataclass(frozen=True, kw_only=True)
class RandomAtKPruner(RandomPruner):
    """Dropped where GlimpsePrune drops: if tokens matter little behind that layer, this does well too."""

    depth: int | None = None

    card: ClassVar[Card] = Card("random at K", "behind layer K", control=True, seeded=True)
