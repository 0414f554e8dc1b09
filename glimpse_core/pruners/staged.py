"""The base class of methods that drop visual tokens at several layers (PyramidDrop, V2Drop)."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import ClassVar

from torch import Tensor

from glimpse_core.costs.schedule import Cache, Drop
from glimpse_core.errors import GlimpseError
from glimpse_core.glimpse.selection import top_mask
from glimpse_core.pruners.method import Budgeted, check_depth
from glimpse_core.pruners.state import Positions, PruningState, drop


@dataclass(frozen=True)
class Staged(Budgeted):
    """Base class: rank the visual tokens that are left before each of some layers, and drop the lowest.

    A subclass writes `usual`, `counts` and `scored`.

    Args:
        model: the model to prune for.
        ratio: share of a row's visual tokens that is left after the last stage, from 0 to 1.
        count: the same as a number of visual tokens of every row. Default None.
        layers: tokens are dropped before each of them, counted from 0, ascending. Default None: those of the method.
        shares: shares of all visual tokens that the stages leave, one per stage; the last stage leaves the budget.
            Default None: those of the method.
        cache: "untouched" (default) or "pruned": caches of layers that have run; see `state.drop`.
        positions: "published" (default), "original" or "renumbered"; see `state.drop`.
    """

    layers: tuple[int, ...] | None = None
    shares: tuple[float, ...] | None = None
    cache: Cache = "untouched"
    positions: Positions = "published"

    least: ClassVar[int] = 0  # the first layer before which the method can rank tokens

    def __post_init__(self) -> None:
        super().__post_init__()
        if not self.stages or list(self.stages) != sorted(set(self.stages)):
            raise GlimpseError(f"layers is {self.layers!r}. Expected at least one, each deeper than the one before.")
        for layer in self.stages:
            check_depth("layers", layer, self.model, self.least)
        if self.stages[-1] >= self.model.backbone.layers:
            raise GlimpseError(
                f"layers is {self.layers!r}. Expected layers below {self.model.backbone.layers}, since after the last "
                "one no layer is left that could run on fewer tokens."
            )
        if self.shares is not None and (
            len(self.shares) != len(self.stages) or not all(0 <= share <= 1 for share in self.shares)
        ):
            raise GlimpseError(
                f"shares is {self.shares!r}. Expected one number from 0 to 1 for each of the stages {self.stages}."
            )

    @property
    def usual(self) -> tuple[int, ...]:
        """The layers where the method drops in a model of this depth, if `layers` says nothing."""
        raise NotImplementedError

    @property
    def stages(self) -> tuple[int, ...]:
        """The layers before which tokens are dropped."""
        return self.usual if self.layers is None else self.layers

    def counts(self, total: int) -> list[int]:
        """Visual tokens that every stage leaves of a row with `total` of them."""
        raise NotImplementedError

    def scored(self, state: PruningState, layer: int) -> tuple[PruningState, Sequence[Tensor]]:
        """Run the layers before `layer`. Returns the state there, and per row (n,) the scores to rank by."""
        raise NotImplementedError

    def shorten(self, state: PruningState) -> PruningState:
        plans = [self.counts(total) for total in state.totals]
        for stage, layer in enumerate(self.stages):
            state, scores = self.scored(state, layer)
            rows = zip(scores, plans, strict=True)
            kept = [top_mask(own, min(plan[stage], len(own))) for own, plan in rows]
            state = drop(state, kept, cache=self.cache, positions=self.positions)
        return state

    def plan(self, total: int) -> tuple[Drop, ...]:
        """See `Method.plan`: one drop per stage."""
        pairs = zip(self.stages, self.counts(total), strict=True)
        return tuple(Drop(layer, left, self.cache) for layer, left in pairs)
