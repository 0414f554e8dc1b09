"""FLOPs of the parts of a model, one closed formula each. `cost.py` states the conventions and adds the parts up.

Every function takes lengths in tokens and returns whole FLOPs. The sizes of pictures and windows matter only through
the sum of their squares, the attention pairs.
"""

from __future__ import annotations

from collections.abc import Sequence

from glimpse_core.costs.shape import Shape, TextShape, VisionShape
from glimpse_core.types import GlimpseConfig

ImageSizes = Sequence[tuple[int, int]]  # (rows, cols) in visual tokens, one per image


def matmul(rows: int, inner: int, columns: int) -> int:
    """(rows, inner) @ (inner, columns)."""
    return 2 * rows * inner * columns


def decoder_layer(text: TextShape, queries: int, pairs: int) -> int:
    """One decoder layer on `queries` tokens whose attention spans `pairs` query-key pairs in each head."""
    query_width, key_width = text.heads * text.head_width, text.kv_heads * text.head_width
    projections = 2 * matmul(queries, text.width, query_width) + 2 * matmul(queries, text.width, key_width)
    return projections + 2 * matmul(pairs, 1, query_width) + 3 * matmul(queries, text.width, text.mlp)


def output_matrix(text: TextShape) -> int:
    """The logits of one token."""
    return matmul(1, text.width, text.vocabulary)


def vision_tower(vision: VisionShape, tokens: int, images: ImageSizes | None) -> int:
    """Patch embedding, all blocks and the projector, for the visual tokens of all pictures together."""
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
    return (
        matmul(patches, vision.patch_values, vision.width)
        + vision.blocks * linear
        + 2 * matmul(pairs, 1, vision.width)
        + matmul(tokens, first, inner)
        + matmul(tokens, inner, last)
    )


def glimpse_and_vip(shape: Shape, keys: int, tokens: int, images: ImageSizes | None) -> int:
    """What scoring `tokens` visual tokens adds to the trunk: glimpse vectors, an attention row over `keys`, the VIP."""
    config, text = shape.glimpse, shape.text
    if config is None:
        return 0
    vectors = matmul(len(config.glimpse_layers) * config.glimpse_length, text.width, text.width)
    row = len(config.read_layers) * matmul(keys, 1, text.heads * text.head_width)
    return vectors + row + vip(config, shape, tokens, images)


def vip(config: GlimpseConfig, shape: Shape, tokens: int, images: ImageSizes | None) -> int:
    """The Visual Importance Predictor. Where it reads vision layers ("v1"), queries and keys are wider than values."""
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
    """Visual tokens of each picture; without grids one picture, or as many as a fixed picture size gives."""
    if images is not None:
        return [rows * cols for rows, cols in images]
    if vision.image_tokens and tokens % vision.image_tokens == 0:
        return [vision.image_tokens] * (tokens // vision.image_tokens)
    return [tokens]


def window_sizes(vision: VisionShape, tokens: int, images: ImageSizes | None) -> list[int]:
    """Visual tokens of each attention window: squares from the top left, cut at the right and bottom border.

    Without grids: whole windows, and one more for the rest.
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
