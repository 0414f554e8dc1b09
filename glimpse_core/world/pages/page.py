"""Pages with ground truth: a pure function from a seed to a picture of a page and all that is written on it.

Everything random comes from one ``random.Random(seed)``; the letters are our own, so the same seed gives the same
pixels on every machine with the same Pillow and NumPy. This file knows nothing of questions.
"""

import random
from dataclasses import dataclass

from PIL import Image

from glimpse_core.types import Box
from glimpse_core.world.pages.content import Content
from glimpse_core.world.pages.kinds import KINDS
from glimpse_core.world.pages.layout.compose import TOKEN, Design, compose
from glimpse_core.world.pages.marks import Text, paint

MIN_TOKENS, MAX_TOKENS = 700, 1500  # visual tokens of a page
SHORTEST, LONGEST = 20, 40  # visual tokens along a side: 560 to 1,120 pixels
UPRIGHT = {"receipt": 0.7, "menu": 0.6, "form": 0.6}  # how often a kind is taller than wide; others half the time
LOWEST = {"receipt": 28, "menu": 26, "form": 26}  # visual tokens from top to bottom that 8 rows need; 23 elsewhere


@dataclass(frozen=True)
class Cell:
    """One piece of text on a page. All boxes are normalized x1, y1, x2, y2 in 0..1 and hold all colored pixels.

    Args:
        text: what it says; the text of answers. A ticked box says ``yes``, an empty one ``no``, a dash ``-``.
        kind: ``time``, ``place``, ``price``, ...; beside the table ``heading``, ``title``, ``section``, ``head`` (of a
            column), ``label`` (of a fact or a form's field), ``fact`` or ``note``.
        row: row of the table from 0; of a section or column head, the row that follows it; -1 elsewhere.
        column: column of the table from 0; -1 outside of it.
        box: the whole text.
        shown: the letters as drawn, which differ from `text` in capitals and in signs.
        letters: the boxes of the single letters of `shown`, blanks left out.
    """

    text: str
    kind: str
    row: int
    column: int
    box: Box
    shown: str
    letters: tuple[Box, ...]


@dataclass(frozen=True)
class Page:
    """A picture of a page and its truth.

    Args:
        seed: number of the page.
        image: RGB, sides multiples of 28 pixels unless another size was asked for.
        cells: all that is written, from top to bottom of a block, one block after the other.
        content: the same as a table, with how its columns are asked for.
        palette: name of the color scheme.
        dark: True for light text on a dark ground.
    """

    seed: int
    image: Image.Image
    cells: tuple[Cell, ...]
    content: Content
    palette: str
    dark: bool

    @property
    def kind(self) -> str:
        """Kind of the page, one of `PAGE_KINDS`."""
        return self.content.kind

    @property
    def width(self) -> int:
        """Width in pixels."""
        return self.image.width

    @property
    def height(self) -> int:
        """Height in pixels."""
        return self.image.height

    @property
    def rows(self) -> int:
        """Number of rows of the table."""
        return len(self.content.rows)


PAGE_KINDS: tuple[str, ...] = tuple(KINDS)


def design(seed: int, *, size: tuple[int, int] | None = None, kind: str | None = None) -> tuple[Design, int, int, int]:
    """Lay out page number `seed` without painting it.

    Args:
        seed: number of the page.
        size: width and height in pixels; None draws one that gives 700 to 1,500 visual tokens.
        kind: one of `PAGE_KINDS`; None draws one.

    Returns:
        The design, width and height in pixels, and the number of the paper's grain, as `paint` takes them.

    Raises:
        ValueError: `kind` is unknown, or the page is too narrow.
    """
    if kind is not None and kind not in KINDS:
        raise ValueError(f"kind of page {kind!r}; expected one of {', '.join(KINDS)}")
    rng = random.Random(f"glimpse-page-{seed}")
    drawn = rng.choice(PAGE_KINDS)
    kind = kind or drawn
    width, height = size or _size(rng, UPRIGHT.get(kind, 0.5), LOWEST.get(kind, 23))
    grain = rng.getrandbits(20)
    return compose(rng, kind, width, height), width, height, grain


def page(seed: int, *, size: tuple[int, int] | None = None, kind: str | None = None) -> Page:
    """Draw page number `seed`.

    A training curriculum sets `size` and `kind`; with the defaults a seed names one page for good.

    Args:
        seed: number of the page; those from `HELD_OUT` on are never trained on or tuned to.
        size: width and height in pixels, at least 504 each; None draws one that gives 700 to 1,500 visual tokens.
        kind: one of `PAGE_KINDS`; None draws one.

    Raises:
        ValueError: `kind` is unknown, or the page is too narrow.
    """
    plan, width, height, grain = design(seed, size=size, kind=kind)
    cells = tuple(_cell(mark, width, height) for mark in plan.marks if isinstance(mark, Text))
    image = paint(width, height, plan.ground, plan.marks, grain)
    palette = plan.style.palette
    return Page(seed, image, cells, plan.content, palette.name, palette.dark)


def _cell(mark: Text, width: int, height: int) -> Cell:
    def normalized(box: tuple[int, int, int, int]) -> Box:
        return box[0] / width, box[1] / height, box[2] / width, box[3] / height

    letters = tuple(map(normalized, mark.letter_boxes))
    return Cell(mark.says, mark.kind, mark.row, mark.column, normalized(mark.box), mark.letters, letters)


def _size(rng: random.Random, upright: float, lowest: int) -> tuple[int, int]:
    """Draw width and height in pixels; every number of visual tokens comes up about equally often."""
    while True:
        tokens, aspect = rng.uniform(MIN_TOKENS, MAX_TOKENS), rng.uniform(1.0, 1.7)
        longer, shorter = round((tokens * aspect) ** 0.5), round((tokens / aspect) ** 0.5)
        fits = SHORTEST <= shorter <= longer <= LONGEST and MIN_TOKENS <= longer * shorter <= MAX_TOKENS
        if fits and longer >= lowest:
            tall = shorter < lowest or rng.random() < upright
            columns, rows = (shorter, longer) if tall else (longer, shorter)
            return columns * TOKEN, rows * TOKEN
