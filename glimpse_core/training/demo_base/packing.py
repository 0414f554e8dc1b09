"""The packed questions of one training image, with the boxes that each token is supervised to attend to.

All questions of an image share its tokens: a question attends to the image and to itself, never to another
question, so nothing leaks and every question is exactly the single-turn prompt that the model sees in use.
"""

import math
import random
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray
from tokenizers import Tokenizer

from glimpse_core.glimpse.boxes import box_tokens
from glimpse_core.training.demo_base.text import SYSTEM, UNKNOWN, absent_question, strange_question
from glimpse_core.types import Box, Grid
from glimpse_core.world import Question, Scene, Span, questions
from glimpse_core.world.vocabulary import KINDS

Boxes = tuple[Box, ...]
Packed = tuple[list[int], list[int], list[Boxes], list[Boxes]]  # ids, targets, early, evidence: one entry per token
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
PRUNED = 0.5  # share of the questions, and of the images, that lose tokens
MISSED = 0.15  # share of the evidence that half of these lose, too
MISTAKEN = 0.5  # share of these questions that keep whole things which are no evidence
CLOSE = 6  # number of things next to the evidence that are most often mistaken for it


def choose_questions(scene: Scene, rng: random.Random) -> list[Question]:
    """Choose a balanced handful of a scene's questions, with a few that have no evidence."""
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
    present = {thing.kind for thing in scene.things}
    absent = absent_question(rng, present)
    if absent and rng.random() < 0.5:
        chosen.append(Question(absent[0], (Span(absent[1]),), "absent", (), 0))
    if rng.random() < 0.15:
        chosen.append(Question(strange_question(rng), (Span(UNKNOWN),), "strange", (), 0))
    rng.shuffle(chosen)
    return chosen


def careless(text: str, rng: random.Random) -> str:
    """Return the question, sometimes in lower case or without its punctuation mark."""
    if rng.random() < 0.15:
        text = text.lower()
    if rng.random() < 0.1:
        text = text.rstrip(".?")
    return text


def corner(rows: int, columns: int) -> Box:
    """Return the box of the last visual token, from which the size of the image can be read."""
    return ((columns - 1) / columns, (rows - 1) / rows, 1.0, 1.0)


def mistaken(boxes: Boxes, things: Sequence[Box], rng: random.Random) -> list[Box]:
    """Draw things that a predictor might keep as well: mostly none, else up to three, often close to the first box.

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
    boxes: Boxes, classes: NDArray[np.int64], grid: Grid, rng: random.Random, things: Sequence[Box] = ()
) -> NDArray[np.bool_]:
    """Draw the tokens to lose: half of the time none, else all but those under the boxes and a random few.

    Half of these times some of the evidence is lost, too, as a predictor loses it; never a letter.

    Args:
        boxes: evidence, normalized.
        classes: (P, 4), of `dense_targets`.
        grid: of the image.
        rng: draws everything.
        things: boxes that may be `mistaken` for evidence.

    Returns:
        (P,) bool, True at tokens to lose.
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
    """Turns questions into token ids and their supervision."""

    def __init__(self, tokenizer: Tokenizer) -> None:
        self.tokenizer = tokenizer
        self.end = self.encode("<|im_end|>")
        self.words = {self.encode(f" {kind}")[0]: kind for kind in KINDS}
        self.half = self.encode(" half")[-1]

    def encode(self, text: str) -> list[int]:
        """Return the ids of a text; names of special tokens in it are special."""
        ids: list[int] = self.tokenizer.encode(text, add_special_tokens=False).ids
        return ids

    def head(self) -> list[int]:
        """Return the ids before the image."""
        return self.encode(f"<|im_start|>system\n{SYSTEM}<|im_end|>\n<|im_start|>user\n<|vision_start|>")

    def tail(self, question: str) -> list[int]:
        """Return the ids after the image, up to the first answer token."""
        return self.encode(question) + self.encode("<|im_end|>\n<|im_start|>assistant\n")

    def pack(
        self, question: Question, text: str, rows: int, columns: int, named: dict[str, Box] | None = None
    ) -> Packed:
        """Encode one question with its answer.

        Args:
            question: the question.
            text: its wording.
            rows, columns: visual tokens of the image.
            named: boxes of the things that one word names; the question's words are supervised to attend to them.

        Returns:
            ids, targets, and for each position the boxes of the early and of the later attention.
        """
        tail = self.tail(text)
        encoding = self.tokenizer.encode(question.answer, add_special_tokens=False)
        answer = encoding.ids + self.end
        ends = np.cumsum([len(span.text) for span in question.spans])
        ids = tail + answer[:-1]
        targets = [-100] * (len(tail) - 1) + answer
        early: list[Boxes] = [()] * len(ids)
        evidence: list[Boxes] = [()] * len(ids)
        for place, token in enumerate(tail):
            word = self.words.get(token)
            if named and word in named:
                early[place] = (named[word],)
            if question.type == "half" and token == self.half:
                early[place] = (corner(rows, columns),)  # the middle follows from where the image ends
        for index, (_, stop) in enumerate(encoding.offsets):  # a token belongs to the span it ends in
            place = len(tail) - 1 + index
            early[place], evidence[place] = looks(question, int(np.searchsorted(ends, stop)))
        if question.boxes and question.things <= 3:  # the question meets its evidence before the answer begins
            early[len(tail) - 1] = evidence[len(tail) - 1] = question.boxes
        return ids, targets, early, evidence


def looks(question: Question, index: int) -> tuple[Boxes, Boxes]:
    """Return the boxes that writing span `index` attends to, in an early layer and later.

    To name the next thing of a list, the last one named is found first; to name the nearest, the one asked about; two
    places are compared one after the other.
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
    """The packed questions of one image, one entry per token; the fields are those of `BaseBatch`, as boxes."""

    ids: list[int] = field(default_factory=list)
    targets: list[int] = field(default_factory=list)
    block: list[int] = field(default_factory=list)
    offset: list[int] = field(default_factory=list)
    early: list[Boxes] = field(default_factory=list)
    evidence: list[Boxes] = field(default_factory=list)
    covered: list[Boxes] = field(default_factory=list)
    answering: list[bool] = field(default_factory=list)
    dropped: list[NDArray[np.bool_]] = field(default_factory=list)  # (P,) bool each

    def add(self, index: int, packed: Packed, boxes: Boxes, dropped: NDArray[np.bool_]) -> None:
        """Append a question.

        Args:
            index: number of the question.
            packed: as `Packer.pack` returns it.
            boxes: all its evidence.
            dropped: (P,) bool, visual tokens that it loses.
        """
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


def pack_row(packer: Packer, scene: Scene, classes: NDArray[np.int64], grid: Grid, rng: random.Random) -> Row:
    """Choose the questions of a scene and pack them. classes: (P, 4), of `dense_targets`."""
    row, kinds = Row(), Counter(thing.kind for thing in scene.things)
    named = {t.kind: scene.normalized(t.body) for t in scene.things if kinds[t.kind] == 1}
    things = [scene.normalized(rng.choice((t.box, t.body))) for t in scene.things]
    for index, question in enumerate(choose_questions(scene, rng)):
        packed = packer.pack(question, careless(question.text, rng), grid.rows, grid.cols, named)
        row.add(index, packed, question.boxes, dropping(question.boxes, classes, grid, rng, things))
    return row
