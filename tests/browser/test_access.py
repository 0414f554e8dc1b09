"""For people without a mouse, without sight, or with other colors: axe, the keyboard alone, pictures in words."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

from axe_playwright_python.sync_playwright import Axe
from playwright.sync_api import Browser, Page, expect

from tests.browser.conftest import (
    DESKTOP,
    PHONE,
    Served,
    Visit,
    ask,
    finished,
    more,
    question,
    shown,
    still,
    upload,
)
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
    still(page)
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
    more(page)
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
    shown(page)
    ask(page, "What is red?")
    path = save(page, "Report", tmp_path / "report.html")
    for scheme, size in (("light", DESKTOP), ("dark", PHONE)):
        reader = browser.new_page(viewport=size, color_scheme=scheme, bypass_csp=True)  # axe is a script
        reader.goto(path.as_uri())
        assert not serious(reader) and not unnamed(reader)
        assert reader.evaluate("document.documentElement.scrollWidth") <= size["width"]
        reader.close()


def tab_to(page: Page, selector: str, limit: int = 90) -> None:
    """Press Tab until the focus is there and can be seen. Fails if Tab does not lead there."""
    for _ in range(limit):
        page.keyboard.press("Tab")
        if page.evaluate("(selector) => document.activeElement.matches(selector)", selector):
            ring = page.evaluate(
                """() => { const style = getComputedStyle(document.activeElement);
                    return style.outlineStyle !== "none" || style.boxShadow !== "none"; }"""
            )
            assert ring, f"the focus on {selector} cannot be seen"
            return
    raise AssertionError(f"Tab does not lead to {selector}")


def test_the_main_flow_works_by_keyboard_alone(fake: Served, visit: Visit, tmp_path: Path) -> None:
    """Choose an example, ask, stop, ask again, change the view, walk over tokens, move the threshold, answer, save."""
    fake.model.pace, fake.model.words = 0.5, 80
    page = visit(fake)
    press = page.keyboard.press
    tab_to(page, ".strip button")
    press("Tab")
    press("Enter")
    expect(question(page)).to_have_value(fake.flow.gallery.examples[1].questions[0][0])
    tab_to(page, "#glimpse-question textarea")
    press("Control+a")
    page.keyboard.type("What is it?")
    press("Enter")
    expect(page.locator("#glimpse-stop")).to_be_enabled()
    tab_to(page, "#glimpse-stop")
    press("Enter")
    expect(page.locator(".glimpse-status")).to_contain_text("Stopped")
    fake.model.pace, fake.model.words = 0.01, 6
    expect(page.locator("#glimpse-go")).to_be_enabled()
    press("Shift+Tab")
    expect(page.locator("#glimpse-go")).to_be_focused()
    press("Enter")
    finished(page)

    tab_to(page, ".glimpse-stage [role=radio]")
    before = page.evaluate("window.glimpse.stage.view")
    press("ArrowRight")
    assert page.evaluate("window.glimpse.stage.view") != before
    tab_to(page, ".glimpse-stage canvas[role=application]")
    press("ArrowRight")
    press("ArrowDown")
    expect(page.locator(".words")).to_contain_text("Row")
    tab_to(page, "#glimpse-dial")
    kept = page.evaluate("window.glimpse.stage.selection.kept")
    press("ArrowRight")  # letting go of the key asks, for a number whose answer is not known
    expect(page.locator(".card.kept .hint")).to_contain_text(f"{kept + 1}: the {kept + 1} most relevant")
    finished(page)
    tab_to(page, ".export button[value=json]")
    with page.expect_download() as waiting:
        press("Enter")
    waiting.value.save_as(tmp_path / "record.json")
    assert f'"budget": {kept + 1}' in (tmp_path / "record.json").read_text()
