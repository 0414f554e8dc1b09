"""The page on a stand-in engine: what is shown, streamed, re-masked, stopped and refused."""

from __future__ import annotations

import itertools
import re
import threading
import time
from collections.abc import Callable
from pathlib import Path

import pytest
from PIL import Image, ImageDraw
from playwright.sync_api import Browser, Page, expect

from glimpse_core.errors import GlimpseError
from glimpse_core.types import Selection
from tests.browser.conftest import (
    DESKTOP,
    Served,
    ask,
    browser_mask,
    canvas,
    finished,
    pixel,
    question,
    serve,
    status,
    upload,
    view,
)
from tests.browser.fake import PATCH, FakeModel, FakeSession

Visit = Callable[[Served], Page]
SLOW = (0.25, 400)  # pace and words of an answer that does not end before a test has clicked, on a busy machine either

# Opening and asking ---------------------------------------------------------------------------------------------


def test_opens_with_an_example_ready_to_ask(fake: Served, visit: Visit) -> None:
    page = visit(fake)
    expect(page.get_by_role("heading", name="Glimpse", exact=True)).to_be_visible()
    expect(page.locator(".glimpse-badge")).to_have_text("democpu · float32 · sdpa")
    example = fake.flow.examples[0]
    expect(question(page)).to_have_value(example.questions[0][0])
    expect(page.get_by_role("img", name=example.alt, exact=True)).to_be_visible()
    expect(canvas(page)).to_have_accessible_name(example.alt + " Ask a question to see which parts the model keeps.")
    assert fake.model.sessions == []  # nothing ran


def test_enter_streams_both_answers_interleaved(fake: Served, visit: Visit) -> None:
    fake.model.pace = 0.04
    page = visit(fake)
    page.evaluate(
        """() => {
            window.lengths = [];
            const read = (name) => (document.querySelector(`.card.${name} .text`)?.textContent || "").length;
            new MutationObserver(() => window.lengths.push([read("full"), read("kept")]))
                .observe(document.querySelector("#glimpse-answers"), { childList: true, subtree: true });
        }"""
    )
    ask(page)
    lengths = page.evaluate("window.lengths")
    last = lengths[-1]
    partial = [pair for pair in lengths if 0 < pair[0] < last[0] and 0 < pair[1] < last[1]]
    assert len({tuple(pair) for pair in partial}) >= 3, lengths  # both grew, side by side, before either was done
    assert all(before <= after for before, after in itertools.pairwise(pair[0] for pair in partial))
    expect(page.locator(".verdict")).to_have_text("Same answer")
    expect(page.locator(".card.full dl")).to_contain_text("560")
    expect(page.locator(".card.kept dl")).to_contain_text("1.1%")
    expect(status(page)).to_have_text("")
    expect(page.get_by_role("button", name="Stop")).to_be_disabled()


def test_a_suggested_question_is_asked_with_one_click(fake: Served, visit: Visit) -> None:
    page = visit(fake)
    text, answer = fake.flow.examples[1].questions[2]
    page.get_by_role("group", name="Example pictures").get_by_role("button").nth(1).click()
    page.get_by_role("button", name=text).click()
    finished(page)
    assert fake.session.question == text
    expect(page.locator(".truth")).to_have_text(f"True answer: {answer}")


def test_markup_in_a_question_stays_text(fake: Served, visit: Visit) -> None:
    page = visit(fake)
    text = "<img src=x onerror='window.hacked = 1'><b>what</b> ${1+1} {{value}} ‮ 👁️ مرحبا"
    ask(page, text)
    expect(page.locator(".question")).to_have_text(text)
    assert page.evaluate("window.hacked") is None
    assert page.locator("#glimpse-answers img").count() == 0


# Selecting ------------------------------------------------------------------------------------------------------


def set_threshold(page: Page, value: str) -> None:
    box = page.get_by_role("spinbutton", name="Keep tokens more relevant than")
    box.fill(value)
    box.press("Tab")


def test_threshold_masks_anew_without_running_the_model(fake: Served, visit: Visit) -> None:
    page = visit(fake)
    ask(page)
    session = fake.session
    before = dict(session.counters)
    for value in ("0.9", "0.1", "0.08", "1", "0"):
        set_threshold(page, value)
        expected = session.select(Selection(threshold=float(value))).mask.int().tolist()
        page.wait_for_function(f"window.glimpse.stage.settings.threshold === {value}")
        assert browser_mask(page) == expected
        expect(page.locator(".count")).to_contain_text(f"{sum(expected)} of 560 tokens kept")
    assert session.counters == before
    assert len(fake.model.sessions) == 1


def test_every_slider_drag_is_followed(fake: Served, visit: Visit) -> None:
    page = visit(fake)
    ask(page)
    slider = page.get_by_role("slider", name="range slider for Keep tokens more relevant than")
    slider.focus()
    for _ in range(10):
        slider.press("ArrowLeft")
    page.wait_for_function("window.glimpse.stage.settings.threshold === 0.4")


def test_limits_mask_like_the_engine(fake: Served, visit: Visit) -> None:
    page = visit(fake)
    ask(page)
    page.get_by_role("button", name="More settings").click()
    page.get_by_role("spinbutton", name="Keep at least").fill("40")
    page.get_by_role("spinbutton", name="Keep at least").press("Tab")
    page.wait_for_function("window.glimpse.stage.settings.floor === 40")
    kept = fake.session.select(Selection(min_tokens=40))
    assert browser_mask(page) == kept.mask.int().tolist()
    set_threshold(page, "0.05")
    page.get_by_role("spinbutton", name="Keep at most").fill("15")
    page.get_by_role("spinbutton", name="Keep at most").press("Tab")
    page.wait_for_function("window.glimpse.stage.settings.ratio === 0.15")
    page.wait_for_function("window.glimpse.stage.settings.threshold === 0.05")
    kept = fake.session.select(Selection(0.05, 0.15, 40))
    assert browser_mask(page) == kept.mask.int().tolist()
    page.get_by_role("button", name="Answer again").click()
    expect(page.locator(".card.kept .hint")).to_have_text("relevance above 0.05, at most 15%, at least 40")
    finished(page)
    expect(page.locator(".card.kept dl")).to_contain_text(str(int(kept.mask.sum())))


def test_answering_again_goes_on_from_the_same_session(fake: Served, visit: Visit) -> None:
    page = visit(fake)
    ask(page)
    session = fake.session
    assert session.counters == {"vision": 1, "trunk": 1, "branch": 2, "answers": 2}
    set_threshold(page, "0.99")
    page.get_by_role("button", name="Answer again").click()
    expect(page.locator(".card.kept .hint")).to_have_text("relevance above 0.99")
    finished(page)
    assert fake.session is session
    assert session.counters == {"vision": 1, "trunk": 1, "branch": 3, "answers": 3}  # only the pruned answer ran
    expect(page.locator(".verdict")).to_have_text("Different answers")
    expect(page.locator(".card.full mark")).to_have_text(" everything")
    expect(page.locator(".card.kept mark")).to_have_text(" little")


# Looking --------------------------------------------------------------------------------------------------------


def paint(path: Path, size: tuple[int, int], row: int, col: int, **options: object) -> Path:
    """A gray picture with one red patch, exactly on the given token."""
    image = Image.new("RGB", size, (90, 90, 90))
    box = (col * PATCH, row * PATCH, (col + 1) * PATCH - 1, (row + 1) * PATCH - 1)
    ImageDraw.Draw(image).rectangle(box, fill=(250, 0, 0))
    image.save(path, **options)
    return path


@pytest.mark.parametrize(
    ("size", "row", "col"),
    [((20 * PATCH, 8 * PATCH), 6, 17), ((6 * PATCH, 22 * PATCH), 20, 1), ((2 * PATCH, 2 * PATCH), 0, 1)],
)
def test_overlay_sits_on_the_token_grid(
    fake: Served, visit: Visit, tmp_path: Path, size: tuple[int, int], row: int, col: int
) -> None:
    page = visit(fake)
    upload(page, paint(tmp_path / "patch.png", size, row, col))
    expect(canvas(page)).to_have_accessible_name("Your picture. Ask a question to see which parts the model keeps.")
    ask(page, "Where?")
    cols, rows = size[0] // PATCH, size[1] // PATCH
    assert [index for index, kept in enumerate(browser_mask(page)) if kept] == [row * cols + col]
    view(page, "Kept only")
    for near_row, near_col in ((row, col), (row, col - 1), (row, col + 1), (row - 1, col), (row + 1, col)):
        if not (0 <= near_row < rows and 0 <= near_col < cols):
            continue
        for dx, dy in ((0.12, 0.12), (0.88, 0.12), (0.12, 0.88), (0.88, 0.88)):  # close to the token's corners
            color = pixel(page, (near_col + dx) / cols, (near_row + dy) / rows)
            red = color[0] > 200 and color[1] < 60
            assert red == ((near_row, near_col) == (row, col)), (near_row, near_col, dx, dy, color)
    box = canvas(page).bounding_box()
    assert box is not None
    assert box["width"] / box["height"] == pytest.approx(cols / rows, rel=0.02)


def test_rotated_and_transparent_pictures_are_shown_as_meant(fake: Served, visit: Visit, tmp_path: Path) -> None:
    exif = Image.Exif()
    exif[0x0112] = 6  # turned by a quarter: the camera's top right is the picture's bottom right
    page = visit(fake)
    upload(page, paint(tmp_path / "turned.jpg", (10 * PATCH, 4 * PATCH), 0, 0, exif=exif, quality=95))
    ask(page, "Where?")
    grid = fake.session.grids[0]
    assert (grid.rows, grid.cols) == (10, 4)
    assert [index for index, kept in enumerate(browser_mask(page)) if kept] == [3]  # top right
    glass = Image.new("RGBA", (4 * PATCH, 4 * PATCH), (255, 0, 0, 0))  # red, but nobody can see it
    glass.save(tmp_path / "glass.png")
    upload(page, tmp_path / "glass.png")
    expect(page.locator(".glimpse-canvas")).to_have_attribute("data-scored", "false")
    assert pixel(page, 0.5, 0.5) == [255, 255, 255]


def test_keyboard_reads_every_token(fake: Served, visit: Visit) -> None:
    page = visit(fake)
    ask(page)
    session = fake.session
    canvas(page).focus()
    page.keyboard.press("ArrowRight")  # the first key goes to the most relevant token
    best = int(session.probabilities.argmax())
    grid = session.grids[0]
    words = page.locator(".words")
    expect(words).to_contain_text(f"Row {best // grid.cols + 1}, column {best % grid.cols + 1}")
    expect(words).to_contain_text(f"relevance {session.probabilities[best]:.3f}")
    expect(words).to_contain_text("rank 1 of 560: kept by the threshold")
    for _ in range(40):
        page.keyboard.press("ArrowUp")
        page.keyboard.press("ArrowLeft")
    expect(words).to_contain_text("Row 1, column 1 ")
    expect(words).to_contain_text("dropped by the threshold")
    page.keyboard.press("Escape")
    expect(words).to_contain_text("Point at a token")


def test_views_differ_and_follow_the_mouse(fake: Served, visit: Visit) -> None:
    page = visit(fake)
    ask(page)
    seen = {}
    for name in ("Picture", "Heat map", "Kept", "Kept only"):
        view(page, name)
        seen[name] = [tuple(pixel(page, x / 40, 0.93)) for x in range(40)]
    assert len(set(map(tuple, seen.values()))) == 4
    box = canvas(page).bounding_box()
    assert box is not None
    page.mouse.move(box["x"] + box["width"] * 0.99, box["y"] + box["height"] * 0.99)
    expect(page.locator(".words")).to_contain_text("Row 20, column 28")


def test_a_dropped_picture_is_taken(fake: Served, visit: Visit) -> None:
    page = visit(fake)
    page.evaluate(
        """async () => {
            const canvas = Object.assign(document.createElement("canvas"), { width: 56, height: 84 });
            const blob = await new Promise((resolve) => canvas.toBlob(resolve));
            const dataTransfer = new DataTransfer();
            dataTransfer.items.add(new File([blob], "mine.png", { type: "image/png" }));
            document.querySelector(".frame").dispatchEvent(new DragEvent("drop", { dataTransfer, cancelable: true }));
        }"""
    )
    expect(canvas(page)).to_have_accessible_name(re.compile("^Your picture"))
    assert page.evaluate("[stage => [stage.width, stage.height]][0](window.glimpse.stage.pictures[0])") == [56, 84]


def test_several_pictures_each_with_its_grid(fake: Served, visit: Visit, tmp_path: Path) -> None:
    page = visit(fake)
    first = paint(tmp_path / "one.png", (6 * PATCH, 4 * PATCH), 1, 2)
    second = paint(tmp_path / "two.png", (3 * PATCH, 5 * PATCH), 4, 0)
    upload(page, first, second)
    expect(page.locator(".pages button")).to_have_count(2)
    ask(page, "What do they share?")
    assert [(grid.rows, grid.cols) for grid in fake.session.grids] == [(4, 6), (5, 3)]
    assert [index for index, kept in enumerate(browser_mask(page)) if kept] == [8, 24 + 12]
    view(page, "Kept only")
    page.locator(".pages button").nth(1).click()
    page.wait_for_timeout(200)
    assert pixel(page, 0.5 / 3, 4.5 / 5)[1] < 60  # red
    upload(page, *[first] * 5)
    expect(status(page)).to_contain_text("at most 4 fit")


# Stopping -------------------------------------------------------------------------------------------------------


def test_stop_stops_the_model_and_frees_the_page(fake: Served, visit: Visit) -> None:
    fake.model.pace, fake.model.words = SLOW
    page = visit(fake)
    threads = threading.active_count()
    ask(page, wait=False)
    expect(page.locator(".card.kept .text")).to_contain_text("word3")
    page.get_by_role("button", name="Stop").click()
    expect(status(page)).to_have_text("Stopped.")
    expect(page.locator(".card.kept .state")).to_have_text("stopped")
    expect(page.locator(".verdict")).to_have_text("Stopped before both answers were complete")
    time.sleep(0.6)
    text = page.locator(".card.full .text").text_content()
    time.sleep(1.0)
    assert page.locator(".card.full .text").text_content() == text  # nothing streams on
    assert threading.active_count() <= threads + 3  # Gradio's own worker threads may come, ours may not stay
    fake.model.pace, fake.model.words = 0.01, 5
    ask(page)  # usable at once
    expect(page.locator(".card.full .state")).to_have_text("")


def test_a_stopped_answer_can_be_finished_from_the_same_session(fake: Served, visit: Visit) -> None:
    fake.model.pace, fake.model.words = SLOW
    page = visit(fake)
    ask(page, wait=False)
    expect(page.locator(".card.kept .text")).to_contain_text("word2")
    page.get_by_role("button", name="Stop").click()
    expect(status(page)).to_have_text("Stopped.")
    session, fake.model.pace, fake.model.words = fake.session, 0.01, 4
    page.get_by_role("button", name="Answer again").click()
    expect(page.locator(".verdict")).to_have_text("Same answer")  # both ran again
    assert fake.session is session
    assert session.counters["vision"] == 1


def test_choosing_another_picture_ends_the_running_answer(fake: Served, visit: Visit) -> None:
    fake.model.pace, fake.model.words = SLOW
    page = visit(fake)
    ask(page, wait=False)
    expect(page.locator(".card.kept .text")).to_contain_text("word2")
    page.get_by_role("group", name="Example pictures").get_by_role("button").nth(2).click()
    expect(page.locator(".idle")).to_be_visible()
    page.wait_for_timeout(1000)
    expect(page.locator(".idle")).to_be_visible()
    fake.model.pace, fake.model.words = 0.01, 3
    ask(page)
    expect(page.locator(".question")).to_have_text(fake.flow.examples[2].questions[0][0])


def test_a_bad_upload_leaves_the_running_answer_alone(fake: Served, visit: Visit, tmp_path: Path) -> None:
    fake.model.pace, fake.model.words = SLOW[0], 12
    page = visit(fake)
    ask(page, wait=False)
    expect(page.locator(".card.kept .text")).to_contain_text("word2")
    (tmp_path / "text.png").write_text("I am a text file.")
    upload(page, tmp_path / "text.png")
    expect(page.get_by_role("alert")).to_contain_text("not a picture that can be read")
    finished(page)
    expect(page.locator(".card.kept .text")).to_contain_text("word11")
    expect(page.get_by_role("alert")).to_contain_text("not a picture that can be read")
    expect(page.get_by_role("button", name="Ask", exact=True)).to_be_enabled()


def test_a_suggestion_replaces_the_running_question(fake: Served, visit: Visit) -> None:
    fake.model.pace, fake.model.words = SLOW
    page = visit(fake)
    ask(page, "First?", wait=False)
    expect(page.locator(".card.kept .text")).to_contain_text("word2")
    fake.model.pace, fake.model.words = 0.01, 3
    text = fake.flow.examples[0].questions[1][0]
    page.get_by_role("button", name=text).click()
    expect(page.locator(".question")).to_have_text(text)
    finished(page)
    assert [session.question for session in fake.model.sessions] == ["First?", text]


# Errors ---------------------------------------------------------------------------------------------------------


def test_questions_that_cannot_be_asked(fake: Served, visit: Visit) -> None:
    page = visit(fake)
    ask(page, "   ", wait=False)
    expect(page.get_by_role("alert")).to_contain_text("There is no question yet")
    ask(page, "why " * 5000, wait=False)
    expect(page.get_by_role("alert")).to_contain_text("19,999 characters; at most 2,000")
    ask(page, "What is it?")  # alive
    expect(status(page)).to_have_text("")


def test_pictures_that_cannot_be_used(fake: Served, visit: Visit, tmp_path: Path) -> None:
    Image.new("RGB", (1, 1)).save(tmp_path / "dot.png")
    Image.new("RGB", (20_000, 10)).save(tmp_path / "line.png")
    (tmp_path / "text.png").write_text("I am a text file.")
    good = paint(tmp_path / "good.png", (200, 200), 0, 0)
    (tmp_path / "cut.png").write_bytes(good.read_bytes()[:200])
    (tmp_path / "empty.png").write_bytes(b"")
    Image.new("1", (12_000, 12_000)).save(tmp_path / "bomb.png")
    page = visit(fake)
    for name, message in {
        "dot.png": "1 × 1 pixels: too small",
        "line.png": "20000 × 10 pixels: one side is more than 100 times the other",
        "text.png": "not a picture that can be read",
        "cut.png": "The picture is broken",
        "empty.png": "not a picture that can be read",
        "bomb.png": "at most 100 million pixels",
    }.items():
        upload(page, tmp_path / name)
        expect(page.get_by_role("alert")).to_contain_text(message)
    upload(page, good)
    expect(status(page)).to_have_text("")
    ask(page, "Alive?")


def test_engine_errors_are_told_and_survived(fake: Served, visit: Visit) -> None:
    page = visit(fake)
    fake.model.fail = GlimpseError("The prompt is too long: shorten the question.")
    ask(page, wait=False)
    expect(page.get_by_role("alert")).to_have_text("The prompt is too long: shorten the question.")
    fake.model.fail = MemoryError()
    ask(page, wait=False)
    expect(page.get_by_role("alert")).to_contain_text("ran out of memory")
    fake.model.fail = ZeroDivisionError("secret path")
    ask(page, wait=False)
    expect(page.get_by_role("alert")).to_contain_text("Something failed inside the page (ZeroDivisionError)")
    expect(page.get_by_role("alert")).not_to_contain_text("secret")
    ask(page)


def test_page_without_examples_asks_for_a_picture(browser: Browser, visit: Visit) -> None:
    model = FakeModel()
    with serve(model, load=lambda: model, start=FakeSession.ask, examples=()) as served:
        page = visit(served)
        expect(page.get_by_text("Add a picture, drop one here")).to_be_visible()
        ask(page, "What is it?", wait=False)
        expect(page.get_by_role("alert")).to_contain_text("There is no picture yet")
        page.close()


# Loading --------------------------------------------------------------------------------------------------------


def test_a_question_waits_for_the_model(browser: Browser) -> None:
    gate, model = threading.Event(), FakeModel()

    def load() -> FakeModel:
        gate.wait(30)
        return model

    with serve(model, load=load, start=FakeSession.ask) as served:
        page = browser.new_page(viewport=DESKTOP)
        page.goto(served.url)
        badge = page.locator(".glimpse-badge")
        expect(badge).to_have_attribute("data-state", "loading")
        ask(page, "What is it?", wait=False)
        expect(status(page)).to_contain_text("still loading")
        gate.set()
        finished(page)
        expect(badge).to_have_attribute("data-state", "ready")
        page.close()


def test_a_model_that_cannot_be_loaded_says_so(browser: Browser) -> None:
    def load() -> FakeModel:
        raise GlimpseError("no weights in this folder: download them")

    with serve(load=load, start=FakeSession.ask) as served:
        page = browser.new_page(viewport=DESKTOP)
        page.goto(served.url)
        expect(page.locator(".glimpse-badge")).to_have_attribute("data-state", "failed")
        ask(page, "What is it?", wait=False)
        expect(page.get_by_role("alert")).to_contain_text("no weights in this folder: download them")
        page.close()


# Visitors -------------------------------------------------------------------------------------------------------


def test_two_visitors_never_see_each_other(fake: Served, browser: Browser) -> None:
    contexts = [browser.new_context(viewport=DESKTOP) for _ in range(2)]
    pages = [context.new_page() for context in contexts]
    for page, number in zip(pages, (1, 4), strict=True):
        page.goto(fake.url)
        page.wait_for_function("window.glimpse !== undefined")
        page.get_by_role("group", name="Example pictures").get_by_role("button").nth(number).click()
        expect(question(page)).to_have_value(fake.flow.examples[number].questions[0][0])
    for turn in range(3):
        for page, name in zip(pages, "AB", strict=True):
            ask(page, f"{name} asks {turn}", wait=False)
        for page, name, number in zip(pages, "AB", (1, 4), strict=True):
            finished(page)
            expect(page.locator(".question")).to_have_text(f"{name} asks {turn}")
            alt = page.evaluate("window.glimpse.stage.pictures[0].alt")
            assert alt == fake.flow.examples[number].alt
    set_threshold(pages[0], "0.99")
    for page in pages:
        page.get_by_role("button", name="Answer again").click()
        finished(page)
    expect(pages[0].locator(".card.kept .hint")).to_have_text("relevance above 0.99")
    expect(pages[1].locator(".card.kept .hint")).to_have_text("relevance above 0.5")
    for context in contexts:
        context.close()
