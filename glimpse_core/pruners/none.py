"""No pruning: every visual token stays. The control that must equal the base model."""

from __future__ import annotations

from dataclasses import dataclass

import torch

from glimpse_core.model import GlimpseModel
from glimpse_core.prefix import fork
from glimpse_core.pruners.base import plain_trunk
from glimpse_core.types import Prompt, Pruned, Vision


@dataclass(frozen=True)
class NoPruner:
    model: GlimpseModel

    def __call__(self, prompt: Prompt, vision: Vision | None = None) -> Pruned:
        trunk = plain_trunk(self.model, prompt, vision)
        kept = tuple(torch.ones(count, dtype=torch.bool) for count in self.model.backbone.tokens_per_row(prompt))
        return Pruned(trunk, fork(trunk), kept, None)
