"""Settings in JavaScript: what goes in comes out, and controls, words and rule are Python's, for any settings."""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Iterator
from typing import Any

import hypothesis
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from playwright.sync_api import Browser

from glimpse_core.glimpse.settings import FIELDS, describe, from_json, overlay, to_json, value_of, with_values
from glimpse_core.glimpse.settings.codec import BY_NAME, default_of
from glimpse_core.inference.choice import choose
from glimpse_core.types import Grid, Settings
from glimpse_core.ui.component import STATIC, script
from glimpse_core.ui.payloads import floats
from tests.support.some_settings import differing, one_each, some_settings

ON_CONTROLS = ("threshold", "max_ratio", "min_tokens", "budget", "anchors")
FUNCTIONS = (
    "defaultSettings",
    "strokesOf",
    "withEdits",
    "overlayControls",
    "toControl",
    "describeSettings",
)
NAMES = ", ".join((*FUNCTIONS, "selectTokens", "paintTokens", "FIELD"))
MANY = hypothesis.settings(max_examples=150)


Call = Callable[[str, Any], Any]


@pytest.fixture(scope="module")
def call(browser: Browser) -> Iterator[Call]:
    """Run a piece of JavaScript that has the functions of settings.js and select.js, and `given`."""
    page = browser.new_page()
    page.evaluate(
        "([code, names]) => { window.names = names; window.made = new Function(`${code}; return { ${names} };`)(); }",
        [script("settings", "select"), NAMES],
    )
    run = "([text, given]) => new Function('given', `const { ${names} } = made; return ${text};`)(given)"
    yield lambda text, given: page.evaluate(run, [text, given])
    page.close()


# As the canvas keeps them: the rule, and the edits apart from it.
RULE_ALONE = "{ ...given, painted: [], erased: [], control: '', seed: 0 }"
ROUND = f"withEdits({RULE_ALONE}, strokesOf(given), given.control, given.seed)"


@given(settings=some_settings())
@MANY
def test_javascript_gives_the_value_back(call: Call, settings: Settings) -> None:
    assert differing(from_json(call(ROUND, to_json(settings))), settings) == []


@pytest.mark.parametrize("name", one_each())
def test_every_field_is_known_to_javascript(call: Call, name: str) -> None:
    field, settings = BY_NAME[name], one_each()[name]
    assert from_json(call(ROUND, to_json(settings))) == settings
    known = call(f"FIELD[{json.dumps(name)}]", None)
    assert (known["label"], known["kind"], known["default"]) == (
        field.label,
        field.kind,
        field.write(default_of(field)),
    )
    limits = {"low", "high", "nullable"} & set(known)
    assert all(known[limit] == getattr(field, limit) for limit in limits)


def test_nobodys_settings_are_the_same(call: Call) -> None:
    assert call("defaultSettings()", None) == to_json(Settings())


@given(settings=some_settings(), other=some_settings())
@MANY
def test_controls_are_read_as_in_python(call: Call, settings: Settings, other: Settings) -> None:
    shown = {name: BY_NAME[name].to_control(value_of(other, BY_NAME[name])) for name in ON_CONTROLS}
    assert call("overlayControls(...given)", [to_json(settings), shown]) == to_json(overlay(settings, shown))
    shows = "Object.fromEntries(given[1].map((name) => [name, toControl(FIELD[name], given[0][name])]))"
    assert call(shows, [to_json(other), ON_CONTROLS]) == shown


@given(percent=st.floats(0, 100) | st.integers(0, 1000).map(lambda tenths: tenths / 10))
@MANY
def test_percent_is_the_same_share_to_the_last_bit(call: Call, percent: float) -> None:
    found = call("overlayControls(defaultSettings(), given).max_ratio", {"max_ratio": percent})
    assert found == overlay(Settings(), {"max_ratio": percent}).selection.max_ratio


@pytest.mark.parametrize(
    ("name", "shown"),
    [("threshold", 1.5), ("threshold", None), ("max_ratio", 101), ("max_ratio", "5"), ("min_tokens", 1.5)]
    + [("min_tokens", -1), ("budget", -1), ("budget", ""), ("anchors", ["middle"]), ("anchors", "tl")],
)
def test_what_a_control_cannot_show_is_refused(call: Call, name: str, shown: Any) -> None:
    assert call("overlayControls(defaultSettings(), given)", {name: shown}) is None


@given(settings=some_settings())
@MANY
def test_words_are_the_same(call: Call, settings: Settings) -> None:
    assert call("describeSettings(given)", to_json(settings)) == describe(settings)


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
    """What they take out of settings are fields of the table."""
    text = script("settings", *sorted(path.stem for path in STATIC.glob("*.js") if path.stem != "settings"))
    taken = re.findall(r"\bsettings\.(?!js\b)(\w+)", text)
    for names in re.findall(r"\{([^{}]*)\} = settings\b", text) + re.findall(r"settings: \{([^{}]*)\}", text):
        taken += [name.split(":")[0].strip() for name in names.split(",")]
    assert len(taken) > 8 and set(taken) <= {field.name for field in FIELDS}
