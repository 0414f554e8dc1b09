"""Settings that are names or token numbers: some of several, one of several, any tokens."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass
from itertools import pairwise
from numbers import Integral
from typing import Any, ClassVar

from glimpse_core.glimpse.settings.field import NONE, Field
from glimpse_core.glimpse.settings.numbers import real


@dataclass(frozen=True, kw_only=True)
class Names(Field):
    """Any of some names, each once, in the order of the choices. choices: name -> readable label."""

    choices: Mapping[str, str]

    kind: ClassVar[str] = "names"
    verb: ClassVar[str] = "are"

    @property
    def expected(self) -> str:
        return f"any of {', '.join(self.choices)}"

    def read(self, value: Any, spelled: str = "") -> Any:
        given = value if isinstance(value, (list, tuple)) else () if value is None else (value,)
        if any(not isinstance(name, str) or name not in self.choices for name in given):
            self.refuse(", ".join(map(str, given)), spelled)
        return tuple(name for name in self.choices if name in given)

    def write(self, value: Any) -> Any:
        return list(value)

    def to_text(self, value: Any) -> str:
        """See `Field.to_text`: names with commas between them."""
        return ",".join(value) or NONE

    def from_text(self, text: str, spelled: str = "") -> Any:
        return self.read([] if text in (NONE, "") else text.split(","), spelled)

    def schema(self) -> dict[str, Any]:
        return {"type": "array", "items": {"enum": list(self.choices)}, "uniqueItems": True}

    def amount(self, value: Any) -> float:
        """See `Field.amount`: how many names."""
        return len(value)


@dataclass(frozen=True, kw_only=True)
class Choice(Field):
    """One of some names, or "" for none. choices: name -> readable label."""

    choices: Mapping[str, str]

    kind: ClassVar[str] = "choice"

    @property
    def expected(self) -> str:
        return f"one of {', '.join(self.choices)} or {NONE}"

    def read(self, value: Any, spelled: str = "") -> Any:
        if value is None or value == "":
            return ""
        if not isinstance(value, str) or value not in self.choices:
            self.refuse(value, spelled)
        return value

    def to_text(self, value: Any) -> str:
        return value or NONE

    def from_text(self, text: str, spelled: str = "") -> Any:
        return self.read("" if text == NONE else text, spelled)

    def schema(self) -> dict[str, Any]:
        return {"enum": ["", *self.choices]}


@dataclass(frozen=True, kw_only=True)
class Tokens(Field):
    """Token numbers up to `high`, ascending, each once. As text they are runs, such as 12-15,30."""

    high: int
    longest: int = 4000

    kind: ClassVar[str] = "tokens"
    verb: ClassVar[str] = "are"

    RUN: ClassVar[re.Pattern[str]] = re.compile(r"([0-9]{1,6})(?:-([0-9]{1,6}))?")

    @property
    def expected(self) -> str:
        return f"token numbers from 0 to {self.high}"

    def read(self, value: Any, spelled: str = "") -> Any:
        given = () if value is None else value
        if not isinstance(given, (list, tuple)) or len(given) > self.high + 1:
            self.refuse(value, spelled)
        for token in given:
            if not isinstance(token, Integral) or not 0 <= real(token) <= self.high:
                self.refuse(token, spelled)
        return tuple(sorted({int(token) for token in given}))

    def write(self, value: Any) -> Any:
        return list(value)

    def to_text(self, value: Any) -> str:
        """See `Field.to_text`: runs with commas between them, such as 12-15,30."""
        return ",".join(f"{first}" if first == last else f"{first}-{last}" for first, last in runs(value)) or NONE

    def from_text(self, text: str, spelled: str = "") -> Any:
        """Runs must ascend, so that a short text cannot stand for endless work."""
        found = [self.RUN.fullmatch(run) for run in text.split(",")] if text not in (NONE, "") else []
        if len(text) > self.longest or not all(found):
            self.refuse(text, spelled)
        ends = [(int(run[1]), int(run[2] or run[1])) for run in found if run]
        ascending = all(first <= last <= self.high for first, last in ends)
        if not ascending or any(before[1] >= after[0] for before, after in pairwise(ends)):
            self.refuse(text, spelled)
        return self.read([token for first, last in ends for token in range(first, last + 1)], spelled)

    def schema(self) -> dict[str, Any]:
        return {"type": "array", "items": {"type": "integer", "minimum": 0, "maximum": self.high}, "uniqueItems": True}

    def amount(self, value: Any) -> float:
        """See `Field.amount`: how many tokens."""
        return len(value)


def runs(tokens: tuple[int, ...]) -> list[tuple[int, int]]:
    """Ascending numbers as (first, last) of every run without a gap."""
    found: list[tuple[int, int]] = []
    for token in tokens:
        if found and token == found[-1][1] + 1:
            found[-1] = (found[-1][0], token)
        else:
            found.append((token, token))
    return found
