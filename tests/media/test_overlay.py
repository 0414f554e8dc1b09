"""Pixels of the overlays: every cell border where the grid puts it, and nothing else touched."""

from __future__ import annotations

import re
import subprocess
import sys
from pathlib import Path

import matplotlib
import numpy as np
import pytest
import torch
from PIL import Image

from glimpse_core.errors import GlimpseError
from glimpse_core.media.overlay import (
    COLORS,
    DIMMED,
    OUTLINE,
    REMOVED,
    cell_box,
    check_mask,
    colors,
    edges,
    overlay,
    split,
    spread,
)
from glimpse_core.types import Grid

SIZES = [
    ((84, 140), Grid(5, 3)),  # 28 px cells, higher than wide
    ((101, 67), Grid(3, 5)),  # cells of 20.2 x 22.33 pixels
    ((601, 437), Grid(14, 16)),
    ((50, 9), Grid(4, 3)),  # cells too flat for an outline
    ((5, 3), Grid(7, 11)),  # fewer pixels than cells
    ((1, 1), Grid(1, 1)),
]


def noise(size: tuple[int, int], seed: int = 0) -> Image.Image:
    """A picture without black or white, so that dimming shows everywhere."""
    return Image.fromarray(np.random.default_rng(seed).integers(60, 200, (size[1], size[0], 3), dtype=np.uint8))


def mask_of(grid: Grid, seed: int = 1) -> np.ndarray:
    mask = np.random.default_rng(seed).random((grid.rows, grid.cols)) < 0.4
    mask.flat[0] = True
    return mask


def slow_cell(size: tuple[int, int], grid: Grid, x: int, y: int) -> tuple[int, int]:
    """Row and column of a pixel by its center, in floating point; the sizes above have no center on a border."""
    return int((y + 0.5) / size[1] * grid.rows + 1e-9), int((x + 0.5) / size[0] * grid.cols + 1e-9)


@pytest.mark.parametrize(("size", "grid"), SIZES)
def test_every_pixel_belongs_to_the_cell_of_its_center(size: tuple[int, int], grid: Grid) -> None:
    numbers = np.arange(grid.tokens).reshape(grid.rows, grid.cols)
    pixels = spread(numbers, size)
    assert pixels.shape == (size[1], size[0])
    for y in range(0, size[1], max(1, size[1] // 40)):
        for x in range(0, size[0], max(1, size[0] // 40)):
            row, col = slow_cell(size, grid, x, y)
            assert pixels[y, x] == row * grid.cols + col
    for index in range(grid.tokens):  # boxes and pixels tell the same
        left, top, right, bottom = cell_box(size, grid, index)
        assert np.array_equal(np.argwhere(pixels == index)[:, ::-1].reshape(-1, 2), _inside(left, top, right, bottom))


def _inside(left: int, top: int, right: int, bottom: int) -> np.ndarray:
    return np.array([(x, y) for y in range(top, bottom) for x in range(left, right)]).reshape(-1, 2)


def test_borders_lie_where_the_processor_puts_them() -> None:
    assert edges(84, 3).tolist() == [0, 28, 56, 84]
    assert edges(10, 4).tolist() == [0, 2, 5, 7, 10]  # 2.5 and 7.5: the pixel's center lies exactly on the border
    assert edges(101, 5).tolist() == [0, 20, 40, 61, 81, 101]  # 20.2, 40.4, 60.6, 80.8
    assert cell_box((101, 67), Grid(3, 5), 7) == (40, 22, 61, 45)
    assert cell_box((84, 140), Grid(5, 3), 14) == (56, 112, 84, 140)


@pytest.mark.parametrize(("size", "grid"), SIZES)
def test_kept_cells_are_untouched_and_dropped_ones_darker(size: tuple[int, int], grid: Grid) -> None:
    image, mask = noise(size), mask_of(grid)
    before, kept = np.asarray(image), spread(mask, size)
    after = np.asarray(overlay(image, None, mask, grid, "kept"))
    outline = (after == OUTLINE).all(-1)
    assert np.array_equal(after[kept], before[kept])
    assert not (outline & kept).any()
    dimmed = ~kept & ~outline
    assert (after[dimmed] < before[dimmed]).all()
    color, strength = DIMMED
    wanted = np.rint(before[dimmed] * (1 - strength) + np.array(color) * strength)
    assert np.array_equal(after[dimmed], wanted)


def test_outline_hugs_the_kept_cells_on_the_outside() -> None:
    mask = np.zeros((5, 3), dtype=bool)
    mask[2, 1] = True
    after = np.asarray(overlay(noise((84, 140)), None, mask, Grid(5, 3), "kept"))
    ys, xs = np.nonzero((after == OUTLINE).all(-1))
    assert (xs.min(), xs.max(), ys.min(), ys.max()) == (27, 56, 55, 84)  # one pixel around columns 28..55, rows 56..83
    assert len(xs) == 4 * 28 + 4


def test_kept_only_blanks_the_rest_completely() -> None:
    size, grid = (101, 67), Grid(3, 5)
    image, mask = noise(size), mask_of(grid)
    after, kept = np.asarray(overlay(image, None, mask, grid, "kept_only")), spread(mask, size)
    assert np.array_equal(after[kept], np.asarray(image)[kept])
    assert (after[~kept] == REMOVED[0]).all()


@pytest.mark.parametrize(("size", "grid"), SIZES)
def test_heat_tints_each_cell_by_its_probability(size: tuple[int, int], grid: Grid) -> None:
    image = noise(size)
    probabilities = np.random.default_rng(2).random((grid.rows, grid.cols)).astype(np.float32)
    opaque = np.asarray(overlay(image, probabilities, None, grid, "heat", opacity=1))
    assert np.array_equal(opaque, colors(spread(probabilities, size)))
    half = np.asarray(overlay(image, probabilities, None, grid, "heat", opacity=0.5)).astype(int)
    assert np.abs(half - (np.asarray(image).astype(int) + opaque) / 2).max() <= 0.5
    assert np.array_equal(np.asarray(overlay(image, probabilities, None, grid, "heat", opacity=0)), np.asarray(image))


def test_everything_kept_or_picture_view_changes_nothing() -> None:
    image, grid = noise((101, 67)), Grid(3, 5)
    for view in ("kept", "kept_only", "picture"):
        assert np.array_equal(np.asarray(overlay(image, None, np.ones(15, dtype=bool), grid, view)), np.asarray(image))
    nothing = np.asarray(overlay(image, None, np.zeros(15, dtype=bool), grid, "kept"))
    assert not (nothing == OUTLINE).all(-1).any()


def test_flat_lists_and_tensors_equal_arrays() -> None:
    image, grid, mask = noise((101, 67)), Grid(3, 5), mask_of(Grid(3, 5))
    wanted = overlay(image, None, mask, grid, "kept").tobytes()
    for given in (mask.ravel(), mask.tolist(), mask.astype(int), torch.from_numpy(mask).flatten()):
        assert overlay(image, None, given, grid, "kept").tobytes() == wanted
    tensor = torch.rand(15)
    assert overlay(image, tensor, None, grid).tobytes() == overlay(image, tensor.tolist(), None, grid).tobytes()


def test_transparency_is_white_and_the_given_picture_stays_as_it_was() -> None:
    image = Image.new("RGBA", (10, 10), (255, 0, 0, 0))
    before = image.tobytes()
    assert overlay(image, None, None, Grid(1, 1), "picture").getpixel((3, 3)) == (255, 255, 255)
    assert overlay(Image.new("L", (4, 4), 9), None, [False], Grid(1, 1), "kept", 0).getpixel((0, 0)) == (9, 9, 9)
    overlay(image, [0.3], [True], Grid(1, 1), "heat")
    assert image.tobytes() == before


def test_map_is_cividis_and_grows_lighter() -> None:
    places = np.linspace(0, 1, 256)
    ours = colors(places).astype(int)
    theirs = np.rint(matplotlib.colormaps["cividis"](places)[:, :3] * 255).astype(int)
    assert np.abs(ours - theirs).max() <= 16  # straight between ten stops
    assert len(COLORS) == 10 and ours[0].tolist() == [0x00, 0x22, 0x4E] and ours[-1].tolist() == [0xFD, 0xE7, 0x37]
    assert (np.diff(ours @ np.array([0.2126, 0.7152, 0.0722])) > -0.5).all()


def test_page_paints_the_same_map() -> None:
    web = Path(__file__).parents[2] / "glimpse_core" / "ui" / "web"
    script = (web / "lib" / "colors.js").read_text(encoding="utf-8")
    stops = re.findall(r"\[(\d+), (\d+), (\d+)\]", script.partition("const STOPS = [")[2].partition("];")[0])
    assert [tuple(map(int, stop)) for stop in stops] == [tuple(bytes.fromhex(color[1:])) for color in COLORS]


def test_values_of_several_pictures_are_parted_in_order() -> None:
    grids = (Grid(2, 3), Grid(1, 4))
    first, second = split(torch.arange(10), grids)
    assert first.tolist() == [[0, 1, 2], [3, 4, 5]]
    assert second.tolist() == [[6, 7, 8, 9]]
    with pytest.raises(GlimpseError, match=r"\(9,\).*2 x 3 \+ 1 x 4"):
        split(np.arange(9), grids)


IMAGE, GRID = noise((84, 140)), Grid(5, 3)


@pytest.mark.parametrize(
    ("arguments", "named"),
    [
        ((IMAGE, np.zeros(14), None, GRID), r"\(14,\).*5 x 3 = 15"),
        ((IMAGE, np.zeros((3, 5)), None, GRID), r"\(3, 5\).*5 x 3 = 15"),
        ((IMAGE, None, np.zeros((1, 15), dtype=bool), GRID, "kept"), r"\(1, 15\)"),
        ((IMAGE, None, None, GRID), "None was given for the probabilities"),
        ((IMAGE, None, None, GRID, "kept_only"), "None was given for the mask"),
        ((IMAGE, np.full(15, 1.5), None, GRID), "1.5"),
        ((IMAGE, np.full(15, np.nan), None, GRID), "nan"),
        ((IMAGE, ["a"] * 15, None, GRID), "probabilities hold"),
        ((IMAGE, torch.zeros(15, requires_grad=True), None, GRID), "cannot be read"),
        ((IMAGE, None, np.full(15, 2), GRID, "kept"), "other than 0 and 1"),
        ((IMAGE, None, np.zeros(15), GRID, "kept"), "float64"),
        ((IMAGE, None, np.zeros(0, dtype=bool), Grid(0, 3), "kept"), "0 x 3"),
        ((IMAGE, np.zeros(15), None, GRID, "map"), "'map'"),
        ((IMAGE, np.zeros(15), None, GRID, "heat", 1.2), "1.2"),
        (("a.png", np.zeros(15), None, GRID), "str"),
    ],
)
def test_what_does_not_fit_is_named(arguments: tuple, named: str) -> None:
    with pytest.raises(GlimpseError, match=named):
        overlay(*arguments)


def test_tokens_beside_the_grid_are_refused() -> None:
    for index in (-1, 15):
        with pytest.raises(GlimpseError, match=f"Token {index}.*5 x 3"):
            cell_box((84, 140), GRID, index)
    assert check_mask([0, 1, 1], Grid(1, 3)).tolist() == [[False, True, True]]


def test_rendering_needs_no_torch() -> None:
    code = "import sys, glimpse_core.media.plots, glimpse_core.media.sheets; sys.exit('torch' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0
