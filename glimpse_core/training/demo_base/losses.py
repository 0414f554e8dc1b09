"""The losses of the attention that `forward` records."""

import torch
from torch import Tensor

from glimpse_core.training.demo_base.data import BaseBatch


def look_loss(masses: list[Tensor], like: Tensor) -> Tensor:
    """Return the mean of -log(attention mass on the evidence) over supervised layers.

    Args:
        masses: of `BaseOutput`.
        like: a tensor that gives the device and dtype of a zero.
    """
    found = [-torch.log(mass.float() + 1e-4).mean() for mass in masses if len(mass)]
    return torch.stack(found).mean() if found else like.new_zeros((), dtype=torch.float32)


def cover_loss(spreads: list[Tensor], batch: BaseBatch, like: Tensor) -> Tensor:
    """Return the cross entropy of the last question token's attention to all its evidence alike, above perfect.

    Args:
        spreads: of `BaseOutput`.
        batch: the batch they belong to.
        like: a tensor that gives the device and dtype of a zero.
    """
    asked = batch.covered[batch.covered.any(-1)]
    if not spreads or not len(asked):
        return like.new_zeros((), dtype=torch.float32)
    even = (asked / asked.sum(-1, keepdim=True))[:, None]
    excess = [even * ((even + 1e-6).log() - (found.float() + 1e-6).log()) for found in spreads]
    return torch.stack([one.sum(-1).mean() for one in excess]).mean()
