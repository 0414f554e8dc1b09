"""DivPrune: keep the tokens that lie farthest apart, whatever the question is."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

import torch
from torch import Tensor
from torch.nn import functional

from glimpse_core.costs import flops
from glimpse_core.costs.shape import Shape
from glimpse_core.pruners.at_layer import BeforeDecoder
from glimpse_core.pruners.method import Card
from glimpse_core.pruners.state import Positions, PruningState, drop, embeds_per_row


def farthest(embeds: Tensor, count: int, block: int = 1024) -> Tensor:
    """Choose rows by the max-min rule on cosine distances.

    First the row whose nearest other is farthest; then, again and again, the one farthest from all chosen. Of equals
    the earlier. The matrix of distances is never held: only the distance to the nearest chosen row is carried along.

    Args:
        embeds: (n, C).
        count: rows to choose, at most n.
        block: rows that are compared with all others at once.

    Returns:
        (n,) bool with `count` places set.
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
class DivPrunePruner(BeforeDecoder):
    """DivPrune: keep the visual tokens that lie farthest apart, measured by the cosine of their embeddings.

    It solves the max-min diversity problem greedily on the embeddings that enter the decoder (for Qwen2.5-VL those
    after the 2x2 merger), and drops before the first layer. The question plays no part.

    CVPR 2025: https://arxiv.org/abs/2503.02175

    Args:
        model: the model to prune for.
        ratio: share of a row's visual tokens that is kept, from 0 to 1. Default 0.1.
        count: number of visual tokens that is kept of every row, instead of a share. Default None.
        positions: "published" (default), "original" or "renumbered"; see `state.drop`.
    """

    positions: Positions = "published"

    card: ClassVar[Card] = Card("DivPrune", "before the decoder", "CVPR 2025, arXiv 2503.02175")

    def shorten(self, state: PruningState) -> PruningState:
        rows = zip(embeds_per_row(state), self.budgets(state), strict=True)
        return drop(state, [farthest(embeds, budget) for embeds, budget in rows], positions=self.positions)

    def selector_flops(self, shape: Shape, prompt_length: int, total: int) -> int:
        """See `Method.selector_flops`: all pairs of tokens, and each kept token once more with all."""
        return flops.matmul(total, shape.text.width, total) + self.budget(total) * flops.matmul(
            total, shape.text.width, 1
        )
