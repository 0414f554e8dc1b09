"""Draw relevance and masks over an image, on the processor's token grid.

The model sees an image of rows x 28 by cols x 28 pixels. The image drawn on may have any size W x H, so a cell has
W / cols by H / rows pixels, seldom whole numbers. A pixel belongs to the cell that contains its center: no pixel is
left out or painted twice. The same rule applies to all views, to crops, and in the browser. Where the model pads images
to a square, the image fills the part of the grid that `Grid.frame` says, and cells outside are not drawn.

The color map is Cividis, which can be read with any kind of color vision and in gray: dark is irrelevant, yellow is
relevant. `COLORS` has its evenly spaced stops, to be interpolated linearly, so that the page can draw the same map.

Values are numpy arrays, CPU tensors or lists, (N,) in raster order or (rows, cols). No torch, no model.
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
DIMMED = ((12, 12, 16), 0.75)  # color that dropped cells are mixed with in the "kept" view, and its share
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
    """Draw one view of one image.

    Args:
        image: the image to draw on, of any size and mode.
        probabilities: 0 to 1 for each cell, (N,) or (rows, cols); used by "heat", else may be None.
        mask: True for kept cells, (N,) or (rows, cols); used by "kept" and "kept_only", else may be None.
        grid: token grid of the image. Several images are drawn one by one (see `split`).
        view: "heat": cells tinted by probability. "kept": dropped cells dimmed, kept ones unchanged to the bit, with
            an outline on the dropped side. "kept_only": dropped cells blank. "picture": the image on white.
        opacity: strength of tint, dimming or blanking, 0 to 1; None: the view's default.

    Returns:
        An RGB image of the same size as `image`.

    Raises:
        GlimpseError: if shapes, values or the view do not fit.
    """
    if view not in get_args(View):
        raise GlimpseError(f"The view is {view!r}. Expected one of {', '.join(get_args(View))}.")
    if opacity is not None and not 0 <= opacity <= 1:
        raise GlimpseError(f"The opacity is {opacity}. Expected a number from 0 (invisible) to 1 (opaque).")
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
    """Return the cell of every pixel along one side of an image.

    Args:
        length: pixels of the side.
        count: cells along the side of the grid.
        low, high: the part of the grid's side that the image fills, as shares from 0 to 1.

    Returns:
        int64 (length,), cells from 0 to count - 1.
    """
    centers = 2 * np.arange(length, dtype=np.int64) + 1
    if (low, high) == (0.0, 1.0):
        return centers * count // (2 * length)
    # Shares are ratios of whole pixels; the small offset keeps a center that lies on a border in the right cell.
    return np.floor((low + centers * (high - low) / (2 * length)) * count + 1e-9).clip(0, count - 1).astype(np.int64)


def edges(length: int, count: int, low: float = 0.0, high: float = 1.0) -> np.ndarray:
    """Return the pixel at which every cell begins along one side of an image; arguments as for `cell_numbers`.

    Returns:
        int64 (count + 1,), the last one equal to `length`.
    """
    return np.searchsorted(cell_numbers(length, count, low, high), np.arange(count + 1))


def cell_box(size: tuple[int, int], grid: Grid, index: int) -> tuple[int, int, int, int]:
    """Return the box of cell `index` in an image of `size` (width, height) pixels.

    Returns:
        (left, top, right, bottom) in pixels, as for cropping; empty for a cell in the padding.

    Raises:
        GlimpseError: if the grid has no such cell.
    """
    if not 0 <= index < grid.tokens:
        raise GlimpseError(
            f"Token {index} is not on the grid of {grid.rows} x {grid.cols}. Expected 0 to {grid.tokens - 1}."
        )
    row, col = divmod(index, grid.cols)
    left, top, right, bottom = grid.frame
    across, down = edges(size[0], grid.cols, left, right), edges(size[1], grid.rows, top, bottom)
    return int(across[col]), int(down[row]), int(across[col + 1]), int(down[row + 1])


def spread(
    values: np.ndarray, size: tuple[int, int], frame: tuple[float, float, float, float] = (0.0, 0.0, 1.0, 1.0)
) -> np.ndarray:
    """Repeat the values of cells for all pixels of an image.

    Args:
        values: (rows, cols).
        size: width and height of the image in pixels.
        frame: the part of the grid that the image fills, as in `Grid.frame`.

    Returns:
        (height, width), same dtype as `values`.
    """
    width, height = size
    rows, cols = values.shape
    left, top, right, bottom = frame
    down, across = cell_numbers(height, rows, top, bottom), cell_numbers(width, cols, left, right)
    return values[down[:, None], across[None, :]]


def split(values: Any, grids: Sequence[Grid]) -> list[np.ndarray]:
    """Split the values of all images of a prompt.

    Args:
        values: (N,), images in prompt order, tokens in raster order.
        grids: token grid of each image.

    Returns:
        One array (rows, cols) per image.

    Raises:
        GlimpseError: if there are more or fewer values than tokens.
    """
    flat, total = _array(values, "values"), sum(grid.tokens for grid in grids)
    if flat.shape != (total,):
        sizes = " + ".join(f"{grid.rows} x {grid.cols}" for grid in grids) or "no grids"
        raise GlimpseError(f"The values have shape {flat.shape}. Expected ({total},) for {sizes} tokens.")
    ends = np.cumsum([grid.tokens for grid in grids])
    return [flat[end - grid.tokens : end].reshape(grid.rows, grid.cols) for end, grid in zip(ends, grids, strict=True)]


def colors(values: np.ndarray) -> np.ndarray:
    """Map values from 0 to 1, of any shape, to RGB. Returns uint8 with one more axis of length 3."""
    stops = np.array([[int(color[at : at + 2], 16) for at in (1, 3, 5)] for color in COLORS], dtype=np.float32)
    scaled = np.asarray(values, dtype=np.float32) * (len(stops) - 1)
    below = np.clip(scaled.astype(np.int64), 0, len(stops) - 2)
    share = (scaled - below)[..., None]
    return np.rint(stops[below] * (1 - share) + stops[below + 1] * share).astype(np.uint8)


def rgb(image: Image.Image) -> Image.Image:
    """Return a copy of the image as RGB, with white in place of transparency. Raises GlimpseError for anything else."""
    if not isinstance(image, Image.Image):
        raise GlimpseError(f"The image is a {type(image).__name__}. Expected a PIL image.")
    if min(image.size) < 1:
        raise GlimpseError(f"The image has {image.width} x {image.height} pixels. Expected at least 1 x 1.")
    if image.mode in ("RGBA", "LA", "PA", "RGBa", "La") or "transparency" in image.info:
        image = image.convert("RGBA")
        return Image.alpha_composite(Image.new("RGBA", image.size, "white"), image).convert("RGB")
    return image.convert("RGB")


def check_probabilities(values: Any, grid: Grid) -> np.ndarray:
    """Return the probabilities as float32 (rows, cols). Raises GlimpseError if shape or values do not fit."""
    cells = _cells(values, grid, "probabilities").astype(np.float32)
    if not np.all((cells >= 0) & (cells <= 1)):  # NaN fails both
        raise GlimpseError(
            f"The probabilities range from {cells.min()} to {cells.max()}. Expected numbers from 0 to 1. "
            "Apply a sigmoid to logits first."
        )
    return cells


def check_mask(values: Any, grid: Grid) -> np.ndarray:
    """Return the mask as bool (rows, cols); integers 0 and 1 are accepted. Raises GlimpseError if it does not fit."""
    cells = _cells(values, grid, "mask")
    if cells.dtype != bool and (cells.dtype.kind not in "iu" or not np.isin(cells, (0, 1)).all()):
        raise GlimpseError(f"The mask holds {cells.dtype} values other than 0 and 1. Expected booleans, True for kept.")
    return cells.astype(bool)


def _cells(values: Any, grid: Grid, name: str) -> np.ndarray:
    if values is None:
        raise GlimpseError(f"None was given for the {name}. Expected one value per token for this view: give them.")
    cells = _array(values, name)
    if grid.tokens < 1 or cells.shape not in ((grid.tokens,), (grid.rows, grid.cols)):
        raise GlimpseError(
            f"The {name} have shape {cells.shape}. Expected one value for each of {grid.rows} x {grid.cols} = "
            f"{grid.tokens} tokens of this image (`split` splits the values of several images)."
        )
    return cells.reshape(grid.rows, grid.cols)


def _array(values: Any, name: str) -> np.ndarray:
    try:
        array = np.asarray(values)
    except (TypeError, RuntimeError, ValueError) as error:  # a tensor on another device, with gradients, or in bfloat16
        raise GlimpseError(
            f"The {name} cannot be read as an array ({error}). Expected a float32 tensor on the CPU: convert them."
        ) from None
    if array.dtype.kind not in "biuf":
        raise GlimpseError(f"The {name} hold {array.dtype} values. Expected numbers.")
    return array


def _mix(pixels: np.ndarray, color: np.ndarray, strength: float) -> np.ndarray:
    return np.rint(pixels * (1.0 - strength) + color * float(strength)).astype(np.uint8)


def _outline(kept: np.ndarray, grid: Grid) -> np.ndarray:
    """Return the dropped pixels next to a kept cell, as a thin line; none if cells are smaller than 6 pixels."""
    left, top, right, bottom = grid.frame
    cell = min(kept.shape[0] / (grid.rows * (bottom - top)), kept.shape[1] / (grid.cols * (right - left)))
    if cell < 6:
        return np.zeros_like(kept)
    width = max(1, round(cell / 20))
    grown = cv2.dilate(kept.astype(np.uint8), np.ones((2 * width + 1, 2 * width + 1), np.uint8))
    return grown.astype(bool) & ~kept
