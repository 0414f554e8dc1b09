"""The kinds of setting: how a value is checked, and written as JSON, as text, in a link and on a control of the page.

Every kind has the same verbs. `read` takes a value from JSON, an API call or a control, and gives the canonical one;
`write` turns it into plain JSON. `to_text` and `from_text` are its spelling on the command line, `to_query` and
`from_query` in a link, `to_control` and `from_control` on the page, where a share is shown in percent. Whatever cannot
be read raises a `GlimpseError` of one form: "Minimum tokens is 70. Expected an integer from 0 to 64."
"""

from __future__ import annotations

import json
import math
import re
from collections.abc import Mapping
from dataclasses import dataclass
from decimal import Decimal, InvalidOperation
from itertools import pairwise
from numbers import Integral, Real
from typing import Any, ClassVar, NoReturn

from glimpse_core.errors import GlimpseError

SHOWN = 40  # characters of a refused value in a message
NONE = "none"  # what an empty value is called in text
GRAIN = 10**12  # shares read from percent are multiples of 1 / GRAIN: 33.3% is 0.333, in Python and in JavaScript


@dataclass(frozen=True)
class Control:
    """A slider of the page, in the units of the page. It grows for values that come from elsewhere and are larger."""

    low: float
    high: float
    step: float


@dataclass(frozen=True, kw_only=True)
class Field:
    """One setting.

    Args:
        name: its name in Python, JSON, records, the API and, with dashes, on the command line.
        label: its name for people, as error messages say it.
        example: a value as text.
        help: one sentence on what it does, without a full stop.
        key: its name in a link.
        phrase: how it is put into words, {} being the amount: for one, and for any other number. Empty: not at all.
        part: the attribute of `Settings` that holds it; empty for `Settings` itself.
        published: its name in the published configurations; empty for what is ours alone.
        old: names it had in JSON of earlier versions, which are still read.
        caption: the label of its control on the page.
        control: its slider.
        ranked: False where a budget leaves it without effect.
        longest: characters of text that are still read; a link has no room for more.
    """

    name: str
    label: str
    example: str
    help: str
    key: str
    phrase: tuple[str, str] = ("", "")
    part: str = ""
    published: str = ""
    old: tuple[str, ...] = ()
    caption: str = ""
    control: Control | None = None
    ranked: bool = True
    longest: int = 400

    kind: ClassVar[str] = ""
    verb: ClassVar[str] = "is"

    @property
    def flag(self) -> str:
        """Its option on the command line."""
        return "--" + self.name.replace("_", "-")

    @property
    def expected(self) -> str:
        """What may be given, for the end of a message."""
        raise NotImplementedError

    def read(self, value: Any, spelled: str = "") -> Any:
        """The canonical value. spelled: the field's name where the value comes from; the label by default."""
        raise NotImplementedError

    def check(self, value: Any, spelled: str = "") -> None:
        """Raise a `GlimpseError` for a value that a computation cannot take as it is."""
        self.read(value, spelled)

    def write(self, value: Any) -> Any:
        """Plain JSON."""
        return value

    def to_text(self, value: Any) -> str:
        """The value as a word of a command line."""
        raise NotImplementedError

    def from_text(self, text: str, spelled: str = "") -> Any:
        """The value of a word."""
        raise NotImplementedError

    def to_words(self, value: Any) -> str:
        """The value in a table for people."""
        return self.to_text(value)

    def to_query(self, value: Any) -> str:
        """The value in a link."""
        return self.to_text(value)

    def from_query(self, text: str, spelled: str = "") -> Any:
        """The value from a link."""
        return self.from_text(text, spelled)

    def to_control(self, value: Any) -> Any:
        """What the page's control is set to."""
        return self.write(value)

    def from_control(self, value: Any, spelled: str = "") -> Any:
        """The value that the page's control is set to."""
        return self.read(value, spelled)

    def schema(self) -> dict[str, Any]:
        """Its JSON schema, without the description."""
        raise NotImplementedError

    def amount(self, value: Any) -> float:
        """The number that stands in its phrase."""
        return value

    def refuse(self, value: Any, spelled: str = "") -> NoReturn:
        """Raise the `GlimpseError` that names the field, the value and what was expected."""
        raise GlimpseError(f"{spelled or self.label} {self.verb} {shown(value)}. Expected {self.expected}.")


def shown(value: Any) -> str:
    """A refused value in a message: short, and text in quotes."""
    plain = json.dumps(value) if value is None or isinstance(value, bool) else str(value)
    text = f'"{plain}"' if isinstance(value, str) else plain
    return text if len(text) <= SHOWN else text[: SHOWN - 1] + "…"


@dataclass(frozen=True, kw_only=True)
class Number(Field):
    """A real number within limits."""

    low: float
    high: float

    kind: ClassVar[str] = "number"

    @property
    def expected(self) -> str:
        return f"a number from {self.low:g} to {self.high:g}"

    def read(self, value: Any, spelled: str = "") -> Any:
        if isinstance(value, bool) or not isinstance(value, Real) or not self.low <= value <= self.high:  # or NaN
            self.refuse(value, spelled)
        return float(value)

    def to_text(self, value: Any) -> str:
        return repr(float(value)).removesuffix(".0")

    def from_text(self, text: str, spelled: str = "") -> Any:
        try:
            return self.read(float(text), spelled)
        except (ValueError, GlimpseError):
            self.refuse(text, spelled)

    def schema(self) -> dict[str, Any]:
        return {"type": "number", "minimum": self.low, "maximum": self.high}


@dataclass(frozen=True, kw_only=True)
class Share(Number):
    """A share of all tokens, or None for no limit, as 1 is; people are told percent, where 100 is no limit."""

    low: float = 0.0
    high: float = 1.0

    kind: ClassVar[str] = "share"

    @property
    def expected(self) -> str:
        return super().expected + f" or {NONE}"

    def read(self, value: Any, spelled: str = "") -> Any:
        share = None if value is None else super().read(value, spelled)
        return None if share == self.high else share

    def to_text(self, value: Any) -> str:
        return NONE if value is None else super().to_text(value)

    def from_text(self, text: str, spelled: str = "") -> Any:
        return None if text == NONE else super().from_text(text, spelled)

    def to_query(self, value: Any) -> str:
        """Percent, moved by two decimal places, so that not a digit is lost."""
        if value is None:
            return "100"
        text = f"{Decimal(repr(float(value))).scaleb(2):f}"
        return text.rstrip("0").rstrip(".") if "." in text else text

    def from_query(self, text: str, spelled: str = "") -> Any:
        try:
            value = Decimal(text)
            return self.read(float(value.scaleb(-2)), spelled)
        except (InvalidOperation, ValueError, GlimpseError):
            self.refuse_percent(text, spelled)

    def to_words(self, value: Any) -> str:
        return NONE if value is None else f"{self.to_query(value)}%"

    def to_control(self, value: Any) -> Any:
        return 100 if value is None else round_half_up(100 * value, GRAIN / 100)

    def from_control(self, value: Any, spelled: str = "") -> Any:
        if isinstance(value, bool) or not isinstance(value, Real) or not 0 <= value <= 100:
            self.refuse_percent(value, spelled)
        return self.read(round_half_up(value / 100, GRAIN), spelled)

    def refuse_percent(self, value: Any, spelled: str = "") -> NoReturn:
        """As `refuse`, where percent are asked for."""
        raise GlimpseError(f"{spelled or self.label} is {shown(value)}. Expected a percentage from 0 to 100.")

    def schema(self) -> dict[str, Any]:
        return super().schema() | {"type": ["number", "null"]}

    def amount(self, value: Any) -> float:
        return 100 * value


def round_half_up(value: float, grain: float) -> float:
    """The multiple of 1 / grain next to a value; JavaScript does the same to the last bit."""
    return math.floor(value * grain + 0.5) / grain


@dataclass(frozen=True, kw_only=True)
class Count(Field):
    """A whole number within limits. nullable: None says that it is not used."""

    low: int
    high: int
    nullable: bool = False

    kind: ClassVar[str] = "count"

    @property
    def expected(self) -> str:
        return f"an integer from {self.low} to {self.high}" + (f" or {NONE}" if self.nullable else "")

    def read(self, value: Any, spelled: str = "") -> Any:
        if value is None and self.nullable:
            return None
        whole = isinstance(value, Integral) or (isinstance(value, Real) and value == value // 1)  # NaN is not
        if isinstance(value, bool) or not whole or not self.low <= value <= self.high:
            self.refuse(value, spelled)
        return int(value)

    def check(self, value: Any, spelled: str = "") -> None:
        """4.0 is read as 4, but cannot be counted to."""
        self.read(value, spelled)
        if isinstance(value, Real) and not isinstance(value, Integral):
            self.refuse(value, spelled)

    def to_text(self, value: Any) -> str:
        return NONE if value is None else str(value)

    def from_text(self, text: str, spelled: str = "") -> Any:
        try:
            return self.read(None if text == NONE else float(text), spelled)
        except (ValueError, GlimpseError):
            self.refuse(text, spelled)

    def schema(self) -> dict[str, Any]:
        kind = ["integer", "null"] if self.nullable else "integer"
        return {"type": kind, "minimum": self.low, "maximum": self.high}


@dataclass(frozen=True, kw_only=True)
class Names(Field):
    """Any of some names, each once, in the order of the choices. choices: name -> label for people."""

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
        return ",".join(value) or NONE

    def from_text(self, text: str, spelled: str = "") -> Any:
        return self.read([] if text in (NONE, "") else text.split(","), spelled)

    def schema(self) -> dict[str, Any]:
        return {"type": "array", "items": {"enum": list(self.choices)}, "uniqueItems": True}

    def amount(self, value: Any) -> float:
        return len(value)


@dataclass(frozen=True, kw_only=True)
class Choice(Field):
    """One of some names, or "" for none. choices: name -> label for people."""

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
            if isinstance(token, bool) or not isinstance(token, Integral) or not 0 <= token <= self.high:
                self.refuse(token, spelled)
        return tuple(sorted({int(token) for token in given}))

    def write(self, value: Any) -> Any:
        return list(value)

    def to_text(self, value: Any) -> str:
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
