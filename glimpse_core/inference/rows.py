"""Rows of a batch while they are being answered: the caches of all of them, fed one token per row and step.

Rows may hold different numbers of tokens, also layer by layer (FastV leaves the first caches whole), and may count
their positions differently layer by layer (`Prefix.shifts`). Shorter caches are padded on the left.

R rows; other letters as in `types.py`.
"""

from __future__ import annotations

import itertools
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from typing import cast

import torch
from torch import Tensor
from torch.nn import functional
from transformers import DynamicCache
from transformers.cache_utils import DynamicLayer

from glimpse_core.backbones import Backbone
from glimpse_core.engine.prefix import advance, fork
from glimpse_core.types import Prefix

ROOM = 32  # tokens that the caches allocate memory for at a time


@dataclass(frozen=True)
class Segment:
    """Neighboring decoder layers whose caches are padded alike.

    stop: the first layer after them. padding: (R, cached tokens) bool, True where real; None when nothing is padded.
    shift: (R, 1) int64, added to the positions in these layers; None when nothing is added.
    """

    stop: int
    padding: Tensor | None
    shift: Tensor | None


@dataclass(frozen=True)
class Rows:
    """R rows that all decoder layers have run.

    hidden: (R, any length, C) from the last layer; its last place predicts. positions: (A, R, 1) or (R, 1), of that.
    cache: keys and values of all layers; `feed` writes into it. segments: cover all layers, in order.
    """

    hidden: Tensor
    positions: Tensor
    cache: DynamicCache
    segments: tuple[Segment, ...]

    def only(self, rows: Tensor) -> Rows:
        """Copy some of the rows. rows: (r,) int64, their indices."""
        cache = DynamicCache()
        cache.layers = [_GrowingLayer(keys[rows], values[rows]) for keys, values in cached(self)]
        segments = tuple(
            Segment(
                segment.stop,
                None if segment.padding is None else _unless_all(segment.padding[rows]),
                None if segment.shift is None else segment.shift[rows],
            )
            for segment in self.segments
        )
        return Rows(self.hidden[rows], self.positions.index_select(-2, rows), cache, segments)


def stack(prefixes: Sequence[Prefix]) -> Rows:
    """Put the rows of finished prefixes side by side, in their order. The prefixes' caches stay as they are."""
    cache = DynamicCache()
    if len(prefixes) == 1:  # as in the stock loop, so that numbers are those of `generate`, bit for bit
        cache.layers, hidden = [*layers_of(fork(prefixes[0]))], prefixes[0].hidden
    else:
        cache.layers = [_stacked(own) for own in zip(*map(cached, prefixes), strict=True)]
        hidden = torch.cat([prefix.hidden[:, -1:] for prefix in prefixes])
    positions = torch.cat([prefix.positions[..., -1:] for prefix in prefixes], dim=-2)
    return Rows(hidden, positions, cache, tuple(_segments(prefixes)))


def feed(backbone: Backbone, rows: Rows, tokens: Tensor) -> Rows:
    """Run further tokens of every row through all layers, into the same cache.

    The first has the position after the row's previous token, whatever was pruned; it is never derived from the cache
    length.

    Args:
        tokens: (R, t) int64 ids; t is 1 in decoding.

    Returns:
        The rows with hidden states (R, t, C) of these tokens.
    """
    count = tokens.shape[1]
    positions = rows.positions + torch.arange(1, count + 1, device=rows.positions.device)
    hidden, start, segments = backbone.embed(tokens), 0, []
    for segment in rows.segments:
        padding = segment.padding
        if padding is not None:
            padding = torch.cat([padding, padding.new_ones(len(padding), count)], dim=1)
        counted = positions if segment.shift is None else positions + segment.shift
        hidden = advance(backbone.text, Prefix(hidden, counted, padding, rows.cache, start), segment.stop).hidden
        segments.append(replace(segment, padding=padding))
        start = segment.stop
    return Rows(hidden, positions[..., -1:], rows.cache, tuple(segments))


def layers_of(prefix: Prefix | Rows) -> list[DynamicLayer]:
    """Return the cache of each layer that has run."""
    assert prefix.cache is not None  # only training goes without
    return cast("list[DynamicLayer]", prefix.cache.layers)


def cached(prefix: Prefix | Rows) -> list[tuple[Tensor, Tensor]]:
    """Return keys and values of each layer that has run, (B, heads, tokens, head size) each."""
    return cast("list[tuple[Tensor, Tensor]]", [(layer.keys, layer.values) for layer in layers_of(prefix)])


def lengths(prefix: Prefix | Rows) -> tuple[int, ...]:
    """Return how many tokens the cache of each layer holds, padding included."""
    return tuple(keys.shape[2] for keys, _ in cached(prefix))


class _GrowingLayer(DynamicLayer):
    """A layer of the cache with memory left after its tokens, so that a step does not copy all of them."""

    def __init__(self, keys: Tensor, values: Tensor) -> None:
        super().__init__()  # type: ignore[no-untyped-call]  # as transformers has it
        self.dtype, self.device, self.is_initialized = keys.dtype, keys.device, True
        self.allocated, self.length = (keys, values), keys.shape[2]
        self.keys, self.values = keys, values

    def update(
        self, key_states: Tensor, value_states: Tensor, *args: object, **kwargs: object
    ) -> tuple[Tensor, Tensor]:
        start, self.length = self.length, self.length + key_states.shape[2]
        keys, values = self.allocated
        if self.length > keys.shape[2]:
            room = max(ROOM, key_states.shape[2])
            keys, values = (functional.pad(own[:, :, :start], (0, 0, 0, room)) for own in self.allocated)
            self.allocated = keys, values
        keys[:, :, start : self.length], values[:, :, start : self.length] = key_states, value_states
        self.keys, self.values = keys[:, :, : self.length], values[:, :, : self.length]
        return self.keys, self.values


def _stacked(layers: Sequence[tuple[Tensor, Tensor]]) -> _GrowingLayer:
    """One decoder layer of all prefixes: (B, heads, length, head size) each -> (R, heads, longest, head size)."""
    longest = max(keys.shape[2] for keys, _ in layers)
    keys, values = (
        torch.cat([functional.pad(own, (0, 0, longest - own.shape[2], 0)) for own in tensors])
        for tensors in zip(*layers, strict=True)
    )
    return _GrowingLayer(keys, values)


def _segments(prefixes: Sequence[Prefix]) -> Iterator[Segment]:
    """Group neighboring layers that hold the same numbers of tokens and count positions alike."""
    held = list(zip(*map(lengths, prefixes), strict=True))  # per layer: of each prefix
    padded = any(prefix.padding is not None for prefix in prefixes)

    def key(layer: int) -> tuple[tuple[int, ...], tuple[int, ...]]:
        unequal = padded or len(set(held[layer])) > 1
        return held[layer] if unequal else (), tuple(sum(prefix.shifts[layer : layer + 1]) for prefix in prefixes)

    for (sizes, shifts), same in itertools.groupby(range(len(held)), key):
        padding = shift = None
        if sizes:
            real = [_real(prefix, size) for prefix, size in zip(prefixes, sizes, strict=True)]
            padding = _unless_all(torch.cat([functional.pad(own, (max(sizes) - own.shape[1], 0)) for own in real]))
        if any(shifts):
            counted = [
                prefix.positions.new_full((len(prefix.hidden), 1), added)
                for prefix, added in zip(prefixes, shifts, strict=True)
            ]
            shift = torch.cat(counted)
        yield Segment(max(same) + 1, padding, shift)


def _real(prefix: Prefix, size: int) -> Tensor:
    """(B, size) bool: which of the cached tokens are no padding."""
    if prefix.padding is not None:
        return prefix.padding
    return torch.ones(len(prefix.hidden), size, dtype=torch.bool, device=prefix.hidden.device)


def _unless_all(padding: Tensor) -> Tensor | None:
    """None where nothing is padded: attention kernels are faster without a mask."""
    return None if bool(padding.all()) else padding
