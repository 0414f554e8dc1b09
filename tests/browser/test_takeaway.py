"""Saving what is on the page, opening the report without a network, and links that bring the page back."""

from __future__ import annotations

import io
import json
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any
from urllib.parse import parse_qs, urlencode, urlparse

import numpy as np
import pytest
from jsonschema import Draft202012Validator
from PIL import Image
from playwright.sync_api import Browser, Page, expect

from glimpse_core.glimpse.settings import describe, from_json, from_query
from glimpse_core.inference.choice import choose
from glimpse_core.media.overlay import colors
from glimpse_core.types import ManualEdits, Selection
from glimpse_core.ui.record import SCHEMA
from glimpse_core.ui.results import kept_of, load_results
from tests.browser.conftest import (
    DESKTOP,
    Served,
    Visit,
    ask,
    browser_mask,
    canvas,
    finished,
    more,
    question,
    serve,
    set_threshold,
    upload,
    view,
)
from tests.browser.conftest import choose as choose_example
from tests.browser.fake import PATCH, FakeModel, FakeSession

NASTY = "<img src=x onerror='window.hacked = 1'><script>window.hacked = 1</script> {{ 7 * 7 }} \u202e 👁️"


def save(page: Page, name: str, path: Path) -> Path:
    with page.expect_download() as waiting:
        page.get_by_role("group", name="Save").get_by_role("button", name=name).click()
    waiting.value.save_as(path)
    return path / waiting.value.suggested_filename if path.is_dir() else path


def said(page: Page):
    return page.locator(".export .message")


@pytest.fixture
def red(tmp_path: Path) -> Path:
    """A gray picture of 4 x 6 tokens whose last column of the first row is red."""
    image = Image.new("RGB", (6 * PATCH, 4 * PATCH), (90, 90, 90))
    image.paste((250, 0, 0), (5 * PATCH, 0, 6 * PATCH, PATCH))
    path = tmp_path / "red.png"
    image.save(path)
    return path


VIEWS = {
    "Picture": "picture",
    "Heat map": "relevance of every visual token",
    "Kept": "kept tokens",
    "Kept only": "kept tokens alone",
    "Wipe": "left all tokens, right the kept ones",
}
# What is written under a saved picture, as the canvas is told it.
LISTEN = """() => {
    window.written = [];
    const write = CanvasRenderingContext2D.prototype.fillText;
    CanvasRenderingContext2D.prototype.fillText = function (text, ...rest) {
        window.written.push(text);
        return write.call(this, text, ...rest);
    };
}"""


def test_every_view_is_saved_as_it_is_seen(fake: Served, visit: Visit, red: Path, tmp_path: Path) -> None:
    """Every token of every view has the color that its score and the mask give it, beside its middle and off the lines.

    Relevance grows by column, so that about half is kept; overlay 0.8, the wipe at one third.
    """
    image, strip = Image.open(red), [(90 + 25 * col, 60, 60) for col in range(6)]
    for col, color in enumerate(strip):
        image.paste(color, (col * PATCH, 0, (col + 1) * PATCH, 4 * PATCH))
    image.save(red)
    page = visit(fake)
    upload(page, red)
    ask(page, "What is red?")
    scores = fake.session.probabilities.numpy().reshape(4, 6)
    kept = fake.session.select().mask.numpy().reshape(4, 6)
    assert 0 < kept.sum() < kept.size
    page.evaluate(LISTEN)
    view(page, "Wipe")
    page.locator(".fade input").fill("0.35")
    fade, white = 0.8, np.full(3, 255.0)
    for name, words in VIEWS.items():
        view(page, name)
        file = save(page, "Picture", tmp_path / "view.png")
        saved = np.asarray(Image.open(io.BytesIO(file.read_bytes())).convert("RGB")).astype(float)
        assert file.read_bytes()[:4] == b"\x89PNG"
        assert saved.shape[1] == 6 * PATCH and saved.shape[0] > 4 * PATCH  # its own pixels, and a line of words
        assert saved[4 * PATCH :].min() < 110 and (saved[4 * PATCH :] == 255).mean() > 0.5
        said = page.evaluate("window.written.at(-1)")
        assert said == f"{words}: {kept.sum()} of 24 tokens kept ({100 * kept.mean():.1f}%): relevance above 0.5"
        for (row, col), on in np.ndenumerate(kept):
            base, x = np.array(strip[col], float), col * PATCH + 20
            veiled = {"Kept": fade, "Kept only": 1.0, "Wipe": float(x > 0.35 * 6 * PATCH)}.get(name, 0.0)
            want = base if on else veiled * white + (1 - veiled) * base
            if name == "Heat map":
                heat = colors(np.array([round(255 * scores[row, col]) / 255]))[0]
                want = fade * np.asarray(heat, float) + (1 - fade) * base
            assert np.abs(saved[row * PATCH + 20, x] - want).max() < 8, (name, row, col, on)
    expect(page.get_by_role("radio", name="Wipe")).to_have_attribute("aria-checked", "true")


def test_data_is_the_session_and_fits_the_schema(fake: Served, visit: Visit, red: Path, tmp_path: Path) -> None:
    page = visit(fake)
    page.get_by_role("button", name="Data").click()
    expect(said(page)).to_contain_text("nothing to save yet")
    upload(page, red)
    ask(page, "What is red?")
    set_threshold(page, "0.9")
    page.get_by_role("button", name="Answer again").click()
    expect(page.locator(".card.kept .hint")).to_contain_text("relevance above 0.9")
    expect(page.locator(".verdict[data-same]")).to_be_visible()
    expect(page.get_by_role("button", name="Answer again")).to_be_enabled()
    data = json.loads(save(page, "Data", tmp_path / "record.json").read_text())
    Draft202012Validator(json.loads(SCHEMA.read_text())).validate(data)
    session = fake.session
    assert np.array_equal(np.float32(data["pictures"][0]["probabilities"]).ravel(), session.probabilities.numpy())
    assert np.ravel(data["pictures"][0]["kept"]).tolist() == session.select(Selection(0.9)).mask.int().tolist()
    assert np.ravel(data["pictures"][0]["kept"]).tolist() == browser_mask(page)
    assert data["settings"]["threshold"] == 0.9 and data["question"] == "What is red?"
    assert data["answers"]["kept"]["text"] == page.locator(".card.kept .text").inner_text()
    assert data["answers"]["full"]["text"] == page.locator(".card.full .text").inner_text()
    assert str(red) not in json.dumps(data)  # where the server keeps an upload is nobody's business


def test_the_report_opens_offline_and_asks_for_nothing(
    fake: Served, visit: Visit, browser: Browser, red: Path, tmp_path: Path
) -> None:
    page = visit(fake)
    upload(page, red)
    ask(page, NASTY)
    path = save(page, "Report", tmp_path / "report.html")
    with browser.new_context(viewport=DESKTOP, offline=True) as alone:
        reader = alone.new_page()
        requests: list[str] = []
        errors: list[str] = []
        reader.on("request", lambda request: requests.append(request.url))
        reader.on("console", lambda message: errors.append(message.text))
        reader.on("pageerror", lambda error: errors.append(str(error)))
        reader.goto(path.as_uri())
        assert [url for url in requests if not url.startswith("data:")] == [path.as_uri()]
        assert not errors
        expect(reader.get_by_role("heading", level=1)).to_have_text(NASTY)
        assert reader.evaluate("window.hacked") is None
        loaded = reader.locator("img").evaluate_all("images => images.map((image) => [image.naturalWidth, image.alt])")
        assert len(loaded) == 4 and all(width == 6 * PATCH and alt for width, alt in loaded)
        for name in ("full", "kept"):
            expect(reader.locator("main")).to_contain_text(page.locator(f".card.{name} .text").inner_text())
        assert reader.evaluate("document.documentElement.scrollWidth") <= DESKTOP["width"]


# Links ----------------------------------------------------------------------------------------------------------


def test_a_link_brings_back_example_question_and_settings(fake: Served, visit: Visit, browser: Browser) -> None:
    page = visit(fake)
    page.context.grant_permissions(["clipboard-read", "clipboard-write"])
    choose_example(page, fake, 3)
    question(page).fill("Where is the & = # ü?")
    set_threshold(page, "0.37")
    more(page)
    page.get_by_role("spinbutton", name="Keep at least").fill("7")
    page.get_by_role("spinbutton", name="Keep at least").press("Tab")
    page.get_by_role("button", name="Copy link").click()
    expect(said(page)).to_contain_text("The link is copied.")
    address = page.get_by_role("textbox", name="Link to this").input_value()
    assert page.evaluate("navigator.clipboard.readText()") == address
    assert parse_qs(urlparse(address).query)["ex"] == ["4"]

    other = browser.new_page(viewport=DESKTOP)
    other.goto(address)
    expect(question(other)).to_have_value("Where is the & = # ü?")
    expect(other.get_by_role("spinbutton", name="Keep tokens more relevant than")).to_have_value("0.37")
    other.wait_for_function(
        "window.glimpse.stage.settings.threshold === 0.37 && window.glimpse.stage.settings.min_tokens === 7"
    )
    assert other.evaluate("window.glimpse.stage.pictures[0].alt") == fake.flow.gallery.examples[3].alt
    ask(other, wait=False)
    expect(other.locator(".card.kept .hint")).to_contain_text("relevance above 0.37, at least 7")
    assert fake.session.question == "Where is the & = # ü?"
    other.close()


def test_a_bad_link_says_what_is_wrong_and_the_page_works(fake: Served, browser: Browser) -> None:
    page = browser.new_page(viewport=DESKTOP)
    page.goto(fake.url + "?ex=99&t=nan&least=3&q=%3Cb%3Ewhat%3C%2Fb%3E")
    line = page.locator(".glimpse-status[data-kind=error]")
    expect(line).to_contain_text('Example in the link is "99". Expected an integer from 1 to 8.')
    expect(line).to_contain_text('Threshold in the link is "nan". Expected a number from 0 to 1.')
    expect(question(page)).to_have_value("<b>what</b>")
    ask(page)
    expect(page.locator(".card.kept .hint")).to_contain_text("relevance above 0.5, at least 3")
    page.close()


def test_own_pictures_are_on_no_link(fake: Served, visit: Visit, red: Path) -> None:
    page = visit(fake)
    upload(page, red)
    page.wait_for_function("window.glimpse.stage.pictures[0].width === 168")
    page.get_by_role("button", name="Copy link").click()
    expect(said(page)).to_contain_text("the question and the settings only")
    address = page.get_by_role("textbox", name="Link to this").input_value()
    assert "ex=" not in address and "red" not in address.split("?")[1].partition("q=")[0]


@pytest.fixture(scope="module")
def stored() -> Iterator[Served]:
    """The page on the stand-in engine, with the stored results of the examples."""
    model = FakeModel()
    with serve(model, load=lambda: model, start=FakeSession.ask) as served:
        yield served


def answered(session: FakeSession) -> list[int]:
    """The mask that the last pruned answer had."""
    return [mask for mask in session.masks if mask is not None][-1]


EDITS = {
    "t": "0.37",
    "most": "12.5",
    "least": "70",
    "corners": "tl,br",
    "in": "3-6,9",
    "out": "0,40-60",
    "length": "48",
}


def state(page: Page) -> dict[str, Any]:
    """The settings on the stage, and what the controls show."""
    shown = {
        name: page.get_by_role("spinbutton", name=label).input_value()
        for name, label in (
            ("threshold", "Keep tokens more relevant than"),
            ("max_ratio", "Keep at most"),
            ("min_tokens", "Keep at least"),
            ("budget", "Keep exactly"),
            ("length", "Longest answer"),
        )
    }
    corners = [name for name in ("top left", "top right", "bottom left", "bottom right")
               if page.get_by_role("checkbox", name=name).is_checked()]  # fmt: skip
    return {"settings": page.evaluate("window.glimpse.stage.settings"), "shown": shown, "corners": corners}


def copied(page: Page) -> dict[str, list[str]]:
    page.get_by_role("button", name="Copy link").click()
    address = page.get_by_role("textbox", name="Link to this")
    expect(address).to_be_visible()
    return parse_qs(urlparse(address.input_value()).query)


@pytest.mark.parametrize("control", [{}, {"control": "inverse"}, {"control": "random", "seed": "5"}, {"top": "24"}])
def test_an_opened_link_shows_exactly_its_settings(stored: Served, visit: Visit, control: dict[str, str]) -> None:
    """Of an example with a stored result, at once: cap, floor beyond the slider's end, anchors, edits, a control."""
    query = {"ex": "3", **EDITS, **control}
    settings, problems = from_query(query)
    assert problems == []
    page = visit(replace(stored, url=f"{stored.url}?{urlencode(query)}"))
    more(page)
    page.wait_for_function("window.glimpse.stage.settings.min_tokens === 70")
    result = load_results("demo")[stored.flow.gallery.examples[2].path.name]
    expected = kept_of(result, settings).mask.int().tolist()
    page.wait_for_function("(mask) => [...window.glimpse.stage.selection.mask].join() === mask.join()", arg=expected)
    assert from_json(state(page)["settings"]) == settings
    budget = control.get("top", "0")
    assert state(page)["shown"] == {
        "threshold": "0.37", "max_ratio": "12.5", "min_tokens": "70", "budget": budget, "length": "48",
    }  # fmt: skip
    assert state(page)["corners"] == ["top left", "bottom right"]
    assert {name: values for name, values in copied(page).items() if name != "q"} == {
        name: [value] for name, value in query.items()
    }
    page.get_by_role("button", name="Answer again").click()  # asks anew, with these very tokens
    expect(page.locator(".stored")).to_have_count(0)
    finished(page)
    assert answered(stored.session) == choose(stored.session.logits, stored.session.grids, settings).mask.int().tolist()
    assert from_json(state(page)["settings"]) == settings


def test_the_edits_of_a_link_wait_for_its_question(fake: Served, visit: Visit) -> None:
    """Nothing is scored yet: the edits come with the scores of the link's question, and not with those of another."""
    query = {"ex": "3", "q": "What is it?", **EDITS}
    settings, _ = from_query(query)
    page = visit(replace(fake, url=f"{fake.url}?{urlencode(query)}"))
    page.wait_for_function("window.glimpse.stage.settings.min_tokens === 70")
    expect(question(page)).to_have_value("What is it?")
    ask(page)
    assert answered(fake.session) == choose(fake.session.logits, fake.session.grids, settings).mask.int().tolist()
    assert browser_mask(page) == answered(fake.session)
    expect(page.locator(".card.kept .hint")).to_have_text(describe(settings))
    assert from_json(page.evaluate("window.glimpse.stage.settings")) == settings
    ask(page, "What else?")
    unpainted = replace(settings, edits=ManualEdits())
    assert answered(fake.session) == choose(fake.session.logits, fake.session.grids, unpainted).mask.int().tolist()
    assert from_json(page.evaluate("window.glimpse.stage.settings")) == unpainted


def test_what_was_painted_and_chosen_is_on_the_link(fake: Served, visit: Visit) -> None:
    page = visit(fake)
    page.get_by_role("group", name="Example pictures").get_by_role("button").nth(3).click()
    expect(question(page)).to_have_value(fake.flow.gallery.examples[3].questions[0][0])
    ask(page, "Where?")
    more(page)
    page.get_by_role("spinbutton", name="Keep exactly").fill("24")
    page.get_by_role("spinbutton", name="Keep exactly").press("Tab")
    page.get_by_role("checkbox", name="bottom left").check()
    canvas(page).focus()
    for key in ("ArrowDown", "Space", "ArrowRight", "ArrowRight", "Space"):
        page.keyboard.press(key)
    page.wait_for_function(
        "window.glimpse.stage.settings.budget === 24 && window.glimpse.stage.settings.anchors.length === 1"
    )
    told = from_json(page.evaluate("window.glimpse.stage.settings"))
    assert told.budget == 24 and told.selection.anchors == ("bl",) and len(told.edits.strokes) == 2
    query = {name: value for name, (value,) in copied(page).items()}
    assert from_query(query) == (told, []) and (query["ex"], query["q"], query["length"]) == ("4", "Where?", "96")


def test_a_link_whose_tokens_lie_outside_the_picture_says_so(stored: Served, visit: Visit) -> None:
    page = visit(replace(stored, url=f"{stored.url}?ex=2&in=5000&t=0.4"))
    expect(page.locator(".glimpse-status[data-kind=error]")).to_contain_text("The edits name tokens [5000]")
    page.wait_for_function("window.glimpse.stage.settings.threshold === 0.4")
    ask(page)
