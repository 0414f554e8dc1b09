"""Tables of results: a league, a race or a contest in rounds, ranked."""

import random

from glimpse_core.world.pages.content import Column, Content, Fact, Room
from glimpse_core.world.pages.kinds import names
from glimpse_core.world.pages.vocabulary import EVENTS, SEASONS

CLASSES = ("A", "B", "C", "D")
NOTES = ("Results are final", "Checked and signed", "Next event in 2 weeks", "Printed on both sides")


def _counted(kind: str, asks: str, most: str, together: str = "") -> Column:
    return Column(
        kind, kind.capitalize(), (asks,), "It says {}.", right=True, headed=True,
        extremes=((f"Which team has the most {most}?", True), (f"Which team has the fewest {most}?", False)),
        together=together,
    )  # fmt: skip


RANK = Column(
    "rank", "#", ("In which place is {row}?", "What is the rank of {row}?"), "It is in place {}.",
    row="the team in place {}", right=True,
)  # fmt: skip
TEAM = Column("team", "Team", ("Which team is {row}?",), "It is {}.", row="{}", essential=True)
CLASS = Column(
    "class", "Class", ("Which class is {row} in?",), "It is in class {}.", one="is in class {}", many="are in class {}",
    values=CLASSES,
)  # fmt: skip
POINTS = Column(
    "points", "Points", ("How many points does {row} have?",), "It has {} points.", one="has {} points",
    many="have {} points", right=True, headed=True, essential=True,
    together="How many points do {} and {} have together?",
)  # fmt: skip
TIME = Column(
    "time", "Time", ("What is the time of {row}?", "How long did {row} take?"), "The time is {}.", right=True,
    essential=True, extremes=(("Which team is the fastest?", False), ("Which team is the slowest?", True)),
)  # fmt: skip


def _league(rng: random.Random, teams: list[str]) -> tuple[tuple[Column, ...], list[tuple[str, ...]]]:
    columns = (
        RANK, TEAM,
        _counted("won", "How many games did {row} win?", "wins"),
        _counted("lost", "How many games did {row} lose?", "losses"),
        _counted("goals", "How many goals did {row} score?", "goals", "How many goals do {} and {} have together?"),
        POINTS,
    )  # fmt: skip
    games, rows = rng.randint(8, 24), list[tuple[str, ...]]()
    for team in teams:
        won = rng.randint(0, games)
        lost = rng.randint(0, games - won)
        goals = 2 * won + rng.randint(0, 15)
        rows.append((team, str(won), str(lost), str(goals), str(2 * won + games - won - lost)))
    rows.sort(key=lambda row: (-int(row[4]), -int(row[3]), row[0]))
    return columns, rows


def _race(rng: random.Random, teams: list[str]) -> tuple[tuple[Column, ...], list[tuple[str, ...]]]:
    number = Column("number", "No.", ("What is the start number of {row}?",), "It is {}.", row="number {}", right=True)
    columns = (RANK, number, TEAM, CLASS, TIME)
    numbers = rng.sample(range(2, 200), len(teams))
    seconds, rows = rng.randint(600, 2400), list[tuple[str, ...]]()
    for team, start in zip(teams, numbers, strict=True):
        rows.append((str(start), team, rng.choice(CLASSES), f"{seconds // 60:02d}:{seconds % 60:02d}"))
        seconds += rng.randint(1, 25)
    return columns, rows


def _rounds(rng: random.Random, teams: list[str]) -> tuple[tuple[Column, ...], list[tuple[str, ...]]]:
    kinds = [f"round {number}" for number in range(1, rng.randint(3, 4))]
    rounds = (_counted(kind, f"How many points did {{row}} get in {kind}?", f"points in {kind}") for kind in kinds)
    columns = (RANK, TEAM, CLASS, *rounds, POINTS)
    rows: list[tuple[str, ...]] = []
    for team in teams:
        scores = [rng.randint(0, 30) for _ in kinds]
        rows.append((team, rng.choice(CLASSES), *map(str, scores), str(sum(scores))))
    rows.sort(key=lambda row: (-int(row[-1]), row[0]))
    return columns, rows


def results(rng: random.Random, room: Room) -> Content:
    """Draw a table of results.

    Args:
        rng: source of all choices.
        room: what the page can hold.

    Returns:
        Rows by rank, or in some tables by team.
    """
    teams = names.distinct(rng, lambda: names.club(rng), room.rows)
    columns, unranked = rng.choice((_league, _race, _rounds))(rng, teams)
    rows = [(str(index), *row) for index, row in enumerate(unranked, 1)]
    naming = columns.index(TEAM)
    if rng.random() < 0.3:
        rows.sort(key=lambda row: row[naming])
    event = f"{rng.choice(SEASONS)} {rng.choice(EVENTS)}"
    return Content(
        kind="results", sort="table of results", heading=rng.choice(("Results", "Final table")), title=event,
        icon="trophy", noun="team", nouns="teams", columns=columns, rows=tuple(rows), naming=naming,
        absent=names.others(rng, lambda: names.club(rng), teams),
        listed=("Did {} take part?", "Is {} in the table?"),
        states=tuple("marked" if rng.random() < 0.07 else "" for _ in rows),
        facts=(Fact("Date", names.date(rng), ("What is the date of the results?",)),) if rng.random() < 0.6 else (),
        notes=(rng.choice(NOTES),),
    )  # fmt: skip
