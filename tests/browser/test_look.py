"""Widths and colors, as far as a program can judge them."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from playwright.sync_api import Browser, Page, expect

from tests.browser.conftest import (
    DESKTOP,
    PHONE,
    Served,
    Visit,
    ask,
    choose,
    finished,
    paint,
    ready,
    serve,
    shown,
    upload,
)
from tests.browser.fake import FakeModel, FakeSession


@pytest.fixture(scope="module")
def stored_page() -> Iterator[Served]:
    """The stand-in engine behind a page that opens with the stored results."""
    model = FakeModel()
    with serve(model, load=lambda: model, start=FakeSession.ask) as served:
        yield served


def opened(browser: Browser, fake: Served, size: dict[str, int], scheme: Any) -> Page:
    page = browser.new_page(viewport=size, color_scheme=scheme)
    page.goto(fake.url)
    ready(page)
    return page


BLOCKS = (
    *(".head", "#glimpse-choose", "#glimpse-question", ".suggestions", ".notices", ".frame", ".tally", ".dial"),
    *(".glimpse-readout", "#glimpse-again", "#glimpse-random", "#glimpse-inverse", "#glimpse-export", "details.more"),
    *(".truth", ".card.full", ".card.kept", ".verdict", "table.facts"),
)
# Every place and size that a block ever had, from now on; looked at before every painting of the page.
WATCH = """(names) => {
    window.seen = Object.fromEntries(names.map((name) => [name, []]));
    const look = () => {
        for (const name of names) {
            const box = document.querySelector(name)?.getBoundingClientRect();
            const place = box && [box.x, box.y + scrollY, box.width, box.height];
            const now = JSON.stringify(place && place.map(Math.round));
            if (!window.seen[name].includes(now)) window.seen[name].push(now);
        }
        requestAnimationFrame(look);
    };
    look();
}"""


@pytest.mark.parametrize("width", [1440, 1280, 390])
def test_nothing_jumps_while_a_question_is_answered(stored_page: Served, browser: Browser, width: int) -> None:
    """From the stored result through looking, answering and the end, and once more with other tokens."""
    stored_page.model.pace, stored_page.model.words = 0.05, 2
    page = opened(browser, stored_page, {"width": width, "height": 900}, "light")
    page.locator(".card.kept .text").wait_for()
    page.wait_for_function("window.glimpse.stage.drawn > 0")
    page.evaluate("document.fonts.ready")
    page.evaluate(WATCH, list(BLOCKS))
    ask(page)
    page.get_by_role("button", name="Only the dropped").click()
    expect(page.locator(".card.kept .hint")).to_contain_text("only the dropped tokens")
    finished(page)
    seen = page.evaluate("window.seen")
    assert {name: places for name, places in seen.items() if len(places) != 1} == {}
    if width > 1000:
        rows = {page.locator(f"#glimpse-{name}").bounding_box()["y"] for name in ("again", "random", "inverse")}
        assert len(rows) == 1  # side by side
    page.close()


def luminance(color: str) -> float:
    return sum(float(part) for part in color.removeprefix("rgb(").rstrip(")").split(",")[:3]) / 3


def test_phone_width_fits_and_reads_in_order(browser: Browser, fake: Served, tmp_path: Path) -> None:
    page = opened(browser, fake, PHONE, "light")
    ask(page)
    assert page.evaluate("document.documentElement.scrollWidth") <= PHONE["width"]
    for name in (".head h1", "#glimpse-go", "#glimpse-stop", ".frame", ".card.kept", ".foot"):
        box = page.locator(name).first.bounding_box()
        assert box["x"] >= 8 and box["x"] + box["width"] <= PHONE["width"] - 8, (name, box)
    order = (".strip", ".frame", "#glimpse-dial", "#glimpse-question", ".verdict", ".card.kept", ".card.full")
    tops = [page.locator(name).first.bounding_box()["y"] for name in order]
    assert tops == sorted(tops)
    for name in ("#glimpse-go", "#glimpse-stop", "#glimpse-again"):
        assert page.locator(name).bounding_box()["height"] >= 44
    page.screenshot(path=tmp_path / "phone.png", full_page=True)
    assert (tmp_path / "phone.png").stat().st_size > 20_000
    page.close()


def test_a_finger_reads_a_token(browser: Browser, fake: Served) -> None:
    context = browser.new_context(viewport=PHONE, has_touch=True, is_mobile=True)
    page = context.new_page()
    page.goto(fake.url)
    ready(page)
    ask(page)
    page.locator(".frame canvas").scroll_into_view_if_needed()
    box, grid = page.locator(".frame canvas").bounding_box(), fake.session.grids[0]
    page.touchscreen.tap(box["x"] + 3.5 * box["width"] / grid.cols, box["y"] + 5.5 * box["height"] / grid.rows)
    expect(page.locator(".words")).to_contain_text("Row 6, column 4 ")  # and stays when the finger has left
    expect(page.locator(".words")).to_contain_text(" by the threshold")
    context.close()


def test_dark_mode_is_dark_everywhere(browser: Browser, fake: Served) -> None:
    page = opened(browser, fake, DESKTOP, "dark")
    ask(page)
    read = "(name) => getComputedStyle(document.querySelector(name))"
    assert luminance(page.evaluate(f"({read})('body').backgroundColor")) < 60
    for name in (".card.full .text", ".count strong", ".head h1", "#glimpse-question textarea"):
        assert luminance(page.evaluate(f"({read})('{name}').color")) > 150, name
    assert page.evaluate(f"({read})('.glimpse-stage').getPropertyValue('--glimpse-veil').trim()") == "#0b0f19"
    page.close()


IN_VIEW = """(names) => names.filter((name) => {
    const box = document.querySelector(name)?.getBoundingClientRect();
    return !box || !box.height || box.top < 0 || box.left < 0 || box.bottom > innerHeight || box.right > innerWidth;
})"""
GLANCE = (".frame", "#glimpse-dial", ".band", ".here", "#glimpse-question", ".verdict", ".card.kept", ".card.full")
PHONE_GLANCE = (".frame", "#glimpse-dial", ".band", "#glimpse-question", ".verdict", ".card.kept")


@pytest.mark.parametrize(
    ("size", "names"),
    [
        ((1280, 720), (*GLANCE, "table.facts")),
        ((1440, 900), (*GLANCE, "table.facts", ".tools")),
        ((390, 844), PHONE_GLANCE),
    ],
    ids=["laptop", "desktop", "phone"],
)
def test_one_glance_is_enough(
    stored_page: Served, browser: Browser, size: tuple[int, int], names: tuple[str, ...]
) -> None:
    """Picture, dial, question, verdict and answers are inside the window, for the stored result of every example."""
    page = browser.new_page(viewport={"width": size[0], "height": size[1]})
    page.goto(stored_page.url)
    ready(page)
    for number in range(len(stored_page.flow.gallery.examples)):
        choose(page, stored_page, number)
        expect(page.locator(".verdict[data-same]")).to_be_visible()
        page.wait_for_function("window.glimpse.stage.ready")
        assert page.evaluate(IN_VIEW, list(names)) == [], number
        assert page.evaluate("document.documentElement.scrollWidth") <= size[0]
    page.close()


@pytest.mark.parametrize("size", [(200, 3000), (3000, 200)])
def test_no_shape_of_picture_leaves_the_window(
    fake: Served, visit: Visit, tmp_path: Path, size: tuple[int, int]
) -> None:
    page = visit(fake)
    upload(page, paint(tmp_path / "long.png", size, 1, 1))
    shown(page)
    ask(page, "Where?")
    assert page.evaluate(IN_VIEW, [".frame", ".frame canvas", "#glimpse-dial", ".card.kept"]) == []
    assert page.evaluate("document.documentElement.scrollHeight") < 3000
