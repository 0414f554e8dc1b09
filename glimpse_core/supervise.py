"""The forward pass of supervised training: the base model frozen, only glimpse and VIP learn.

The glimpse rows stand in front of the first answer token, so the first answer token is predicted by the glimpse, and every layer
in `glimpse_layers` adds its vector to them. All layers run, nothing is pruned. The losses are in
`glimpse_core/training/losses.py`; this file does not know them.

What stands before the first answer token cannot depend on anything that learns (attention is causal), so it runs without
gradients and only its keys and values are handed on. That is exact, and saves most of the work and memory.

T is the length of the tail: everything from the first answer token on (of the row where it comes first), glimpse rows included.
"""

from __future__ import annotations

from dataclasses import dataclass, replace

import torch
from torch import Tensor

from glimpse_core.attention import Probe
from glimpse_core.errors import GlimpseError
from glimpse_core.glimpse import additions, append, score
from glimpse_core.model import GlimpseModel
from glimpse_core.prefix import advance
from glimpse_core.types import Prefix, Prompt, Scores, Vision

IGNORED = -100


@dataclass(frozen=True)
class Supervised:
    """What the losses need. Gradients reach the glimpse and VIP parameters only."""

    logits: Tensor  # (B, T, vocabulary), model dtype; position t predicts labels[:, t + 1]
    labels: Tensor  # (B, T) int64, -100 where not supervised, glimpse rows among them
    scores: Scores  # scores.logits[b] is (outputs, N_b): one output per VIP layer with deep supervision
    positions: Tensor  # (3, B, L + G) of the whole sequence


def forward(model: GlimpseModel, prompt: Prompt, labels: Tensor, vision: Vision | None = None) -> Supervised:
    """prompt: with the answer in it. labels (B, L): -100 up to the answer, then its tokens.

    vision: `see_frozen`'s result, when it is kept between epochs. Put `model.glimpse` and `model.vip` into training mode first;
    dropout and deep supervision follow it. Rows may be padded on the left and may have unequal answer lengths.
    Raises `GlimpseError` if a row has no supervised token, or a picture inside its answer.
    """
    backbone, config = model.backbone, model.config
    first = first_labels(prompt, labels, backbone.visual(prompt))  # (B,)
    vision = vision or see_frozen(model, prompt)
    with torch.no_grad():
        start = backbone.start(prompt, vision)
    vectors = model.glimpse()
    count = config.glimpse_length
    places = insertion(labels.shape[1], first, count)
    whole = append(start, vectors[config.glimpse_layers.index(0)])  # positions grow at the end, whatever is inserted where
    hidden = whole.hidden.take_along_dim(places[..., None], dim=1)
    blank = labels.new_full((len(labels), count), IGNORED)
    labels = torch.cat([labels, blank], dim=1).take_along_dim(places, dim=1)

    split = int(first.min())
    cache = start.cache
    if split:
        with torch.no_grad():
            head = Prefix(
                hidden=hidden[:, :split].detach(),
                positions=whole.positions[..., :split],
                padding=None if whole.padding is None else whole.padding[:, :split],
                cache=cache,
            )
            advance(backbone.text, head, backbone.layers)
    tail = replace(whole, hidden=hidden[:, split:], positions=whole.positions[..., split:], cache=cache)
    rows = (first - split)[:, None] + torch.arange(count, device=first.device)  # (B, G)
    probe = Probe(frozenset(config.read_layers), rows=rows[:, -1])
    tail = advance(backbone.text, tail, backbone.layers, before_layer=additions(config, vectors, rows), probe=probe)
    scores = score(model, prompt, vision, probe, whole.padding)
    return Supervised(backbone.logits(tail.hidden), labels[:, split:], scores, whole.positions)


def see_frozen(model: GlimpseModel, prompt: Prompt) -> Vision:
    """The vision tower's result without gradients: the same for every epoch."""
    with torch.no_grad():
        return model.backbone.see(prompt, model.config.vision_layers)


def first_labels(prompt: Prompt, labels: Tensor, visual: Tensor) -> Tensor:
    """(B,) index of the first supervised token of every row."""
    supervised = labels != IGNORED
    if labels.shape != prompt.input_ids.shape or not bool(supervised.any(1).all()):
        raise GlimpseError(
            f"labels are {tuple(labels.shape)} for a prompt of {tuple(prompt.input_ids.shape)}, with "
            f"{supervised.sum(-1).tolist()} supervised tokens per row: every row needs an answer to learn from"
        )
    first = supervised.int().argmax(1)
    if bool((visual & (torch.arange(labels.shape[1], device=labels.device) >= first[:, None])).any()):
        raise GlimpseError("a picture stands behind the first answer token, where the glimpse cannot see it: put pictures first")
    return first


def insertion(length: int, first: Tensor, count: int) -> Tensor:
    """(B, length + count) gather index that moves the `count` last columns of a sequence in front of column `first[b]`."""
    column = torch.arange(length + count, device=first.device)
    after = column - first[:, None]  # (B, length + count), 0 at the first glimpse row
    return torch.where(after < 0, column, torch.where(after < count, length + after, column - count))
