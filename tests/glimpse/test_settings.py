"""The codec of settings: whatever goes out by JSON, link, option or a control comes back the same."""

from __future__ import annotations

import argparse
import json
from dataclasses import fields
from urllib.parse import parse_qsl, urlencode

import pytest
from hypothesis import given
from hypothesis import strategies as st
from jsonschema import Draft202012Validator

from glimpse_core.errors import GlimpseError
from glimpse_core.glimpse.settings import (
    FIELDS,
    LENGTH,
    PUBLISHED,
    check,
    describe,
    from_json,
    from_query,
    listing,
    read_selection,
    to_json,
    to_query,
    value_of,
    with_values,
)
from glimpse_core.glimpse.settings.interfaces import add_options, from_options, schema, to_options
from glimpse_core.types import ManualEdits, Selection, Settings
from tests.support.some_settings import one_each, some_settings, values

NAMES = [field.name for field in FIELDS]
EACH = pytest.mark.parametrize("name", NAMES)
PARSER = argparse.ArgumentParser()
add_options(PARSER)


def test_the_table_has_every_attribute_of_the_value_once() -> None:
    parts = {"": Settings, "selection": Selection, "edits": ManualEdits}
    held = [(part, field.name) for part, kind in parts.items() for field in fields(kind)]
    assert sorted(held) == sorted([*((field.part, field.name) for field in FIELDS), ("", "selection"), ("", "edits")])
    assert set(PUBLISHED) == {field.name for field in fields(Selection)}
    assert len({field.key for field in (*FIELDS, LENGTH)} | {"ex", "q"}) == len(FIELDS) + 3
    assert set(values(24)) == set(one_each()) == set(NAMES)  # what the tests draw


@given(some_settings())
def test_json_gives_the_value_back(settings: Settings) -> None:
    plain = json.loads(json.dumps(to_json(settings), allow_nan=False))
    Draft202012Validator(schema()).validate(plain)
    assert from_json(plain) == settings


@given(some_settings())
def test_a_link_gives_the_value_back(settings: Settings) -> None:
    query = dict(parse_qsl(urlencode(to_query(settings)), keep_blank_values=True))
    assert from_query(query) == (settings, [])


@given(some_settings(), some_settings())
def test_options_give_the_value_back_over_any_other(settings: Settings, base: Settings) -> None:
    assert from_options(PARSER.parse_args(to_options(settings)), base) == settings


@given(some_settings())
def test_the_controls_give_the_value_back(settings: Settings) -> None:
    """To the last digit; but a control of percent cannot show every share, and then shows the one next to it."""
    for field in FIELDS:
        value = value_of(settings, field)
        back = field.from_control(field.to_control(value))
        if field.kind == "share" and value is not None:
            assert (1.0 if back is None else back) == pytest.approx(value, abs=1e-12)
            assert field.from_control(field.to_control(back)) == back
        else:
            assert back == value


@given(st.integers(0, 99_999_999))
def test_percent_with_up_to_six_decimals_is_a_share_to_the_last_digit(millionths: int) -> None:
    field = next(field for field in FIELDS if field.kind == "share")
    share, percent = float(f"0.{millionths:08d}"), millionths / 10**6
    assert field.from_control(percent) == share
    assert field.to_control(share) == percent
    assert field.from_query(f"{percent!r}") == share


@given(some_settings())
def test_published_names_give_the_rule_back(settings: Settings) -> None:
    rule = settings.selection
    ours = {name: getattr(rule, name) for name in PUBLISHED}
    assert read_selection(Selection(0.9, 0.1, 3, ("tl",)), ours) == rule
    assert read_selection(Selection(0.9, 0.1, 3, ("tl",)), {PUBLISHED[name]: ours[name] for name in ours}) == rule
    check(rule)


def test_none_stands_for_nothing_in_the_published_names() -> None:
    given_ = {"max_remain_ratio": None, "min_remain_num": None, "anchor_positions": None}
    assert read_selection(Selection(0.9, 0.1, 3, ("tl",)), given_) == Selection(0.9, None, 0, ())
    with pytest.raises(GlimpseError, match="max_share"):
        read_selection(Selection(), {"max_share": 1})


@EACH
def test_every_field_goes_through_every_door(name: str) -> None:
    settings = one_each()[name]
    assert list(to_query(settings)) == [next(field.key for field in FIELDS if field.name == name)]
    assert to_json(settings) != to_json(Settings()) and listing(settings) != listing(Settings())
    assert from_json({name: to_json(settings)[name]}) == settings
    assert from_options(PARSER.parse_args(to_options(settings)), Settings()) == settings
    assert (describe(settings) != describe(Settings())) == (name != "seed")  # without a control nothing is drawn


@pytest.mark.parametrize(
    ("settings", "said"),
    [
        (Settings(), "relevance above 0.5"),
        (Settings(Selection(0.4, 0.25, 3)), "relevance above 0.4, at most 25%, at least 3"),
        (
            Settings(Selection(1 / 3, 1 / 3, 0, ("tl",))),
            "relevance above 0.3333, at most 33.3333%, at least 0, 1 corner",
        ),
        (Settings(Selection(0.4, 0.25, 3, ("tl", "br")), 24), "the 24 most relevant, 2 corners"),
        (Settings(edits=ManualEdits((1, 2), (3,))), "relevance above 0.5, 2 painted in, 1 erased"),
        (Settings(Selection(0.4), 9, ManualEdits((1,), (), "inverse")), "only the dropped tokens"),
    ],
)
def test_settings_in_words(settings: Settings, said: str) -> None:
    assert describe(settings) == said


def test_names_of_earlier_versions_are_read() -> None:
    old = {
        "threshold": 0.4,
        "ratio": 0.25,
        "floor": 4,
        "anchors": [],
        "keep": [1],
        "drop": [2],
        "control": "",
        "seed": 0,
    }
    assert from_json(old) == Settings(Selection(0.4, 0.25, 4), None, ManualEdits((1,), (2,)))
    assert from_query({"t": "0.4", "most": "25", "least": "4", "length": "64"}) == (
        Settings(Selection(0.4, 0.25, 4)),
        [],
    )
    assert from_query({"t": "0.5", "most": "100", "least": "1"}) == (Settings(), [])


TEXTS = {
    "threshold": ("nan", "inf", "-0.1", "1.01", "0x1", "", "half"),
    "max_ratio": ("-1", "2", "nan", "a lot"),
    "min_tokens": ("-1", "1.5", "100001", "1e400", "one", ""),
    "budget": ("0", "-1", "1.5", "100001", "many"),
    "anchors": ("middle", "tl,top", "TL"),
    "painted": ("-1", "5-3", "3,3", "9,1", "1-100000", "1;2", "0-9,5-20", "1" * 4001, "1-2-3"),
    "erased": ("x", "1e3", "100000"),
    "control": ("everything", "Random"),
    "seed": ("-1", "1.5", "2147483648", "x"),
}


@pytest.mark.parametrize(("name", "text"), [(name, text) for name, texts in TEXTS.items() for text in texts])
def test_text_that_cannot_be_is_refused_in_one_form(name: str, text: str) -> None:
    field = next(field for field in FIELDS if field.name == name)
    with pytest.raises(GlimpseError) as refused:
        field.from_text(text, field.flag)
    assert str(refused.value).startswith(f"{field.flag} {field.verb} ")
    assert str(refused.value).endswith(f". Expected {field.expected}.")
    assert len(str(refused.value)) < 200
    settings, problems = from_query({field.key: text})
    if name != "max_ratio":  # percent there
        assert settings == Settings() and len(problems) == 1 and problems[0].startswith(field.label)


ODD = (float("nan"), float("inf"), -1, 2**40, "1", "x", True, {}, {"a": 1}, [None], [True], [-1], ["x"], [1.5])


@pytest.mark.parametrize(("name", "value"), [(name, value) for name in NAMES for value in ODD])
def test_json_that_cannot_be_is_refused_in_one_form(name: str, value: object) -> None:
    field = next(field for field in FIELDS if field.name == name)
    with pytest.raises(GlimpseError) as refused:
        from_json({name: value})
    assert str(refused.value).startswith(f"{field.label} {field.verb} ")
    assert str(refused.value).endswith(f". Expected {field.expected}.")
    if value == value:  # JSON has no NaN
        assert not Draft202012Validator(schema()["properties"][name]).is_valid(value)


def test_the_form_of_a_message() -> None:
    with pytest.raises(GlimpseError) as refused:
        from_json({"min_tokens": -70})
    assert str(refused.value) == "Minimum tokens is -70. Expected an integer from 0 to 100000."
    with pytest.raises(GlimpseError) as refused:
        from_json({"budget": "x" * 100})
    assert len(str(refused.value)) < 120 and str(refused.value).endswith(
        "Expected an integer from 1 to 100000 or none."
    )


@pytest.mark.parametrize("value", [None, [], "x", 7, [("threshold", 0.5)]])
def test_what_is_no_object_is_refused(value: object) -> None:
    with pytest.raises(GlimpseError, match="Settings are"):
        from_json(value)


def test_unknown_names_and_contradictions_are_refused() -> None:
    with pytest.raises(GlimpseError, match='Settings have "treshold"'):
        from_json({"treshold": 0.5})
    with pytest.raises(GlimpseError, match=r"share \[2\]"):
        from_json({"painted": [1, 2], "erased": [2]})
    settings, problems = from_query({"in": "1-2", "out": "2", "t": "0.3"})
    assert settings == with_values(Settings(), {"threshold": 0.3, "painted": (1, 2)}) and len(problems) == 1


def test_edits_that_are_too_scattered_for_a_link_are_refused() -> None:
    assert to_query(Settings(edits=ManualEdits(tuple(range(50_000))))) == {"in": "0-49999"}
    with pytest.raises(GlimpseError, match="Expected at most 4000"):
        to_query(Settings(edits=ManualEdits(tuple(range(0, 4000, 2)))))


def test_a_cap_of_all_tokens_is_no_cap() -> None:
    assert from_json({"max_ratio": 1}) == from_json({"max_ratio": 1.0}) == from_json({"max_ratio": None}) == Settings()


def test_counts_are_read_from_whole_floats_but_not_computed_with() -> None:
    assert from_json({"min_tokens": 4.0}) == Settings(Selection(min_tokens=4))
    with pytest.raises(GlimpseError, match="min_tokens is 4.0"):
        check(Selection(min_tokens=4.0))
