"""A page's cells by their place in the table, and how questions are put together from them."""

import random
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property

from glimpse_core.world.pages.content import Column, Content
from glimpse_core.world.pages.page import Cell, Page
from glimpse_core.world.question import Question, Span

Spans = list[tuple[str, list[Cell]]]  # pieces of an answer with the cells each is read from


@dataclass(frozen=True)
class Truth:
    """What stands where on one page."""

    page: Page

    @property
    def content(self) -> Content:
        """The page's content as a table."""
        return self.page.content

    @cached_property
    def at(self) -> dict[tuple[int, int], Cell]:
        """The table's cells by row and column; empty cells are missing."""
        beside = ("head", "section")
        return {(cell.row, cell.column): cell for cell in self.page.cells if cell.row >= 0 and cell.kind not in beside}

    @cached_property
    def sections(self) -> list[tuple[Cell, range]]:
        """The section headings with the rows below each."""
        found = sorted((cell for cell in self.page.cells if cell.kind == "section"), key=lambda cell: cell.row)
        stops = [*(cell.row for cell in found[1:]), self.page.rows]
        return [(cell, range(cell.row, stop)) for cell, stop in zip(found, stops, strict=False)]

    @cached_property
    def facts(self) -> dict[str, tuple[Cell, Cell]]:
        """Label and value cells of the facts and totals by label."""
        cells = self.page.cells
        pairs = zip(cells, cells[1:], strict=False)
        return {a.text: (a, b) for a, b in pairs if a.kind == "label" and b.kind == "fact"}

    @cached_property
    def counts(self) -> list[Counter[str]]:
        """How often each text stands in each column."""
        return [Counter(cell.text for cell in self.column(index)) for index in range(len(self.content.columns))]

    def only(self, kind: str) -> Cell:
        """The one cell of a kind, such as ``title``."""
        return next(cell for cell in self.page.cells if cell.kind == kind)

    def name(self, row: int) -> Cell:
        """The cell that names a row in answers."""
        return self.at[row, self.content.naming]

    def column(self, index: int) -> list[Cell]:
        """The cells of one column from top to bottom, without the empty ones."""
        return [self.at[row, index] for row in range(self.page.rows) if (row, index) in self.at]

    def row(self, index: int) -> list[Cell]:
        """The cells of one row from left to right, without the empty ones."""
        return [self.at[index, column] for column in range(len(self.content.columns)) if (index, column) in self.at]

    def heads(self, index: int) -> list[Cell]:
        """The heads that are needed to find a column, one per block; none where the cells tell it themselves."""
        if not self.content.columns[index].headed:
            return []
        return [cell for cell in self.page.cells if cell.kind == "head" and cell.column == index]

    def head(self, row: int, index: int) -> list[Cell]:
        """The head over one cell, as a list of one; empty where it is not needed."""
        above = [cell for cell in self.heads(index) if cell.row <= row]
        return above[-1:]

    def unique(self, row: int, index: int) -> bool:
        """True if no other cell of the column says the same."""
        cell = self.at.get((row, index))
        return cell is not None and self.counts[index][cell.text] == 1

    def calls(self, row: int, besides: int = -1) -> list[tuple[str, Cell]]:
        """Phrases that name a row, with the cell each goes by. besides: a column that must not be used."""
        return [
            (column.row.format(self.at[row, index].text), self.at[row, index])
            for index, column in enumerate(self.content.columns)
            if column.row and index != besides and self.unique(row, index)
        ]


def named(truth: Truth, row: int, found_by: Sequence[Cell] = ()) -> Spans:
    """The answer that names a row, ``It goes to Larkhaven.``"""
    return answered(truth.content.columns[truth.content.naming], truth.name(row), found_by)


def answered(column: Column | str, cell: Cell, found_by: Sequence[Cell] = ()) -> Spans:
    """The answer that one cell gives, ``It costs 4.50.``: read from the cell, found by the others."""
    says = column if isinstance(column, str) else column.says
    before, after = says.split("{}")
    return [(before, []), (cell.text, [cell, *found_by]), (after, [])]


def listing(cells: Sequence[Cell], lead: str = "I see ", first: Sequence[Cell] = ()) -> Spans:
    """``I see a, b, c.``: every item is read from its own cell. first: cells that the first item is found by."""
    spans: Spans = [(lead, [])]
    for index, cell in enumerate(cells):
        spans.append(((", " if index else "") + cell.text, [cell] if index else [cell, *first]))
    return [*spans, (".", [])]


def ask(kind: str, texts: Sequence[str], spans: Spans, rng: random.Random) -> Question:
    """Build a question; its wording is drawn from `texts`, its evidence is the cells of all spans.

    A span's boxes begin with the cell that its text is read from; the cells that one was found by follow.
    """
    made = tuple(Span(text, tuple(cell.box for cell in cells)) for text, cells in spans)
    boxes = tuple(dict.fromkeys(box for span in made for box in span.boxes))
    return Question(rng.choice(texts), made, kind, boxes, len(boxes))
