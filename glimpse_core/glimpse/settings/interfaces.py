"""What is generated from the table of settings: command line options, a JSON schema, rows for the page's scripts."""

from __future__ import annotations

import argparse
from collections.abc import Sequence
from dataclasses import asdict
from typing import Any

from glimpse_core.glimpse.settings.codec import default_of, value_of, with_values
from glimpse_core.glimpse.settings.field import Field
from glimpse_core.glimpse.settings.table import FIELDS
from glimpse_core.types import Settings


def add_options(parser: Any, fields: Sequence[Field] = FIELDS, base: Settings | None = None) -> None:
    """Add one option for each field to an argparse parser or group; its value is text until `from_options` reads it.

    Args:
        parser: what has `add_argument`.
        fields: those to offer.
        base: whose values the help calls defaults; None if they are not known beforehand.
    """
    for field in fields:
        default = f" (default {field.to_text(value_of(base, field))})" if base else ""
        parser.add_argument(field.flag, metavar=field.example, help=(field.help + default).replace("%", "%%"))


def from_options(args: argparse.Namespace, base: Settings, fields: Sequence[Field] = FIELDS) -> Settings:
    """The settings that were given as options of `add_options`, over those of `base`. Raises GlimpseError."""
    given = [(field, getattr(args, field.name)) for field in fields]
    read = {field.name: field.from_text(text, field.flag) for field, text in given if text is not None}
    return with_values(base, read)


def to_options(settings: Settings, fields: Sequence[Field] = FIELDS) -> list[str]:
    """The settings as words of a command line, every field of them: `from_options` gives them back over any base."""
    return [word for field in fields for word in (field.flag, field.to_text(value_of(settings, field)))]


def schema() -> dict[str, Any]:
    """The JSON schema of `to_json`'s result."""
    return {
        "type": "object",
        "description": "What decided which tokens are kept.",
        "properties": {field.name: field.schema() | {"description": _sentence(field.help)} for field in FIELDS},
        "required": [field.name for field in FIELDS],
        "additionalProperties": False,
    }


def field_values(field: Field, base: Settings | None = None) -> dict[str, Any]:
    """A row of the table as JSON values, for the page's scripts: name, kind, limits, defaults, words and slider.

    Args:
        field: of the table.
        base: what a page begins with, where that is not the table's default.
    """
    limits = {name: getattr(field, name) for name in ("low", "high", "nullable", "choices") if hasattr(field, name)}
    words = {name: getattr(field, name) for name in ("name", "kind", "key", "label", "caption", "phrase")}
    control = {"control": asdict(field.control)} if field.control else {}
    usual = field.write(default_of(field))
    begins = usual if base is None else field.write(value_of(base, field))
    return words | limits | control | {"default": begins, "usual": usual, "ranked": field.ranked}


def _sentence(text: str) -> str:
    return text[0].upper() + text[1:] + "."
