"""What is sent that cannot be used, and what is answered: one table for the handlers, the page and its endpoints."""

from __future__ import annotations

import io
import struct
import zipfile
import zlib
from collections.abc import Callable
from pathlib import Path
from typing import Any

from PIL import Image

NOT_A_PICTURE = "not an image that can be read"
BROKEN = "The image is damaged"
NO_QUESTION = "There is no question yet"


def drawn(kind: str, size: tuple[int, int] = (160, 120)) -> bytes:
    """A picture that is fine, as the bytes of a file."""
    image = Image.effect_noise(size, 80).convert("RGB")
    file = io.BytesIO()
    image.save(file, kind)
    return file.getvalue()


def flat(size: tuple[int, int], mode: str = "1") -> bytes:
    file = io.BytesIO()
    Image.new(mode, size).save(file, "PNG")
    return file.getvalue()


def png_that_claims(width: int, height: int) -> bytes:
    """A PNG whose header gives a size that its data does not have."""
    head = struct.pack(">IIBBBBB", width, height, 8, 2, 0, 0, 0)
    parts = [(b"IHDR", head), (b"IDAT", zlib.compress(b"\0" * 64)), (b"IEND", b"")]
    chunks = [
        struct.pack(">I", len(data)) + name + data + struct.pack(">I", zlib.crc32(name + data)) for name, data in parts
    ]
    return b"\x89PNG\r\n\x1a\n" + b"".join(chunks)


def archive() -> bytes:
    file = io.BytesIO()
    with zipfile.ZipFile(file, "w") as packed:
        packed.writestr("picture.png", drawn("PNG"))
    return file.getvalue()


# File name -> (its bytes, what must be said)
PICTURES: dict[str, tuple[Callable[[], bytes], str]] = {
    "empty.png": (lambda: b"", NOT_A_PICTURE),
    "text.png": (lambda: b"I am a text file.", NOT_A_PICTURE),
    "page.jpg": (lambda: b"<!doctype html><title>Not found</title>", NOT_A_PICTURE),
    "vector.png": (lambda: b"<svg xmlns='http://www.w3.org/2000/svg' width='50' height='50'/>", NOT_A_PICTURE),
    "paper.png": (lambda: b"%PDF-1.7\n%\xe2\xe3\xcf\xd3\n", NOT_A_PICTURE),
    "archive.webp": (archive, NOT_A_PICTURE),
    "film.png": (lambda: b"\0\0\0\x18ftypmp42" + bytes(200), NOT_A_PICTURE),
    "photo.heic.png": (lambda: b"\0\0\0\x18ftypheic\0\0\0\0heicmif1" + bytes(200), "Convert it to one of them"),
    "icon.png": (lambda: drawn("ICO", (64, 64)), NOT_A_PICTURE),
    "plain.png": (lambda: drawn("PPM"), NOT_A_PICTURE),
    "zeros.png": (lambda: bytes(500), NOT_A_PICTURE),
    "header.png": (lambda: b"\x89PNG\r\n\x1a\n" + b"x" * 99, "image"),
    "only_ends.jpg": (lambda: b"\xff\xd8\xff\xd9", "image"),
    "only_head.gif": (lambda: b"GIF89a", "image"),
    "only_head.webp": (lambda: b"RIFF\x10\0\0\0WEBPVP8 ", "image"),
    "noise.avif": (lambda: b"\0\0\0\x1cftypavif" + bytes(range(200)), "image"),
    "cut.png": (lambda: drawn("PNG")[:2000], BROKEN),
    "cut.jpg": (lambda: drawn("JPEG")[:1500], BROKEN),
    "cut.webp": (lambda: drawn("WEBP")[:1500], BROKEN),
    "cut.gif": (lambda: drawn("GIF")[:1500], BROKEN),
    "cut.bmp": (lambda: drawn("BMP")[:1500], BROKEN),
    "cut.tif": (lambda: drawn("TIFF")[:1500], "image"),
    "hollow.png": (lambda: png_that_claims(300, 300), BROKEN),
    "dot.png": (lambda: flat((1, 1)), "1 × 1 pixels: too small"),
    "thin.png": (lambda: flat((7, 300)), "7 × 300 pixels: too small"),
    "line.png": (lambda: flat((20_000, 10)), "20000 × 10 pixels: one side is more than 100 times the other"),
    "pole.png": (lambda: flat((10, 20_000)), "10 × 20000 pixels: one side is more than 100 times the other"),
    "bomb.png": (lambda: flat((12_000, 12_000)), "12000 × 12000 pixels. Expected at most 100 million"),
    "lie.png": (lambda: png_that_claims(2_000_000, 2_000_000), "100 million"),
}

# (what is asked, what must be said)
QUESTIONS: list[tuple[Any, str]] = [
    ("", NO_QUESTION),
    ("  \n\t ", NO_QUESTION),
    ("\u2003\u00a0", NO_QUESTION),
    (None, NO_QUESTION),
    (7, NO_QUESTION),
    (["what"], NO_QUESTION),
    ({"text": "what"}, NO_QUESTION),
    ("w" * 2001, "2,001 characters. Expected at most 2,000"),
    ("why " * 5000, "19,999 characters. Expected at most 2,000"),
]

# (settings in JSON, what must be said)
SETTINGS: list[tuple[Any, str]] = [
    ({"threshold": "0.5"}, 'Threshold is "0.5". Expected a number from 0 to 1.'),
    ({"threshold": None}, "Threshold is null"),
    ({"threshold": -0.1}, "Threshold is -0.1"),
    ({"threshold": 1.01}, "Threshold is 1.01"),
    ({"threshold": True}, "Threshold is true"),
    ({"threshold": {}}, "Threshold is {}"),
    ({"threshold": [[[]]]}, "Threshold is [[[]]]"),
    ({"max_ratio": 1.01}, "Maximum share is 1.01. Expected a number from 0 to 1 or none."),
    ({"max_ratio": 25}, "Maximum share is 25. Expected a number from 0 to 1 or none."),  # percent
    ({"max_ratio": -0.01}, "Maximum share is -0.01"),
    ({"max_ratio": "<b>"}, 'Maximum share is "<b>"'),
    ({"max_ratio": False}, "Maximum share is false"),
    ({"min_tokens": -1}, "Minimum tokens is -1. Expected an integer from 0 to 100000."),
    ({"min_tokens": 1e9}, "Minimum tokens is 1000000000.0"),
    ({"min_tokens": 1.5}, "Minimum tokens is 1.5"),
    ({"min_tokens": None}, "Minimum tokens is null"),
    ({"budget": 0}, "Budget is 0. Expected an integer from 1 to 100000 or none."),
    ({"budget": -1}, "Budget is -1"),
    ({"budget": 2.5}, "Budget is 2.5"),
    ({"budget": "24"}, 'Budget is "24"'),
    ({"anchors": ["middle"]}, 'Anchors are "middle". Expected any of tl, tr, bl, br.'),
    ({"anchors": [3]}, 'Anchors are "3"'),
    ("{", 'Settings are "{"'),
    ([1], "Settings are [1]"),
    (5, "Settings are 5"),
    ({"painted": 3}, "Painted tokens are 3. Expected token numbers from 0 to 99999."),
    ({"painted": [-1]}, "Painted tokens are -1"),
    ({"painted": [1.5]}, "Painted tokens are 1.5"),
    ({"painted": [999_999]}, "Painted tokens are 999999"),
    ({"erased": ["1"]}, 'Erased tokens are "1"'),
    ({"erased": [True]}, "Erased tokens are true"),
    ({"painted": [1], "erased": [1]}, "Painted tokens and erased tokens share [1]"),
    ({"control": "everything"}, 'Control is "everything". Expected one of random, inverse or none.'),
    ({"control": ["random"]}, "Control is ['random']"),
    ({"seed": 1e99}, "Seed is 1e+99"),
    ({"treshold": 0.5}, 'Settings have "treshold"'),
]
# Settings that are well formed, but not for this picture.
NOT_HERE: list[tuple[Any, str]] = [({"painted": [99_999]}, "The edits name tokens [99999]")]
# (most tokens of an answer, what must be said)
LENGTHS: list[tuple[Any, str]] = [
    (0, "Longest answer is 0. Expected an integer from 1 to 256."),
    (100_000, "Longest answer is 100000"),
    (1.5, "Longest answer is 1.5"),
    ("64", 'Longest answer is "64"'),
    ([64], "Longest answer is [64]"),
    (None, "Longest answer is null"),
]


def write(folder: Path, name: str) -> Path:
    """One file of `PICTURES`."""
    path = folder / name
    path.write_bytes(PICTURES[name][0]())
    return path
