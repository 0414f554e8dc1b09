"""Opening, asking, loading, and two visitors at once, on a stand-in engine."""

from __future__ import annotations

import itertools
import re
import threading
from pathlib import Path

from playwright.sync_api import Browser, expect

from glimpse_core.errors import GlimpseError
from glimpse_core.types import Grid, Selection
from tests.browser.conftest import (
    DESKTOP,
    PATIENCE,
    Served,
    Visit,
    ask,
    asked,
    browser_mask,
    canvas,
    choose,
    finished,
    paint,
    question,
    ready,
    serve,
    status,
    until,
    upload,
)
from tests.browser.fake import PATCH, FakeModel, FakeSession

THRESHOLDS = {"A": 0.05, "B": 0.9}
GRID = "[window.glimpse.stage.pictures[0].rows, window.glimpse.stage.pictures[0].cols]"
# Faster than typing: the same input events, from inside the page.
ROUND = """([text, threshold]) => {
    const type = (box, value) => {
        const setter = Object.getOwnPropertyDescriptor(Object.getPrototypeOf(box), 'value').set;
        setter.call(box, value);
        for (const name of ['input', 'change', 'blur']) box.dispatchEvent(new Event(name, { bubbles: true }));
    };
    type(document.querySelector('input[type=number][aria-label^="Keep tokens more"]'), String(threshold));
    type(document.querySelector('#glimpse-question textarea'), text);
    document.querySelector('#glimpse-go').click();
}"""


def test_opens_with_an_example_ready_to_ask(fake: Served, visit: Visit) -> None:
    page = visit(fake)
    expect(page.get_by_role("heading", name="Glimpse", exact=True)).to_be_visible()
    expect(page.locator(".glimpse-badge")).to_have_text("democpu · float32 · sdpa")
    example = fake.flow.gallery.examples[0]
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
    expect(page.locator(".verdict[data-same=true]")).to_have_text("Both wrong, with 560 visual tokens and with 6.")
    expect(page.locator(".card.full .hint")).to_contain_text("560")
    expect(page.locator(".card.kept .hint")).to_contain_text("6: relevance above 0.5")
    expect(status(page)).to_have_text("")
    expect(page.get_by_role("button", name="Stop")).to_be_disabled()


def test_a_suggested_question_is_asked_with_one_click(fake: Served, visit: Visit) -> None:
    page = visit(fake)
    text, answer = fake.flow.gallery.examples[1].questions[2]
    choose(page, fake, 1)
    page.get_by_role("button", name=text).click()
    finished(page)
    assert fake.session.question == text
    expect(page.locator(".truth")).to_contain_text(f"True answer: {answer}")


def test_markup_in_a_question_stays_text(fake: Served, visit: Visit) -> None:
    page = visit(fake)
    text = "<img src=x onerror='window.hacked = 1'><b>what</b> ${1+1} {{value}} ‮ 👁️ مرحبا"
    ask(page, text)
    expect(asked(page)).to_have_text(text)
    assert page.evaluate("window.hacked") is None
    assert page.locator("#glimpse-answers img").count() == 0


def test_a_question_waits_for_the_model(browser: Browser) -> None:
    gate, model = threading.Event(), FakeModel()

    def load() -> FakeModel:
        gate.wait(PATIENCE / 1000)
        return model

    with serve(model, load=load, start=FakeSession.ask, results={}) as served:
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

    with serve(load=load, start=FakeSession.ask, results={}) as served:
        page = browser.new_page(viewport=DESKTOP)
        page.goto(served.url)
        expect(page.locator(".glimpse-badge")).to_have_attribute("data-state", "failed")
        ask(page, "What is it?", wait=False)
        expect(page.get_by_role("alert")).to_contain_text("no weights in this folder: download them")
        page.close()


def test_two_visitors_never_see_each_other(fake: Served, browser: Browser, tmp_path: Path) -> None:
    """Ten interleaved rounds: pictures, questions, thresholds, painted tokens and masks stay with their visitor."""
    fake.model.pace, fake.model.words = 0.0, 3
    grids = {"A": Grid(4, 6), "B": Grid(5, 3)}
    contexts = [browser.new_context(viewport=DESKTOP) for _ in grids]
    pages = {name: context.new_page() for name, context in zip(grids, contexts, strict=True)}
    for name, page in pages.items():
        page.set_default_timeout(PATIENCE)
        page.goto(fake.url)
        ready(page)
        size = grids[name].cols * PATCH, grids[name].rows * PATCH
        upload(page, paint(tmp_path / f"{name}.png", size, 1, 2))
        expect(canvas(page)).to_have_accessible_name(re.compile("^Your picture"))
    for turn in range(10):
        for name, page in pages.items():
            page.evaluate(ROUND, [f"{name} asks {turn}", THRESHOLDS[name]])
        for name, page in pages.items():
            expect(asked(page)).to_have_text(f"{name} asks {turn}")
            finished(page)
            (session,) = [one for one in fake.model.sessions if one.question == f"{name} asks {turn}"]
            assert session.grids == (grids[name],)
            assert page.evaluate(GRID) == [grids[name].rows, grids[name].cols]
            page.wait_for_function(f"window.glimpse.stage.settings.threshold === {THRESHOLDS[name]}")
            expected = session.select(Selection(THRESHOLDS[name])).mask.int().tolist()
            assert browser_mask(page) == expected == session.masks[0]
            expect(page.locator(".card.kept .hint")).to_contain_text(f"relevance above {THRESHOLDS[name]}")
            canvas(page).press("ArrowRight")
            canvas(page).press("Space")  # painted here, and nowhere else
    for name, page in pages.items():
        page.get_by_role("button", name="Answer again").click()
        expect(page.locator(".card.kept .hint")).to_contain_text(f"relevance above {THRESHOLDS[name]}, 1 erased")
        finished(page)
        (session,) = [one for one in fake.model.sessions if one.question == f"{name} asks 9"]
        assert session.masks[-1] == browser_mask(page) != session.masks[0]
    assert len(fake.model.sessions) == 20
    for context in contexts:
        context.close()


def test_a_visitor_in_the_line_can_leave_it(fake: Served, browser: Browser) -> None:
    fake.model.pace, fake.model.words = 0.2, 400
    pages = [browser.new_page(viewport=DESKTOP) for _ in range(3)]
    for page in pages:
        page.set_default_timeout(PATIENCE)
        page.goto(fake.url)
        ready(page)
    ask(pages[0], "First?", wait=False)
    expect(pages[0].locator(".card.kept .text")).to_contain_text("word1")
    for number, text in ((1, "one question is before yours"), (2, "2 questions are before yours")):
        ask(pages[number], f"Visitor {number}?", wait=False)
        expect(status(pages[number])).to_contain_text(text)
    pages[1].get_by_role("button", name="Stop").click()
    expect(status(pages[1])).to_have_text("Stopped.")
    expect(pages[1].locator("#glimpse-go")).to_be_enabled()
    expect(status(pages[2])).to_contain_text("one question is before yours")
    fake.model.pace, fake.model.words = 0.05, 3
    pages[0].close()  # whoever leaves in the middle of an answer holds nobody up
    finished(pages[2])
    assert [session.question for session in fake.model.sessions] == ["First?", "Visitor 2?"]
    until(pages[2], lambda: len(fake.flow.queue) == 0)  # the answers at other budgets come after
    for page in pages:
        page.close()
