"""Random settings for the round trips: every field of the table, over all of its values."""

from __future__ import annotations

from hypothesis import strategies as st
from hypothesis.strategies import SearchStrategy

from glimpse_core.glimpse.settings import FIELDS, value_of, with_values
from glimpse_core.types import Settings

CORNERS = ("tl", "tr", "bl", "br")


def values(tokens: int) -> dict[str, SearchStrategy]:
    """A strategy for each field. tokens: of the prompt; edits lie inside it."""
    marks = st.sets(st.integers(0, tokens - 1), max_size=12).map(sorted).map(tuple)
    return {
        "threshold": st.floats(0, 1) | st.sampled_from((0.0, 0.3, 0.37, 1.0)),
        "max_ratio": st.none() | st.floats(0, 1, exclude_max=True) | st.sampled_from((0.0, 0.111, 0.333, 0.57)),
        "min_tokens": st.integers(0, 100_000) | st.integers(0, 70),
        "budget": st.none() | st.integers(1, 100_000) | st.integers(1, tokens),
        "anchors": st.sets(st.sampled_from(CORNERS)).map(
            lambda names: tuple(name for name in CORNERS if name in names)
        ),
        "painted": marks,
        "erased": marks,
        "control": st.sampled_from(("", "random", "inverse")),
        "seed": st.integers(0, 2**31 - 1),
    }


@st.composite
def some_settings(draw: st.DrawFn, tokens: int = 100_000) -> Settings:
    """Any settings; no token is both painted and erased."""
    given = {name: draw(strategy) for name, strategy in values(tokens).items()}
    given["erased"] = tuple(token for token in given["erased"] if token not in given["painted"])
    return with_values(Settings(), given)


def one_each(tokens: int = 24) -> dict[str, Settings]:
    """For every field, settings that differ from nobody's in this field alone."""
    others = {
        "threshold": 0.37,
        "max_ratio": 0.125,
        "min_tokens": 5,
        "budget": 7,
        "anchors": ("tr", "bl"),
        "painted": (0, 1, 2, tokens - 1),
        "erased": (3,),
        "control": "inverse",
        "seed": 4,
    }
    return {field.name: with_values(Settings(), {field.name: others[field.name]}) for field in FIELDS}


def differing(first: Settings, second: Settings) -> list[str]:
    """The names of the fields in which two settings differ: what a door has lost."""
    return [field.name for field in FIELDS if value_of(first, field) != value_of(second, field)]
