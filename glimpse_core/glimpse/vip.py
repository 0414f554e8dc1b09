"""The Visual Importance Predictor: from the glimpse token's attention to one logit per visual token.

A small transformer over the visual tokens of a prompt (arXiv 2508.01548). Each of its layers mixes in the hidden states
of one layer of the vision tower (type "v1"), or none ("v2"). Tokens of different images never attend to each other.

Letters: N visual tokens of all images and rows, F vip_size, D condition part (vip_condition_size for "v1", 0 for "v2"),
h vip_heads, n_sel layers. This file knows neither the language model nor what is done with the logits.
"""

from __future__ import annotations

import torch
from torch import Tensor, nn
from torch.nn import functional
from transformers.activations import ACT2FN

from glimpse_core.backbones.layout import Layout
from glimpse_core.errors import GlimpseError
from glimpse_core.glimpse.norm import RMSNorm
from glimpse_core.types import GlimpseConfig

SCORE_BYTES = 2**21  # attention scores held at once on a CPU


class VIP(nn.Module):
    """The predictor. Call it with the glimpse token's attention, the conditions and the layout of the tokens."""

    def __init__(self, config: GlimpseConfig, heads: int, vision_size: int) -> None:
        """Make an untrained predictor.

        Args:
            config: its architecture.
            heads: attention heads of the language model.
            vision_size: hidden size of the vision tower.

        Raises:
            GlimpseError: for sizes that do not go together, and for unknown activations.
        """
        super().__init__()
        if config.vip_activation not in ACT2FN:
            raise GlimpseError(
                f"attn_fuse_hidden_act is {config.vip_activation!r}. Expected an activation that transformers knows, "
                "such as silu."
            )
        self.config = config
        conditioned = config.vip_type == "v1"
        self.head_size = (config.vip_size + (config.vip_condition_size if conditioned else 0)) // config.vip_heads
        count = len(config.vision_layers)
        self.attention_in = nn.Linear(len(config.read_layers) * heads, config.vip_size)
        self.condition_in = nn.ModuleList(
            [nn.Linear(vision_size, config.vip_condition_size) for _ in range(count if conditioned else 0)]
        )
        self.layers = nn.ModuleList([_Layer(config) for _ in range(count)])
        # Without deep supervision only the last layer has an output; the others keep their number in parameter names.
        self.outputs = nn.ModuleList(
            [
                nn.Linear(config.vip_size, 1) if config.deep_supervision or i == count - 1 else nn.Identity()
                for i in range(count)
            ]
        )

    def forward(self, attention: Tensor, conditions: Tensor, layout: Layout) -> Tensor:
        """Score the visual tokens.

        Args:
            attention: (N, read layers * heads), the glimpse token's attention (`look.visual_attention`).
            conditions: (n_sel, N, V), states of the vision tower.
            layout: where the tokens are, and which of them attend to each other.

        Returns:
            Logits (outputs, N) in raster order; the last output decides. With deep supervision the training mode gives
            one output per layer; with attention supervision the evaluation mode puts the mean attention in front of it
            (`mean_attention`).
        """
        order = layout.order
        cells = layout.cells if order is None else layout.cells[order]
        x = self.attention_in(attention)
        if order is not None:
            x, conditions = x[order], conditions[:, order]
        rotation = rotations(cells, self.head_size, x.device)
        outputs = []
        for i, layer in enumerate(self.layers):
            condition = self.condition_in[i](conditions[i]) if self.condition_in else None
            x = layer(x, condition, rotation, layout.lengths)
            if i == len(self.layers) - 1 or (self.training and self.config.deep_supervision):
                outputs.append(self.outputs[i](x)[:, 0])
        logits = torch.stack(outputs)
        if order is not None:
            logits = logits[:, order.argsort()]
        if self.config.attention_supervision and not self.training:
            mean = mean_attention(attention, layout.images or layout.lengths, self.config.read_logits)
            logits = torch.cat([mean[None], logits])
        return logits


class _Layer(nn.Module):
    """Pre-norm self-attention whose queries and keys also see the (un-normalized) condition, and a gated MLP."""

    def __init__(self, config: GlimpseConfig) -> None:
        super().__init__()
        size = config.vip_size
        self.norm1 = RMSNorm(size, eps=1e-6)
        self.norm2 = RMSNorm(size, eps=1e-6)
        self.attn = _Attention(size, config.vip_condition_size if config.vip_type == "v1" else 0, config.vip_heads)
        self.mlp = _MLP(size, config.vip_activation)

    def forward(
        self, x: Tensor, condition: Tensor | None, rotation: tuple[Tensor, Tensor], lengths: tuple[int, ...]
    ) -> Tensor:
        attended: Tensor = x + self.attn(self.norm1(x), condition, rotation, lengths)
        out: Tensor = attended + self.mlp(self.norm2(attended))
        return out


class _Attention(nn.Module):
    """Queries and keys of size (F + D) / h per head, values of size F / h; softmax scale 1 / sqrt((F + D) / h)."""

    def __init__(self, size: int, condition: int, heads: int) -> None:
        super().__init__()
        wide = size + condition
        if wide % heads or size % heads or wide // heads % 4:
            raise GlimpseError(
                f"attn_fuse_size is {size}, visual_cond_size {condition} and attn_fuse_num_heads {heads}. Expected the "
                "first and the sum of the first two to be multiples of the heads, and the sum per head a multiple of 4."
            )
        self.heads, self.head_size = heads, wide // heads
        self.q_proj = nn.Linear(wide, wide, bias=False)
        self.k_proj = nn.Linear(wide, wide, bias=False)
        self.v_proj = nn.Linear(size, size, bias=False)
        self.o_proj = nn.Linear(size, size, bias=False)

    def forward(
        self, u: Tensor, condition: Tensor | None, rotation: tuple[Tensor, Tensor], lengths: tuple[int, ...]
    ) -> Tensor:
        both = u if condition is None else torch.cat([u, condition], dim=-1)
        query = rotate(self._split(self.q_proj(both)), rotation)  # (h, N, size per head)
        key = rotate(self._split(self.k_proj(both)), rotation)
        value = self._split(self.v_proj(u))
        groups = zip(*(part.split(lengths, dim=1) for part in (query, key, value)), strict=True)
        parts = [attend(q, k, v) for q, k, v in groups]
        mixed = parts[0] if len(parts) == 1 else torch.cat(parts, dim=1)
        out: Tensor = self.o_proj(mixed.transpose(0, 1).flatten(1))
        return out

    def _split(self, x: Tensor) -> Tensor:
        return x.view(len(x), self.heads, -1).transpose(0, 1)


class _MLP(nn.Module):
    def __init__(self, size: int, activation: str) -> None:
        super().__init__()
        self.gate_proj = nn.Linear(size, 2 * size)
        self.up_proj = nn.Linear(size, 2 * size)
        self.down_proj = nn.Linear(2 * size, size)
        self.activation = ACT2FN[activation]

    def forward(self, x: Tensor) -> Tensor:
        out: Tensor = self.down_proj(self.activation(self.gate_proj(x)) * self.up_proj(x))
        return out


def attend(query: Tensor, key: Tensor, value: Tensor) -> Tensor:
    """Softmax attention within one group of n tokens.

    Args:
        query: (h, n, size).
        key: (h, n, size).
        value: (h, n, F / h).

    Returns:
        (h, n, F / h).
    """
    if query.device.type != "cpu" or query.shape[-1] == value.shape[-1]:
        return functional.scaled_dot_product_attention(query[None], key[None], value[None])[0]
    # Unequal head sizes have no fused CPU kernel, and torch's fallback is three times slower than a few queries at a
    # time, whose scores stay in the cache. Head by head, their matrix products are larger than with all heads in each.
    size = max(SCORE_BYTES // (key.shape[1] * query.element_size()), 1)
    query = query * query.shape[-1] ** -0.5
    if len(query) * query.shape[1] <= size:
        return (query @ key.transpose(1, 2)).softmax(-1, query.dtype) @ value
    heads = zip(query, key, value, strict=True)
    return torch.stack(
        [torch.cat([(part @ k.T).softmax(-1, q.dtype) @ v for part in q.split(size)]) for q, k, v in heads]
    )


def mean_attention(attention: Tensor, images: tuple[int, ...], are_logits: bool) -> Tensor:
    """Average the attention over heads and scale it to 0..1 within every image.

    Args:
        attention: (N, heads).
        images: tokens of every image.
        are_logits: attention logits; else log-probabilities.

    Returns:
        (N,).
    """
    scaled = []
    for part in attention.mean(-1).split(images):
        weights = part.softmax(-1) if are_logits else part.exp()
        low, high = weights.aminmax()
        scaled.append((weights - low) / (high - low + 1e-6))
    return torch.cat(scaled)


def rotations(cells: Tensor, size: int, device: torch.device) -> tuple[Tensor, Tensor]:
    """Compute the two-axis rotary embedding: rows, columns, and both again.

    The published code rounds these frequencies to bfloat16 when it runs in bfloat16, but trained with float32 ones;
    float32 is used in both cases here.

    Args:
        cells: (N, 2) row and column of every token.
        size: of a head.
        device: where the result goes.

    Returns:
        Cosine and sine, (N, size) float32 each.
    """
    half = size // 2
    inverse = 10000.0 ** (-torch.arange(0, half, 2, dtype=torch.float32, device=device) / half)
    angles = (cells.to(device)[:, :, None].float() * inverse).flatten(1)  # (N, half): rows, then columns
    angles = torch.cat([angles, angles], dim=-1)
    return angles.cos(), angles.sin()


def rotate(x: Tensor, rotation: tuple[Tensor, Tensor]) -> Tensor:
    """Rotate x (h, N, size) by cosine and sine (N, size), in float32, half against half. Returns x's dtype."""
    cosine, sine = rotation
    wide = x.float()
    left, right = wide.chunk(2, dim=-1)
    return (wide * cosine + torch.cat([-right, left], dim=-1) * sine).to(x.dtype)
