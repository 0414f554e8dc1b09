"""The learning rate over a run, as published for both trainings."""

from __future__ import annotations

import math


def learning_rate(progress: float, peak: float, warmup: float) -> float:
    """Return the learning rate: a linear warm-up, then a half cosine.

    Args:
        progress: share of the run that is done, 0..1.
        peak: largest learning rate.
        warmup: share of the run in which it is reached.
    """
    if progress < warmup:
        return peak * progress / warmup
    return peak * 0.5 * (1 + math.cos(math.pi * min(1.0, (progress - warmup) / max(1e-9, 1 - warmup))))
