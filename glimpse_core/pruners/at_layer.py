"""Base classes of what drops tokens once, at one depth: controls that do not look at the model, and early methods."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from torch import Tensor

from glimpse_core.costs.schedule import Cache, Drop
from glimpse_core.pruners.live import Live, Positions, advance, drop
from glimpse_core.pruners.method import Budgeted, Method, check_depth


@dataclass(frozen=True, kw_only=True)
class AtLayer(Method):
    """depth: layers that see every token; None: as many as with GlimpsePrune (K + 1). cache, positions: `live.drop`."""

    depth: int | None = None
    cache: Cache = "pruned"
    positions: Positions = "original"

    def __post_init__(self) -> None:
        super().__post_init__()
        if self.depth is not None:
            check_depth("depth", self.depth, self.model, 0)

    @property
    def layer(self) -> int:
        return self.model.keep_depth if self.depth is None else self.depth

    def choose(self, live: Live) -> Sequence[Tensor]:
        """One (n,) bool per row."""
        raise NotImplementedError

    def left(self, total: int) -> int:
        raise NotImplementedError

    def shorten(self, live: Live) -> Live:
        return drop(advance(live, self.layer), self.choose(live), cache=self.cache, positions=self.positions)

    def plan(self, total: int) -> tuple[Drop, ...]:
        return (Drop(self.layer, self.left(total), self.cache),)


@dataclass(frozen=True)
class Early(Budgeted):
    """layer: K, the tokens are dropped before it. The authors leave the caches of the first K layers as they are, and
    all positions, too.
    """

    layer: int = 2
    cache: Cache = "untouched"
    positions: Positions = "original"

    def __post_init__(self) -> None:
        super().__post_init__()
        check_depth("layer", self.depth, self.model, 1)

    @property
    def depth(self) -> int:
        return self.layer

    def plan(self, total: int) -> tuple[Drop, ...]:
        return (Drop(self.depth, self.budget(total), self.cache),)
