"""Stopping, turning to something else, and everything that cannot be done, on a stand-in engine."""

from __future__ import annotations

import gc
import os
import threading
from pathlib import Path

import psutil
from PIL import Image
from playwright.sync_api import Browser, Page, expect

from glimpse_core.errors import GlimpseError
from tests.browser.conftest import (
    Served,
    Visit,
    ask,
    asked,
    choose,
    ended,
    finished,
    paint,
    question,
    serve,
    status,
    until,
    upload,
)
from tests.browser.fake import PATCH, FakeModel, FakeSession

SLOW = (0.25, 400)  # pace and words of an answer that does not end before a test has clicked, on a busy machine either


def there_and_back(page: Page) -> None:
    """Wait until the server has answered once more, and whatever it said before has arrived."""
    page.evaluate("window.glimpse.app.server.call('page_model', {})")


def test_stop_stops_the_model_and_frees_the_page(fake: Served, visit: Visit) -> None:
    fake.model.pace, fake.model.words = SLOW
    page = visit(fake)
    threads = threading.active_count()
    ask(page, wait=False)
    expect(page.locator(".card.kept .text")).to_contain_text("word3")
    page.get_by_role("button", name="Stop").click()
    expect(status(page)).to_have_text("Stopped.")
    expect(page.locator(".card.kept .state")).to_have_text("stopped")
    expect(page.locator(".verdict")).to_have_text("Stopped before both were complete")
    until(page, lambda: ended(fake))
    text = page.locator(".card.full .text").text_content()
    there_and_back(page)
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
    expect(page.locator(".verdict")).to_have_attribute("data-same", "true")  # both ran again
    assert fake.session is session
    assert session.counters["vision"] == 1


def test_choosing_another_picture_ends_the_running_answer(fake: Served, visit: Visit) -> None:
    fake.model.pace, fake.model.words = SLOW
    page = visit(fake)
    ask(page, wait=False)
    expect(page.locator(".card.kept .text")).to_contain_text("word2")
    choose(page, fake, 2)
    expect(page.locator(".glimpse-answers .idle")).to_be_visible()
    until(page, lambda: ended(fake))
    there_and_back(page)
    expect(page.locator(".glimpse-answers .idle")).to_be_visible()
    fake.model.pace, fake.model.words = 0.01, 3
    ask(page)
    expect(asked(page)).to_have_text(fake.flow.gallery.examples[2].questions[0][0])


def test_a_bad_upload_leaves_the_running_answer_alone(fake: Served, visit: Visit, tmp_path: Path) -> None:
    fake.model.pace, fake.model.words = SLOW[0], 12
    page = visit(fake)
    ask(page, wait=False)
    expect(page.locator(".card.kept .text")).to_contain_text("word2")
    (tmp_path / "text.png").write_text("I am a text file.")
    upload(page, tmp_path / "text.png")
    expect(page.get_by_role("alert")).to_contain_text("not an image that can be read")
    finished(page)
    expect(page.locator(".card.kept .text")).to_contain_text("word11")
    expect(page.get_by_role("alert")).to_contain_text("not an image that can be read")
    expect(page.get_by_role("button", name="Ask", exact=True)).to_be_enabled()


def test_a_suggestion_replaces_the_running_question(fake: Served, visit: Visit) -> None:
    fake.model.pace, fake.model.words = SLOW
    page = visit(fake)
    ask(page, "First?", wait=False)
    expect(page.locator(".card.kept .text")).to_contain_text("word2")
    fake.model.pace, fake.model.words = 0.01, 3
    text = fake.flow.gallery.examples[0].questions[1][0]
    page.get_by_role("button", name=text).click()
    expect(asked(page)).to_have_text(text)
    finished(page)
    assert [session.question for session in fake.model.sessions] == ["First?", text]


def test_questions_that_cannot_be_asked(fake: Served, visit: Visit) -> None:
    page = visit(fake)
    ask(page, "   ", wait=False)
    expect(page.get_by_role("alert")).to_contain_text("There is no question yet")
    ask(page, "why " * 5000, wait=False)
    expect(page.get_by_role("alert")).to_contain_text("19,999 characters. Expected at most 2,000")
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
        "text.png": "not an image that can be read",
        "cut.png": "The image is damaged",
        "empty.png": "not an image that can be read",
        "bomb.png": "at most 100 million",
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
    with serve(model, load=lambda: model, start=FakeSession.ask, examples=(), results={}) as served:
        page = visit(served)
        expect(page.get_by_text("Add a picture, drop one here")).to_be_visible()
        ask(page, "What is it?", wait=False)
        expect(page.get_by_role("alert")).to_contain_text("There is no picture yet")
        page.close()


STOPS = int(os.environ.get("GLIMPSE_STOPS", "20"))
ROUNDS = """async (rounds) => {
    const until = async (ready) => {
        const late = performance.now() + 90000;
        while (!ready()) {
            if (performance.now() > late) throw new Error(`stuck: ${ready}`);
            await new Promise(requestAnimationFrame);
        }
    };
    const [go, stop] = ['#glimpse-go', '#glimpse-stop'].map((name) => document.querySelector(name));
    const words = () => document.querySelector('.card.kept[data-state=running] .text')?.textContent || '';
    for (let round = 0; round < rounds; round++) {
        await until(() => !go.disabled);
        go.click();
        await until(() => words().includes('see') && !stop.disabled);
        stop.click();
        await until(() => document.querySelector('.glimpse-status').textContent === 'Stopped.' && !go.disabled);
    }
}"""


def census() -> dict[str, int]:
    """Threads of the pool that Gradio calls handlers in, and all others."""
    pool = sum(thread.name.startswith("AnyIO") for thread in threading.enumerate())
    return {"pool": pool, "others": threading.active_count() - pool}


def test_stops_leave_no_thread_and_no_memory(fake: Served, visit: Visit, tmp_path: Path) -> None:
    """A session of the stand-in holds 8 MB: what twenty of them leave would show. GLIMPSE_STOPS=50 stops fifty."""
    fake.model.pace, fake.model.words, fake.model.ballast = 0.1, 1000, 8 * 2**20
    page = visit(fake)
    upload(page, paint(tmp_path / "small.png", (3 * PATCH, 2 * PATCH), 0, 0))
    question(page).fill("What?")
    page.evaluate(ROUNDS, 4)  # what Gradio allocates once
    process = psutil.Process()
    gc.collect()
    threads, memory = census(), process.memory_info().rss
    page.evaluate(ROUNDS, STOPS)
    gc.collect()
    now = census()
    assert now["others"] <= threads["others"]
    assert now["pool"] <= threads["pool"] + 2  # Gradio's own pool breathes
    assert process.memory_info().rss <= 1.05 * memory
    assert len(fake.model.sessions) == 4 + STOPS
    assert len(fake.flow.queue) == 0
    assert ended(fake)  # nothing runs on
