"""Pieces of a decoder layer that are fast on a CPU.

The stock layers are not used in training: their attention would take one mask of the whole sequence squared for an
image's packed questions, and the fused attention's backward pass in bf16 takes 38% of a step on a CPU.
`tests/training/test_demo_base.py` compares every number with the stock model.
"""

from typing import Any, Protocol, cast

import torch
from torch import Tensor, nn
from torch.nn import functional as F
from transformers.models.qwen2_5_vl.modeling_qwen2_5_vl import Qwen2_5_VLTextModel


def rotate(x: Tensor, cos: Tensor, sin: Tensor) -> Tensor:
    half = x.shape[-1] // 2
    return x * cos + torch.cat([-x[..., half:], x[..., :half]], dim=-1) * sin


class RmsNorm(Protocol):
    """What `norm` needs of transformers' RMS norms."""

    weight: nn.Parameter
    variance_epsilon: float


def norm(x: Tensor, module: RmsNorm) -> Tensor:
    return F.rms_norm(x.float(), (x.shape[-1],), module.weight, module.variance_epsilon)


def softmax_attention(q: Tensor, k: Tensor, v: Tensor, bias: Tensor | None) -> Tensor:
    scores = q @ k.mT
    if bias is not None:
        scores = scores + bias
    return scores.softmax(-1) @ v


CHUNK = 128  # query rows at a time: the scores of a chunk stay in the cache, which halves the time of long prompts


def chunked_attention(q: Tensor, k: Tensor, v: Tensor, bias: Tensor | None, causal: bool = False) -> Tensor:
    """Compute exact attention, some query rows at a time; causal skips the keys that no row of the chunk sees."""
    parts = []
    for start in range(0, q.shape[2], CHUNK):
        stop = min(start + CHUNK, q.shape[2])
        seen = stop if causal else k.shape[2]
        part = None if bias is None else (bias[..., start:stop, :seen] if bias.shape[-2] > 1 else bias)
        parts.append(softmax_attention(q[:, :, start:stop], k[:, :, :seen], v[:, :, :seen], part))
    return torch.cat(parts, 2)


def positions(head: int, rows: int, columns: int, block: Tensor, offset: Tensor) -> Tensor:
    """Return the multimodal positions (3, B, A + P + 1 + Q) of the shared prefix and of every packed question."""
    text = torch.arange(head).expand(3, -1)
    y, x = torch.meshgrid(torch.arange(rows), torch.arange(columns), indexing="ij")
    image = torch.stack([torch.zeros(rows * columns, dtype=torch.long), y.flatten(), x.flatten()]) + head
    after = head + max(rows, columns)
    prefix = torch.cat([text, image, torch.full((3, 1), after)], 1)
    tail = (offset + after + 1)[None].expand(3, -1, -1)
    return torch.cat([prefix[:, None].expand(-1, block.shape[0], -1), tail], -1)


def rope(text: Qwen2_5_VLTextModel, place: Tensor, dtype: torch.dtype) -> tuple[Tensor, Tensor]:
    """Return cos and sin (B, 1, L, head_dim) of multimodal positions (3, B, L); each frequency belongs to one axis."""
    inverse = cast(Tensor, text.rotary_emb.inv_freq)
    sections = cast("dict[str, Any]", text.config.rope_parameters)["mrope_section"]
    axis = torch.repeat_interleave(torch.arange(3), torch.tensor(sections))  # (head_dim / 2,)
    angles = place.permute(1, 2, 0)[..., axis].float() * inverse
    angles = torch.cat([angles, angles], -1)[:, None]
    return angles.cos().to(dtype), angles.sin().to(dtype)
