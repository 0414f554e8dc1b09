"""Nothing is lost that is typed, ticked, painted or clicked while the page still mounts, unfolds or loads.

Everything is done from inside the page, in the first task in which the control can be seen: sooner than a person could.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from typing import Any
from urllib.parse import parse_qs, urlparse

import pytest
from playwright.sync_api import Browser, BrowserContext, Page, Route, expect

from glimpse_core.types import Selection
from glimpse_core.ui.benchmark import USUAL
from tests.browser.conftest import (
    DESKTOP,
    PATIENCE,
    Served,
    Visit,
    ask,
    asked,
    browser_mask,
    finished,
    question,
    ready,
    serve,
    set_threshold,
    until,
)
from tests.browser.fake import FakeModel, FakeSession


@pytest.fixture
def context(new_context: BrowserContext) -> BrowserContext:
    """A first visit: the page's scripts come late."""
    return new_context


# Steps are [selector, what]: a click, a key that is pressed, or a value that is typed.
AT_ONCE = """async (steps) => {
    const task = () => new Promise((next) => {
        const { port1, port2 } = new MessageChannel();
        port1.onmessage = next;
        port2.postMessage(0);
    });
    const usable = (node) => node && !node.disabled && node.checkVisibility({ visibilityProperty: true });
    const type = (node, value) => {
        Object.getOwnPropertyDescriptor(Object.getPrototypeOf(node), 'value').set.call(node, value);
        node.dispatchEvent(new Event('input', { bubbles: true }));
    };
    const press = (node, key) => {
        node.dispatchEvent(new KeyboardEvent('keydown', { key, bubbles: true, cancelable: true }));
    };
    const paint = (node) => {
        const { left, top, width, height } = node.getBoundingClientRect();
        const place = { clientX: left + width / 2, clientY: top + height / 2, buttons: 1, pointerId: 1, bubbles: true };
        node.setPointerCapture = () => {};  // no real pointer is down
        node.dispatchEvent(new PointerEvent('pointerdown', place));
    };
    const late = performance.now() + 60000;
    for (const [selector, what, value] of steps) {
        let node;
        while (!usable(node = document.querySelector(selector))) {
            if (performance.now() > late) throw new Error(`${selector} cannot be used`);
            await task();
        }
        if (what === 'click') node.click();
        else ({ type, press, paint })[what](node, value);
    }
}"""
MORE = "details.more > summary"
QUESTION = "#glimpse-question textarea"
THRESHOLD = "input[type=number][aria-label^='Keep tokens more']"


def field(label: str, kind: str = "number") -> str:
    """The input of a slider, by the beginning of its label; kind: number or range."""
    return f"input[type={kind}][aria-label^='{label}']"


def slowed(page: Page, rate: int) -> None:
    """Let the page's processor be slower by this factor."""
    page.context.new_cdp_session(page).send("Emulation.setCPUThrottlingRate", {"rate": rate})


def linked(page: Page) -> dict[str, str]:
    """What the page's link says."""
    page.get_by_role("button", name="Copy link").click()
    address = page.get_by_role("textbox", name="Link to this")
    expect(address).to_be_visible()
    return {name: value for name, (value,) in parse_qs(urlparse(address.input_value()).query).items()}


def chosen(page: Page, served: Served, number: int) -> None:
    """Wait until an example, counted from 0, is on the stage and marked in the strip."""
    alt = served.flow.gallery.examples[number].alt
    page.wait_for_function("(alt) => window.glimpse.stage.pictures[0]?.alt === alt", arg=alt)
    expect(page.locator(".strip button").nth(number)).to_have_attribute("aria-pressed", "true")


@pytest.fixture
def early(browser: Browser) -> Iterator[Page]:
    """A page that is not open yet."""
    page = browser.new_page(viewport=DESKTOP)
    page.set_default_timeout(PATIENCE)
    yield page
    page.close()


def open_at_once(page: Page, url: str, steps: list[list[Any]]) -> None:
    """Open the page, with these steps taken as soon as each of them can be."""
    page.add_init_script(f"({AT_ONCE})({json.dumps(steps)}).then(() => window.taken = true)")
    page.goto(url)
    page.wait_for_function("window.taken")


@pytest.mark.parametrize("rate", [1, 6])
def test_settings_set_while_they_unfold_are_kept(fake: Served, visit: Visit, rate: int) -> None:
    page = visit(fake)
    slowed(page, rate)
    steps = [
        [MORE, "click"],
        [field("Keep at least"), "type", "7"],
        [field("Keep at most", "range"), "type", "50"],
        [field("Longest answer"), "type", "32"],
        [".anchors input[type=checkbox]", "click"],
        [THRESHOLD, "type", "0.3"],
    ]
    page.evaluate(AT_ONCE, steps)
    said = linked(page)
    assert {name: said[name] for name in ("least", "most", "length", "t")} == {
        "least": "7",
        "most": "50",
        "length": "32",
        "t": "0.3",
    }
    page.wait_for_function(
        """() => {
            const { threshold, max_ratio, min_tokens, anchors } = window.glimpse.stage.settings;
            return threshold === 0.3 && max_ratio === 0.5 && min_tokens === 7 && String(anchors) === "tl";
        }"""
    )
    page.locator(MORE).click()
    expect(page.get_by_role("spinbutton", name="Keep at least")).to_be_hidden()
    page.locator(MORE).click()
    expect(page.get_by_role("spinbutton", name="Keep at least")).to_have_value("7")


@pytest.mark.parametrize("rate", [1, 6])
def test_what_is_set_while_a_tab_opens_is_kept(fake: Served, visit: Visit, rate: int) -> None:
    page = visit(fake)
    slowed(page, rate)
    steps = [
        ["#glimpse-choose-methods", "click"],
        *[["#methods-names input:checked", "click"]] * 6,
        ["#methods-budget", "type", "33"],
    ]
    page.evaluate(AT_ONCE, steps)
    page.locator("#methods-run").click()
    expect(page.get_by_role("alert")).to_contain_text("No method was chosen")  # says the server
    expect(page.locator("#methods-budget")).to_have_value("33")
    ticked = "#glimpse-tab-benchmark input[type=checkbox]:checked"
    steps = [
        ["#glimpse-choose-benchmark", "click"],
        [field("number input for Questions"), "type", "3"],
        *[[ticked, "click"]] * (len(USUAL) + 2),  # and two budgets
        ["#glimpse-tab-benchmark input[value='My questions']", "click"],
    ]
    page.evaluate(AT_ONCE, steps)
    page.locator("#benchmark-run").click()
    expect(page.locator("#benchmark-status textarea")).to_have_value(re.compile("^No file was given"))
    expect(page.get_by_role("spinbutton", name="Questions")).to_have_value("3")
    expect(page.locator(ticked)).to_have_count(0)
    page.get_by_role("tab", name="Methods").click()
    expect(page.locator("#methods-budget")).to_have_value("33")
    page.get_by_role("tab", name="Ask").click()
    expect(question(page)).to_be_visible()
    expect(page.locator("#methods-run")).to_be_hidden()


@pytest.mark.parametrize("rate", [1, 6])
def test_a_question_typed_while_an_example_is_on_its_way_is_kept(fake: Served, visit: Visit, rate: int) -> None:
    page = visit(fake)
    slowed(page, rate)
    strip = ".strip button:nth-child({})"
    page.evaluate(AT_ONCE, [[strip.format(4), "click"], [QUESTION, "type", "Mine?"], ["#glimpse-go", "click"]])
    chosen(page, fake, 3)
    expect(asked(page)).to_have_text("Mine?")
    finished(page)
    assert question(page).input_value() == "Mine?"
    assert [session.question for session in fake.model.sessions] == ["Mine?"]
    page.evaluate(AT_ONCE, [[QUESTION, "type", "Of the last one?"], [strip.format(6), "click"]])
    chosen(page, fake, 5)  # whoever chooses after typing gets its question
    expect(question(page)).to_have_value(fake.flow.gallery.examples[5].questions[0][0])


@pytest.mark.parametrize("rate", [1, 6])
def test_what_is_set_while_the_page_opens_is_kept(early: Page, fake: Served, rate: int) -> None:
    slowed(early, rate)
    open_at_once(
        early,
        fake.url,
        [[MORE, "click"], [THRESHOLD, "type", "0.3"], [QUESTION, "type", "Early?"], [QUESTION, "press", "Enter"]],
    )
    expect(asked(early)).to_have_text("Early?")
    finished(early)
    assert [session.question for session in fake.model.sessions] == ["Early?"]
    expect(early.locator(".card.kept .hint")).to_contain_text("relevance above 0.3")
    assert question(early).input_value() == "Early?"


@pytest.mark.parametrize("rate", [1, 6])
def test_what_is_set_while_a_link_is_opened_is_kept(early: Page, fake: Served, rate: int) -> None:
    slowed(early, rate)
    steps = [[MORE, "click"], [THRESHOLD, "type", "0.3"], [QUESTION, "type", "Mine?"]]
    open_at_once(early, f"{fake.url}?ex=4&q=Linked%3F&t=0.8&least=3", steps)
    ready(early)
    chosen(early, fake, 3)
    expect(asked(early)).to_have_text("Linked?")  # is asked at once
    expect(early.locator(".verdict[data-tone=stale]")).to_be_visible()  # with the link's threshold, which was moved
    said = linked(early)
    assert {name: said[name] for name in ("ex", "q", "t", "least")} == {
        "ex": "4",
        "q": "Linked?",
        "t": "0.3",
        "least": "3",
    }
    assert question(early).input_value() == "Mine?"


def test_an_example_chosen_while_a_link_is_opened_is_shown(early: Page, fake: Served) -> None:
    open_at_once(early, f"{fake.url}?ex=4&q=Linked%3F", [[".strip button:nth-child(6)", "click"]])
    chosen(early, fake, 5)
    expect(question(early)).to_have_value(fake.flow.gallery.examples[5].questions[0][0])
    assert linked(early)["ex"] == "6"


def test_tokens_painted_while_the_page_opens_stay_painted(early: Page) -> None:
    model = FakeModel()
    with serve(model, load=lambda: model, start=FakeSession.ask) as served:
        steps = [[".tools [value=drop]", "click"], [".frame canvas", "paint"]]
        open_at_once(early, served.url, steps)
        linked(early)
        assert early.evaluate("window.glimpse.stage.settings.erased.length") == 1
        expect(early.get_by_role("button", name="Clear 1 painted")).to_be_visible()


def test_nothing_can_be_pressed_before_it_is_heard(early: Page, fake: Served) -> None:
    """The page's own scripts come last, over a slow line: until then there is nothing to press."""
    held: list[Route] = []
    early.route(re.compile(r"/web/(main|bundle)\.js"), lambda route: held.append(route))
    early.add_init_script(f"({AT_ONCE})({json.dumps([[QUESTION, 'press', 'Enter']])})")
    early.goto(fake.url)
    expect(early.locator(".glimpse-app")).to_be_attached()
    expect(early.locator(QUESTION)).to_have_count(0)
    until(early, lambda: held)
    expect(early.locator("body")).not_to_have_attribute("data-glimpse-ready", "true")
    for route in held:
        route.continue_()
    ready(early)
    finished(early)
    assert [session.question for session in fake.model.sessions] == [fake.flow.gallery.examples[0].questions[0][0]]


def test_a_link_that_cannot_be_opened_leaves_the_page_usable(early: Page, fake: Served) -> None:
    refused: list[str] = []

    def refuse(route: Route) -> None:
        refused.append(route.request.post_data or "")
        route.fulfill(status=503, body="busy")

    early.route(re.compile("/gradio_api/run/page_show"), refuse)
    early.goto(f"{fake.url}?ex=4")
    ready(early)
    assert refused
    early.unroute_all()
    question(early).fill("And now?")
    question(early).press("Enter")
    expect(asked(early)).to_have_text("And now?")
    finished(early)


def test_a_threshold_moved_just_before_answering_again_ends_a_comparison(fake: Served, visit: Visit) -> None:
    page = visit(fake)
    ask(page)
    page.get_by_role("button", name="Random instead").click()
    expect(page.locator(".card.kept .hint")).to_contain_text("random tokens, same budget")
    finished(page)
    page.evaluate(AT_ONCE, [[MORE, "click"], [THRESHOLD, "type", "0.9"], ["#glimpse-again", "click"]])
    expect(page.locator(".card.kept .hint")).to_contain_text("relevance above 0.9")
    finished(page)
    expected = fake.session.select(Selection(0.9)).mask.int().tolist()
    assert fake.session.masks[-1] == expected == browser_mask(page)


def test_resetting_a_control_ends_a_comparison(fake: Served, visit: Visit) -> None:
    page = visit(fake)
    ask(page)
    set_threshold(page, "0.9")
    page.wait_for_function("window.glimpse.stage.settings.threshold === 0.9")
    page.get_by_role("button", name="Random instead").click()
    expect(page.locator(".card.kept .hint")).to_contain_text("random tokens, same budget")
    finished(page)
    page.locator("details.more").get_by_role("button", name="Reset").click()
    page.wait_for_function("window.glimpse.stage.settings.threshold === 0.5")
    page.get_by_role("button", name="Answer again").click()
    expect(page.locator(".card.kept .hint")).to_contain_text("relevance above 0.5")
    finished(page)
    assert fake.session.masks[-1] == fake.session.select(Selection(0.5)).mask.int().tolist() == browser_mask(page)
