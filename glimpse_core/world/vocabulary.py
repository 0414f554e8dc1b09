"""The words of the demo world: kinds of objects, their colors, letters and places.

This file knows nothing of pixels or questions. Order matters: indices into these tuples are training targets.
"""

KINDS: tuple[str, ...] = (
    "house",
    "tree",
    "star",
    "heart",
    "fish",
    "boat",
    "car",
    "flower",
    "mushroom",
    "balloon",
    "cup",
    "hat",
    "kite",
    "lamp",
    "umbrella",
    "moon",
)

COLORS: dict[str, tuple[int, int, int]] = {
    "red": (214, 52, 50),
    "orange": (243, 139, 36),
    "yellow": (248, 210, 58),
    "green": (66, 160, 78),
    "blue": (50, 108, 212),
    "purple": (132, 74, 184),
    "pink": (244, 138, 186),
    "brown": (126, 82, 52),
}

# Letters and digits that stay apart at 20 pixels: no B/8, D/O/0/Q, G/6, I/1/L, S/5, U/V/W, Z/2.
ALPHABET = "ACEFHJKMNPRTXY3479"
MAX_LABEL = 4
PLACES: tuple[str, ...] = ("meadow", "beach", "snow", "evening", "paper", "room")


def plural(kind: str) -> str:
    """Return the English plural of a kind ("fish" stays "fish")."""
    return kind if kind == "fish" else f"{kind}s"


def article(word: str) -> str:
    """Return "a" or "an" for the word that follows."""
    return "an" if word[0] in "aeiou" else "a"
