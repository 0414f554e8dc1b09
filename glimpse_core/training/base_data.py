"""Training batches for the demo base model: pictures of one size, each with many packed questions.

All questions of a picture share its tokens: a question attends to the picture and to itself, never to another
question, so nothing leaks and every question is exactly the single-turn prompt that the model sees in use.

B pictures, H x W pixels, P visual tokens (28 px each), Q packed question and answer tokens.
"""

import random
from collections import Counter
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import torch
from tokenizers import Tokenizer
from torch import Tensor
from torch.utils.data import IterableDataset

from glimpse_core.boxes import box_tokens
from glimpse_core.training.demo_text import SYSTEM, UNKNOWN, absent_question, strange_question
from glimpse_core.types import Grid
from glimpse_core.world import HELD_OUT, Question, Scene, Span, questions, scene
from glimpse_core.world.scene import SIDES, Box
from glimpse_core.world.vocabulary import ALPHABET, COLORS, KINDS

TOKEN = 28  # pixels per visual token
PER_TYPE = {
    "color": 1,
    "name": 1,
    "read": 3,
    "describe": 1,
    "relation": 1,
    "nearest": 3,
    "count": 2,
    "exist": 1,
    "half": 3,
    "scene": 1,
}
TEXT_TOKENS = 330  # typical packed length, for the batch budget
AHEAD = 0.3  # share of the batches that come from a later stage of the curriculum
PRUNED = 0.4  # share of the questions, and of the pictures, that lose tokens
MISSED = 0.15  # share of the evidence that half of these lose too
DEPTHS = (5, 6)  # layers that run before tokens are lost


@dataclass
class BaseBatch:
    """One step's data. ``text`` blocks are numbered from 0, padding has block -1."""

    pixels: Tensor  # (B, H, W, 3) uint8
    ids: Tensor  # (B, Q) long
    targets: Tensor  # (B, Q) long: the next token where it is an answer token, else -100
    block: Tensor  # (B, Q) long
    offset: Tensor  # (B, Q) long: place of the token in its block
    early: Tensor  # (B, Q, P) bool: where to look first: at the thing that is named, in a list at the item before
    evidence: Tensor  # (B, Q, P) bool: the visual tokens that the next token is read from
    points: Tensor  # (B, Q, 2, 2) float: x, y of the middle of either look in tokens; negative where it is not one box
    covered: Tensor  # (B, Q, P) bool: at the last token of a question, all visual tokens of its evidence; else nothing
    dropped: Tensor  # (B, Q, P) bool: visual tokens that this question loses behind layer `depth`
    answering: Tensor  # (B, Q) bool: answer tokens, which never see what was dropped, as in a pruned cache
    alone: Tensor  # (B, P) bool: visual tokens that the other visual tokens lose behind layer `depth`
    depth: int  # layers that run before tokens are lost
    dense: Tensor  # (B, P, 4) long: kind, color, letter, place of the letter; 0 is "nothing"
    centers: Tensor  # (B, P, 2) float: x, y of the thing under the token (else of the token), in tokens

    @property
    def rows(self) -> int:
        """Visual tokens down a picture."""
        return self.pixels.shape[1] // TOKEN

    @property
    def columns(self) -> int:
        """Visual tokens across a picture."""
        return self.pixels.shape[2] // TOKEN


@dataclass(frozen=True)
class Stage:
    """One step of the curriculum, in force until ``until`` (share of the whole run)."""

    until: float
    sides: tuple[int, ...]
    objects: tuple[int, int]
    dense_only: bool = False


CURRICULUM = (
    Stage(0.10, SIDES[:3], (3, 6), dense_only=True),
    Stage(0.65, SIDES[:3], (3, 6)),
    Stage(0.80, SIDES[:5], (3, 9)),
    Stage(1.01, SIDES, (3, 14)),
)


FURTHER = (  # for weights that know the pictures already
    Stage(0.45, SIDES[:3], (3, 6)),
    Stage(0.55, SIDES[:5], (3, 9)),
    Stage(1.01, SIDES, (3, 14)),
)


def stage_at(progress: float, curriculum: tuple[Stage, ...] = CURRICULUM) -> Stage:
    """The stage of the curriculum at a share of the run in 0..1."""
    return next(stage for stage in curriculum if progress < stage.until)


def tokens_in(boxes: tuple, rows: int, columns: int) -> np.ndarray:
    """(rows * columns,) bool: tokens whose center lies in a normalized box; the nearest one where none does."""
    mask = np.zeros((rows, columns), bool)
    for x1, y1, x2, y2 in boxes:
        left, right = int(np.ceil(x1 * columns - 0.5)), int(np.floor(x2 * columns - 0.5))
        top, bottom = int(np.ceil(y1 * rows - 0.5)), int(np.floor(y2 * rows - 0.5))
        if left > right:
            left = right = int((x1 + x2) / 2 * columns)
        if top > bottom:
            top = bottom = int((y1 + y2) / 2 * rows)
        mask[max(top, 0) : bottom + 1, max(left, 0) : right + 1] = True
    return mask.reshape(-1)


def dense_targets(picture: Scene) -> tuple[np.ndarray, np.ndarray]:
    """What lies under every visual token: (P, 4) classes and (P, 2) centers in tokens."""
    rows, columns = picture.height // TOKEN, picture.width // TOKEN
    classes = np.zeros((rows, columns, 4), np.int64)
    y, x = np.mgrid[0:rows, 0:columns] + 0.5
    centers = np.stack([x, y], -1).astype(np.float32)
    kinds, colors = list(KINDS), list(COLORS)
    for thing in picture.things:
        kind, color = 1 + kinds.index(thing.kind), 1 + colors.index(thing.color)
        middle = (thing.center[0] / TOKEN, thing.center[1] / TOKEN)
        parts = [(thing.body, 0, 0)]
        parts += [
            (box, 1 + ALPHABET.index(letter), place)
            for place, (letter, box) in enumerate(zip(thing.label, thing.letter_boxes, strict=True), 1)
        ]
        for box, letter, place in parts:
            inside = tokens_in((picture.normalized(box),), rows, columns).reshape(rows, columns)
            classes[inside] = (kind, color, letter, place)
            centers[inside] = middle
    return classes.reshape(-1, 4), centers.reshape(-1, 2)


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


def dropping(boxes: tuple, classes: np.ndarray, grid: Grid, rng: random.Random) -> np.ndarray:
    """(P,) bool: tokens to lose, all but those under the boxes and a random few. Mostly nothing.

    Half of the time some of the evidence is lost too, as a predictor loses it; never a letter. classes: (P, 4).
    """
    if rng.random() >= PRUNED:
        return np.zeros(grid.tokens, bool)
    chance = np.random.default_rng(rng.getrandbits(32))
    evidence = np.zeros(grid.tokens, bool)
    evidence[box_tokens(boxes, grid)] = True
    evidence &= (classes[:, 2] > 0) | (chance.random(grid.tokens) >= rng.choice((0.0, MISSED)))
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
    for index, question in enumerate(choose_questions(picture, rng)):
        packed = packer.pack(question, careless(question.text, rng), grid.rows, grid.cols, named)
        row.add(index, packed, question.boxes, dropping(question.boxes, classes, grid, rng))
    return row


def make_batch(packer: Packer, rng: random.Random, stage: Stage, budget: int) -> BaseBatch:
    """Draw one batch: as many pictures of one random size as fit the budget of tokens."""
    width, height = rng.choice(stage.sides), rng.choice(stage.sides)
    grid = Grid(height // TOKEN, width // TOKEN)
    size = max(2, round(budget / (grid.tokens + TEXT_TOKENS)))
    pictures = [scene(rng.randrange(HELD_OUT), size=(width, height), objects=stage.objects) for _ in range(size)]
    dense = [dense_targets(picture) for picture in pictures]
    packed = [pack_row(packer, picture, one[0], grid, rng) for picture, one in zip(pictures, dense, strict=True)]
    length = max(len(row.ids) for row in packed)

    def padded(name: str, fill: int) -> Tensor:
        rows = [getattr(row, name) for row in packed]
        return torch.tensor([row + [fill] * (length - len(row)) for row in rows])

    def masks(name: str, inside: Callable[[Any], Any]) -> Tensor:
        """inside: what names visual tokens, from an entry that is not empty."""
        found = np.zeros((size, length, grid.tokens), bool)
        for index, row in enumerate(packed):
            for place, entry in enumerate(getattr(row, name)):
                if len(entry):
                    found[index, place, inside(entry)] = True
        return torch.from_numpy(found)

    def centers_in(boxes: tuple) -> np.ndarray:
        return tokens_in(boxes, grid.rows, grid.cols)

    points = torch.full((size, length, 2, 2), -1.0)
    for index, row in enumerate(packed):
        for look, entries in enumerate((row.early, row.evidence)):
            for place, boxes in enumerate(entries):
                if len(boxes) == 1:
                    x1, y1, x2, y2 = boxes[0]
                    points[index, place, look] = torch.tensor([(x1 + x2) / 2 * grid.cols, (y1 + y2) / 2 * grid.rows])
    some = [tuple(p.normalized(t.box) for t in p.things if rng.random() < 0.5) for p in pictures]
    alone = [dropping(boxes, one[0], grid, rng) for boxes, one in zip(some, dense, strict=True)]
    return BaseBatch(
        pixels=torch.from_numpy(np.stack([np.asarray(picture.image) for picture in pictures])),
        ids=padded("ids", 0),
        targets=padded("targets", -100),
        block=padded("block", -1),
        offset=padded("offset", 0),
        early=masks("early", centers_in),
        evidence=masks("evidence", centers_in),
        points=points,
        covered=masks("covered", lambda boxes: box_tokens(boxes, grid)),
        dropped=masks("dropped", lambda lost: lost),
        answering=padded("answering", False),
        alone=torch.from_numpy(np.stack(alone)),
        depth=rng.choice(DEPTHS),
        dense=torch.from_numpy(np.stack([one[0] for one in dense])),
        centers=torch.from_numpy(np.stack([one[1] for one in dense])),
    )


class BaseData(IterableDataset):
    """An endless stream of batches; the trainer's progress, shared through memory, sets the stage."""

    def __init__(
        self, tokenizer_file: str, seed: int, progress: Tensor, budget: int, curriculum: tuple[Stage, ...] = CURRICULUM
    ) -> None:
        self.tokenizer_file, self.seed, self.progress, self.budget = tokenizer_file, seed, progress, budget
        self.curriculum = curriculum

    def __iter__(self) -> Iterator[BaseBatch]:
        torch.set_num_threads(1)
        packer = Packer(Tokenizer.from_file(self.tokenizer_file))
        worker = torch.utils.data.get_worker_info()
        rng = random.Random(f"{self.seed}-{worker.id if worker else 0}")
        while True:
            stage = stage_at(float(self.progress), self.curriculum)
            later = [other for other in self.curriculum if other.until > stage.until]
            if later and not stage.dense_only and rng.random() < AHEAD:
                stage = rng.choice(later)
            yield make_batch(packer, rng, stage, self.budget)
