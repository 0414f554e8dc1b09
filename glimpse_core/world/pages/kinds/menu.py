"""Menus and price lists: dishes or goods in sections, with one price or one for each size."""

import functools
import random

from glimpse_core.world.pages import vocabulary as words
from glimpse_core.world.pages.content import Column, Content, Room
from glimpse_core.world.pages.kinds import names

MENU_NOTES = ("All prices include tax", "Ask us about nuts", "Open every day from 9 to 21", "Bread is on the house")
LIST_NOTES = ("All prices include tax", "Prices per piece", "Sold while stocks last", "Ask at the counter for more")
PRICE_ASKS = ("What does {row} cost?", "How much is {row}?", "What is the price of {row}?")
SIZE_HEADS = (("small", "large"), ("half", "whole"), ("one", "dozen"))


def _price(noun: str) -> Column:
    return Column(
        "price", "", PRICE_ASKS, "It costs {}.", one="costs {}", many="cost {}", right=True, essential=True,
        extremes=((f"Which {noun} is the cheapest?", False), (f"Which {noun} is the most expensive?", True)),
        together="What do {} and {} cost together?",
    )  # fmt: skip


def _sized(noun: str, head: str) -> Column:
    return Column(
        "price", head.capitalize(), (f"What does {{row}} cost at size {head}?", f"How much is {{row}}, size {head}?"),
        "It costs {}.", right=True, essential=True, headed=True,
        extremes=((f"Which {noun} is the cheapest at size {head}?", False),),
    )  # fmt: skip


def menu(rng: random.Random, room: Room) -> Content:
    """Draw a menu or a price list.

    Args:
        rng: source of all choices.
        room: what the page can hold.

    Returns:
        Rows in 2 to 4 sections, fewer where there are few rows.
    """
    food = rng.random() < 0.6
    noun = "dish" if food else "item"
    nouns = "dishes" if food else "items"
    shelves = list(words.COURSES) if food else list(words.GOODS)
    sections, items = _stock(rng, food, shelves, room.rows)
    prices, heads = names.Prices(rng), rng.choice(SIZE_HEADS[:2] if food else SIZE_HEADS[2:])
    sized = room.characters >= 38 and rng.random() < 0.4
    tagged = room.characters >= (46 if sized else 34) and rng.random() < 0.6
    tags = rng.sample(words.TAGS if food else words.OFFERS, 3)
    columns, rows = [_naming(food)], []
    if tagged:
        columns.append(Column("tag", "", one="is {}", many="are {}", values=tuple(tags)))
    columns += [_sized(noun, head) for head in heads] if sized else [_price(noun)]
    for item in items:
        cents = prices.cents()
        tag = [rng.choice(tags) if rng.random() < 0.45 else ""] if tagged else []
        more = [prices.text(cents + rng.randrange(prices.step, 600 + prices.step, prices.step))] if sized else []
        rows.append((item, *tag, prices.text(cents), *more))
    return Content(
        kind="menu", sort="menu" if food else "price list", heading="Menu" if food else "Price list",
        title=names.sign(rng), icon=rng.choice(("cup", "leaf")) if food else rng.choice(("basket", "leaf")),
        noun=noun, nouns=nouns, columns=tuple(columns), rows=tuple(rows), naming=0,
        absent=names.others(rng, lambda: _item(rng, food, rng.choice(sections)[0]), items),
        listed=("Can you find {} on the page?", "Does the page list {}?"), sections=tuple(sections),
        states=tuple(rng.choices(("", "crossed", "marked"), (20, 1, 1))[0] for _ in rows),
        notes=(rng.choice(MENU_NOTES if food else LIST_NOTES),),
    )  # fmt: skip


def _stock(rng: random.Random, food: bool, shelves: list[str], rows: int) -> tuple[list[tuple[str, int]], list[str]]:
    """Choose sections and fill them. Returns headings with the index of their first item, and the items."""
    count = min(len(shelves), max(1, rows // 4), rng.randint(2, 4))
    sections, items = list[tuple[str, int]](), list[str]()
    for turn, index in enumerate(sorted(rng.sample(range(len(shelves)), count))):
        share = (rows - len(items)) // (count - turn)
        sections.append((shelves[index], len(items)))
        items += names.distinct(rng, functools.partial(_item, rng, food, shelves[index]), share)
    return sections, items


def _item(rng: random.Random, food: bool, shelf: str) -> str:
    return names.dish(rng, shelf) if food else names.good(rng, shelf)


def _naming(food: bool) -> Column:
    return Column("dish" if food else "good", "", row="the {}", essential=True)
