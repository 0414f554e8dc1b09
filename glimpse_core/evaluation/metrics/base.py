"""What a metric is: a score from 0 to 1 for each answer, and what only all answers together can say."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Sequence
from typing import Any, ClassVar


class Metric(ABC):
    """Compares answers with what is accepted."""

    name: ClassVar[str]

    @abstractmethod
    def score(self, question: str, answer: str, accepted: Sequence[str]) -> float:
        """Return how right one answer is, from 0 to 1."""

    def overall(self, answers: Sequence[str], accepted: Sequence[Sequence[str]]) -> dict[str, float | None]:
        """Return figures of all answers together that are no mean of scores, by name."""
        return {}

    def settings(self) -> dict[str, Any]:
        """Return what tells two metrics of this class apart; a run can be resumed only with equal settings."""
        return {"metric": self.name}
