"""Questions that need a whole column or the page's head: the extreme, the count, the presence, what the page is."""

import random
from collections.abc import Iterator

from glimpse_core.world.pages.page import Cell
from glimpse_core.world.pages.questions.truth import Spans, Truth, answered, ask, named
from glimpse_core.world.question import Question

MOST_COUNTED = 6  # rows that are counted aloud
EACH = 3  # how many names are asked for that are there, and how many that are not


def extreme(truth: Truth, rng: random.Random) -> Iterator[Question]:
    """The row with the highest or lowest cell of a column, if there is only one.

    Evidence: the whole column, for all of it must be compared, its head where it is needed, and the row's name.
    """
    for index, column in enumerate(truth.content.columns):
        cells = sorted(truth.column(index), key=lambda cell: value(cell.text)) if column.extremes else []
        for text, highest in column.extremes if len(cells) > 1 else ():
            best, next_best = (cells[-1], cells[-2]) if highest else (cells[0], cells[1])
            if value(best.text) != value(next_best.text):
                spans = named(truth, best.row, [best, *truth.heads(index), *truth.column(index)])
                spans[2:] = [(", ", []), (best.text, [best]), (".", [])]
                yield ask("extreme", (text,), spans, rng)


def value(text: str) -> float:
    """What a number, a price or a time is worth in comparisons."""
    if ":" in text:
        hours, minutes = text.split(":")
        return 60.0 * int(hours) + int(minutes)
    return float(text.lstrip("$€"))


def tally(truth: Truth, rng: random.Random) -> Iterator[Question]:
    """How many rows have a certain text in a column, counted aloud: ``I see Larkhaven, Elmford: 2.``

    Few and many come up equally often. Evidence: the whole column, its heads where they are needed, and the names of
    the rows counted.
    """
    by_count: dict[int, list[tuple[int, str]]] = {}
    for index, column in enumerate(truth.content.columns):
        if column.many and truth.column(index):
            present = truth.counts[index] if "{}" in column.many else ()
            for text in dict.fromkeys((*column.values, *present)):
                by_count.setdefault(truth.counts[index][text], []).append((index, text))
    counts = [count for count in by_count if count <= MOST_COUNTED]
    for count in rng.sample(counts, min(4, len(counts))):
        index, text = rng.choice(by_count[count])
        yield _counted(truth, rng, index, text)


def _counted(truth: Truth, rng: random.Random, index: int, text: str) -> Question:
    cells, heads = truth.column(index), truth.heads(index)
    found = [cell for cell in cells if cell.text == text]
    texts = (f"How many {truth.content.nouns} {truth.content.columns[index].many.format(text)}?",)
    if not found:
        return ask("tally", texts, [("I see ", []), ("none: 0", [*heads, *cells]), (".", [])], rng)
    spans: Spans = [("I see ", [])]
    for place, cell in enumerate(found):
        name = truth.name(cell.row)
        spans.append(((", " if place else "") + name.text, [name, cell]))
    return ask("tally", texts, [*spans, (f": {len(found)}", [*heads, *cells]), (".", [])], rng)


def listed(truth: Truth, rng: random.Random) -> Iterator[Question]:
    """Whether a name is there, as often yes as no.

    Evidence of a yes is the name. Evidence of a no is the whole column of names: to know that something is missing one
    must have read everything that is there.
    """
    naming = truth.content.naming
    names = [cell for cell in truth.column(naming) if truth.unique(cell.row, naming)]
    count = min(EACH, len(names), len(truth.content.absent))
    for cell in rng.sample(names, count):
        yield _presence(truth, rng, cell.text, [cell])
    for name in rng.sample(truth.content.absent, count):
        yield _presence(truth, rng, name, [])


def _presence(truth: Truth, rng: random.Random, name: str, found: list[Cell]) -> Question:
    texts = tuple(text.format(name) for text in truth.content.listed)
    if found:
        spans: Spans = [("The page ", []), (f"lists {name}: yes", found), (".", [])]
    else:
        spans = [("The page ", []), (f"does not list {name}: no", truth.column(truth.content.naming)), (".", [])]
    return ask("listed", texts, spans, rng)


def about(truth: Truth, rng: random.Random) -> Iterator[Question]:
    """What kind of page it is and whose. Evidence: heading and title, or the title alone where only that is asked."""
    heading, title = truth.only("heading"), truth.only("title")
    texts = ("What is this page about?", "What kind of page is this?", "Describe the page.")
    spans: Spans = [("It is the ", []), (truth.content.sort, [heading]), (" of ", []), (title.text, [title]), (".", [])]
    yield ask("about", texts, spans, rng)
    yield ask("about", ("What is the title of the page?", "Whose page is this?"), answered("It says {}.", title), rng)
