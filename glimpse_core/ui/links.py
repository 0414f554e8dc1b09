"""What the page's address asks for: example, question and settings as query parameters, checked.

`?ex=3&q=Where+is+the+hat%3F&t=0.4&most=25&least=4&corners=tl,br&in=12-15&length=64`; whatever is left out keeps its
default. Examples are counted from 1; the other names are the keys of the settings' table. `web/state/address.js` writes
the address, also with what the browser alone reads (view, tab). Pictures that a visitor added are on no link: they
are not kept.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

from glimpse_core.errors import GlimpseError
from glimpse_core.glimpse.settings import LENGTH, from_query
from glimpse_core.glimpse.settings.field import Field
from glimpse_core.glimpse.settings.numbers import Count
from glimpse_core.types import Settings
from glimpse_core.ui.inputs import read_question


@dataclass(frozen=True)
class Link:
    """What a link carries; None where it says nothing. example: from 0. length: of the answer, in tokens at most."""

    example: int | None = None
    question: str | None = None
    settings: Settings = Settings()
    length: int | None = None


def read_link(query: Mapping[str, str], examples: int, base: Settings | None = None) -> tuple[Link, list[str]]:
    """The link that a query makes, and one sentence for each value in it that cannot be used.

    query: anything; parameters of other names are none of ours. examples: how many there are to choose from. base: what
    the page begins with, where that is not the settings' default.
    """
    settings, problems = from_query(query, _in_the_link, base)

    def take(key: str, read: Callable[[str], Any]) -> Any:
        if key not in query:
            return None
        try:
            return read(str(query[key]))
        except GlimpseError as error:
            problems.append(str(error))
            return None

    example = Count(name="ex", label="Example", example="3", help="an example, from 1", key="ex", low=1, high=examples)
    number = take(example.key, lambda text: example.from_query(text, _in_the_link(example)))
    question = take("q", read_question)
    length = take(LENGTH.key, lambda text: LENGTH.from_query(text, _in_the_link(LENGTH)))
    return Link(None if number is None else number - 1, question, settings, length), problems


def _in_the_link(field: Field) -> str:
    return f"{field.label} in the link"
