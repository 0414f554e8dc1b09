"""Read image files as upright RGB images, in the same way for the page, the command line and the API.

Knows PIL, not the model: the processor decides at which size the model sees an image.
"""

from __future__ import annotations

import os
import warnings
from collections.abc import Callable
from typing import cast

from PIL import Image, ImageOps, UnidentifiedImageError

from glimpse_core.errors import GlimpseError
from glimpse_core.media.overlay import rgb

FORMATS = ("PNG", "JPEG", "WEBP", "GIF", "BMP", "TIFF", "AVIF")
MAX_PIXELS = 100_000_000


def read_image(path: str | os.PathLike[str], check: Callable[[int, int], None] | None = None) -> Image.Image:
    """Read one image file as RGB: EXIF rotation applied, transparency on white, the first frame of an animation.

    Args:
        path: an existing file.
        check: called with (width, height) in pixels before anything is decoded; it may raise.

    Raises:
        GlimpseError: if the file is damaged, is not an image of one of `FORMATS`, or has more than `MAX_PIXELS`.
    """
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", Image.DecompressionBombWarning)  # MAX_PIXELS is checked below
            with Image.open(path, formats=FORMATS) as file:
                _check_pixels(*file.size)
                if check:
                    check(*file.size)
                file.seek(0)
                return _upright_rgb(file)
    except GlimpseError:
        raise
    except UnidentifiedImageError:
        raise GlimpseError(
            "This file is not an image that can be read. Expected PNG, JPEG, WebP, GIF, BMP, TIFF or AVIF. "
            "Convert it to one of them (a HEIC photo, for example, to JPEG)."
        ) from None
    except Image.DecompressionBombError:
        raise GlimpseError(
            f"The image has too many pixels. Expected at most {MAX_PIXELS // 10**6} million. Scale it down."
        ) from None
    except (OSError, SyntaxError, ValueError, EOFError, MemoryError, IndexError, TypeError, OverflowError):
        raise GlimpseError(
            "The image is damaged: it cannot be decoded to its end. Save it again, or choose another one."
        ) from None


def _check_pixels(width: int, height: int) -> None:
    if width * height > MAX_PIXELS:
        raise GlimpseError(
            f"The image has {width} × {height} pixels. Expected at most {MAX_PIXELS // 10**6} million. Scale it down."
        )


def _upright_rgb(file: Image.Image) -> Image.Image:
    image = ImageOps.exif_transpose(file)
    if image.mode.startswith(("I", "F")):  # 16 and 32 bit gray: to the full range of 8 bit
        low, high = cast("tuple[float, float]", image.getextrema())  # one band
        scale = 255.0 / (high - low) if high > low else 0.0
        image = image.convert("F").point(lambda value: value * scale - low * scale).convert("L")
    return rgb(image)
