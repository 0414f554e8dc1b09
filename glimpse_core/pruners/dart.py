"""DART: keep tokens that resemble none of a few pivots, neither image nor text."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

import torch
from torch import Tensor
from torch.nn import functional

from glimpse_core.costs import flops
from glimpse_core.costs.shape import Shape
from glimpse_core.engine.decoder import filled_layers
from glimpse_core.glimpse.selection import top_mask
from glimpse_core.pruners.at_layer import Early
from glimpse_core.pruners.method import Card
from glimpse_core.pruners.state import PruningState, advance, drop, per_row


def least_alike(
    states: Tensor, norms: Tensor, text: Tensor, text_norms: Tensor, count: int, pivots: tuple[int, int]
) -> Tensor:
    """Choose the visual tokens that are least like a few pivots.

    The visual tokens with the largest norms are pivots and are kept; text tokens with the largest norms are pivots,
    too. Each pivot in turn adds an equal share of what is missing: of the tokens that are left, those least like it.

    Args:
        states: (n, C) of the visual tokens.
        norms: (n,) of their keys.
        text: (m, C) of the text tokens.
        text_norms: (m,) of their keys.
        count: tokens to keep, at most n.
        pivots: numbers of visual and of text pivots.

    Returns:
        (n,) bool with `count` places set.
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
    """DART: keep the visual tokens that are least like a few pivot tokens, so that no duplicates are kept.

    Pivots are the visual and text tokens with the largest keys (L1 norm of all heads together, after RoPE) in layer
    K - 1; likeness is the cosine of the states that leave it, through the decoder's final norm. Tokens are dropped
    before layer K. The authors give every pivot a share that is rounded down, and so keep up to 4 tokens more or fewer
    than asked; here the budget is exact.

    "Stop Looking for Important Tokens in Multimodal Language Models", arXiv 2502.11494:
    https://arxiv.org/abs/2502.11494

    Args:
        model, ratio, count, layer, cache, positions: as in `at_layer.Early`; `layer` is K.
        image_pivots: number of visual tokens that are pivots. Default 4, as published.
        text_pivots: number of text tokens after the last image that are pivots. Default 4, as published.
    """

    image_pivots: int = 4
    text_pivots: int = 4

    card: ClassVar[Card] = Card("DART", "before layer 2", "arXiv 2502.11494", question=True)

    def shorten(self, state: PruningState) -> PruningState:
        state = advance(state, self.depth)
        prefix = state.prefix
        states = self.model.backbone.text.norm(prefix.hidden)
        norms = filled_layers(prefix)[self.depth - 1].keys.float().abs().sum((1, 3))  # (B, S)
        after = ~state.visual & (state.visual.cumsum(1) == state.visual.sum(1, keepdim=True))
        if prefix.padding is not None:
            after &= prefix.padding
        visual = zip(per_row(state, states), per_row(state, norms), strict=True)
        rows = zip(visual, states, norms, after, self.budgets(state), strict=True)
        pivots = (self.image_pivots, self.text_pivots)
        kept = [
            least_alike(image, image_norms, row[text], row_norms[text], budget, pivots)
            for (image, image_norms), row, row_norms, text, budget in rows
        ]
        return drop(state, kept, cache=self.cache, positions=self.positions)

    def selector_flops(self, shape: Shape, prompt_length: int, total: int) -> int:
        """See `Method.selector_flops`: every pivot with every visual token."""
        return flops.matmul(self.image_pivots + self.text_pivots, shape.text.width, total)
