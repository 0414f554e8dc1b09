"""No pruning: every visual token is kept. The control whose answers must equal those of the base model."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

from glimpse_core.costs.schedule import Drop
from glimpse_core.pruners.method import Card, Method
from glimpse_core.pruners.state import PruningState, advance


@dataclass(frozen=True)
class NoPruner(Method):
    """Control: keep every visual token.

    The result is stopped where GlimpsePrune drops tokens, so that the same work follows.

    Args:
        model: the model whose prompts are left as they are.
    """

    card: ClassVar[Card] = Card("all tokens", "nowhere", budgeted=False, control=True, baseline=True)

    def shorten(self, state: PruningState) -> PruningState:
        return advance(state, self.model.shared_depth)

    def plan(self, total: int) -> tuple[Drop, ...]:
        return ()
