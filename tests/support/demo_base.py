"""Batches for the tests of the demo base's training, and the small shape of its models there."""

import random

from glimpse_core.training.demo_base.data import BaseBatch, make_batch
from glimpse_core.training.demo_base.packing import Packer
from glimpse_core.training.demo_base.recipe import Shape, Stage

SHAPE = Shape(width=96, inner=128, key_heads=1, vision_depth=2, vision_width=64)
SIZES = {(336, 336): False, (392, 336): False, (504, 504): True}  # width and height: whether it is a page's


def batch_of(packer: Packer, width: int, height: int, seed: int = 0) -> BaseBatch:
    """A batch in which nothing is dropped."""
    return any_batch(packer, width, height, seed, mode="none")


def any_batch(packer: Packer, width: int, height: int, seed: int = 0, mode: str | None = None) -> BaseBatch:
    sides, pages = tuple({width, height}), SIZES[width, height]
    stage, rng = Stage(1, sides, (3, 4), sides, pages=float(pages)), random.Random(seed)
    while True:  # make_batch draws both sides from one list; try until the wanted shape comes
        batch = make_batch(packer, rng, stage, budget=1300 if pages else 900, depths=(3,), mode=mode)
        if tuple(batch.pixels.shape[1:3]) == (height, width):
            return batch
