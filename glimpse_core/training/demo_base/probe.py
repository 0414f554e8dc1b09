"""How many questions of each type a model answers right, teacher-forced, on images for tuning."""

import random
from collections import defaultdict

import torch
from transformers import Qwen2_5_VLForConditionalGeneration

from glimpse_core.training.demo_base.data import TUNING, BaseBatch, make_batch
from glimpse_core.training.demo_base.forward import forward
from glimpse_core.training.demo_base.packing import Packer
from glimpse_core.training.demo_base.recipe import Stage
from glimpse_core.types import IGNORED_LABEL

SEEDS = (TUNING, TUNING + 900_000)


@torch.no_grad()
def probe(
    model: Qwen2_5_VLForConditionalGeneration, packer: Packer, stage: Stage, budget: int, depth: int, batches: int = 4
) -> dict[str, float]:
    """Return the share of right answers by type of question, and by ``pruned/`` type where only the evidence is left.

    An answer is right if every token of it is the likeliest one after the true tokens before it.

    Args:
        model: the demo base model.
        packer: encodes the questions.
        stage: sizes of images and numbers of objects.
        budget: visual and text tokens per batch.
        depth: layers that run before tokens are lost.
        batches: number of batches, half of them pages, half of them with lost tokens.
    """
    right: dict[str, list[float]] = defaultdict(list)
    for index in range(batches):
        mode = ("none", "all")[index // 2 % 2]
        rng = random.Random(f"probe-{index - index // 2 % 2 * 2}")  # the same images with and without lost tokens
        pages = Stage(0, stage.sides, stage.objects, stage.page_sides, pages=float(index % 2))
        batch = make_batch(packer, rng, pages, budget, (depth,), SEEDS, mode)
        with torch.autocast("cpu", dtype=torch.bfloat16):
            output = forward(model, batch, packer.head())
        for name, value in _questions(batch, output.logits.argmax(-1) == output.targets):
            right[("pruned/" if mode == "all" else "") + name].append(value)
    return {name: round(sum(values) / len(values), 3) for name, values in sorted(right.items())}


def _questions(batch: BaseBatch, correct: torch.Tensor) -> list[tuple[str, float]]:
    """Return type and 1.0 or 0.0 of every question. correct: (n,) bool, in the order of the batch's answer tokens."""
    answered = batch.targets != IGNORED_LABEL
    picture, place = answered.nonzero(as_tuple=True)
    block = batch.block[picture, place]
    found = []
    for index, types in enumerate(batch.types):
        for number, name in enumerate(types):
            found.append((name, float(correct[(picture == index) & (block == number)].all())))
    return found
