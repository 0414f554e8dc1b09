"""A setting: how a value is checked, and written as JSON, as text, in a link and on a control of the page.

Every kind has the same verbs. `read` takes a value from JSON, an API call or a control, and gives the canonical one;
`write` turns it into plain JSON. `to_text` and `from_text` are its spelling on the command line, `to_query` and
`from_query` in a link, `to_control` and `from_control` on the page, where a share is shown in percent. Whatever cannot
be read raises a `GlimpseError` of one form: "Minimum tokens is 70. Expected an integer from 0 to 64."
"""

from __future__ import annotations

import json
from dataclasses import dataclass
from typing import Any, ClassVar, NoReturn

from glimpse_core.errors import GlimpseError

SHOWN = 40  # characters of a refused value in a message
NONE = "none"  # what an empty value is called in text


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
        label: its readable name, as in error messages.
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
    numeric: ClassVar[bool] = False

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
        """The readable value, for a table."""
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

    def from_call(self, value: Any, spelled: str = "") -> Any:
        """The value of an API call, where numbers come as numbers and all else as text."""
        return self.read(value, spelled) if self.numeric else self.from_text(str(value), spelled)

    def schema(self) -> dict[str, Any]:
        """Its JSON schema, without the description."""
        raise NotImplementedError

    def amount(self, value: Any) -> float:
        """The number that stands in its phrase."""
        return float(value)

    def refuse(self, value: Any, spelled: str = "") -> NoReturn:
        """Raise the `GlimpseError` that names the field, the value and what was expected."""
        raise GlimpseError(f"{spelled or self.label} {self.verb} {shown(value)}. Expected {self.expected}.")


def shown(value: Any) -> str:
    """A refused value in a message: short, and text in quotes."""
    plain = json.dumps(value) if value is None or isinstance(value, bool) else str(value)
    text = f'"{plain}"' if isinstance(value, str) else plain
    return text if len(text) <= SHOWN else text[: SHOWN - 1] + "…"
