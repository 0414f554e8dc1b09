"""From a file that anyone may have sent to a checked RGB picture, and from a picture to a data URL.

Knows PIL, not the model: how large a picture the model sees is the processor's affair.
"""

from __future__ import annotations

import base64
import io
import os
import warnings
from pathlib import Path

from PIL import Image, ImageOps, UnidentifiedImageError

from glimpse_core.errors import GlimpseError
from glimpse_core.render import rgb

FORMATS = ("PNG", "JPEG", "WEBP", "GIF", "BMP", "TIFF", "AVIF")
MAX_BYTES = 40 * 2**20
MAX_PIXELS = 100_000_000
MAX_ASPECT = 100
MIN_SIDE = 8
PREVIEW_SIDE = 1344  # longest side of what is sent to the browser, in pixels


def open_picture(path: str | os.PathLike[str]) -> Image.Image:
    """Read one picture as upright RGB: EXIF rotation applied, transparency on white, the first frame of an animation.

    Raises GlimpseError, in words for the person who sent the file, if it is missing, broken, of an unknown kind, or
    of a size that no answer can come from.
    """
    path = Path(path)
    try:
        size = path.stat().st_size
    except OSError:
        raise GlimpseError(
            "This picture is no longer on the server: uploads are deleted after a while. Please add it again."
        ) from None
    if size > MAX_BYTES:
        raise GlimpseError(
            f"The file has {size / 2**20:.0f} MB; at most {MAX_BYTES // 2**20} MB are read. Please send a smaller one."
        )
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", Image.DecompressionBombWarning)  # MAX_PIXELS is checked below
            with Image.open(path, formats=FORMATS) as file:
                _check_size(*file.size)
                file.seek(0)
                return _upright_rgb(file)
    except GlimpseError:
        raise
    except UnidentifiedImageError:
        raise GlimpseError(
            "This file is not a picture that can be read here. PNG, JPEG, WebP, GIF, BMP, TIFF and AVIF can; "
            "convert it to one of them (a HEIC photo, say, to JPEG)."
        ) from None
    except Image.DecompressionBombError:
        raise GlimpseError(
            f"The picture has too many pixels; at most {MAX_PIXELS // 10**6} million are read. Please scale it down."
        ) from None
    except (OSError, SyntaxError, ValueError, EOFError, MemoryError, IndexError, TypeError, OverflowError):
        raise GlimpseError(
            "The picture is broken: it cannot be decoded to its end. Please save it again, or send another one."
        ) from None


def _check_size(width: int, height: int) -> None:
    shown = f"{width} × {height} pixels"
    if width * height > MAX_PIXELS:
        raise GlimpseError(
            f"The picture has {shown}; at most {MAX_PIXELS // 10**6} million pixels are read. Please scale it down."
        )
    if min(width, height) < 1 or max(width, height) / min(width, height) > MAX_ASPECT:
        raise GlimpseError(
            f"The picture has {shown}: one side is more than {MAX_ASPECT} times the other. Please crop it."
        )
    if min(width, height) < MIN_SIDE:
        raise GlimpseError(
            f"The picture has {shown}: too small to see anything. At least {MIN_SIDE} per side are needed."
        )


def _upright_rgb(file: Image.Image) -> Image.Image:
    image = ImageOps.exif_transpose(file)
    if image.mode.startswith(("I", "F")):  # 16 and 32 bit gray: to the full range of 8 bit
        low, high = image.getextrema()
        scale = 255.0 / (high - low) if high > low else 0.0
        image = image.convert("F").point(lambda value: value * scale - low * scale).convert("L")
    return rgb(image)


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
