"""The opposite of another pruner: keep what it drops. If what is kept matters, this must hurt."""

from __future__ import annotations

from dataclasses import dataclass

from glimpse_core.model import GlimpseModel
from glimpse_core.pruners.base import Pruner, cut
from glimpse_core.pruners.glimpse import GlimpsePruner
from glimpse_core.types import Prompt, Pruned, Vision


@dataclass(frozen=True)
class InversePruner:
    """of: whose choice is turned around; None: GlimpsePrune with the checkpoint's settings."""

    model: GlimpseModel
    of: Pruner | None = None

    def __call__(self, prompt: Prompt, vision: Vision | None = None) -> Pruned:
        first = (self.of or GlimpsePruner(self.model))(prompt, vision)
        return cut(self.model, prompt, first.trunk, tuple(~mask for mask in first.kept), first.scores)
