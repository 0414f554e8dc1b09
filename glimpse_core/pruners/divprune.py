"""DivPrune: the tokens that lie farthest apart, whatever the question is (CVPR 2025, arXiv 2503.02175)."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

import torch
from torch import Tensor
from torch.nn import functional

from glimpse_core.costs import flops
from glimpse_core.costs.schedule import Drop
from glimpse_core.costs.shape import Shape
from glimpse_core.pruners.live import Live, Positions, drop, embeds_per_row
from glimpse_core.pruners.method import Budgeted, Card


def farthest(embeds: Tensor, count: int, block: int = 1024) -> Tensor:
    """(n,) bool: `count` of the rows of embeds (n, C), by the max-min rule on cosine distances.

    First the row whose nearest other is farthest; then again and again the one farthest from all chosen. Of equals the
    earlier. The matrix of distances is never held: only the nearest distance to what is chosen is carried along.
    """
    rows = functional.normalize(embeds.float(), dim=-1)
    mask = torch.zeros(len(rows), dtype=torch.bool, device=rows.device)
    if not count or not len(rows):
        return mask
    nearest = torch.cat([_without_itself(part @ rows.T, start).amax(1) for start, part in _blocks(rows, block)])
    pick = int((1 - nearest).argmax())
    distance = torch.full_like(nearest, torch.inf)
    for _ in range(min(count, len(rows))):
        mask[pick] = True
        distance = torch.minimum(distance, 1 - rows @ rows[pick]).masked_fill(mask, -torch.inf)
        pick = int(distance.argmax())
    return mask


def _blocks(rows: Tensor, block: int) -> list[tuple[int, Tensor]]:
    return [(start, rows[start : start + block]) for start in range(0, len(rows), block)]


def _without_itself(similarity: Tensor, start: int) -> Tensor:
    similarity.diagonal(start).fill_(-torch.inf)
    return similarity


@dataclass(frozen=True)
class DivPrunePruner(Budgeted):
    """On the embeddings that enter the decoder, for Qwen2.5-VL those behind the 2x2 merger."""

    positions: Positions = "published"

    card: ClassVar[Card] = Card("DivPrune", "before the decoder", "CVPR 2025, arXiv 2503.02175")

    def shorten(self, live: Live) -> Live:
        rows = zip(embeds_per_row(live), self.budgets(live), strict=True)
        return drop(live, [farthest(embeds, budget) for embeds, budget in rows], positions=self.positions)

    def plan(self, total: int) -> tuple[Drop, ...]:
        return (Drop(0, self.budget(total)),)

    def selector_flops(self, shape: Shape, prompt_length: int, total: int) -> int:
        return flops.matmul(total, shape.text.width, total) + self.budget(total) * flops.matmul(
            total, shape.text.width, 1
        )
