"""The page opens on an example with its stored result, while the model is still loading."""

from __future__ import annotations

import threading
import time
from collections.abc import Iterator

import pytest
from playwright.sync_api import Browser, Page, expect

from glimpse_core.ui import units
from glimpse_core.ui.results import load_results
from tests.browser.conftest import (
    DESKTOP,
    PATIENCE,
    Served,
    asked,
    browser_mask,
    canvas,
    choose,
    finished,
    question,
    serve,
    set_threshold,
)
from tests.browser.fake import FakeModel, FakeSession


@pytest.fixture
def loading(browser: Browser) -> Iterator[tuple[Served, Page, threading.Event]]:
    """A page whose model loads until the event is set."""
    gate, model = threading.Event(), FakeModel()

    def load() -> FakeModel:
        gate.wait(PATIENCE / 1000)
        return model

    with serve(model, load=load, start=FakeSession.ask) as served:
        page = browser.new_page(viewport=DESKTOP)
        page.set_default_timeout(PATIENCE)
        yield served, page, gate
        gate.set()
        page.close()


def test_opens_on_a_stored_result_while_the_model_loads(
    loading: tuple[Served, Page, threading.Event], capsys: pytest.CaptureFixture[str]
) -> None:
    served, page, gate = loading
    answered: list[float] = []
    page.on("response", lambda response: answered or answered.append(time.monotonic()))
    page.goto(served.url)
    page.locator(".card.kept .text").wait_for()
    page.wait_for_function("window.glimpse && window.glimpse.stage.drawn > 0")
    with capsys.disabled():
        print(f"\n[report] stored result shown {time.monotonic() - answered[0]:.2f} s after the server answered")
    expect(page.locator(".glimpse-badge")).to_have_attribute("data-state", "loading")
    example = served.flow.gallery.examples[0]
    result = load_results("demo")[example.path.name]
    expect(question(page)).to_have_value(result.question)
    expect(asked(page)).to_have_text(result.question)
    expect(page.locator(".stored")).to_contain_text("Stored result")
    for name in ("full", "kept"):
        expect(page.locator(f".card.{name} .text")).to_have_text(
            "".join(text for text, _ in result.answers[name]["pieces"])
        )
    full, kept = result.answers["full"], result.answers["kept"]
    facts = {row.locator("th").inner_text(): row.locator("td") for row in page.locator(".facts tbody tr").all()}
    inside = result.inside
    for name, figures in (
        ("Visual tokens", (f"{full['tokens']:,}", f"{kept['tokens']:,}")),
        ("KV cache", tuple(units.bytes_text(inside["kv_bytes"][side]) for side in ("full", "kept"))),
        ("Time to first token", tuple(units.seconds_text(answer["first"] / 1000) for answer in (full, kept))),
    ):
        assert tuple(facts[name].all_inner_texts()[:2]) == figures
    verdict = page.locator(".verdict[data-same]")
    expect(verdict).to_be_visible()
    expect(verdict).to_contain_text(f"from {kept['tokens']} of {full['tokens']} visual tokens")
    expect(page.locator(".band")).to_have_attribute("data-phase", "done")
    page.locator("details.inside > summary").click()
    expect(page.locator(".inside svg")).to_be_visible()
    expect(page.locator(".inside .attention canvas")).to_have_count(len(inside["heads"]["maps"]))

    before = browser_mask(page)  # the threshold and the dial work at once
    set_threshold(page, "0.01")
    assert sum(browser_mask(page)) > sum(before)
    page.get_by_role("slider", name="Number of visual tokens kept").focus()
    page.keyboard.press("Home")
    assert sum(browser_mask(page)) == 1
    one = next(answer["text"] for answer in result.band["answers"] if answer["budget"] == 1)
    expect(page.locator(".card.kept .text")).to_have_text(one)
    expect(page.locator(".stored")).to_be_visible()
    choose(page, served, 3)
    other = load_results("demo")[served.flow.gallery.examples[3].path.name]
    expect(asked(page)).to_have_text(other.question)
    assert served.flow.holder.state == "loading"
    assert served.model.sessions == []  # nothing ran


def test_painting_on_a_stored_result_asks_anew_with_these_tokens(
    loading: tuple[Served, Page, threading.Event],
) -> None:
    served, page, gate = loading
    page.goto(served.url)
    page.wait_for_function("window.glimpse && window.glimpse.stage.drawn > 0")
    canvas(page).focus()
    page.keyboard.press("ArrowRight")
    page.keyboard.press("Space")  # the most relevant token goes
    dropped = page.evaluate("[...window.glimpse.stage.settings.painted, ...window.glimpse.stage.settings.erased][0]")
    page.get_by_role("button", name="Answer again").click()
    expect(page.locator(".glimpse-status")).to_contain_text("still loading")
    gate.set()
    finished(page)
    expect(page.locator(".stored")).to_have_count(0)
    (session,) = served.model.sessions
    assert session.question == question(page).input_value()
    (mask,) = [mask for mask in session.masks if mask is not None]
    assert mask[dropped] == 0
    assert mask == session.select(paint={dropped: False}).mask.int().tolist() == browser_mask(page)
    page.get_by_role("button", name="Answer again").click()  # now there is a session
    finished(page)
    assert served.model.sessions == [session]
