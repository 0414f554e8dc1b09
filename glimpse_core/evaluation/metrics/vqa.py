"""VQA accuracy with the official answer normalization (https://visualqa.org/evaluation.html; TextVQA uses the same).

Lower case; punctuation becomes a space, or nothing where it touches a space or the text has a comma between digits;
periods go unless a digit follows; number words up to ten become digits; articles go; apostrophes come back to
contractions. Apostrophes and colons stay.

An answer is compared with every choice of all but one of the people's answers: three that agree make it right, fewer
make it a third right each. With a single accepted answer, which the published formula does not foresee, it counts
whole.
"""

from __future__ import annotations

import itertools
import re
from collections.abc import Iterator, Sequence

from glimpse_core.evaluation.metrics.base import Metric

PUNCTUATION = ';/[]"{}()=+\\_-><@`,?!'
ARTICLES = frozenset(("a", "an", "the"))
_COUNTED = "zero one two three four five six seven eight nine ten"
NUMBERS = {"none": "0"} | {word: str(number) for number, word in enumerate(_COUNTED.split())}
_CONTRACTED = """
ain't aren't can't could've couldn't couldn't've didn't doesn't don't hadn't hadn't've hasn't haven't he'd he'd've he's
how'd how'll how's i'd've i'm i've isn't it'd it'd've it'll ma'am mightn't mightn't've might've mustn't must've needn't
not've o'clock oughtn't shan't she'd've should've shouldn't shouldn't've somebody'd've somebody'll somebody's someone'd
someone'd've someone'll someone's something'd something'd've something'll that's there'd there'd've there're there's
they'd they'd've they'll they're they've 'twas wasn't we'd've we've weren't what'll what're what's what've when's
where'd where's where've who'd who'd've who'll who's who've why'll why're why's won't would've wouldn't wouldn't've
y'all y'all'll y'all'd've you'd you'd've you'll you're you've
"""
_COMMA = re.compile(r"\d,\d")
_PERIOD = re.compile(r"\.(?!\d)")


def _misspelled(form: str) -> Iterator[str]:
    """The form with exactly one apostrophe missing."""
    for place, letter in enumerate(form):
        if letter == "'":
            yield form[:place] + form[place + 1 :]


CONTRACTIONS = {wrong: form for form in _CONTRACTED.split() for wrong in _misspelled(form)} | {
    "somebody'd": "somebodyd"
}


def normalize(text: str) -> str:
    """The text as it is compared."""
    text = text.replace("\n", " ").replace("\t", " ").strip()
    joined = bool(_COMMA.search(text))
    plain = text
    for mark in PUNCTUATION:
        touches = f"{mark} " in text or f" {mark}" in text
        plain = plain.replace(mark, "" if touches or joined else " ")
    words = _PERIOD.sub("", plain).lower().split()
    numbered = (NUMBERS.get(word, word) for word in words)
    return " ".join(CONTRACTIONS.get(word, word) for word in numbered if word not in ARTICLES)


class VqaAccuracy(Metric):
    """VQA accuracy, the measure of VQAv2 and TextVQA: see the module docstring for the formula."""

    name = "vqa"

    def score(self, question: str, answer: str, accepted: Sequence[str]) -> float:
        """See `Metric.score`. A third for each person who agrees, averaged over choices of all but one."""
        given, people = normalize(answer), [normalize(text) for text in accepted]
        if len(people) < 2:
            return float(given in people)
        others = itertools.combinations(people, len(people) - 1)
        return sum(min(1.0, other.count(given) / 3) for other in others) / len(people)
