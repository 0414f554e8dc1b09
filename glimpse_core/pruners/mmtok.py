"""MMTok: keep tokens that together cover the question's words and the whole image."""

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
from glimpse_core.pruners.state import Positions, PruningState, drop, embeds_per_row, gather_remaining, vision_readings
from glimpse_core.types import VisionReads


def covering(gains: Tensor, count: int, at_once: int = 32) -> Tensor:
    """Choose columns greedily so that the sum over rows of the largest chosen entry grows most (facility location).

    What a column adds can only shrink as others are chosen, so old numbers are upper bounds: only the most promising
    columns are counted anew, until the best of all is one of those. Of equals the earlier is chosen.

    Args:
        gains: (rows, n), not negative.
        count: columns to choose, at most n.
        at_once: columns that are counted anew together.

    Returns:
        (n,) bool with `count` places set.
    """
    offers = gains.T.contiguous()  # (n, rows)
    mask = torch.zeros(len(offers), dtype=torch.bool, device=gains.device)
    best, bounds = gains.new_zeros(len(gains)), offers.sum(1)
    for _ in range(min(count, len(offers))):
        known = mask.clone()
        pick = int(bounds.argmax())
        while not known[pick]:
            stale = bounds.masked_fill(known, -torch.inf).topk(min(at_once, len(offers))).indices
            bounds[stale] = (offers[stale] - best).clamp(min=0).sum(1).masked_fill(mask[stale], -torch.inf)
            known[stale] = True
            pick = int(bounds.argmax())
        mask[pick] = True
        bounds[pick] = -torch.inf
        best = torch.maximum(best, offers[pick])
    return mask


def similarities(sources: Tensor, targets: Tensor, temperature: float) -> Tensor:
    """How each of m sources spreads a weight of 1 / m over n targets, by a softmax of cosines.

    Args:
        sources: (m, C).
        targets: (n, C).
        temperature: of the softmax.

    Returns:
        (m, n) float32.
    """
    cosines = functional.normalize(sources.float(), dim=-1) @ functional.normalize(targets.float(), dim=-1).T
    return (cosines / temperature).softmax(-1) / max(len(sources), 1)


@dataclass(frozen=True)
class MMTokPruner(BeforeDecoder):
    """MMTok: keep the visual tokens that best cover both the question and the image, a maximum coverage problem.

    Words are the question's embeddings, compared with the visual ones that enter the decoder; the image is compared
    with itself in what the vision tower gives before the projector. As in the authors' code, every word and every
    visual token spreads a weight over the visual tokens, and tokens are chosen greedily and dropped before the first
    layer. Which words count differs: their LLaVA code leaves out a list of stop words and two usual suffixes, their
    Qwen code puts "Question:" in front; here all words of the question count, and nothing else.

    ICLR 2026: https://arxiv.org/abs/2508.18264

    Args:
        model: the model to prune for.
        ratio: share of a row's visual tokens that is kept, from 0 to 1. Default 0.1.
        count: number of visual tokens that is kept of every row, instead of a share. Default None.
        alpha: weight of the image against the words. Default 0.5, as published.
        temperature: of the words' softmax. Default None: the authors' for the model (0.02 with one position axis,
            LLaVA; 0.01 with several, Qwen2.5-VL).
        vision_temperature: of the image's softmax. Default 0.2, as published.
        positions: "published" (default), "original" or "renumbered"; see `state.drop`.
    """

    alpha: float = 0.5
    temperature: float | None = None
    vision_temperature: float = 0.2
    positions: Positions = "published"

    card: ClassVar[Card] = Card("MMTok", "before the decoder", "ICLR 2026, arXiv 2508.18264", question=True)

    def vision_reads(self) -> VisionReads:
        return VisionReads(states=(self.model.backbone.feature_block,))

    def shorten(self, state: PruningState) -> PruningState:
        backbone = self.model.backbone
        temperature = self.temperature or (0.02 if state.one_axis else 0.01)
        states = gather_remaining(state, vision_readings(state, self.vision_reads()).states[backbone.feature_block])
        rows = zip(state.prompt.input_ids, backbone.question(state.prompt), strict=True)
        words = [backbone.embed(ids[own]) for ids, own in rows]
        kept = []
        for word, image, own, budget in zip(words, embeds_per_row(state), states, self.budgets(state), strict=True):
            covered = similarities(own, own, self.vision_temperature)
            gains = torch.cat([similarities(word, image, temperature), self.alpha * covered])
            kept.append(covering(gains, budget))
        return drop(state, kept, positions=self.positions)

    def selector_flops(self, shape: Shape, prompt_length: int, total: int) -> int:
        """See `Method.selector_flops`: text tokens with visual ones, and all pairs of visual ones."""
        words = flops.matmul(prompt_length - total, shape.text.width, total)
        return words + flops.matmul(total, shape.vision.width, total)
