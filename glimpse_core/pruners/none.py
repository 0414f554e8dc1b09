"""No pruning: every visual token stays. The control that must equal the base model."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

from glimpse_core.costs.schedule import Drop
from glimpse_core.pruners.live import Live, advance
from glimpse_core.pruners.method import Card, Method


@dataclass(frozen=True)
class NoPruner(Method):
    card: ClassVar[Card] = Card("all tokens", "nowhere", budgeted=False, control=True, baseline=True)

    def shorten(self, live: Live) -> Live:
        return advance(live, self.model.keep_depth)

    def plan(self, total: int) -> tuple[Drop, ...]:
        return ()
