"""Questions that read on: a row, a stretch of a column, the whole table, and who stands where."""

import random
from collections.abc import Iterator

from glimpse_core.world.pages.questions.truth import Spans, Truth, ask, listing, named
from glimpse_core.world.pages.vocabulary import NUMBERS, ORDINALS
from glimpse_core.world.question import Question

LONGEST_SECTION = 8  # rows of a section that is listed
LONGEST_TABLE = 12  # rows of a table that is read out
COUNTER = "#"  # head of the ranks, which need not be looked up to be listed


def position(truth: Truth, rng: random.Random) -> Iterator[Question]:
    """The name in a row that is told by its place.

    Evidence: the name; of a place within a section, the section's heading too.
    """
    noun = truth.content.noun
    places = [(word, row) for row, word in enumerate(ORDINALS[: truth.page.rows])] + [("last", truth.page.rows - 1)]
    for word, row in rng.sample(places, 3):
        texts = (f"Which {noun} comes {word} on the page?", f"Which {noun} is in the {word} row?")
        yield ask("position", texts, named(truth, row), rng)
    for cell, rows in truth.sections:
        choices = [("first", rows[0]), ("second", rows[0] + 1), ("last", rows[-1])]
        word, row = rng.choice([choice for choice in choices if choice[1] in rows])
        text = f"Which {noun} comes {word} under {cell.text}?"
        yield ask("position", (text,), named(truth, row, [cell]), rng)


def row(truth: Truth, rng: random.Random) -> Iterator[Question]:
    """All cells of one row, told by a name or by its place. Evidence: these cells."""
    rows = truth.page.rows
    for index in rng.sample(range(rows), min(3, rows)):
        calls = truth.calls(index)
        if calls:
            phrase = rng.choice(calls)[0]
            texts = (f"Read the row of {phrase}.", f"What does the page say about {phrase}?")
            yield ask("row", texts, listing(truth.row(index), "It says "), rng)
    word, index = rng.choice(((ORDINALS[0], 0), (ORDINALS[1], 1), (ORDINALS[2], 2), ("last", rows - 1)))
    yield ask("row", (f"Read the {word} row.",), listing(truth.row(index), "It says "), rng)


def column(truth: Truth, rng: random.Random) -> Iterator[Question]:
    """The first or last few cells of a column, or all names of a section.

    Evidence: these cells, and the section's heading or the column's head where the question goes by it.
    """
    nouns, rows = truth.content.nouns, truth.page.rows
    for _ in range(2):
        count = rng.randint(3, min(6, rows))
        names = [truth.name(index) for index in range(rows)]
        yield ask("column", (f"List the first {NUMBERS[count]} {nouns}.",), listing(names[:count]), rng)
        yield ask("column", (f"List the last {NUMBERS[count]} {nouns}.",), listing(names[-count:]), rng)
    for cell, found in truth.sections:
        if len(found) <= LONGEST_SECTION:
            texts = (f"List the {nouns} under {cell.text}.", f"Which {nouns} are under {cell.text}?")
            yield ask("column", texts, listing([truth.name(index) for index in found], first=[cell]), rng)
    yield from _under_head(truth, rng)


def _under_head(truth: Truth, rng: random.Random) -> Iterator[Question]:
    heads = [cell for cell in truth.page.cells if cell.kind == "head" and cell.row == 0 and cell.text != COUNTER]
    for head in rng.sample(heads, min(2, len(heads))):
        stop = min((cell.row for cell in truth.page.cells if cell.kind == "head" and cell.row), default=truth.page.rows)
        cells = [cell for cell in truth.column(head.column) if cell.row < stop][: rng.randint(3, 6)]
        if len(cells) >= 3:
            texts = (f"List the first {NUMBERS[len(cells)]} entries under {head.text}.",)
            yield ask("column", texts, listing(cells, first=[head]), rng)


def table(truth: Truth, rng: random.Random) -> Iterator[Question]:
    """Every row's name and last cell, on pages with few rows. Evidence: these cells."""
    if truth.page.rows > LONGEST_TABLE:
        return
    spans: Spans = [("It says ", [])]
    for index in range(truth.page.rows):
        name = truth.name(index)
        spans.append(((", " if index else "") + name.text, [name]))
        last = truth.row(index)[-1]
        if last is not name:
            spans += [(" ", []), (last.text, [last])]
    texts = ("Read the whole table.", f"Read out all {truth.content.nouns}.")
    yield ask("table", texts, [*spans, (".", [])], rng)
