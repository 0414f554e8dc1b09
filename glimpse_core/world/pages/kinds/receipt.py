"""Receipts: what was bought, how many, at what price, with a total that adds up."""

import random

from glimpse_core.world.pages.content import Column, Content, Fact, Room
from glimpse_core.world.pages.kinds import names

NOTES = ("Thank you for your visit", "Please keep this receipt", "Returns within 14 days", "See you again soon")
SHOPS = ("Store", "Market", "Supply", "Corner")


def _columns(each: bool) -> tuple[Column, ...]:
    amount = (
        ("What does the receipt say for {row} in all?", "What is the amount for {row}?")
        if each
        else ("What did {row} cost?", "How much was {row}?")
    )
    columns = [
        Column(
            "count", "Qty", ("How many pieces of {row} were bought?", "What is the quantity of {row}?"), "It says {}.",
            one="has quantity {}", many="have quantity {}", values=tuple(map(str, range(1, 7))), right=True,
            essential=True,
        ),
        Column("good", "Item", row="the {}", essential=True),
        Column(
            "price", "Each", ("What does one piece of {row} cost?", "What is the price of one piece of {row}?"),
            "It costs {}.", many="cost {} each", right=True, headed=True,
        ),
        Column(
            "price", "Amount", amount, "It is {}.", right=True, headed=each, essential=True,
            extremes=(("Which item has the highest amount?", True), ("Which item has the lowest amount?", False)),
            together="What is the sum of {} and {}?",
        ),
    ]  # fmt: skip
    return tuple(columns if each else columns[:2] + columns[3:])


def _totals(prices: names.Prices, amount: int, tax: int) -> tuple[Fact, ...]:
    """The lines below the table; without a tax only the last. amount and tax: cents."""
    total = Fact("Total", prices.text(amount + tax), ("What is the total?", "How much was paid in all?"))
    if not tax:
        return (total,)
    return (
        Fact("Subtotal", prices.text(amount), ("What is the subtotal?",)),
        Fact("Tax", prices.text(tax), ("How much is the tax?", "What is the tax?")),
        total,
    )


def receipt(rng: random.Random, room: Room) -> Content:
    """Draw a receipt.

    Args:
        rng: source of all choices.
        room: what the page can hold.

    Returns:
        Rows in no order; the totals are those of the rows.
    """
    prices, each = names.Prices(rng), room.characters >= 42 and rng.random() < 0.6
    rows, total = [], 0
    for item in names.distinct(rng, lambda: names.good(rng), room.rows):
        count, cents = rng.choices(range(1, 7), (40, 20, 12, 8, 5, 4))[0], prices.cents()
        total += count * cents
        amount = prices.text(count * cents)
        rows.append((str(count), item, prices.text(cents), amount) if each else (str(count), item, amount))
    taxed = rng.random() < 0.7 and room.rows >= 8
    totals = _totals(prices, total, total * rng.choice((5, 8, 10, 20)) // 100 if taxed else 0)
    facts = (
        Fact("Date", names.date(rng), ("What is the date of the receipt?",)),
        Fact("Order", names.code(rng), ("What is the order number?",)),
    )
    return Content(
        kind="receipt", sort="receipt", heading="Receipt", title=f"{names.sign(rng)} {rng.choice(SHOPS)}",
        icon=rng.choice(("basket", "leaf", "cup")), noun="item", nouns="items", columns=_columns(each),
        rows=tuple(rows), naming=1, absent=names.others(rng, lambda: names.good(rng), (row[1] for row in rows)),
        listed=("Was a {} bought?", "Does the receipt list a {}?"),
        states=tuple("marked" if rng.random() < 0.05 else "" for _ in rows),
        facts=facts if rng.random() < 0.7 else facts[:1],
        totals=totals,
        notes=(rng.choice(NOTES),),
    )  # fmt: skip
