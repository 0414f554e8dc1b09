"""Metrics by name. The judge needs an address and is made where those are known."""

from __future__ import annotations

from glimpse_core.evaluation.metrics.base import Metric
from glimpse_core.evaluation.metrics.judge import Judge
from glimpse_core.evaluation.metrics.text import Anls, ExactMatch, RelaxedMatch
from glimpse_core.evaluation.metrics.vqa import VqaAccuracy
from glimpse_core.evaluation.metrics.yes_no import YesNo

__all__ = ["METRICS", "Judge", "Metric"]

METRICS: dict[str, type[Metric]] = {
    metric.name: metric for metric in (ExactMatch, RelaxedMatch, Anls, VqaAccuracy, YesNo)
}
