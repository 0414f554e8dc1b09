"""Answers compared as texts: exact, relaxed, and ANLS."""

from __future__ import annotations

from collections.abc import Sequence

from glimpse_core.evaluation.metrics.base import Metric


class ExactMatch(Metric):
    """The whole answer, but for white space at both ends."""

    name = "exact"

    def score(self, question: str, answer: str, accepted: Sequence[str]) -> float:
        return float(answer.strip() in {text.strip() for text in accepted})


class RelaxedMatch(Metric):
    """Letter case, white space and a final period do not count: for answers of one or a few words, as in GQA."""

    name = "relaxed"

    def score(self, question: str, answer: str, accepted: Sequence[str]) -> float:
        return float(_plain(answer) in set(map(_plain, accepted)))


class Anls(Metric):
    """Average normalized Levenshtein similarity, the measure of DocVQA and InfographicVQA.

    1 - distance / length of the longer text, 0 where the distance is half of that length or more; the best of all
    accepted answers counts. Letter case and runs of white space do not.
    """

    name = "anls"
    limit = 0.5

    def score(self, question: str, answer: str, accepted: Sequence[str]) -> float:
        return max((self._similarity(_joined(answer), _joined(text)) for text in accepted), default=0.0)

    def _similarity(self, a: str, b: str) -> float:
        share = levenshtein(a, b) / max(len(a), len(b), 1)
        return 1.0 - share if share < self.limit else 0.0


def levenshtein(a: str, b: str) -> int:
    """Fewest insertions, deletions and replacements of characters that turn one text into the other."""
    row = list(range(len(b) + 1))
    for i, x in enumerate(a, 1):
        left = [i]
        for j, y in enumerate(b, 1):
            left.append(min(row[j] + 1, left[j - 1] + 1, row[j - 1] + (x != y)))
        row = left
    return row[-1]


def _joined(text: str) -> str:
    return " ".join(text.lower().split())


def _plain(text: str) -> str:
    return _joined(text).rstrip(".").rstrip()
