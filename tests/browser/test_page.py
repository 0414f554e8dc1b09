"""Opening, asking, loading, and two visitors at once, on a stand-in engine."""

from __future__ import annotations

import itertools
import threading

from playwright.sync_api import Browser, expect

from glimpse_core.errors import GlimpseError
from tests.browser.conftest import (
    DESKTOP,
    Served,
    Visit,
    ask,
    canvas,
    finished,
    question,
    serve,
    set_threshold,
    status,
)
from tests.browser.fake import FakeModel, FakeSession


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
    expect(page.locator(".verdict")).to_have_text("Same answer")
    expect(page.locator(".card.full dl")).to_contain_text("560")
    expect(page.locator(".card.kept dl")).to_contain_text("1.1%")
    expect(status(page)).to_have_text("")
    expect(page.get_by_role("button", name="Stop")).to_be_disabled()


def test_a_suggested_question_is_asked_with_one_click(fake: Served, visit: Visit) -> None:
    page = visit(fake)
    text, answer = fake.flow.gallery.examples[1].questions[2]
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


def test_a_question_waits_for_the_model(browser: Browser) -> None:
    gate, model = threading.Event(), FakeModel()

    def load() -> FakeModel:
        gate.wait(30)
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


def test_two_visitors_never_see_each_other(fake: Served, browser: Browser) -> None:
    contexts = [browser.new_context(viewport=DESKTOP) for _ in range(2)]
    pages = [context.new_page() for context in contexts]
    for page, number in zip(pages, (1, 4), strict=True):
        page.goto(fake.url)
        page.wait_for_function("window.glimpse !== undefined")
        page.get_by_role("group", name="Example pictures").get_by_role("button").nth(number).click()
        expect(question(page)).to_have_value(fake.flow.gallery.examples[number].questions[0][0])
    for turn in range(3):
        for page, name in zip(pages, "AB", strict=True):
            ask(page, f"{name} asks {turn}", wait=False)
        for page, name, number in zip(pages, "AB", (1, 4), strict=True):
            expect(page.locator(".question")).to_have_text(f"{name} asks {turn}")
            finished(page)
            alt = page.evaluate("window.glimpse.stage.pictures[0].alt")
            assert alt == fake.flow.gallery.examples[number].alt
    set_threshold(pages[0], "0.99")
    for page in pages:
        page.get_by_role("button", name="Answer again").click()
        finished(page)
    expect(pages[0].locator(".card.kept .hint")).to_have_text("relevance above 0.99")
    expect(pages[1].locator(".card.kept .hint")).to_have_text("relevance above 0.5")
    for context in contexts:
        context.close()
