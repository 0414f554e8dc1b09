"""Greedy answers of many branches of one question: each branch by itself up to its first token, then in step.

Decoding one token costs a small model about the same for one row as for five, so the branches share the steps. The
result is that of answering one by one (tests/evaluation), whatever was pruned where: the layers of a branch may hold
different numbers of tokens. R branches.
"""

from __future__ import annotations

import itertools
from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch import Tensor
from torch.nn import functional
from transformers import DynamicCache
from transformers.cache_utils import DynamicLayer

from glimpse_core.backbones import Backbone
from glimpse_core.engine.prefix import advance, keep
from glimpse_core.inference.decoding import finish, next_logits, penalized
from glimpse_core.types import Prefix, Prompt

ROOM = 32  # tokens for which the caches make room at a time
WIDEST = 4.0  # rows are stepped together when none holds more than this many times the tokens of another


@torch.inference_mode()
def greedy(backbone: Backbone, trunk: Prefix, prompt: Prompt, masks: Sequence[Tensor], limit: int) -> list[list[int]]:
    """Continue a trunk (B = 1) once for each mask (N,) bool over its visual tokens. At most `limit` tokens each.

    Returns the token ids of every answer, without the stop token.
    """
    kept = [keep(trunk, backbone.keep_mask(prompt, (mask,))) for mask in masks]
    return together(backbone, prompt, [finish(backbone, branch) for branch in kept], limit)


@torch.inference_mode()
def together(
    backbone: Backbone, prompt: Prompt, branches: Sequence[Prefix], limit: int, most: int = 64
) -> list[list[int]]:
    """The answers of finished branches (B = 1 each) of one prompt, at most `most` of them in step; see `greedy`."""
    answers: list[list[int]] = [[] for _ in branches]
    for group in _groups([max(lengths(branch)) for branch in branches], most):
        for index, tokens in zip(group, _in_step(backbone, prompt, [branches[i] for i in group], limit), strict=True):
            answers[index] = tokens
    return answers


def lengths(branch: Prefix) -> tuple[int, ...]:
    """How many tokens each layer's cache holds."""
    return tuple(layer.keys.shape[2] for layer in branch.cache.layers)


def _groups(sizes: Sequence[int], most: int) -> list[list[int]]:
    """Indices in groups of similar size, so that little is padded."""
    groups: list[list[int]] = []
    for index in sorted(range(len(sizes)), key=sizes.__getitem__):
        if not groups or len(groups[-1]) == most or sizes[index] > WIDEST * sizes[groups[-1][0]]:
            groups.append([])
        groups[-1].append(index)
    return groups


def _in_step(backbone: Backbone, prompt: Prompt, branches: Sequence[Prefix], limit: int) -> list[list[int]]:
    rows, last = _Rows.of(branches), torch.cat([branch.hidden[:, -1:] for branch in branches])
    stop = torch.tensor(sorted(backbone.stop_tokens), device=last.device)
    answers: list[list[int]] = [[] for _ in branches]
    owners = torch.arange(len(branches), device=last.device)  # whose row it is
    running = torch.ones_like(owners, dtype=torch.bool)
    spoken = owners.new_empty(len(owners), 0)
    for step in range(1, limit + 1):
        logits = next_logits(backbone, Prefix(last, rows.positions, None, None))
        tokens = penalized(logits, backbone.repetition_penalty, prompt, spoken).argmax(-1)
        spoken = torch.cat([spoken, tokens[:, None]], dim=1)
        running &= ~torch.isin(tokens, stop)
        for owner, token, going in zip(owners.tolist(), tokens.tolist(), running.tolist(), strict=True):
            if going:
                answers[owner].append(token)
        if step == limit or not bool(running.any()):
            break
        if 2 * int(running.sum()) <= len(owners):  # until then, rows that have ended run along, unheard
            going = running.nonzero().flatten()
            rows, owners, tokens, running = rows.only(going), owners[going], tokens[going], running[going]
            spoken = spoken[going]
        last = rows.feed(backbone, tokens[:, None])
    return answers


class _Grown(DynamicLayer):
    """A layer of the cache with room left behind its tokens, so that a step does not copy all of them."""

    def __init__(self, keys: Tensor, values: Tensor) -> None:
        super().__init__()
        self.dtype, self.device, self.is_initialized = keys.dtype, keys.device, True
        self.roomy, self.keys, self.values = [keys, values], keys, values

    def update(self, key_states: Tensor, value_states: Tensor, *args: object, **kwargs: object) -> tuple[Tensor, ...]:
        start = self.keys.shape[2]
        stop = start + key_states.shape[2]
        if stop > self.roomy[0].shape[2]:
            self.roomy = [functional.pad(own, (0, 0, 0, ROOM)) for own in (self.keys, self.values)]
        for own, new in zip(self.roomy, (key_states, value_states), strict=True):
            own[:, :, start:stop] = new
        self.keys, self.values = (own[:, :, :stop] for own in self.roomy)
        return self.keys, self.values


@dataclass
class _Rows:
    """R finished branches as rows fed together. padding: per layer (R, keys) bool, the same object where alike."""

    cache: DynamicCache
    positions: Tensor  # (A, R, 1) or (R, 1), of the last token
    padding: list[Tensor]

    @classmethod
    def of(cls, branches: Sequence[Prefix]) -> _Rows:
        """Shorter ones are padded on the left, layer by layer."""
        held = list(zip(*map(lengths, branches), strict=True))  # per layer: of each row
        device = branches[0].hidden.device
        alike = {
            counts: torch.arange(max(counts), device=device)
            >= max(counts) - torch.tensor(counts, device=device)[:, None]
            for counts in held
        }
        cache = DynamicCache()
        cache.layers = [
            _Grown(*(_stacked([getattr(branch.cache.layers[index], name) for branch in branches], max(counts))
                     for name in ("keys", "values")))
            for index, counts in enumerate(held)
        ]  # fmt: skip
        last = torch.cat([branch.positions[..., -1:] for branch in branches], dim=-2)
        return cls(cache, last, [alike[counts] for counts in held])

    def only(self, rows: Tensor) -> _Rows:
        """Without the other rows."""
        cache = DynamicCache()
        cache.layers = [_Grown(layer.keys[rows], layer.values[rows]) for layer in self.cache.layers]
        alike = {id(own): own[rows] for own in self.padding}
        return _Rows(cache, self.positions.index_select(-2, rows), [alike[id(own)] for own in self.padding])

    def feed(self, backbone: Backbone, tokens: Tensor) -> Tensor:
        """Run tokens (R, 1) through all layers, at the position behind the last. Returns what comes out, (R, 1, C)."""
        hidden, self.positions = backbone.embed(tokens), self.positions + 1
        more = {id(own): torch.cat([own, own.new_ones(len(own), 1)], dim=1) for own in self.padding}
        self.padding = [more[id(own)] for own in self.padding]
        start = 0
        for _, same in itertools.groupby(self.padding, key=id):  # one mask for neighboring layers that hold the same
            stop = start + len(list(same))
            padding = self.padding[start]
            padding = None if bool(padding.all()) else padding
            hidden = advance(backbone.text, Prefix(hidden, self.positions, padding, self.cache, start), stop).hidden
            start = stop
        return hidden


def _stacked(tensors: Sequence[Tensor], longest: int) -> Tensor:
    """(1, H, length, D) each -> (R, H, longest, D)"""
    return torch.cat([functional.pad(one, (0, 0, longest - one.shape[2], 0)) for one in tensors])
