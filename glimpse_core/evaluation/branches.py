"""Many branches of one question, run to the end: equal ones once, and those of the same length and depth in one batch.

Branches of the same shape share the matrix products, which a small model on a CPU does in half the time, and nothing is
padded. Two methods, or two caps, that keep the very same tokens give the same branch, which is run once.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

import torch
from torch import Tensor

from glimpse_core.backbones import Backbone
from glimpse_core.engine.prefix import fork
from glimpse_core.inference.decoding import finish
from glimpse_core.types import Prefix


def distinct(branches: Sequence[Prefix]) -> tuple[list[Prefix], list[int]]:
    """Branches (B = 1 each) without repetitions, and for every one given its place among them."""
    found: list[Prefix] = []
    places = []
    for branch in branches:
        same = next((place for place, other in enumerate(found) if _equal(branch, other)), None)
        places.append(len(found) if same is None else same)
        if same is None:
            found.append(branch)
    return found, places


def finish_all(backbone: Backbone, branches: Sequence[Prefix], most: int = 64) -> list[Prefix]:
    """`decode.finish` for each (B = 1), at most `most` in one batch. Branches that are padded run alone."""
    groups: dict[tuple, list[int]] = {}
    for index, branch in enumerate(branches):
        key = (branch.padding is not None and index, *_shape(branch))
        groups.setdefault(key, []).append(index)
    done: list[Prefix] = list(branches)
    for members in groups.values():
        for start in range(0, len(members), most):
            some = members[start : start + most]
            for index, one in zip(some, _together(backbone, [branches[i] for i in some]), strict=True):
                done[index] = one
    return done


def _together(backbone: Backbone, branches: Sequence[Prefix]) -> list[Prefix]:
    if len(branches) == 1:
        return [finish(backbone, branches[0])]
    batch = fork(branches[0])
    for index, layer in enumerate(batch.cache.layers[: batch.depth]):
        own = [branch.cache.layers[index] for branch in branches]
        layer.keys, layer.values = (torch.cat([getattr(one, name) for one in own]) for name in ("keys", "values"))
    positions = torch.cat([branch.positions for branch in branches], dim=-2)
    hidden = torch.cat([branch.hidden for branch in branches])
    finished = finish(backbone, replace(batch, hidden=hidden, positions=positions))
    return [_row(finished, index, branch) for index, branch in enumerate(branches)]


def _row(batch: Prefix, index: int, branch: Prefix) -> Prefix:
    """One row of a finished batch as a prefix of its own; `branch` is what it was before."""
    one = fork(batch)
    for layer in one.cache.layers:
        layer.keys, layer.values = layer.keys[index : index + 1], layer.values[index : index + 1]
    ran = branch.ran + batch.ran[len(branch.ran) :]
    hidden, positions = batch.hidden[index : index + 1], batch.positions[..., index : index + 1, :]
    return replace(one, hidden=hidden, positions=positions, ran=ran)


def _tensors(branch: Prefix) -> list[Tensor]:
    filled = branch.cache.layers[: branch.depth]
    return [branch.hidden, branch.positions, *(part for layer in filled for part in (layer.keys, layer.values))]


def _shape(branch: Prefix) -> tuple:
    return branch.depth, *(tensor.shape for tensor in _tensors(branch))


def _equal(one: Prefix, other: Prefix) -> bool:
    """Whether they must continue alike."""
    if one.padding is not None or other.padding is not None or _shape(one) != _shape(other):
        return False
    return all(torch.equal(a, b) for a, b in zip(_tensors(one), _tensors(other), strict=True))
