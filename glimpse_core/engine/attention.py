"""Attention functions that also read one query row, and then call the stock function unchanged.

transformers lets a model choose its attention function by name. Three names are registered here, one per stock
implementation; a model loaded with `PROBED[name]` computes exactly what `name` computes. When the decoder layers are
handed a `Probe`, the query-key products of one row are noted on the way, after RoPE, so nothing is computed twice and
no attention class is copied.

This file does not know which row is interesting or what its logits are for.
"""

from __future__ import annotations

import sys
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass, field
from types import SimpleNamespace
from typing import Any, cast

import torch
from torch import Tensor, nn
from transformers import AttentionInterface, AttentionMaskInterface
from transformers.integrations.flash_attention import flash_attention_forward
from transformers.integrations.sdpa_attention import sdpa_attention_forward
from transformers.masking_utils import eager_mask, flash_attention_mask, sdpa_mask

from glimpse_core.engine.decoder import AttentionModule, Decoder
from glimpse_core.types import Prefix

# (attention module, query, key, value, mask, **more) -> output, attention weights or None
AttentionFunction = Callable[..., tuple[Tensor, Tensor | None]]

PROBED = {"sdpa": "glimpse_sdpa", "eager": "glimpse_eager", "flash_attention_2": "glimpse_fa2"}


@dataclass
class Probe:
    """What to read during one forward pass and, afterwards, what was read.

    Attributes:
        layers: indices of the decoder layers to read.
        rows: (B,) int64 index of the query row to read in each batch row. None: the last one.
        logits: layer -> (B, H, keys) q·k / sqrt(head size), in the model's dtype, neither masked nor normalized.
        only: stop the pass as soon as something was read (`peek`).
        weights: (B, rows) weights of the query rows, whose weighted sum is read instead of a single row. None: `rows`.
    """

    layers: frozenset[int]
    rows: Tensor | None = None
    logits: dict[int, Tensor] = field(default_factory=dict)
    only: bool = False
    weights: Tensor | None = None

    def read(self, module: AttentionModule, query: Tensor, key: Tensor) -> None:
        """Note the logits of one query per batch row, if `module` belongs to a layer that is read.

        Args:
            module: the attention module that is about to run.
            query: (B, H, rows, D) after RoPE.
            key: (B, H_kv, keys, D) after RoPE; query head h reads key head h // (H / H_kv).
        """
        if module.layer_idx not in self.layers:
            return
        batch, heads, _, size = query.shape
        if self.weights is not None:  # products are linear in the query, so the sum need not be of products
            row = torch.einsum("bhrd,br->bhd", query, self.weights.to(query))
        else:
            row = (
                query[:, :, -1] if self.rows is None else query[torch.arange(batch, device=query.device), :, self.rows]
            )
        grouped = row.view(batch, key.shape[1], heads // key.shape[1], size)  # no repeated keys
        products = grouped @ key.transpose(2, 3) / size**0.5
        self.logits[module.layer_idx] = products.view(batch, heads, -1)
        if self.only:
            raise _Enough


class _Enough(Exception):
    """Raised when a probe has read what it was to read, to end the pass."""


def peek(text: Decoder, prefix: Prefix, rope: bool = True, weights: Tensor | None = None) -> Tensor:
    """Return one query's attention logits in layer `prefix.depth` without running that layer.

    Only the layer's norm and projections are computed, and its cache stays empty.

    Args:
        text: the decoder.
        prefix: stopped before the layer to read.
        rope: False leaves the positions out, as some published ranking code does.
        weights: (B, L) weights of the tokens whose queries are added up. None: the last token's query.

    Returns:
        (B, H, L) q·k / sqrt(head size), in the model's dtype.
    """
    cosine, sine = text.rotary_emb(prefix.hidden, prefix.positions)
    if not rope:
        cosine, sine = torch.ones_like(cosine), torch.zeros_like(sine)
    probe = Probe(frozenset({prefix.depth}), only=True, weights=weights)
    with suppress(_Enough):
        text.layers[prefix.depth](
            prefix.hidden, attention_mask=None, position_embeddings=(cosine, sine), past_key_values=None, probe=probe
        )
    return probe.logits[prefix.depth].to(prefix.hidden.device)


def column_sums(query: Tensor, key: Tensor) -> Tensor:
    """Return the attention that every key receives from all queries together, averaged over heads.

    Softmax of q·k / sqrt(D) without a mask. Computed in tiles that fit a CPU's cache or a GPU's memory, because the
    whole attention matrix of a large image would not.

    Args:
        query: (H, rows, D).
        key: (H, keys, D).

    Returns:
        (keys,) float32, which add up to the number of rows.
    """
    heads, total = len(key), torch.zeros(key.shape[1], dtype=torch.float32, device=key.device)
    together, tile = (heads, 1 << 26) if key.is_cuda else (1, 1 << 18)
    rows = max(tile // (together * key.shape[1]), 1)
    for queries, keys in zip((query / key.shape[-1] ** 0.5).split(together), key.split(together), strict=True):
        for part in queries.split(rows, dim=1):
            weights = (part @ keys.transpose(1, 2)).float()
            weights = weights.sub_(weights.amax(-1, keepdim=True)).exp_()
            total += (weights.sum(-1).reciprocal()[:, None] @ weights).sum((0, 1)) / heads
    return total


def _probed(stock: AttentionFunction) -> AttentionFunction:
    """Return `stock` with one more argument, `probe`, which reads logits before `stock` runs unchanged."""

    def attention(
        module: AttentionModule,
        query: Tensor,
        key: Tensor,
        value: Tensor,
        attention_mask: Tensor | None,
        probe: Probe | None = None,
        **kwargs: Any,
    ) -> tuple[Tensor, Tensor | None]:
        if probe is not None:
            probe.read(module, query, key)
        return stock(module, query, key, value, attention_mask, **kwargs)

    return attention


def eager_attention(module: AttentionModule, *args: Any, **kwargs: Any) -> tuple[Tensor, Tensor | None]:
    """Call the eager attention of the module's own modeling file: it is not in the registry, each file has its own."""
    stock: AttentionFunction = sys.modules[type(module).__module__].eager_attention_forward
    return stock(module, *args, **kwargs)


def _flash(module: AttentionModule, *args: Any, **kwargs: Any) -> tuple[Tensor, None]:
    """Call flash attention with the stock name in the config: it imports its kernel by that name, which is ours."""
    dtype = module.q_proj.weight.dtype
    dtype = dtype if dtype.is_floating_point else module.config.dtype  # 4-bit weights are packed into bytes
    view = SimpleNamespace(
        config=SimpleNamespace(_attn_implementation="flash_attention_2", _is_quantized=False, dtype=dtype),
        is_causal=module.is_causal,
        layer_idx=module.layer_idx,
    )
    return flash_attention_forward(cast(nn.Module, view), *args, **kwargs)


for _name, _function, _mask in (
    ("sdpa", sdpa_attention_forward, sdpa_mask),
    ("eager", eager_attention, eager_mask),
    ("flash_attention_2", _flash, flash_attention_mask),
):
    AttentionInterface.register(PROBED[_name], _probed(_function))
    AttentionMaskInterface.register(PROBED[_name], _mask)
