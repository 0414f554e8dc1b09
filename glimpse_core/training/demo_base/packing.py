"""The packed questions of one training picture, with what each token is supervised to look at.

All questions of a picture share its tokens: a question attends to the picture and to itself, never to another
question, so nothing leaks and every question is exactly the single-turn prompt that the model sees in use.
"""

import math
import random
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, field

import numpy as np
from tokenizers import Tokenizer

from glimpse_core.glimpse.boxes import box_tokens
from glimpse_core.training.demo_base.text import SYSTEM, UNKNOWN, absent_question, strange_question
from glimpse_core.types import Box, Grid
from glimpse_core.world import Question, Scene, Span, questions
from glimpse_core.world.vocabulary import KINDS

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
PRUNED = 0.5  # share of the questions, and of the pictures, that lose tokens
MISSED = 0.15  # share of the evidence that half of these lose too
MISTAKEN = 0.5  # share of these questions that keep whole things which are no evidence
CLOSE = 6  # so many things next to the evidence are the ones most often mistaken for it


def choose_questions(picture: Scene, rng: random.Random) -> list[Question]:
    """A balanced handful of this picture's questions, with a few that have no evidence."""
    by_type: dict[str, list[Question]] = {}
    for question in questions(picture):
        by_type.setdefault(question.type, []).append(question)
    chosen: list[Question] = []
    for kind, available in by_type.items():
        rng.shuffle(available)
        if kind == "count":  # counting to one is easy: prefer the others
            available.sort(key=lambda question: question.things < 2)
            available = available[:1] + available[-1:]
        chosen += available[: PER_TYPE[kind]]
    present = {thing.kind for thing in picture.things}
    absent = absent_question(rng, present)
    if absent and rng.random() < 0.5:
        chosen.append(Question(absent[0], (Span(absent[1]),), "absent", (), 0))
    if rng.random() < 0.15:
        chosen.append(Question(strange_question(rng), (Span(UNKNOWN),), "strange", (), 0))
    rng.shuffle(chosen)
    return chosen


def careless(text: str, rng: random.Random) -> str:
    """Write some questions the way people type."""
    if rng.random() < 0.15:
        text = text.lower()
    if rng.random() < 0.1:
        text = text.rstrip(".?")
    return text


def corner(rows: int, columns: int) -> Box:
    """The last visual token, where the size of the picture can be read."""
    return ((columns - 1) / columns, (rows - 1) / rows, 1.0, 1.0)


def mistaken(boxes: tuple, things: Sequence[Box], rng: random.Random) -> list[Box]:
    """Things that a predictor might keep as well: mostly none, else up to three, often close to the first box.

    Without them a model learns that whatever is left whole is the answer, and no longer decides for itself.
    """
    if not things or rng.random() >= MISTAKEN:
        return []
    if boxes and rng.random() < 0.5:
        x, y = _middle(boxes[0])
        things = sorted(things, key=lambda box: math.dist(_middle(box), (x, y)))[:CLOSE]
    return rng.sample(things, min(len(things), rng.randint(1, 3)))


def _middle(box: Box) -> tuple[float, float]:
    return (box[0] + box[2]) / 2, (box[1] + box[3]) / 2


def dropping(
    boxes: tuple, classes: np.ndarray, grid: Grid, rng: random.Random, things: Sequence[Box] = ()
) -> np.ndarray:
    """(P,) bool: tokens to lose, all but those under the boxes and a random few. Mostly nothing.

    Half of the time some of the evidence is lost too, as a predictor loses it; never a letter. classes: (P, 4).
    things: boxes of what there is to be `mistaken` for evidence.
    """
    if rng.random() >= PRUNED:
        return np.zeros(grid.tokens, bool)
    chance = np.random.default_rng(rng.getrandbits(32))
    evidence = np.zeros(grid.tokens, bool)
    evidence[box_tokens(boxes, grid)] = True
    evidence &= (classes[:, 2] > 0) | (chance.random(grid.tokens) >= rng.choice((0.0, MISSED)))
    for box in mistaken(boxes, things, rng):
        evidence[box_tokens((box,), grid)] = True
    kept = evidence | (chance.random(grid.tokens) < rng.choice((0.0, 0.02, 0.1, 0.3)))
    if not kept.any():
        kept[rng.randrange(len(kept))] = True  # a pruner keeps at least one
    return ~kept


class Packer:
    """Turns pictures and questions into rows of tokens."""

    def __init__(self, tokenizer: Tokenizer) -> None:
        self.tokenizer = tokenizer
        self.end = self.encode("<|im_end|>")
        self.words = {self.encode(f" {kind}")[0]: kind for kind in KINDS}
        self.half = self.encode(" half")[-1]

    def encode(self, text: str) -> list[int]:
        return self.tokenizer.encode(text, add_special_tokens=False).ids

    def head(self) -> list[int]:
        """What stands before the picture."""
        return self.encode(f"<|im_start|>system\n{SYSTEM}<|im_end|>\n<|im_start|>user\n<|vision_start|>")

    def tail(self, question: str) -> list[int]:
        """What stands after the picture, up to the first answer token."""
        return self.encode(question) + self.encode("<|im_end|>\n<|im_start|>assistant\n")

    def pack(
        self, question: Question, text: str, rows: int, columns: int, named: dict[str, Box] | None = None
    ) -> tuple[list[int], list[int], list[tuple], list[tuple]]:
        """One question with its answer: ids, targets, and for each position the boxes of its two looks.

        named: the boxes of things that one word names; the question's words look at what they name.
        """
        tail = self.tail(text)
        encoding = self.tokenizer.encode(question.answer, add_special_tokens=False)
        answer = encoding.ids + self.end
        ends = np.cumsum([len(span.text) for span in question.spans])
        ids = tail + answer[:-1]
        targets = [-100] * (len(tail) - 1) + answer
        early: list[tuple] = [()] * len(ids)
        evidence: list[tuple] = [()] * len(ids)
        for place, token in enumerate(tail):
            word = self.words.get(token)
            if named and word in named:
                early[place] = (named[word],)
            if question.type == "half" and token == self.half:
                early[place] = (corner(rows, columns),)  # where the middle is follows from where the picture ends
        for index, (_, stop) in enumerate(encoding.offsets):  # a token belongs to the span it ends in
            place = len(tail) - 1 + index
            early[place], evidence[place] = looks(question, int(np.searchsorted(ends, stop)))
        if question.boxes and question.things <= 3:  # the question meets its evidence before the answer begins
            early[len(tail) - 1] = evidence[len(tail) - 1] = question.boxes
        return ids, targets, early, evidence


def looks(question: Question, index: int) -> tuple[tuple, tuple]:
    """Where one looks to write span ``index``: first, and then.

    To name the next thing of a list one first finds the last one named; to name the nearest, the one asked about; to
    compare two places, one after the other.
    """
    boxes = question.spans[index].boxes
    if question.type in ("scene", "half", "count"):
        return (question.spans[index - 1].boxes if index and boxes else ()), boxes
    if question.type == "nearest":
        return boxes[1:], boxes[:1]
    if question.type == "relation":
        return boxes[:1], boxes[1:]
    return boxes, boxes


@dataclass
class Row:
    """The packed questions of one picture, one entry per token; the fields are those of `BaseBatch`, as boxes."""

    ids: list[int] = field(default_factory=list)
    targets: list[int] = field(default_factory=list)
    block: list[int] = field(default_factory=list)
    offset: list[int] = field(default_factory=list)
    early: list[tuple] = field(default_factory=list)
    evidence: list[tuple] = field(default_factory=list)
    covered: list[tuple] = field(default_factory=list)
    answering: list[bool] = field(default_factory=list)
    dropped: list[np.ndarray] = field(default_factory=list)  # (P,) bool each

    def add(self, index: int, packed: tuple[list, list, list, list], boxes: tuple, dropped: np.ndarray) -> None:
        """Append question number `index`. packed: as `Packer.pack` gives it; boxes: all its evidence."""
        ids, targets, early, evidence = packed
        asked = next(place for place, target in enumerate(targets) if target != -100) + 1  # tokens of the question
        self.ids += ids
        self.targets += targets
        self.block += [index] * len(ids)
        self.offset += range(len(ids))
        self.early += early
        self.evidence += evidence
        self.covered += [()] * (asked - 1) + [boxes] + [()] * (len(ids) - asked)
        self.answering += [False] * asked + [True] * (len(ids) - asked)
        self.dropped += [dropped] * len(ids)


def pack_row(packer: Packer, picture: Scene, classes: np.ndarray, grid: Grid, rng: random.Random) -> Row:
    """Choose a picture's questions and pack them. classes: (P, 4), of `dense_targets`."""
    row, kinds = Row(), Counter(thing.kind for thing in picture.things)
    named = {t.kind: picture.normalized(t.body) for t in picture.things if kinds[t.kind] == 1}
    things = [picture.normalized(rng.choice((t.box, t.body))) for t in picture.things]
    for index, question in enumerate(choose_questions(picture, rng)):
        packed = packer.pack(question, careless(question.text, rng), grid.rows, grid.cols, named)
        row.add(index, packed, question.boxes, dropping(question.boxes, classes, grid, rng, things))
    return row
