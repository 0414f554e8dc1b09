"""No question is lost: the moment the last answer ends, while a picture is on its way, twice, or instead of another."""

from __future__ import annotations

import re
from pathlib import Path

from playwright.sync_api import APIResponse, Browser, Page, Route, expect

from tests.browser.conftest import (
    DESKTOP,
    Served,
    Visit,
    ask,
    asked,
    canvas,
    ended,
    finished,
    paint,
    question,
    ready,
    status,
    until,
    upload,
)
from tests.browser.fake import PATCH

ASK = re.compile("/gradio_api/call/page_ask$")
UPLOAD = re.compile("/gradio_api/upload")
# From inside the page: the next action comes with the very change that shows the end of the last answer.
AT_ONCE = """async ([rounds, act]) => {
    const find = (name) => document.querySelector(name);
    const { store } = window.glimpse;
    const box = find('#glimpse-question textarea');
    const type = (text) => {
        Object.getOwnPropertyDescriptor(Object.getPrototypeOf(box), 'value').set.call(box, text);
        box.dispatchEvent(new Event('input', { bubbles: true }));
    };
    const enter = { key: 'Enter', bubbles: true, cancelable: true };
    const acts = {
        '#glimpse-go': (text) => { type(text); find(act).click(); },
        enter: (text) => { type(text); box.dispatchEvent(new KeyboardEvent('keydown', enter)); },
    };
    const asks = act in acts;
    const usable = () => act === 'enter' || !find(act).disabled;
    const until = (ready, what) => new Promise((resolve, reject) => {
        const end = (say) => { clearTimeout(late); watch.disconnect(); say(); };
        const stuck = () => reject(new Error(`${what}: ${find('.glimpse-status').textContent}`));
        const late = setTimeout(() => end(stuck), 90000);
        const watch = new MutationObserver(() => ready() && end(resolve));
        watch.observe(document.body, { subtree: true, childList: true, attributes: true, characterData: true });
    });
    for (let round = 0; round < rounds; round++) {
        const text = asks ? `Round ${round}?` : box.value;
        const before = store.get().asking.request;
        const done = () => store.get().asking.request > before && store.get().asking.phase === 'idle'
            && find('.verdict[data-same]') && find('h2.question').textContent === text && usable();
        const ended = until(done, `round ${round}`);
        asks ? acts[act](text) : find(act).click();
        await ended;
    }
}"""


def test_an_ask_the_moment_the_last_answer_ends_is_taken(fake: Served, visit: Visit, tmp_path: Path) -> None:
    fake.model.pace, fake.model.words = 0.0, 2
    page = visit(fake)
    upload(page, paint(tmp_path / "small.png", (3 * PATCH, 2 * PATCH), 0, 0))
    expect(canvas(page)).to_have_accessible_name(re.compile("^Your picture"))
    ask(page, "First?")
    for act in ("#glimpse-go", "enter"):
        page.evaluate(AT_ONCE, [20, act])
    assert [session.question for session in fake.model.sessions] == ["First?", *[f"Round {i}?" for i in range(20)] * 2]
    session = fake.session
    for act in ("#glimpse-again", "#glimpse-random"):
        page.evaluate(AT_ONCE, [20, act])
    assert fake.session is session and session.counters["answers"] == 2 + 40
    expect(status(page)).to_have_text("")
    expect(page.locator("#glimpse-stop")).to_be_disabled()


def test_a_further_question_does_not_look_at_the_picture_again(fake: Served, visit: Visit) -> None:
    page = visit(fake)
    ask(page, "First?")
    expect(page.locator(".origin span")).to_have_text("Computed live, by the model named above.")
    ask(page, "Second?")
    session = fake.session
    assert session.reused == len(session.logits) + 8 and session.counters["vision"] == 0
    expect(page.locator(".origin span")).to_have_text("Computed live; the picture was not read again.")
    expect(page.locator(".origin")).to_have_attribute("title", re.compile(f"^{session.reused} tokens"))
    ask(page, "Second?")  # once more: to see it run
    assert fake.session is not session and fake.session.reused == 0
    expect(page.locator(".origin span")).to_have_text("Computed live, by the model named above.")


class Held:
    """Uploads that wait on their way to the server until they are let go."""

    def __init__(self, page: Page) -> None:
        self.routes: list[Route] = []
        page.route(UPLOAD, lambda route: self.routes.append(route))

    def wait(self, page: Page, count: int = 1) -> None:
        until(page, lambda: len(self.routes) >= count)

    def let_go(self) -> None:
        while self.routes:
            self.routes.pop(0).continue_()


def test_a_question_waits_for_the_picture_that_is_on_its_way(fake: Served, visit: Visit, tmp_path: Path) -> None:
    page = visit(fake)
    uploads = Held(page)
    upload(page, paint(tmp_path / "one.png", (6 * PATCH, 4 * PATCH), 1, 2))
    uploads.wait(page)
    expect(status(page)).to_have_text("Sending your picture…")
    ask(page, "What is red?", wait=False)
    expect(status(page)).to_contain_text("Your picture is on its way")
    page.get_by_role("button", name="Ask", exact=True).click()  # a double click's second half changes nothing
    assert fake.model.sessions == []
    uploads.let_go()
    expect(asked(page)).to_have_text("What is red?")
    finished(page)
    (session,) = fake.model.sessions
    assert session.question == "What is red?" and (session.grids[0].rows, session.grids[0].cols) == (4, 6)
    expect(canvas(page)).to_have_accessible_name(re.compile("^Your picture"))

    upload(page, paint(tmp_path / "two.png", (3 * PATCH, 5 * PATCH), 4, 0))  # the same question about another one
    uploads.wait(page)
    upload(page, paint(tmp_path / "three.png", (7 * PATCH, 2 * PATCH), 1, 1))  # instead of it
    uploads.wait(page, 2)
    uploads.routes.pop(0)  # the page does not wait for it any more
    ask(page, wait=False)
    expect(status(page)).to_contain_text("Your picture is on its way")
    uploads.let_go()
    page.wait_for_function("window.glimpse.stage.pictures[0].width === 196")
    expect(asked(page)).to_have_text("What is red?")
    finished(page)
    assert [(one.grids[0].rows, one.grids[0].cols) for one in fake.model.sessions] == [(4, 6), (2, 7)]


def test_a_question_is_not_asked_about_a_picture_that_never_comes(fake: Served, visit: Visit, tmp_path: Path) -> None:
    page = visit(fake)
    uploads = Held(page)
    (tmp_path / "text.png").write_text("I am a text file.")
    upload(page, tmp_path / "text.png")  # arrives, and is refused
    uploads.wait(page)
    ask(page, "What is red?", wait=False)
    expect(status(page)).to_contain_text("Your picture is on its way")
    uploads.let_go()
    expect(page.get_by_role("alert")).to_contain_text("not an image that can be read")
    ask(page)  # about the one that is shown
    assert [session.question for session in fake.model.sessions] == ["What is red?"]


def test_an_upload_that_fails_holds_no_question_up(fake: Served, browser: Browser, tmp_path: Path) -> None:
    page = browser.new_page(viewport=DESKTOP)
    page.goto(fake.url)
    ready(page)
    uploads = Held(page)
    good = paint(tmp_path / "good.png", (3 * PATCH, 5 * PATCH), 4, 0)
    upload(page, good)  # is lost on its way
    uploads.wait(page)
    ask(page, "And now?", wait=False)
    expect(status(page)).to_contain_text("Your picture is on its way")
    uploads.routes.pop().fulfill(status=503, body="busy")
    expect(page.get_by_role("alert")).to_contain_text("The picture did not arrive: please choose it again.")
    ask(page)
    (tmp_path / "notes.txt").write_text("no picture by its name either")
    upload(page, tmp_path / "notes.txt")  # is not even sent
    expect(page.get_by_role("alert")).to_contain_text("No picture was given")
    ask(page, "Still alive?")
    upload(page, good)  # takes for ever
    uploads.wait(page)
    ask(page, "About this one, then?", wait=False)
    expect(status(page)).to_contain_text("Your picture is on its way")
    page.get_by_role("button", name="Stop").click()  # takes both back
    expect(status(page)).to_have_text("")
    expect(page.locator("#glimpse-stop")).to_be_disabled()
    ask(page)  # about the one that is shown
    seen = [(session.question, len(session.logits)) for session in fake.model.sessions]
    assert seen == [("And now?", 560), ("Still alive?", 560), ("About this one, then?", 560)]
    page.close()


def test_a_question_asked_while_an_example_is_chosen_is_about_it(fake: Served, visit: Visit) -> None:
    page = visit(fake)
    page.evaluate(
        """() => {
            document.querySelectorAll('.strip button')[3].click();
            document.querySelector('#glimpse-go').click();
        }"""
    )
    text = fake.flow.gallery.examples[3].questions[0][0]
    expect(asked(page)).to_have_text(text)
    finished(page)
    assert [session.question for session in fake.model.sessions] == [text]
    assert page.evaluate("window.glimpse.stage.pictures[0].alt") == fake.flow.gallery.examples[3].alt
    page.evaluate("() => [5, 6, 7].forEach((n) => document.querySelectorAll('.strip button')[n].click())")
    expect(question(page)).to_have_value(fake.flow.gallery.examples[7].questions[0][0])  # the last one is not dropped


def test_twice_is_once_and_another_question_takes_over(fake: Served, visit: Visit) -> None:
    fake.model.pace, fake.model.words = 0.2, 400
    page = visit(fake)
    question(page).fill("First?")
    page.get_by_role("button", name="Ask", exact=True).dblclick()
    expect(page.locator(".card.kept .text")).to_contain_text("word1")
    question(page).press("Enter")  # the question that runs
    expect(page.locator(".card.kept .text")).to_contain_text("word4")
    assert [session.question for session in fake.model.sessions] == ["First?"]
    fake.model.pace, fake.model.words = 0.01, 3
    late: list[tuple[Route, APIResponse]] = []
    page.route(ASK, lambda route: late.append((route, route.fetch())))
    question(page).fill("Second?")
    question(page).press("Enter")
    until(page, lambda: len(fake.model.sessions) == 2 and len(fake.model.answers) == 4 and ended(fake))
    for route, response in late:  # the browser is told of the event after all that the event has to say
        route.fulfill(response=response)
    expect(asked(page)).to_have_text("Second?")
    finished(page)
    expect(status(page)).to_have_text("")
    expect(page.locator("#glimpse-stop")).to_be_disabled()
    expect(page.locator(".glimpse-stage")).to_have_attribute("data-scored", "true")
    expect(page.locator("#glimpse-again")).to_be_enabled()
    assert [session.question for session in fake.model.sessions] == ["First?", "Second?"]
    page.unroute_all()
    ask(page, "Third?")


def test_a_question_that_does_not_arrive_is_told(fake: Served, browser: Browser) -> None:
    page = browser.new_page(viewport=DESKTOP)
    page.goto(fake.url)
    ready(page)
    page.route(ASK, lambda route: route.fulfill(status=503, body='{"detail": "Queue is full"}'))
    question(page).fill("Is anybody there?")
    question(page).press("Enter")
    expect(page.locator(".glimpse-status[role=alert]")).to_contain_text("please ask again. (Queue is full)")
    page.unroute_all()
    ask(page)
    page.close()
