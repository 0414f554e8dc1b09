"""Yes/no questions, as POPE scores them: free answers are read as yes unless they deny."""

from __future__ import annotations

from collections.abc import Sequence

from glimpse_core.evaluation.metrics.base import Metric

DENIALS = frozenset(("no", "not"))


def says_yes(answer: str) -> bool:
    """Read an answer by POPE's rule: in the first sentence, the words "no" or "not" deny; everything else affirms."""
    sentence = answer.split(".")[0].replace(",", "")
    return not DENIALS & set(sentence.lower().split())


class YesNo(Metric):
    """Accuracy per question; F1 and its parts, with yes as the positive class, over all of them."""

    name = "yes_no"

    def score(self, question: str, answer: str, accepted: Sequence[str]) -> float:
        return float(says_yes(answer) == says_yes(accepted[0]))

    def overall(self, answers: Sequence[str], accepted: Sequence[Sequence[str]]) -> dict[str, float | None]:
        """Return precision, recall, F1 and the share of yes; None where there is nothing to divide by."""
        given = [says_yes(answer) for answer in answers]
        true = [says_yes(texts[0]) for texts in accepted]
        hits = sum(a and b for a, b in zip(given, true, strict=True))
        return {
            "precision": _share(hits, sum(given)),
            "recall": _share(hits, sum(true)),
            "f1": _share(2 * hits, sum(given) + sum(true)),
            "yes_share": _share(sum(given), len(given)),
        }


def _share(part: int, whole: int) -> float | None:
    return part / whole if whole else None
