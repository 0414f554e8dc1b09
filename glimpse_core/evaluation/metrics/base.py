"""What a metric is: a score from 0 to 1 for each answer, and what only all answers together can say."""

from __future__ import annotations

from abc import ABC
from collections.abc import Sequence
from typing import Any, ClassVar


class Metric(ABC):
    """`score` compares one answer with what is accepted. `overall` adds figures that are no mean of scores."""

    name: ClassVar[str]

    def score(self, question: str, answer: str, accepted: Sequence[str]) -> float:
        raise NotImplementedError

    def overall(self, answers: Sequence[str], accepted: Sequence[Sequence[str]]) -> dict[str, float | None]:
        return {}

    def settings(self) -> dict[str, Any]:
        """What tells two metrics of this class apart; part of what a run must agree on to be resumed."""
        return {"metric": self.name}
