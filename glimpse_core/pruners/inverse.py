"""The opposite of another pruner: keep what it drops. If what is kept matters, this must hurt."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import ClassVar

from torch import Tensor

from glimpse_core.pruners.at_layer import AtLayer
from glimpse_core.pruners.glimpse import GlimpsePruner
from glimpse_core.pruners.live import Live
from glimpse_core.pruners.method import Card, Method
from glimpse_core.types import VisionReads


@dataclass(frozen=True)
class InversePruner(AtLayer):
    """of: whose choice is turned around; None: GlimpsePrune with the checkpoint's settings."""

    of: Method | None = None

    card: ClassVar[Card] = Card(
        "inverse", "behind layer K", question=True, budgeted=False, control=True, needs=("method",)
    )

    @property
    def first(self) -> Method:
        return self.of or GlimpsePruner(self.model)

    def conditions(self) -> tuple[int, ...]:
        return self.first.conditions()

    def vision_reads(self) -> VisionReads:
        return self.first.vision_reads()

    def choose(self, live: Live) -> Sequence[Tensor]:
        first = self.first(live.prompt, live.vision, live.shared)
        return [~mask[slots.to(mask.device)] for mask, slots in zip(first.kept, live.slots, strict=True)]

    def left(self, total: int) -> int:
        return total
