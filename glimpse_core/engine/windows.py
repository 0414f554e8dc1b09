"""Attention inside many short windows, neighboring windows of equal length in one call.

transformers runs every window by itself unless flash attention is chosen: for an image of 5,000 visual tokens
Qwen2.5-VL's tower makes over 300 calls in each of its 28 blocks with windows. Windows of equal length that follow each
other become the batch of one call: two calls for each row of windows, since the last window of a row may be cut. The
tower's module hands the edges of the windows only to attention functions whose name contains "flash", so the names here
do, though no flash attention is needed. On a CPU every bit is that of the stock function, in the same time; with a GPU,
where every call costs a launch, this has not been measured.
"""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor
from transformers import AttentionInterface
from transformers.integrations.sdpa_attention import sdpa_attention_forward

from glimpse_core.engine.attention import AttentionFunction, eager_attention
from glimpse_core.engine.decoder import AttentionModule

WINDOWED = {"sdpa": "glimpse_flash_layout_sdpa", "eager": "glimpse_flash_layout_eager"}


def runs(edges: list[int]) -> list[tuple[int, int, int]]:
    """Return neighboring windows of equal length as (first place, windows, length).

    Args:
        edges: where the windows begin, and where the last one ends.
    """
    found: list[tuple[int, int, int]] = []
    for start, stop in zip(edges, edges[1:], strict=False):
        if found and found[-1][2] == stop - start:
            found[-1] = (found[-1][0], found[-1][1] + 1, stop - start)
        else:
            found.append((start, 1, stop - start))
    return found


def _windowed(stock: AttentionFunction) -> AttentionFunction:
    """Return `stock`, called once for neighboring windows of equal length."""

    def attention(
        module: AttentionModule,
        query: Tensor,
        key: Tensor,
        value: Tensor,
        attention_mask: Tensor | None,
        *,
        scaling: float,
        cu_seq_lens_q: Tensor,
        dropout: float = 0.0,
        **_: Any,
    ) -> tuple[Tensor, None]:
        """Attend within windows: query, key and value (1, H, P, D), edges (windows + 1,) -> (1, P, H, D)."""
        options: dict[str, Any] = {"scaling": scaling, "dropout": dropout, "is_causal": False}
        out = []
        for start, count, length in runs(cu_seq_lens_q.tolist()):
            # (1, H, P, D) -> (windows, H, length, D), views of the same memory
            parts = (
                part[0, :, start : start + count * length].unflatten(1, (count, length)).transpose(0, 1)
                for part in (query, key, value)
            )
            out.append(stock(module, *parts, None, **options)[0].flatten(0, 1))
        return torch.cat(out)[None], None

    return attention


for _name, _function in (("sdpa", sdpa_attention_forward), ("eager", eager_attention)):
    AttentionInterface.register(WINDOWED[_name], _windowed(_function))
