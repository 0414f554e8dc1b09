"""The glimpse: the prompt and the glimpse token through layers 0..K, then the predictor (arXiv 2508.01548).

`trunk` runs the layers and records what the glimpse token attends to, `score` turns that into one logit per visual
token by the Visual Importance Predictor (VIP), and `look` does both. What is kept is decided in `selection.py`.
"""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor

from glimpse_core.backbones.layout import part
from glimpse_core.engine.attention import Probe
from glimpse_core.engine.prefix import BeforeLayer, advance, drop_last
from glimpse_core.errors import GlimpseError
from glimpse_core.glimpse.model import GlimpseModel
from glimpse_core.glimpse.token import additions, append
from glimpse_core.types import Prefix, Prompt, Scores, Vision


@dataclass(frozen=True)
class Remaining:
    """The visual tokens that are left when the glimpse starts, where an earlier method has dropped some.

    Attributes:
        visual: (B, S) bool, True at visual tokens, S tokens being left in the longest row.
        index: (M,) int64, ascending: which of the prompt's N visual tokens they are.
        counts: how many of them each row has.
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
    """Run the prompt and the glimpse token through layers 0..K, the shared prefill of GlimpsePrune.

    Args:
        model: with glimpse modules.
        prompt: the question.
        vision: what the vision tower gave for it.
        before_layer: as in `engine.prefix.advance`, called before the glimpse vector is added; it may raise to stop
            the work.
        start: the prompt at depth 0, where tokens were dropped already or need not run again; None: all of it.

    Returns:
        The prompt without the glimpse token, after layer K; and the attention logits that the probe recorded.
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


def key_padding(model: GlimpseModel, prefix: Prefix) -> Tensor | None:
    """The padding of the keys that the probe of `trunk` saw, glimpse tokens included, given the prefix it returned.

    Returns:
        (B, keys) bool, True where real; None where nothing is padded.
    """
    padding = prefix.padding
    if padding is None:
        return None
    return torch.cat([padding, padding.new_ones(len(padding), model.config.glimpse_length)], dim=1)


def score(
    model: GlimpseModel,
    prompt: Prompt,
    vision: Vision,
    probe: Probe,
    padding: Tensor | None,
    left: Remaining | None = None,
) -> Scores:
    """Score the visual tokens by the VIP.

    Checkpoints with `use_zero_masks` do not ask it: every logit is minus infinity.

    Args:
        model: with glimpse modules.
        prompt: the question.
        vision: with the states that the VIP reads (`Vision.conditions`).
        probe: what `trunk` recorded.
        padding: of the keys that the probe saw (`key_padding`); None where nothing is padded.
        left: the visual tokens that are left; None: all of them.

    Returns:
        The attention that the VIP read, and its logits, of the visual tokens that are left.
    """
    attention = visual_attention(model, prompt, probe, padding, None if left is None else left.visual)
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


def visual_attention(
    model: GlimpseModel, prompt: Prompt, probe: Probe, padding: Tensor | None, visual: Tensor | None = None
) -> Tensor:
    """The attention that the glimpse token pays to the visual tokens: what the VIP reads.

    Args:
        model: with glimpse modules.
        prompt: the question.
        probe: what `trunk` recorded.
        padding: (B, keys) bool, or None; padded keys get no probability.
        visual: (B, S) bool, True at visual tokens; None: where the prompt has them.

    Returns:
        (N, read layers * heads): raw logits, or log-probabilities over all keys that the row's attention was computed
        with, glimpse token included (`GlimpseConfig.read_logits`).

    Raises:
        GlimpseError: where the model's attention was not recorded.
    """
    missing = [layer for layer in model.config.read_layers if layer not in probe.logits]
    if missing:
        raise GlimpseError(
            f"The attention of layers {missing} was not recorded. Expected an attention function that can be read: "
            "load the model with glimpse_core.load."
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
    """Scores that say exactly what given masks say, for checkpoints with `use_ref_masks`.

    Such checkpoints neither append a glimpse token nor ask the VIP.

    Args:
        model: with glimpse modules.
        prompt: the question.
        masks: per row (N_b,) bool, True for tokens to keep.

    Returns:
        Logits of plus and minus infinity; no attention.

    Raises:
        GlimpseError: where masks are missing or of another size.
    """
    counts = model.backbone.tokens_per_row(prompt)
    given = None if masks is None else [mask.numel() for mask in masks]
    if masks is None or given != counts:
        raise GlimpseError(
            f"use_ref_masks is true in this checkpoint, and the reference masks have {given} entries. Expected masks "
            f"of {counts} visual tokens: pass them to GlimpsePruner, or set use_ref_masks to false."
        )
    dtype = torch.float32 if prompt.pixel_values is None else prompt.pixel_values.dtype
    like = torch.empty(0, dtype=dtype, device=prompt.input_ids.device)
    logits = tuple(mask.to(like).flatten().logit()[None] for mask in masks)
    return Scores(like.new_empty(sum(counts), 0), logits)


def look(
    model: GlimpseModel, prompt: Prompt, vision: Vision, start: Prefix | None = None, left: Remaining | None = None
) -> tuple[Prefix, Scores]:
    """Run the prompt with the glimpse token through layers 0..K and score its visual tokens.

    Args:
        model: with glimpse modules.
        prompt: the question.
        vision: with the states that the VIP reads (`Vision.conditions`).
        start, left: given together, where an earlier method has dropped tokens before the decoder.

    Returns:
        The prompt after layer K, and the scores of its visual tokens.
    """
    prefix, probe = trunk(model, prompt, vision, start=start)
    return prefix, score(model, prompt, vision, probe, key_padding(model, prefix), left)
