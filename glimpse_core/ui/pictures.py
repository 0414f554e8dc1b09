"""Uploads, checked; and from a picture to a data URL for the browser."""

from __future__ import annotations

import base64
import io
import os
from pathlib import Path
from urllib.parse import quote

from PIL import Image

from glimpse_core.errors import GlimpseError
from glimpse_core.media.images import read_image

MAX_BYTES = 40 * 2**20
MAX_ASPECT = 100
MIN_SIDE = 8
SHOWN = (".png", ".jpg", ".jpeg", ".webp", ".gif", ".bmp", ".avif")  # that every browser of today draws
PREVIEW_SIDE = 1344  # longest side of what is sent to the browser, in pixels


def open_picture(path: str | os.PathLike[str]) -> Image.Image:
    """Read one upload as upright RGB.

    Raises GlimpseError, in words for the person who sent the file, if it is missing, broken, of an unknown kind, or
    of a size that no answer can come from.
    """
    path = Path(path)
    try:
        size = path.stat().st_size
    except (OSError, ValueError):
        raise GlimpseError(
            "This picture is no longer on the server: uploads are deleted after a while. Please add it again."
        ) from None
    if size > MAX_BYTES:
        raise GlimpseError(
            f"The file has {size / 2**20:.0f} MB; at most {MAX_BYTES // 2**20} MB are read. Please send a smaller one."
        )
    return read_image(path, _check_size)


def _check_size(width: int, height: int) -> None:
    shown = f"{width} × {height} pixels"
    if min(width, height) < 1 or max(width, height) / min(width, height) > MAX_ASPECT:
        raise GlimpseError(
            f"The picture has {shown}: one side is more than {MAX_ASPECT} times the other. Please crop it."
        )
    if min(width, height) < MIN_SIDE:
        raise GlimpseError(
            f"The picture has {shown}: too small to see anything. At least {MIN_SIDE} per side are needed."
        )


def address_of(path: str | os.PathLike[str]) -> str:
    """Where a browser gets a picture: its file, relative to the page, or a data URL if few show its kind."""
    suffix = Path(path).suffix.lower()
    if suffix in SHOWN:
        return f"gradio_api/file={quote(str(path))}"
    return data_url(open_picture(path))


def data_url(image: Image.Image, size: tuple[int, int] | None = None, limit: int = PREVIEW_SIDE) -> str:
    """A picture for the browser, as a data URL: nothing is written to disk and nothing outlives the page.

    size: (width, height) to scale to, the grid's own pixels; the aspect ratio follows it exactly. limit: the
    longest side sent.
    """
    width, height = size or image.size
    shrink = min(1.0, limit / max(width, height))
    target = (max(1, round(width * shrink)), max(1, round(height * shrink)))
    if target != image.size:
        image = image.resize(target, Image.Resampling.LANCZOS)
    buffer = io.BytesIO()
    image.save(buffer, "JPEG", quality=90)
    return "data:image/jpeg;base64," + base64.b64encode(buffer.getvalue()).decode("ascii")
