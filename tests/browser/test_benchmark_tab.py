"""The Benchmark tab on the real engine: progress, the table, stop, downloads, files of one's own, errors."""

from __future__ import annotations

import json
import re
from pathlib import Path

from PIL import Image
from playwright.sync_api import Locator, Page, expect

from tests.browser.conftest import Served, Visit, canvas, finished, question
from tests.browser.test_engine import real_page  # noqa: F401 - a fixture

LYING_OVER = """image => {
    const own = image.getBoundingClientRect();
    const over = ({ left, right, top, bottom }) => right - left > 2 && bottom - top > 2
        && left < own.right && own.left < right && top < own.bottom && own.top < bottom;
    const others = [...image.closest("#benchmark-curve").querySelectorAll("*")].filter((one) => !one.contains(image));
    const seen = (one) => one.checkVisibility({ opacityProperty: true, visibilityProperty: true })
        && (one.matches("svg, button") || one.textContent.trim() !== "");
    return others.filter((one) => seen(one) && over(one.getBoundingClientRect())).map((one) => one.outerHTML);
}"""


def open_tab(page: Page, count: int) -> None:
    """The tab, with so many questions; what is ticked stays as it is."""
    page.get_by_role("tab", name="Benchmark").click()
    page.get_by_role("spinbutton", name="Questions").fill(str(count))
    page.get_by_role("spinbutton", name="Questions").press("Tab")


def progress(page: Page) -> Locator:
    return page.locator("#benchmark-status textarea")


def test_run_table_and_downloads(real_page: Served, visit: Visit) -> None:  # noqa: F811
    page = visit(real_page)
    open_tab(page, 3)
    dynamic = page.get_by_role("checkbox", name="dynamic", exact=True)
    dynamic.uncheck()
    expect(dynamic).not_to_be_checked()
    for result in ("table", "curve", "cases", "files"):  # an empty frame says nothing
        expect(page.locator(f"#benchmark-{result}")).not_to_be_visible()
    page.locator("#benchmark-run").click()
    expect(progress(page)).to_have_value("All 3 questions answered.")
    table = page.locator("#benchmark-table")
    for text in ("all tokens", "GlimpsePrune", "attention at K", "FastV", "oracle boxes", "11.1%", "prefill FLOPs"):
        expect(table).to_contain_text(text)
    curve = page.locator("#benchmark-curve img")
    expect(curve).to_be_visible()
    assert curve.evaluate(LYING_OVER) == []  # labels and buttons would hide the points at 100%
    expect(page.locator("#benchmark-note")).to_contain_text("exact from Clopper-Pearson bounds")
    expect(page.locator("#benchmark-outcome")).to_contain_text("of 3 questions against all tokens.")
    assert "[100.0, 100.0]" not in table.inner_text()  # of 3 questions nothing is certain
    check_changes(page)
    links = page.locator("#benchmark-files a[href]")
    expect(links.first).to_be_attached()
    with page.expect_download() as waiting:
        page.locator("#benchmark-files a[href$='.csv']").first.click()
    text = Path(waiting.value.path()).read_text()
    labels = [line.split(",")[1] for line in text.splitlines()[1:]]
    assert labels == ["none", "glimpse@11.1%", "attention@11.1%", "fastv@11.1%", "random_at_k@11.1%", "boxes"]
    expect(page.locator("#benchmark-run")).to_be_enabled()
    shown, rows = page.locator("#benchmark-outcome").inner_text(), table.inner_text()
    page.reload()
    page.get_by_role("tab", name="Benchmark").click()
    expect(progress(page)).to_have_value("All 3 questions answered.")
    expect(page.locator("#benchmark-outcome")).to_have_text(shown)
    expect(table).to_have_text(re.compile(r"\s*".join(map(re.escape, rows.split()))), use_inner_text=True)
    expect(page.locator("#benchmark-files a[href$='.csv']").first).to_be_attached()
    expect(page.locator("#benchmark-run")).to_be_enabled()
    expect(page.locator("#benchmark-stop")).to_be_disabled()
    check_changes(page)


def check_changes(page: Page) -> None:
    """What was lost and gained, by method; without any such question the curve has the whole width."""
    curve = page.locator("#benchmark-curve")
    heading = page.locator("#benchmark-losses")
    expect(curve).to_be_visible()
    if heading.count() == 0 or not heading.is_visible():
        assert width(curve) > 0.9 * width(page.locator("#benchmark-table"))
        return
    assert width(curve) < 0.6 * width(page.locator("#benchmark-table"))
    expect(heading).to_contain_text("against all tokens")
    for kind in ("Gained", "Lost"):
        page.get_by_role("radio", name=kind, exact=True).check()
        expect(heading).to_contain_text(f"{kind.lower()} ")
        some = heading.inner_text().startswith("Where")
        expect(page.locator("#benchmark-cases img").first).to_be_visible(visible=some)


def test_a_lost_question_opens_on_the_ask_tab(real_page: Served, visit: Visit) -> None:  # noqa: F811
    """With its image, asked again, under the budget of the cell: with all tokens the answer is the benchmark's."""
    page = visit(real_page)
    open_tab(page, 6)
    for name in ("FastV", "oracle boxes", "11.1%", "dynamic"):
        page.get_by_role("checkbox", name=name, exact=True).uncheck()
    page.get_by_role("checkbox", name="5%", exact=True).check()
    page.locator("#benchmark-run").click()
    expect(progress(page)).to_have_value("All 6 questions answered.")
    box = page.locator("#benchmark-cell input")
    box.click()
    page.get_by_role("option", name="random at K (5%)").click()
    expect(page.locator("#benchmark-losses")).to_contain_text("random at K (5%) lost against all tokens")
    button = page.locator("#benchmark-open")
    expect(button).to_be_disabled()  # none is chosen
    page.locator("#benchmark-cases button:has(img)").first.click()
    caption = page.locator("#benchmark-cases").get_by_text("All tokens:").first.inner_text()
    asked_there, answers = caption.split(" All tokens: ")
    expect(button).to_be_enabled()
    button.click()
    expect(page.locator("#glimpse-panel-ask")).to_be_visible()
    finished(page)
    expect(canvas(page)).to_have_accessible_name(re.compile("^Your picture"))
    expect(question(page)).to_have_value(asked_there)
    expect(page.locator(".card.full .text")).to_have_text(answers.split(" Kept ")[0])
    assert page.evaluate("window.glimpse.stage.settings.max_ratio") is None  # it was another method's budget


def width(place: Locator) -> float:
    box = place.bounding_box()
    assert box is not None
    return box["width"]


def test_stop_keeps_what_is_done(real_page: Served, visit: Visit) -> None:  # noqa: F811
    page = visit(real_page)
    open_tab(page, 200)
    page.locator("#benchmark-run").click()
    page.wait_for_function("document.querySelector('#benchmark-status textarea').value.includes('s left')")
    page.locator("#benchmark-stop").click()
    page.wait_for_function("document.querySelector('#benchmark-status textarea').value.startsWith('Stopped after')")
    expect(page.locator("#benchmark-files a[href$='.html']").first).to_be_attached()
    expect(page.locator("#benchmark-stop")).to_be_disabled()


def test_questions_of_ones_own(real_page: Served, visit: Visit, tmp_path: Path) -> None:  # noqa: F811
    Image.new("RGB", (200, 160), "orange").save(tmp_path / "a.png")
    evil = "<img src=x onerror=alert(1)> What?"
    line = {"image": "a.png", "question": evil, "answer": "nothing", "bboxs": [[0, 0, 90, 90]]}
    (tmp_path / "mine.jsonl").write_text(json.dumps(line))
    page = visit(real_page)
    open_tab(page, 5)
    page.get_by_role("radio", name="My questions").check()
    page.locator("#benchmark-run").click()
    expect(progress(page)).to_have_value("No file was given: add one .jsonl file and the images that it names.")
    page.locator("input[type=file][accept*=jsonl]").set_input_files([tmp_path / "mine.jsonl", tmp_path / "a.png"])
    expect(page.get_by_role("cell", name="mine.jsonl")).to_be_visible()  # not its name while it is sent
    page.locator("#benchmark-run").click()
    expect(progress(page)).to_have_value("All 1 questions answered.")
    assert page.locator("img[src='x']").count() == 0
