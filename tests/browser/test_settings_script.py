"""Settings in JavaScript: what goes in comes out; links, controls, words and rule are Python's, for any settings."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from typing import Any

import hypothesis
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from playwright.sync_api import Browser

from glimpse_core.errors import GlimpseError
from glimpse_core.glimpse.settings import (
    FIELDS,
    LENGTH,
    MAX_RATIO,
    describe,
    from_json,
    from_query,
    to_json,
    to_query,
    value_of,
    with_values,
)
from glimpse_core.glimpse.settings.codec import BY_NAME, default_of
from glimpse_core.glimpse.settings.interfaces import field_values
from glimpse_core.inference.choice import choose
from glimpse_core.types import Grid, Settings
from glimpse_core.ui.bundle import BUNDLE, WEB
from glimpse_core.ui.payloads import floats
from tests.browser.conftest import Served
from tests.browser.modules import Call, imported
from tests.support.some_settings import differing, one_each, some_settings

ON_CONTROLS = ("threshold", "max_ratio", "min_tokens", "budget", "anchors")
MANY = hypothesis.settings(max_examples=150)


@pytest.fixture(scope="module")
def call(browser: Browser, fake_page: Served) -> Iterator[Call]:
    """Run a piece of JavaScript that has the functions of the settings' modules, `codec`, and `given`."""
    with imported(browser, fake_page, "state/settings", "state/select", "state/selection") as run:
        rows = [[field_values(field) for field in FIELDS], field_values(LENGTH)]
        run("window.codec = createCodec(...given), 0", rows)
        yield run


# As the page edits them: stroke by stroke, over the rule.
ROUND = """withStroke(
    withStroke({ ...given, painted: [], erased: [] }, given.painted, true), given.erased.toReversed(), false)"""


@given(settings=some_settings())
@MANY
def test_javascript_gives_the_value_back(call: Call, settings: Settings) -> None:
    assert differing(from_json(call(ROUND, to_json(settings))), settings) == []


@given(settings=some_settings())
@MANY
def test_without_edits_only_the_rule_is_left(call: Call, settings: Settings) -> None:
    nobody = Settings()
    expected = with_values(nobody, {name: value_of(settings, BY_NAME[name]) for name in ON_CONTROLS})
    assert differing(from_json(call("codec.withoutEdits(given)", to_json(settings))), expected) == []


@pytest.mark.parametrize("name", one_each())
def test_every_field_is_known_to_javascript(call: Call, name: str) -> None:
    field, settings = BY_NAME[name], one_each()[name]
    assert from_json(call(ROUND, to_json(settings))) == settings
    known = call(f"codec.field[{json.dumps(name)}]", None)
    assert (known["label"], known["kind"], known["default"]) == (
        field.label,
        field.kind,
        field.write(default_of(field)),
    )
    limits = {"low", "high", "nullable"} & set(known)
    assert all(known[limit] == getattr(field, limit) for limit in limits)
    assert call("codec.same(...given)", [to_json(settings), to_json(Settings())]) is False


def test_nobodys_settings_are_the_same(call: Call) -> None:
    assert call("codec.defaults()", None) == to_json(Settings())
    assert call("codec.same(codec.defaults(), given)", to_json(Settings())) is True
    call("codec.defaults().painted.push(1)", None)  # whoever changes them changes a copy
    assert call("codec.defaults()", None) == to_json(Settings())


# Links -----------------------------------------------------------------------------------------------------------


@given(settings=some_settings())
@MANY
def test_python_reads_javascripts_links(call: Call, settings: Settings) -> None:
    query = call("codec.toQuery(given)", to_json(settings))
    assert from_query(query) == (settings, [])
    assert set(query) == set(to_query(settings))  # nothing is in a link that is as by default


@pytest.mark.parametrize("name", one_each())
def test_a_link_has_only_what_differs(call: Call, name: str) -> None:
    query = call("codec.toQuery(given)", to_json(one_each()[name]))
    assert list(query) == [BY_NAME[name].key] and query == to_query(one_each()[name])


@given(
    share=st.floats(0, 1, exclude_max=True) | st.sampled_from((0.0, 5e-324, 1e-7, 0.1, 0.29, 0.333, 0.57, 1 - 2**-53))
)
@MANY
def test_percent_in_a_link_is_the_share_to_the_last_digit(call: Call, share: float) -> None:
    text = call("percentText(given)", share)
    assert text == MAX_RATIO.to_query(share)
    assert MAX_RATIO.from_query(text) == share


# Controls --------------------------------------------------------------------------------------------------------


@given(settings=some_settings())
@MANY
def test_controls_show_and_read_as_in_python(call: Call, settings: Settings) -> None:
    for name in ON_CONTROLS:
        field = BY_NAME[name]
        value = value_of(settings, field)
        shown = call("toControl(codec.field[given[0]], given[1])", [name, field.write(value)])
        assert shown == field.write(field.to_control(value))
        read = call("fromControl(codec.field[given[0]], given[1])", [name, shown])
        assert read == field.write(field.from_control(field.to_control(value)))


@given(percent=st.floats(0, 100) | st.integers(0, 1000).map(lambda tenths: tenths / 10))
@MANY
def test_percent_is_the_same_share_to_the_last_bit(call: Call, percent: float) -> None:
    found = call("fromControl(codec.field.max_ratio, given)", percent)
    assert found == MAX_RATIO.from_control(percent)


@given(value=st.integers(0, 5000))
@MANY
def test_the_longest_answer_is_read_as_in_python(call: Call, value: int) -> None:
    found = call("fromControl(codec.length, given)", value)
    try:
        assert found == LENGTH.from_control(value)
    except GlimpseError:
        assert found is None


@pytest.mark.parametrize(
    ("name", "shown"),
    [("threshold", 1.5), ("threshold", None), ("max_ratio", 101), ("max_ratio", "5"), ("min_tokens", 1.5)]
    + [("min_tokens", -1), ("budget", -1), ("budget", ""), ("anchors", ["middle"]), ("anchors", "tl")],
)
def test_what_a_control_cannot_show_is_refused(call: Call, name: str, shown: Any) -> None:
    assert call("fromControl(codec.field[given[0]], given[1]) === undefined", [name, shown]) is True


# Words and rule --------------------------------------------------------------------------------------------------


@given(settings=some_settings())
@MANY
def test_words_are_the_same(call: Call, settings: Settings) -> None:
    assert call("codec.describe(given)", to_json(settings)) == describe(settings)


RULE = """(() => {
    const [text, settings, grid] = given;
    const scores = new Float32Array(Uint8Array.from(atob(text), (char) => char.charCodeAt(0)).buffer);
    const { mask, reason, kept } = paintTokens(selectTokens(scores, settings, undefined, grid), strokesOf(settings));
    return [[...mask], [...reason], kept];
})()"""


@given(
    settings=some_settings(24),
    logits=st.lists(st.floats(-40, 40, width=32) | st.sampled_from((0.0, 1.0)), min_size=24, max_size=24),
)
@MANY
def test_the_rule_is_the_same(call: Call, settings: Settings, logits: list[float]) -> None:
    settings = with_values(settings, {"control": ""})  # the server sends the masks of controls
    scores, grid = torch.tensor(logits), Grid(4, 6)
    expected = choose(scores, [grid], settings)
    given_ = [floats(scores.sigmoid()), to_json(settings), {"rows": grid.rows, "cols": grid.cols}]
    assert call(RULE, given_) == [expected.mask.int().tolist(), expected.reason.tolist(), int(expected.mask.sum())]


def test_the_scripts_know_no_other_names() -> None:
    """What they take out of settings are fields of the table, all of which their type has."""
    names = [field.name for field in FIELDS]
    body = re.search(r"interface Settings \{(.*?)\}", (WEB / "types.d.ts").read_text(), re.DOTALL)
    assert body is not None
    assert re.findall(r"^\s*(\w+)\??:", body[1], re.MULTILINE) == names
    text = "\n".join(path.read_text() for path in sorted(WEB.rglob("*.js")) if path.name != BUNDLE)
    taken = re.findall(r"\bsettings\.(?!js\b)(\w+)", text)
    for found in re.findall(r"\{([^{}]*)\} = (?:state\.)?settings\b", text) + re.findall(
        r"settings: \{([^{}]*)\}", text
    ):
        taken += [name.split(":")[0].strip() for name in found.split(",")]
    taken = [name for name in taken if not name.startswith("...") and name != "change"]
    assert len(taken) > 8 and set(taken) <= set(names)
