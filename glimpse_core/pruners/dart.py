"""DART: tokens that resemble none of a few pivots, neither image nor text (arXiv 2502.11494)."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

import torch
from torch import Tensor
from torch.nn import functional

from glimpse_core.costs import flops
from glimpse_core.costs.shape import Shape
from glimpse_core.glimpse.selection import top_mask
from glimpse_core.pruners.at_layer import Early
from glimpse_core.pruners.live import Live, advance, drop, per_row
from glimpse_core.pruners.method import Card


def least_alike(states: Tensor, norms: Tensor, text: Tensor, text_norms: Tensor, count: int, pivots: tuple[int, int]):
    """(n,) bool: `count` of the visual tokens with states (n, C) and key norms (n,), given those of the text (m, ...).

    The visual tokens with the largest norms are pivots and stay, pivots[0] of them; pivots[1] of the text guide the
    choice, too. Each pivot in turn adds an equal share of what is missing, the remaining tokens least alike to it.
    """
    own = norms.argsort(descending=True, stable=True)[: min(pivots[0], count)]
    others = text_norms.argsort(descending=True, stable=True)[: pivots[1]]
    mask = torch.zeros(len(states), dtype=torch.bool, device=states.device)
    mask[own] = True
    guides = functional.normalize(torch.cat([states[own], text[others]]).float(), dim=-1)
    alike = guides @ functional.normalize(states.float(), dim=-1).T  # (pivots, n)
    missing = count - len(own)
    for number, row in enumerate(alike):
        share = missing * (number + 1) // len(alike) - missing * number // len(alike)
        mask |= top_mask((-row).masked_fill(mask, -torch.inf), min(share, int((~mask).sum())))
    return mask


@dataclass(frozen=True)
class DartPruner(Early):
    """Norms are those of the keys of layer K - 1 (all heads together, L1, behind RoPE), states those that leave it,
    through the decoder's final norm.

    The authors give every pivot a share that is rounded down, and so keep up to 4 tokens more or fewer than asked; here
    the budget is exact.
    """

    image_pivots: int = 4
    text_pivots: int = 4

    card: ClassVar[Card] = Card("DART", "before layer 2", "arXiv 2502.11494", question=True)

    def shorten(self, live: Live) -> Live:
        live = advance(live, self.depth)
        prefix = live.prefix
        states = self.model.backbone.text.norm(prefix.hidden)
        norms = prefix.cache.layers[self.depth - 1].keys.float().abs().sum((1, 3))  # (B, S)
        behind = ~live.visual & (live.visual.cumsum(1) == live.visual.sum(1, keepdim=True))
        if prefix.padding is not None:
            behind &= prefix.padding
        rows = zip(per_row(live, states), per_row(live, norms), states, norms, behind, self.budgets(live), strict=True)
        pivots = (self.image_pivots, self.text_pivots)
        kept = [
            least_alike(image, image_norms, row[text], row_norms[text], budget, pivots)
            for image, image_norms, row, row_norms, text, budget in rows
        ]
        return drop(live, kept, cache=self.cache, positions=self.positions)

    def selector_flops(self, shape: Shape, prompt_length: int, total: int) -> int:
        return flops.matmul(self.image_pivots + self.text_pivots, shape.text.width, total)
