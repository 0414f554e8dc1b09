"""The opposite of another method: keep what it drops. If what it keeps matters, this must hurt."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import ClassVar

from torch import Tensor

from glimpse_core.glimpse.model import GlimpseModel
from glimpse_core.pruners.at_layer import AtLayer
from glimpse_core.pruners.attention import AttentionPruner
from glimpse_core.pruners.glimpse import GlimpsePruner
from glimpse_core.pruners.method import Card, Method
from glimpse_core.pruners.state import PruningState
from glimpse_core.types import VisionReads


@dataclass(frozen=True)
class InversePruner(AtLayer):
    """Control: keep exactly the visual tokens that another method drops.

    Args:
        model: the model to prune for.
        of: the method whose choice among all tokens is turned around. Default None: GlimpsePrune with the settings of
            the checkpoint, or in a model without its modules attention at K with the share that is kept there.
        depth: layers that process every token. Default None: K + 1; see `AtLayer`.
        cache: "pruned" (default) or "untouched": caches of layers that have run; see `state.drop`.
        positions: "original" (default), "renumbered" or "published"; see `state.drop`.
    """

    of: Method | None = None

    card: ClassVar[Card] = Card(
        "inverse", "after layer K", question=True, budgeted=False, control=True, needs=("method",)
    )

    @property
    def first(self) -> Method:
        """The method whose choice is turned around."""
        if self.of is not None:
            return self.of
        if isinstance(self.model, GlimpseModel):
            return GlimpsePruner(self.model)
        return AttentionPruner(self.model, ratio=self.model.selection.max_ratio or 1.0)

    def conditions(self) -> tuple[int, ...]:
        return self.first.conditions()

    def vision_reads(self) -> VisionReads:
        return self.first.vision_reads()

    def choose(self, state: PruningState) -> Sequence[Tensor]:
        first = self.first(state.prompt, shared=state.shared)
        return [~mask[indices.to(mask.device)] for mask, indices in zip(first.kept, state.indices, strict=True)]

    def left(self, total: int) -> int:
        """See `AtLayer.left`: all, since the method may keep nothing."""
        return total
