"""The packed questions of one training image, with the boxes that each token is supervised to attend to.

All questions of an image share its tokens: a question attends to the image and to itself, never to another
question, so nothing leaks and every question is exactly the single-turn prompt that the model sees in use.
"""

import random
from collections import Counter
from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray
from tokenizers import Tokenizer

from glimpse_core.training.demo_base.choose import careless, page_choice, scene_choice
from glimpse_core.training.demo_base.dropping import dropping, strays
from glimpse_core.training.demo_base.looks import Boxes, Finder, answer_looks, corner, page_finder, question_looks
from glimpse_core.training.demo_base.targets import Dense
from glimpse_core.training.demo_base.text import SYSTEM
from glimpse_core.types import IGNORED_LABEL, Box, Grid
from glimpse_core.world import Page, Question, Scene

MOST_TOKENS = 380  # of an image's questions and answers, so that the rows of a batch are about equally long
MOST_EVIDENCE = 3  # boxes that the question's last token is supervised to attend to in the look layers


@dataclass(frozen=True)
class Packed:
    """One question with its answer: one entry per token."""

    ids: list[int]
    targets: list[int]  # the next token where it is an answer token, else `IGNORED_LABEL`
    early: list[Boxes]
    evidence: list[Boxes]


class Packer:
    """Turns questions into token ids and their supervision."""

    def __init__(self, tokenizer: Tokenizer) -> None:
        self.tokenizer = tokenizer
        self.end = self.encode("<|im_end|>")

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

    def pack(self, question: Question, text: str, grid: Grid, finder: Finder | None = None) -> Packed:
        """Encode one question with its answer.

        Args:
            question: the question.
            text: its wording.
            grid: of the image.
            finder: where its words and answer are read; None: nothing is named.
        """
        finder = finder or Finder({}, {})
        tail = self.tail(text)
        encoding = self.tokenizer.encode(question.answer, add_special_tokens=False)
        answer = encoding.ids + self.end
        ids = tail + answer[:-1]
        targets = [IGNORED_LABEL] * (len(tail) - 1) + answer
        early: list[Boxes] = [()] * len(ids)
        evidence: list[Boxes] = [()] * len(ids)
        asked = self.tokenizer.encode(text, add_special_tokens=False)
        named = question_looks(question, text, asked, finder, corner(grid.rows, grid.cols))
        early[: len(named)] = named
        for place, look in enumerate(answer_looks(question, encoding, finder), len(tail) - 1):
            early[place], evidence[place] = look
        if question.boxes and question.things <= MOST_EVIDENCE:  # it meets its evidence before the answer begins
            early[len(tail) - 1] = evidence[len(tail) - 1] = question.boxes
        return Packed(ids, targets, early, evidence)


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
    types: list[str] = field(default_factory=list)  # one per question

    def add(self, packed: Packed, question: Question, dropped: NDArray[np.bool_]) -> None:
        """Append a question. dropped: (P,) bool, visual tokens that it loses."""
        asked = next(place for place, target in enumerate(packed.targets) if target != IGNORED_LABEL) + 1
        length = len(packed.ids)
        self.ids += packed.ids
        self.targets += packed.targets
        self.block += [len(self.types)] * length
        self.offset += range(length)
        self.early += packed.early
        self.evidence += packed.evidence
        self.covered += [()] * (asked - 1) + [question.boxes] + [()] * (length - asked)
        self.answering += [False] * asked + [True] * (length - asked)
        self.dropped += [dropped] * length
        self.types.append(question.type)


def pack_scene(
    packer: Packer, scene: Scene, dense: Dense, grid: Grid, rng: random.Random, mode: str, most: int = MOST_TOKENS
) -> Row:
    """Choose the questions of a scene and pack them. mode: of `dropping.MODES`. most: tokens, about."""
    kinds = Counter(thing.kind for thing in scene.things)
    named = {thing.kind: scene.normalized(thing.body) for thing in scene.things if kinds[thing.kind] == 1}
    things = [scene.normalized(rng.choice((thing.box, thing.body))) for thing in scene.things]
    asked = [(question, careless(question.text, rng)) for question in scene_choice(scene, rng)]
    return _pack(packer, asked, Finder(named, {}), things, dense, grid, rng, mode, most)


def pack_page(
    packer: Packer, page: Page, dense: Dense, grid: Grid, rng: random.Random, mode: str, most: int = MOST_TOKENS
) -> Row:
    """Choose the questions of a page and pack them. mode: of `dropping.MODES`. most: tokens, about."""
    asked = [(question, careless(question.text, rng, whole=False)) for question in page_choice(page, rng)]
    return _pack(packer, asked, page_finder(page), [cell.box for cell in page.cells], dense, grid, rng, mode, most)


def _pack(
    packer: Packer,
    asked: list[tuple[Question, str]],
    finder: Finder,
    things: list[Box],
    dense: Dense,
    grid: Grid,
    rng: random.Random,
    mode: str,
    most: int,
) -> Row:
    """Pack as many questions as there is room for, at least one. All of them keep the same stray tokens."""
    row, stray = Row(), strays(grid, rng)
    for question, text in asked:
        if row.ids and len(row.ids) >= most:
            break
        packed = packer.pack(question, text, grid, finder)
        if not row.ids or len(row.ids) + len(packed.ids) <= most:
            lost = dropping(question.boxes, dense.letters, grid, rng, things, mode, stray)
            row.add(packed, question, lost)
    return row
