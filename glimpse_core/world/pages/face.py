"""Turns the strokes of `glyphs` into letters of one face: size, weight, width, roundness, slant, slabs.

A letter's mask is the distance to its strokes, cut off at half the stroke's thickness and smoothed over one pixel, so
that every size and weight comes from the same drawing. Masks are memoized. This file knows nothing of pages.
"""

import functools
import math
from dataclasses import dataclass

import numpy as np
from PIL import Image

from glimpse_core.world.pages.glyphs import BASELINE, CAP_TOP, CAPITALS, DESCENDER, GLYPHS, SMALL, X_TOP

ARC_STEP = 18.0  # degrees of an arc drawn as one straight piece
DOT = 1.3  # how much thicker a dot is than the stroke
THINNEST = 1.5  # pixels: a thinner stroke would not survive on a light background
SPACE = 0.5  # cap heights: advance of a blank

Ink = tuple[int, int, int, int]  # x1, y1, x2, y2 in pixels, x from the pen, y from the baseline


@dataclass(frozen=True)
class Face:
    """How text is drawn.

    Args:
        cap: height of a capital in pixels.
        weight: thickness of a stroke in cap heights; 0.1 is light, 0.18 bold.
        width: horizontal stretch of the letters.
        roundness: exponent of the bowls' superellipse; 2 is a circle, 3 nearly square.
        slant: horizontal shift per height; 0.2 is an italic.
        slab: half the length of the serifs in cap heights; 0 has none.
        pitch: fixed advance in pixels; 0 spaces every letter by its own width.
        tracking: space between letters in cap heights, where the advance is not fixed.
    """

    cap: int
    weight: float = 0.13
    width: float = 1.0
    roundness: float = 2.0
    slant: float = 0.0
    slab: float = 0.0
    pitch: int = 0
    tracking: float = 0.24

    def advance(self, char: str) -> int:
        """Pixels from this letter's pen position to the next one's."""
        if self.pitch:
            return self.pitch
        share = SPACE if char == " " else GLYPHS[char][0] * self.width + self.tracking
        return max(1, round(share * self.cap))

    def length(self, text: str) -> int:
        """Sum of the advances in pixels."""
        return sum(map(self.advance, text))


@functools.lru_cache(maxsize=4096)
def strokes(char: str, roundness: float, slab: float) -> np.ndarray:
    """(N, 5) float: straight pieces x1, y1, x2, y2 in cap heights, and their thickness relative to the stroke's."""
    pieces: list[tuple[float, float, float, float, float]] = []
    end = (0.0, 0.0)
    for stroke in GLYPHS[char][1].split(";"):
        points, thick = _points(stroke.split(), end, roundness)
        end = points[-1]
        pairs = zip(points, points[1:], strict=False) if len(points) > 1 else ((points[0], points[0]),)
        pieces += [(*a, *b, thick) for a, b in pairs]
        if slab and stroke.split()[0] in "lt" and (char in CAPITALS or char in SMALL):
            for tip, before in ((points[0], points[1]), (points[-1], points[-2])) if len(points) > 1 else ():
                if _stem(tip, before):
                    pieces.append((tip[0] - slab, tip[1], tip[0] + slab, tip[1], 0.85))
    return np.array(pieces, np.float32)


def _stem(tip: tuple[float, float], before: tuple[float, float]) -> bool:
    """True where a steep stroke ends on one of the lines that letters stand between."""
    steep = abs(tip[1] - before[1]) > 1.2 * abs(tip[0] - before[0])
    return steep and tip[1] in (CAP_TOP, X_TOP, BASELINE, DESCENDER)


def _points(words: list[str], end: tuple[float, float], roundness: float) -> tuple[list[tuple[float, float]], float]:
    """The points of one stroke and its relative thickness."""
    name, values = words[0], [float(word) for word in words[1:]]
    if name in "lt":
        points = list(zip(values[::2], values[1::2], strict=True))
        return ([end, *points] if name == "t" else points), 1.0
    if name == "d":
        return [(values[0], values[1])], DOT
    if name == "c":
        return [_bezier(values, step / 10) for step in range(11)], 1.0
    if name not in "ao":
        raise ValueError(f"stroke {name!r}; expected one of l, t, a, o, c, d")
    x, y, rx, ry, start, stop = values if name == "a" else [*values, 0.0, 360.0]
    steps = max(2, round((stop - start) / ARC_STEP))
    angles = [math.radians(start + (stop - start) * step / steps) for step in range(steps + 1)]
    return [(x + rx * _bow(math.cos(a), roundness), y + ry * _bow(math.sin(a), roundness)) for a in angles], 1.0


def _bow(value: float, roundness: float) -> float:
    return math.copysign(abs(value) ** (2 / roundness), value)


def _bezier(values: list[float], share: float) -> tuple[float, float]:
    a, b, c, d = (1 - share) ** 3, 3 * share * (1 - share) ** 2, 3 * share**2 * (1 - share), share**3
    x, y = (a * values[i] + b * values[i + 2] + c * values[i + 4] + d * values[i + 6] for i in (0, 1))
    return x, y


@dataclass(frozen=True)
class Glyph:
    """One letter as an 8-bit mask; (x, y) is the mask's top left seen from the pen on the baseline, in pixels."""

    mask: Image.Image
    x: int
    y: int


@functools.lru_cache(maxsize=65536)
def glyph(char: str, face: Face) -> Glyph:
    """Draw one letter of a face, cropped to its ink."""
    lines = strokes(char, face.roundness, face.slab)
    stretch = _stretch(char, face)
    bearing = (face.advance(char) - GLYPHS[char][0] * stretch) / 2
    y1, y2 = (lines[:, 1] - 1) * face.cap, (lines[:, 3] - 1) * face.cap  # seen from the baseline, downward
    x1, x2 = (bearing + x * stretch - face.slant * y for x, y in ((lines[:, 0], y1), (lines[:, 2], y2)))
    radius = lines[:, 4] * max(THINNEST, face.weight * face.cap) / 2
    reach = math.ceil(float(radius.max())) + 1
    left, top = math.floor(min(x1.min(), x2.min())) - reach, math.floor(min(y1.min(), y2.min())) - reach
    right, bottom = math.ceil(max(x1.max(), x2.max())) + reach, math.ceil(max(y1.max(), y2.max())) + reach
    px = np.arange(left, right, dtype=np.float32)[None, :, None] + 0.5
    py = np.arange(top, bottom, dtype=np.float32)[:, None, None] + 0.5
    dx, dy = x2 - x1, y2 - y1
    along = np.clip(((px - x1) * dx + (py - y1) * dy) / np.maximum(dx * dx + dy * dy, 1e-6), 0, 1)
    squared = (px - x1 - along * dx) ** 2 + (py - y1 - along * dy) ** 2
    cover = [r - np.sqrt(squared[..., radius == r].min(-1)) for r in np.unique(radius)]
    mask = np.clip(0.5 + np.max(cover, 0), 0, 1)
    image = Image.fromarray(np.round(mask * 255).astype(np.uint8))
    box = image.getbbox() or (0, 0, 1, 1)
    return Glyph(image.crop(box), left + box[0], top + box[1])


def _stretch(char: str, face: Face) -> float:
    """Pixels per unit of width; at a fixed pitch, wide letters are narrowed to fit."""
    stretch, width = face.width * face.cap, GLYPHS[char][0]
    if face.pitch and width:
        stretch = min(stretch, (face.pitch - face.weight * face.cap - 1.5) / width)
    return stretch


def ink(text: str, face: Face) -> Ink:
    """The box of all pixels that `text` colors, from the pen on the baseline."""
    pen, boxes = 0, []
    for char in text:
        if char != " ":
            one = glyph(char, face)
            x = pen + one.x
            boxes.append((x, one.y, x + one.mask.width, one.y + one.mask.height))
        pen += face.advance(char)
    xs1, ys1, xs2, ys2 = zip(*boxes, strict=True)
    return min(xs1), min(ys1), max(xs2), max(ys2)


def letter_boxes(text: str, face: Face) -> tuple[Ink, ...]:
    """The ink boxes of the single letters, blanks left out."""
    pen, boxes = 0, []
    for char in text:
        if char != " ":
            one = glyph(char, face)
            boxes.append((pen + one.x, one.y, pen + one.x + one.mask.width, one.y + one.mask.height))
        pen += face.advance(char)
    return tuple(boxes)


def write(image: Image.Image, text: str, at: tuple[int, int], face: Face, color: tuple[int, int, int]) -> None:
    """Draw `text` with its pen on the baseline at `at`, in place."""
    pen, baseline = at
    for char in text:
        if char != " ":
            one = glyph(char, face)
            image.paste(color, (pen + one.x, baseline + one.y), one.mask)
        pen += face.advance(char)
