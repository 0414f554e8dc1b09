"""Records against their schema, reports that show text as text, and links that cannot break the page."""

from __future__ import annotations

import base64
import copy
import io
import json
import re
from html import unescape
from html.parser import HTMLParser
from pathlib import Path
from typing import Any
from urllib.parse import parse_qsl, urlencode

import hypothesis
import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from jsonschema import Draft202012Validator
from PIL import Image

from glimpse_core.errors import GlimpseError
from glimpse_core.glimpse.settings import LENGTH, describe, to_json, to_query, value_of
from glimpse_core.glimpse.settings.codec import BY_NAME
from glimpse_core.glimpse.settings.interfaces import schema
from glimpse_core.inference.choice import choose
from glimpse_core.types import Grid, Kept, ManualEdits, Sampling, Selection, Settings
from glimpse_core.ui import export, figures, links, texts
from glimpse_core.ui.record import SCHEMA, record, settings_of, text, upgrade
from tests.browser.fake import FakeModel, FakeSession
from tests.support.some_settings import differing, one_each, some_settings

VALIDATOR = Draft202012Validator(json.loads(SCHEMA.read_text(encoding="utf-8")))
NASTY = "<img src=x onerror=alert(1)></p><script>alert(2)</script> {{ 7 * 7 }} {% raw %} \"' &amp; \u202e"


@pytest.fixture
def images() -> list[Image.Image]:
    red = Image.new("RGB", (224, 112), "gray")
    red.paste((250, 0, 0), (28, 28, 84, 56))
    return [red, Image.new("RGB", (56, 84), "white")]


def make(
    images: list[Image.Image],
    question: str = "What is red?",
    words: tuple[str, ...] = ("full", "kept"),
    penalty: float = 1.0,
    settings: Settings | None = None,
) -> Any:
    model = FakeModel(pace=0.0, words=3)
    model.backbone.repetition_penalty = penalty
    session = FakeSession.ask(model, images, question)
    settings, sampling = settings or Settings(Selection(0.4, 0.5, 2)), Sampling(max_new_tokens=8)
    kept = choose(session.logits, session.grids, settings)
    answers = {
        name: session.answer(None if name == "full" else kept.mask, sampling)
        for name in ("full", "kept")
        if name in words
    }
    for answer in answers.values():
        list(answer)
    made = record(
        model,
        session,
        question=question,
        alts=["A red bar.", "White."][: len(images)],
        originals=[image.size for image in images],
        kept=kept,
        settings=settings,
        sampling=sampling,
        answers=answers,
        costs=figures.costs_of(model, session, int(kept.mask.sum())),
    )
    return made, session, kept


def test_a_record_fits_its_schema_and_says_what_the_session_says(images: list[Image.Image]) -> None:
    made, session, kept = make(images)
    back = json.loads(text(made))
    VALIDATOR.validate(back)
    assert back == made
    probabilities = np.concatenate([np.float32(picture["probabilities"]).ravel() for picture in back["pictures"]])
    logits = np.concatenate([np.float32(picture["logits"]).ravel() for picture in back["pictures"]])
    assert np.array_equal(probabilities, session.probabilities.numpy())  # every float32 comes back exactly
    assert np.array_equal(logits, session.logits.numpy())
    mask = np.concatenate([np.ravel(picture["kept"]) for picture in back["pictures"]])
    reason = np.concatenate([np.ravel(picture["reasons"]) for picture in back["pictures"]])
    assert mask.tolist() == kept.mask.int().tolist() and reason.tolist() == kept.reason.tolist()
    assert [(picture["rows"], picture["cols"]) for picture in back["pictures"]] == [(4, 8), (3, 2)]
    assert [picture["original"] for picture in back["pictures"]] == [[224, 112], [56, 84]]
    assert back["tokens"] == {"total": 38, "kept": int(mask.sum()), "prompt": 58, "reused": 0}
    assert back["costs"]["visual_tokens"]["after"] == int(mask.sum()) > 0
    assert back["settings"]["threshold"] == 0.4 and back["settings"]["max_ratio"] == 0.5
    assert back["answers"]["full"]["text"].startswith("I see everything in word0")
    assert back["same"] is (back["answers"]["full"]["text"] == back["answers"]["kept"]["text"])


def test_a_record_without_answers_fits_too(images: list[Image.Image]) -> None:
    made, _, _ = make(images, words=())
    VALIDATOR.validate(made)
    assert made["answers"] == {"full": None, "kept": None} and made["same"] is None
    assert "All tokens" in export.report(made, images)


def test_a_penalty_on_repetition_is_told_where_there_is_one(images: list[Image.Image]) -> None:
    for penalty, told in ((1.0, False), (1.05, True)):
        made, _, _ = make(images, penalty=penalty)
        VALIDATOR.validate(made)
        assert made["sampling"]["repetition_penalty"] == penalty
        assert ("repetition penalty 1.05" in export.report(made, images)) is told
        del made["sampling"]["repetition_penalty"]  # as in records of before
        VALIDATOR.validate(made)
        assert "repetition penalty" not in export.report(made, images)


def drop_question(value: dict) -> None:
    del value["question"]


def wrong_mask(value: dict) -> None:
    value["pictures"][0]["kept"][0][0] = 2


def probability_above_one(value: dict) -> None:
    value["pictures"][0]["probabilities"][0][0] = 1.5


def unknown_field(value: dict) -> None:
    value["answers"]["full"]["mood"] = "good"


def wrong_ending(value: dict) -> None:
    value["answers"]["kept"]["finished"] = "bored"


def wrong_date(value: dict) -> None:
    value["created"] = "yesterday"


@pytest.mark.parametrize(
    "spoil", [drop_question, wrong_mask, probability_above_one, unknown_field, wrong_ending, wrong_date]
)
def test_the_schema_refuses_what_is_not_a_record(images: list[Image.Image], spoil: Any) -> None:
    value = copy.deepcopy(make(images)[0])
    spoil(value)
    assert not VALIDATOR.is_valid(value)


def test_every_field_of_the_schema_is_explained() -> None:
    Draft202012Validator.check_schema(VALIDATOR.schema)

    obvious = ("before", "after", "share", "decoder_prefill", "prefill", "decode", "seconds")

    def walk(node: Any, path: str) -> None:
        for name, child in node.get("properties", {}).items():
            assert "description" in child or name in obvious, f"{path}.{name}"
            walk(child, f"{path}.{name}")
            for other in (child.get("items", {}), *child.get("oneOf", [])):
                walk(other, f"{path}.{name}")

    walk(VALIDATOR.schema, "record")


class Outline(HTMLParser):
    """Tags with their attributes, and the text of the page."""

    def __init__(self, page: str) -> None:
        super().__init__()
        self.tags: list[tuple[str, dict[str, str | None]]] = []
        self.feed(page)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append((tag, dict(attrs)))


def test_a_report_shows_text_as_text_and_asks_for_nothing(images: list[Image.Image]) -> None:
    made, _, _ = make(images, question=NASTY)
    made["truth"] = made["model"]["name"] = made["pictures"][0]["alt"] = NASTY
    for name in ("full", "kept"):
        made["answers"][name]["text"] = NASTY + name
    made["same"] = False
    page = export.report(made, images)
    outline = Outline(page)
    tags = [tag for tag, _ in outline.tags]
    assert "script" not in tags and tags.count("img") == 8
    assert not [name for _, attrs in outline.tags for name in attrs if name.startswith("on")]
    addresses = [attrs[name] for _, attrs in outline.tags for name in ("src", "href") if name in attrs]
    assert addresses and all(address.startswith("data:") for address in addresses)
    assert all(attrs.get("alt") for tag, attrs in outline.tags if tag == "img")
    assert "@import" not in page and "url(" not in page
    assert "49" not in re.sub(r"data:[^\"]*", "", page).split("{{ 7 * 7 }}")[0][-40:]  # the template did not run it
    assert unescape(page).count("{{ 7 * 7 }}") >= 5
    data = next(attrs["href"] for tag, attrs in outline.tags if tag == "a").partition("base64,")[2]
    assert json.loads(base64.b64decode(data)) == made


def test_a_report_of_a_padded_picture_shows_the_picture_alone() -> None:
    """Rows 0 and 3 of 4 are padding: what is drawn comes from rows 1 and 2."""
    kept = [[1] * 4, [1] * 4, [0] * 4, [1] * 4]
    picture = {"alt": "Red.", "size": [56, 28], "rows": 4, "cols": 4, "frame": [0, 0.25, 1, 0.75], "kept": kept}
    shown = export._picture(picture | {"probabilities": [[0.0] * 4] * 4}, Image.new("RGB", (200, 100), "red"))
    (only,) = (view for view in shown["views"] if "only" in view["name"].lower() or "alone" in view["name"].lower())
    image = Image.open(io.BytesIO(base64.b64decode(only["src"].partition(",")[2]))).convert("RGB")
    assert image.size == (56, 28)
    assert image.getpixel((28, 5))[1] < 60 < 150 < image.getpixel((28, 22))[1]  # red above, blank below


def test_files_are_refused_in_words(images: list[Image.Image]) -> None:
    made, _, _ = make(images)
    with pytest.raises(GlimpseError, match="nothing to save yet"):
        export.export("json", None, list)
    with pytest.raises(GlimpseError, match="Expected json or html"):
        export.export("../../etc", made, list)
    with pytest.raises(GlimpseError, match="1 pictures were given. Expected 2"):
        export.report(made, images[:1])
    assert json.loads(export.export("json", made, list)["text"]) == made


# Settings -------------------------------------------------------------------------------------------------------


def report_of(page: str) -> dict[str, str]:
    """Label -> value of the list at the end of a report."""
    labels, values = (re.findall(f"<{tag}>(.*?)</{tag}>", page) for tag in ("dt", "dd"))
    return dict(zip(map(unescape, labels), map(unescape, values), strict=True))


@pytest.mark.parametrize("name", one_each())
def test_every_setting_is_in_record_schema_and_report(name: str) -> None:
    field, settings = BY_NAME[name], one_each()[name]
    made, _, kept = make([Image.new("RGB", (6 * 28, 4 * 28), "gray")], settings=settings)
    VALIDATOR.validate(json.loads(text(made)))
    assert differing(settings_of(json.loads(text(made))), settings) == []
    assert name in VALIDATOR.schema["properties"]["settings"]["required"]
    page = export.report(made, [Image.new("RGB", (6 * 28, 4 * 28), "gray")])
    assert report_of(page)[field.label] == field.to_words(value_of(settings, field))
    data = re.search(r"base64,([^\"]*)\">All scores", page)
    assert settings_of(json.loads(base64.b64decode(data[1]))) == settings
    assert unescape(page).count(made["rule"]) == 1 and made["rule"] == describe(settings)


@given(some_settings(24))
@hypothesis.settings(max_examples=40)
def test_a_record_gives_the_settings_back(settings: Settings) -> None:
    images = [Image.new("RGB", (6 * 28, 4 * 28), "gray")]
    made, session, kept = make(images, settings=settings)
    back = json.loads(export.export("json", made, list)["text"])
    VALIDATOR.validate(back)
    assert differing(settings_of(back), settings) == []
    mask = choose(session.logits, session.grids, settings_of(back)).mask
    assert mask.int().tolist() == np.ravel(back["pictures"][0]["kept"]).tolist() == kept.mask.int().tolist()


def test_the_schema_of_records_has_that_of_the_settings() -> None:
    assert VALIDATOR.schema["properties"]["settings"] == schema(), "run `python -m glimpse_core.ui.record`"


OLD = json.loads((Path(__file__).parent / "records-1.json").read_text(encoding="utf-8"))


@pytest.mark.parametrize("rule", OLD)
def test_records_of_the_first_version_are_read(rule: str) -> None:
    """Whatever was painted or drawn is taken from reasons and mask, so that the settings give the same mask again."""
    old = OLD[rule]
    assert old["format"] == "glimpse-record/1" and not VALIDATOR.is_valid(old)
    new = upgrade(old)
    VALIDATOR.validate(new)
    settings = settings_of(old)
    assert settings.selection.threshold == old["settings"]["threshold"] and new["settings"] == to_json(settings)
    assert new["sampling"] == {name: old["settings"][name] for name in new["sampling"]}
    logits = [np.float32(picture["logits"]).ravel() for picture in old["pictures"]]
    grids = [Grid(picture["rows"], picture["cols"]) for picture in old["pictures"]]
    mask = choose(torch.tensor(np.concatenate(logits)), grids, settings).mask
    assert mask.int().tolist() == np.concatenate([np.ravel(picture["kept"]) for picture in old["pictures"]]).tolist()
    words = {"scores": "relevance above", "painted": "painted in", "random": "random tokens", "anchors": "1 corner"}
    assert words[rule] in new["rule"]
    assert new["rule"] in unescape(export.report(old, [Image.new("RGB", (168, 112))] * len(old["pictures"])))


def test_a_record_of_an_unknown_version_is_refused() -> None:
    with pytest.raises(GlimpseError, match="Expected glimpse-record/2 or glimpse-record/1"):
        upgrade({"format": "glimpse-record/9"})


# Links ----------------------------------------------------------------------------------------------------------


def address_of(link: links.Link) -> dict[str, str]:
    """The parameters that the browser writes for a link, after one way through an address."""
    example = {} if link.example is None else {"ex": str(link.example + 1)}
    question = {"q": link.question} if link.question else {}
    length = {} if link.length is None else {LENGTH.key: LENGTH.to_query(link.length)}
    return dict(parse_qsl(urlencode(example | question | to_query(link.settings) | length)))


@pytest.mark.parametrize(
    "link",
    [
        links.Link(),
        links.Link(0, "What is it?", Settings(), 96),
        links.Link(None, "é & = # ? % + \u202e 👁️ <b>", Settings(Selection(0.123456, 0.335, 64)), 256),
        links.Link(
            7, None, Settings(Selection(0.0, 0.0, 0, ("tl", "br")), 9, ManualEdits((1, 2), (4,), "random", 3)), 1
        ),
    ],
)
def test_a_link_restores_what_it_was_made_from(link: links.Link) -> None:
    assert links.read_link(address_of(link), 8) == (link, [])


@given(some_settings(560), st.integers(0, 7), st.integers(1, 256))
def test_any_settings_come_back_from_a_link(settings: Settings, example: int, length: int) -> None:
    link = links.Link(example, "What?", settings, length)
    assert links.read_link(address_of(link), 8) == (link, [])


def test_links_of_earlier_versions_are_read() -> None:
    query = dict(parse_qsl("ex=3&q=Where+is+the+hat%3F&t=0.4&most=25&least=4&length=64"))
    settings = Settings(Selection(0.4, 0.25, 4))
    assert links.read_link(query, 8) == (links.Link(2, "Where is the hat?", settings, 64), [])
    assert links.read_link({"t": "0.5", "most": "100", "least": "1", "length": "96"}, 8)[0] == links.Link(length=96)


@pytest.mark.parametrize(
    ("query", "said"),
    [
        ({"ex": "9"}, 'Example in the link is "9". Expected an integer from 1 to 8.'),
        ({"ex": "0"}, "Expected an integer from 1 to 8."),
        ({"ex": "1.5"}, "Expected an integer from 1 to 8."),
        ({"ex": "one"}, 'Example in the link is "one"'),
        ({"ex": ""}, 'Example in the link is ""'),
        ({"t": "nan"}, 'Threshold in the link is "nan"'),
        ({"t": "inf"}, 'Threshold in the link is "inf"'),
        ({"t": "-0.1"}, "Expected a number from 0 to 1."),
        ({"t": "2"}, "Expected a number from 0 to 1."),
        ({"t": "0x1"}, "Expected a number from 0 to 1."),
        ({"most": "101"}, 'Maximum share in the link is "101". Expected a percentage from 0 to 100.'),
        ({"least": "100001"}, "Minimum tokens in the link"),
        ({"least": "1e400"}, "Minimum tokens in the link"),
        ({"top": "0"}, "Budget in the link"),
        ({"corners": "middle"}, 'Anchors in the link are "middle". Expected any of tl, tr, bl, br.'),
        ({"in": "9-3"}, "Painted tokens in the link"),
        ({"control": "everything"}, "Expected one of random, inverse or none."),
        ({"length": "0"}, "Longest answer in the link"),
        ({"q": " "}, texts.NO_QUESTION),
        ({"q": "x" * 2001}, "2,001 characters"),
        ({"t": "<script>" + "x" * 500}, '"<script>'),
    ],
)
def test_a_bad_value_in_a_link_gives_one_sentence(query: dict[str, str], said: str) -> None:
    link, problems = links.read_link(query | {"utm": "1"}, 8)
    assert link == links.Link() and len(problems) == 1
    assert said in problems[0] and len(problems[0]) < 200


def test_the_good_values_beside_a_bad_one_count() -> None:
    link, problems = links.read_link({"ex": "2", "t": "x", "least": "4"}, 8)
    assert link == links.Link(1, settings=Settings(Selection(min_tokens=4))) and len(problems) == 1


def test_kept_by_a_floor_is_said_as_such(images: list[Image.Image]) -> None:
    """The reasons of a record are codes into its own list of words."""
    made, _, kept = make(images)
    assert isinstance(kept, Kept)
    words = {made["reasons"][code] for picture in made["pictures"] for row in picture["reasons"] for code in row}
    assert {"dropped by the threshold", "kept by the threshold"} <= words
