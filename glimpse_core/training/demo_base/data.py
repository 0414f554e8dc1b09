"""Training batches of the demo base model: images of one size, each with many packed questions (`packing`).

B images, H x W pixels, P visual tokens (28 px each), Q packed question and answer tokens.
"""

import random
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from tokenizers import Tokenizer
from torch import Tensor
from torch.utils.data import IterableDataset

from glimpse_core.glimpse.boxes import box_tokens
from glimpse_core.training.demo_base.curriculum import CURRICULUM, Stage, stage_at
from glimpse_core.training.demo_base.packing import Packer, dropping, pack_row
from glimpse_core.types import Box, Grid
from glimpse_core.world import HELD_OUT, Scene
from glimpse_core.world import scene as draw_scene
from glimpse_core.world.vocabulary import ALPHABET, COLORS, KINDS

TOKEN = 28  # pixels per visual token
TEXT_TOKENS = 330  # typical packed length, for the batch budget
AHEAD = 0.3  # share of the batches that come from a later stage of the curriculum
DEPTHS = (5, 6)  # layers that run before tokens are lost
LEFT = (0.2, 0.5, 1.0)  # shares of an image's things that its visual tokens still see after that


@dataclass
class BaseBatch:
    """The data of one step. Questions are blocks, numbered from 0; padding has block -1."""

    pixels: Tensor  # (B, H, W, 3) uint8
    ids: Tensor  # (B, Q) long
    targets: Tensor  # (B, Q) long: the next token where it is an answer token, else -100
    block: Tensor  # (B, Q) long
    offset: Tensor  # (B, Q) long: index of the token in its block
    early: Tensor  # (B, Q, P) bool: supervised in an early layer: the thing that is named, in a list the item before
    evidence: Tensor  # (B, Q, P) bool: the visual tokens that the next token is read from
    points: Tensor  # (B, Q, 2, 2) float: middle of `early`'s and `evidence`'s box in tokens; negative if not one
    covered: Tensor  # (B, Q, P) bool: at the last token of a question, all visual tokens of its evidence; else False
    dropped: Tensor  # (B, Q, P) bool: visual tokens that this question loses at layer `depth`
    answering: Tensor  # (B, Q) bool: answer tokens, which never see what was dropped, as in a pruned cache
    alone: Tensor  # (B, P) bool: visual tokens that the other visual tokens lose at layer `depth`
    depth: int  # layers that run before tokens are lost
    dense: Tensor  # (B, P, 4) long: kind, color, letter, position of the letter; 0 is "nothing"
    centers: Tensor  # (B, P, 2) float: x, y of the thing under the token (else of the token), in tokens

    @property
    def rows(self) -> int:
        """Visual tokens down an image."""
        return self.pixels.shape[1] // TOKEN

    @property
    def columns(self) -> int:
        """Visual tokens across an image."""
        return self.pixels.shape[2] // TOKEN


def tokens_in(boxes: Sequence[Box], rows: int, columns: int) -> NDArray[np.bool_]:
    """Return (rows * columns,) bool: tokens with their center in a normalized box, or the nearest one if none has."""
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


def dense_targets(scene: Scene) -> tuple[NDArray[np.int64], NDArray[np.float32]]:
    """Return what lies under every visual token: (P, 4) classes and (P, 2) centers in tokens."""
    rows, columns = scene.height // TOKEN, scene.width // TOKEN
    classes = np.zeros((rows, columns, 4), np.int64)
    y, x = np.mgrid[0:rows, 0:columns] + 0.5
    centers = np.stack([x, y], -1).astype(np.float32)
    kinds, colors = list(KINDS), list(COLORS)
    for thing in scene.things:
        kind, color = 1 + kinds.index(thing.kind), 1 + colors.index(thing.color)
        middle = (thing.center[0] / TOKEN, thing.center[1] / TOKEN)
        parts = [(thing.body, 0, 0)]
        parts += [
            (box, 1 + ALPHABET.index(letter), place)
            for place, (letter, box) in enumerate(zip(thing.label, thing.letter_boxes, strict=True), 1)
        ]
        for box, letter, place in parts:
            inside = tokens_in((scene.normalized(box),), rows, columns).reshape(rows, columns)
            classes[inside] = (kind, color, letter, place)
            centers[inside] = middle
    return classes.reshape(-1, 4), centers.reshape(-1, 2)


def make_batch(packer: Packer, rng: random.Random, stage: Stage, budget: int) -> BaseBatch:
    """Draw one batch: as many images of one random size as fit a budget of tokens.

    Args:
        packer: encodes the questions.
        rng: draws everything.
        stage: sizes of images and numbers of objects.
        budget: visual and text tokens of the batch, about.
    """
    width, height = rng.choice(stage.sides), rng.choice(stage.sides)
    grid = Grid(height // TOKEN, width // TOKEN)
    size = max(2, round(budget / (grid.tokens + TEXT_TOKENS)))
    scenes = [draw_scene(rng.randrange(HELD_OUT), size=(width, height), objects=stage.objects) for _ in range(size)]
    dense = [dense_targets(scene) for scene in scenes]
    packed = [pack_row(packer, scene, one[0], grid, rng) for scene, one in zip(scenes, dense, strict=True)]
    length = max(len(row.ids) for row in packed)

    def padded(name: str, fill: int) -> Tensor:
        rows = [getattr(row, name) for row in packed]
        return torch.tensor([row + [fill] * (length - len(row)) for row in rows])

    def masks(name: str, inside: Callable[[Any], Any]) -> Tensor:
        """Return (B, Q, P) bool. inside: makes of an entry that is not empty an index of visual tokens."""
        found = np.zeros((size, length, grid.tokens), bool)
        for index, row in enumerate(packed):
            for place, entry in enumerate(getattr(row, name)):
                if len(entry):
                    found[index, place, inside(entry)] = True
        return torch.from_numpy(found)

    def centers_in(boxes: Sequence[Box]) -> NDArray[np.bool_]:
        return tokens_in(boxes, grid.rows, grid.cols)

    points = torch.full((size, length, 2, 2), -1.0)
    for index, row in enumerate(packed):
        for look, entries in enumerate((row.early, row.evidence)):
            for place, boxes in enumerate(entries):
                if len(boxes) == 1:
                    x1, y1, x2, y2 = boxes[0]
                    points[index, place, look] = torch.tensor([(x1 + x2) / 2 * grid.cols, (y1 + y2) / 2 * grid.rows])
    shares = [rng.choice(LEFT) for _ in scenes]
    some = [
        tuple(p.normalized(t.box) for t in p.things if rng.random() < share)
        for p, share in zip(scenes, shares, strict=True)
    ]
    alone = [dropping(boxes, one[0], grid, rng) for boxes, one in zip(some, dense, strict=True)]
    return BaseBatch(
        pixels=torch.from_numpy(np.stack([np.asarray(scene.image) for scene in scenes])),
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


class BaseData(IterableDataset[BaseBatch]):
    """An endless stream of batches, at the stage of the trainer's progress, which is a tensor in shared memory."""

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
