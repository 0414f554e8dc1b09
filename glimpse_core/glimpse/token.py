"""The glimpse token: learned vectors that are appended to the prompt and added to again before further layers."""

from __future__ import annotations

from dataclasses import replace

import torch
from torch import Tensor, nn
from torch.nn import functional

from glimpse_core.engine.prefix import BeforeLayer
from glimpse_core.glimpse.norm import RMSNorm
from glimpse_core.types import GlimpseConfig, Prefix


class Glimpse(nn.Module):
    """The learned vectors, one for each of `config.glimpse_layers` and each of the G glimpse tokens."""

    def __init__(self, config: GlimpseConfig, hidden_size: int, eps: float) -> None:
        """Make untrained vectors. hidden_size: C of the language model. eps: of the norm."""
        super().__init__()
        self.embeddings = nn.Parameter(
            torch.randn(len(config.glimpse_layers), config.glimpse_length, hidden_size) * 0.02
        )
        self.proj = nn.Linear(hidden_size, hidden_size)
        self.norm = RMSNorm(hidden_size, eps) if config.glimpse_norm == "rmsnorm" else nn.LayerNorm(hidden_size)
        self.dropout = config.glimpse_dropout

    def forward(self) -> Tensor:
        """The vectors (glimpse layers, G, C), projected and normalized. Dropout is active in training mode only."""
        vectors = self.norm(self.proj(self.embeddings))
        return functional.dropout(vectors, self.dropout, self.training) if self.dropout else vectors


def append(prefix: Prefix, vectors: Tensor) -> Prefix:
    """Append glimpse tokens to every row of a prompt.

    They take the positions that the first answer tokens will have: following the prompt's last, on every axis.

    Args:
        prefix: at depth 0.
        vectors: (G, C), the embeddings of the glimpse tokens.
    """
    count, rows = len(vectors), len(prefix.hidden)
    steps = torch.arange(1, count + 1, device=prefix.positions.device)
    last = prefix.positions[-1:, :, -1:] if prefix.positions.ndim == 3 else prefix.positions[:, -1:]  # column axis
    positions = (last + steps).expand(*prefix.positions.shape[:-1], count)
    padding, pending = prefix.padding, prefix.pending
    return replace(
        prefix,
        pending=None if pending is None else functional.pad(pending, (0, 0, 0, count)),
        hidden=torch.cat([prefix.hidden, vectors.to(prefix.hidden).expand(rows, -1, -1)], dim=1),
        positions=torch.cat([prefix.positions, positions], dim=-1),
        padding=None if padding is None else torch.cat([padding, padding.new_ones(rows, count)], dim=1),
    )


def additions(config: GlimpseConfig, vectors: Tensor, rows: Tensor | None = None) -> BeforeLayer:
    """Make the callback that adds glimpse vector j before layer `glimpse_layers[j]`.

    Layer 0 is left out: there the vectors were appended.

    Args:
        config: of the glimpse modules.
        vectors: (glimpse layers, G, C).
        rows: (B, G) int64, where the glimpse tokens stand in each row; None: they are the last G.
    """
    index_of = {layer: j for j, layer in enumerate(config.glimpse_layers)}
    count = vectors.shape[1]

    def add(layer: int, hidden: Tensor) -> Tensor:
        if layer == 0 or layer not in index_of:
            return hidden
        extra = vectors[index_of[layer]].to(hidden)
        if rows is None and not torch.is_grad_enabled():
            hidden[:, -count:] += extra  # written by the layer before and held nowhere else, so no copy is needed
            return hidden
        if rows is None:
            return torch.cat([hidden[:, :-count], hidden[:, -count:] + extra], dim=1)
        where = rows[..., None].expand(-1, -1, hidden.shape[-1])
        return hidden.scatter_add(1, where, extra.expand(len(hidden), -1, -1))

    return add
