"""MMTok: tokens that together cover the question's words and the whole picture (ICLR 2026, arXiv 2508.18264)."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

import torch
from torch import Tensor
from torch.nn import functional

from glimpse_core.costs import flops
from glimpse_core.costs.schedule import Drop
from glimpse_core.costs.shape import Shape
from glimpse_core.pruners.live import Live, Positions, drop, embeds_per_row, of_slots, vision_readings
from glimpse_core.pruners.method import Budgeted, Card
from glimpse_core.types import VisionReads


def covering(gains: Tensor, count: int, at_once: int = 32) -> Tensor:
    """(n,) bool: `count` columns of gains (rows, n), chosen greedily so that the sum over rows of the largest chosen
    entry grows most (facility location). Of equals the earlier.

    What a column adds can only shrink as others are chosen, so old numbers are upper bounds: only the most promising
    columns are counted anew, until the best of all is one of those.
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
    """(m, n) float32: how sources (m, ·) spread over targets (n, ·), softmax of cosines; divided by m."""
    cosines = functional.normalize(sources.float(), dim=-1) @ functional.normalize(targets.float(), dim=-1).T
    return (cosines / temperature).softmax(-1) / max(len(sources), 1)


@dataclass(frozen=True)
class MMTokPruner(Budgeted):
    """Words are the question's embeddings, compared with the visual ones that enter the decoder; the picture is
    compared with itself in what the vision tower gives before the projector.

    alpha: weight of the picture against the words. temperature: of the words; None: the authors' for the model (0.02
    with one position axis, LLaVA; 0.01 with several, Qwen). vision_temperature: of the picture. As in the authors'
    code, every word and every visual token spreads a weight of one over the visual tokens. Which words count differs:
    their LLaVA code leaves out a list of stop words and two usual suffixes, their Qwen code puts "Question:" in front;
    here all words of the question count, and nothing else.
    """

    alpha: float = 0.5
    temperature: float | None = None
    vision_temperature: float = 0.2
    positions: Positions = "published"

    card: ClassVar[Card] = Card("MMTok", "before the decoder", "ICLR 2026, arXiv 2508.18264", question=True)

    def vision_reads(self) -> VisionReads:
        return VisionReads(states=(self.model.backbone.feature_block,))

    def shorten(self, live: Live) -> Live:
        backbone = self.model.backbone
        temperature = self.temperature or (0.02 if live.one_axis else 0.01)
        states = of_slots(live, vision_readings(live, self.vision_reads()).states[backbone.feature_block])
        rows = zip(live.prompt.input_ids, backbone.question(live.prompt), strict=True)
        words = [backbone.embed(ids[own]) for ids, own in rows]
        kept = []
        for word, image, state, budget in zip(words, embeds_per_row(live), states, self.budgets(live), strict=True):
            covered = similarities(state, state, self.vision_temperature)
            gains = torch.cat([similarities(word, image, temperature), self.alpha * covered])
            kept.append(covering(gains, budget))
        return drop(live, kept, positions=self.positions)

    def plan(self, total: int) -> tuple[Drop, ...]:
        return (Drop(0, self.budget(total)),)

    def selector_flops(self, shape: Shape, prompt_length: int, total: int) -> int:
        words = flops.matmul(prompt_length - total, shape.text.width, total)
        return words + flops.matmul(total, shape.vision.width, total)
