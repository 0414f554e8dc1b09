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
# Every token kept or dropped by hand, whatever the rule says.
PAINT = """(kept) => {
    const chosen = (on) => kept.flatMap((value, token) => (Boolean(value) === on ? [token] : []));
    for (const on of [true, false]) window.glimpse.store.dispatch({ type: "stroke", tokens: chosen(on), on });
}"""
NARROW = 480  # pixels: no saved picture is narrower
REACH = 4  # pixels on either side of a token's border that its outline covers


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


def dropped(mask: np.ndarray, pixels: np.ndarray, grid: Any) -> np.ndarray:
    """Where the picture shows tokens that the mask (rows, cols) drops: (height, width) bool."""
    return ~spread(mask.astype(bool), pixels.shape[1::-1], grid.frame)


def seen(page: Page) -> np.ndarray:
    return decoded(page.evaluate(READ))


def saved(page: Page, size: tuple[int, int]) -> np.ndarray:
    """The view as it is saved, without the words below it."""
    with page.expect_download() as waiting:
        page.get_by_role("group", name="Save").get_by_role("button", name="Picture").click()
    sheet = np.asarray(Image.open(waiting.value.path()).convert("RGB")).astype(int)
    (width, height), left = size, (NARROW - size[0]) // 2
    assert sheet.shape[1] == NARROW and sheet.shape[0] > height
    return sheet[:height, left : left + width]


def inner(shape: tuple[int, ...], grid: Any) -> np.ndarray:
    """Pixels away from the borders of tokens, where outlines are drawn and either token is right."""
    cells = spread(np.arange(grid.tokens).reshape(grid.rows, grid.cols), shape[1::-1], grid.frame)
    clear = np.ones(cells.shape, dtype=bool)
    for axis in (0, 1):
        edges = np.diff(cells, axis=axis) != 0
        for shift in range(-REACH, REACH + 1):
            near = np.roll(np.pad(edges, [(0, 1), (0, 0)] if axis == 0 else [(0, 0), (0, 1)]), shift, axis)
            clear &= ~near
    clear[:REACH], clear[-REACH:], clear[:, :REACH], clear[:, -REACH:] = False, False, False, False
    assert clear.mean() > 0.15
    return clear


def gray_of(pixels: np.ndarray) -> np.ndarray:
    """Without saturation, as CSS compositing defines the brightness of a color."""
    return (pixels @ (0.3, 0.59, 0.11))[..., None].repeat(3, axis=-1)


def off(found: np.ndarray, expected: np.ndarray, where: np.ndarray) -> float:
    return float(np.abs(found - expected)[where].max())


def test_overlays_lie_on_the_part_of_the_square_that_the_picture_covers(
    llava_page: Served, visit: Visit, tmp_path: Path
) -> None:
    """Every pixel off the lines, in every view, for a wide and a tall picture of one question."""
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
    veil = np.array(page.evaluate(VEIL))
    for number, (grid, size) in enumerate(zip(session.grids, (WIDE, TALL), strict=True)):
        page.locator(".pages button").nth(number).click()
        view(page, "Picture")
        base = seen(page)
        assert abs(base.shape[1] / base.shape[0] / (size[0] / size[1]) - 1) < 0.02  # nothing of the padding
        clear, gray = inner(base.shape, grid), gray_of(base)
        gone = dropped(masks[number], base, grid)
        assert 0.3 < gone[clear].mean() < 0.7
        dim = 0.6 * veil + 0.4 * gray
        expected = {
            "Kept": (0.8, 0.2 * base + 0.8 * dim),
            "Kept only": (0.8, np.broadcast_to(veil, base.shape)),
            "Wipe": (0.8, dim),
        }
        right = np.arange(base.shape[1]) >= base.shape[1] // 2
        aside = np.abs(np.arange(base.shape[1]) - base.shape[1] // 2) > 20  # of the line between the halves
        for name, (opacity, look) in expected.items():
            view(page, name)
            covered = gone & right if name == "Wipe" else gone
            where = clear & aside if name == "Wipe" else clear
            assert off(seen(page), np.where(covered[..., None], look, base), where) <= 2, (name, opacity)
        for opacity in (1.0, 0.5):
            view(page, "Heat map")
            page.evaluate("(value) => window.glimpse.store.dispatch({ type: 'opacity', value })", opacity)
            scores = np.round(255 * session.probabilities.numpy().reshape(2, 4, 4)[number]) / 255
            tint, cover = colors(scores).astype(float), 0.75 * opacity * np.sqrt(scores)[..., None]
            under = opacity * gray + (1 - opacity) * base
            token = spread(np.arange(16).reshape(4, 4), base.shape[1::-1], grid.frame)
            tint, cover = tint.reshape(16, 3)[token], cover.reshape(16, 1)[token]
            assert off(seen(page), cover * tint + (1 - cover) * under, clear) <= 3, opacity
        page.evaluate("window.glimpse.store.dispatch({ type: 'opacity', value: 0.8 })")
        view(page, "Kept only")
        file = saved(page, size)
        clear, gone = inner(file.shape, grid), dropped(masks[number], file, grid)
        assert ((file == veil).all(axis=-1) == gone)[clear].all()


VEIL = """() => {
    const context = document.createElement("canvas").getContext("2d");
    context.fillStyle = window.glimpse.stage.inks.veil;
    context.fillRect(0, 0, 1, 1);
    return [...context.getImageData(0, 0, 1, 1).data].slice(0, 3);
}"""


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
