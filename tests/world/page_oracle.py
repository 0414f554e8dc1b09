"""Answers questions about a page from a few of its cells, by other and slower code than the one that made them.

The oracle parses the question's text and looks for what it needs among the cells that it is shown. It knows the page's
layout (how many rows there are, which cells are empty, where blocks and sections begin), but the text of a cell only if
that cell is shown, and the column of a number only if the head over it is shown as well. It raises `Missing` as soon as
it would have to guess.
"""

import re
from collections.abc import Iterable
from decimal import Decimal

from glimpse_core.world import Cell, Page

PLACES = ["first", "second", "third", "fourth", "fifth", "sixth"]
COUNTS = ["zero", "one", "two", "three", "four", "five", "six"]
SORTS = {
    "departure board": r"Departures|Next \w+",
    "menu": "Menu",
    "price list": "Price list",
    "receipt": "Receipt",
    "timetable": r"Timetable|\w+ times",
    "table of results": "Results|Final table",
}


class Missing(Exception):
    """What is shown does not answer the question."""


def parse(template: str, text: str) -> re.Match[str] | None:
    """Match a text against a template; ``{}`` and ``{name}`` stand for anything."""
    pattern = re.escape(template)
    pattern = re.sub(r"\\\{(\w+)\\\}", r"(?P<\1>.+)", pattern).replace(r"\{\}", "(.+)")
    return re.fullmatch(pattern, text)


class Oracle:
    """One page, of which some cells are shown."""

    def __init__(self, page: Page, shown: Iterable[Cell]) -> None:
        self.shown = list(shown)
        self.columns, self.naming, self.content = page.content.columns, page.content.naming, page.content
        self.rows = page.rows
        beside = ("head", "section")
        self.filled = {(cell.row, cell.column) for cell in page.cells if cell.column >= 0 and cell.kind not in beside}
        self.blocks = sorted({cell.row for cell in page.cells if cell.kind == "head"})
        self.fulfilled = (0, 0)  # by how many rows each condition of the last question was
        self.starts = sorted(cell.row for cell in page.cells if cell.kind == "section")

    def answer(self, kind: str, text: str) -> str:
        """The answer to a question of a type."""
        found: str = getattr(self, f"_{kind}")(text)
        return found

    # What is shown

    def of_kind(self, kind: str) -> list[Cell]:
        return [cell for cell in self.shown if cell.kind == kind]

    def only(self, cells: list[Cell]) -> Cell:
        if len(cells) != 1:
            raise Missing(f"{len(cells)} cells instead of one")
        return cells[0]

    def at(self, row: int, column: int) -> Cell:
        """The cell at a place that the question itself tells."""
        return self.only([c for c in self.shown if (c.row, c.column) == (row, column) and c.kind != "head"])

    def in_column(self, index: int) -> list[Cell]:
        """The cells of a column that can be told to be in it."""
        column = self.columns[index]
        cells = [cell for cell in self.of_kind(column.kind) if cell.row >= 0]
        if not column.headed:
            return cells
        over = {head.row: head.column for head in self.of_kind("head") if head.text == column.head}
        return [cell for cell in cells if over.get(max(b for b in self.blocks if b <= cell.row)) == cell.column]

    def cell(self, row: int, index: int) -> Cell:
        return self.only([cell for cell in self.in_column(index) if cell.row == row])

    def name(self, row: int) -> Cell:
        return self.cell(row, self.naming)

    def whole(self, index: int) -> list[Cell]:
        """A column, if all of it is shown."""
        cells = sorted(self.in_column(index), key=lambda cell: cell.row)
        if [cell.row for cell in cells] != sorted(row for row, column in self.filled if column == index):
            raise Missing(f"some of column {index}")
        return cells

    def row_of(self, phrase: str) -> int:
        """The row that a phrase names."""
        rows = set()
        for index, column in enumerate(self.columns):
            found = parse(column.row, phrase) if column.row else None
            if found:
                rows |= {cell.row for cell in self.in_column(index) if cell.text == found[1]}
        if len(rows) != 1:
            raise Missing(f"{phrase} is in rows {rows}")
        return rows.pop()

    def section(self, name: str) -> range:
        """The rows under a heading."""
        head = self.only([cell for cell in self.of_kind("section") if cell.text == name])
        return range(head.row, min((row for row in self.starts if row > head.row), default=self.rows))

    def names_row(self, row: int) -> str:
        return self.columns[self.naming].says.replace("{}", self.name(row).text)

    # One cell

    def _lookup(self, text: str) -> str:
        for fact in (*self.content.facts, *self.content.totals):
            if text in fact.asks:
                self.only([cell for cell in self.of_kind("label") if cell.text == fact.label and cell.row < 0])
                labels = [cell for cell in self.of_kind("label") if cell.text == fact.label]
                y = sum(labels[0].box[1::2]) / 2
                values = self.of_kind("fact")
                if not values:
                    raise Missing("no value")
                level = [cell for cell in values if cell.box[1] < y < cell.box[3] and cell.box[0] > labels[0].box[0]]
                return fact.says.replace("{}", min(level, key=lambda cell: cell.box[0]).text)
        return self._cross(text)

    def _cross(self, text: str) -> str:
        for index, column in enumerate(self.columns):
            for template in column.asks:
                found = parse(template, text)
                if found:
                    return column.says.replace("{}", self.cell(self.row_of(found["row"]), index).text)
        raise AssertionError(f"question not understood: {text}")

    def fulfilling(self, conditions: str) -> set[int]:
        """The rows shown to fulfill ``<one> and <other>``."""
        for one, other in [(conditions[: m.start()], conditions[m.end() :]) for m in re.finditer(" and ", conditions)]:
            sets = [self.rows_where(one), self.rows_where(other)]
            if sets[0] is not None and sets[1] is not None:
                self.fulfilled = len(sets[0]), len(sets[1])
                return sets[0] & sets[1]
        raise AssertionError(f"conditions not understood: {conditions}")

    def rows_where(self, condition: str) -> set[int] | None:
        found = parse("is listed under {}", condition)
        if found:
            return set(self.section(found[1]))
        for index, column in enumerate(self.columns):
            found = parse(column.one, condition) if column.one else None
            if found and not (column.values and found[1] not in column.values):
                return {cell.row for cell in self.in_column(index) if cell.text == found[1]}
        return None

    def _match(self, text: str) -> str:
        for index, column in enumerate(self.columns):
            found = parse(column.inverse, text) if column.inverse else None
            if found:
                cell = self.only([cell for cell in self.in_column(index) if cell.text == found[1]])
                return f"It is at {self.name(cell.row).text}."
        found = parse(f"Which {self.content.noun} {{conditions}}?", text)
        targets = [self.naming] if found else []
        for index, column in enumerate(self.columns):
            for template in column.asks:
                got = parse(template.replace("{row}", f"the {self.content.noun} that {{conditions}}"), text)
                found, targets = (got, [index]) if got else (found, targets)
        assert found, text
        rows = self.fulfilling(found["conditions"])
        if len(rows) != 1:
            raise Missing(f"rows {rows}")
        index = targets[0]
        return self.columns[index].says.replace("{}", self.cell(rows.pop(), index).text)

    def _sum(self, text: str) -> str:
        for index, column in enumerate(self.columns):
            found = parse(column.together, text) if column.together else None
            if found:
                a, b = (self.cell(self.row_of(phrase), index).text for phrase in found.groups())
                sign = re.match(r"\D*", a)
                assert sign
                amount = sum(Decimal(value.lstrip("$€")) for value in (a, b))
                return f"It is {a} + {b} = {sign[0]}{amount}."
        raise AssertionError(f"question not understood: {text}")

    # Reading on

    def place(self, word: str, rows: range) -> int:
        return rows[-1] if word == "last" else rows[PLACES.index(word)]

    def _position(self, text: str) -> str:
        noun, rows = self.content.noun, range(self.rows)
        found = parse(f"Which {noun} comes {{word}} under {{section}}?", text)
        if found:
            return self.names_row(self.place(found["word"], self.section(found["section"])))
        found = parse(f"Which {noun} comes {{word}} on the page?", text) or parse(
            f"Which {noun} is in the {{word}} row?", text
        )
        assert found, text
        return self.names_row(self.place(found["word"], rows))

    def _row(self, text: str) -> str:
        found = re.fullmatch(r"Read the (\w+) row\.", text)
        if found:
            row = self.place(found[1], range(self.rows))
        else:
            found = parse("Read the row of {}.", text) or parse("What does the page say about {}?", text)
            assert found, text
            row = self.row_of(found[1])
        columns = sorted(column for at, column in self.filled if at == row)
        cells = [self.at(row, column) for column in columns]
        return f"It says {', '.join(cell.text for cell in cells)}."

    def _column(self, text: str) -> str:
        found = re.fullmatch(r"List the first (\w+) entries under (.+)\.", text)
        if found:
            head = self.only([cell for cell in self.of_kind("head") if cell.text == found[2] and cell.row == 0])
            rows = sorted(row for row, column in self.filled if column == head.column)[: COUNTS.index(found[1])]
            cells = [self.at(row, head.column) for row in rows]
            return f"I see {', '.join(cell.text for cell in cells)}."
        found = re.fullmatch(rf"List the (first|last) (\w+) {self.content.nouns}\.", text)
        if found:
            count = COUNTS.index(found[2])
            rows = list(range(self.rows))
            rows = rows[:count] if found[1] == "first" else rows[-count:]
        else:
            found = re.fullmatch(r".* under (.+)[.?]", text)
            assert found, text
            rows = list(self.section(found[1]))
        return f"I see {', '.join(self.name(row).text for row in rows)}."

    def _table(self, text: str) -> str:
        parts = []
        for row in range(self.rows):
            last = max(column for at, column in self.filled if at == row)
            cell = self.at(row, last)
            name = self.name(row)
            parts.append(name.text if cell == name else f"{name.text} {cell.text}")
        return f"It says {', '.join(parts)}."

    # Whole columns

    def _extreme(self, text: str) -> str:
        for index, column in enumerate(self.columns):
            for asks, highest in column.extremes:
                if asks == text:
                    values = {cell: self.worth(cell.text) for cell in self.whole(index)}
                    best = (max if highest else min)(values.values())
                    cell = self.only([cell for cell, value in values.items() if value == best])
                    return f"{self.names_row(cell.row)[:-1]}, {cell.text}."
        raise AssertionError(f"question not understood: {text}")

    def worth(self, text: str) -> tuple[int, ...]:
        return tuple(map(int, re.findall(r"\d+", text)))

    def _tally(self, text: str) -> str:
        for index, column in enumerate(self.columns):
            found = parse(f"How many {self.content.nouns} {column.many}?", text) if column.many else None
            if found:
                value = found[1] if found.groups() else column.values[0]
                cells = [cell for cell in self.whole(index) if cell.text == value]
                names = ", ".join(self.name(cell.row).text for cell in cells) or "none"
                return f"I see {names}: {len(cells)}."
        raise AssertionError(f"question not understood: {text}")

    def _listed(self, text: str) -> str:
        found = next(match for match in (parse(asks, text) for asks in self.content.listed) if match)
        if any(cell.text == found[1] for cell in self.in_column(self.naming)):
            return f"The page lists {found[1]}: yes."
        self.whole(self.naming)
        return f"The page does not list {found[1]}: no."

    def _about(self, text: str) -> str:
        title = self.only(self.of_kind("title")).text
        if "itle" in text or "Whose" in text:
            return f"It says {title}."
        heading = self.only(self.of_kind("heading")).text
        sorts = [sort for sort, pattern in SORTS.items() if re.fullmatch(pattern, heading)]
        return f"It is the {sorts[0] if sorts else heading.lower()} of {title}."


def answer(page: Page, kind: str, text: str, shown: Iterable[Cell]) -> str:
    """Answer a question about a page from the cells shown. Raises Missing where they do not suffice."""
    return Oracle(page, shown).answer(kind, text)
