"""The modules of the page in a real browser, imported from the served app: the page is made from these very files."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any
from urllib.parse import quote

from playwright.sync_api import Browser

from glimpse_core.ui.bundle import WEB
from tests.browser.conftest import Served

Call = Callable[[str, Any], Any]

IMPORT = """async (addresses) => {
    window.made = Object.assign({}, ...await Promise.all(addresses.map((address) => import(address))));
}"""
RUN = "([text, given]) => new Function('given', `const { ${Object.keys(made)} } = made; return ${text};`)(given)"


@contextmanager
def imported(browser: Browser, served: Served, *names: str) -> Iterator[Call]:
    """Run JavaScript expressions that have everything that these modules of `web/` export, and `given`."""
    page = browser.new_page()
    page.goto(f"{served.url}gradio_api/info")  # any page of the app that runs no script of its own
    folder = f"{served.url}gradio_api/file={quote(str(WEB))}"
    page.evaluate(IMPORT, [f"{folder}/{name}.js" for name in names])
    try:
        yield lambda text, given: page.evaluate(RUN, [text, given])
    finally:
        page.close()
