"""VScan: keep tokens that stand out locally or globally, merge the others; then drop again in the decoder."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

import torch
from torch import Tensor
from torch.nn import functional

from glimpse_core.costs import flops
from glimpse_core.costs.schedule import Cache, Drop
from glimpse_core.costs.shape import Shape
from glimpse_core.glimpse.selection import top_mask
from glimpse_core.pruners.base import tokens
from glimpse_core.pruners.method import Budgeted, Card, check_depth
from glimpse_core.pruners.state import (
    Positions,
    PruningState,
    advance,
    carried_per_row,
    drop,
    embeds_per_row,
    gather_remaining,
    last_token_attention,
    replace_embeddings,
    vision_readings,
)
from glimpse_core.types import Grid, VisionReads


def window_numbers(grids: list[Grid], side: int) -> Tensor:
    """Number the windows of side x side tokens that cover the images.

    Returns:
        (n,) int64, for every token of all images in raster order: its window, counted over all images.
    """
    numbers, before = [], 0
    for grid in grids:
        across = -(-grid.cols // side)
        rows, cols = torch.arange(grid.rows) // side, torch.arange(grid.cols) // side
        numbers.append((before + rows[:, None] * across + cols).flatten())
        before += across * -(-grid.rows // side)
    return torch.cat(numbers) if numbers else torch.zeros(0, dtype=torch.int64)


def local_mask(scores: Tensor, windows: Tensor, count: int) -> Tensor:
    """Choose the highest scores, but from no window more than its part.

    Args:
        scores: (n,).
        windows: (n,) int64, the window of each token.
        count: tokens to choose; a window's part is count / windows, rounded up.

    Returns:
        (n,) bool with `count` places set, or fewer where windows are too small for their part.
    """
    if not len(scores) or not count:
        return torch.zeros(len(scores), dtype=torch.bool, device=scores.device)
    part = -(-count // len(windows.unique()))
    order = scores.argsort(descending=True, stable=True)
    ordered = windows[order]
    same = ordered.argsort(stable=True)  # window by window, best first
    starts = ordered[same].bincount().cumsum(0) - ordered[same].bincount()
    rank = torch.empty_like(order)
    rank[order[same]] = torch.arange(len(order), device=order.device) - starts[ordered[same]]
    allowed = rank < part
    return top_mask(scores.masked_fill(~allowed, -torch.inf), min(count, int(allowed.sum())))


def merged(embeds: Tensor, mask: Tensor, carried: Tensor) -> Tensor:
    """Average every dropped row into the kept row with the highest cosine.

    Args:
        embeds: (n, C), what is compared.
        mask: (n,) bool, True for kept rows.
        carried: (n, features), what is averaged.

    Returns:
        (kept rows, features): plain averages of each kept row and those that joined it.
    """
    kept, others = embeds[mask].float(), embeds[~mask].float()
    if not len(kept) or not len(others):
        return carried[mask]
    nearest = (functional.normalize(others, dim=-1) @ functional.normalize(kept, dim=-1).T).argmax(1)
    sums = carried[mask].float().index_add(0, nearest, carried[~mask].float())
    return (sums / (1 + nearest.bincount(minlength=len(kept)))[:, None]).to(carried)


@dataclass(frozen=True)
class VScanPruner(Budgeted):
    """VScan: two cuts, before the decoder by the vision tower's attention, in the middle by the decoder's.

    The first cut keeps half of its tokens by local attention (an early block of the vision tower, evenly over windows)
    and half by global attention (the last block), and averages the others into them. The second ranks what is left by
    the last prompt token's attention; the authors leave the caches of earlier layers as they are. Where the local half
    does not divide by the windows, the best of them give one more (the authors' LLaVA code gives fewer and stays below
    the budget).

    TMLR 2026: https://arxiv.org/abs/2505.22654

    Args:
        model: the model to prune for.
        ratio: share of a row's visual tokens that is left after the second cut, from 0 to 1. Default 0.167 / 3, as
            published.
        count: the same as a number of visual tokens of every row. Default None.
        first: share of the visual tokens that the first cut leaves, from 0 to 1. Default None: three times the budget,
            the authors' proportion.
        layer: the second cut is before this layer, counted from 0. Default None: half of the decoder.
        rope: rank the second cut with positions. Default None: as the authors' code does, with them for LLaVA and
            without for Qwen2.5-VL.
        cache: "untouched" (default, as published) or "pruned": caches of layers that have run; see `state.drop`.
        positions: "published" (default), "original" or "renumbered"; see `state.drop`.
    """

    ratio: float = 0.167 / 3
    first: float | None = None
    layer: int | None = None
    rope: bool | None = None
    cache: Cache = "untouched"
    positions: Positions = "published"

    card: ClassVar[Card] = Card(
        "VScan", "before the decoder and at half of it", "TMLR 2026, arXiv 2505.22654", question=True, merges=True
    )

    def __post_init__(self) -> None:
        super().__post_init__()
        check_depth("layer", self.depth, self.model, 0)

    @property
    def depth(self) -> int:
        """The layer before which the second cut is."""
        return self.model.backbone.layers // 2 if self.layer is None else self.layer

    def before(self, total: int) -> int:
        """Visual tokens that the first cut leaves of `total`."""
        final = self.budget(total)
        return max(min(3 * final, total) if self.first is None else tokens(total, self.first), final)

    def vision_reads(self) -> VisionReads:
        """See `Method.vision_reads`: the attention of an early block and of the last one."""
        backbone = self.model.backbone
        return VisionReads(attention=tuple(sorted({backbone.local_block, backbone.feature_block})))

    def shorten(self, state: PruningState) -> PruningState:
        state = advance(self._scan(state), self.depth)
        rope = state.one_axis if self.rope is None else self.rope
        kept = [top_mask(*row) for row in zip(last_token_attention(state, rope=rope), self.budgets(state), strict=True)]
        return drop(state, kept, cache=self.cache, positions=self.positions)

    def _scan(self, state: PruningState) -> PruningState:
        """The cut before the decoder."""
        backbone = self.model.backbone
        read = vision_readings(state, self.vision_reads()).attention
        local, whole = (
            gather_remaining(state, read[backbone.local_block]),
            gather_remaining(state, read[backbone.feature_block]),
        )
        rows = backbone.grids_per_row(state.prompt)
        windows = gather_remaining(state, torch.cat([window_numbers(grids, backbone.local_window) for grids in rows]))
        kept = []
        for row, total in enumerate(state.totals):
            budget = min(self.before(total), state.counts[row])
            mask = local_mask(local[row], windows[row].to(local[row].device), budget // 2)
            rest = whole[row].masked_fill(mask, -torch.inf)
            kept.append(mask | top_mask(rest, budget - int(mask.sum())))
        merging = zip(embeds_per_row(state), kept, carried_per_row(state), strict=True)
        embeds = [merged(own, mask, carried) for own, mask, carried in merging]
        return replace_embeddings(drop(state, kept, positions=self.positions), embeds)

    def plan(self, total: int) -> tuple[Drop, ...]:
        """See `Method.plan`: a cut before the decoder and one before `layer`."""
        return Drop(0, self.before(total)), Drop(self.depth, self.budget(total), self.cache)

    def selector_flops(self, shape: Shape, prompt_length: int, total: int) -> int:
        """Two blocks' attention in the tower, the similarities for merging, and an attention row in the decoder."""
        vision, text, left = shape.vision, shape.text, self.before(total)
        patches = total * vision.merge**2
        queries = 1 if vision.class_tokens else patches
        tower = 2 * flops.matmul(patches, vision.width, vision.width) + flops.matmul(queries, vision.width, patches)
        length = prompt_length - total + left
        row = flops.matmul(length, text.width, text.kv_heads * text.head_width)
        row += flops.matmul(1, text.width + length, text.heads * text.head_width)
        return 2 * tower + flops.matmul(total - left, text.width, left) + row
