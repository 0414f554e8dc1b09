"""Values from the browser, checked. They can be anything; what passes is safe to hand to the engine."""

from __future__ import annotations

import json
import math
from dataclasses import dataclass, field
from typing import Any

from glimpse_core.errors import GlimpseError
from glimpse_core.glimpse.selection import ANCHORS
from glimpse_core.types import Sampling, Selection
from glimpse_core.ui import texts

MAX_QUESTION = 2000  # characters
MAX_ANSWER = 256  # tokens
MAX_HAND = 1_000_000  # characters of JSON: every token of a very large picture, painted one by one
CONTROLS = ("", "random", "inverse")


@dataclass(frozen=True)
class Hand:
    """What a person did to the selection. strokes: token -> keep (True) or drop, painted one by one.

    control: "random" takes as many random tokens (with `seed`) as would be kept, "inverse" exactly the others.
    """

    strokes: dict[int, bool] = field(default_factory=dict)
    control: str = ""
    seed: int = 0


@dataclass(frozen=True)
class Wish:
    """How a visitor wants to be answered."""

    selection: Selection
    sampling: Sampling
    hand: Hand = Hand()


def read_wish(
    threshold: Any, share: Any, floor: Any, length: Any, anchors: Any = (), hand: Any = None, pictures: int = 1
) -> Wish:
    """The page's controls, in their order. Raises GlimpseError that names the first one that cannot be."""
    selection = read_selection(threshold, share, floor, anchors)
    if selection.anchors and pictures > 1:
        raise GlimpseError("Corners are kept for one picture only. Clear “Always keep” or ask about one picture.")
    return Wish(selection, read_sampling(length), read_hand(hand))


def read_selection(threshold: Any, share: Any, floor: Any, anchors: Any = ()) -> Selection:
    """The selection from the page's controls. share: percent of the tokens kept at most; 100 means no cap."""
    percent = number(share, "“Keep at most”", 0, 100)
    corners = list(anchors) if isinstance(anchors, (list, tuple)) else [anchors]
    for name in corners:
        if name not in ANCHORS:
            raise GlimpseError(f"“Always keep” is {str(name)[:40]!r}; wanted were corners: {', '.join(ANCHORS)}.")
    return Selection(
        threshold=float(number(threshold, "The threshold", 0, 1)),
        max_ratio=None if percent >= 100 else percent / 100,
        min_tokens=int(number(floor, "“Keep at least”", 0, 100_000)),
        anchors=tuple(name for name in ANCHORS if name in corners),
    )


def read_sampling(length: Any) -> Sampling:
    """Greedy decoding of at most `length` tokens."""
    return Sampling(max_new_tokens=int(number(length, "“Longest answer”", 1, MAX_ANSWER)))


def read_hand(text: Any) -> Hand:
    """The canvas' own JSON: {"keep": [token, ...], "drop": [...], "control": "", "seed": 0}; nothing is no hand."""
    if text in (None, ""):
        return Hand()
    wrong = GlimpseError("The painted tokens could not be read: reload the page and paint again.")
    if not isinstance(text, str) or len(text) > MAX_HAND:
        raise wrong
    try:
        said = json.loads(text)
        keep, drop = said.get("keep", []), said.get("drop", [])
        control, seed = said.get("control", ""), said.get("seed", 0)
        valid = control in CONTROLS and all(_count(token) for token in [*keep, *drop, seed])
    except (ValueError, TypeError, AttributeError, RecursionError):
        raise wrong from None
    if not valid:
        raise wrong
    return Hand({token: True for token in keep} | {token: False for token in drop}, control, seed)


def read_question(question: Any) -> str:
    """The question without surrounding space. Raises GlimpseError if there is none or too much of it."""
    text = question.strip() if isinstance(question, str) else ""
    text = text.encode("utf-8", "replace").decode("utf-8")  # half a character cannot be tokenized
    if not text:
        raise GlimpseError(texts.NO_QUESTION)
    if len(text) > MAX_QUESTION:
        raise GlimpseError(
            f"The question has {len(text):,} characters; at most {MAX_QUESTION:,} are taken. Please shorten it."
        )
    return text


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


def _count(value: Any) -> bool:
    return isinstance(value, int) and not isinstance(value, bool) and 0 <= value < 2**31
