"""The paper of a page: where it lies, how wide its margins are, and what marks it."""

import random
from dataclasses import dataclass

from glimpse_core.world.pages.face import Ink
from glimpse_core.world.pages.layout.style import Style
from glimpse_core.world.pages.marks import Disc, Fill, Line, Mark
from glimpse_core.world.pages.palette import Color, mix

CUP = 0.3  # how often a sheet on a desk shows the ring of a cup
NARROWEST = 560  # pixels: a sheet on a desk is at least so wide where the image is


@dataclass(frozen=True)
class Sheet:
    """The paper: ``outer`` is its edge and ``inner`` the type area, both in pixels."""

    outer: Ink
    inner: Ink

    @property
    def width(self) -> int:
        """Width of the type area in pixels."""
        return self.inner[2] - self.inner[0]


def sheet_of(style: Style, kind: str, width: int, height: int, rng: random.Random) -> Sheet:
    """Choose where the paper lies and how wide its margins are.

    Args:
        style: looks of the page.
        kind: kind of the page.
        width: pixels of the image.
        height: pixels of the image.
        rng: source of all choices.
    """
    outer = (0, 0, width, height)
    if style.sheet:
        share = rng.uniform(0.66, 0.92) if kind == "receipt" else 0.93
        wide = min(width - 24, max(round(width * share), NARROWEST))
        left, top = (width - wide) // 2 + rng.randint(-10, 10), rng.randint(14, 26)
        outer = (left, top, left + wide, height - rng.randint(14, 26))
    across = outer[2] - outer[0]
    margin = max(18, round(across * rng.uniform(0.045, 0.07)))
    foot = max(16, round(margin * 0.7))
    return Sheet(outer, (outer[0] + margin, outer[1] + margin, outer[2] - margin, outer[3] - foot))


def paper(style: Style, kind: str, sheet: Sheet, rng: random.Random) -> list[Mark]:
    """The sheet with its shadow and its edges, a menu's frame, and now and then the ring that a cup left."""
    x1, y1, x2, y2 = sheet.outer
    colors, marks = style.palette, list[Mark]()
    if style.sheet:
        for step in range(4, 0, -1):
            shade = mix(colors.desk, (0, 0, 0), 0.04 * (5 - step))
            marks.append(Fill((x1 - step + 2, y1 - step + 5, x2 + step + 2, y2 + step + 3), shade, 6))
        marks.append(Fill(sheet.outer, colors.paper, 0 if kind == "receipt" else 4))
    if style.sheet and kind == "receipt":
        marks += [Disc(x, y, 5, colors.desk) for y in (y1, y2) for x in range(x1 + 8, x2 - 4, 16)]
    elif kind == "menu" and style.banner == "center":
        inset = min(14, (sheet.inner[0] - x1) // 2)
        frame = (x1 + inset, y1 + inset, x2 - inset, y2 - inset)
        marks += _outline(frame, colors.accent, 2) + _outline(_shrunk(frame, 6), colors.rule, 1)
    if style.sheet and rng.random() < CUP:
        radius = rng.randint(44, 84)
        x, y = rng.randint(x1 + radius, x2 - radius), rng.randint(y1 + radius, y2 - radius)
        stain = mix(colors.paper, (150, 98, 58), 0.16)
        marks += [Disc(x, y, radius, stain, 5), Disc(x + 2, y + 1, radius - 7, mix(colors.paper, stain, 0.5), 2)]
    return marks


def _outline(box: Ink, color: Color, width: int) -> list[Mark]:
    x1, y1, x2, y2 = box
    return [
        Line((x1, y1), (x2, y1), color, width),
        Line((x1, y2 - width), (x2, y2 - width), color, width),
        Line((x1, y1), (x1, y2), color, width),
        Line((x2 - width, y1), (x2 - width, y2), color, width),
    ]


def _shrunk(box: Ink, by: int) -> Ink:
    return box[0] + by, box[1] + by, box[2] - by, box[3] - by
