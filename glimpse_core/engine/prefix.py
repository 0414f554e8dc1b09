"""The verbs on a `Prefix`: advance, fork, keep, drop_last.

A prefix is a prompt stopped between two decoder layers. Every verb returns a new prefix and leaves its argument
usable, so that one trunk can be continued pruned and unpruned. `start`, the verb that makes the first prefix, belongs
to the backbone.

This file knows Llama-shaped decoders (`.layers`, `.rotary_emb`, `.config`) and the cache of transformers. It does not
know what a visual token is, nor why tokens are dropped.
"""

from __future__ import annotations

import copy
from collections.abc import Callable
from dataclasses import replace
from itertools import zip_longest
from typing import TYPE_CHECKING, Any, Literal

import torch
from torch import Tensor, nn
from transformers.masking_utils import create_causal_mask

from glimpse_core.types import Prefix

if TYPE_CHECKING:
    from glimpse_core.engine.attention import Probe

BeforeLayer = Callable[[int, Tensor], Tensor]  # (layer index, hidden (B, L, C)) -> hidden (B, L, C)
RunLayer = Callable[[nn.Module, Tensor, dict[str, Any]], Tensor]  # (layer, hidden, keyword arguments) -> hidden


def advance(
    text: nn.Module,
    prefix: Prefix,
    stop: int,
    *,
    before_layer: BeforeLayer | None = None,
    probe: Probe | None = None,
    run: RunLayer | None = None,
) -> Prefix:
    """Run decoder layers [prefix.depth, stop). `before_layer` may change what enters; `probe` reads attention.

    run: how a layer is called, for training; None simply calls it.
    """
    hidden, cache, start = prefix.hidden, prefix.cache, prefix.depth
    if stop <= start:
        return prefix
    mask = causal_mask(text, prefix)
    ropes = {shift: text.rotary_emb(hidden, prefix.positions + shift) for shift in {0, *prefix.ahead[start:stop]}}
    extra = {} if probe is None else {"probe": probe}
    for index in range(start, stop):
        if before_layer is not None:
            hidden = before_layer(index, hidden)
        rope = ropes[prefix.ahead[index] if index < len(prefix.ahead) else 0]
        inputs = {"attention_mask": mask, "position_embeddings": rope, "past_key_values": cache, **extra}
        layer = text.layers[index]
        hidden = layer(hidden, **inputs) if run is None else run(layer, hidden, inputs)
    hidden = hidden.to(prefix.hidden.device)  # layers may be spread over devices; what is between them is not
    return replace(prefix, hidden=hidden, depth=stop, ran=prefix.ran + (hidden.shape[1],) * (stop - start))


def causal_mask(text: nn.Module, prefix: Prefix) -> Tensor | None:
    """The mask that the layers behind `prefix` need, in the form their attention implementation expects."""
    if prefix.padding is None and prefix.hidden.shape[1] == 1:
        return None  # a single query sees everything before it: the common case of decoding, kept free of overhead
    # layer_idx matters: without it the mask is sized from layer 0, whose cache is already filled when depth > 0.
    return create_causal_mask(text.config, prefix.hidden, prefix.padding, prefix.cache, layer_idx=prefix.depth)


def fork(prefix: Prefix) -> Prefix:
    """An independent continuation. Copies no tensor: cache layers rebind their tensors and never write into them."""
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
    """Keep the tokens where `kept` (B, L) is True; rows that keep fewer are padded on the left.

    cache: what happens to the layers already run. "pruned" shortens them too (GlimpsePrune), "untouched" leaves
    every token visible to later queries in those layers (FastV); the latter needs a single row, since one padding mask
    cannot describe two lengths. positions: "original" keeps the ids the prompt had (GlimpsePrune), "renumbered" counts
    the kept tokens from 0 on every axis; untouched layers go on counting where they were (`Prefix.ahead`).
    """
    length = prefix.hidden.shape[1]
    if kept.dtype != torch.bool or kept.shape != (len(prefix.hidden), length):
        raise ValueError(
            f"kept must be a bool mask of shape {(len(prefix.hidden), length)}, not {kept.dtype} {tuple(kept.shape)}"
        )
    if cache == "untouched" and len(kept) > 1:
        raise ValueError('cache="untouched" works for a single row only')
    order, padding = places(kept)
    branch = fork(prefix)
    if cache == "pruned" and branch.cache is not None:
        if any(layer.get_seq_length() != length for layer in branch.cache.layers[: prefix.depth]):
            raise ValueError("an earlier keep left longer caches untouched, so they cannot be pruned by this mask")
        for layer in branch.cache.layers[: prefix.depth]:
            chosen = order[:, None, :, None].to(layer.keys.device)
            layer.keys = layer.keys.take_along_dim(chosen, dim=2)
            layer.values = layer.values.take_along_dim(chosen, dim=2)
    new_positions = prefix.positions.take_along_dim(order.expand(*prefix.positions.shape[:-1], -1), dim=-1)
    ahead = prefix.ahead
    if positions == "renumbered":
        new_positions = (padding.cumsum(1) - 1).clamp(min=0).expand_as(new_positions)
        if cache == "untouched":
            shift = int(prefix.positions[..., -1].max()) - int(new_positions[..., -1].max())
            ahead = tuple(shift + before for before, _ in zip_longest(ahead, range(prefix.depth), fillvalue=0))
    return replace(
        branch,
        hidden=prefix.hidden.take_along_dim(order[..., None], dim=1),
        positions=new_positions,
        padding=None if bool(padding.all()) else padding,
        ahead=ahead,
    )


def places(kept: Tensor) -> tuple[Tensor, Tensor]:
    """Where the tokens of a mask (B, L) go: the old place of every new one (B, S), and which of those are real.

    Stable: dropped tokens move to the left and the rest keeps its order, which is left padding.
    """
    longest = int(kept.sum(1).max())
    order = kept.int().argsort(dim=1, stable=True)[:, kept.shape[1] - longest :]
    return order, kept.gather(1, order)


def drop_last(prefix: Prefix, count: int) -> Prefix:
    """Forget the last `count` tokens in every layer already run, as if they had never been there."""
    if count == 0:
        return prefix
    branch = fork(prefix)
    if branch.cache is not None:
        for layer in branch.cache.layers[: prefix.depth]:
            layer.crop(-count)  # transformers 5 takes the number of tokens to remove, negative
    cut = slice(None, -count)
    return replace(
        branch,
        hidden=prefix.hidden[:, cut],
        positions=prefix.positions[..., cut],
        padding=None if prefix.padding is None else prefix.padding[:, cut],
    )
