"""Root-mean-square normalization, rounded where the published models round it."""

from __future__ import annotations

import torch
from torch import Tensor, nn


class RMSNorm(nn.Module):
    """y = weight * x / sqrt(mean(x²) + eps) over the last dimension of `x` (..., size).

    As in published models, the quotient is computed in float32 and rounded to the dtype of `x` before the product.
    """

    def __init__(self, size: int, eps: float) -> None:
        super().__init__()
        self.weight = nn.Parameter(torch.ones(size))
        self.eps = eps

    def forward(self, x: Tensor) -> Tensor:
        """Normalize `x` (..., size) over its last dimension. Returns (..., size)."""
        wide = x.float()
        return self.weight * (wide * torch.rsqrt(wide.pow(2).mean(-1, keepdim=True) + self.eps)).to(x.dtype)
