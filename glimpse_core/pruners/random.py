"""Random tokens: what a score has to beat at the same budget, before the decoder or where GlimpsePrune drops."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import ClassVar

import torch
from torch import Tensor

from glimpse_core.pruners.at_layer import AtLayer
from glimpse_core.pruners.method import Budgeted, Card
from glimpse_core.pruners.state import PruningState


def random_mask(tokens: int, count: int, seed: int = 0) -> Tensor:
    """(tokens,) bool with `count` (at most `tokens`) places set, the same ones for the same seed."""
    mask = torch.zeros(tokens, dtype=torch.bool)
    mask[torch.randperm(tokens, generator=torch.Generator().manual_seed(seed))[: max(count, 0)]] = True
    return mask


@dataclass(frozen=True, kw_only=True)
class RandomPruner(AtLayer, Budgeted):
    """Control: keep visual tokens drawn at random, before the decoder.

    Args:
        model: the model to prune for.
        ratio: share of a row's visual tokens that is kept, from 0 to 1. Default 0.1.
        count: number of visual tokens that is kept of every row, instead of a share. Default None.
        seed: of the draw; row i of a batch is drawn with seed + i. Default 0.
        depth: layers that process every token. Default 0.
        cache: "pruned" (default) or "untouched": caches of layers that have run; see `state.drop`.
        positions: "original" (default), "renumbered" or "published"; see `state.drop`.
    """

    depth: int | None = 0
    seed: int = 0

    card: ClassVar[Card] = Card("random", "before the decoder", control=True, seeded=True)

    def choose(self, state: PruningState) -> Sequence[Tensor]:
        rows = zip(state.counts, self.budgets(state), strict=True)
        return [random_mask(left, count, self.seed + row) for row, (left, count) in enumerate(rows)]

    def left(self, total: int) -> int:
        return self.budget(total)


@dataclass(frozen=True, kw_only=True)
class RandomAtKPruner(RandomPruner):
    """Control: keep visual tokens drawn at random, where GlimpsePrune drops them.

    If tokens matter little after layer K, this does well, too. Args are those of `RandomPruner`.
    """

    depth: int | None = None

    card: ClassVar[Card] = Card("random at K", "after layer K", control=True, seeded=True)
