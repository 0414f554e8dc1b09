"""VisionZip: keep the tokens that the vision tower attends to, and averages of the rest."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import ClassVar

import torch
from torch import Tensor
from torch.nn import functional

from glimpse_core.costs import flops
from glimpse_core.costs.shape import Shape
from glimpse_core.glimpse.selection import top_mask
from glimpse_core.pruners.at_layer import BeforeDecoder
from glimpse_core.pruners.method import Card
from glimpse_core.pruners.state import (
    Positions,
    PruningState,
    drop,
    gather_remaining,
    replace_embeddings,
    vision_readings,
)
from glimpse_core.types import VisionReads


@dataclass(frozen=True)
class Zipped:
    """What `zipped` chooses.

    dominant: (d,) int64 indices of the tokens that are kept as they are, ascending. targets: (c,) int64 indices of
    those that take in others, ascending. merged: (c, features) what the targets become.
    """

    dominant: Tensor
    targets: Tensor
    merged: Tensor


def zipped(features: Tensor, attention: Tensor, keys: Tensor, dominant: int, contextual: int) -> Zipped:
    """Keep the most attended tokens and merge the rest into a few others, evenly spaced.

    Each of the rest goes to the target with the most similar key, and a target becomes itself plus the mean of those:
    a sum, so that its norm grows, as in the authors' code.

    Args:
        features: (n, features).
        attention: (n,) what each token receives.
        keys: (n, head size).
        dominant: tokens that are kept as they are.
        contextual: tokens that take in the rest.
    """
    best = top_mask(attention, dominant)
    rest = (~best).nonzero()[:, 0]
    step = max(1, len(rest) // contextual) if contextual else 1
    chosen = torch.zeros(len(rest), dtype=torch.bool, device=rest.device)
    chosen[torch.arange(contextual, device=rest.device) * step] = True
    targets, others = rest[chosen], rest[~chosen]
    merged = features[targets]
    if len(targets) and len(others):
        metric = functional.normalize(keys.float(), dim=-1)
        nearest = (metric[others] @ metric[targets].T).argmax(1)
        sums = torch.zeros_like(merged, dtype=torch.float32).index_add(0, nearest, features[others].float())
        counts = nearest.bincount(minlength=len(targets)).clamp(min=1)
        merged = (merged + sums / counts[:, None]).to(features)
    return Zipped(best.nonzero()[:, 0], targets, merged)


@dataclass(frozen=True)
class VisionZipPruner(BeforeDecoder):
    """VisionZip: keep the visual tokens that the vision tower attends to, and merge the others into a few.

    Attention and keys are those of the block whose output becomes the visual tokens: what the class token attends to
    (LLaVA), or what all patches of the image together attend to (Qwen2.5-VL, which has no class token). Tokens are
    dropped before the first layer, and the question plays no part. With renumbered positions the order is the
    authors', too: dominant tokens, then contextual ones; else every token stays in its place.

    CVPR 2025: https://arxiv.org/abs/2412.04467

    Args:
        model: the model to prune for.
        ratio: share of a row's visual tokens that is kept, from 0 to 1. Default 0.1.
        count: number of visual tokens that is kept of every row, instead of a share. Default None.
        contextual: share of the budget that are tokens which take in others, from 0 to 1. Default None: the authors'
            (10 of 64 for LLaVA, 0.05 of 0.111 for Qwen2.5-VL).
        summary: the class token is one of the dominant tokens. Default None: as the authors do, where the tower has one
            and positions are renumbered, since it has no place of its own.
        positions: "published" (default), "original" or "renumbered"; see `state.drop`.
    """

    contextual: float | None = None
    summary: bool | None = None
    positions: Positions = "published"

    card: ClassVar[Card] = Card("VisionZip", "before the decoder", "CVPR 2025, arXiv 2412.04467", merges=True)

    def vision_reads(self) -> VisionReads:
        """See `Method.vision_reads`: states, attention and keys of the block whose output becomes the visual tokens."""
        block = self.model.backbone.feature_block
        return VisionReads(states=(block,), attention=(block,))

    def shorten(self, state: PruningState) -> PruningState:
        backbone, block = self.model.backbone, self.model.backbone.feature_block
        read = vision_readings(state, self.vision_reads())
        features = gather_remaining(state, backbone.mergeable(state.vision, read))
        attention, keys = gather_remaining(state, read.attention[block]), gather_remaining(state, read.keys[block])
        renumbered = self.positions == "renumbered" or (self.positions == "published" and state.one_axis)
        summaries = self._summaries(state, read.summaries.get(block, features[0][:0]), renumbered)
        kept, embeds, indices = [], [], []
        for row, budget in enumerate(self.budgets(state)):
            own = summaries[row][:budget]
            merging = min(self._merging(state, budget), max(budget - len(own) - 1, 0))
            parts = zipped(features[row], attention[row], keys[row], budget - len(own) - merging, merging)
            mask = torch.zeros(len(features[row]), dtype=torch.bool, device=features[row].device)
            mask[parts.dominant], mask[parts.targets] = True, True
            sources = torch.cat([parts.dominant, parts.targets])
            merged = torch.cat([features[row][parts.dominant], parts.merged])
            order = torch.arange(len(sources)) if renumbered else sources.argsort().cpu()
            if len(own):  # class tokens take any free places
                mask |= top_mask((~mask).float(), len(own))
            kept.append(mask)
            embeds.append(backbone.project(torch.cat([own.to(merged), merged[order.to(merged.device)]])))
            ids = state.indices[row][sources[order.to(sources.device)]]
            indices.append(torch.cat([ids.new_full((len(own),), -1), ids]))
        return replace_embeddings(drop(state, kept, positions=self.positions), embeds, indices)

    def _merging(self, state: PruningState, budget: int) -> int:
        share = self.contextual
        if share is None:
            share = 10 / 64 if state.one_axis else 0.05 / 0.111
        return round(share * budget)

    def _summaries(self, state: PruningState, states: Tensor, renumbered: bool) -> Sequence[Tensor]:
        """Per row the class tokens (images, features) of its images, or none of them."""
        images = [len(grids) for grids in self.model.backbone.grids_per_row(state.prompt)]
        include = renumbered if self.summary is None else self.summary
        if not len(states) or not include:
            return [states[:0] for _ in images]
        rows: tuple[Tensor, ...] = states.split(images)
        return rows

    def selector_flops(self, shape: Shape, prompt_length: int, total: int) -> int:
        """Queries and keys of one block once more, all its attention products, and the keys' similarities."""
        vision = shape.vision
        patches = total * vision.merge**2
        projections = 2 * flops.matmul(patches, vision.width, vision.width)
        queries = 1 if vision.class_tokens else patches
        return projections + flops.matmul(queries, vision.width, patches)
