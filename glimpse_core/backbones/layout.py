"""Where the visual tokens of a prompt are, and which of them may attend to each other.

Letters as in `types.py`.
"""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor


@dataclass(frozen=True)
class Layout:
    """Where the N visual tokens are, and which of them may attend to each other.

    Attributes:
        cells: (N, 2) int64 row and column of each token on the grid of its own image, from 0.
        lengths: sizes of the groups that attend within themselves, in group order.
        order: (N,) int64 raster index of every token in group order. None: group order is raster order.
        images: number of tokens of every image. None: every group is an image.
    """

    cells: Tensor
    lengths: tuple[int, ...]
    order: Tensor | None = None
    images: tuple[int, ...] | None = None


def part(layout: Layout, index: Tensor) -> Layout:
    """The layout of some of the tokens. Groups and images that lost all their tokens are left out.

    Args:
        layout: of N tokens.
        index: (M,) int64, ascending: the tokens that are left.
    """
    group = torch.arange(len(layout.lengths), device=index.device).repeat_interleave(
        torch.tensor(layout.lengths, device=index.device)
    )
    order = None
    if layout.order is not None:
        ranks = layout.order.to(index.device).argsort()  # of every raster token in group order
        order, group = ranks[index].argsort(), group[ranks]
    return Layout(
        cells=layout.cells[index.to(layout.cells.device)],
        lengths=_sizes(group[index]),
        order=order,
        images=None if layout.images is None else _sizes(_image_of(layout.images, index)),
    )


def _image_of(images: tuple[int, ...], index: Tensor) -> Tensor:
    ends = torch.tensor(images, device=index.device).cumsum(0)
    return torch.bucketize(index, ends, right=True)


def _sizes(groups: Tensor) -> tuple[int, ...]:
    """How often each number occurs, those that never occur left out."""
    return tuple(count for count in groups.bincount().tolist() if count)
