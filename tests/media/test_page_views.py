"""The page's views drawn in Python: pixel by pixel against the page's own arithmetic, and outlines on token borders."""

from __future__ import annotations

import re
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

import glimpse_core
from glimpse_core.errors import GlimpseError
from glimpse_core.media import overlay
from glimpse_core.media.page_views import HALO, HEAT, KEPT, LIGHT, OPACITY, VEIL, draw, ramp
from glimpse_core.types import Grid

GRID = Grid(2, 3)
SIZE = (60, 40)  # 20 pixels per token
MASK = [0, 1, 0, 0, 1, 1]
SCORES = [0.0, 0.25, 1.0, 0.5, 0.09, 0.81]
COLOR = (200, 40, 90)


def center(image: Image.Image, token: int) -> tuple[int, ...]:
    row, col = divmod(token, GRID.cols)
    return image.getpixel((20 * col + 10, 20 * row + 10))  # type: ignore[return-value]


def luma() -> float:
    return 0.299 * COLOR[0] + 0.587 * COLOR[1] + 0.114 * COLOR[2]


def test_dropped_tokens_lose_their_color_under_the_veil_and_kept_ones_stay() -> None:
    drawn = draw(Image.new("RGB", SIZE, COLOR), SCORES, MASK, GRID, "kept")
    dimmed = luma() * (1 - VEIL) + 255 * VEIL
    for token, on in enumerate(MASK):
        expected = COLOR if on else [value * (1 - OPACITY) + dimmed * OPACITY for value in COLOR]
        assert center(drawn, token) == pytest.approx(expected, abs=1), token
    alone = draw(Image.new("RGB", SIZE, COLOR), SCORES, MASK, GRID, "kept_only")
    assert [center(alone, token) for token in range(6)] == [COLOR if on else (255, 255, 255) for on in MASK]


def test_the_heat_map_covers_more_where_a_token_matters() -> None:
    drawn = draw(Image.new("RGB", SIZE, COLOR), SCORES, MASK, GRID, "heat")
    for token, share in enumerate(SCORES):
        below = np.array(COLOR) * (1 - OPACITY) + luma() * OPACITY
        alpha = HEAT * OPACITY * share**0.5
        expected = below * (1 - alpha) + overlay.colors(np.array(share)) * alpha
        assert center(drawn, token) == pytest.approx(expected.tolist(), abs=1), token


@pytest.mark.parametrize("view", ["heat", "kept", "kept_only"])
def test_kept_tokens_are_outlined_in_every_view(view: str) -> None:
    drawn = draw(Image.new("RGB", SIZE, COLOR), SCORES, MASK, GRID, view)  # type: ignore[arg-type]
    kept, halo = (Image.new("RGB", (1, 1), color).getpixel((0, 0)) for color in (KEPT, HALO))
    assert drawn.getpixel((20, 10)) == drawn.getpixel((40, 10)) == kept  # left and right of token 1
    assert drawn.getpixel((18, 10)) == halo  # around it
    assert drawn.getpixel((30, 39)) == kept  # at the lower edge of the image
    assert kept not in [drawn.getpixel((30, 20)), drawn.getpixel((40, 30))]  # 1 and 4, 4 and 5: both kept


def test_padding_is_not_drawn() -> None:
    grid = Grid(4, 4, (0.0, 0.25, 1.0, 0.75))
    drawn = draw(Image.new("RGB", (80, 40), COLOR), [0.0] * 16, [1] * 4 + [0] * 8 + [1] * 4, grid, "kept_only")
    assert drawn.getpixel((10, 10)) == (255, 255, 255) == drawn.getpixel((70, 30))
    plain = draw(Image.new("RGB", (80, 40), COLOR), None, None, grid, "picture")
    assert plain.getpixel((5, 5)) == COLOR


def test_the_ramp_has_the_colors_of_the_heat_map() -> None:
    stops = ramp()
    assert len(stops) == 10 and stops[0] == (0, 34, 78, 0.0) and stops[-1] == (253, 231, 55, round(HEAT * OPACITY, 3))


def test_what_cannot_be_drawn_is_said() -> None:
    image = Image.new("RGB", SIZE)
    with pytest.raises(GlimpseError, match="The view is 'wipe'"):
        draw(image, SCORES, MASK, GRID, "wipe")  # type: ignore[arg-type]
    with pytest.raises(GlimpseError, match="The mask have shape"):
        draw(image, SCORES, MASK[:5], GRID, "kept")
    with pytest.raises(GlimpseError, match="None was given for the probabilities"):
        draw(image, None, MASK, GRID, "heat")


@pytest.mark.parametrize(
    ("file", "pattern", "expected"),
    [
        ("stage/layers.js", r"const VEIL = ([\d.]+);", VEIL),
        ("lib/colors.js", r"const MOST = ([\d.]+);", HEAT),
        ("state/reducer.js", r"opacity: ([\d.]+),", OPACITY),
        ("styles/page.css", r"--glimpse-kept: (#\w+);", KEPT),
        ("styles/page.css", r"--glimpse-veil: (#\w+);", LIGHT),
    ],
)
def test_numbers_and_colors_are_those_of_the_page(file: str, pattern: str, expected: float | str) -> None:
    text = (Path(glimpse_core.__file__).parent / "ui" / "web" / file).read_text(encoding="utf-8")
    found = re.search(pattern, text)
    assert found is not None and type(expected)(found[1]) == expected  # the first one in page.css is the light one
