"""LLaVA-1.5 sees pictures padded to a square: the stage shows the part of the square that the picture covers."""

from __future__ import annotations

import base64
import io
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image
from playwright.sync_api import Page, expect

from glimpse_core.media.overlay import cell_numbers, colors, spread
from tests.browser.conftest import Served, Visit, ask, browser_mask, canvas, serve, shown, upload, view

WIDE, TALL = (120, 40), (33, 100)  # of 4 x 4 tokens: rows 1.33 to 2.67, columns 1.32 to 2.64
READ = "() => document.querySelector('.glimpse-stage .frame canvas').toDataURL()"
PAINT = """(kept) => {
    const { stage, controls } = window.glimpse;
    stage.strokes = new Map(kept.map((on, index) => [index, Boolean(on)]));
    controls({ threshold: stage.settings.threshold + 0.01 });
}"""
SAVE = """async (view) => {
    const bytes = new Uint8Array(await (await window.glimpse.png(view)).arrayBuffer());
    return "data:image/png;base64," + btoa(String.fromCharCode(...bytes));
}"""


@pytest.fixture(scope="module")
def llava_page(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Served]:
    """The page on a tiny random LLaVA-1.5 and glimpse modules, both from folders in the published layout."""
    from glimpse_core.models import catalog, checkpoint
    from tests.support import tiny_llava

    model, glimpse = tiny_llava.model(), tmp_path_factory.mktemp("glimpse")
    checkpoint.save(glimpse, model.config, model.glimpse, model.vip)
    with serve(load=lambda: catalog.load(tiny_llava.base_folder(), glimpse=glimpse), examples=(), results={}) as served:
        yield served


def picture(path: Path, size: tuple[int, int]) -> Path:
    Image.fromarray(np.random.default_rng(0).integers(60, 160, (size[1], size[0], 3), dtype=np.uint8)).save(path)
    return path


def decoded(url: str) -> np.ndarray:
    return np.asarray(Image.open(io.BytesIO(base64.b64decode(url.split(",")[1]))).convert("RGB")).astype(int)


def veiled(page: Page, pixels: np.ndarray) -> np.ndarray:
    """Where the canvas is covered: (height, width) bool."""
    color = page.evaluate("window.glimpse.stage.inks.veil")
    return (pixels == color).all(axis=-1)


def dropped(mask: np.ndarray, pixels: np.ndarray, grid: Any) -> np.ndarray:
    return ~spread(mask.astype(bool), pixels.shape[1::-1], grid.frame)


def ties(pixels: np.ndarray, grid: Any) -> np.ndarray:
    """Pixels whose center lies on the border of two tokens, where either is right."""
    cells, size = np.arange(grid.tokens).reshape(grid.rows, grid.cols), pixels.shape[1::-1]
    before, after = (spread(cells, size, tuple(side + step for side in grid.frame)) for step in (-1e-6, 1e-6))
    assert (before != after).mean() < 0.1
    return before != after


def test_overlays_lie_on_the_part_of_the_square_that_the_picture_covers(
    llava_page: Served, visit: Visit, tmp_path: Path
) -> None:
    """Every pixel, in every view, for a wide and a tall picture of one question."""
    page = visit(llava_page)
    upload(page, picture(tmp_path / "wide.png", WIDE), picture(tmp_path / "tall.png", TALL))
    shown(page)
    ask(page, "What?")
    session = llava_page.session
    masks = np.arange(32).reshape(2, 4, 4)
    masks = (masks + masks // 4) % 2  # a chessboard on each of the two pictures
    page.evaluate(PAINT, masks.ravel().tolist())
    assert browser_mask(page) == masks.ravel().tolist()
    expect(page.locator(".count")).to_contain_text("16 of 32 tokens kept (50.0%), 8 of them in the padding")
    expect(page.locator(".pages button span")).to_have_text(["8 of 16", "8 of 16"])
    for number, (grid, size) in enumerate(zip(session.grids, (WIDE, TALL), strict=True)):
        page.locator(".pages button").nth(number).click()
        view(page, "Kept only")
        seen = decoded(page.evaluate(READ))
        assert abs(seen.shape[1] / seen.shape[0] / (size[0] / size[1]) - 1) < 0.02  # nothing of the padding
        expected = dropped(masks[number], seen, grid)
        clear = ~ties(seen, grid)
        assert np.array_equal(veiled(page, seen)[clear], expected[clear])
        assert 0.3 < expected.mean() < 0.7
        view(page, "Heat map")
        page.evaluate("window.glimpse.stage.opacity = 1; window.glimpse.view('heat')")
        values = session.probabilities.numpy().reshape(2, 4, 4)[number]
        tint = colors(spread(values, seen.shape[1::-1], grid.frame)).astype(int)
        assert np.abs(decoded(page.evaluate(READ)) - tint)[clear].max() <= 2
        view(page, "Wipe")
        covered, half = veiled(page, decoded(page.evaluate(READ))), seen.shape[1] // 2
        assert not covered[:, : half - 20].any()
        clear[:, : half + 20] = False  # the line between the halves
        assert np.array_equal(covered[clear], expected[clear])
        saved = decoded(page.evaluate(SAVE, "only"))
        width, height = session.sizes[number]
        assert saved.shape[1] == width and saved.shape[0] > height  # and the caption
        clear = ~ties(saved[:height], grid)
        assert np.array_equal(veiled(page, saved)[:height][clear], dropped(masks[number], saved[:height], grid)[clear])


def test_pointer_and_keys_reach_the_tokens_on_the_picture(llava_page: Served, visit: Visit, tmp_path: Path) -> None:
    page = visit(llava_page)
    upload(page, picture(tmp_path / "tall.png", TALL))
    shown(page)
    ask(page, "What?")
    grid = llava_page.session.grids[0]
    canvas(page).scroll_into_view_if_needed()
    box = canvas(page).bounding_box()
    assert box is not None
    across = cell_numbers(int(box["width"]), 4, grid.frame[0], grid.frame[2])
    down = cell_numbers(int(box["height"]), 4)
    for x, y in [(0, 0), (0.2, 0.1), (0.45, 0.3), (0.57, 0.6), (0.99, 0.99)]:
        at = int(x * box["width"]), int(y * box["height"])
        page.mouse.move(box["x"] + at[0] + 0.5, box["y"] + at[1] + 0.5)
        row, col = down[at[1]], across[at[0]]
        assert page.evaluate("window.glimpse.stage.cell") == row * 4 + col
        expect(page.locator(".words strong")).to_have_text(f"Row {row + 1}, column {col + 1}")
    assert {*across} == {1, 2}
    page.mouse.move(0, 0)
    expect(page.locator(".words")).to_contain_text("8 of its tokens lie in the padding to a square, which is not shown")
    canvas(page).focus()
    page.keyboard.press("ArrowDown")  # to the most relevant token of the picture
    reachable = llava_page.session.probabilities.reshape(4, 4)[:, 1:3]
    assert page.evaluate("window.glimpse.stage.cell") % 4 in (1, 2)
    best = re.findall(r"relevance ([\d.]+)", page.locator(".words").inner_text())
    assert best == [f"{float(reachable.max()):.3f}"]
    for key, edge in (("ArrowLeft", 1), ("ArrowRight", 2)):
        for _ in range(5):
            page.keyboard.press(key)
        assert page.evaluate("window.glimpse.stage.cell") % 4 == edge
    page.get_by_role("radiogroup", name="Paint tokens by hand").get_by_role("radio", name="Drop").click()
    canvas(page).scroll_into_view_if_needed()
    box = canvas(page).bounding_box()
    for col in (0.2, 0.8):
        page.mouse.move(box["x"] + col * box["width"], box["y"] + 2)
        page.mouse.down()
        page.mouse.move(box["x"] + col * box["width"], box["y"] + box["height"] - 2, steps=3)
        page.mouse.up()
    left = np.array(browser_mask(page)).reshape(4, 4)
    painted = page.evaluate("[...window.glimpse.stage.settings.painted, ...window.glimpse.stage.settings.erased]")
    assert sorted(painted) == [1, 2, 5, 6, 9, 10, 13, 14]
    assert not left[:, 1:3].any()
    expect(page.locator(".count")).to_contain_text(f"{left.sum()} of them in the padding")
