"""The verbs on a `Prefix`: advance, fork, keep, drop_last, resume.

A prefix is a prompt stopped between two decoder layers. Every verb returns a new prefix and leaves its argument
usable, so that one trunk can be continued pruned and unpruned. `start`, the verb that makes the first prefix, belongs
to the backbone.

This file knows Llama-shaped decoders (`decoder.py`) and the cache of transformers. It does not know what a visual
token is, nor why tokens are dropped. What a family still has to add to a token (`Prefix.pending`) goes where it goes.
"""

from __future__ import annotations

import copy
from collections.abc import Callable, Sequence
from dataclasses import replace
from itertools import zip_longest
from typing import TYPE_CHECKING, Any, Literal, cast

import torch
from torch import Tensor, nn
from transformers import DynamicCache
from transformers.masking_utils import create_causal_mask

from glimpse_core.engine.decoder import Decoder, FilledLayer, filled_layers
from glimpse_core.types import Prefix

if TYPE_CHECKING:
    from glimpse_core.engine.attention import Probe

BeforeLayer = Callable[[int, Tensor], Tensor]  # (layer index, hidden (B, L, C)) -> hidden (B, L, C)
RunLayer = Callable[[nn.Module, Tensor, dict[str, Any]], Tensor]  # (layer, hidden, keyword arguments) -> hidden


def advance(
    text: Decoder,
    prefix: Prefix,
    stop: int,
    *,
    before_layer: BeforeLayer | None = None,
    probe: Probe | None = None,
    run: RunLayer | None = None,
) -> Prefix:
    """Run decoder layers [prefix.depth, stop).

    Args:
        text: the decoder.
        prefix: where to start. Its cache grows by these layers: `fork` it first to go on from it again.
        stop: depth of the result; nothing is run where it is not beyond `prefix.depth`.
        before_layer: called with each layer's index and input (B, L, C); what it returns enters the layer.
        probe: attention logits to read on the way; needs a model loaded with a name from `attention.PROBED`.
        run: how a layer is called, for training; None calls it as it is.

    Returns:
        The prefix at depth `stop`.
    """
    hidden, cache, start = prefix.hidden, prefix.cache, prefix.depth
    if stop <= start:
        return prefix
    mask = causal_mask(text, prefix)
    ropes = {shift: text.rotary_emb(hidden, prefix.positions + shift) for shift in {0, *prefix.shifts[start:stop]}}
    extra: dict[str, Any] = {} if probe is None else {"probe": probe}
    for index in range(start, stop):
        if before_layer is not None:
            hidden = before_layer(index, hidden)
        rope = ropes[prefix.shifts[index] if index < len(prefix.shifts) else 0]
        inputs = {"attention_mask": mask, "position_embeddings": rope, "past_key_values": cache, **extra}
        layer = text.layers[index]
        hidden = layer(hidden, **inputs) if run is None else run(layer, hidden, inputs)
        if prefix.pending is not None and index - start < len(prefix.pending):
            hidden = hidden + prefix.pending[index - start].to(hidden)
    hidden = hidden.to(prefix.hidden.device)  # layers may be spread over devices; what is between them is not
    processed = prefix.processed + (hidden.shape[1],) * (stop - start)
    return replace(prefix, hidden=hidden, depth=stop, processed=processed, pending=_after(prefix.pending, stop - start))


def _after(pending: Tensor | None, layers: int) -> Tensor | None:
    """Return what is still to be added after `layers` more layers."""
    return None if pending is None or len(pending) <= layers else pending[layers:]


def causal_mask(text: Decoder, prefix: Prefix) -> Tensor | None:
    """Return the mask for the layers after `prefix`, in the form that their attention implementation expects.

    Returns:
        None where no mask is needed: a single query sees every token before it.
    """
    if prefix.padding is None and prefix.hidden.shape[1] == 1:
        return None  # the common case of decoding, kept free of overhead
    # layer_idx matters: without it the mask is sized from layer 0, whose cache is already filled when depth > 0.
    mask = create_causal_mask(text.config, prefix.hidden, prefix.padding, prefix.cache, layer_idx=prefix.depth)
    return cast("Tensor | None", mask)  # the third kind, a BlockMask, belongs to flex attention, which is not probed


def fork(prefix: Prefix) -> Prefix:
    """Return an independent continuation of `prefix`.

    Copies no tensor: cache layers rebind their tensors and never write into them.
    """
    if prefix.cache is None:
        return prefix
    cache = copy.copy(prefix.cache)
    cache.layers = [copy.copy(layer) for layer in prefix.cache.layers]
    return replace(prefix, cache=cache)


def keep(
    prefix: Prefix,
    kept: Tensor,
    *,
    cache: Literal["pruned", "untouched"] = "pruned",
    positions: Literal["original", "renumbered"] = "original",
) -> Prefix:
    """Keep the tokens where `kept` is True; rows that keep fewer are padded on the left.

    Args:
        prefix: any prefix; it stays usable.
        kept: (B, L) bool, one entry per token that `prefix.hidden` has.
        cache: what happens to the layers already run. "pruned" shortens them too (GlimpsePrune). "untouched" leaves
            every token visible to later queries in those layers (FastV); it needs a single row, because one padding
            mask cannot describe two lengths.
        positions: "original" keeps the position ids of the prompt (GlimpsePrune). "renumbered" counts the kept tokens
            from 0 on every axis; untouched layers go on counting where they were (`Prefix.shifts`).

    Returns:
        The prefix at the same depth with S tokens per row, S being the most that a row keeps.

    Raises:
        ValueError: the mask has another shape or dtype, several rows were given with untouched caches, or an earlier
            `keep` left longer caches untouched.
    """
    length = prefix.hidden.shape[1]
    if kept.dtype != torch.bool or kept.shape != (len(prefix.hidden), length):
        raise ValueError(
            f"kept is {kept.dtype} {tuple(kept.shape)}. Expected a bool mask of shape {(len(prefix.hidden), length)}."
        )
    if cache == "untouched" and len(kept) > 1:
        raise ValueError(f'{len(kept)} rows were given with cache="untouched". Expected a single row.')
    order, padding = places(kept)
    branch = fork(prefix)
    if cache == "pruned":
        _shorten(branch, order, length)
    new_positions = prefix.positions.take_along_dim(order.expand(*prefix.positions.shape[:-1], -1), dim=-1)
    shifts = prefix.shifts
    if positions == "renumbered":
        new_positions = (padding.cumsum(1) - 1).clamp(min=0).expand_as(new_positions)
        if cache == "untouched":
            shift = int(prefix.positions[..., -1].max()) - int(new_positions[..., -1].max())
            shifts = tuple(shift + before for before, _ in zip_longest(shifts, range(prefix.depth), fillvalue=0))
    return replace(
        branch,
        hidden=prefix.hidden.take_along_dim(order[..., None], dim=1),
        pending=None if prefix.pending is None else prefix.pending.take_along_dim(order[None, ..., None], dim=2),
        positions=new_positions,
        padding=None if bool(padding.all()) else padding,
        shifts=shifts,
    )


def _shorten(branch: Prefix, order: Tensor, length: int) -> None:
    """Keep the tokens `order` (B, S) in every filled cache layer, all of which must hold `length` tokens."""
    layers = filled_layers(branch)
    if any(layer.get_seq_length() != length for layer in layers):
        raise ValueError(
            "An earlier keep left longer caches untouched. Expected caches as long as the mask: keep them untouched "
            "again."
        )
    for layer in layers:
        chosen = order[:, None, :, None].to(layer.keys.device)
        layer.keys = layer.keys.take_along_dim(chosen, dim=2)
        layer.values = layer.values.take_along_dim(chosen, dim=2)


def places(kept: Tensor) -> tuple[Tensor, Tensor]:
    """Return where the tokens of a mask go when dropped ones move to the left and the rest keeps its order.

    Args:
        kept: (B, L) bool.

    Returns:
        order: (B, S) int64, the old index of each new token, S being the most that a row keeps.
        real: (B, S) bool, False at left padding.
    """
    longest = int(kept.sum(1).max())
    order = kept.int().argsort(dim=1, stable=True)[:, kept.shape[1] - longest :]
    return order, kept.gather(1, order)


def drop_last(prefix: Prefix, count: int) -> Prefix:
    """Return `prefix` without its last `count` tokens, in every layer already run, as if they had never been there.

    The published method does this with the glimpse token, once its attention has been read.
    """
    if count == 0:
        return prefix
    branch = fork(prefix)
    for layer in filled_layers(branch):
        layer.crop(-count)  # transformers 5 takes the number of tokens to remove, negative
    cut = slice(None, -count)
    return replace(
        branch,
        hidden=prefix.hidden[:, cut],
        pending=None if prefix.pending is None else prefix.pending[:, :, cut],
        positions=prefix.positions[..., cut],
        padding=None if prefix.padding is None else prefix.padding[:, cut],
    )


def resume(prefix: Prefix, layers: Sequence[FilledLayer], count: int) -> Prefix:
    """Return `prefix` without its first `count` tokens, which its next layers find in the cache instead.

    Attention is causal, so nothing about these tokens depends on the tokens after them: what an earlier prompt computed
    for them holds for every prompt that begins alike.

    Args:
        prefix: without padding. Advance the result by as many layers as are given, not further.
        layers: caches of the layers after `prefix.depth`, of an earlier prompt whose first `count` tokens and positions
            are the same. They stay as they are.
        count: number of these tokens.
    """
    branch = fork(prefix)
    own = cast("list[FilledLayer]", cast(DynamicCache, branch.cache).layers)
    for index, layer in enumerate(map(copy.copy, layers), prefix.depth):
        layer.keys, layer.values = layer.keys[:, :, :count], layer.values[:, :, :count]
        own[index] = layer
    pending = None if prefix.pending is None else prefix.pending[:, :, count:]
    return replace(branch, hidden=prefix.hidden[:, count:], positions=prefix.positions[..., count:], pending=pending)
