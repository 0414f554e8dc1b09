"""Picture files in, upright RGB pictures out: one way for the page, the command line and every other door.

Knows PIL, not the model: how large a picture the model sees is the processor's affair.
"""

from __future__ import annotations

import os
import warnings
from collections.abc import Callable

from PIL import Image, ImageOps, UnidentifiedImageError

from glimpse_core.errors import GlimpseError
from glimpse_core.media.overlay import rgb

FORMATS = ("PNG", "JPEG", "WEBP", "GIF", "BMP", "TIFF", "AVIF")
MAX_PIXELS = 100_000_000


def read_image(path: str | os.PathLike[str], check: Callable[[int, int], None] | None = None) -> Image.Image:
    """One existing file as upright RGB: EXIF rotation applied, transparency on white, the first frame of an animation.

    check: called with (width, height) before anything is decoded; it may raise. Raises GlimpseError, in words for the
    person who gave the file, if it is broken, of an unknown kind, or has more than `MAX_PIXELS`.
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


def _check_pixels(width: int, height: int) -> None:
    if width * height > MAX_PIXELS:
        raise GlimpseError(
            f"The picture has {width} × {height} pixels; at most {MAX_PIXELS // 10**6} million pixels are read. "
            "Please scale it down."
        )


def _upright_rgb(file: Image.Image) -> Image.Image:
    image = ImageOps.exif_transpose(file)
    if image.mode.startswith(("I", "F")):  # 16 and 32 bit gray: to the full range of 8 bit
        low, high = image.getextrema()
        scale = 255.0 / (high - low) if high > low else 0.0
        image = image.convert("F").point(lambda value: value * scale - low * scale).convert("L")
    return rgb(image)
