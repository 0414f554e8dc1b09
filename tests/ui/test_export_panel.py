"""The page's way to a link and back, without a browser: what the page tells is on the link, and set again from it."""

from __future__ import annotations

import base64
from typing import Any
from urllib.parse import parse_qsl

import pytest
from hypothesis import given

from glimpse_core.errors import GlimpseError
from glimpse_core.glimpse.settings import LENGTH, from_json, overlay, to_json, value_of
from glimpse_core.glimpse.settings.codec import BY_NAME
from glimpse_core.types import ManualEdits, Selection, Settings
from glimpse_core.ui import texts
from glimpse_core.ui.examples import load_examples
from glimpse_core.ui.export_panel import link_of, update_of
from glimpse_core.ui.gallery import Gallery
from glimpse_core.ui.inputs import read_options
from glimpse_core.ui.links import Link, read_link
from glimpse_core.ui.results import kept_of, load_results
from tests.support.some_settings import differing, one_each, some_settings

CONTROLS = ("threshold", "max_ratio", "min_tokens", "budget", "anchors")


def shown(settings: Settings) -> dict[str, Any]:
    """What the page's controls show of the settings."""
    return {name: BY_NAME[name].to_control(value_of(settings, BY_NAME[name])) for name in CONTROLS}


@given(some_settings(560))
def test_what_the_page_tells_is_on_its_link(settings: Settings) -> None:
    controls = shown(settings) | {LENGTH.name: 48}
    assert read_options(controls, to_json(settings)).settings == settings
    query, note = link_of(["example:3"], " What? ", controls, to_json(settings))
    link, problems = read_link(dict(parse_qsl(query.removeprefix("?"))), 8)
    assert (link.example, link.question, link.length, problems, note) == (3, "What?", 48, [], "")
    assert differing(link.settings, settings) == []


@given(some_settings(560))
def test_a_link_without_the_picture_has_nothing_painted(settings: Settings) -> None:
    query, note = link_of(["/tmp/mine.png"], "What?", shown(settings), to_json(settings))
    link, _ = read_link(dict(parse_qsl(query.removeprefix("?"))), 8)
    assert link.settings == Settings(settings.selection, settings.budget) and note == texts.LINK_WITHOUT_PICTURES


@pytest.mark.parametrize("name", CONTROLS)
def test_every_control_is_set_from_a_link(name: str) -> None:
    settings = one_each()[name]
    updates = {control: update_of(Link(settings=settings), control) for control in (*CONTROLS, LENGTH.name)}
    said = {control: update["value"] for control, update in updates.items() if "value" in update}
    assert list(said) == [name] and overlay(Settings(), said) == settings
    assert update_of(Link(length=7), LENGTH.name)["value"] == 7


def test_a_slider_grows_for_what_lies_beyond_its_end() -> None:
    update = update_of(Link(settings=Settings(Selection(min_tokens=500))), "min_tokens")
    assert (update["value"], update["maximum"]) == (500, 500)


GALLERY = Gallery(load_examples(), load_results("demo"))


@pytest.mark.parametrize("name", one_each())
def test_the_canvas_is_told_what_a_link_asks_for(name: str) -> None:
    settings, example = one_each()[name], GALLERY.examples[2]
    linked = GALLERY.open(["example:2"], None, settings).canvas["linked"]
    assert from_json(linked["settings"]) == settings
    assert (linked["question"], linked["ready"]) == (example.questions[0][0], True)
    mask = kept_of(GALLERY.results[example.path.name], settings).mask
    assert base64.b64decode(linked["mask"]) == (bytes(mask.tolist()) if name == "control" else b"")
    other = GALLERY.open(["example:2"], "Something else?", settings).canvas["linked"]
    assert (other["question"], other["ready"], other["mask"]) == ("Something else?", False, "")
    assert from_json(other["settings"]) == settings


def test_tokens_outside_the_picture_are_refused() -> None:
    with pytest.raises(GlimpseError, match=r"The edits name tokens \[5000\]"):
        GALLERY.open(["example:2"], None, Settings(edits=ManualEdits((5000,))))
