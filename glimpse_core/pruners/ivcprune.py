"""IVC-Prune: late, keep what the question means and the tokens whose positions give the image its coordinates."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import ClassVar

import torch
from torch import Tensor

from glimpse_core.costs import flops
from glimpse_core.costs.schedule import Cache, Drop
from glimpse_core.costs.shape import Shape
from glimpse_core.engine.decoder import filled_layers
from glimpse_core.glimpse.selection import top_mask
from glimpse_core.pruners.method import Budgeted, Card, check_depth
from glimpse_core.pruners.state import Positions, PruningState, advance, drop, per_row

PUBLISHED = {28: 16, 32: 16, 36: 22}  # decoder layers -> K, for Qwen2.5-VL-7B, LLaVA-7B and Qwen2.5-VL-3B
SEEDS, COORDINATES = 0.01, 0.2  # shares: of the visual tokens, and of the budget (twice; 0.1 of the tokens at 0.5)
UNREAD = 2  # tokens after the last image that never ask


def similarity(asking: Tensor, visual: Tensor) -> Tensor:
    """How each of m value vectors divides a weight of 1 among n others.

    Args:
        asking: (H_kv, m, D).
        visual: (H_kv, n, D).

    Returns:
        (m, n) float32: softmax of the products / sqrt(D) over n, averaged over heads.
    """
    products = asking.float() @ visual.float().transpose(1, 2) / math.sqrt(visual.shape[-1])
    return products.softmax(-1).mean(0)


def preferred(asking: Tensor, visual: Tensor, coordinates: Tensor, count: int) -> Tensor:
    """Choose tokens: seeds of what is asked, those that give coordinates, and then by similarity.

    Args:
        asking: (H_kv, m, D), value vectors of the words.
        visual: (H_kv, n, D), value vectors of the visual tokens.
        coordinates: (n, 2), mean cosine and mean sine of each token's rotary embedding.
        count: tokens to choose, at most n.

    Returns:
        (n,) bool with `count` places set.
    """
    total = visual.shape[1]
    asked = similarity(asking, visual)
    seeds = top_mask(asked.mean(0), min(max(1, round(SEEDS * total)), count))
    known = torch.cat([asked, similarity(visual[:, seeds], visual)])
    cosine, sine = (top_mask(column, round(COORDINATES * count)) for column in coordinates.T)
    scores, mask = known.mean(0), seeds
    for tier in (cosine | sine, torch.ones_like(mask)):  # before the rest come those with coordinates
        left = tier & ~mask
        most = min(count - int(mask.sum()), int(left.sum()))
        mask = mask | top_mask(scores.masked_fill(~left, -torch.inf), most)
    return mask


@dataclass(frozen=True)
class IVCPrunePruner(Budgeted):
    """IVC-Prune: late in the decoder, keep what the question means and what carries the image's coordinates.

    Before layer K, in the value vectors of layer K - 1: every word divides a weight among the visual tokens by a
    softmax of products, averaged over heads. The tokens with the highest mean are seeds, which divide a weight in the
    same way; a token's score is the mean over words and seeds. Kept are the seeds, the tokens whose rotary position
    embedding has the highest mean cosine and those with the highest mean sine (implicit visual coordinates: near the
    identity and a quarter turn), and then the highest scores. The others are dropped from the caches of the layers that
    have run, too, and all positions stay: GlimpsePrune's way of dropping, without training.

    The two kinds of tokens, the two stages by value vectors and the single selection for all layers are the paper's.
    From the authors' code: layers, shares (1% of the tokens are seeds; 10% and 10% give coordinates, of 50% in all),
    that words begin two tokens after the image, and means over all axes and frequencies. Our choices: coordinates get
    their share of the budget (20% and 20% of it), so that other budgets are possible; decoders of other depths use the
    layer at 4/7; of tokens with equal means the earlier is kept; the images of a row are one, asked by the words after
    the last.

    "IVC-Prune: Revealing the Implicit Visual Coordinates in LVLMs for Vision Token Pruning", ICLR 2026:
    https://arxiv.org/abs/2602.03060, code: https://github.com/FireRedTeam/IVC-Prune

    Args:
        model: the model to prune for.
        ratio: share of a row's visual tokens that is kept, from 0 to 1. Default 0.5, as published.
        count: number of visual tokens that is kept of every row, instead of a share. Default None.
        layer: K; tokens are dropped before it, counted from 0. Default None: 16 of 28 or 32 layers and 22 of 36, as
            published, and the same part of other decoders.
        cache: "pruned" (default, as published) or "untouched": caches of layers that have run; see `state.drop`.
        positions: "original" (default, as published), "published" or "renumbered"; see `state.drop`.
    """

    ratio: float = 0.5
    layer: int | None = None
    cache: Cache = "pruned"
    positions: Positions = "original"

    card: ClassVar[Card] = Card(
        "IVC-Prune", "in the middle of the decoder", "ICLR 2026, arXiv 2602.03060", question=True
    )

    def __post_init__(self) -> None:
        super().__post_init__()
        check_depth("layer", self.depth, self.model, 1)

    @property
    def depth(self) -> int:
        """The number of layers that process every token."""
        layers = self.model.backbone.layers
        return PUBLISHED.get(layers, max(round(layers * 4 / 7), 1)) if self.layer is None else self.layer

    def shorten(self, state: PruningState) -> PruningState:
        # Layer K - 1 runs on the tokens of `state`, so that its cache has the same ones.
        state = advance(advance(state, self.depth - 1), self.depth)
        values = filled_layers(state.prefix)[self.depth - 1].values.to(state.prefix.hidden.device)
        rows = zip(
            values, state.visual, words(state), per_row(state, coordinates(state)), self.budgets(state), strict=True
        )
        kept = [
            preferred(own[:, text], own[:, visual], places, budget)
            if budget
            else torch.zeros(len(places), dtype=torch.bool, device=places.device)
            for own, visual, text, places, budget in rows
        ]
        return drop(state, kept, cache=self.cache, positions=self.positions)

    def plan(self, total: int) -> tuple[Drop, ...]:
        """See `Method.plan`: one drop before layer K, in caches as `cache` says."""
        return (Drop(self.depth, self.budget(total), self.cache),)

    def selector_flops(self, shape: Shape, prompt_length: int, total: int) -> int:
        """Value vectors of words and seeds with those of the visual tokens; all text is taken for words."""
        seeds = min(max(1, round(SEEDS * total)), self.budget(total))
        asking = prompt_length - total + seeds
        return flops.matmul(asking, shape.text.kv_heads * shape.text.head_width, total)


def words(state: PruningState) -> Tensor:
    """(B, S) bool: the text that asks, from the third token after the last image on; the last token at least."""
    after = ~state.visual & (state.visual.cumsum(1) == state.visual.sum(1, keepdim=True))
    if state.prefix.padding is not None:
        after &= state.prefix.padding
    asking = after & (after.cumsum(1) > UNREAD)
    asking[:, -1] |= ~asking.any(1)
    return asking


def coordinates(state: PruningState) -> Tensor:
    """Mean cosine and mean sine of the rotary embedding of every token, over all axes and frequencies: (B, S, 2)."""
    positions = state.prefix.positions
    like = state.prefix.hidden.new_zeros(1, dtype=torch.float32)
    rotary = state.model.backbone.text.rotary_emb
    # A family mixes its axes in its own way; with the same positions on all axes, every frequency is that of one axis.
    axes = [positions] if state.one_axis else [axis.expand_as(positions) for axis in positions]
    found = [torch.stack([part.mean(-1) for part in rotary(like, axis)], dim=-1) for axis in axes]
    return torch.stack(found).sort(0).values.mean(0)  # sorted: where axes are exchanged, the sum is the same bit by bit
