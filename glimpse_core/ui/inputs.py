"""Values from the browser, checked. They can be anything; what passes is safe to hand to the engine."""

from __future__ import annotations

import math
from typing import Any

from glimpse_core.errors import GlimpseError
from glimpse_core.types import Sampling, Selection
from glimpse_core.ui import texts

MAX_QUESTION = 2000  # characters
MAX_ANSWER = 256  # tokens


def number(value: Any, name: str, low: float, high: float) -> float:
    """The value, if it is a number in this range. Raises GlimpseError that names it otherwise."""
    ok = (
        isinstance(value, (int, float))
        and not isinstance(value, bool)
        and math.isfinite(value)
        and low <= value <= high
    )
    if not ok:
        raise GlimpseError(f"{name} is {str(value)[:40]!r}; wanted was a number from {low:g} to {high:g}.")
    return value


def read_selection(threshold: Any, share: Any, floor: Any) -> Selection:
    """The selection from the page's controls. share: percent of the tokens kept at most; 100 means no cap."""
    percent = number(share, "“Keep at most”", 0, 100)
    return Selection(
        threshold=float(number(threshold, "The threshold", 0, 1)),
        max_ratio=None if percent >= 100 else percent / 100,
        min_tokens=int(number(floor, "“Keep at least”", 0, 100_000)),
    )


def read_sampling(length: Any) -> Sampling:
    """Greedy decoding of at most `length` tokens."""
    return Sampling(max_new_tokens=int(number(length, "“Longest answer”", 1, MAX_ANSWER)))


def read_question(question: Any) -> str:
    """The question without surrounding space. Raises GlimpseError if there is none or too much of it."""
    text = question.strip() if isinstance(question, str) else ""
    if not text:
        raise GlimpseError(texts.NO_QUESTION)
    if len(text) > MAX_QUESTION:
        raise GlimpseError(
            f"The question has {len(text):,} characters; at most {MAX_QUESTION:,} are taken. Please shorten it."
        )
    return text
