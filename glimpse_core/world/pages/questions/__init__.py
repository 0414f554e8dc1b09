"""What a page can be asked, by type.

Every answer puts a word that needs no picture first, as the questions about scenes do, so that the words that count are
written after pruning. The evidence of a question is the smallest set of cells that answers it for somebody who sees
nothing else: what is read, and what it is found by.
"""

import random
from collections.abc import Callable, Iterator

from glimpse_core.world.pages.page import Page, page
from glimpse_core.world.pages.questions import cells, rows, whole
from glimpse_core.world.pages.questions.truth import Truth
from glimpse_core.world.question import Question
from glimpse_core.world.scene import HELD_OUT

MOST_PER_TYPE = 8  # questions of one type about one page

MAKERS: dict[str, Callable[[Truth, random.Random], Iterator[Question]]] = {
    "lookup": cells.lookup,
    "cross": cells.cross,
    "match": cells.match,
    "sum": cells.total,
    "position": rows.position,
    "row": rows.row,
    "column": rows.column,
    "table": rows.table,
    "extreme": whole.extreme,
    "tally": whole.tally,
    "listed": whole.listed,
    "about": whole.about,
}
PAGE_TYPES: tuple[str, ...] = tuple(MAKERS)
LOOK_UP_TYPES: tuple[str, ...] = ("lookup", "cross", "match", "position")  # one cell answers them


def page_questions(picture: Page) -> list[Question]:
    """Ask a page up to 8 different questions of every type that it allows, in a fixed order for a given seed.

    Args:
        picture: the page.

    Returns:
        Questions whose boxes are boxes of the page's cells; `Question.things` counts them. No two have the same text.
    """
    rng = random.Random(f"glimpse-page-questions-{picture.seed}")
    truth = Truth(picture)
    asked: dict[str, Question] = {}
    for make in MAKERS.values():
        fresh = {question.text: question for question in make(truth, rng) if question.text not in asked}
        asked.update(list(fresh.items())[:MOST_PER_TYPE])
    return list(asked.values())


def held_out_page(seed: int, index: int, count: int, order: tuple[str, ...] = PAGE_TYPES) -> tuple[Page, Question]:
    """Return what `page_item` does, of held-out pages only.

    Raises:
        ValueError: `seed` is below `HELD_OUT`, so the page could have been trained on.
    """
    if seed < HELD_OUT:
        raise ValueError(f"The seed is {seed}. Expected {HELD_OUT} or more: smaller seeds are training data.")
    return page_item(seed, index, count, order)


def page_item(seed: int, index: int, count: int, order: tuple[str, ...] = PAGE_TYPES) -> tuple[Page, Question]:
    """Draw item `index` of `count` pages with one question each, without drawing the others.

    A page that cannot be asked a question of the type whose turn it is gives way to the next free seed.

    Args:
        seed: seed of the first page.
        index: which item, from 0.
        count: number of items.
        order: types asked for in turn.
    """
    wanted, attempt = order[index % len(order)], 0
    while True:
        picture = page(seed + index + attempt * count)
        fitting = [question for question in page_questions(picture) if question.type == wanted]
        if fitting:
            return picture, random.Random(f"glimpse-page-pick-{picture.seed}").choice(fitting)
        attempt += 1
