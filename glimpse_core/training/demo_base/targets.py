"""What lies under every visual token of an image, for the dense losses: things, characters, words, places.

P visual tokens (28 px each) in raster order.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from tokenizers import Tokenizer

from glimpse_core.types import Box
from glimpse_core.world import Cell, Page, Scene
from glimpse_core.world.vocabulary import COLORS, KINDS

TOKEN = 28  # pixels per visual token
CHARACTERS = (
    "ABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789.,:-–+/()!?'%#&*×=$€·→☐☑☒"  # class 1 and on; small letters as capitals
)
LONGEST = 15  # characters of a cell that are told apart by their place
FIELDS = ("kind", "color", "first", "second", "order", "first_word", "second_word")
KIND, COLOR, FIRST, SECOND, ORDER, FIRST_WORD, SECOND_WORD = range(len(FIELDS))


@dataclass(frozen=True)
class Dense:
    """Dense targets of one image.

    Args:
        classes: (P, 7) one column per entry of `FIELDS`, 0 for nothing: kind, color, first and second character under
            the token, place of the first one in its label or cell, and the text tokens that both belong to.
        centers: (P, 2) x, y of the thing or cell under the token (else of the token), in visual tokens.
    """

    classes: NDArray[np.int64]
    centers: NDArray[np.float32]

    @property
    def letters(self) -> NDArray[np.bool_]:
        """(P,) where a character lies."""
        return self.classes[:, FIRST] > 0


def tokens_in(boxes: Sequence[Box], rows: int, columns: int) -> NDArray[np.bool_]:
    """Return (rows * columns,) bool: tokens with their center in a normalized box, or the nearest one if none has."""
    mask = np.zeros((rows, columns), bool)
    for x1, y1, x2, y2 in boxes:
        left, right = int(np.ceil(x1 * columns - 0.5)), int(np.floor(x2 * columns - 0.5))
        top, bottom = int(np.ceil(y1 * rows - 0.5)), int(np.floor(y2 * rows - 0.5))
        if left > right:
            left = right = int((x1 + x2) / 2 * columns)
        if top > bottom:
            top = bottom = int((y1 + y2) / 2 * rows)
        mask[max(top, 0) : bottom + 1, max(left, 0) : right + 1] = True
    return mask.reshape(-1)


def _empty(rows: int, columns: int) -> tuple[NDArray[np.int64], NDArray[np.float32]]:
    y, x = np.mgrid[0:rows, 0:columns] + 0.5
    return np.zeros((rows, columns, len(FIELDS)), np.int64), np.stack([x, y], -1).astype(np.float32)


def scene_targets(scene: Scene, tokenizer: Tokenizer) -> Dense:
    """Return the dense targets of a scene. Each letter of a label has the tokens of its block."""
    rows, columns = scene.height // TOKEN, scene.width // TOKEN
    classes, centers = _empty(rows, columns)
    kinds, colors = list(KINDS), list(COLORS)
    for thing in scene.things:
        kind, color = 1 + kinds.index(thing.kind), 1 + colors.index(thing.color)
        parts = [(thing.body, 0, 0, 0)]
        parts += [
            (box, 1 + CHARACTERS.index(letter), place, tokenizer.token_to_id(letter) or 0)
            for place, (letter, box) in enumerate(zip(thing.label, thing.letter_boxes, strict=True), 1)
        ]
        for box, letter, place, word in parts:
            inside = tokens_in((scene.normalized(box),), rows, columns).reshape(rows, columns)
            classes[inside] = (kind, color, letter, 0, place, word, 0)
            centers[inside] = (thing.center[0] / TOKEN, thing.center[1] / TOKEN)
    return Dense(classes.reshape(-1, len(FIELDS)), centers.reshape(-1, 2))


def page_targets(page: Page, tokenizer: Tokenizer) -> Dense:
    """Return the dense targets of a page: up to two characters whose middles lie in a token, from left to right."""
    rows, columns = page.height // TOKEN, page.width // TOKEN
    classes, centers = _empty(rows, columns)
    for cell in page.cells:
        words = word_of_letter(cell, tokenizer)
        x1, y1, x2, y2 = cell.box
        shown, row = cell.shown.replace(" ", ""), min(int((y1 + y2) / 2 * rows), rows - 1)  # one row for a whole line
        for place, (letter, box, word) in enumerate(zip(shown, cell.letters, words, strict=True), 1):
            at = classes[row, min(int((box[0] + box[2]) / 2 * columns), columns - 1)]
            one = 1 + CHARACTERS.index(letter.upper())
            if not at[FIRST]:
                at[[FIRST, ORDER, FIRST_WORD]] = one, min(place, LONGEST), word
            elif not at[SECOND]:
                at[[SECOND, SECOND_WORD]] = one, word
        inside = tokens_in((cell.box,), rows, columns).reshape(rows, columns)
        centers[inside] = ((x1 + x2) / 2 * columns, (y1 + y2) / 2 * rows)
    return Dense(classes.reshape(-1, len(FIELDS)), centers.reshape(-1, 2))


def word_of_letter(cell: Cell, tokenizer: Tokenizer) -> list[int]:
    """Return the text token that each letter of a cell belongs to in an answer, blanks left out.

    A box that is drawn for ``yes`` and a dash belong to the first token of their text.
    """
    encoded = tokenizer.encode(f" {cell.text}", add_special_tokens=False)
    found = [0] * (len(cell.text) + 1)
    for word, (start, stop) in zip(encoded.ids, encoded.offsets, strict=True):
        found[start:stop] = [word] * (stop - start)
    words = [word for word, letter in zip(found[1:], cell.text, strict=True) if letter != " "]
    return words if len(words) == len(cell.letters) else [words[0]] * len(cell.letters)
