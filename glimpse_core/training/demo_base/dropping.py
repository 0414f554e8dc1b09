"""Which visual tokens a training question loses after layer K, as a predictor would drop them.

P visual tokens of an image. Mostly all questions of an image lose tokens, so that the tokens that none of them keeps
need not be computed any further.
"""

import math
import random
from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from glimpse_core.glimpse.boxes import box_tokens
from glimpse_core.types import Box, Grid

Boxes = tuple[Box, ...]
MODES = {"all": 0.5, "some": 0.2, "none": 0.3}  # share of the batches in which all, half or no questions lose tokens
STRAY = (0.0, 0.0, 0.02, 0.1)  # shares of tokens that are kept at random
MISSED = 0.15  # share of the evidence that half of these lose, too
MISTAKEN = 0.5  # share of these questions that keep whole things which are no evidence
CLOSE = 6  # number of things next to the evidence that are most often mistaken for it


def draw_mode(rng: random.Random) -> str:
    """Draw one of `MODES` for a batch."""
    return rng.choices(list(MODES), list(MODES.values()))[0]


def strays(grid: Grid, rng: random.Random) -> NDArray[np.bool_]:
    """Draw (P,) bool: a random few tokens that a predictor might keep as well, mostly none."""
    chance = np.random.default_rng(rng.getrandbits(32))
    return chance.random(grid.tokens) < rng.choice(STRAY)


def mistaken(boxes: Boxes, things: Sequence[Box], rng: random.Random) -> list[Box]:
    """Draw things that a predictor might keep as well: mostly none, else up to three, often close to the first box.

    Without them a model learns that whatever is left whole is the answer, and no longer decides for itself.
    """
    if not things or rng.random() >= MISTAKEN:
        return []
    if boxes and rng.random() < 0.5:
        x, y = _middle(boxes[0])
        things = sorted(things, key=lambda box: math.dist(_middle(box), (x, y)))[:CLOSE]
    return rng.sample(things, min(len(things), rng.randint(1, 3)))


def _middle(box: Box) -> tuple[float, float]:
    return (box[0] + box[2]) / 2, (box[1] + box[3]) / 2


def dropping(
    boxes: Boxes,
    letters: NDArray[np.bool_],
    grid: Grid,
    rng: random.Random,
    things: Sequence[Box] = (),
    mode: str = "some",
    stray: NDArray[np.bool_] | None = None,
) -> NDArray[np.bool_]:
    """Draw the tokens that a question loses: all but those under its boxes and a random few.

    Half of these times some of the evidence is lost, too, as a predictor loses it; never a letter.

    Args:
        boxes: evidence, normalized.
        letters: (P,) bool, where a character lies.
        grid: of the image.
        rng: draws everything.
        things: boxes that may be `mistaken` for evidence.
        mode: of `MODES`; ``some`` loses nothing half of the time.
        stray: (P,) bool, tokens to keep whatever they show; None draws them.

    Returns:
        (P,) bool, True at tokens to lose.
    """
    if mode == "none" or (mode == "some" and rng.random() < 0.5):
        return np.zeros(grid.tokens, bool)
    chance = np.random.default_rng(rng.getrandbits(32))
    evidence = np.zeros(grid.tokens, bool)
    evidence[box_tokens(boxes, grid)] = True
    evidence &= letters | (chance.random(grid.tokens) >= rng.choice((0.0, MISSED)))
    for box in mistaken(boxes, things, rng):
        evidence[box_tokens((box,), grid)] = True
    kept = evidence | (strays(grid, rng) if stray is None else stray)
    if not kept.any():
        kept[rng.randrange(len(kept))] = True  # a pruner keeps at least one
    return ~kept
