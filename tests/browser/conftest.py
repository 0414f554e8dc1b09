"""A real browser against a page served in this process, so that tests can look at both ends.

The browser is the Chromium on the PATH. Without it the tests are skipped; where GLIMPSE_REQUIRE_BROWSER is set, they
fail.
"""

from __future__ import annotations

import os
import re
import shutil
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from urllib.parse import urlparse

import gradio as gr
import pytest
from gradio import http_server
from PIL import Image, ImageDraw
from playwright.sync_api import Browser, BrowserContext, Locator, Page, expect, sync_playwright

from app import create_app, launch_options
from tests.browser.fake import PATCH, FakeModel, FakeSession

FLAGS = [
    "--headless",
    "--no-sandbox",
    "--disable-gpu",
    "--disable-background-networking",
    "--no-first-run",
    "--disable-component-update",
    "--disable-sync",
    "--disable-features=SpareRendererForSitePerProcess",  # a process for a page that never comes
]
# The same browser; the first has no window, tabs and toolbars of its own to draw, which is most of the work otherwise.
BROWSERS = ("chromium-headless-shell", "chromium")
DESKTOP = {"width": 1440, "height": 900}
PHONE = {"width": 390, "height": 844}
PATIENCE = int(os.environ.get("P", 90_000))  # milliseconds

# Every process of pytest-xdist has ports of its own: two that look for a free port at once would find the same one.
WORKER = int(os.environ.get("PYTEST_XDIST_WORKER", "gw0").removeprefix("gw"))
http_server.INITIAL_PORT_VALUE += WORKER * http_server.TRY_NUM_PORTS

BROWSING: list[Browser] = []

Visit = Callable[["Served"], Page]
expect.set_options(timeout=PATIENCE)


@dataclass
class Served:
    """A running page and what is behind it."""

    url: str
    demo: gr.Blocks
    model: Any = None

    @property
    def flow(self) -> Any:
        return self.demo.flow

    @property
    def session(self) -> Any:
        """The session of the visitor who asked last."""
        return list(self.flow.visitors._visitors.values())[-1].session


@contextmanager
def serve(model: Any = None, **options: Any) -> Iterator[Served]:
    """Serve a page on a free port until the block ends."""
    demo = create_app(**options)
    _, url, _ = demo.launch(prevent_thread_lock=True, quiet=True, server_name="127.0.0.1", **launch_options())
    try:
        yield Served(url, demo, model)
    finally:
        for page in [page for browser in BROWSING for context in browser.contexts for page in context.pages]:
            if page.url.startswith(url):  # it would hold the server up until that loses its patience
                leave(page)
        demo.close()


def executable() -> str | None:
    """The browser on the PATH, if there is one."""
    return next(filter(None, map(shutil.which, BROWSERS)), None)


@pytest.fixture(scope="session")
def browser() -> Iterator[Browser]:
    path = executable()
    if path is None:
        reason = "no chromium on the PATH (Debian: apt-get install chromium-headless-shell)"
        if os.environ.get("GLIMPSE_REQUIRE_BROWSER"):
            pytest.fail(reason)
        pytest.skip(reason)
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=path, args=FLAGS)
        BROWSING.append(browser)
        yield browser
        BROWSING.remove(browser)
        browser.close()


@pytest.fixture(scope="session")
def fake_page() -> Iterator[Served]:
    """The page on the stand-in engine, with the bundled examples."""
    model = FakeModel()
    with serve(model, load=lambda: model, start=FakeSession.ask, results={}) as served:
        yield served


@pytest.fixture
def fake(fake_page: Served) -> Served:
    """The same page, with the stand-in reset."""
    fresh = FakeModel()
    fake_page.model.__dict__.update(fresh.__dict__)
    return fake_page


@pytest.fixture(scope="session")
def shared_context(browser: Browser) -> Iterator[BrowserContext]:
    """A context for nearly all tests: Gradio's scripts are fetched and compiled once, as for a visitor who returns."""
    context = browser.new_context(viewport=DESKTOP)
    context.set_default_timeout(PATIENCE)
    yield context
    context.close()


@pytest.fixture
def context(shared_context: BrowserContext) -> Iterator[BrowserContext]:
    """The shared context; whatever a test's pages left in it is removed afterward."""
    yield shared_context
    for page in shared_context.pages:
        leave(page)
    shared_context.clear_cookies()
    shared_context.clear_permissions()
    shared_context.unroute_all()


@pytest.fixture
def new_context(browser: Browser) -> Iterator[BrowserContext]:
    """A context of its own, in which nothing is cached: a first visit."""
    context = browser.new_context(viewport=DESKTOP)
    context.set_default_timeout(PATIENCE)
    yield context
    context.close()


def leave(page: Page) -> None:
    """Close a page, and remove what its origin stored in the browser, but for cached files."""
    scheme, host = urlparse(page.url)[:2]
    if host:
        client = page.context.new_cdp_session(page)
        kinds = "cookies,local_storage,indexeddb,cache_storage,service_workers"
        client.send("Storage.clearDataForOrigin", {"origin": f"{scheme}://{host}", "storageTypes": kinds})
    page.close()


@pytest.fixture
def visit(context: BrowserContext) -> Iterator[Callable[[Served], Page]]:
    """Open a page and wait until it can be used. An error in the page's own scripts fails the test."""
    errors: list[str] = []

    def open_page(served: Served) -> Page:
        page = context.new_page()
        page.on("pageerror", lambda error: errors.append(str(error)))
        page.on("console", lambda message: errors.append(message.text) if message.type == "error" else None)
        page.goto(served.url)
        expect(page.locator(".glimpse-badge")).not_to_have_attribute("data-state", "loading")
        ready(page)
        return page

    yield open_page
    assert not errors


def ready(page: Page) -> None:
    """Wait until the page says that it can be used: main.js."""
    expect(page.locator("body")).to_have_attribute("data-glimpse-ready", "true")


def still(page: Page) -> None:
    """Wait until no color fades and nothing slides any more."""
    page.wait_for_function("document.getAnimations().every((one) => !(one instanceof CSSTransition))")


def until(page: Page, state: Callable[[], Any]) -> None:
    """Wait for a state of this process, while the browser goes on: it is looked at before every frame of the page."""
    late = time.monotonic() + PATIENCE / 1000
    while not state():
        assert time.monotonic() < late, "it never came to that"
        page.evaluate("new Promise(requestAnimationFrame)")


def ended(served: Served) -> bool:
    """Whether no answer of the stand-in runs any more, and nobody holds the model."""
    over = all(answer.finished or answer.told_to_stop for answer in served.model.answers)
    return over and len(served.flow.queue) == 0


def choose(page: Page, served: Served, number: int) -> None:
    """Click an example, counted from 0, and wait until its first question is in the box: that comes last."""
    page.get_by_role("group", name="Example pictures").get_by_role("button").nth(number).click()
    expect(question(page)).to_have_value(served.flow.gallery.examples[number].questions[0][0])


def question(page: Page) -> Locator:
    return page.get_by_role("textbox", name="Question", exact=True)


def ask(page: Page, text: str | None = None, wait: bool = True) -> None:
    """Type a question, press Enter, and wait for the verdict. First waits for a running answer to end."""
    expect(page.locator("#glimpse-go")).to_be_enabled()
    if text is not None:
        question(page).fill(text)
    wanted = question(page).input_value()
    question(page).press("Enter")
    if wait:
        expect(asked(page)).to_have_text(wanted)
        expect(page.locator(".stored")).to_have_count(0)
        finished(page)


def asked(page: Page) -> Locator:
    """The question that the answers are for. It is shown only where the box has another one by now."""
    return page.locator("h2.question")


def finished(page: Page) -> None:
    """Wait until both answers are there and nothing runs."""
    expect(page.locator(".verdict[data-same]")).to_be_visible()
    expect(page.locator("#glimpse-go")).to_be_enabled()


def more(page: Page) -> None:
    """Unfold the settings that few need."""
    if page.locator("details.more[open]").count() == 0:
        page.locator("details.more > summary").click()


def upload(page: Page, *paths: Path) -> None:
    page.locator("#glimpse-choose input[type=file]").set_input_files([str(path) for path in paths])


def shown(page: Page) -> None:
    """Wait until an own picture is on the stage: a question asked before would be about the one before."""
    expect(page.get_by_role("application")).to_have_attribute("aria-label", re.compile("^Your picture"))


def status(page: Page) -> Locator:
    return page.locator(".glimpse-status")


def canvas(page: Page) -> Locator:
    return page.get_by_role("application")


def view(page: Page, name: str) -> None:
    page.get_by_role("radio", name=name, exact=True).click()


def pixel(page: Page, x: float, y: float) -> list[int]:
    """The canvas' color at a place given in shares of its width and height, once the picture is on it."""
    page.wait_for_function("window.glimpse.stage.ready")
    return page.evaluate(
        """([x, y]) => {
            const canvas = document.querySelector('.glimpse-stage .frame canvas');
            const at = [Math.floor(x * canvas.width), Math.floor(y * canvas.height)];
            return [...canvas.getContext('2d').getImageData(...at, 1, 1).data].slice(0, 3);
        }""",
        [x, y],
    )


def browser_mask(page: Page) -> list[int]:
    return page.evaluate("[...window.glimpse.stage.selection.mask]")


def set_threshold(page: Page, value: str) -> None:
    more(page)
    box = page.get_by_role("spinbutton", name="Keep tokens more relevant than")
    box.fill(value)
    box.press("Tab")


def paint(path: Path, size: tuple[int, int], row: int, col: int, **options: object) -> Path:
    """A gray picture with one red patch, exactly on the given token."""
    image = Image.new("RGB", size, (90, 90, 90))
    box = (col * PATCH, row * PATCH, (col + 1) * PATCH - 1, (row + 1) * PATCH - 1)
    ImageDraw.Draw(image).rectangle(box, fill=(250, 0, 0))
    image.save(path, **options)
    return path
