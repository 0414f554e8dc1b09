"""The shared prefill of the method: the prompt and the glimpse token through layers 0..K, then the VIP.

The glimpse token's attention is noted in the chosen layers, the token is dropped again, and the VIP turns that
attention into one logit per visual token. What is kept is decided in `selection.py`.
"""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor

from glimpse_core.engine.attention import Probe
from glimpse_core.engine.prefix import BeforeLayer, advance, drop_last
from glimpse_core.errors import GlimpseError
from glimpse_core.glimpse.model import GlimpseModel
from glimpse_core.glimpse.token import additions, append
from glimpse_core.glimpse.vip import part
from glimpse_core.types import Prefix, Prompt, Scores, Vision


@dataclass(frozen=True)
class Remaining:
    """The visual tokens that are still there when the glimpse starts, where an earlier method has dropped some.

    visual: (B, S) bool, where they stand. index: (M,) int64, which of the prompt's N they are. counts: of every row.
    """

    visual: Tensor
    index: Tensor
    counts: list[int]


def trunk(
    model: GlimpseModel,
    prompt: Prompt,
    vision: Vision,
    before_layer: BeforeLayer | None = None,
    start: Prefix | None = None,
) -> tuple[Prefix, Probe]:
    """Run the prompt and the glimpse token through layers 0..K. Returns the prompt alone at depth K + 1, and the probe.

    `before_layer` is called before the glimpse vector is added; it may raise to stop the work. start: the prompt at
    depth 0, where tokens were dropped already.
    """
    config, backbone = model.config, model.backbone
    vectors = model.glimpse()
    prefix = append(start or backbone.start(prompt, vision), vectors[config.glimpse_layers.index(0)])
    add = additions(config, vectors)
    probe = Probe(frozenset(config.read_layers))

    def enter(layer: int, hidden: Tensor) -> Tensor:
        return add(layer, hidden if before_layer is None else before_layer(layer, hidden))

    prefix = advance(backbone.text, prefix, model.keep_depth, before_layer=enter, probe=probe)
    return drop_last(prefix, config.glimpse_length), probe


def score(
    model: GlimpseModel,
    prompt: Prompt,
    vision: Vision,
    probe: Probe,
    padding: Tensor | None,
    left: Remaining | None = None,
) -> Scores:
    """The VIP's word on every visual token, from what the probe read. padding: of the keys that the probe saw.

    Checkpoints with `use_zero_masks` do not listen to it: every logit is minus infinity.
    """
    attention = to_picture(model, prompt, probe, padding, None if left is None else left.visual)
    layout = model.backbone.layout(prompt, whole=model.config.vip_global)
    conditions = vision.conditions.to(attention.device)
    if left is not None:
        layout, conditions = part(layout, left.index), conditions[:, left.index]
    own = model.vip.attention_in.weight.dtype  # training keeps the VIP in float32 on a 16-bit base
    if model.config.masks == "zero":
        logits = attention.new_full((1, len(attention)), -torch.inf)
    else:
        logits = model.vip(attention.to(own), conditions.to(own), layout)
    counts = model.backbone.tokens_per_row(prompt) if left is None else left.counts
    return Scores(attention, logits.split(counts, dim=1))


def to_picture(
    model: GlimpseModel, prompt: Prompt, probe: Probe, padding: Tensor | None, visual: Tensor | None = None
) -> Tensor:
    """The VIP's input (N, read layers * heads): what the glimpse token's row says about the visual tokens.

    Raw logits, or log-probabilities over all keys that the row's attention was computed with, glimpse token included.
    padding: (B, keys) bool, or None; padded keys get no probability. visual: where the visual tokens stand, if not
    where the prompt has them.
    """
    missing = [layer for layer in model.config.read_layers if layer not in probe.logits]
    if missing:
        raise GlimpseError(
            f"the attention of layers {missing} was not read: load the model with glimpse_core.models.catalog.load, "
            "which gives it an attention function that can be read"
        )
    rows = [probe.logits[layer].to(prompt.input_ids.device) for layer in model.config.read_layers]
    if not model.config.read_logits:
        if padding is not None:
            rows = [row.masked_fill(~padding[:, None], torch.finfo(row.dtype).min) for row in rows]
        rows = [row.log_softmax(-1) for row in rows]
    seen = torch.cat(rows, dim=1).transpose(1, 2)  # (B, keys, read layers * heads)
    visual = model.backbone.visual(prompt) if visual is None else visual
    return seen[:, : visual.shape[1]][visual]


def reference_scores(model: GlimpseModel, prompt: Prompt, masks: tuple[Tensor, ...] | None) -> Scores:
    """Scores that say exactly what the masks say, one (N_b,) bool per row: logits of plus and minus infinity.

    For checkpoints with `use_ref_masks`, which neither append a glimpse token nor ask the VIP.
    """
    counts = model.backbone.tokens_per_row(prompt)
    given = None if masks is None else [mask.numel() for mask in masks]
    if given != counts:
        raise GlimpseError(
            f"use_ref_masks is true in this checkpoint, so reference masks of {counts} visual tokens are needed, "
            f"not {given}: pass them to GlimpsePruner, or set use_ref_masks to false"
        )
    like = prompt.pixel_values
    logits = tuple(mask.to(like).flatten().logit()[None] for mask in masks)
    return Scores(like.new_empty(sum(counts), 0), logits)


def look(
    model: GlimpseModel, prompt: Prompt, vision: Vision, start: Prefix | None = None, left: Remaining | None = None
) -> tuple[Prefix, Scores]:
    """The whole glimpse: the trunk at depth K + 1, and the scores of its visual tokens.

    start, left: given together, where an earlier method has dropped tokens before the decoder.
    """
    prefix, probe = trunk(model, prompt, vision, start=start)
    padding = prefix.padding
    if padding is not None:  # the probe saw the glimpse keys too
        padding = torch.cat([padding, padding.new_ones(len(padding), model.config.glimpse_length)], dim=1)
    return prefix, score(model, prompt, vision, probe, padding, left)
