"""The page's address is its state: opened anew, gone back to or reloaded, it shows the same, with its result."""

from __future__ import annotations

import os
import re
import subprocess
import sys
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path
from urllib.parse import urlencode

import pytest
from playwright.sync_api import BrowserContext, Page, Route, expect

from glimpse_core.glimpse.settings import from_json, from_query, to_json
from glimpse_core.inference.choice import choose as kept_by
from glimpse_core.types import Settings
from tests.browser.conftest import (
    Served,
    Visit,
    ask,
    canvas,
    choose,
    finished,
    more,
    paint,
    question,
    ready,
    serve,
    set_threshold,
    shown,
    until,
    upload,
    view,
)
from tests.browser.fake import PATCH, FakeModel, FakeSession

QUESTION = "Where is the & = # ü?"

# Whether the answers to a question are complete, and from the tokens that are kept now.
ANSWERED = """(question) => {
    const state = window.glimpse?.store.get();
    if (state?.asking.phase !== "idle" || state.asking.pictures !== "none") return false;
    if (state.answers?.question !== question || typeof state.answers.verdict?.same !== "boolean") return false;
    return String(state.answered?.mask) === String(window.glimpse.stage.selection.mask);
}"""

# All that an address says, as the page has it, and what became of it.
STATE = """() => {
    const { example, settings, length, view, tab, answers, pictures } = window.glimpse.store.get();
    const text = (answer) => answer?.pieces.map(([piece]) => piece).join("");
    return {
        example, settings, length, view, tab, question: answers?.question, alt: pictures[0].alt,
        kept: [...window.glimpse.stage.selection.mask].join(""), answers: [text(answers?.full), text(answers?.kept)],
    };
}"""


# Twenty take two minutes, and slow down whatever is tested beside them: GLIMPSE_OPENINGS=20 runs them all.
OPENINGS = int(os.environ.get("GLIMPSE_OPENINGS", "1"))


def answered(page: Page, text: str) -> None:
    page.wait_for_function(ANSWERED, arg=text)


def says(page: Page, **query: str) -> None:
    """Wait until the address has these parameters, and no others."""
    page.wait_for_function(
        """(expected) => {
            const now = Object.fromEntries(new URLSearchParams(location.search));
            return JSON.stringify(Object.entries(now).sort()) === JSON.stringify(Object.entries(expected).sort());
        }""",
        arg=query,
    )


def stands(page: Page, alt: str) -> None:
    """Wait until a picture is on the stage."""
    page.wait_for_function("(alt) => window.glimpse.stage.pictures[0].alt === alt", arg=alt)


def fresh(context: BrowserContext, url: str) -> Page:
    page = context.new_page()
    page.goto(url)
    return page


# What a visitor does, and what the address has of it.
def drop_the_best(page: Page) -> None:
    canvas(page).focus()
    for key in ("ArrowDown", "Space"):
        page.keyboard.press(key)


def keep_others(page: Page) -> None:
    """Two tokens side by side in the first row, which nothing keeps."""
    page.get_by_role("radio", name="Keep", exact=True).last.click()
    canvas(page).scroll_into_view_if_needed()
    box = canvas(page).bounding_box()
    assert box is not None
    cols = page.evaluate("window.glimpse.stage.pictures[0].cols")
    page.mouse.move(box["x"] + 0.5 * box["width"] / cols, box["y"] + 3)
    page.mouse.down()
    page.mouse.move(box["x"] + 1.5 * box["width"] / cols, box["y"] + 3)
    page.mouse.up()


def number(label: str, value: str) -> Callable[[Page], None]:
    def fill(page: Page) -> None:
        more(page)
        page.get_by_role("spinbutton", name=label).fill(value)

    return fill


def random_twice(page: Page) -> None:
    for _ in range(2):
        page.get_by_role("button", name="Random instead").click()
        finished(page)


def tick(page: Page) -> None:
    more(page)
    page.get_by_role("checkbox", name="top right").check()


def dial(page: Page) -> None:
    page.get_by_role("slider", name="Number of visual tokens kept").fill("700")


STEPS: dict[str, tuple[Callable[[Page], None], set[str]]] = {
    "question": (lambda page: None, set()),
    "threshold": (lambda page: set_threshold(page, "0.37"), {"t"}),
    "max_ratio": (number("Keep at most", "0.3"), {"most"}),
    "min_tokens": (number("Keep at least", "70"), {"least"}),
    "length": (number("Longest answer", "7"), {"length"}),
    "anchors": (tick, {"corners"}),
    "budget": (dial, {"top"}),
    "erased": (drop_the_best, {"out"}),
    "painted": (keep_others, {"in"}),
    "inverse": (lambda page: page.get_by_role("button", name="Only the dropped").click(), {"control"}),
    "random": (random_twice, {"control", "seed"}),
    "view": (lambda page: view(page, "Heat map"), {"view"}),
    "tab": (lambda page: page.get_by_role("tab", name="Methods").click(), {"tab"}),
}


@pytest.mark.parametrize("field", STEPS)
def test_every_field_goes_to_the_address_and_back(
    fake: Served, visit: Visit, context: BrowserContext, field: str
) -> None:
    page = visit(fake)
    choose(page, fake, 3)
    ask(page, QUESTION)
    step, keys = STEPS[field]
    step(page)
    page.wait_for_function(
        "(keys) => [...new URLSearchParams(location.search).keys()].sort().join() === keys",
        arg=",".join(sorted(keys | {"ex", "q"})),
    )
    changed = field not in ("question", "tab", "view", "length")
    assert (page.evaluate(STATE)["settings"] != to_json(Settings())) == changed
    other = fresh(context, page.url)
    answered(other, QUESTION)  # the result is there, from these very tokens
    if field != "random":  # whose tokens the first page has answered with already
        page.get_by_role("tab", name="Ask").click()
        page.locator("#glimpse-again").click()
        answered(page, QUESTION)
    found, expected = other.evaluate(STATE), page.evaluate(STATE)
    assert found | {"tab": "ask"} == expected
    assert found["tab"] == ("methods" if field == "tab" else "ask")
    assert found["alt"] == fake.flow.gallery.examples[3].alt and found["question"] == QUESTION
    expect(other.locator(f"#glimpse-panel-{found['tab']}")).to_be_visible()
    assert other.url == fresh_url(fake, page) if field != "tab" else "tab=methods" in other.url


def fresh_url(served: Served, page: Page) -> str:
    return served.url.rstrip("/") + "/" + page.evaluate("location.search")


RICH = {
    **{"ex": "3", "q": QUESTION, "t": "0.37", "most": "12.5", "least": "70", "top": "24", "corners": "tl,br"},
    **{
        "in": "3-6,9",
        "out": "0,40-60",
        "control": "random",
        "seed": "5",
        "length": "9",
        "view": "wipe",
        "tab": "methods",
    },
}


def answering(served: Served) -> list[FakeSession]:
    """Sessions that answered: the band of a page that was closed meanwhile may have made one, too."""
    return [session for session in served.model.sessions if session.masks]


def check_rich(page: Page, served: Served) -> None:
    """Everything of RICH is on the page, and its answer is from the very tokens that the engine chooses."""
    answered(page, QUESTION)
    found = page.evaluate(STATE)
    settings, problems = from_query(RICH)
    assert problems == [] and from_json(found["settings"]) == settings
    assert (found["example"], found["length"], found["view"], found["tab"]) == (2, 9, "wipe", "methods")
    assert found["alt"] == served.flow.gallery.examples[2].alt
    session = answering(served)[-1]
    assert session.question == QUESTION
    expected = kept_by(session.logits, session.grids, settings).mask.int().tolist()
    assert session.masks[0] == expected and found["kept"] == "".join(map(str, expected))
    assert found["answers"] == ["I see everything in " + " ".join(f"word{i}" for i in range(8))] * 2
    expect(page.locator(".glimpse-status")).to_have_text("")
    says(page, **RICH)


@pytest.fixture
def hog() -> Iterator[None]:
    """One busy loop for each core, of low priority, while the test runs."""
    command = [sys.executable, "-c", "import os\nos.nice(10)\nwhile True: pass"]
    loops = [subprocess.Popen(command) for _ in range(os.cpu_count() or 1)]
    yield
    for loop in loops:
        loop.kill()
        loop.wait()


def test_openings_on_a_busy_machine_lose_nothing(fake: Served, new_context: BrowserContext, hog: None) -> None:
    errors: list[str] = []
    for _ in range(OPENINGS):
        page = new_context.new_page()
        page.on("pageerror", lambda error: errors.append(str(error)))
        page.goto(f"{fake.url}?{urlencode(RICH)}")
        check_rich(page, fake)
        page.close()
    assert errors == [] and len(answering(fake)) == OPENINGS


# Back, forward, reload -------------------------------------------------------------------------------------------


def test_back_and_forward_go_through_what_was_on_the_page(fake: Served, visit: Visit) -> None:
    page = visit(fake)
    first = fake.flow.gallery.examples[0].questions[0][0]
    fourth = fake.flow.gallery.examples[3]

    def at_first() -> None:
        says(page, ex="1", q=first)
        answered(page, first)

    def at_fourth() -> None:
        says(page, ex="4", t="0.4")
        stands(page, fourth.alt)
        expect(question(page)).to_have_value(fourth.questions[0][0])
        expect(page.locator(".card.kept")).to_be_hidden()  # nothing was asked there

    def at_question() -> None:
        says(page, ex="4", t="0.4", q="Where?")
        answered(page, "Where?")
        expect(page.locator(".card.kept")).to_be_visible()

    def at_methods() -> None:
        says(page, ex="4", t="0.4", q="Where?", tab="methods")
        expect(page.locator("#glimpse-panel-methods")).to_be_visible()

    ask(page)
    at_first()
    choose(page, fake, 3)
    set_threshold(page, "0.4")  # not a place of its own
    at_fourth()
    ask(page, "Where?")
    at_question()
    asked = len(fake.model.sessions)
    page.get_by_role("tab", name="Methods").click()
    at_methods()
    page.go_back()
    at_question()
    assert len(fake.model.sessions) == asked, "another tab alone is no reason to ask again"
    for step, arrived in (
        *((page.go_back, at_fourth), (page.go_back, at_first), (page.go_forward, at_fourth)),
        *((page.go_forward, at_question), (page.go_forward, at_methods), (page.go_back, at_question)),
    ):
        step()
        arrived()
    assert from_json(page.evaluate(STATE)["settings"]).selection.threshold == 0.4


def test_back_is_not_undone_by_a_slow_server(fake: Served, visit: Visit) -> None:
    """While the pictures of the place before are on their way, the address stays that place's."""
    page = visit(fake)
    choose(page, fake, 2)
    says(page, ex="3")
    choose(page, fake, 5)
    says(page, ex="6")
    page.clock.install()
    held: list[Route] = []
    page.route(re.compile("page_show"), lambda route: held.append(route))
    page.go_back()
    until(page, lambda: bool(held))
    page.evaluate("window.glimpse.store.dispatch({ type: 'length', value: 33 })")  # something to write
    page.clock.run_for(1000)  # longer than the address waits for the page to settle
    assert page.evaluate("location.search") == "?ex=3"
    for route in held:
        route.continue_()
    page.unroute_all()
    page.clock.resume()
    stands(page, fake.flow.gallery.examples[2].alt)
    says(page, ex="3")
    page.go_forward()
    says(page, ex="6")
    stands(page, fake.flow.gallery.examples[5].alt)


def test_an_opened_address_is_one_place(fake: Served, context: BrowserContext) -> None:
    """Back leads to where the visitor came from, not to a page of ours in between."""
    page = fresh(context, fake.url + "gradio_api/info")
    page.goto(f"{fake.url}?ex=4&q=Where%3F")
    answered(page, "Where?")
    says(page, ex="4", q="Where?")
    page.go_back()
    page.wait_for_url("**/gradio_api/info")


def test_a_reload_brings_everything_back(fake: Served, visit: Visit) -> None:
    page = visit(replace(fake, url=f"{fake.url}?{urlencode(RICH)}"))
    check_rich(page, fake)
    page.reload()
    ready(page)
    check_rich(page, fake)
    assert len(answering(fake)) == 2


def test_own_pictures_survive_a_reload(fake: Served, visit: Visit, tmp_path: Path) -> None:
    """With question, settings and result, though none of it is a link to them; and going back and forward."""
    page = visit(fake)
    one = paint(tmp_path / "one.png", (5 * PATCH, 4 * PATCH), 1, 2)
    two = paint(tmp_path / "two.png", (3 * PATCH, 6 * PATCH), 5, 0)
    upload(page, one, two)
    shown(page)
    ask(page, "What is red?")
    set_threshold(page, "0.4")
    says(page, q="What is red?", t="0.4")
    before = page.evaluate(STATE)
    page.reload()
    answered(page, "What is red?")
    assert page.evaluate(STATE) == before
    assert page.evaluate("window.glimpse.stage.pictures.map(({ rows, cols }) => [rows, cols])") == [[4, 5], [6, 3]]
    page.wait_for_function("window.glimpse.stage.images.every((image) => image?.naturalWidth > 0)")
    page.reload()  # and once more: they are still known
    answered(page, "What is red?")
    choose(page, fake, 1)
    says(page, ex="2", t="0.4")
    page.go_back()
    answered(page, "What is red?")
    assert page.evaluate(STATE) == before
    page.go_forward()
    stands(page, fake.flow.gallery.examples[1].alt)
    says(page, ex="2", t="0.4")


def test_a_stored_result_is_opened_without_a_run(visit: Visit) -> None:
    """Of an example whose question is stored: its tokens at other settings are asked for only where they differ."""
    model = FakeModel()
    with serve(model, load=lambda: model, start=FakeSession.ask) as served:
        stored = served.flow.gallery.result(["example:1"])
        page = visit(replace(served, url=f"{served.url}?ex=2&view=only&length=32"))
        answered(page, stored.question)
        expect(page.locator(".origin.stored")).to_be_visible()
        expect(page.locator(".verdict[data-same]")).to_be_visible()
        says(page, ex="2", q=stored.question, view="only", length="32")
        page.reload()
        answered(page, stored.question)
        assert page.evaluate(STATE)["length"] == 32
        assert model.sessions == []
        page.goto(f"{served.url}?ex=2&top=9")  # one of the band's budgets, whose answer is stored, too
        expect(page.locator(".card.kept .hint")).to_have_text("9: the 9 most relevant")
        expect(page.locator(".verdict[data-same]")).to_be_visible()
        assert model.sessions == []
        page.goto(f"{served.url}?ex=2&top=10")
        answered(page, stored.question)
        assert [session.question for session in model.sessions] == [stored.question]
        page.goto(served.url)
        ready(page)
        answered(page, served.flow.gallery.result(["example:0"]).question)
        says(page)
        assert len(model.sessions) == 1
