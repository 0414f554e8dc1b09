"""What a page is drawn from: filled boxes, lines, discs, icons and texts, and how they are painted.

A design is a list of marks in painting order; all coordinates are pixels. Every text carries what it says, of which
kind it is and where in the table it stands, so the truth of a page is read off its marks. This file knows nothing of
tables or questions.
"""

import functools
from collections.abc import Iterable
from dataclasses import dataclass

import numpy as np
from PIL import Image

from glimpse_core.world.pages.face import Face, Ink, glyph, ink, letter_boxes, write
from glimpse_core.world.pages.palette import Color

GRAIN = 5  # levels that the paper's brightness varies by
TEXTURE = 1200  # pixels: side of the grain texture; no page is larger


@dataclass(frozen=True)
class Fill:
    """A box in one color with round corners of `radius`, and an edge of `edge` pixels in `line` where that is set."""

    box: Ink
    color: Color
    radius: int = 0
    line: Color | None = None
    edge: int = 2

    def paint(self, image: Image.Image) -> None:
        """Draw this box on `image`, in place."""
        box, radius = self.box, self.radius
        if self.line is not None:
            _round_box(image, box, self.line, radius)
            box = (box[0] + self.edge, box[1] + self.edge, box[2] - self.edge, box[3] - self.edge)
            radius = max(0, radius - self.edge)
        _round_box(image, box, self.color, radius)


@dataclass(frozen=True)
class Line:
    """A straight horizontal or vertical line, whole or in dashes of `dash` pixels with gaps as long."""

    start: tuple[int, int]
    stop: tuple[int, int]
    color: Color
    width: int = 1
    dash: int = 0

    def paint(self, image: Image.Image) -> None:
        """Draw this line on `image`, in place; it grows to the right of and below its points."""
        (x1, y1), (x2, y2) = self.start, self.stop
        across = x2 - x1 >= y2 - y1
        first, last = (x1, x2) if across else (y1, y2)
        step, length = (2 * self.dash, self.dash) if self.dash else (max(1, last - first), last - first)
        for begin in range(first, last, step):
            end = min(last, begin + length)
            box = (begin, y1, end, y1 + self.width) if across else (x1, begin, x1 + self.width, end)
            image.paste(self.color, box)


@dataclass(frozen=True)
class Disc:
    """A filled circle around (x, y); with `ring` above 0 only its outer `ring` pixels."""

    x: int
    y: int
    radius: int
    color: Color
    ring: int = 0

    def paint(self, image: Image.Image) -> None:
        """Draw this circle on `image`, in place."""
        image.paste(self.color, (self.x - self.radius, self.y - self.radius), _disc(self.radius, self.ring))


@dataclass(frozen=True)
class Icon:
    """One of the drawings of `glyphs.ICONS` on the baseline, its left edge at x."""

    name: str
    x: int
    y: int
    face: Face
    color: Color

    def paint(self, image: Image.Image) -> None:
        """Draw this icon on `image`, in place."""
        one = glyph(self.name, self.face)
        image.paste(self.color, (self.x + one.x, self.y + one.y), one.mask)


@dataclass(frozen=True)
class Text:
    """Words with their pen on the baseline at (x, y).

    Args:
        says: what the words mean to a reader who is asked; the answer to a question.
        x: pen position in pixels.
        y: baseline in pixels.
        face: letters to draw with.
        color: color of the letters.
        kind: what the text is: ``time``, ``price``, ``title``, ...
        row: row of the table from 0; of a heading, the row that follows; -1 outside of the table.
        column: column of the table from 0; -1 outside of the table.
        shown: the letters to draw where they differ from `says`, as capitals do.
    """

    says: str
    x: int
    y: int
    face: Face
    color: Color
    kind: str = ""
    row: int = -1
    column: int = -1
    shown: str = ""

    @property
    def letters(self) -> str:
        """The letters as drawn."""
        return self.shown or self.says

    @property
    def box(self) -> Ink:
        """The box in pixels of all that this text colors."""
        return _moved(ink(self.letters, self.face), self.x, self.y)

    @property
    def letter_boxes(self) -> tuple[Ink, ...]:
        """The boxes in pixels of the single letters, blanks left out."""
        return tuple(_moved(box, self.x, self.y) for box in letter_boxes(self.letters, self.face))

    def paint(self, image: Image.Image) -> None:
        """Draw this text on `image`, in place."""
        write(image, self.letters, (self.x, self.y), self.face, self.color)


Mark = Fill | Line | Disc | Icon | Text


def paint(width: int, height: int, ground: Color, marks: Iterable[Mark], grain: int = 0) -> Image.Image:
    """Draw marks on paper.

    Args:
        width: pixels.
        height: pixels.
        ground: color of the paper.
        marks: what to draw, in painting order.
        grain: which part of the grain texture the paper shows; 0 or more.

    Returns:
        An RGB image of `width` x `height` pixels.
    """
    left, top = grain % (TEXTURE - width + 1), (grain // 7) % (TEXTURE - height + 1)
    noise = _texture().crop((left, top, left + width, top + height))
    image = Image.merge("RGB", [noise.point(_tone(level)) for level in ground])
    for mark in marks:
        mark.paint(image)
    return image


def _moved(box: Ink, x: int, y: int) -> Ink:
    return box[0] + x, box[1] + y, box[2] + x, box[3] + y


@functools.cache
def _texture() -> Image.Image:
    noise = np.random.default_rng(0).normal(GRAIN, GRAIN / 2.5, (TEXTURE, TEXTURE))
    return Image.fromarray(np.clip(np.round(noise), 0, 2 * GRAIN).astype(np.uint8))


@functools.cache
def _tone(level: int) -> tuple[int, ...]:
    """From a grain value to a color level."""
    return tuple(min(255, max(0, level + value - GRAIN)) for value in range(256))


@functools.lru_cache(maxsize=256)
def _disc(radius: int, ring: int) -> Image.Image:
    """An 8-bit mask of 2 x `radius` pixels a side with a smooth circle."""
    offset = np.arange(-radius, radius) + 0.5
    distance = np.hypot(offset[:, None], offset[None, :])
    cover = np.clip(radius - distance, 0, 1)
    if ring:
        cover -= np.clip(radius - ring - distance, 0, 1)
    return Image.fromarray(np.round(cover * 255).astype(np.uint8))


def _round_box(image: Image.Image, box: Ink, color: Color, radius: int) -> None:
    x1, y1, x2, y2 = box
    radius = min(radius, (x2 - x1) // 2, (y2 - y1) // 2)
    if radius > 0:
        for x in (x1, x2 - 2 * radius):
            for y in (y1, y2 - 2 * radius):
                image.paste(color, (x, y), _disc(radius, 0))
    image.paste(color, (x1 + radius, y1, x2 - radius, y2))
    image.paste(color, (x1, y1 + radius, x2, y2 - radius))
