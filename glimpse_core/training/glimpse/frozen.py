"""An image and its questions after the frozen base: all that is computed once, without gradients.

The base is frozen and causal, so nothing before the glimpse token depends on it. The image is run once, and every
question once after it; `forward.supervised_after` goes on from there.

Q questions about one image, N its visual tokens, S tokens of the longest question, A tokens of the longest answer.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import cast

import torch
from torch import Tensor
from transformers import DynamicCache

from glimpse_core.backbones import Backbone
from glimpse_core.engine.decoder import filled_layers
from glimpse_core.engine.prefix import advance, fork
from glimpse_core.types import IGNORED_LABEL, Prefix, Prompt, Vision


@dataclass(frozen=True)
class Asked:
    """Questions about one image, in token ids. All prompts are the same up to the image's last token."""

    prompt: Prompt  # of the first question, B = 1; all questions share its image
    questions: tuple[Tensor, ...]  # per question: ids (L_i,) of the whole prompt
    answers: tuple[Tensor, ...]  # per question: ids (A_i,) that are supervised
    targets: tuple[Tensor, ...]  # per question: (N,) bool
    grades: tuple[Tensor, ...] = ()  # per question: (N,) from 0 to 1


@dataclass(frozen=True)
class Frozen:
    """Outputs of the frozen base on an image and its questions: everything that no glimpse can change."""

    prompt: Prompt  # Q equal rows, up to the image's last token
    vision: Vision  # the image Q times, without its embeddings, which are not needed any more
    cache: DynamicCache  # all layers filled: the image, then the questions, padded on the left
    padding: Tensor  # (Q, image + S) bool
    next: Tensor  # (3, Q, 1) position that follows each question
    answers: Tensor  # (Q, A) ids, padded on the right
    labels: Tensor  # (Q, A) the same, -100 where padded
    targets: tuple[Tensor, ...]
    grades: tuple[Tensor, ...] = ()


@torch.no_grad()
def freeze(backbone: Backbone, asked: Asked, vision_layers: tuple[int, ...]) -> Frozen:
    """Run an image once and all its questions after it, without gradients.

    Args:
        backbone: the frozen base.
        asked: the image and its questions.
        vision_layers: states of the vision tower that the VIP reads.
    """
    prompt, rows = asked.prompt, len(asked.questions)
    head = int(backbone.visual(prompt)[0].nonzero()[-1]) + 1  # everything up to here is shared
    positions = backbone.positions(prompt)
    vision = backbone.encode_images(prompt, vision_layers)
    shared = _head(prompt, head)
    image = advance(backbone.text, backbone.start(shared, vision, positions[..., :head]), backbone.layers)

    tails = [ids[head:] for ids in asked.questions]
    real = _stack([torch.ones_like(tail, dtype=torch.bool) for tail in tails], False, left=True)  # (Q, S)
    # After the last image, text counts up by one on every axis.
    tail_positions = positions[..., head : head + 1] + (real.cumsum(1) - 1).clamp(min=0)  # (3, Q, S)
    before = real.new_ones(rows, head)
    padding = torch.cat([before, real], dim=1)
    prefix = Prefix(
        hidden=backbone.embed(_stack(tails, 0, left=True)),
        positions=tail_positions,
        padding=padding,
        cache=_repeated_cache(image, rows),
    )
    prefix = advance(backbone.text, prefix, backbone.layers)
    return Frozen(
        prompt=_rows(shared, rows),
        vision=Vision(vision.embeds[:0], vision.conditions.repeat(1, rows, 1)),
        cache=cast(DynamicCache, prefix.cache),
        padding=padding,
        next=tail_positions[..., -1:] + 1,
        answers=_stack(asked.answers, 0),
        labels=_stack(asked.answers, IGNORED_LABEL),
        targets=asked.targets,
        grades=asked.grades,
    )


def _head(prompt: Prompt, length: int) -> Prompt:
    """Return the first `length` tokens, which hold all images."""
    names = ("input_ids", "attention_mask", "mm_token_type_ids")
    return replace(prompt, **{name: getattr(prompt, name)[:, :length] for name in names})


def _rows(prompt: Prompt, rows: int) -> Prompt:
    """Return a prompt (B = 1) `rows` times, without its pixels."""
    names = ("input_ids", "attention_mask", "mm_token_type_ids")
    repeated = {name: getattr(prompt, name).expand(rows, -1) for name in names}
    thw = None if prompt.image_grid_thw is None else prompt.image_grid_thw.repeat(rows, 1)
    return replace(prompt, pixel_values=None, image_grid_thw=thw, grids=prompt.grids * rows, **repeated)


def _repeated_cache(prefix: Prefix, rows: int) -> DynamicCache:
    """Return a cache of `rows` equal rows that share their memory with the prefix's single one."""
    branch = fork(prefix)
    for layer in filled_layers(branch):
        layer.keys = layer.keys.expand(rows, -1, -1, -1)
        layer.values = layer.values.expand(rows, -1, -1, -1)
    return cast(DynamicCache, branch.cache)


def _stack(rows: Sequence[Tensor], fill: int | bool, left: bool = False) -> Tensor:
    """Return rows of unequal length as one tensor, filled up on the right or on the left."""
    longest = max(map(len, rows))
    stacked = rows[0].new_full((len(rows), longest), fill)
    for target, row in zip(stacked, rows, strict=True):
        target[longest - len(row) if left else 0 : longest if left else len(row)] = row
    return stacked
