"""CDPruner: tokens that differ from each other and concern the question, by a determinantal point process
(NeurIPS 2025, arXiv 2506.10967)."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar, Literal

import torch
from torch import Tensor
from torch.nn import functional

from glimpse_core.backbones.clip import ClipText
from glimpse_core.costs import flops
from glimpse_core.costs.schedule import Drop
from glimpse_core.costs.shape import Shape
from glimpse_core.errors import GlimpseError
from glimpse_core.pruners.live import Live, Positions, drop, embeds_per_row, of_slots, vision_readings
from glimpse_core.pruners.method import Budgeted, Card
from glimpse_core.types import VisionReads

TINY = 1e-6


def scaled(relevance: Tensor) -> Tensor:
    """(n,) -> from just above 0 to 1; only the numerator gets the small constant, as in the authors' code."""
    low, high = relevance.min(), relevance.max()
    return (relevance - low + TINY) / (high - low).clamp(min=TINY)


def diverse(features: Tensor, relevance: Tensor, count: int) -> Tensor:
    """(n,) bool: greedy maximum of the determinant of diag(r) S diag(r), S the cosines of features (n, C).

    Fast greedy search over the rows of the kernel's factor; the kernel itself is never held. Where nothing is left to
    explain (more tokens than dimensions) the earliest remaining tokens are taken.
    """
    factor = functional.normalize(features.float(), dim=-1) * relevance.float()[:, None]  # kernel = factor @ factor.T
    gain = factor.square().sum(-1)
    mask = torch.zeros(len(factor), dtype=torch.bool, device=factor.device)
    if not len(factor):
        return mask
    floor = TINY * gain.max()
    found = factor.new_zeros(min(count, len(factor)), len(factor))
    for step in range(len(found)):
        pick = int(gain.masked_fill(mask, -torch.inf).argmax())
        mask[pick] = True
        if gain[pick] > floor:
            found[step] = (factor @ factor[pick] - found[:step, pick] @ found[:step]) / gain[pick].sqrt()
            gain = (gain - found[step].square()).clamp(min=0)
            gain[gain <= floor] = 0
    return mask


@dataclass(frozen=True)
class CDPrunerPruner(Budgeted):
    """relevance: "clip" is the authors': minus the cosine between patches and question in CLIP's common space (the
    sign is theirs). It needs `clip`, the folder of the CLIP model that the tower comes from, since a LLaVA folder has
    no text tower. "embeddings" is a variant for models without one, and not the authors': the cosine between the visual
    tokens and the question's words where they enter the decoder, averaged over words. None: "embeddings" where the
    vision tower never had a text tower (Qwen2.5-VL), else "clip".
    """

    relevance: Literal["clip", "embeddings"] | None = None
    clip: ClipText | str | None = None
    positions: Positions = "published"

    card: ClassVar[Card] = Card("CDPruner", "before the decoder", "NeurIPS 2025, arXiv 2506.10967", question=True)

    def __post_init__(self) -> None:
        super().__post_init__()
        contrastive = self.model.backbone.contrastive
        if self.kind == "clip" and not contrastive:
            raise GlimpseError(
                f"the vision tower of {self.model.backbone.hf.config.model_type} was not trained with a text tower, "
                'which relevance="clip" needs: choose relevance="embeddings", a variant that is not the authors\''
            )
        if self.kind == "clip" and self.clip is None:
            raise GlimpseError(
                "CDPruner needs CLIP's text tower, which is not in a LLaVA folder: pass clip=FOLDER of the CLIP model "
                'that the tower comes from, or choose relevance="embeddings", a variant that is not the authors\''
            )
        if self.kind not in ("clip", "embeddings"):
            raise GlimpseError(f"relevance is {self.relevance!r}: choose clip or embeddings")

    @property
    def kind(self) -> str:
        if self.relevance is not None:
            return self.relevance
        return "clip" if self.clip is not None or self.model.backbone.contrastive else "embeddings"

    def vision_reads(self) -> VisionReads:
        return VisionReads(states=(self.model.backbone.feature_block,)) if self.kind == "clip" else VisionReads()

    def shorten(self, live: Live) -> Live:
        rows = zip(embeds_per_row(live), self._relevance(live), self.budgets(live), strict=True)
        kept = [diverse(embeds, scaled(own) if len(own) else own, budget) for embeds, own, budget in rows]
        return drop(live, kept, positions=self.positions)

    def _relevance(self, live: Live) -> list[Tensor]:
        """Per row (n,)"""
        backbone, words = live.model.backbone, live.model.backbone.question(live.prompt)
        rows = list(zip(live.prompt.input_ids, words, strict=True))
        if self.kind == "embeddings":
            texts = [backbone.embed(ids[own]) for ids, own in rows]
            return [_cosines(image, text).mean(1) for image, text in zip(embeds_per_row(live), texts, strict=True)]
        if live.model.processor is None:
            raise GlimpseError("CDPruner reads the question as text, but the model's folder has no tokenizer: add it")
        clip = ClipText.load(self.clip, live.model.device) if isinstance(self.clip, str) else self.clip
        states = of_slots(live, vision_readings(live, self.vision_reads()).states[backbone.feature_block])
        questions = [live.model.processor.decode(ids[own].tolist()).strip() for ids, own in rows]
        pairs = zip(states, questions, strict=True)
        return [-_cosines(clip.patches(own), clip.words(question)).mean(1) for own, question in pairs]

    def plan(self, total: int) -> tuple[Drop, ...]:
        return (Drop(0, self.budget(total)),)

    def selector_flops(self, shape: Shape, prompt_length: int, total: int) -> int:
        """A row of the kernel and its correction per kept token, and the relevance, CLIP's text tower not counted."""
        kept, width = self.budget(total), shape.text.width
        return kept * flops.matmul(total, width + kept // 2, 1) + flops.matmul(prompt_length - total, width, total)


def _cosines(rows: Tensor, others: Tensor) -> Tensor:
    """(n, C), (m, C) -> (n, m) float32; one column of zeros where there is nothing to compare with."""
    if not len(others):
        return rows.new_zeros(len(rows), 1, dtype=torch.float32)
    return functional.normalize(rows.float(), dim=-1) @ functional.normalize(others.float(), dim=-1).T
