"""For people without a mouse, without sight, or with other colors: axe, the keyboard alone, pictures in words."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

from axe_playwright_python.sync_playwright import Axe
from playwright.sync_api import Browser, Page, expect

from tests.browser.conftest import DESKTOP, PHONE, Served, Visit, ask, upload
from tests.browser.test_takeaway import red, save  # noqa: F401  a fixture

LOOKS = ("light desktop", "light phone", "dark desktop", "dark phone")
# What a screen reader gets for each picture of the page: its name, or "hidden" where it is decoration, else nothing.
PICTURES = """() => [...document.querySelectorAll("img, canvas, svg, [role=img]")]
    .filter((node) => node.checkVisibility() && !node.closest("footer, .gradio-container button:not([class])"))
    .map((node) => {
        const hidden = node.closest("[aria-hidden=true]") || node.getAttribute("role") === "presentation";
        const name = node.getAttribute("alt") || node.getAttribute("aria-label");
        const said = node.closest("button, label, [role=button]");
        const within = said && (said.getAttribute("aria-label") || said.textContent.trim());
        return [node.outerHTML.slice(0, 120), hidden ? "hidden" : String(name || within || "")];
    })"""


def serious(page: Page) -> list[Any]:
    page.wait_for_timeout(500)  # colors fade in
    return [
        (violation["id"], [node["html"][:160] for node in violation["nodes"]])
        for violation in Axe().run(page).response["violations"]
        if violation["impact"] in ("serious", "critical")
    ]


def unnamed(page: Page) -> list[str]:
    return [html for html, name in page.evaluate(PICTURES) if not name]


def in_every_look(page: Page) -> Iterator[str]:
    """The page on a desktop and a phone, light and dark; the same page, so that each look costs no more than that."""
    for scheme in ("light", "dark"):
        page.emulate_media(color_scheme=scheme)
        page.wait_for_function("(dark) => document.body.classList.contains('dark') === dark", arg=scheme == "dark")
        for name, size in (("desktop", DESKTOP), ("phone", PHONE)):
            page.set_viewport_size(size)
            yield f"{scheme} {name}"


def test_axe_finds_nothing_serious(fake: Served, visit: Visit) -> None:
    """As it opens, with an error, and after an answer with everything unfolded."""
    page = visit(fake)
    assert {look: (serious(page), unnamed(page)) for look in in_every_look(page)} == dict.fromkeys(LOOKS, ([], []))
    ask(page, " ", wait=False)
    expect(page.get_by_role("alert")).to_be_visible()
    page.get_by_role("button", name="More settings").click()
    assert {look: serious(page) for look in in_every_look(page)} == dict.fromkeys(LOOKS, [])
    ask(page, "What is it?")
    expect(page.get_by_role("button", name="Answer again")).to_be_enabled()
    page.get_by_role("button", name="Copy link").click()
    expect(page.get_by_role("textbox", name="Link to this")).to_be_visible()
    assert {look: (serious(page), unnamed(page)) for look in in_every_look(page)} == dict.fromkeys(LOOKS, ([], []))


def test_axe_finds_nothing_serious_in_a_report(
    fake: Served,
    visit: Visit,
    browser: Browser,
    red: Path,  # noqa: F811
    tmp_path: Path,
) -> None:
    page = visit(fake)
    upload(page, red)
    ask(page, "What is red?")
    path = save(page, "Report (HTML)", tmp_path / "report.html")
    for scheme, size in (("light", DESKTOP), ("dark", PHONE)):
        reader = browser.new_page(viewport=size, color_scheme=scheme, bypass_csp=True)  # axe is a script
        reader.goto(path.as_uri())
        assert not serious(reader) and not unnamed(reader)
        assert reader.evaluate("document.documentElement.scrollWidth") <= size["width"]
        reader.close()
