"""FLOPs of the parts of a model, one closed formula each. `cost.py` states the conventions and adds the parts up.

Every function takes lengths in tokens and returns whole FLOPs. The sizes of images and windows matter only through the
sum of their squares, the attention pairs.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

from glimpse_core.costs.shape import Shape, TextShape, VisionShape
from glimpse_core.types import GlimpseConfig

Attention = Literal["full", "causal"]
ImageSizes = Sequence[tuple[int, int]]  # (rows, cols) in visual tokens, one per image


def matmul(rows: int, inner: int, columns: int) -> int:
    """Return the FLOPs of (rows, inner) @ (inner, columns)."""
    return 2 * rows * inner * columns


def decoder_layer(text: TextShape, queries: int, pairs: int) -> int:
    """Return the FLOPs of one decoder layer.

    Args:
        text: the decoder.
        queries: tokens that the layer runs on.
        pairs: query-key pairs of its attention, in each head.
    """
    query_width, key_width = text.heads * text.head_width, text.kv_heads * text.head_width
    projections = 2 * matmul(queries, text.width, query_width) + 2 * matmul(queries, text.width, key_width)
    return projections + 2 * matmul(pairs, 1, query_width) + 3 * matmul(queries, text.width, text.mlp)


def prefill_layer(text: TextShape, length: int, attention: Attention) -> int:
    """Return the FLOPs of one decoder layer on a prompt of `length` tokens.

    Args:
        text: the decoder.
        length: tokens of the prompt.
        attention: "full" counts all attention pairs, "causal" those that are not masked.
    """
    pairs = length * length if attention == "full" else length * (length + 1) // 2
    return decoder_layer(text, length, pairs)


def output_matrix(text: TextShape) -> int:
    """Return the FLOPs of the logits of one token."""
    return matmul(1, text.width, text.vocabulary)


def attention_row(text: TextShape, length: int) -> int:
    """Return the FLOPs of one query's products with all keys of a prompt, in all heads of a layer.

    Args:
        text: the decoder.
        length: tokens of the prompt.
    """
    return matmul(1, text.heads * text.head_width, length)


def vision_tower(vision: VisionShape, tokens: int, images: ImageSizes | None) -> int:
    """Return the FLOPs of patch embedding, all blocks and the projectors.

    Args:
        vision: the tower.
        tokens: visual tokens of all images together.
        images: their grids. None: see `image_sizes` and `window_sizes`.
    """
    if not tokens:
        return 0
    unit = vision.merge**2
    count = len(image_sizes(vision, tokens, images))
    patches = tokens * unit
    rows = patches + count * vision.class_tokens
    linear = 4 * matmul(rows, vision.width, vision.width) + (2 + vision.gated) * matmul(rows, vision.width, vision.mlp)
    whole = sum((size * unit + vision.class_tokens) ** 2 for size in image_sizes(vision, tokens, images))
    windowed = unit**2 * sum(size**2 for size in window_sizes(vision, tokens, images))
    pairs = vision.full_blocks * whole + (vision.blocks - vision.full_blocks) * windowed
    first, inner, last = vision.projector
    projectors = 1 + len(vision.deepstack)
    return (
        matmul(patches, vision.patch_values, vision.width)
        + vision.blocks * linear
        + 2 * matmul(pairs, 1, vision.width)
        + projectors * matmul(tokens, first, inner)
        + projectors * matmul(tokens, inner, last)
    )


@dataclass(frozen=True)
class GlimpseFlops:
    """FLOPs that scoring adds to the prefill."""

    token: int = 0  # the glimpse token in layers 0..K
    vectors: int = 0  # the projection of the glimpse vectors
    rows: int = 0  # the attention rows that are read
    vip: int = 0  # the Visual Importance Predictor

    @property
    def total(self) -> int:
        """FLOPs of all parts."""
        return self.token + self.vectors + self.rows + self.vip


def glimpse(
    shape: Shape,
    prompt_length: int,
    tokens: int,
    depth: int,
    images: ImageSizes | None = None,
    attention: Attention = "full",
) -> GlimpseFlops:
    """Return the FLOPs that scoring the visual tokens of a prompt adds to its prefill.

    Args:
        shape: nothing is counted if it has no glimpse, or one that predicts nothing (`GlimpseConfig.masks`).
        prompt_length: tokens of the prompt, visual ones included, without the glimpse token.
        tokens: visual tokens that are scored.
        depth: decoder layers that the glimpse token runs through, K + 1.
        images: grids of the images, for the VIP's attention. None: see `image_sizes` and `window_sizes`.
        attention: "full" counts all attention pairs of the decoder, "causal" those that are not masked.
    """
    config, text = shape.glimpse, shape.text
    if config is None or config.masks != "vip" or not tokens or not depth:
        return GlimpseFlops()
    keys = prompt_length + config.glimpse_length
    longer = prefill_layer(text, keys, attention) - prefill_layer(text, prompt_length, attention)
    return GlimpseFlops(
        token=depth * longer,
        vectors=matmul(len(config.glimpse_layers) * config.glimpse_length, text.width, text.width),
        rows=len(config.read_layers) * matmul(keys, 1, text.heads * text.head_width),
        vip=vip(config, shape, tokens, images),
    )


def vip(config: GlimpseConfig, shape: Shape, tokens: int, images: ImageSizes | None) -> int:
    """Return the FLOPs of the Visual Importance Predictor on `tokens` visual tokens.

    If it reads vision layers ("v1"), queries and keys are wider than values.
    """
    width = config.vip_size
    condition = config.vip_condition_size if config.vip_type == "v1" else 0
    sizes = (image_sizes if config.vip_global else window_sizes)(shape.vision, tokens, images)
    pairs = sum(size**2 for size in sizes)
    block = (
        matmul(tokens, shape.vision.width, condition)
        + 2 * matmul(tokens, width + condition, width + condition)
        + 2 * matmul(tokens, width, width)
        + matmul(pairs, 1, width + condition)
        + matmul(pairs, 1, width)
        + 3 * matmul(tokens, width, 2 * width)
    )
    blocks = len(config.vision_layers)
    inputs = len(config.read_layers) * shape.text.heads
    return matmul(tokens, inputs, width) + blocks * block + matmul(tokens, width, 1)


def image_sizes(vision: VisionShape, tokens: int, images: ImageSizes | None) -> list[int]:
    """Return the visual tokens of each image; without grids of one image, or of as many as a fixed image size gives."""
    if images is not None:
        return [rows * cols for rows, cols in images]
    if vision.image_tokens and tokens % vision.image_tokens == 0:
        return [vision.image_tokens] * (tokens // vision.image_tokens)
    return [tokens]


def window_sizes(vision: VisionShape, tokens: int, images: ImageSizes | None) -> list[int]:
    """Return the visual tokens of each attention window.

    Windows are squares from the top left, cut at the right and bottom border. Without grids: whole windows, and one
    more for the rest.
    """
    if vision.window is None:
        return image_sizes(vision, tokens, images)
    if images is None:
        count, rest = divmod(tokens, vision.window**2)
        return [vision.window**2] * count + [rest] * bool(rest)
    return [
        height * width
        for rows, cols in images
        for height in _cut(rows, vision.window)
        for width in _cut(cols, vision.window)
    ]


def _cut(length: int, piece: int) -> list[int]:
    whole, rest = divmod(length, piece)
    return [piece] * whole + [rest] * bool(rest)
