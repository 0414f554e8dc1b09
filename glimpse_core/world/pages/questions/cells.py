"""Questions for one cell: by its row, by row and column head, by two conditions, or for the sum of two cells."""

import random
from collections.abc import Iterator

from glimpse_core.world.pages.page import Cell
from glimpse_core.world.pages.questions.truth import Truth, answered, ask, named
from glimpse_core.world.question import Question


def lookup(truth: Truth, rng: random.Random) -> Iterator[Question]:
    """One cell by its row, where its looks tell its column; facts by their label.

    Evidence: the cell, and the one that names the row.
    """
    facts = [*truth.content.facts, *truth.content.totals]
    for fact in rng.sample(facts, min(2, len(facts))):
        label, value = truth.facts[fact.label]
        yield ask("lookup", fact.asks, answered(fact.says, value, [label]), rng)
    yield from _by_row("lookup", truth, rng, headed=False)


def cross(truth: Truth, rng: random.Random) -> Iterator[Question]:
    """One cell by its row and the head of its column.

    Evidence: the cell, the one that names the row, and the head.
    """
    yield from _by_row("cross", truth, rng, headed=True)


def _by_row(kind: str, truth: Truth, rng: random.Random, *, headed: bool) -> Iterator[Question]:
    """Every column and, in a column, every text has the same chance, so that a frequent text is no safe guess."""
    columns = truth.content.columns
    asked = [index for index, column in enumerate(columns) if column.asks and column.headed == headed]
    for _ in range(12 if asked else 0):
        index = rng.choice(asked)
        text = rng.choice(list(truth.counts[index]))
        cell = rng.choice([cell for cell in truth.column(index) if cell.text == text])
        calls = truth.calls(cell.row, index)
        if calls and cell.text != "-":
            phrase, key = rng.choice(calls)
            texts = tuple(asks.format(row=phrase) for asks in columns[index].asks)
            spans = answered(columns[index], cell, [key, *truth.head(cell.row, index)])
            yield ask(kind, texts, spans, rng)


def match(truth: Truth, rng: random.Random) -> Iterator[Question]:
    """One cell of the only row that fulfills two conditions, each of which other rows fulfill as well.

    Evidence: the cell, and the two that the conditions are about (a section's heading, a column's head among them).
    """
    yield from _by_column_and_cell(truth, rng)
    columns, noun = truth.content.columns, truth.content.noun
    for row in rng.sample(range(truth.page.rows), truth.page.rows):
        met = _conditions(truth, row)
        pairs = [(a, b) for i, a in enumerate(met) for b in met[i + 1 :] if len(a[2] & b[2]) == 1]
        if not pairs:
            continue
        (first, cell, _, used), (second, other, _, used_too) = rng.choice(pairs)
        free = [index for index, column in enumerate(columns) if column.asks and index not in (used, used_too)]
        targets = [index for index in free if (row, index) in truth.at and truth.at[row, index].text != "-"]
        if truth.content.naming not in (used, used_too):
            text = (f"Which {noun} {first} and {second}?",)
            yield ask("match", text, named(truth, row, [cell, other]), rng)
        elif targets:
            index = rng.choice(targets)
            texts = tuple(asks.format(row=f"the {noun} that {first} and {second}") for asks in columns[index].asks)
            by = [cell, other, *truth.head(row, index)]
            yield ask("match", texts, answered(columns[index], truth.at[row, index], by), rng)


def _conditions(truth: Truth, row: int) -> list[tuple[str, Cell, set[int], int]]:
    """What is true of a row and of others too: words, cell, rows that it is true of, column (-1: a section)."""
    found = []
    for index, column in enumerate(truth.content.columns):
        if column.one and (row, index) in truth.at and not column.headed:
            cell = truth.at[row, index]
            same = {other.row for other in truth.column(index) if other.text == cell.text}
            if len(same) > 1:
                found.append((column.one.format(cell.text), cell, same, index))
    for cell, rows in truth.sections:
        if row in rows and truth.content.kind == "menu":
            found.append((f"is listed under {cell.text}", cell, set(rows), -1))
    return found


def _by_column_and_cell(truth: Truth, rng: random.Random) -> Iterator[Question]:
    """The row in which a column says something, ``Where is bus K4 at 9:24?``"""
    columns = truth.content.columns
    inverse = [index for index, column in enumerate(columns) if column.inverse]
    for _ in range(6 if inverse else 0):
        index = rng.choice(inverse)
        cell = rng.choice(truth.column(index))
        if cell.text != "-" and truth.unique(cell.row, index):
            spans = answered("It is at {}.", truth.name(cell.row), [cell, *truth.head(cell.row, index)])
            yield ask("match", (columns[index].inverse.format(cell.text),), spans, rng)


def total(truth: Truth, rng: random.Random) -> Iterator[Question]:
    """The sum of two cells of a column, worked out aloud: ``It is 1.50 + 2.00 = 3.50.``

    Asked only for whole numbers and for prices in halves. Evidence: the two cells, those that name their rows, and the
    column's head where it is needed.
    """
    for index, column in enumerate(truth.content.columns):
        rows = [row for row in range(truth.page.rows) if truth.unique(row, truth.content.naming)]
        if not column.together or len(rows) < 2:
            continue
        for _ in range(3):
            a, b = sorted(rng.sample(rows, 2))
            cells, names = [truth.at[a, index], truth.at[b, index]], [truth.name(a), truth.name(b)]
            amount = added(cells[0].text, cells[1].text)
            if amount:
                phrases = [_called(truth, name) for name in names]
                spans = [
                    ("It is ", []),
                    (cells[0].text, [cells[0], names[0], *truth.head(a, index)]),
                    (" + ", []),
                    (cells[1].text, [cells[1], names[1], *truth.head(b, index)]),
                    (" = ", []),
                    (amount, cells),
                    (".", []),
                ]
                yield ask("sum", (column.together.format(*phrases),), spans, rng)


def _called(truth: Truth, name: Cell) -> str:
    return truth.content.columns[name.column].row.format(name.text)


def added(a: str, b: str) -> str:
    """The sum of two numbers or prices with the same currency sign; ``""`` for prices not in halves."""
    sign = a[0] if a[0] in "$€" else ""
    if "." not in a:
        return str(int(a) + int(b))
    cents = [int(text.removeprefix(sign).replace(".", "")) for text in (a, b)]
    if any(value % 50 for value in cents):
        return ""
    return f"{sign}{sum(cents) // 100}.{sum(cents) % 100:02d}"
