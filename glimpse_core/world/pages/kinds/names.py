"""Draws names, times, prices and codes from the vocabulary."""

import random
from collections.abc import Callable, Iterable

from glimpse_core.world.pages import vocabulary as words

SHARED = 4  # letters that make two names look alike at a glance


def distinct(rng: random.Random, draw: Callable[[], str], count: int) -> list[str]:
    """`count` different results of `draw`, in the order drawn; fewer where it has no more to offer."""
    found: dict[str, None] = {}
    for _ in range(30 * count):
        if len(found) == count:
            break
        found[draw()] = None
    return list(found)


def others(rng: random.Random, draw: Callable[[], str], present: Iterable[str], count: int = 8) -> tuple[str, ...]:
    """Up to `count` results of `draw` that are not `present`, first those that begin or end as one of these does."""
    taken = set(present)
    heads, tails = {name[:SHARED] for name in taken}, {name[-SHARED:] for name in taken}
    free = [name for name in distinct(rng, draw, 3 * count + len(taken)) if name not in taken]
    return tuple(sorted(free, key=lambda name: name[:SHARED] not in heads and name[-SHARED:] not in tails)[:count])


def place(rng: random.Random) -> str:
    """A town: ``Larkhaven``."""
    return rng.choice(words.PLACE_STEMS) + rng.choice(words.PLACE_ENDINGS)


def dish(rng: random.Random, course: str) -> str:
    """A dish of one course: ``plum cake``."""
    sweet = course in ("desserts", "drinks")
    return f"{rng.choice(words.SWEET if sweet else words.SAVORY)} {rng.choice(words.COURSES[course])}"


def good(rng: random.Random, shelf: str = "") -> str:
    """Something that a shop sells: ``blue kettle``."""
    things = words.GOODS[shelf or rng.choice(list(words.GOODS))]
    return f"{rng.choice(words.MATERIALS)} {rng.choice(things)}"


def club(rng: random.Random) -> str:
    """A team: ``River Foxes``."""
    return f"{rng.choice(words.CLUB_PLACES)} {rng.choice(words.CLUB_ANIMALS)}"


def sign(rng: random.Random) -> str:
    """What stands over a door: ``Copper Kettle``."""
    return f"{rng.choice(words.SIGN_COLORS)} {rng.choice(words.SIGN_THINGS)}"


def date(rng: random.Random) -> str:
    """A day without a year: ``14 May``."""
    return f"{rng.randint(1, 28)} {rng.choice(words.MONTHS)}"


def code(rng: random.Random) -> str:
    """A short code: ``K7``, ``RT 204``."""
    letters = "".join(rng.choice(words.CODE_LETTERS) for _ in range(rng.choice((1, 1, 2))))
    return f"{letters}{rng.choice(('', ' '))}{rng.randint(2, rng.choice((9, 99, 999)))}"


def clock(minutes: int) -> str:
    """Minutes after midnight as ``08:05``."""
    return f"{minutes // 60 % 24:02d}:{minutes % 60:02d}"


class Prices:
    """Draws the prices of one page: one currency sign, one step between prices, one range."""

    def __init__(self, rng: random.Random) -> None:
        self.rng = rng
        self.sign = rng.choice(("", "", "$", "€"))
        self.step = rng.choice((50, 50, 20, 10, 5))  # cents
        self.most = rng.choice((1000, 1500, 3000))

    def cents(self) -> int:
        """A price in cents."""
        return self.rng.randrange(100, self.most, self.step)

    def text(self, cents: int) -> str:
        """A price as it is written: ``$4.50``."""
        return f"{self.sign}{cents // 100}.{cents % 100:02d}"
