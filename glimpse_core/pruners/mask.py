"""Given masks, dropped at layer K: hand-painted ones, boxes of an oracle, anything."""

from __future__ import annotations

from dataclasses import dataclass

from torch import Tensor

from glimpse_core.errors import GlimpseError
from glimpse_core.model import GlimpseModel
from glimpse_core.pruners.base import cut, plain_trunk
from glimpse_core.types import Prompt, Pruned, Vision


@dataclass(frozen=True)
class MaskPruner:
    """masks: one (N_b,) bool per row."""

    model: GlimpseModel
    masks: tuple[Tensor, ...] = ()

    def __call__(self, prompt: Prompt, vision: Vision | None = None) -> Pruned:
        counts = self.model.backbone.tokens_per_row(prompt)
        if [len(mask) for mask in self.masks] != counts:
            raise GlimpseError(
                f"the masks have {[len(mask) for mask in self.masks]} entries, but the prompt has {counts} "
                "visual tokens: give one mask per row"
            )
        return cut(self.model, prompt, plain_trunk(self.model, prompt, vision), self.masks)
