"""Training batches of the demo base model: images of one size, each with many packed questions (`packing`).

B images, H x W pixels, P visual tokens (28 px each), Q packed question and answer tokens.
"""

import random
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from tokenizers import Tokenizer
from torch import Tensor
from torch.utils.data import IterableDataset

from glimpse_core.glimpse.boxes import box_tokens
from glimpse_core.training.demo_base.dropping import draw_mode, dropping
from glimpse_core.training.demo_base.packing import MOST_TOKENS, Packer, Row, pack_page, pack_scene
from glimpse_core.training.demo_base.recipe import Recipe, Stage
from glimpse_core.training.demo_base.targets import TOKEN, Dense, page_targets, scene_targets, tokens_in
from glimpse_core.types import IGNORED_LABEL, Grid
from glimpse_core.world import HELD_OUT, Page, Scene, page, scene

TUNING = 9_000_000  # images with this seed and above are never trained on, but tuned to
TEXT_TOKENS = 330  # typical packed length, for the batch budget
LEFT = (0.2, 0.5, 1.0)  # shares of an image's things that its visual tokens still see where few questions lose tokens


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
    dense: Tensor  # (B, P, 7) long: columns of `targets.FIELDS`
    centers: Tensor  # (B, P, 2) float: x, y of the thing under the token (else of the token), in tokens
    types: list[list[str]]  # type of every question of every image

    @property
    def rows(self) -> int:
        """Visual tokens down an image."""
        return self.pixels.shape[1] // TOKEN

    @property
    def columns(self) -> int:
        """Visual tokens across an image."""
        return self.pixels.shape[2] // TOKEN


def make_batch(
    packer: Packer,
    rng: random.Random,
    stage: Stage,
    budget: int,
    depths: tuple[int, ...],
    seeds: tuple[int, int] = (0, TUNING),
    mode: str | None = None,
) -> BaseBatch:
    """Draw one batch: as many images of one random size as fit a budget of tokens.

    Args:
        packer: encodes the questions.
        rng: draws everything.
        stage: sizes of images and numbers of objects.
        budget: visual and text tokens of the batch, about; in a stage without answers half as many, all visual.
        depths: numbers of layers that may run before tokens are lost.
        seeds: first seed of images, and the one after the last.
        mode: of `dropping.MODES`; None draws one.
    """
    if seeds[1] > HELD_OUT:
        raise ValueError(f"Seeds up to {seeds[1]} were given. Expected seeds below {HELD_OUT}: others are held out.")
    mode = mode or draw_mode(rng)
    budget, text, most = (budget // 2, 0, 1) if stage.dense_only else (budget, TEXT_TOKENS, MOST_TOKENS)
    packed: list[Row] = []
    dense: list[Dense] = []
    pictures: list[Scene | Page] = []
    shows_pages, side = rng.random() < stage.pages, lambda sides: (rng.choice(sides), rng.choice(sides))
    size = side(stage.page_sides) if stage.page_sides and shows_pages else None if shows_pages else side(stage.sides)
    count = 1
    while len(pictures) < count:
        seed = rng.randrange(*seeds)
        picture = page(seed, size=size) if shows_pages else scene(seed, size=size, objects=stage.objects)
        size = (picture.width, picture.height)
        grid = Grid(picture.height // TOKEN, picture.width // TOKEN)
        count = max(1, round(budget / (grid.tokens + text)))
        pictures.append(picture)
        if isinstance(picture, Page):
            dense.append(page_targets(picture, packer.tokenizer))
            packed.append(pack_page(packer, picture, dense[-1], grid, rng, mode, most))
        else:
            dense.append(scene_targets(picture, packer.tokenizer))
            packed.append(pack_scene(packer, picture, dense[-1], grid, rng, mode, most))
    alone = [_alone(*one, grid, rng, mode) for one in zip(pictures, packed, dense, strict=True)]
    return _collate(pictures, packed, dense, alone, grid, rng.choice(depths))


def _alone(
    picture: Scene | Page, row: Row, dense: Dense, grid: Grid, rng: random.Random, mode: str
) -> NDArray[np.bool_]:
    """Return (P,) bool: visual tokens that no other visual token sees once tokens are lost.

    Where all questions lose tokens these are the ones that none of them keeps; else those outside of some things.
    """
    if mode == "all":
        return np.logical_and.reduce(row.dropped)
    share = rng.choice(LEFT)
    boxes = (
        [cell.box for cell in picture.cells]
        if isinstance(picture, Page)
        else [picture.normalized(thing.box) for thing in picture.things]
    )
    return dropping(tuple(box for box in boxes if rng.random() < share), dense.letters, grid, rng, mode=mode)


def _collate(
    pictures: list[Scene | Page],
    packed: list[Row],
    dense: list[Dense],
    alone: list[NDArray[np.bool_]],
    grid: Grid,
    depth: int,
) -> BaseBatch:
    length = max(len(row.ids) for row in packed)

    def padded(name: str, fill: int) -> Tensor:
        rows = [getattr(row, name) for row in packed]
        return torch.tensor([row + [fill] * (length - len(row)) for row in rows])

    def masks(name: str, inside: Callable[[Any], Any]) -> Tensor:
        return _masks([getattr(row, name) for row in packed], length, grid.tokens, inside)

    return BaseBatch(
        pixels=torch.from_numpy(np.stack([np.asarray(picture.image) for picture in pictures])),
        ids=padded("ids", 0),
        targets=padded("targets", IGNORED_LABEL),
        block=padded("block", -1),
        offset=padded("offset", 0),
        early=masks("early", lambda boxes: tokens_in(boxes, grid.rows, grid.cols)),
        evidence=masks("evidence", lambda boxes: tokens_in(boxes, grid.rows, grid.cols)),
        points=_points(packed, length, grid),
        covered=masks("covered", lambda boxes: box_tokens(boxes, grid)),
        dropped=masks("dropped", lambda lost: lost),
        answering=padded("answering", False),
        alone=torch.from_numpy(np.stack(alone)),
        depth=depth,
        dense=torch.from_numpy(np.stack([one.classes for one in dense])),
        centers=torch.from_numpy(np.stack([one.centers for one in dense])),
        types=[row.types for row in packed],
    )


def _masks(rows: list[list[Any]], length: int, tokens: int, inside: Callable[[Any], Any]) -> Tensor:
    """Return (B, Q, P) bool. inside: makes of an entry that is not empty an index of visual tokens."""
    found = np.zeros((len(rows), length, tokens), bool)
    for index, row in enumerate(rows):
        for place, entry in enumerate(row):
            if len(entry):
                found[index, place, inside(entry)] = True
    return torch.from_numpy(found)


def _points(packed: list[Row], length: int, grid: Grid) -> Tensor:
    """Return `BaseBatch.points`."""
    points = torch.full((len(packed), length, 2, 2), -1.0)
    for index, row in enumerate(packed):
        for look, entries in enumerate((row.early, row.evidence)):
            for place, boxes in enumerate(entries):
                if len(boxes) == 1:
                    x1, y1, x2, y2 = boxes[0]
                    points[index, place, look] = torch.tensor([(x1 + x2) / 2 * grid.cols, (y1 + y2) / 2 * grid.rows])
    return points


class BaseData(IterableDataset[BaseBatch]):
    """An endless stream of batches, at the stage of the trainer's minute, which is a tensor in shared memory."""

    def __init__(self, tokenizer_file: str, seed: int, minute: Tensor, recipe: Recipe) -> None:
        self.tokenizer_file, self.seed, self.minute, self.recipe = tokenizer_file, seed, minute, recipe

    def __iter__(self) -> Iterator[BaseBatch]:
        torch.set_num_threads(1)
        packer, recipe = Packer(Tokenizer.from_file(self.tokenizer_file)), self.recipe
        worker = torch.utils.data.get_worker_info()
        rng = random.Random(f"{self.seed}-{worker.id if worker else 0}")
        while True:
            stage = recipe.stage_at(float(self.minute))
            later = [other for other in recipe.stages if other.until > stage.until]
            if later and not stage.dense_only and rng.random() < recipe.ahead:
                stage = rng.choice(later)
            yield make_batch(packer, rng, stage, recipe.budget, recipe.supervision.depths)
