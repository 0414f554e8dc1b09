"""GlimpsePrune: a glimpse token looks once, a small predictor scores every visual token, and the rest is dropped."""

from __future__ import annotations

from dataclasses import dataclass

from torch import Tensor

from glimpse_core.glimpse import look, reference_scores
from glimpse_core.model import GlimpseModel
from glimpse_core.prefix import fork
from glimpse_core.pruners.base import cut, plain_trunk
from glimpse_core.select import select
from glimpse_core.sharing import once
from glimpse_core.types import Prompt, Pruned, Selection, Vision


@dataclass(frozen=True)
class GlimpsePruner:
    """selection: None takes what the checkpoint was published with.

    references: one (N_b,) bool mask per row, needed only by checkpoints that let given masks decide (`use_ref_masks`).
    """

    model: GlimpseModel
    selection: Selection | None = None
    references: tuple[Tensor, ...] | None = None

    def __call__(self, prompt: Prompt, vision: Vision | None = None) -> Pruned:
        model, config = self.model, self.model.config
        vision = vision or model.backbone.see(prompt, config.vision_layers)
        if config.masks == "reference":
            trunk, scores = plain_trunk(model, prompt, vision), reference_scores(model, prompt, self.references)
        else:
            trunk, scores = once("look", (model, prompt, vision), lambda: look(model, prompt, vision))
        selection = self.selection or config.selection
        ties = "position" if config.masks == "vip" else "topk"
        kept = []
        for logits, grids in zip(scores.logits, model.backbone.grids_per_row(prompt), strict=True):
            kept.append(select(logits[-1], selection, grids[0] if len(grids) == 1 else None, ties).mask)
        return cut(model, prompt, fork(trunk), tuple(kept), scores)
