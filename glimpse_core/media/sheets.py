"""Images put together: captioned panels side by side, the color legend, and the result as bytes or file.

Everything here is drawn with PIL; `plots.py` draws the charts.
"""

from __future__ import annotations

import io
from collections.abc import Sequence
from functools import cache
from pathlib import Path
from typing import Any

import matplotlib
import numpy as np
from PIL import Image, ImageDraw, ImageFont

from glimpse_core.errors import GlimpseError
from glimpse_core.media.overlay import View, check_mask, colors, overlay, rgb
from glimpse_core.types import Grid

INK, PAPER, FAINT = (31, 41, 55), (255, 255, 255), (107, 114, 128)
GAP = 12


def legend(width: int = 320, height: int = 44, threshold: float | None = None, title: str = "relevance") -> Image.Image:
    """Draw the color bar from 0 to 1 with labeled ends.

    Args:
        width, height: size in pixels.
        threshold: 0 to 1, marked on the bar; None: no mark.
        title: text below the bar.

    Raises:
        GlimpseError: if the bar is too small to read, or the threshold is not from 0 to 1.
    """
    if width < 120 or height < 30:
        raise GlimpseError(f"The size of the legend is {width} x {height} pixels. Expected at least 120 x 30.")
    if threshold is not None and not 0 <= threshold <= 1:
        raise GlimpseError(f"The threshold is {threshold}. Expected a number from 0 to 1.")
    size = max(10, height // 3)
    drawn = Image.new("RGB", (width, height), PAPER)
    draw, font, bar = ImageDraw.Draw(drawn), _font(size), height - size - 8
    ramp = colors(np.linspace(0, 1, width))[None].repeat(bar, axis=0)
    drawn.paste(Image.fromarray(ramp), (0, 0))
    draw.text((0, bar + 4), "0", INK, font)
    draw.text((width / 2, bar + 4), title, FAINT, font, anchor="ma")
    draw.text((width - 1, bar + 4), "1", INK, font, anchor="ra")
    if threshold is not None:
        at = round(threshold * (width - 1))
        draw.line([(at - 1, 0), (at - 1, bar + 3)], PAPER, 3)
        draw.line([(at, 0), (at, bar + 3)], INK, 1)
    return drawn


def side_by_side(
    panels: Sequence[tuple[str, Image.Image]], height: int = 420, columns: int | None = None
) -> Image.Image:
    """Put captioned images in rows on a white sheet.

    Args:
        panels: caption and image of each panel.
        height: height in pixels that all images are scaled to.
        columns: panels per row; None: all in one row.

    Raises:
        GlimpseError: if there is no panel, or height or columns are too small.
    """
    if not panels or height < 16 or (columns is not None and columns < 1):
        raise GlimpseError(
            f"The sheet has {len(panels)} panels, height {height} and columns {columns}. "
            "Expected at least one panel, 16 pixels and one column."
        )
    columns = columns or len(panels)
    size = max(12, height // 24)
    font, line = _font(size), size * 2
    scaled = [
        (
            caption,
            rgb(image).resize((max(1, round(image.width * height / image.height)), height), Image.Resampling.LANCZOS),
        )
        for caption, image in panels
    ]
    rows = [scaled[start : start + columns] for start in range(0, len(scaled), columns)]
    width = max(sum(image.width + GAP for _, image in row) for row in rows) + GAP
    sheet = Image.new("RGB", (width, len(rows) * (line + height + GAP) + GAP), PAPER)
    draw = ImageDraw.Draw(sheet)
    for number, row in enumerate(rows):
        left, top = GAP, GAP + number * (line + height + GAP)
        for caption, image in row:
            draw.text((left, top + line // 2), _fit(caption, font, image.width), INK, font, anchor="lm")
            sheet.paste(image, (left, top + line))
            left += image.width + GAP
    return sheet


def overview(
    image: Image.Image, probabilities: Any, mask: Any, grid: Grid, threshold: float | None = None, height: int = 420
) -> Image.Image:
    """Put the image, its relevance, the kept tokens, and the kept tokens alone side by side, above the legend.

    Args:
        image: the image.
        probabilities: relevance of each token, 0 to 1, (N,) or (rows, cols).
        mask: True for kept tokens, (N,) or (rows, cols).
        grid: token grid of the image.
        threshold: 0 to 1, marked on the legend; None: no mark.
        height: height in pixels of each panel's image.

    Raises:
        GlimpseError: if shapes or values do not fit.
    """
    kept = check_mask(mask, grid)
    share = f"{kept.sum()} of {grid.tokens} tokens kept ({kept.mean():.1%})"
    views: tuple[tuple[str, View], ...] = (
        ("picture", "picture"),
        ("relevance", "heat"),
        (share, "kept"),
        ("kept tokens alone", "kept_only"),
    )
    panels = side_by_side([(name, overlay(image, probabilities, mask, grid, view)) for name, view in views], height)
    bar = legend(min(420, max(120, panels.width - 2 * GAP)), threshold=threshold)
    sheet = Image.new("RGB", (max(panels.width, bar.width + 2 * GAP), panels.height + bar.height + GAP), PAPER)
    sheet.paste(panels, (0, 0))
    sheet.paste(bar, (GAP, panels.height))
    return sheet


def png(image: Image.Image) -> bytes:
    """Return the image as the bytes of a PNG file."""
    buffer = io.BytesIO()
    image.save(buffer, "PNG", optimize=True)
    return buffer.getvalue()


def save_png(image: Image.Image, path: str | Path) -> Path:
    """Write the image as PNG and make missing folders. Returns the path.

    Raises:
        GlimpseError: for another suffix, or if the file cannot be written.
    """
    path = Path(path)
    if path.suffix.lower() != ".png":
        raise GlimpseError(f"The file name of the image is {path.name}. Expected a name that ends in .png.")
    write(path, png(image))
    return path


def write(path: Path, content: bytes) -> None:
    """Write a file and make missing folders. Raises GlimpseError if that is not possible."""
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(content)
    except OSError as error:
        raise GlimpseError(
            f"{path} cannot be written ({error.strerror}). Expected a path that can: choose another one."
        ) from None


@cache
def _font(size: int) -> ImageFont.FreeTypeFont:
    """DejaVu Sans, which comes with matplotlib and covers Latin, Greek, Cyrillic and arrows."""
    return ImageFont.truetype(Path(matplotlib.get_data_path()) / "fonts" / "ttf" / "DejaVuSans.ttf", size)


def _fit(text: str, font: ImageFont.FreeTypeFont, width: int) -> str:
    """Return the text on one line, shortened with an ellipsis if it is wider than `width` pixels."""
    text = " ".join(text.split())
    if font.getlength(text) <= width:
        return text
    while text and font.getlength(text + "…") > width:
        text = text[:-1]
    return text.rstrip() + "…"
