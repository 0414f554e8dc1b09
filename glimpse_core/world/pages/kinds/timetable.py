"""Timetables: one line's stops from top to bottom, its runs from left to right, a time or a dash in every cell."""

import random

from glimpse_core.world.pages import vocabulary as words
from glimpse_core.world.pages.content import Column, Content, Fact, Room
from glimpse_core.world.pages.kinds import names

MODES = (("train", "Line"), ("bus", "Route"), ("ferry", "Line"))
NOTES = ("Runs every day", "Not on holidays", "Times may change", "A dash means that it does not stop")
SKIPPED = "-"


def _run(noun: str, code: str, essential: bool) -> Column:
    name = f"{noun} {code}"
    return Column(
        "time", code, (f"When does {name} reach {{row}}?", f"What time is {name} at {{row}}?"), "It is there at {}.",
        many=f"are left out by {name}", values=(SKIPPED,), inverse=f"Where is {name} at {{}}?",
        headed=True, right=True, essential=essential,
    )  # fmt: skip


def timetable(rng: random.Random, room: Room) -> Content:
    """Draw a timetable.

    Args:
        rng: source of all choices.
        room: what the page can hold.

    Returns:
        One column for the stops and 2 to 8 runs; some runs leave out some stops.
    """
    noun, line = rng.choice(MODES)
    stops = names.distinct(rng, lambda: names.place(rng), room.rows)
    runs = max(2, min((room.characters - 12) // 8, rng.randint(3, 8)))
    codes = names.distinct(rng, lambda: f"{rng.choice(words.CODE_LETTERS)}{rng.randint(2, 99)}", runs)
    times = []
    start = rng.randint(5 * 60, 12 * 60)
    for _ in range(runs):
        skips, minutes, column = rng.choice((0.0, 0.0, 0.1, 0.2)), start, []
        for index in range(len(stops)):
            ends = index in (0, len(stops) - 1)
            column.append(SKIPPED if not ends and rng.random() < skips else names.clock(minutes))
            minutes += rng.randint(2, 9)
        times.append(column)
        start += rng.randint(9, 75)
    stop = Column("place", "Stop", row="{}", essential=True)
    columns = (stop, *(_run(noun, code, index < 2) for index, code in enumerate(codes)))
    return Content(
        kind="timetable", sort="timetable", heading=rng.choice(("Timetable", f"{noun.capitalize()} times")),
        title=f"{line} {rng.randint(2, 40)}", icon=noun, noun="stop", nouns="stops",
        columns=columns, rows=tuple(zip(stops, *times, strict=True)), naming=0,
        absent=names.others(rng, lambda: names.place(rng), stops),
        listed=(f"Does the {noun} stop at {{}}?", "Is {} on the timetable?"),
        states=tuple("marked" if rng.random() < 0.06 else "" for _ in stops),
        facts=(Fact("Valid from", names.date(rng), ("From which date is the timetable valid?",)),),
        notes=(rng.choice(NOTES),),
    )  # fmt: skip
