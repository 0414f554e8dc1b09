"""How a page looks: its colors, faces and manners, drawn at random from what suits its kind."""

import random
from dataclasses import dataclass, replace

from glimpse_core.world.pages.face import Face
from glimpse_core.world.pages.palette import DARK, LIGHT, Palette, varied

SMALLEST, LARGEST = 17, 22  # cap heights of body text in pixels: one to two letters per visual token of 28 pixels
MONO = 0.8  # fixed advance in cap heights

GROTESK = Face(1, 0.125, 1.12, 2.0, tracking=0.27)
SQUARE = Face(1, 0.125, 1.1, 2.6, tracking=0.27)
WIDE = Face(1, 0.125, 1.24, 2.2, tracking=0.28)
SLAB = Face(1, 0.115, 1.12, 2.0, slab=0.11, tracking=0.34)
TYPEWRITER = Face(1, 0.12, 1.06, 2.0, slab=0.11, pitch=1)
CODE = Face(1, 0.13, 1.1, 2.3, pitch=1)
FAMILIES = (GROTESK, SQUARE, WIDE, SLAB, TYPEWRITER, CODE)


@dataclass(frozen=True)
class Style:
    """The looks of one page.

    Args:
        palette: the colors.
        body: face of the table, to be sized with `sized`.
        display: face of the headings, to be sized with `sized`.
        strong: weight of emphasized body text in cap heights.
        capitals: how words are written: ``plain``, ``first`` or ``upper``.
        banner: the page's head: ``band``, ``rule`` or ``center``.
        heads: the column heads: ``band``, ``rule`` or ``plain``.
        rows: between rows: ``rules``, ``stripes``, ``plain``, ``dashes``, ``grid`` or ``tiles``.
        sheet: True for a sheet of paper on a desk, False for a page that fills the image.
        even: True to spread the columns evenly, False to keep all but the naming column to the right.
        leaders: True for dots between a name and what stands to its right.
        snapped: True for rows of the height of one visual token, 28 pixels, that start on the edges of tokens.
        jitter: pixels that a row may be off, as in print.
        colored: True for statuses in traffic light colors.
    """

    palette: Palette
    body: Face
    display: Face
    strong: float
    capitals: str
    banner: str
    heads: str
    rows: str
    sheet: bool
    even: bool
    leaders: bool
    snapped: bool
    jitter: int
    colored: bool


@dataclass(frozen=True)
class Preferences:
    """What suits one kind of page; a value that is named twice comes up twice as often."""

    dark: float
    families: tuple[Face, ...]
    capitals: tuple[str, ...]
    banners: tuple[str, ...]
    rows: tuple[str, ...]
    even: bool
    sheet: float = 0.0
    leaders: float = 0.0


PREFERENCES: dict[str, Preferences] = {
    "departures": Preferences(
        0.6, (GROTESK, SQUARE, WIDE, CODE), ("plain", "plain", "upper"), ("band", "rule"),
        ("rules", "stripes", "tiles", "plain"), True,
    ),
    "menu": Preferences(
        0.3, (GROTESK, SLAB, WIDE, SQUARE), ("first", "first", "upper", "plain"), ("center", "center", "rule", "band"),
        ("plain", "plain", "dashes", "rules"), False, 0.2, 0.6,
    ),
    "receipt": Preferences(
        0.12, (TYPEWRITER, CODE, CODE, GROTESK), ("plain", "first", "upper"), ("center",), ("plain", "plain", "dashes"),
        False, 0.85, 0.15,
    ),
    "timetable": Preferences(
        0.25, (GROTESK, SQUARE, GROTESK), ("plain",), ("band", "rule", "rule"),
        ("rules", "stripes", "grid", "plain"), True,
    ),
    "form": Preferences(
        0.12, (GROTESK, SLAB, SQUARE, TYPEWRITER), ("first", "first", "plain"), ("band", "rule", "center"),
        ("tiles", "rules", "stripes"), False, 0.25,
    ),
    "results": Preferences(
        0.35, (GROTESK, SQUARE, WIDE), ("plain", "plain", "upper"), ("band", "rule", "center"),
        ("stripes", "rules", "grid", "plain"), True,
    ),
}  # fmt: skip


def draw_style(rng: random.Random, kind: str) -> Style:
    """Choose the looks of one page.

    Args:
        rng: source of all choices.
        kind: kind of the page, a key of `PREFERENCES`.
    """
    suited = PREFERENCES[kind]
    palette = varied(rng.choice(DARK if rng.random() < suited.dark else LIGHT), rng)
    body = rng.choice(suited.families)
    body = replace(body, weight=body.weight + rng.choice((-0.01, 0.0, 0.0, 0.02, 0.035)))
    display = replace(rng.choice((GROTESK, SQUARE, WIDE, SLAB)), weight=rng.choice((0.11, 0.15, 0.18)))
    rows = rng.choice(suited.rows)
    return Style(
        palette=palette, body=body, display=display, strong=min(0.2, body.weight + 0.05),
        capitals=rng.choice(suited.capitals), banner=rng.choice(suited.banners),
        heads=rng.choice(("band", "rule", "plain")) if rows != "grid" else "band", rows=rows,
        sheet=rng.random() < suited.sheet, even=suited.even, leaders=rng.random() < suited.leaders,
        snapped=rng.random() < 0.35, jitter=1 if kind == "receipt" and rng.random() < 0.6 else 0,
        colored=rng.random() < 0.7,
    )  # fmt: skip


def sized(face: Face, cap: int, weight: float | None = None) -> Face:
    """A face of the style in one size.

    Args:
        face: proportions, of `FAMILIES` or of a `Style`.
        cap: cap height in pixels.
        weight: thickness of the strokes in cap heights; None keeps the face's.
    """
    pitch = round(MONO * cap) if face.pitch else 0
    return replace(face, cap=cap, pitch=pitch, weight=face.weight if weight is None else weight)


def shown(text: str, capitals: str) -> str:
    """How a style writes `text`: as it is, with a capital first, or in capitals."""
    if capitals == "upper":
        return text.upper()
    return text[:1].upper() + text[1:] if capitals == "first" else text
