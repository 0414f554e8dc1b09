"""Pictures of what was kept: relevance and masks laid over a picture, exactly on the processor's token grid.

A picture is fed to the model at rows x 28 by cols x 28 pixels; the picture shown may have any other size, so a cell
is a fraction of it: W / cols by H / rows pixels, seldom whole numbers. A pixel belongs to the cell that its center
lies in. No pixel is left over or painted twice, and the same rule holds for every view, for crops and for any browser
that follows it. Where the model pads pictures to a square, the picture is the part of the grid that `Grid.frame` says,
and cells beside it are not drawn.

Colors are Cividis, read alike with any kind of color vision and in gray: dark is irrelevant, yellow is relevant.
`COLORS` holds its evenly spaced stops, to be mixed linearly, so that a page can paint the very same map.

Values come as numpy arrays, CPU tensors or lists, flat (N,) in raster order or (rows, cols). No torch, no model.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Literal, get_args

import cv2
import numpy as np
from PIL import Image

from glimpse_core.errors import GlimpseError
from glimpse_core.types import Grid

View = Literal["heat", "kept", "kept_only", "picture"]

COLORS = (
    "#00224e", "#123570", "#3b496c", "#575d6d", "#707173", "#8a8678", "#a59c74", "#c3b369", "#e1cc55", "#fde737",
)  # fmt: skip
HEAT_OPACITY = 0.6
DIMMED = ((12, 12, 16), 0.75)  # the color that dropped cells are mixed with in the "kept" view, and how much of it
REMOVED = ((229, 231, 235), 1.0)  # the same for "kept_only"
OUTLINE = (255, 255, 255)


def overlay(
    image: Image.Image,
    probabilities: Any,
    mask: Any,
    grid: Grid,
    view: View = "heat",
    opacity: float | None = None,
) -> Image.Image:
    """One view of one picture, RGB, of the same size as `image`.

    "heat": every cell tinted by its probability. "kept": dropped cells dimmed, kept ones untouched to the bit, an
    outline around them on the dropped side. "kept_only": dropped cells blank. "picture": the picture, RGB on white.

    Args:
        probabilities: 0..1 for each cell; needed for "heat", else may be None.
        mask: True where kept; needed for "kept" and "kept_only", else may be None.
        grid: the picture's token grid; several pictures are drawn one by one (see `split`).
        opacity: strength of tint, dimming or blanking, 0..1; None takes each view's own.

    Raises GlimpseError naming what was given if shapes, values or the view do not fit.
    """
    if view not in get_args(View):
        raise GlimpseError(f"The view is {view!r}; wanted was one of {', '.join(get_args(View))}.")
    if opacity is not None and not 0 <= opacity <= 1:
        raise GlimpseError(f"The opacity is {opacity}; wanted was a number from 0 (invisible) to 1 (opaque).")
    pixels = np.asarray(rgb(image))
    if view == "picture":
        return Image.fromarray(pixels)
    if view == "heat":
        tint = colors(spread(check_probabilities(probabilities, grid), image.size, grid.frame))
        return Image.fromarray(_mix(pixels, tint, HEAT_OPACITY if opacity is None else opacity))
    kept = spread(check_mask(mask, grid), image.size, grid.frame)
    color, strength = DIMMED if view == "kept" else REMOVED
    painted = _mix(pixels, np.array(color), strength if opacity is None else opacity)
    painted[kept] = pixels[kept]
    if view == "kept":
        painted[_outline(kept, grid)] = OUTLINE
    return Image.fromarray(painted)


def cell_numbers(length: int, count: int, low: float = 0.0, high: float = 1.0) -> np.ndarray:
    """(length,) the cell of every pixel along a side that shows the shares `low` to `high` of `count` cells."""
    centers = 2 * np.arange(length, dtype=np.int64) + 1
    if (low, high) == (0.0, 1.0):
        return centers * count // (2 * length)
    # Shares are ratios of whole pixels; the tiny step keeps a center that lies on a border in the right cell.
    return np.floor((low + centers * (high - low) / (2 * length)) * count + 1e-9).clip(0, count - 1).astype(np.int64)


def edges(length: int, count: int, low: float = 0.0, high: float = 1.0) -> np.ndarray:
    """Where cells begin along such a side: (count + 1,) pixel numbers, the last one being `length`."""
    return np.searchsorted(cell_numbers(length, count, low, high), np.arange(count + 1))


def cell_box(size: tuple[int, int], grid: Grid, index: int) -> tuple[int, int, int, int]:
    """(left, top, right, bottom) of cell `index` in a picture of `size` (width, height), as for cropping.

    Empty for a cell beside the picture, in the padding.
    """
    if not 0 <= index < grid.tokens:
        raise GlimpseError(f"Token {index} is not on the grid of {grid.rows} x {grid.cols} = {grid.tokens} tokens.")
    row, col = divmod(index, grid.cols)
    left, top, right, bottom = grid.frame
    across, down = edges(size[0], grid.cols, left, right), edges(size[1], grid.rows, top, bottom)
    return int(across[col]), int(down[row]), int(across[col + 1]), int(down[row + 1])


def spread(
    values: np.ndarray, size: tuple[int, int], frame: tuple[float, float, float, float] = (0.0, 0.0, 1.0, 1.0)
) -> np.ndarray:
    """Cell values (rows, cols) on the pixels of a picture of `size` (width, height): (height, width)."""
    width, height = size
    rows, cols = values.shape
    left, top, right, bottom = frame
    down, across = cell_numbers(height, rows, top, bottom), cell_numbers(width, cols, left, right)
    return values[down[:, None], across[None, :]]


def split(values: Any, grids: Sequence[Grid]) -> list[np.ndarray]:
    """The values (N,) of all pictures of a prompt as one (rows, cols) array per picture."""
    flat, total = _array(values, "values"), sum(grid.tokens for grid in grids)
    if flat.shape != (total,):
        sizes = " + ".join(f"{grid.rows} x {grid.cols}" for grid in grids) or "no grids"
        raise GlimpseError(f"Values of shape {flat.shape} were given for {sizes} tokens; wanted was ({total},).")
    ends = np.cumsum([grid.tokens for grid in grids])
    return [flat[end - grid.tokens : end].reshape(grid.rows, grid.cols) for end, grid in zip(ends, grids, strict=True)]


def colors(values: np.ndarray) -> np.ndarray:
    """The map: numbers 0..1 of any shape to RGB bytes, one axis more."""
    stops = np.array([[int(color[at : at + 2], 16) for at in (1, 3, 5)] for color in COLORS], dtype=np.float32)
    place = np.asarray(values, dtype=np.float32) * (len(stops) - 1)
    below = np.clip(place.astype(np.int64), 0, len(stops) - 2)
    share = (place - below)[..., None]
    return np.rint(stops[below] * (1 - share) + stops[below + 1] * share).astype(np.uint8)


def rgb(image: Image.Image) -> Image.Image:
    """A copy as RGB; what is transparent becomes white."""
    if not isinstance(image, Image.Image):
        raise GlimpseError(f"The picture is a {type(image).__name__}; wanted was a PIL image.")
    if min(image.size) < 1:
        raise GlimpseError(f"The picture has {image.width} x {image.height} pixels, so there is nothing to draw on.")
    if image.mode in ("RGBA", "LA", "PA", "RGBa", "La") or "transparency" in image.info:
        image = image.convert("RGBA")
        return Image.alpha_composite(Image.new("RGBA", image.size, "white"), image).convert("RGB")
    return image.convert("RGB")


def check_probabilities(values: Any, grid: Grid) -> np.ndarray:
    """(rows, cols) float32 in 0..1, or GlimpseError."""
    cells = _cells(values, grid, "probabilities").astype(np.float32)
    if not np.all((cells >= 0) & (cells <= 1)):  # NaN fails both
        raise GlimpseError(
            f"The probabilities range from {cells.min()} to {cells.max()}; wanted were numbers from 0 to 1. "
            "Logits need a sigmoid first."
        )
    return cells


def check_mask(values: Any, grid: Grid) -> np.ndarray:
    """(rows, cols) bool, or GlimpseError. Whole numbers 0 and 1 are fine."""
    cells = _cells(values, grid, "mask")
    if cells.dtype != bool and (cells.dtype.kind not in "iu" or not np.isin(cells, (0, 1)).all()):
        raise GlimpseError(
            f"The mask holds {cells.dtype} values other than 0 and 1; wanted were booleans, True for kept."
        )
    return cells.astype(bool)


def _cells(values: Any, grid: Grid, name: str) -> np.ndarray:
    if values is None:
        raise GlimpseError(f"This view needs the {name}, but None was given.")
    cells = _array(values, name)
    if grid.tokens < 1 or cells.shape not in ((grid.tokens,), (grid.rows, grid.cols)):
        raise GlimpseError(
            f"The {name} have shape {cells.shape}, but the grid has {grid.rows} x {grid.cols} = {grid.tokens} tokens. "
            "Give one value per token of this picture (`split` parts those of several pictures)."
        )
    return cells.reshape(grid.rows, grid.cols)


def _array(values: Any, name: str) -> np.ndarray:
    try:
        array = np.asarray(values)
    except (TypeError, RuntimeError, ValueError) as error:  # a tensor on another device, with gradients, or in bfloat16
        raise GlimpseError(f"The {name} cannot be read as an array ({error}). Give a CPU float32 tensor.") from None
    if array.dtype.kind not in "biuf":
        raise GlimpseError(f"The {name} hold {array.dtype} values; wanted were numbers.")
    return array


def _mix(pixels: np.ndarray, color: np.ndarray, strength: float) -> np.ndarray:
    return np.rint(pixels * (1.0 - strength) + color * float(strength)).astype(np.uint8)


def _outline(kept: np.ndarray, grid: Grid) -> np.ndarray:
    """Dropped pixels beside a kept cell, as many as look thin; none where cells are too small for it."""
    left, top, right, bottom = grid.frame
    cell = min(kept.shape[0] / (grid.rows * (bottom - top)), kept.shape[1] / (grid.cols * (right - left)))
    if cell < 6:
        return np.zeros_like(kept)
    width = max(1, round(cell / 20))
    grown = cv2.dilate(kept.astype(np.uint8), np.ones((2 * width + 1, 2 * width + 1), np.uint8))
    return grown.astype(bool) & ~kept
