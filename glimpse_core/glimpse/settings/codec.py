"""`Settings` to JSON, links and words, and back. Every interface of the program goes through these functions."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import replace
from typing import Any

from glimpse_core.errors import GlimpseError
from glimpse_core.glimpse.settings.field import Field, shown
from glimpse_core.glimpse.settings.numbers import round_half_up
from glimpse_core.glimpse.settings.table import (
    CONTROL,
    DEFAULT_LENGTH,
    FIELDS,
    FIXED_SHARE,
    LENGTH,
    MAX_RATIO,
    PUBLISHED,
    THRESHOLD,
)
from glimpse_core.types import Selection, Settings

Spell = Callable[[Field], str]

BY_NAME: dict[str, Field] = {name: field for field in FIELDS for name in (field.name, *field.old)}


def by_label(field: Field) -> str:
    """How people are told which field is meant."""
    return field.label


def value_of(settings: Settings, field: Field) -> Any:
    """The value of one field."""
    return getattr(getattr(settings, field.part) if field.part else settings, field.name)


def default_of(field: Field) -> Any:
    """The value of a field that was not set."""
    return DEFAULT_LENGTH if field is LENGTH else value_of(Settings(), field)


def with_values(settings: Settings, values: Mapping[str, Any]) -> Settings:
    """The settings with other canonical values, by field name. Raises GlimpseError for a token painted and erased."""
    parts: dict[str, dict[str, Any]] = {}
    for name, value in values.items():
        parts.setdefault(BY_NAME[name].part, {})[name] = value
    own = parts.pop("", {})
    changed = replace(
        settings, **own, **{part: replace(getattr(settings, part), **given) for part, given in parts.items()}
    )
    both = sorted(set(changed.edits.painted) & set(changed.edits.erased))
    if both:
        raise GlimpseError(f"Painted tokens and erased tokens share {shown(both)}. Expected each token in one of them.")
    return changed


def check(selection: Selection) -> None:
    """Raise a `GlimpseError` that names the first setting of a published rule that makes no sense."""
    for name in PUBLISHED:
        BY_NAME[name].check(getattr(selection, name), name)


def read_selection(default: Selection, given: Mapping[str, Any]) -> Selection:
    """A published rule with some of its settings given by our names or by the published ones.

    None stands for no cap, no floor and no anchors, as in the published code. A fixed share takes the place of
    threshold and cap: it is a cap without a threshold. Raises GlimpseError for other names.
    """
    ours = {theirs: name for name, theirs in PUBLISHED.items()}
    given = dict(given)
    fixed = given.pop(FIXED_SHARE, None)
    if fixed is not None:
        given = {name: value for name, value in given.items() if ours.get(name, name) not in ("threshold", "max_ratio")}
        given |= {"threshold": 0.0, "max_ratio": MAX_RATIO.read(fixed, FIXED_SHARE)}
    none: dict[str, Any] = {"max_ratio": None, "min_tokens": 0, "anchors": ()}
    values = {ours.get(name, name): value for name, value in given.items()}
    if unknown := sorted(set(values) - set(PUBLISHED)):
        raise GlimpseError(f"Settings have {', '.join(unknown)}. Expected any of {', '.join((*PUBLISHED, *ours))}.")
    read: dict[str, Any] = {
        name: none[name] if value is None and name in none else BY_NAME[name].read(value, name)
        for name, value in values.items()
    }
    return replace(default, **read)


# JSON ------------------------------------------------------------------------------------------------------------


def to_json(settings: Settings) -> dict[str, Any]:
    """Every field by its name, as plain values."""
    return {field.name: field.write(value_of(settings, field)) for field in FIELDS}


def from_json(value: Any) -> Settings:
    """The settings of a JSON object; fields that it lacks have their defaults.

    Names of earlier versions are read as well. Raises GlimpseError for unknown names and for values that cannot be.
    """
    if not isinstance(value, Mapping):
        raise GlimpseError(f"Settings are {shown(value)}. Expected an object with any of {', '.join(names())}.")
    if unknown := [str(name) for name in value if name not in BY_NAME]:
        raise GlimpseError(f"Settings have {shown(', '.join(unknown))}. Expected any of {', '.join(names())}.")
    return with_values(Settings(), {BY_NAME[name].name: BY_NAME[name].read(one) for name, one in value.items()})


def names() -> tuple[str, ...]:
    """The names of all fields, in order."""
    return tuple(field.name for field in FIELDS)


# Links -----------------------------------------------------------------------------------------------------------


def to_query(settings: Settings) -> dict[str, str]:
    """Link parameters by their keys; fields with their default values are left out.

    Raises GlimpseError where painted tokens are too scattered for a link.
    """
    query = {}
    for field in changed(settings):
        query[field.key] = text = field.to_query(value_of(settings, field))
        if len(text) > field.longest:
            raise GlimpseError(f"{field.label} take {len(text)} characters. Expected at most {field.longest}.")
    return query


def from_query(
    query: Mapping[str, str], spell: Spell = by_label, base: Settings | None = None
) -> tuple[Settings, list[str]]:
    """The settings that link parameters say, over those of `base`, and one sentence for each that cannot be used."""
    settings, problems = base or Settings(), []
    for field in FIELDS:
        if field.key not in query:
            continue
        try:
            value = field.from_query(str(query[field.key]), spell(field))
            settings = with_values(settings, {field.name: value})
        except GlimpseError as error:
            problems.append(str(error))
    return settings, problems


# Words -----------------------------------------------------------------------------------------------------------


def changed(settings: Settings) -> list[Field]:
    """The fields that differ from their defaults."""
    return [field for field in FIELDS if value_of(settings, field) != default_of(field)]


def describe(settings: Settings) -> str:
    """The settings in words, such as "relevance above 0.4, at most 25%, 2 corners"; `settings.js` has the same ones.

    A threshold of 0 lets everything pass: where there is a maximum share, that alone is the rule.
    """
    if settings.edits.control:
        return CONTROL.choices[settings.edits.control]
    first = [] if settings.selection.threshold == 0 and settings.selection.max_ratio is not None else [THRESHOLD]
    described = [*first, *(field for field in changed(settings) if field is not THRESHOLD)]
    described = [field for field in described if field.ranked or settings.budget is None]
    return ", ".join(filter(None, (_phrase(field, value_of(settings, field)) for field in described)))


def listing(settings: Settings) -> list[tuple[str, str]]:
    """(label, value) of every field, for a table."""
    return [(field.label, field.to_words(value_of(settings, field))) for field in FIELDS]


def _phrase(field: Field, value: Any) -> str:
    amount = round_half_up(field.amount(value), 10_000)
    return field.phrase[amount != 1].replace("{}", f"{amount:.4f}".rstrip("0").rstrip("."))
