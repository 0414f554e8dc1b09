"""Which questions a training image is asked: a balanced handful, with a few that have no evidence."""

import random

from glimpse_core.training.demo_base.text import UNKNOWN, absent_question, strange_question
from glimpse_core.world import Page, Question, Scene, Span, page_questions, questions

PER_TYPE = {
    "color": 1,
    "name": 1,
    "read": 2,
    "describe": 1,
    "relation": 3,
    "nearest": 6,
    "count": 2,
    "exist": 1,
    "half": 4,
    "scene": 1,
}
PER_PAGE_TYPE = {
    "lookup": 4,
    "cross": 3,
    "match": 3,
    "sum": 1,
    "position": 1,
    "row": 1,
    "column": 1,
    "table": 1,
    "extreme": 1,
    "tally": 2,
    "listed": 2,
    "about": 1,
}
LONG = 0.25  # how often a page's long answers are trained: those with many spans cost as much as ten others
MANY_SPANS = 16


def scene_choice(scene: Scene, rng: random.Random) -> list[Question]:
    """Choose questions about a scene."""
    by_type: dict[str, list[Question]] = {}
    for question in questions(scene):
        by_type.setdefault(question.type, []).append(question)
    chosen: list[Question] = []
    for kind, available in by_type.items():
        rng.shuffle(available)
        if kind == "count":  # counting to one is easy: prefer the others
            available.sort(key=lambda question: question.things < 2)
            available = available[:1] + available[-1:]
        chosen += available[: PER_TYPE[kind]]
    return _with_strange(chosen, {thing.kind for thing in scene.things}, 0.5, rng)


def page_choice(page: Page, rng: random.Random) -> list[Question]:
    """Choose questions about a page; of those about presence as many with a yes as with a no."""
    by_type: dict[str, list[Question]] = {}
    for question in page_questions(page):
        if len(question.spans) < MANY_SPANS or rng.random() < LONG:
            by_type.setdefault(question.type, []).append(question)
    chosen: list[Question] = []
    for kind, available in by_type.items():
        rng.shuffle(available)
        if kind == "listed":
            available.sort(key=lambda question: question.answer.endswith("no."))
            available = available[:1] + available[-1:]
        chosen += available[: PER_PAGE_TYPE[kind]]
    return _with_strange(chosen, set(), 0.15, rng)


def _with_strange(chosen: list[Question], present: set[str], chance: float, rng: random.Random) -> list[Question]:
    """Add questions about things that are missing (with a chance) and about other worlds, and mix them all."""
    absent = absent_question(rng, present)
    if absent and rng.random() < chance:
        chosen.append(Question(absent[0], (Span(absent[1]),), "absent", (), 0))
    if rng.random() < 0.15:
        chosen.append(Question(strange_question(rng), (Span(UNKNOWN),), "strange", (), 0))
    rng.shuffle(chosen)
    return chosen


def careless(text: str, rng: random.Random, whole: bool = True) -> str:
    """Return the question, sometimes in lower case or without its punctuation mark.

    Args:
        text: the question.
        rng: draws what is changed.
        whole: False to leave all but the first letter as it is, since names and codes on a page have capitals.
    """
    if rng.random() < 0.15:
        text = text.lower() if whole else text[:1].lower() + text[1:]
    if rng.random() < 0.1:
        text = text.rstrip(".?")
    return text
