"""Re-masking without a model run, and looking at tokens, on a stand-in engine whose scores are known."""

from __future__ import annotations

import re
from pathlib import Path

import pytest
from PIL import Image
from playwright.sync_api import expect

from glimpse_core.types import Selection
from tests.browser.conftest import (
    Served,
    Visit,
    ask,
    browser_mask,
    canvas,
    finished,
    more,
    paint,
    pixel,
    set_threshold,
    status,
    upload,
    view,
)
from tests.browser.fake import PATCH


def test_threshold_masks_anew_without_running_the_model(fake: Served, visit: Visit) -> None:
    page = visit(fake)
    ask(page)
    session = fake.session
    before = dict(session.counters)
    for value in ("0.9", "0.1", "0.08", "1", "0"):
        set_threshold(page, value)
        expected = session.select(Selection(threshold=float(value))).mask.int().tolist()
        page.wait_for_function(f"window.glimpse.stage.settings.threshold === {value}")
        assert browser_mask(page) == expected
        expect(page.locator(".count")).to_contain_text(f"{sum(expected)} of 560 tokens kept")
    assert session.counters == before
    assert len(fake.model.sessions) == 1


def test_every_slider_drag_is_followed(fake: Served, visit: Visit) -> None:
    page = visit(fake)
    ask(page)
    more(page)
    slider = page.get_by_role("slider", name="Keep tokens more relevant than, slider")
    slider.focus()
    for _ in range(10):
        slider.press("ArrowLeft")
    page.wait_for_function("window.glimpse.stage.settings.threshold === 0.4")


def test_limits_mask_like_the_engine(fake: Served, visit: Visit) -> None:
    page = visit(fake)
    ask(page)
    more(page)
    page.get_by_role("spinbutton", name="Keep at least").fill("40")
    page.get_by_role("spinbutton", name="Keep at least").press("Tab")
    page.wait_for_function("window.glimpse.stage.settings.min_tokens === 40")
    kept = fake.session.select(Selection(min_tokens=40))
    assert browser_mask(page) == kept.mask.int().tolist()
    set_threshold(page, "0.05")
    page.get_by_role("spinbutton", name="Keep at most").fill("15")
    page.get_by_role("spinbutton", name="Keep at most").press("Tab")
    page.wait_for_function("window.glimpse.stage.settings.max_ratio === 0.15")
    page.wait_for_function("window.glimpse.stage.settings.threshold === 0.05")
    kept = fake.session.select(Selection(0.05, 0.15, 40))
    assert browser_mask(page) == kept.mask.int().tolist()
    page.get_by_role("button", name="Answer again").click()
    expect(page.locator(".card.kept .hint")).to_contain_text("relevance above 0.05, at most 15%, at least 40")
    finished(page)
    expect(page.locator(".card.kept .hint")).to_contain_text(f"{int(kept.mask.sum())}: ")


def test_answering_again_goes_on_from_the_same_session(fake: Served, visit: Visit) -> None:
    page = visit(fake)
    ask(page)
    session = fake.session
    assert session.counters == {"vision": 1, "trunk": 1, "branch": 2, "answers": 2}
    set_threshold(page, "0.99")
    page.get_by_role("button", name="Answer again").click()
    expect(page.locator(".card.kept .hint")).to_contain_text("relevance above 0.99")
    finished(page)
    assert fake.session is session
    assert session.counters == {"vision": 1, "trunk": 1, "branch": 3, "answers": 3}  # only the pruned answer ran
    expect(page.locator(".verdict")).to_have_attribute("data-same", "false")
    expect(page.locator(".card.full mark")).to_have_text("everything")
    expect(page.locator(".card.kept mark")).to_have_text("little")


@pytest.mark.parametrize(
    ("size", "row", "col"),
    [((20 * PATCH, 8 * PATCH), 6, 17), ((6 * PATCH, 22 * PATCH), 20, 1), ((2 * PATCH, 2 * PATCH), 0, 1)],
)
def test_overlay_sits_on_the_token_grid(
    fake: Served, visit: Visit, tmp_path: Path, size: tuple[int, int], row: int, col: int
) -> None:
    page = visit(fake)
    upload(page, paint(tmp_path / "patch.png", size, row, col))
    expect(canvas(page)).to_have_accessible_name("Your picture. Ask a question to see which parts the model keeps.")
    ask(page, "Where?")
    cols, rows = size[0] // PATCH, size[1] // PATCH
    assert [index for index, kept in enumerate(browser_mask(page)) if kept] == [row * cols + col]
    view(page, "Kept only")
    for near_row, near_col in ((row, col), (row, col - 1), (row, col + 1), (row - 1, col), (row + 1, col)):
        if not (0 <= near_row < rows and 0 <= near_col < cols):
            continue
        for dx, dy in ((0.12, 0.12), (0.88, 0.12), (0.12, 0.88), (0.88, 0.88)):  # close to the token's corners
            color = pixel(page, (near_col + dx) / cols, (near_row + dy) / rows)
            red = color[0] > 200 and color[1] < 60
            assert red == ((near_row, near_col) == (row, col)), (near_row, near_col, dx, dy, color)
    box = canvas(page).bounding_box()
    assert box is not None
    assert box["width"] / box["height"] == pytest.approx(cols / rows, rel=0.02)


def test_rotated_and_transparent_pictures_are_shown_as_meant(fake: Served, visit: Visit, tmp_path: Path) -> None:
    exif = Image.Exif()
    exif[0x0112] = 6  # turned by a quarter: the camera's top right is the picture's bottom right
    page = visit(fake)
    upload(page, paint(tmp_path / "turned.jpg", (10 * PATCH, 4 * PATCH), 0, 0, exif=exif, quality=95))
    ask(page, "Where?")
    grid = fake.session.grids[0]
    assert (grid.rows, grid.cols) == (10, 4)
    assert [index for index, kept in enumerate(browser_mask(page)) if kept] == [3]  # top right
    glass = Image.new("RGBA", (4 * PATCH, 4 * PATCH), (255, 0, 0, 0))  # red, but nobody can see it
    glass.save(tmp_path / "glass.png")
    upload(page, tmp_path / "glass.png")
    expect(page.locator(".glimpse-stage")).to_have_attribute("data-scored", "false")
    assert pixel(page, 0.5, 0.5) == [255, 255, 255]


def test_a_picture_that_is_resized_says_so(fake: Served, visit: Visit, tmp_path: Path) -> None:
    page = visit(fake)
    Image.new("RGB", (3000, 200), "red").save(tmp_path / "wide.png")
    upload(page, tmp_path / "wide.png")
    ask(page, "How wide?")
    expect(page.locator(".words")).to_contain_text("sees this picture at 2996 × 196 pixels (yours has 3000 × 200)")
    canvas(page).hover(position={"x": 3, "y": 3})
    expect(page.locator(".words")).to_contain_text("Row 1, column 1 ")
    assert page.locator(".crop").evaluate("(crop) => [...crop.getContext('2d').getImageData(9, 9, 1, 1).data]")[0] > 230


def test_keyboard_reads_every_token(fake: Served, visit: Visit) -> None:
    page = visit(fake)
    ask(page)
    session = fake.session
    canvas(page).focus()
    page.keyboard.press("ArrowRight")  # the first key goes to the most relevant token
    best = int(session.probabilities.argmax())
    grid = session.grids[0]
    words = page.locator(".words")
    expect(words).to_contain_text(f"Row {best // grid.cols + 1}, column {best % grid.cols + 1}")
    expect(words).to_contain_text(f"relevance {session.probabilities[best]:.3f}")
    expect(words).to_contain_text("rank 1 of 560: kept by the threshold")
    for _ in range(40):
        page.keyboard.press("ArrowUp")
        page.keyboard.press("ArrowLeft")
    expect(words).to_contain_text("Row 1, column 1 ")
    expect(words).to_contain_text("dropped by the threshold")
    page.keyboard.press("Escape")
    expect(words).to_contain_text("Point at a token")


def test_views_differ_and_follow_the_mouse(fake: Served, visit: Visit) -> None:
    page = visit(fake)
    ask(page)
    seen = {}
    for name in ("Picture", "Heat map", "Kept", "Kept only"):
        view(page, name)
        seen[name] = [tuple(pixel(page, x / 40, 0.93)) for x in range(40)]
    assert len(set(map(tuple, seen.values()))) == 4
    box = canvas(page).bounding_box()
    assert box is not None
    page.mouse.move(box["x"] + box["width"] * 0.99, box["y"] + box["height"] * 0.99)
    expect(page.locator(".words")).to_contain_text("Row 20, column 28")


def test_a_dropped_picture_is_taken(fake: Served, visit: Visit) -> None:
    page = visit(fake)
    page.evaluate(
        """async () => {
            const canvas = Object.assign(document.createElement("canvas"), { width: 56, height: 84 });
            const blob = await new Promise((resolve) => canvas.toBlob(resolve));
            const dataTransfer = new DataTransfer();
            dataTransfer.items.add(new File([blob], "mine.png", { type: "image/png" }));
            const dropped = new DragEvent("drop", { dataTransfer, cancelable: true, bubbles: true });
            document.querySelector(".frame").dispatchEvent(dropped);
        }"""
    )
    expect(canvas(page)).to_have_accessible_name(re.compile("^Your picture"))
    assert page.evaluate("[stage => [stage.width, stage.height]][0](window.glimpse.stage.pictures[0])") == [56, 84]


def test_several_pictures_each_with_its_grid(fake: Served, visit: Visit, tmp_path: Path) -> None:
    page = visit(fake)
    first = paint(tmp_path / "one.png", (6 * PATCH, 4 * PATCH), 1, 2)
    second = paint(tmp_path / "two.png", (3 * PATCH, 5 * PATCH), 4, 0)
    upload(page, first, second)
    expect(page.locator(".pages button")).to_have_count(2)
    ask(page, "What do they share?")
    assert [(grid.rows, grid.cols) for grid in fake.session.grids] == [(4, 6), (5, 3)]
    assert [index for index, kept in enumerate(browser_mask(page)) if kept] == [8, 24 + 12]
    view(page, "Kept only")
    page.locator(".pages button").nth(1).click()
    page.wait_for_function("window.glimpse.stage.active === 1")
    assert pixel(page, 0.5 / 3, 4.5 / 5)[1] < 60  # red
    upload(page, *[first] * 5)
    expect(status(page)).to_contain_text("Expected at most 4")
