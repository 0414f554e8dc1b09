"""The page with server-side rendering, as the Hub would have it. Gradio needs Node 24 for that; the rest does not."""

from __future__ import annotations

import os
import shutil
import subprocess

import pytest

from tests.browser.conftest import Visit, ask, serve
from tests.browser.fake import FakeModel, FakeSession


def node_version() -> int:
    path = os.environ.get("GRADIO_NODE_PATH") or shutil.which("node")
    said = subprocess.run([path, "--version"], capture_output=True, text=True).stdout if path else ""
    return int(said.strip().lstrip("v").split(".")[0] or 0)


@pytest.mark.skipif(node_version() < 24, reason="no Node 24 (GRADIO_NODE_PATH, or node on the PATH)")
def test_the_page_answers_and_looks_the_same(visit: Visit, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("GLIMPSE_SSR", "1")
    model = FakeModel()
    with serve(model, load=lambda: model, start=FakeSession.ask, results={}) as served:
        page = visit(served)
        assert served.demo.node_process is not None
        ask(page, "What is here?")
        assert page.locator(".card.full .text").text_content()
        assert served.session.question == "What is here?"
        # Gradio's own rules stand behind ours then.
        assert page.locator(".suggestions button").first.evaluate("e => getComputedStyle(e).paddingLeft") == "13px"
        assert page.locator(".strip img").first.evaluate("e => e.clientHeight") == 64
