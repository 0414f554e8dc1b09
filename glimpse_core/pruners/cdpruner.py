"""CDPruner: keep tokens that differ from each other and concern the question, by a determinantal point process."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar, Literal

import torch
from torch import Tensor
from torch.nn import functional

from glimpse_core.backbones.clip import ClipText
from glimpse_core.costs import flops
from glimpse_core.costs.shape import Shape
from glimpse_core.errors import GlimpseError
from glimpse_core.pruners.at_layer import BeforeDecoder
from glimpse_core.pruners.method import Card
from glimpse_core.pruners.state import Positions, PruningState, drop, embeds_per_row, gather_remaining, vision_readings
from glimpse_core.types import VisionReads

TINY = 1e-6


def scaled(relevance: Tensor) -> Tensor:
    """Scale (n,) values to 0 < x <= 1. Only the numerator gets the small constant, as in the authors' code."""
    low, high = relevance.min(), relevance.max()
    return (relevance - low + TINY) / (high - low).clamp(min=TINY)


def diverse(features: Tensor, relevance: Tensor, count: int) -> Tensor:
    """Choose rows greedily so that the determinant of their kernel diag(r) S diag(r) is as large as possible.

    S are the cosines of the features, r the relevance. Fast greedy search over the rows of the kernel's factor; the
    kernel itself is never held. Where nothing is left to explain (more tokens than dimensions) the earliest remaining
    tokens are taken.

    Args:
        features: (n, C).
        relevance: (n,), positive.
        count: rows to choose, at most n.

    Returns:
        (n,) bool with `count` places set.
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
class CDPrunerPruner(BeforeDecoder):
    """CDPruner: keep visual tokens that are diverse, given the question.

    A determinantal point process over the embeddings that enter the decoder, conditioned on each token's relevance for
    the question, is maximized greedily; tokens are dropped before the first layer.

    NeurIPS 2025: https://arxiv.org/abs/2506.10967

    Args:
        model: the model to prune for.
        ratio: share of a row's visual tokens that is kept, from 0 to 1. Default 0.1.
        count: number of visual tokens that is kept of every row, instead of a share. Default None.
        relevance: "clip" is the authors': minus the cosine between patches and question in CLIP's common space (the
            sign is theirs). "embeddings" is a variant for models without a text tower, and not the authors': the
            cosine between the visual tokens and the question's words where they enter the decoder, averaged over
            words. Default None: "embeddings" where the vision tower never had a text tower (Qwen2.5-VL) and no `clip`
            is given, else "clip".
        clip: the CLIP model that the vision tower comes from, or its folder: a LLaVA folder has no text tower. Needed
            for "clip". Default None.
        positions: "published" (default), "original" or "renumbered"; see `state.drop`.
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
                'relevance is "clip", but the vision tower of '
                f"{self.model.backbone.hf.config.model_type} was not trained with a text tower. Expected "
                'relevance="embeddings", a variant that is not the authors\'.'
            )
        if self.kind == "clip" and self.clip is None:
            raise GlimpseError(
                "CDPruner was given no CLIP text tower, and a LLaVA folder has none. Expected clip=FOLDER of the CLIP "
                'model that the vision tower comes from, or the variant relevance="embeddings", not the authors\'.'
            )
        if self.kind not in ("clip", "embeddings"):
            raise GlimpseError(f"relevance is {self.relevance!r}. Expected clip or embeddings.")

    @property
    def kind(self) -> str:
        """The relevance that is used, "clip" or "embeddings"."""
        if self.relevance is not None:
            return self.relevance
        return "clip" if self.clip is not None or self.model.backbone.contrastive else "embeddings"

    def vision_reads(self) -> VisionReads:
        """See `Method.vision_reads`: the states that CLIP compares with text; none without CLIP."""
        return VisionReads(states=(self.model.backbone.feature_block,)) if self.kind == "clip" else VisionReads()

    def shorten(self, state: PruningState) -> PruningState:
        rows = zip(embeds_per_row(state), self._relevance(state), self.budgets(state), strict=True)
        kept = [diverse(embeds, scaled(own) if len(own) else own, budget) for embeds, own, budget in rows]
        return drop(state, kept, positions=self.positions)

    def _relevance(self, state: PruningState) -> list[Tensor]:
        """The relevance of the tokens that are left, per row (n,)."""
        backbone, words = state.model.backbone, state.model.backbone.question(state.prompt)
        rows = list(zip(state.prompt.input_ids, words, strict=True))
        if self.kind != "clip" or self.clip is None:
            texts = [backbone.embed(ids[own]) for ids, own in rows]
            return [_cosines(image, text).mean(1) for image, text in zip(embeds_per_row(state), texts, strict=True)]
        processor = state.model.require_processor()
        clip = ClipText.load(self.clip, state.model.device) if isinstance(self.clip, str) else self.clip
        states = gather_remaining(state, vision_readings(state, self.vision_reads()).states[backbone.feature_block])
        questions = [processor.decode(ids[own].tolist()).strip() for ids, own in rows]
        pairs = zip(states, questions, strict=True)
        return [-_cosines(clip.patches(own), clip.words(question)).mean(1) for own, question in pairs]

    def selector_flops(self, shape: Shape, prompt_length: int, total: int) -> int:
        """A kernel row and its correction per kept token, and the relevance; CLIP's text tower is not counted."""
        kept, width = self.budget(total), shape.text.width
        return kept * flops.matmul(total, width + kept // 2, 1) + flops.matmul(prompt_length - total, width, total)


def _cosines(rows: Tensor, others: Tensor) -> Tensor:
    """Cosines of rows (n, C) and others (m, C), (n, m) float32; without others one column of zeros."""
    if not len(others):
        return rows.new_zeros(len(rows), 1, dtype=torch.float32)
    return functional.normalize(rows.float(), dim=-1) @ functional.normalize(others.float(), dim=-1).T
