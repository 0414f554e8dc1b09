"""Saving what is on the page, opening the report without a network, and links that bring the page back."""

from __future__ import annotations

import io
import json
import threading
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from urllib.parse import parse_qs, urlencode, urlparse

import numpy as np
import pytest
from jsonschema import Draft202012Validator
from PIL import Image
from playwright.sync_api import Browser, BrowserContext, Locator, Page, expect

from glimpse_core.glimpse.settings import describe, from_json, from_query
from glimpse_core.inference.choice import choose
from glimpse_core.media.overlay import colors
from glimpse_core.types import ManualEdits, Selection, Settings
from glimpse_core.ui.examples import Example
from glimpse_core.ui.record import SCHEMA
from glimpse_core.ui.results import kept_of, load_results
from tests.browser.conftest import (
    DESKTOP,
    PATIENCE,
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
    shown,
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


def said(page: Page) -> Locator:
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
NARROW = 480  # pixels: no saved picture is narrower


def gray_of(color: np.ndarray) -> np.ndarray:
    """The color without its saturation, as CSS compositing defines its brightness."""
    return np.full(3, color @ (0.3, 0.59, 0.11))


def test_every_view_is_saved_as_it_is_seen(fake: Served, visit: Visit, red: Path, tmp_path: Path) -> None:
    """Every token of every view has the color that its score and the mask give it, beside its middle and off the lines.

    Relevance grows by column, so that about half is kept; overlay 0.8, the wipe at one third. Below it stand the
    question, both answers, and what decided which tokens are kept.
    """
    image, strip = Image.open(red), [(90 + 25 * col, 60, 60) for col in range(6)]
    for col, color in enumerate(strip):
        image.paste(color, (col * PATCH, 0, (col + 1) * PATCH, 4 * PATCH))
    image.save(red)
    page = visit(fake)
    upload(page, red)
    shown(page)
    ask(page, "What is red?")
    scores = fake.session.probabilities.numpy().reshape(4, 6)
    kept = fake.session.select().mask.numpy().reshape(4, 6)
    assert 0 < kept.sum() < kept.size and kept[2, 5]
    page.evaluate(LISTEN)
    view(page, "Wipe")
    page.locator(".fade input").fill("0.35")
    fade, veil, left = 0.8, np.full(3, 255.0), (NARROW - 6 * PATCH) // 2
    answers = {name: page.locator(f".card.{name} .text").inner_text() for name in ("kept", "full")}
    for number, (name, words) in enumerate(VIEWS.items()):
        view(page, name)
        page.evaluate("window.written.length = 0")
        file = save(page, "Picture", tmp_path / f"{number}.png")
        saved = np.asarray(Image.open(io.BytesIO(file.read_bytes())).convert("RGB")).astype(float)
        assert file.read_bytes()[:4] == b"\x89PNG"
        assert (
            saved.shape[1] == NARROW and saved.shape[0] > 4 * PATCH
        )  # its own pixels in the middle, and lines of words
        assert saved[4 * PATCH :].min() < 110 and (saved[4 * PATCH :] == 255).mean() > 0.5
        ramp = "irrelevant 0 1 relevant" if name == "Heat map" else ""
        said = [
            *("What is red?", f"Pruned answer, {kept.sum()} visual tokens", answers["kept"]),
            *("Full answer, 24 visual tokens", answers["full"]),
            f"{words}: {kept.sum()} of 24 tokens kept ({100 * kept.mean():.1f}%): relevance above 0.5 {ramp}".strip(),
        ]
        assert " ".join(page.evaluate("window.written")) == " ".join(said)
        for (row, col), on in np.ndenumerate(kept):
            base, x = np.array(strip[col], float), col * PATCH + 20
            gray = gray_of(base)
            dim = 0.6 * veil + 0.4 * gray
            expected = base
            if name == "Heat map":
                score = round(255 * scores[row, col]) / 255
                cover = 0.75 * fade * np.sqrt(score)
                heat = np.asarray(colors(np.array([score]))[0], float)
                expected = cover * heat + (1 - cover) * (fade * gray + (1 - fade) * base)
            elif not on and name == "Kept":
                expected = fade * dim + (1 - fade) * base
            elif not on and name == "Kept only":
                expected = veil
            elif not on and name == "Wipe" and x > 0.35 * 6 * PATCH:
                expected = dim
            assert np.abs(saved[row * PATCH + 20, left + x] - expected).max() < 4, (name, row, col, on)
        # Kept tokens are outlined in every view with scores.
        edge = saved[2 * PATCH + 20, left + 6 * PATCH - 1]  # of the last column
        outline = np.array([0xB4, 0x53, 0x09], float)  # --glimpse-kept
        assert (np.abs(edge - outline).max() < 4) == (name != "Picture"), name
    expect(page.get_by_role("radio", name="Wipe")).to_have_attribute("aria-checked", "true")


def test_data_is_the_session_and_fits_the_schema(fake: Served, visit: Visit, red: Path, tmp_path: Path) -> None:
    page = visit(fake)
    page.get_by_role("button", name="Data").click()
    expect(said(page)).to_contain_text("nothing to save yet")
    upload(page, red)
    shown(page)
    ask(page, "What is red?")
    set_threshold(page, "0.9")
    page.get_by_role("button", name="Answer again").click()
    expect(page.locator(".card.kept .hint")).to_contain_text("relevance above 0.9")
    finished(page)
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
    shown(page)
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


def test_a_link_brings_back_example_question_settings_and_result(
    fake: Served, visit: Visit, context: BrowserContext
) -> None:
    page = visit(fake)
    page.context.grant_permissions(["clipboard-read", "clipboard-write"])
    choose_example(page, fake, 3)
    set_threshold(page, "0.37")
    page.get_by_role("spinbutton", name="Keep at least").fill("7")
    ask(page, "Where is the & = # ü?")
    view(page, "Wipe")
    question(page).fill("Not asked yet")  # the link is of what is shown
    page.get_by_role("button", name="Copy link").click()
    expect(said(page)).to_have_text("The link is copied. ")
    address = page.get_by_role("textbox", name="Link to this").input_value()
    assert page.evaluate("navigator.clipboard.readText()") == address
    assert queried(address) == {"ex": "4", "q": "Where is the & = # ü?", "t": "0.37", "least": "7", "view": "wipe"}

    other = context.new_page()
    other.goto(address)
    finished(other)  # the question is asked by itself
    expect(question(other)).to_have_value("Where is the & = # ü?")
    expect(other.get_by_role("radio", name="Wipe")).to_have_attribute("aria-checked", "true")
    assert other.evaluate("window.glimpse.stage.pictures[0].alt") == fake.flow.gallery.examples[3].alt
    expect(other.locator(".card.kept .hint")).to_contain_text("relevance above 0.37, at least 7")
    more(other)
    expect(other.get_by_role("spinbutton", name="Keep tokens more relevant than")).to_have_value("0.37")
    expect(other.get_by_role("spinbutton", name="Keep at least")).to_have_value("7")
    assert fake.session.question == "Where is the & = # ü?"
    assert answered(fake.session) == browser_mask(other) == browser_mask(page)


def test_a_link_can_be_copied_by_hand_where_there_is_no_clipboard(fake: Served, visit: Visit) -> None:
    page = visit(fake)
    ask(page)
    page.evaluate("() => void (navigator.clipboard.writeText = () => Promise.reject(new Error('not allowed')))")
    page.get_by_role("button", name="Copy link").click()
    expect(said(page)).to_have_text("Copy this link. ")
    address = page.get_by_role("textbox", name="Link to this")
    assert address.evaluate("(box) => box.selectionEnd - box.selectionStart") == len(address.input_value()) > 0


def test_a_bad_link_says_what_is_wrong_and_the_page_works(fake: Served, context: BrowserContext) -> None:
    page = context.new_page()
    page.goto(fake.url + "?ex=99&t=nan&least=3&view=evil&tab=evil&q=%3Cb%3Ewhat%3C%2Fb%3E")
    finished(page)  # the problems stay while the question is answered
    line = page.locator(".glimpse-status[data-kind=error]")
    expect(line).to_contain_text('Example in the link is "99". Expected an integer from 1 to 8.')
    expect(line).to_contain_text('Threshold in the link is "nan". Expected a number from 0 to 1.')
    expect(question(page)).to_have_value("<b>what</b>")
    expect(page.locator(".card.kept .hint")).to_contain_text("relevance above 0.5, at least 3")
    expect(page.get_by_role("radio", name="Kept", exact=True)).to_have_attribute("aria-checked", "true")
    expect(page.get_by_role("tab", name="Ask")).to_have_attribute("aria-selected", "true")
    ask(page, "And now?")
    expect(line).to_have_count(0)  # they were about the link


def test_own_pictures_are_on_no_link(fake: Served, visit: Visit, red: Path) -> None:
    page = visit(fake)
    upload(page, red)
    shown(page)
    ask(page, "What is it?")
    set_threshold(page, "0.4")
    canvas(page).focus()
    for key in ("ArrowDown", "Space"):  # edits are of tokens of the picture
        page.keyboard.press(key)
    assert page.evaluate("window.glimpse.stage.settings.erased.length") == 1
    assert copied(page) == {"q": "What is it?", "t": "0.4"}
    expect(said(page)).to_contain_text("the question and the settings only")


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


def settings_of(page: Page) -> Settings:
    return from_json(page.evaluate("window.glimpse.stage.settings"))


def on_controls(page: Page) -> tuple[dict[str, str], list[str]]:
    """What the unfolded settings show: numbers, and ticked corners."""
    more(page)
    labels = ("Keep tokens more relevant than", "Keep at most", "Keep at least", "Longest answer")
    numbers = {label: page.get_by_role("spinbutton", name=label).input_value() for label in labels}
    corners = ("top left", "top right", "bottom left", "bottom right")
    return numbers, [name for name in corners if page.get_by_role("checkbox", name=name).is_checked()]


def queried(address: str) -> dict[str, str]:
    return {name: value for name, (value,) in parse_qs(urlparse(address).query).items()}


def copied(page: Page) -> dict[str, str]:
    page.get_by_role("button", name="Copy link").click()
    address = page.get_by_role("textbox", name="Link to this")
    expect(address).to_be_visible()
    return queried(address.input_value())


@pytest.mark.parametrize("control", [{}, {"control": "inverse"}, {"control": "random", "seed": "5"}, {"top": "24"}])
def test_an_opened_link_shows_exactly_its_settings(stored: Served, visit: Visit, control: dict[str, str]) -> None:
    """Of an example with a stored result: cap, floor beyond the slider's end, anchors, edits, a control.

    The stored tokens are shown at once; the answer from them is asked for, and is from these very tokens.
    """
    query = {"ex": "3", **EDITS, **control}
    settings, problems = from_query(query)
    assert problems == []
    result = load_results("demo")[stored.flow.gallery.examples[2].path.name]
    page = visit(replace(stored, url=f"{stored.url}?{urlencode(query)}"))
    page.wait_for_function("window.glimpse.stage.settings.min_tokens === 70")
    finished(page)
    expect(page.locator(".stored")).to_have_count(0)
    assert stored.session.question == result.question
    expected = choose(stored.session.logits, stored.session.grids, settings).mask.int().tolist()
    assert answered(stored.session) == browser_mask(page) == expected
    assert settings_of(page) == settings
    numbers, corners = on_controls(page)
    assert list(numbers.values()) == ["0.37", "12.5", "70", "48"]
    assert corners == ["top left", "bottom right"]
    expect(page.locator("#glimpse-dial")).to_have_attribute(
        "aria-valuetext", f"{sum(expected)} of {len(expected)} tokens"
    )
    assert copied(page) == query | {"q": result.question}
    page.get_by_role("button", name="Answer again").click()
    finished(page)
    assert answered(stored.session) == expected
    assert settings_of(page) == settings


@pytest.mark.parametrize("control", [{}, {"control": "random", "seed": "5"}])
def test_the_tokens_of_a_link_are_there_before_the_model_is(
    visit: Visit, context: BrowserContext, control: dict[str, str]
) -> None:
    """The stage keeps what the link says of the stored scores, a random selection included, while the model loads."""
    query = {"ex": "3", **EDITS, **control}
    settings, _ = from_query(query)
    gate = threading.Event()
    with serve(None, load=lambda: gate.wait(PATIENCE / 1000) and FakeModel(), start=FakeSession.ask) as served:
        result = load_results("demo")[served.flow.gallery.examples[2].path.name]
        page = context.new_page()
        page.add_init_script(FIRST_MASK)
        page.goto(f"{served.url}?{urlencode(query)}")
        expected = kept_of(result, settings).mask.int().tolist()
        page.wait_for_function("(mask) => window.masks?.includes(mask)", arg="".join(map(str, expected)))
        gate.set()
        finished(page)


# Every selection that the stage had.
FIRST_MASK = """
window.masks = [];
const look = () => {
    const { store, stage } = window.glimpse ?? {};
    if (!store) return requestAnimationFrame(look);
    const seen = (state) => [state.settings, state.controlMask, state.scores];
    store.watch(seen, () => window.masks.push(stage.selection.mask.join("")));
};
requestAnimationFrame(look);
"""


def test_the_edits_of_a_link_are_those_of_its_question(fake: Served, visit: Visit) -> None:
    """Nothing is scored yet: the edits come with the scores of the link's question, and not with those of another."""
    query = {"ex": "3", "q": "What is it?", **EDITS}
    settings, _ = from_query(query)
    page = visit(replace(fake, url=f"{fake.url}?{urlencode(query)}"))
    finished(page)
    expect(question(page)).to_have_value("What is it?")
    assert answered(fake.session) == choose(fake.session.logits, fake.session.grids, settings).mask.int().tolist()
    assert browser_mask(page) == answered(fake.session)
    expect(page.locator(".card.kept .hint")).to_have_text(f"{sum(answered(fake.session))}: {describe(settings)}")
    assert settings_of(page) == settings
    ask(page, "What else?")
    unpainted = replace(settings, edits=ManualEdits())
    assert answered(fake.session) == choose(fake.session.logits, fake.session.grids, unpainted).mask.int().tolist()
    assert settings_of(page) == unpainted


def test_what_was_painted_and_chosen_is_on_the_link(fake: Served, visit: Visit) -> None:
    page = visit(fake)
    choose_example(page, fake, 3)
    ask(page, "Where?")
    more(page)
    page.get_by_role("checkbox", name="bottom left").check()
    page.get_by_role("spinbutton", name="Longest answer").fill("32")
    canvas(page).focus()
    for key in ("ArrowDown", "Space", "ArrowRight", "ArrowRight", "Space"):
        page.keyboard.press(key)
    told = settings_of(page)
    assert told.selection.anchors == ("bl",) and len(told.edits.strokes) == 2
    query = copied(page)
    assert from_query(query) == (told, []) and (query["ex"], query["q"], query["length"]) == ("4", "Where?", "32")


def test_a_link_whose_tokens_lie_outside_the_picture_says_so(stored: Served, visit: Visit) -> None:
    page = visit(replace(stored, url=f"{stored.url}?ex=2&in=5000&t=0.4"))
    expect(page.locator(".glimpse-status[data-kind=error]")).to_contain_text("The edits name tokens [5000]")
    assert settings_of(page) == Settings(Selection(0.4))
    ask(page)


def test_scattered_paint_is_on_no_link_and_the_page_says_so(visit: Visit, tmp_path: Path) -> None:
    """Every other token of a large example, more than a link can hold; all else of it stays."""
    model, side = FakeModel(), 64
    image = Image.new("RGB", (side * PATCH, side * PATCH), (90, 90, 90))
    image.save(tmp_path / "large.png")
    examples = (Example(tmp_path / "large.png", "A gray square.", (("What is it?", "Nothing."),)),)
    with serve(model, load=lambda: model, start=FakeSession.ask, examples=examples, results={}) as served:
        page = visit(served)
        ask(page)
        set_threshold(page, "0.4")
        every = [list(range(0, side * side, 2)), list(range(1, 40, 2))]
        for tokens, on in zip(every, (True, False), strict=True):
            page.evaluate(
                "([tokens, on]) => window.glimpse.store.dispatch({ type: 'stroke', tokens, on })", [tokens, on]
            )
        assert page.evaluate("window.glimpse.stage.settings.painted.length") == side * side // 2
        query = copied(page)
        expect(said(page)).to_contain_text("What you painted is too scattered for a link")
        assert "in" not in query
        assert query == {"ex": "1", "q": "What is it?", "t": "0.4", "out": ",".join(map(str, every[1]))}
