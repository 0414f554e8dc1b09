"""The Methods tab on the real engine: small multiples, stop, downloads, errors, axe."""

from __future__ import annotations

import json
from pathlib import Path

from playwright.sync_api import Page, expect

from glimpse_core import pruners
from tests.browser.conftest import Served, Visit, question
from tests.browser.test_access import serious, unnamed
from tests.browser.test_engine import real_page  # noqa: F401 - a fixture


def choose(page: Page, *wanted: str) -> None:
    """The tab, with exactly these methods ticked."""
    page.get_by_role("tab", name="Methods").click()
    labels = {pruners.card(name).label for name in wanted}
    for box in page.locator("#methods-names").get_by_role("checkbox").all():
        box.set_checked(box.locator("xpath=..").inner_text().strip() in labels)


def said(page: Page):
    return page.locator(".glimpse-methods .message")


def test_methods_are_compared_on_the_chosen_picture(real_page: Served, visit: Visit, tmp_path: Path) -> None:  # noqa: F811
    page = visit(real_page)
    asked = question(page).input_value()
    choose(page, "random", "divprune")
    page.locator("#methods-run").click()
    expect(said(page)).to_have_text("All done.")
    cards = page.locator(".glimpse-methods .card")
    expect(cards).to_have_count(3)
    assert [card.get_attribute("data-name") for card in cards.all()] == ["none", "divprune", "random"]
    sizes = page.locator(".glimpse-methods img").evaluate_all(
        "all => all.map((image) => [image.naturalWidth, image.alt])"
    )
    assert all(width > 100 and "tokens kept" in alt for width, alt in sizes)
    with page.expect_download() as waiting:
        page.get_by_role("link", name="glimpse-methods.json").click()
    waiting.value.save_as(tmp_path / "methods.json")
    data = json.loads((tmp_path / "methods.json").read_text())
    assert data["question"] == asked and data["percent"] == 11
    full, *rest = data["methods"]
    for result in rest:
        assert result["kept"] == sum(result["mask"]) == round(0.11 * full["total"])
        expect(page.locator(f".card[data-name={result['name']}] .text")).to_have_text(result["text"])
    with page.expect_download() as waiting:
        page.get_by_role("link", name="glimpse-methods.jpg").click()
    assert Path(waiting.value.path()).read_bytes()[:2] == b"\xff\xd8"
    assert not serious(page) and not unnamed(page)
    choose(page)
    page.locator("#methods-run").click()
    expect(page.get_by_role("alert")).to_contain_text("No method was chosen")
    expect(page.locator("#methods-run")).to_be_enabled()


def test_stop_keeps_what_is_done(real_page: Served, visit: Visit) -> None:  # noqa: F811
    page = visit(real_page)
    page.get_by_role("tab", name="Methods").click()
    page.locator("#methods-names").get_by_role("checkbox").evaluate_all(
        "all => all.forEach((box) => box.checked || box.click())"
    )
    page.locator("#methods-run").click()
    expect(page.locator(".glimpse-methods .card").first).to_be_visible()
    page.locator("#methods-stop").click()
    expect(said(page)).to_contain_text("Stopped after")
    expect(page.locator("#methods-stop")).to_be_disabled()
    assert len(real_page.flow.queue) == 0
