"""Where the model is supervised to look for each token of a question and of its answer."""

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
from tokenizers import Encoding

from glimpse_core.types import Box
from glimpse_core.world import Cell, Page, Question
from glimpse_core.world.pages import PAGE_TYPES

Boxes = tuple[Box, ...]
Look = tuple[Boxes, Boxes]  # boxes of the early attention and of the later one
LISTS = ("row", "column", "table", "tally")  # types of questions about pages whose answers go from cell to cell


@dataclass(frozen=True)
class Finder:
    """What tells where a question's words and an answer's tokens are read.

    Args:
        named: boxes of things or cells by the word or text that names them in a question.
        cells: cells of a page by their box; empty for a scene.
    """

    named: Mapping[str, Box]
    cells: Mapping[Box, Cell]


def page_finder(page: Page) -> Finder:
    """Return the finder of a page; what a question names is found among its own evidence."""
    return Finder({}, {cell.box: cell for cell in page.cells})


def corner(rows: int, columns: int) -> Box:
    """Return the box of the last visual token, from which the size of the image can be read."""
    return ((columns - 1) / columns, (rows - 1) / rows, 1.0, 1.0)


def question_looks(question: Question, text: str, encoded: Encoding, finder: Finder, last: Box) -> list[Boxes]:
    """Return the boxes that each token of a question attends to in an early layer.

    The last token of a name attends to the thing or the cell that it names; ``half`` to the image's last token, since
    the middle follows from where the image ends.

    Args:
        question: the question.
        text: its wording.
        encoded: the wording's tokens.
        finder: of the image.
        last: box of the image's last visual token.
    """
    looks: list[Boxes] = [()] * len(encoded.ids)
    places = {stop: place for place, (_, stop) in enumerate(encoded.offsets)}
    names = dict(finder.named)
    if finder.cells:
        names = {finder.cells[box].text: box for box in question.boxes if box in finder.cells}
    if question.type == "half":
        names["half"] = last
    lower = text.lower()
    for name, box in names.items():
        start = lower.rfind(name.lower())
        stop = start + len(name)
        whole = start == 0 or (start > 0 and not lower[start - 1].isalnum())
        if whole and stop in places:
            looks[places[stop]] = (box,)
    return looks


def answer_looks(question: Question, encoded: Encoding, finder: Finder) -> list[Look]:
    """Return the boxes that each token of an answer is found by and read from."""
    spans, looks = question.spans, list[Look]()
    ends = np.cumsum([len(span.text) for span in spans])
    for start, stop in encoded.offsets:  # a token belongs to the span it ends in
        index = int(np.searchsorted(ends, stop))
        begin = int(ends[index]) - len(spans[index].text)
        if question.type in PAGE_TYPES and finder.cells:
            looks.append(_page_look(question, index, (start - begin, stop - begin), finder))
        else:
            looks.append(_scene_look(question, index))
    return looks


def _scene_look(question: Question, index: int) -> Look:
    """Return where writing span `index` attends, early and later.

    To name the next thing of a list, the last one named is found first; to name the nearest, the one asked about; two
    places are compared one after the other.
    """
    boxes = question.spans[index].boxes
    if question.type in ("scene", "half", "count"):
        return (question.spans[index - 1].boxes if index and boxes else ()), boxes
    if question.type == "nearest":
        return boxes[1:], boxes[:1]
    if question.type == "relation":
        return boxes[:1], boxes[1:]
    return boxes, boxes


def _page_look(question: Question, index: int, token: tuple[int, int], finder: Finder) -> Look:
    """Return where one token of span `index` is found and read. token: its characters, counted from the span's begin.

    A token of a cell is read from its own letters. The first one is found by the cell that names the row, in a list by
    the cell before; the others by the cell itself.
    """
    span = question.spans[index]
    if not span.boxes:
        return (), ()
    cell = finder.cells[span.boxes[0]]
    place = span.text.find(cell.text)
    if place < 0 or token[1] <= place or token[0] >= place + len(cell.text):
        return (), span.boxes  # such as a count, which follows from many cells
    first, last = max(token[0] - place, 0), token[1] - place
    before, through = (len(cell.text[:end].replace(" ", "")) for end in (first, last))
    as_written = len(cell.text.replace(" ", "")) == len(cell.letters)  # not so for a box that is ticked
    letters = cell.letters[before:through] if as_written else cell.letters
    read = ((letters[0][0], cell.box[1], letters[-1][2], cell.box[3]),) if letters else (cell.box,)
    if token[0] > place:
        return (cell.box,), read
    if question.type in LISTS:
        earlier = [one.boxes[0] for one in question.spans[:index] if one.boxes]
        return (earlier[-1:] and (earlier[-1],)) or (cell.box,), read
    return (span.boxes[1:2] or (cell.box,)), read
