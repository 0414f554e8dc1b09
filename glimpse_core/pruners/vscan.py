"""VScan: tokens that stand out locally or globally, merged; then a second cut in the decoder (arXiv 2505.22654)."""

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
from glimpse_core.pruners.live import (
    Live,
    Positions,
    advance,
    drop,
    embeds_per_row,
    last_row,
    of_slots,
    place,
    vision_readings,
)
from glimpse_core.pruners.method import Budgeted, Card, check_depth
from glimpse_core.types import Grid, VisionReads


def window_numbers(grids: list[Grid], side: int) -> Tensor:
    """(n,) int64: the window of side x side tokens that each token lies in, counted over all images."""
    numbers, before = [], 0
    for grid in grids:
        across = -(-grid.cols // side)
        rows, cols = torch.arange(grid.rows) // side, torch.arange(grid.cols) // side
        numbers.append((before + rows[:, None] * across + cols).flatten())
        before += across * -(-grid.rows // side)
    return torch.cat(numbers) if numbers else torch.zeros(0, dtype=torch.int64)


def local_mask(scores: Tensor, windows: Tensor, count: int) -> Tensor:
    """(n,) bool: the `count` highest scores, no window giving more than its part, count / windows rounded up."""
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


def merged(embeds: Tensor, mask: Tensor) -> Tensor:
    """(kept, C): every dropped row of embeds (n, C) joins the kept row with the highest cosine; plain averages."""
    kept, others = embeds[mask].float(), embeds[~mask].float()
    if not len(kept) or not len(others):
        return embeds[mask]
    nearest = (functional.normalize(others, dim=-1) @ functional.normalize(kept, dim=-1).T).argmax(1)
    sums = kept.index_add(0, nearest, others)
    return (sums / (1 + nearest.bincount(minlength=len(kept)))[:, None]).to(embeds)


@dataclass(frozen=True)
class VScanPruner(Budgeted):
    """first: share that is left before the decoder, half by local attention (an early block of the vision tower, evenly
    over windows) and half by global attention (the last); None: three times the budget, the authors' proportion.

    layer: the rest is dropped before it, by the last prompt token's attention; None: half of the decoder. rope: whether
    that ranking knows positions; None: as the authors' code does, with them for LLaVA and without for Qwen. The authors
    leave the caches of earlier layers as they are. Where the local half does not divide by the windows, the best of
    them give one more (the authors' LLaVA code gives fewer and stays below the budget).
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
        return self.model.backbone.layers // 2 if self.layer is None else self.layer

    def before(self, total: int) -> int:
        """What the first cut leaves of `total` visual tokens."""
        final = self.budget(total)
        wanted = min(3 * final, total) if self.first is None else tokens(total, self.first)
        return max(wanted, final)

    def vision_reads(self) -> VisionReads:
        backbone = self.model.backbone
        return VisionReads(attention=tuple(sorted({backbone.local_block, backbone.feature_block})))

    def shorten(self, live: Live) -> Live:
        live = advance(self._scan(live), self.depth)
        rope = live.one_axis if self.rope is None else self.rope
        kept = [top_mask(*row) for row in zip(last_row(live, rope=rope), self.budgets(live), strict=True)]
        return drop(live, kept, cache=self.cache, positions=self.positions)

    def _scan(self, live: Live) -> Live:
        """The cut before the decoder."""
        backbone = self.model.backbone
        read = vision_readings(live, self.vision_reads()).attention
        local, whole = of_slots(live, read[backbone.local_block]), of_slots(live, read[backbone.feature_block])
        rows = backbone.grids_per_row(live.prompt)
        windows = of_slots(live, torch.cat([window_numbers(grids, backbone.local_window) for grids in rows]))
        kept = []
        for row, total in enumerate(live.totals):
            budget = min(self.before(total), live.counts[row])
            mask = local_mask(local[row], windows[row].to(local[row].device), budget // 2)
            rest = whole[row].masked_fill(mask, -torch.inf)
            kept.append(mask | top_mask(rest, budget - int(mask.sum())))
        embeds = [merged(own, mask) for own, mask in zip(embeds_per_row(live), kept, strict=True)]
        return place(drop(live, kept, positions=self.positions), embeds)

    def plan(self, total: int) -> tuple[Drop, ...]:
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
