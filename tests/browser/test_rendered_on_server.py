"""The page with server-side rendering, as the Hub would have it. Gradio needs Node 24 for that; the rest does not."""

from __future__ import annotations

import os
import shutil
import subprocess

import pytest
from playwright.sync_api import Page, expect

from tests.browser.conftest import Served, Visit, ask, serve, still
from tests.browser.fake import FakeModel, FakeSession

# What Gradio's own rules would change if they stood before ours: sizes, spaces and colors.
LOOK = """(selectors) => Object.fromEntries(selectors.map((selector) => {
    const node = document.querySelector(selector);
    const { padding, margin, font, color, backgroundColor, borderTopWidth } = getComputedStyle(node);
    return [selector, [padding, margin, font, color, backgroundColor, borderTopWidth, node.clientHeight]];
}))"""
SELECTORS = [
    *("#glimpse-app .head h1", ".places button", ".strip button", ".strip img", ".glimpse-stage .frame canvas"),
    *(".suggestions button", "#glimpse-question textarea", "#glimpse-go", ".verdict", ".card.kept .text", ".facts th"),
    *(".radios button", "#glimpse-dial", ".band button", ".export button", "details.more > summary"),
]


def node_version() -> int:
    path = os.environ.get("GRADIO_NODE_PATH") or shutil.which("node")
    said = subprocess.run([path, "--version"], capture_output=True, text=True).stdout if path else ""
    return int(said.strip().lstrip("v").split(".")[0] or 0)


def answer(page: Page) -> None:
    """Ask, and wait until the page changes no more."""
    ask(page, "What is here?")
    expect(page.locator(".band")).to_have_attribute("data-phase", "done")


def look(page: Page) -> dict[str, list[object]]:
    still(page)
    return page.evaluate(LOOK, SELECTORS)


@pytest.mark.skipif(node_version() < 24, reason="no Node 24 (GRADIO_NODE_PATH, or node on the PATH)")
def test_the_page_answers_and_looks_the_same(fake: Served, visit: Visit, monkeypatch: pytest.MonkeyPatch) -> None:
    plain = visit(fake)
    answer(plain)
    monkeypatch.setenv("GLIMPSE_SSR", "1")
    model = FakeModel()
    with serve(model, load=lambda: model, start=FakeSession.ask, results={}) as served:
        page = visit(served)
        assert served.demo.node_process is not None
        answer(page)
        assert page.locator(".card.full .text").inner_text() == plain.locator(".card.full .text").inner_text()
        assert served.session.question == "What is here?"
        assert look(page) == look(plain)
