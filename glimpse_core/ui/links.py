"""Permanent links: example, question and settings as query parameters, and back. What comes back is checked.

`?ex=3&q=Where+is+the+hat%3F&t=0.4&most=25&least=4&length=64`; whatever is left out keeps its default. Examples are
counted from 1. Pictures that a visitor added are on no link: they are not kept.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any
from urllib.parse import urlencode

from glimpse_core.errors import GlimpseError
from glimpse_core.ui.inputs import MAX_ANSWER, number, read_question

MAX_FLOOR = 64  # tokens; the slider's end


@dataclass(frozen=True)
class Link:
    """What a link carries; None where it says nothing. share: percent, as on the page's slider."""

    example: int | None = None  # from 0
    question: str | None = None
    threshold: float | None = None
    share: float | None = None
    floor: float | None = None
    length: float | None = None

    def query(self) -> str:
        """The query string with its question mark; the empty string where there is nothing to say."""
        values = {
            "ex": None if self.example is None else self.example + 1,
            "q": self.question or None,
            "t": self.threshold,
            "most": self.share,
            "least": self.floor,
            "length": self.length,
        }
        said = {name: f"{value:g}" if isinstance(value, float) else value for name, value in values.items()}
        given = {name: value for name, value in said.items() if value is not None}
        return "?" + urlencode(given) if given else ""


def read_link(query: Mapping[str, str], examples: int) -> tuple[Link, list[str]]:
    """The link that a query makes, and one sentence for each value in it that cannot be used.

    query: anything; parameters of other names are none of ours. examples: how many there are to choose from.
    """
    problems: list[str] = []

    def take(name: str, read: Callable[[str], Any]) -> Any:
        if name not in query:
            return None
        try:
            return read(str(query[name]))
        except GlimpseError as error:
            problems.append(str(error))
            return None

    link = Link(
        example=take("ex", lambda text: _whole(text, "The example in the link", 1, examples) - 1),
        question=take("q", read_question),
        threshold=take("t", lambda text: _number(text, "The threshold in the link", 0, 1)),
        share=take("most", lambda text: _number(text, "“Keep at most” in the link", 0, 100)),
        floor=take("least", lambda text: _whole(text, "“Keep at least” in the link", 0, MAX_FLOOR)),
        length=take("length", lambda text: _whole(text, "“Longest answer” in the link", 1, MAX_ANSWER)),
    )
    return link, problems


def _number(text: str, name: str, low: float, high: float) -> float:
    try:
        return number(float(text), name, low, high)
    except (ValueError, GlimpseError):
        return number(text, name, low, high)  # refuses it, in the words of the link


def _whole(text: str, name: str, low: int, high: int) -> int:
    value = _number(text, name, low, high)
    if value != int(value):
        raise GlimpseError(f"{name} is {text[:40]!r}; wanted was a whole number from {low} to {high}.")
    return int(value)
