"""Base classes of methods that drop tokens once, at one depth: controls, early in the decoder, before it."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from torch import Tensor

from glimpse_core.costs.schedule import Cache, Drop
from glimpse_core.pruners.method import Budgeted, Method, check_depth
from glimpse_core.pruners.state import Positions, PruningState, advance, drop


@dataclass(frozen=True, kw_only=True)
class AtLayer(Method):
    """Base class of controls: run some layers with every token, then drop. A subclass writes `choose` and `left`.

    Args:
        model: the model to prune for.
        depth: layers that process every token. Default None: as many as with GlimpsePrune (K + 1).
        cache: "pruned" (default) or "untouched": caches of layers that have run; see `state.drop`.
        positions: "original" (default), "renumbered" or "published"; see `state.drop`.
    """

    depth: int | None = None
    cache: Cache = "pruned"
    positions: Positions = "original"

    def __post_init__(self) -> None:
        super().__post_init__()
        if self.depth is not None:
            check_depth("depth", self.depth, self.model, 0)

    @property
    def layer(self) -> int:
        """The number of layers that process every token."""
        return self.model.shared_depth if self.depth is None else self.depth

    def choose(self, state: PruningState) -> Sequence[Tensor]:
        """The tokens to keep: one (n,) bool per row."""
        raise NotImplementedError

    def left(self, total: int) -> int:
        """The most tokens that are left of a row with `total` visual tokens."""
        raise NotImplementedError

    def shorten(self, state: PruningState) -> PruningState:
        state = advance(state, self.layer)
        return drop(state, self.choose(state), cache=self.cache, positions=self.positions)

    def plan(self, total: int) -> tuple[Drop, ...]:
        """See `Method.plan`: one drop, after which at most `left` tokens are left."""
        return (Drop(self.layer, self.left(total), self.cache),)


@dataclass(frozen=True)
class Early(Budgeted):
    """Base class of methods that drop after a few layers (FastV, DART).

    Args:
        model: the model to prune for.
        ratio: share of a row's visual tokens that is kept, from 0 to 1. Default 0.1.
        count: number of visual tokens that is kept of every row, instead of a share. Default None.
        layer: tokens are dropped before this layer, counted from 0. Default 2, as published.
        cache: "untouched" (default, as published) leaves every token in the caches of the layers that have run;
            "pruned" drops them there, too; see `state.drop`.
        positions: "original" (default, as published), "renumbered" or "published"; see `state.drop`.
    """

    layer: int | None = 2
    cache: Cache = "untouched"
    positions: Positions = "original"

    def __post_init__(self) -> None:
        super().__post_init__()
        check_depth("layer", self.depth, self.model, 1)

    @property
    def depth(self) -> int:
        """The number of layers that process every token."""
        return 2 if self.layer is None else self.layer

    def plan(self, total: int) -> tuple[Drop, ...]:
        """See `Method.plan`: one drop before `layer`, in caches as `cache` says."""
        return (Drop(self.depth, self.budget(total), self.cache),)


@dataclass(frozen=True)
class BeforeDecoder(Budgeted):
    """Base class of methods that choose before the decoder (DivPrune, VisionZip): no layer runs on dropped tokens.

    Args:
        model: the model to prune for.
        ratio: share of a row's visual tokens that is kept, from 0 to 1. Default 0.1.
        count: number of visual tokens that is kept of every row, instead of a share. Default None.
    """

    def plan(self, total: int) -> tuple[Drop, ...]:
        """See `Method.plan`: one drop before the first layer."""
        return (Drop(0, self.budget(total)),)
