"""Departure boards: trains, buses, flights and ferries with time, destination, number, platform and status."""

import random
from dataclasses import dataclass

from glimpse_core.world.pages.content import Column, Content, Room
from glimpse_core.world.pages.kinds import names

STATUSES = ("on time", "delayed", "boarding", "canceled", "closed")
NOTES = ("Please check the board before boarding", "Subject to change", "Doors close 2 minutes before departure")


@dataclass(frozen=True)
class Mode:
    """One way to travel: what a row is called, where it leaves from, what its stop is called."""

    noun: str
    nouns: str
    gate: str
    stop: str
    letters: tuple[str, ...]


MODES = (
    Mode("train", "trains", "platform", "Station", ("R", "K", "EX", "H")),
    Mode("bus", "buses", "bay", "Terminal", ("", "N", "X")),
    Mode("flight", "flights", "gate", "Airport", ("KT", "AX", "RF")),
    Mode("ferry", "ferries", "pier", "Harbor", ("F", "C")),
)


def _columns(mode: Mode, gates: tuple[str, ...]) -> tuple[Column, ...]:
    noun, gate = mode.noun, mode.gate
    return (
        Column(
            "time", "Time", ("When does {row} leave?", "What time does {row} leave?"), "It leaves at {}.",
            row=f"the {{}} {noun}", essential=True,
            extremes=((f"Which {noun} leaves last?", True), (f"Which {noun} leaves first?", False)),
        ),
        Column(
            "place", "Destination", ("Where does {row} go?", "What is the destination of {row}?"), "It goes to {}.",
            row=f"the {noun} to {{}}", one="goes to {}", many="go to {}", essential=True,
        ),
        Column(
            "code", noun.capitalize(), ("What is the number of {row}?",), "It is {}.", row=f"{noun} {{}}",
        ),
        Column(
            "gate", gate.capitalize(), (f"Which {gate} does {{row}} leave from?", f"What is the {gate} of {{row}}?"),
            f"It leaves from {gate} {{}}.", one=f"leaves from {gate} {{}}", many=f"leave from {gate} {{}}",
            values=gates, right=True, essential=True,
        ),
        Column(
            "status", "Status", ("What is the status of {row}?",), "It is {}.", one="is {}", many="are {}",
            values=STATUSES,
        ),
    )  # fmt: skip


def departures(rng: random.Random, room: Room) -> Content:
    """Draw a departure board.

    Args:
        rng: source of all choices.
        room: what the page can hold.

    Returns:
        Rows by time, or on some boards by destination.
    """
    mode = rng.choice(MODES)
    gates = tuple(str(number) for number in range(1, rng.choice((5, 9, 13))))
    letters = rng.sample(mode.letters, min(2, len(mode.letters)))
    pool = names.distinct(rng, lambda: names.place(rng), max(4, round(room.rows * rng.choice((0.5, 0.8, 1.3)))))
    usual = rng.uniform(0.25, 0.6)
    weights = (usual, *(rng.uniform(0.02, 0.4) for _ in STATUSES[1:]))
    minutes, rows = rng.randint(5 * 60, 13 * 60), []
    codes = names.distinct(rng, lambda: f"{rng.choice(letters)} {rng.randint(2, 99)}".strip(), room.rows)
    for index in range(room.rows):
        minutes += rng.randint(1, 14)
        status = rng.choices(STATUSES, weights)[0]
        rows.append((names.clock(minutes), rng.choice(pool), codes[index], rng.choice(gates), status))
    if rng.random() < 0.3:
        rows.sort(key=lambda row: (row[1], row[0]))
    content = Content(
        kind="departures", sort="departure board", heading=rng.choice(("Departures", f"Next {mode.nouns}")),
        title=f"{names.place(rng)} {mode.stop}", icon=mode.noun, noun=mode.noun, nouns=mode.nouns,
        columns=_columns(mode, gates), rows=tuple(rows), naming=1,
        absent=names.others(rng, lambda: names.place(rng), pool),
        listed=(f"Is there a {mode.noun} to {{}}?", f"Does a {mode.noun} go to {{}}?"),
        states=tuple(_state(row[4], rng) for row in rows), notes=(rng.choice(NOTES),),
    )  # fmt: skip
    if rng.random() < 0.25:
        content = content.without(2)
    return content


def _state(status: str, rng: random.Random) -> str:
    if status == "canceled" and rng.random() < 0.4:
        return "crossed"
    return "marked" if status == "boarding" and rng.random() < 0.5 else ""
