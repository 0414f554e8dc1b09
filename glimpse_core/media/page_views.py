"""The page's views of an image, drawn here for what is taken away from it: the same veil, heat map and outline.

`web/stage/draw.js` draws them on the page. Dropped tokens lose their color and lie under a veil, but stay recognizable;
the heat map covers the more the more relevant a token is; kept tokens are outlined in every view. `overlay` has the
views of reports and commands, which are no pictures of the page.
"""

from __future__ import annotations

from typing import Any, Literal, get_args

import numpy as np
from PIL import Image, ImageDraw

from glimpse_core.errors import GlimpseError
from glimpse_core.media.overlay import check_mask, check_probabilities, colors, edges, rgb, spread
from glimpse_core.types import Grid

PageView = Literal["picture", "heat", "kept", "kept_only"]

# As in web/state/reducer.js, web/stage/layers.js, web/lib/colors.js and, for colors, web/styles/page.css.
OPACITY = 0.8  # of heat map and veil, as the page begins with
VEIL = 0.6  # of a dropped token that its veil covers
HEAT = 0.75  # of the image that the heat map covers where a token matters most, at full opacity
LIGHT, KEPT, HALO = "#ffffff", "#b45309", "#ffffff"  # veil, outline, and what lies around the outline


def draw(image: Image.Image, probabilities: Any, mask: Any, grid: Grid, view: PageView) -> Image.Image:
    """Draw one of the page's views of one image.

    Args:
        image: the image to draw on, of any size and mode.
        probabilities: 0 to 1 for each token, (N,) or (rows, cols).
        mask: True for kept tokens, (N,) or (rows, cols).
        grid: token grid of the image.
        view: "picture", "heat", "kept" or "kept_only".

    Returns:
        An RGB image of the same size.

    Raises:
        GlimpseError: if shapes, values or the view do not fit.
    """
    if view not in get_args(PageView):
        raise GlimpseError(f"The view is {view!r}. Expected one of {', '.join(get_args(PageView))}.")
    base = rgb(image)
    if view == "picture":
        return base
    kept = check_mask(mask, grid)
    pixels, gray = (np.asarray(one, dtype=np.float32) for one in (base, base.convert("L").convert("RGB")))
    if view == "heat":
        shares = spread(check_probabilities(probabilities, grid), base.size, grid.frame)
        painted = _mix(_mix(pixels, gray, OPACITY), colors(shares), HEAT * OPACITY * np.sqrt(shares)[..., None])
    else:
        veil = np.array(Image.new("RGB", (1, 1), LIGHT).getpixel((0, 0)), dtype=np.float32)
        dropped = _mix(pixels, _mix(gray, veil, VEIL), OPACITY) if view == "kept" else veil
        painted = np.where(spread(kept, base.size, grid.frame)[..., None], pixels, dropped)
    drawn = Image.fromarray(np.rint(painted).astype(np.uint8))
    _outline(drawn, kept, grid)
    return drawn


def ramp(stops: int = 10) -> list[tuple[int, int, int, float]]:
    """Return the heat map's colors at even steps from 0 to 1: red, green, blue, and the share of the image covered."""
    shares = np.linspace(0, 1, stops)
    return [
        (int(red), int(green), int(blue), round(float(HEAT * OPACITY * share**0.5), 3))
        for share, (red, green, blue) in zip(shares, colors(shares), strict=True)
    ]


def _mix(below: np.ndarray, above: np.ndarray, share: Any) -> np.ndarray:
    mixed: np.ndarray = below * (1 - share) + above * share
    return mixed


def _outline(image: Image.Image, kept: np.ndarray, grid: Grid) -> None:
    """Draw the borders between kept and dropped tokens; what lies outside of the image counts as dropped."""
    left, top, right, bottom = grid.frame
    x, y = edges(image.width, grid.cols, left, right), edges(image.height, grid.rows, top, bottom)
    around = np.pad(kept, 1)
    across, down = around[1:, 1:-1] != around[:-1, 1:-1], around[1:-1, 1:] != around[1:-1, :-1]
    lines = [(x[col], y[row], x[col + 1], y[row]) for row, col in np.argwhere(across)]
    lines += [(x[col], y[row], x[col], y[row + 1]) for row, col in np.argwhere(down)]
    pen = ImageDraw.Draw(image)
    for color, wide in ((HALO, 2), (KEPT, 1)):
        for x1, y1, x2, y2 in lines:
            if (x1, y1) != (x2, y2):  # else it is in the padding
                pen.rectangle((int(x1) - wide, int(y1) - wide, int(x2) + wide - 1, int(y2) + wide - 1), fill=color)
