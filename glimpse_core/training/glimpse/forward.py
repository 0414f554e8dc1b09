"""The supervised forward pass of the glimpse stage: a plain one, and a fast one for many questions about one image.

In training the glimpse token is between question and answer. The answer's tokens attend to it, so that it learns from
the answer, too, and its attention is read as in use. No token is dropped.

The base is frozen and causal, so nothing before the glimpse token depends on it. The fast way runs the image once,
every question once after it, both without gradients, and then only the glimpse token and the answers after these.
Both ways give the same losses and gradients (tests/training/test_glimpse_forward.py).

B rows, L tokens of prompt and answer, G glimpse tokens, T = L + G, Q questions about one image, N its visual tokens,
S tokens of the longest question, A tokens of the longest answer.
"""

from __future__ import annotations

import copy
from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional
from torch.utils.checkpoint import checkpoint

from glimpse_core.engine.attention import Probe
from glimpse_core.engine.prefix import advance, fork
from glimpse_core.glimpse.look import score
from glimpse_core.glimpse.model import GlimpseModel
from glimpse_core.glimpse.token import additions
from glimpse_core.training.glimpse.frozen import Frozen
from glimpse_core.training.losses import (
    LossWeights,
    MaskLosses,
    answer_loss,
    mask_loss,
    mask_losses,
    order_loss,
    total_loss,
)
from glimpse_core.types import IGNORED_LABEL, Prefix, Prompt, Vision


@dataclass(frozen=True)
class Supervised:
    """Outputs of a supervised forward pass, which the losses are made of."""

    logits: Tensor  # (B, T, vocabulary)
    labels: Tensor  # (B, T), not shifted against the logits
    attention: Tensor  # (N of all rows, read layers * heads), the VIP's input
    masks: tuple[Tensor, ...]  # per row: (outputs, N_b) mask logits


@dataclass(frozen=True)
class Losses:
    """The losses, as scalars. `total` is minimized; the others are its parts, unweighted."""

    answer: Tensor
    parts: MaskLosses
    order: Tensor  # weighted, not published
    location: Tensor
    total: Tensor


def losses(
    outputs: Supervised,
    targets: Sequence[Tensor],
    weights: LossWeights | None = None,
    grades: Sequence[Tensor] | None = None,
) -> Losses:
    """Return all losses.

    Args:
        outputs: of the forward pass.
        targets: per row (N_b,) bool, the tokens to keep.
        weights: of the parts. None: the published ones.
        grades: per row (N_b,) from 0 to 1, of `graded_mask`. None: those of the targets, 0 and 1.
    """
    weights = weights or LossWeights()
    answer = answer_loss(outputs.logits, outputs.labels)
    parts = mask_losses(outputs.masks, targets, weights.epsilon)
    location = mask_loss(parts, weights)
    order = order_loss(outputs.masks, grades or targets, weights)
    return Losses(answer, parts, order, location, total_loss(answer, location, weights) + order)


def supervised(model: GlimpseModel, prompt: Prompt, labels: Tensor, vision: Vision | None = None) -> Supervised:
    """Run prompts with their answers in one pass.

    The glimpse tokens are put before the first supervised token of each row. Positions are those of the row without
    them, extended at the end: the glimpse takes the position of the first answer token, and the answer moves on.
    Gradients reach `model.glimpse` and `model.vip`; the base model should be frozen.

    Args:
        model: the model, its modules in training mode.
        prompt: prompts that end with their answers.
        labels: (B, L) the answer's ids where they are supervised, else `IGNORED_LABEL`.
        vision: the encoded images. None: they are encoded here.

    Raises:
        ValueError: a row has no supervised token.
    """
    config, backbone = model.config, model.backbone
    with torch.no_grad():
        vision = vision or backbone.encode_images(prompt, config.vision_layers)
        prefix = backbone.start(prompt, vision)
    vectors = model.glimpse()
    places, prefix, moved = _insert(prefix, vectors[config.glimpse_layers.index(0)], labels)
    probe = Probe(frozenset(config.read_layers), rows=places[:, -1])
    add = additions(config, vectors, places)
    prefix = advance(backbone.text, prefix, backbone.layers, before_layer=add, probe=probe)
    scores = score(model, prompt, vision, probe, prefix.padding)
    return Supervised(backbone.logits(prefix.hidden), moved, scores.attention, scores.logits)


def _insert(prefix: Prefix, vectors: Tensor, labels: Tensor) -> tuple[Tensor, Prefix, Tensor]:
    """Put `vectors` (G, C) before the first label of every row. Returns their indices (B, G), prefix and labels."""
    rows, count, device = len(labels), len(vectors), labels.device
    first = (labels != IGNORED_LABEL).int().argmax(dim=1, keepdim=True)  # (B, 1)
    if bool((labels[torch.arange(rows), first[:, 0]] == IGNORED_LABEL).any()):
        raise ValueError("A row is without a single supervised token. Expected one, before which the glimpse is put.")
    target = torch.arange(labels.shape[1] + count, device=device)
    moved = target - count
    order = torch.where(target < first, target, torch.where(moved < first, labels.shape[1] + target - first, moved))
    hidden = torch.cat([prefix.hidden, vectors.to(prefix.hidden).expand(rows, -1, -1)], dim=1)
    steps = torch.arange(1, count + 1, device=device)
    padding = prefix.padding
    return (
        first + torch.arange(count, device=device),
        replace(
            prefix,
            hidden=hidden.take_along_dim(order[..., None], dim=1),
            pending=None if prefix.pending is None else _moved(prefix.pending, count, order),
            positions=torch.cat([prefix.positions, prefix.positions[..., -1:] + steps], dim=-1),
            padding=None if padding is None else _widened(padding, count, order),
        ),
        torch.cat([labels, labels.new_full((rows, count), IGNORED_LABEL)], dim=1).gather(1, order),
    )


def _widened(padding: Tensor, count: int, order: Tensor) -> Tensor:
    return torch.cat([padding, padding.new_ones(len(padding), count)], dim=1).gather(1, order)


def _moved(pending: Tensor, count: int, order: Tensor) -> Tensor:
    """Features to be added (F, B, L, C), with zeros for `count` more tokens, in the order (B, L + count)."""
    return functional.pad(pending, (0, 0, 0, count)).take_along_dim(order[None, ..., None], dim=2)


def supervised_after(model: GlimpseModel, frozen: Frozen, bf16: bool = False, recompute: bool = False) -> Supervised:
    """Run the glimpse token and the answers, with gradients, after a frozen image and its questions.

    Gives the same as `supervised` on every question by itself, with rows of T = G + A: without what is before them.

    Args:
        model: the model, its modules in training mode.
        frozen: the image and its questions.
        bf16: compute the VIP's matrix products in bfloat16, where most of the work is; a 16-bit base needs that.
        recompute: run every layer again in the backward pass instead of holding its activations, for large images on
            small GPUs.
    """
    config, backbone = model.config, model.backbone
    rows, count = len(frozen.answers), config.glimpse_length
    vectors = model.glimpse()
    answers = backbone.embed(frozen.answers)
    entering = vectors[config.glimpse_layers.index(0)].to(answers).expand(rows, -1, -1)
    hidden = torch.cat([entering, answers], dim=1)
    labels = torch.cat([frozen.labels.new_full((rows, count), IGNORED_LABEL), frozen.labels], dim=1)
    real = torch.cat([frozen.padding.new_ones(rows, count), frozen.labels != IGNORED_LABEL], dim=1)
    prefix = Prefix(
        hidden=hidden,
        positions=frozen.next + torch.arange(hidden.shape[1], device=hidden.device),
        padding=torch.cat([frozen.padding, real], dim=1),
        cache=frozen.cache,
    )
    places = torch.arange(count, device=hidden.device).expand(rows, -1)
    probe = Probe(frozenset(config.read_layers), rows=places[:, -1])
    add = additions(config, vectors, places)
    run = recomputed if recompute else None
    prefix = advance(backbone.text, fork(prefix), backbone.layers, before_layer=add, probe=probe, run=run)
    with torch.autocast(hidden.device.type, torch.bfloat16, enabled=bf16):
        scores = score(model, frozen.prompt, frozen.vision, probe, prefix.padding)
    return Supervised(backbone.logits(prefix.hidden), labels, scores.attention, scores.logits)


def recomputed(layer: nn.Module, hidden: Tensor, inputs: dict[str, Any]) -> Tensor:
    """Run a layer, and again in the backward pass (a `RunLayer`). It fills a cache, so each time it gets a fork."""

    def once(hidden: Tensor) -> Tensor:
        cache = copy.copy(inputs["past_key_values"])
        cache.layers = [copy.copy(each) for each in cache.layers]
        out: Tensor = layer(hidden, **(inputs | {"past_key_values": cache}))
        return out

    again: Tensor = checkpoint(once, hidden, use_reentrant=False)
    return again
