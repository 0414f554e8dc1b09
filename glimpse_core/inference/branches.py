"""Many branches of one prompt, answered together: equal ones once, prefill in batches, then all of them step by step.

One step costs a small model about the same for one row as for five, and branches of the same shape share the matrix
products of the prefill. Answers are those of answering one by one, whatever was pruned where (tests/inference).
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import replace

import torch
from torch import Tensor

from glimpse_core.backbones import Backbone
from glimpse_core.engine.prefix import BeforeLayer, fork
from glimpse_core.inference.decoding import begin, finish, greedy_steps
from glimpse_core.inference.rows import cached, layers_of
from glimpse_core.types import Prefix, Prompt

MOST_ROWS = 64
WIDEST = 4.0  # rows are stepped together when none holds more than this many times the tokens of another


def answer_branches(
    backbone: Backbone, prompt: Prompt, branches: Sequence[Prefix], limit: int, most: int = MOST_ROWS
) -> list[list[int]]:
    """Answer every branch of one prompt greedily.

    Args:
        backbone: of the model.
        prompt: one row.
        branches: of one row each, as pruners return them. Their caches stay as they are.
        limit: most tokens of an answer.
        most: rows of one batch, fewer for less memory.

    Returns:
        Generated ids of each branch, without the stop token.
    """
    different, places = distinct(branches)
    answers: list[list[int]] = [[] for _ in different]
    for found in branch_steps(backbone, prompt, different, limit, most):
        for index, token in found.items():
            if token is not None:
                answers[index].append(token)
    return [answers[place] for place in places]


@torch.inference_mode()
def branch_steps(
    backbone: Backbone,
    prompt: Prompt,
    branches: Sequence[Prefix],
    limit: int,
    most: int = MOST_ROWS,
    before_layer: BeforeLayer | None = None,
) -> Iterator[dict[int, int | None]]:
    """Answer different branches of one prompt greedily, those of similar size side by side, the smallest first.

    Args:
        backbone, prompt, branches, limit, most: as `answer_branches` takes them.
        before_layer: see `engine.prefix.advance`; called while the layers that are left are run.

    Yields:
        After each step, for each branch that had not ended, by its number: the id that it got, or None where it ended
        with a stop token.
    """
    for group in similar([_size(branch) for branch in branches], most):
        finished = finish_all(backbone, [branches[index] for index in group], most, before_layer)
        for found in greedy_steps(backbone, begin(finished, prompt), limit):
            yield {group[row]: token for row, token in found.items()}


def distinct(branches: Sequence[Prefix]) -> tuple[list[Prefix], list[int]]:
    """Drop repetitions among branches of one row each.

    Two methods, or two caps, that keep the very same tokens give equal branches.

    Returns:
        The different branches, and for every given one its index among them.
    """
    found: list[Prefix] = []
    places = []
    for branch in branches:
        same = next((place for place, other in enumerate(found) if _equal(branch, other)), None)
        places.append(len(found) if same is None else same)
        if same is None:
            found.append(branch)
    return found, places


def finish_all(
    backbone: Backbone, branches: Sequence[Prefix], most: int = MOST_ROWS, before_layer: BeforeLayer | None = None
) -> list[Prefix]:
    """Run the layers that are left of each branch (one row), those of the same shape in batches of at most `most`.

    Nothing is padded for it. Branches that come with padding run alone.
    """
    groups: dict[tuple[object, ...], list[int]] = {}
    for index, branch in enumerate(branches):
        key = (branch.padding is not None and index, *_shape(branch))
        groups.setdefault(key, []).append(index)
    done: list[Prefix] = list(branches)
    for members in groups.values():
        for start in range(0, len(members), most):
            some = members[start : start + most]
            batch = _finish_batch(backbone, [branches[index] for index in some], before_layer)
            for index, one in zip(some, batch, strict=True):
                done[index] = one
    return done


def similar(sizes: Sequence[int], most: int = MOST_ROWS) -> list[list[int]]:
    """Put rows of similar size into groups, the smallest first, so that little is padded.

    Args:
        sizes: tokens of each row.
        most: rows of a group.

    Returns:
        Indices of the rows of each group.
    """
    groups: list[list[int]] = []
    for index in sorted(range(len(sizes)), key=sizes.__getitem__):
        if not groups or len(groups[-1]) == most or sizes[index] > WIDEST * sizes[groups[-1][0]]:
            groups.append([])
        groups[-1].append(index)
    return groups


def _finish_batch(backbone: Backbone, branches: Sequence[Prefix], before_layer: BeforeLayer | None) -> list[Prefix]:
    if len(branches) == 1:
        return [finish(backbone, fork(branches[0]), before_layer)]
    batch = fork(branches[0])
    filled = zip(*(cached(branch)[: batch.depth] for branch in branches), strict=True)
    for layer, own in zip(layers_of(batch), filled, strict=False):
        layer.keys, layer.values = torch.cat([keys for keys, _ in own]), torch.cat([values for _, values in own])
    positions = torch.cat([branch.positions for branch in branches], dim=-2)
    hidden = torch.cat([branch.hidden for branch in branches])
    waiting = [branch.pending for branch in branches if branch.pending is not None]  # of all or of none: equal depths
    pending = torch.cat(waiting, dim=1) if waiting else None
    whole = replace(batch, hidden=hidden, positions=positions, pending=pending)
    finished = finish(backbone, whole, before_layer)
    return [_row(finished, index, branch) for index, branch in enumerate(branches)]


def _row(batch: Prefix, index: int, branch: Prefix) -> Prefix:
    """One row of a finished batch as a prefix of its own; `branch` is what it was before."""
    one = fork(batch)
    for layer, (keys, values) in zip(layers_of(one), cached(batch), strict=True):
        layer.keys, layer.values = keys[index : index + 1], values[index : index + 1]
    processed = branch.processed + batch.processed[len(branch.processed) :]
    hidden, positions = batch.hidden[index : index + 1], batch.positions[..., index : index + 1, :]
    return replace(one, hidden=hidden, positions=positions, processed=processed)


def _tensors(branch: Prefix) -> list[Tensor]:
    pending = () if branch.pending is None else (branch.pending,)
    filled = (part for own in cached(branch)[: branch.depth] for part in own)
    return [branch.hidden, branch.positions, *pending, *filled]


def _size(branch: Prefix) -> int:
    """Most tokens that a layer's cache will hold once all layers have run."""
    return max([branch.hidden.shape[1], *(keys.shape[2] for keys, _ in cached(branch)[: branch.depth])])


def _shape(branch: Prefix) -> tuple[object, ...]:
    """What branches must have in common to run in one batch without padding."""
    return branch.depth, branch.shifts, *(tensor.shape for tensor in _tensors(branch))


def _equal(one: Prefix, other: Prefix) -> bool:
    """Whether they must continue alike."""
    if one.padding is not None or other.padding is not None or _shape(one) != _shape(other):
        return False
    return all(torch.equal(a, b) for a, b in zip(_tensors(one), _tensors(other), strict=True))
