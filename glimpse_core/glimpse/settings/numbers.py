"""Settings that are numbers: a real one, a share, a count."""

from __future__ import annotations

import math
from dataclasses import dataclass
from decimal import Decimal, InvalidOperation
from numbers import Integral, Real
from typing import Any, ClassVar, NoReturn

from glimpse_core.errors import GlimpseError
from glimpse_core.glimpse.settings.field import NONE, Field, shown

GRAIN = 10**12  # shares read from percent are multiples of 1 / GRAIN: 33.3% is 0.333, in Python and in JavaScript


@dataclass(frozen=True, kw_only=True)
class Number(Field):
    """A real number within limits."""

    low: float
    high: float

    kind: ClassVar[str] = "number"
    numeric: ClassVar[bool] = True

    @property
    def expected(self) -> str:
        return f"a number from {self.low:g} to {self.high:g}"

    def read(self, value: Any, spelled: str = "") -> Any:
        number = real(value)
        if not self.low <= number <= self.high:
            self.refuse(value, spelled)
        return number

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
        """See `Field.from_query`: percent."""
        try:
            value = Decimal(text)
            return self.read(float(value.scaleb(-2)), spelled)
        except (InvalidOperation, ValueError, GlimpseError):
            self.refuse_percent(text, spelled)

    def to_words(self, value: Any) -> str:
        """See `Field.to_words`: percent."""
        return NONE if value is None else f"{self.to_query(value)}%"

    def to_control(self, value: Any) -> Any:
        """See `Field.to_control`: percent."""
        return 100 if value is None else round_half_up(100 * value, GRAIN / 100)

    def from_control(self, value: Any, spelled: str = "") -> Any:
        """See `Field.from_control`: percent."""
        percent = real(value)
        if not 0 <= percent <= 100:
            self.refuse_percent(value, spelled)
        return self.read(round_half_up(percent / 100, GRAIN), spelled)

    def refuse_percent(self, value: Any, spelled: str = "") -> NoReturn:
        """As `refuse`, where percent are asked for."""
        raise GlimpseError(f"{spelled or self.label} is {shown(value)}. Expected a percentage from 0 to 100.")

    def schema(self) -> dict[str, Any]:
        return super().schema() | {"type": ["number", "null"]}

    def amount(self, value: Any) -> float:
        """See `Field.amount`: percent."""
        return 100.0 * float(value)


def real(value: Any) -> float:
    """The value as a float; NaN for what is no real number, as truth values are none."""
    if isinstance(value, bool) or not isinstance(value, Real):
        return math.nan
    try:
        return float(value)
    except OverflowError:
        return math.inf


def round_half_up(value: float, grain: float) -> float:
    """The multiple of 1 / grain next to a value; JavaScript does the same to the last bit."""
    return math.floor(value * grain + 0.5) / grain


@dataclass(frozen=True, kw_only=True)
class Count(Field):
    """A whole number within limits. nullable: None says that it is not used, for which controls show 0."""

    low: int
    high: int
    nullable: bool = False

    kind: ClassVar[str] = "count"
    numeric: ClassVar[bool] = True

    @property
    def expected(self) -> str:
        return f"an integer from {self.low} to {self.high}" + (f" or {NONE}" if self.nullable else "")

    def read(self, value: Any, spelled: str = "") -> Any:
        if value is None and self.nullable:
            return None
        number = real(value)
        if not number.is_integer() or not self.low <= number <= self.high:
            self.refuse(value, spelled)
        return int(number)

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

    def to_control(self, value: Any) -> Any:
        """See `Field.to_control`: 0 stands for None."""
        return 0 if value is None else value

    def from_control(self, value: Any, spelled: str = "") -> Any:
        """See `Field.from_control`: 0 stands for None where that is possible."""
        return self.read(None if self.nullable and real(value) == 0 else value, spelled)

    def schema(self) -> dict[str, Any]:
        kind = ["integer", "null"] if self.nullable else "integer"
        return {"type": kind, "minimum": self.low, "maximum": self.high}
