"""A fast forward pass of the vision tower, equal to the stock one.

Windows run as one padded batch instead of a Python loop, and the two identical frames of a still image share one patch
projection. B images, P visual tokens, W windows of S padded patches.
"""

import functools
from typing import Any

import torch
from torch import Tensor
from torch.nn import functional as F
from transformers import Qwen2_5_VLForConditionalGeneration

from glimpse_core.training.demo_base.attention import chunked_attention, norm, rotate, softmax_attention
from glimpse_core.training.demo_base.targets import TOKEN


@functools.lru_cache(maxsize=256)
def windows(rows: int, columns: int, side: int, unit: int = 2) -> tuple[Tensor, Tensor, Tensor, Tensor]:
    """Return how the patches of an image fall into windows.

    Args:
        rows, columns: visual tokens of the image.
        side: visual tokens on each side of a window.
        unit: patches on each side of a visual token.

    Returns:
        source: (W * S,) index of each slot's patch, patches in raster order of their tokens; 0 at padding.
        real: (W * S,) bool, False at padding.
        place: (4P,) slot of each patch.
        coordinates: (W * S, 2) row and column of each slot's patch.
    """
    down, across = -(-rows // side), -(-columns // side)
    slots = side * side * unit * unit
    source = torch.zeros(down * across, slots, dtype=torch.long)
    real = torch.zeros(down * across, slots, dtype=torch.bool)
    place = torch.zeros(rows * columns * unit * unit, dtype=torch.long)
    coordinates = torch.zeros(down * across, slots, 2, dtype=torch.long)
    for row in range(rows):
        for column in range(columns):
            window = row // side * across + column // side
            token = row % side * side + column % side
            for part in range(unit * unit):
                slot, patch = token * unit * unit + part, (row * columns + column) * unit * unit + part
                source[window, slot] = patch
                real[window, slot] = True
                place[patch] = window * slots + slot
                coordinates[window, slot, 0] = row * unit + part // unit
                coordinates[window, slot, 1] = column * unit + part % unit
    return source.reshape(-1), real.reshape(-1), place, coordinates.reshape(-1, 2)


def patches(pixels: Tensor, patch: int = 14, unit: int = 2) -> Tensor:
    """Return patches (B, 4P, 3 * patch * patch) in [-1, 1] of images (B, H, W, 3) uint8, in the processor's order."""
    batch, height, width, _ = pixels.shape
    x = pixels.float().mul_(1 / 127.5).sub_(1.0)
    x = x.view(batch, height // (unit * patch), unit, patch, width // (unit * patch), unit, patch, 3)
    return x.permute(0, 1, 4, 2, 5, 7, 3, 6).reshape(batch, -1, 3 * patch * patch)


def encode_images(model: Qwen2_5_VLForConditionalGeneration, pixels: Tensor) -> Tensor:
    """Return visual tokens (B, P, C) of images (B, H, W, 3) uint8 as the text model receives them, in raster order."""
    tower: Any = model.model.visual
    config = tower.config
    batch, rows, columns = pixels.shape[0], pixels.shape[1] // TOKEN, pixels.shape[2] // TOKEN
    side = config.window_size // config.patch_size // config.spatial_merge_size
    source, real, place, coordinates = windows(rows, columns, side)
    weight = tower.patch_embed.proj.weight.sum(2).flatten(1)  # both frames of a still image are the same
    x = F.linear(patches(pixels), weight)[:, source]  # (B, W * S, D)
    slots, heads = side * side * 4, config.num_heads
    head_dim = x.shape[-1] // heads
    inverse = 10_000.0 ** (-torch.arange(0, head_dim // 2, 2).float() / (head_dim // 2))
    angles = (coordinates[:, :, None].float() * inverse).flatten(1)  # (W * S, head_dim / 2): rows, then columns
    angles = torch.cat([angles, angles], -1)
    dtype = torch.get_autocast_dtype("cpu") if torch.is_autocast_enabled("cpu") else x.dtype
    cos, sin = angles.cos().to(dtype), angles.sin().to(dtype)
    ragged = not bool(real.all())
    hidden_key = torch.zeros(real.shape, dtype=dtype).masked_fill(~real, -1e4) if ragged else None
    for index, block in enumerate(tower.blocks):
        attention = block.attn
        q, k, v = attention.qkv(norm(x, block.norm1)).view(batch, -1, 3, heads, head_dim).unbind(2)
        q, k = (rotate(part, cos[:, None], sin[:, None]) for part in (q * attention.scaling, k))
        if index in config.fullatt_block_indexes:
            q, k, v = (part.transpose(1, 2) for part in (q, k, v))
            bias = None if hidden_key is None else hidden_key[None, None, None]
            out = chunked_attention(q, k, v, bias).transpose(1, 2)
        else:
            q, k, v = (part.view(batch, -1, slots, heads, head_dim).transpose(2, 3) for part in (q, k, v))
            bias = None if hidden_key is None else hidden_key.view(1, -1, 1, 1, slots)
            out = softmax_attention(q, k, v, bias).transpose(2, 3)
        x = x + attention.proj(out.reshape(batch, -1, heads * head_dim))
        x = x + block.mlp(norm(x, block.norm2))
    x = x[:, place]
    merger = tower.merger
    visual: Tensor = merger.mlp(norm(x, merger.ln_q).view(batch, rows * columns, -1))
    return visual
