"""Filled-in forms: labels with values, and labels with a box that is ticked or not."""

import random
from collections.abc import Callable

from glimpse_core.world.pages import vocabulary as words
from glimpse_core.world.pages.content import Column, Content, Room
from glimpse_core.world.pages.kinds import names

Draw = Callable[[random.Random], str]


def _one_of(options: tuple[str, ...]) -> Draw:
    return lambda rng: rng.choice(options)


def _number(low: int, high: int, unit: str = "") -> Draw:
    return lambda rng: f"{rng.randint(low, high)}{unit}"


def _time(rng: random.Random) -> str:
    return names.clock(rng.randrange(6 * 60, 22 * 60, 5))


def _price(rng: random.Random) -> str:
    return f"{rng.randint(1, 90)}.{rng.choice(('00', '50', '20', '80'))}"


GENERAL: dict[str, Draw] = {
    "order number": names.code,
    "date": names.date,
    "time": _time,
    "place": names.place,
    "payment": _one_of(words.PAYMENTS),
    "deposit": _price,
    "season": _one_of(words.SEASONS),
    "counter": _number(1, 12),
    "color": _one_of(words.COLOR_WORDS),
    "desk code": names.code,
}
FORMS: dict[str, tuple[dict[str, Draw], tuple[str, ...]]] = {
    "Room booking": (
        {
            "arrival": names.date, "departure": names.date, "guests": _number(1, 9), "nights": _number(1, 21),
            "room": _number(100, 499), "floor": _number(1, 9), "rate": _price, "check-in time": _time,
            "beds": _number(1, 5), "room size": _one_of(words.SIZES), "key number": names.code,
        },
        ("breakfast", "parking", "window seat", "quiet room", "extra bed", "towels", "balcony", "late arrival"),
    ),
    "Parcel slip": (
        {
            "origin": names.place, "destination": names.place, "weight": _number(1, 30, " kg"),
            "length": _number(10, 120, " cm"), "width": _number(10, 80, " cm"), "content": names.good,
            "value": _price, "parcel size": _one_of(words.SIZES), "delivery": _one_of(words.DELIVERIES),
            "shelf": names.code, "pieces": _number(1, 12),
        },
        ("fragile", "express", "insurance", "gift wrap", "keep dry", "this side up", "signature", "return slip"),
    ),
    "Bike rental": (
        {
            "bike number": names.code, "frame size": _one_of(words.SIZES), "frame color": _one_of(words.COLOR_WORDS),
            "pickup": _time, "return": _time, "days": _number(1, 14), "daily rate": _price, "gears": _number(3, 24),
            "helmet size": _one_of(words.SIZES), "start": names.place, "mileage": _number(20, 990, " km"),
        },
        ("helmet", "lock", "lights", "child seat", "basket", "insurance", "pump", "map"),
    ),
    "Repair order": (
        {
            "item": names.good, "received": names.date, "ready by": names.date, "shelf": names.code,
            "labor": _price, "parts": _price, "hours": _number(1, 30), "weight": _number(1, 40, " kg"),
            "delivery": _one_of(words.DELIVERIES), "pieces": _number(1, 12), "bench": _number(1, 20),
        },
        ("urgent", "cleaning", "new parts", "paint", "test run", "warranty", "photo taken", "call first"),
    ),
    "Team entry": (
        {
            "team": names.club, "event": lambda rng: f"{rng.choice(words.SEASONS)} {rng.choice(words.EVENTS)}",
            "players": _number(5, 24), "start number": _number(1, 199), "entry fee": _price, "field": _number(1, 14),
            "home town": names.place, "shirt color": _one_of(words.COLOR_WORDS), "shirt size": _one_of(words.SIZES),
            "arrival": _time, "locker": names.code,
        },
        ("lunch", "parking", "first aid", "own ball", "tent", "photo", "shower", "bus ride"),
    ),
}  # fmt: skip
NOTES = ("Please write clearly", "Sheet 1 of 1", "Keep one copy", "Hand in at the counter")
TICKED, BLANK = "yes", "no"


def form(rng: random.Random, room: Room) -> Content:
    """Draw a filled-in form.

    Args:
        rng: source of all choices.
        room: what the page can hold.

    Returns:
        Three columns: the label, and either a value or a box to tick.
    """
    heading = rng.choice(list(FORMS))
    fields, boxes = FORMS[heading]
    ticks = min(len(boxes), max(2, round(room.rows * rng.uniform(0.2, 0.45))))
    labels = {**fields, **{label: draw for label, draw in GENERAL.items() if label not in fields}}
    chosen = set(rng.sample(list(labels), min(len(labels), room.rows - ticks)))
    rows = [(label, labels[label](rng), "") for label in labels if label in chosen]
    options = [(label, "", TICKED if rng.random() < 0.5 else BLANK) for label in rng.sample(boxes, ticks)]
    unused = [label for label in (*labels, *boxes) if label not in {row[0] for row in (*rows, *options)}]
    sections = (("details", 0), ("options", len(rows)))
    return Content(
        kind="form", sort=heading.lower(), heading=heading, title=names.sign(rng), icon="pen", noun="field",
        nouns="fields", naming=0, rows=(*rows, *options), sections=sections, notes=(rng.choice(NOTES),),
        columns=(
            Column("label", "", row="{}", essential=True),
            Column("value", "", ("What is the {row}?", "What does the form say for the {row}?"), essential=True),
            Column(
                "check", "", ("Is the box for {row} ticked?",), "The answer is {}.", many="have a ticked box",
                values=(TICKED,), essential=True,
            ),
        ),
        absent=tuple(rng.sample(unused, min(8, len(unused)))),
        listed=("Does the form have a field for {}?", "Is there a field for {}?"),
    )  # fmt: skip
