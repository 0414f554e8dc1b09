"""Which words of two answers differ: plain text in, marked pieces out. No HTML here; the browser sets them as text."""

from __future__ import annotations

import re
from difflib import SequenceMatcher

Piece = tuple[str, bool]  # text, and whether it differs from the other answer

_WORD = re.compile(r"\s*\S+|\s+$")


def mark(left: str, right: str) -> tuple[list[Piece], list[Piece]]:
    """Both texts as pieces in order; the pieces of a side, joined, are its text. Spacing alone is no difference."""
    words: tuple[list[str], list[str]] = _WORD.findall(left), _WORD.findall(right)
    bare, other = ([word.strip() for word in side] for side in words)
    matcher = SequenceMatcher(None, bare, other, autojunk=False)
    sides: tuple[list[Piece], list[Piece]] = ([], [])
    for tag, i1, i2, j1, j2 in matcher.get_opcodes():
        for side, found, (start, stop) in zip(sides, words, ((i1, i2), (j1, j2)), strict=True):
            text = "".join(found[start:stop])
            bare_text = text.lstrip()
            if tag != "equal" and text != bare_text:  # the space in front of a word is not marked
                side.append((text[: len(text) - len(bare_text)], False))
                text = bare_text
            if text:
                side.append((text, tag != "equal"))
    return sides


def same(left: str, right: str) -> bool:
    """Whether two answers say the same, word for word."""
    return left.split() == right.split()


def right(answer: str, truth: str | None) -> bool | None:
    """Whether an answer is the true one, word for word; None where that is not known."""
    return None if truth is None else same(answer, truth)
