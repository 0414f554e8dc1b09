"""Random tokens, dropped at the same layer: what a score has to beat at the same budget."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor

from glimpse_core.model import GlimpseModel
from glimpse_core.pruners.base import cut, plain_trunk
from glimpse_core.types import Prompt, Pruned, Vision


def random_mask(tokens: int, count: int, seed: int = 0) -> Tensor:
    """(tokens,) bool with `count` (at most `tokens`) places set, the same ones for the same seed."""
    mask = torch.zeros(tokens, dtype=torch.bool)
    mask[torch.randperm(tokens, generator=torch.Generator().manual_seed(seed))[: max(count, 0)]] = True
    return mask


@dataclass(frozen=True)
class RandomPruner:
    """Keep `ratio` of every row's tokens, rounded to the nearest count."""

    model: GlimpseModel
    ratio: float = 0.1
    seed: int = 0

    def __call__(self, prompt: Prompt, vision: Vision | None = None) -> Pruned:
        counts = self.model.backbone.tokens_per_row(prompt)
        kept = tuple(random_mask(count, round(self.ratio * count), self.seed + row) for row, count in enumerate(counts))
        return cut(self.model, prompt, plain_trunk(self.model, prompt, vision), kept)
