"""The Methods tab on the real engine: small multiples, stop, downloads, errors, axe."""

from __future__ import annotations

import json
import re
from pathlib import Path

from playwright.sync_api import Locator, Page, expect

from glimpse_core import pruners
from tests.browser.conftest import Served, Visit, question
from tests.browser.test_access import serious, unnamed
from tests.browser.test_engine import real_page  # noqa: F401 - a fixture


def choose(page: Page, *wanted: str) -> None:
    """The tab, with exactly these methods ticked."""
    page.get_by_role("tab", name="Methods").click()
    expect(page.locator("#methods-names").get_by_role("checkbox").first).to_be_visible()
    labels = {pruners.card(name).label for name in wanted}
    for box in page.locator("#methods-names").get_by_role("checkbox").all():
        box.set_checked(box.locator("xpath=..").inner_text().strip() in labels)


# The largest difference of red, green and blue at the centers of dropped tokens, and at those of kept ones.
COLORFUL = """([name, mask]) => {
    const canvas = document.querySelector(`#glimpse-panel-methods .card[data-name=${name}] canvas`);
    const { rows, cols } = window.glimpse.store.get().pictures[0];
    const brush = canvas.getContext("2d");
    const spread = mask.map((on, i) => {
        const [x, y] = [((i % cols) + 0.5) / cols, (Math.floor(i / cols) + 0.5) / rows];
        const at = [Math.floor(x * canvas.width), Math.floor(y * canvas.height), 1, 1];
        const [red, green, blue] = brush.getImageData(...at).data;
        return [on, Math.max(red, green, blue) - Math.min(red, green, blue)];
    });
    const most = (kept) => Math.max(...spread.filter(([on]) => on === kept).map(([, value]) => value));
    return [most(0), most(1)];
}"""


def outside_and_inside(page: Page, result: dict) -> tuple[int, bool]:
    outside, inside = page.evaluate(COLORFUL, [result["name"], result["mask"]])
    return outside, inside > 20


def panel(page: Page) -> Locator:
    return page.locator("#glimpse-panel-methods")


def said(page: Page) -> Locator:
    return page.locator("#glimpse-panel-methods .message")


def test_methods_are_compared_on_the_chosen_picture(real_page: Served, visit: Visit, tmp_path: Path) -> None:  # noqa: F811
    page = visit(real_page)
    asked = question(page).input_value()
    choose(page, "random", "divprune")
    page.locator("#methods-run").click()
    expect(said(page)).to_have_text("All done.")
    cards = panel(page).locator(".card")
    expect(cards).to_have_count(3)
    assert {card.get_attribute("data-name") for card in cards.all()} == {"none", "divprune", "random"}
    assert cards.first.get_attribute("data-name") == "none"
    expect(panel(page).locator(".question")).to_have_text(asked)
    expect(panel(page).locator(".summary")).to_have_text(re.compile(r"^\d of 2 methods gives? the same answer at 11%"))
    truth = real_page.flow.gallery.examples[0].truth(asked)
    assert truth
    expect(panel(page).locator(".truth bdi")).to_have_text(truth)
    names = [picture.get_attribute("aria-label") or "" for picture in panel(page).locator(".card canvas").all()]
    assert len(names) == 3 and all("tokens kept" in name for name in names)
    assert all(
        width > 100 for width in panel(page).locator(".card canvas").evaluate_all("all => all.map((c) => c.width)")
    )
    with page.expect_download() as waiting:
        page.get_by_role("link", name="glimpse-methods.json").click()
    waiting.value.save_as(tmp_path / "methods.json")
    data = json.loads((tmp_path / "methods.json").read_text())
    assert data["question"] == asked and data["percent"] == 11
    full, *rest = data["methods"]
    for result in rest:
        assert result["kept"] == sum(result["mask"]) == round(0.11 * full["total"])
        expect(panel(page).locator(f".card[data-name={result['name']}] .text")).to_have_text(result["text"])
        assert outside_and_inside(page, result) == (0, True), "dropped tokens have no color, some kept one has"
    panel(page).get_by_label("Sort by").select_option("time")
    seconds = {result["name"]: result["first"] for result in rest}
    order = ["none", *sorted(seconds, key=lambda name: seconds[name])]
    assert [card.get_attribute("data-name") for card in cards.all()] == order
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
    expect(page.locator("#methods-names").get_by_role("checkbox").first).to_be_visible()
    page.locator("#methods-names").get_by_role("checkbox").evaluate_all(
        "all => all.forEach((box) => box.checked || box.click())"
    )
    page.locator("#methods-run").click()
    expect(panel(page).locator(".card").first).to_be_visible()
    page.locator("#methods-stop").click()
    expect(said(page)).to_contain_text("Stopped after")
    expect(page.locator("#methods-stop")).to_be_disabled()
    assert len(real_page.flow.queue) == 0
