"""From images with questions to pruned prompts: which visual tokens a rollout keeps."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Literal

import torch
from torch import Tensor

from glimpse_core.datasets.examples import Example, ImageExamples, Source
from glimpse_core.errors import GlimpseError
from glimpse_core.glimpse.boxes import box_mask
from glimpse_core.glimpse.look import look
from glimpse_core.glimpse.model import GlimpseModel, LoadedModel, require_glimpse
from glimpse_core.glimpse.selection import select
from glimpse_core.models.adapter import Adapter
from glimpse_core.training.plus.pruned import Question
from glimpse_core.types import Prompt, Vision

Mask = Literal["boxes", "glimpse", "full"]
CAP = 0.111  # of the published second version


@dataclass(frozen=True)
class Asked:
    """A question about an image, ready to be answered. example: the question. question: its prompt and kept tokens."""

    example: Example
    question: Question

    @property
    def kept_share(self) -> float:
        """Share of the visual tokens that are kept."""
        return float(self.question.kept.float().mean())


@dataclass(frozen=True)
class Prompts:
    """Prompts of a source, by index.

    Attributes:
        model: the base model with the adapter inside; its own weights are frozen.
        adapter: disabled while tokens are chosen.
        source: images with questions, one question each.
        mask: "boxes": the tokens under the evidence boxes, and those of the predictor where a question has none;
            "glimpse": those of the predictor; "full": all.
        depth: decoder layers that process every token, K + 1.
        cap: largest share of the tokens that the predictor keeps.
    """

    model: LoadedModel
    adapter: Adapter
    source: Source
    mask: Mask
    depth: int
    cap: float | None = CAP

    def read(self, index: int) -> ImageExamples:
        """Return one image with its question."""
        found = self.source.read(index)
        if not found.examples:
            raise GlimpseError(f"Entry {index} of the data has no question. Expected one: leave the image out.")
        return found

    @torch.no_grad()
    def ask(self, image: ImageExamples) -> Asked:
        """Make the prompt of the first question about an image, encode the image and choose its tokens.

        Raises:
            GlimpseError: the question has no boxes, and the model has no predictor.
        """
        example, model = image.examples[0], self.model
        prompt = model.require_processor().prompt(model.backbone, [image.image], example.question)
        chosen = self.mask if self.mask != "boxes" or example.boxes else "glimpse"
        layers = model.config.vision_layers if isinstance(model, GlimpseModel) and chosen == "glimpse" else ()
        vision = model.backbone.encode_images(prompt, layers)
        (grid,) = prompt.grids
        if chosen == "full":
            kept = torch.ones(grid.tokens, dtype=torch.bool)
        elif chosen == "boxes":
            kept = box_mask(example.boxes, grid)
        else:
            kept = self._predicted(prompt, vision)
        return Asked(example, Question(prompt, vision, kept.to(model.device), self.depth))

    def _predicted(self, prompt: Prompt, vision: Vision) -> Tensor:
        if not isinstance(self.model, GlimpseModel) and self.mask == "boxes":
            raise GlimpseError(
                "A question has no boxes, and the model has no predictor to choose tokens for it. Expected one of "
                "both: leave the question out, or give --glimpse."
            )
        model = require_glimpse(self.model)
        with self.adapter.disabled():
            _, scores = look(model, prompt, vision)
        selection = replace(model.config.selection, threshold=0.5, max_ratio=self.cap)
        return select(scores.logits[0][-1].float().cpu(), selection, prompt.grids[0]).mask
