"""From answered questions to the numbers that are published. Pure Python: no model, no torch.

What is counted, and how the awkward cases are treated:

* Accuracy is exact match of the whole answer after stripping white space at both ends; every question counts once.
* `kept_share` is kept / visual tokens of a question; `evidence_share` the same for the tokens under the evidence boxes.
* `evidence_recall` is the share of evidence tokens that are kept, averaged over the questions that have evidence.
* A question without evidence ("is there a star?" where there is none) has nothing to drop: its `evidence_dropped`
  answer is the full one. It stays in `accuracy`, which makes the fall smaller than it would be without such questions;
  `with_evidence` gives the same five accuracies over the others alone. Its `oracle_boxes` answer is given with no
  visual token left.
* `rank_correlation` is Spearman's, over all questions, between the numbers of evidence tokens and of kept tokens.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Collection, Iterable, Sequence
from dataclasses import dataclass
from typing import Any

VARIANTS = ("full", "pruned", "random_same_budget", "oracle_boxes", "evidence_dropped")


@dataclass(frozen=True)
class Outcome:
    """One question, answered in every variant. Token counts are visual tokens; `answers` is by name of the variant."""

    index: int
    seed: int  # of the scene
    type: str
    question: str
    expected: str
    prompt_length: int
    visual: int
    evidence: int
    kept: int
    evidence_kept: int
    answers: dict[str, str]

    def correct(self, variant: str) -> bool:
        return self.answers[variant].strip() == self.expected.strip()

    @property
    def kept_share(self) -> float:
        return self.kept / self.visual

    @property
    def evidence_share(self) -> float:
        return self.evidence / self.visual


def summary(outcomes: Sequence[Outcome], one_object_types: Collection[str]) -> dict[str, Any]:
    """Everything that `evaluate` reports about the questions. At least one outcome is needed."""
    if not outcomes:
        raise ValueError("there is nothing to summarize: no question was answered")
    with_evidence = [outcome for outcome in outcomes if outcome.evidence]
    one_object = [outcome for outcome in outcomes if outcome.type in one_object_types]
    by_type = {kind: [o for o in outcomes if o.type == kind] for kind in sorted({o.type for o in outcomes})}
    return {
        "count": len(outcomes),
        "accuracy": accuracies(outcomes),
        "kept_share": spread(outcome.kept_share for outcome in outcomes),
        "evidence_share": _mean(outcomes, lambda outcome: outcome.evidence_share),
        "evidence_recall": recall(outcomes),
        "rank_correlation": spearman([o.evidence for o in outcomes], [o.kept for o in outcomes]),
        "agreement_with_full": _mean(outcomes, lambda o: o.answers["pruned"].strip() == o.answers["full"].strip()),
        "with_evidence": {"count": len(with_evidence)} | accuracies(with_evidence),
        "one_object": group(one_object),
        "by_type": {kind: group(members) for kind, members in by_type.items()},
    }


def group(outcomes: Sequence[Outcome]) -> dict[str, Any]:
    """One row of a table: accuracies of all variants, shares and recall of these questions."""
    shares = spread(outcome.kept_share for outcome in outcomes)
    return {
        "count": len(outcomes),
        **accuracies(outcomes),
        "kept_share": shares["mean"],
        "kept_share_quartiles": [shares["q25"], shares["median"], shares["q75"]],
        "evidence_share": _mean(outcomes, lambda outcome: outcome.evidence_share),
        "evidence_recall": recall(outcomes),
    }


def accuracies(outcomes: Sequence[Outcome]) -> dict[str, float | None]:
    return {variant: _mean(outcomes, lambda outcome, v=variant: outcome.correct(v)) for variant in VARIANTS}


def recall(outcomes: Iterable[Outcome]) -> float | None:
    """Share of the evidence tokens that are kept, averaged over questions that have some. None without any."""
    return _mean([o for o in outcomes if o.evidence], lambda outcome: outcome.evidence_kept / outcome.evidence)


def spread(values: Iterable[float]) -> dict[str, float | None]:
    """Mean and quartiles (linear interpolation between neighbors). None where there are no values."""
    ordered = sorted(values)
    if not ordered:
        return dict.fromkeys(("mean", "q25", "median", "q75"))
    quartiles = {name: quantile(ordered, share) for name, share in (("q25", 0.25), ("median", 0.5), ("q75", 0.75))}
    return {"mean": math.fsum(ordered) / len(ordered)} | quartiles


def quantile(ordered: Sequence[float], share: float) -> float:
    """The value below which `share` of the sorted values lie, interpolated linearly."""
    place = share * (len(ordered) - 1)
    low = math.floor(place)
    high = min(low + 1, len(ordered) - 1)
    return ordered[low] + (place - low) * (ordered[high] - ordered[low])


def ranks(values: Sequence[float]) -> list[float]:
    """Ranks from 1; equal values share the mean of the ranks that they take up."""
    order = sorted(range(len(values)), key=values.__getitem__)
    ranked = [0.0] * len(values)
    start = 0
    while start < len(order):
        stop = start
        while stop < len(order) and values[order[stop]] == values[order[start]]:
            stop += 1
        for place in order[start:stop]:
            ranked[place] = (start + 1 + stop) / 2
        start = stop
    return ranked


def spearman(first: Sequence[float], second: Sequence[float]) -> float | None:
    """Spearman's rank correlation, ties averaged: Pearson's of the ranks. None if one side does not vary."""
    if len(first) != len(second):
        raise ValueError(f"{len(first)} values against {len(second)}")
    a, b = _centered(ranks(first)), _centered(ranks(second))
    scale = math.sqrt(math.fsum(x * x for x in a) * math.fsum(y * y for y in b))
    return math.fsum(x * y for x, y in zip(a, b, strict=True)) / scale if scale else None


def _centered(values: Sequence[float]) -> list[float]:
    center = math.fsum(values) / len(values) if values else 0.0
    return [value - center for value in values]


def _mean(outcomes: Sequence[Outcome], value: Callable[[Outcome], float]) -> float | None:
    return math.fsum(map(value, outcomes)) / len(outcomes) if outcomes else None
