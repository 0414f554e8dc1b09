"""Models with random weights at given sizes, and prompts for them: what timing needs, without a download.

Time depends on sizes, not on what the weights have learned. The sizes are those of the public config files; the glimpse
is configured as published.
"""

from __future__ import annotations

import json
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from torch import Tensor
from transformers import AutoConfig, AutoModelForImageTextToText

from glimpse_core.backbones import FAMILIES
from glimpse_core.costs.shape import Shape
from glimpse_core.engine.attention import PROBED
from glimpse_core.errors import GlimpseError
from glimpse_core.glimpse.model import GlimpseModel, LoadedModel
from glimpse_core.models import checkpoint
from glimpse_core.models.devices import choose_attention, choose_device, choose_dtype
from glimpse_core.models.entries import published_config
from glimpse_core.types import GlimpseConfig, Prompt

Fields = dict[str, Any]


@dataclass(frozen=True)
class BenchShape:
    """base: the fields of a base model's config.json, `model_type` among them. glimpse: what is put on it."""

    base: Fields
    glimpse: GlimpseConfig


def _qwen(text: Fields, vision: Fields | None = None, tied: bool = False, **ids: int) -> Fields:
    tower = {
        "depth": 32, "hidden_size": 1280, "intermediate_size": 3420, "num_heads": 16, "patch_size": 14,
        "spatial_merge_size": 2, "temporal_patch_size": 2, "window_size": 112, "in_channels": 3,
        "fullatt_block_indexes": [7, 15, 23, 31], "out_hidden_size": text["hidden_size"], "tokens_per_second": 2,
    }  # fmt: skip
    special = {"image_token_id": 151655, "video_token_id": 151656, "vision_start_token_id": 151652,
               "vision_end_token_id": 151653}  # fmt: skip
    rope = {"rope_type": "default", "rope_theta": 1e6, "mrope_section": [16, 24, 24]}
    shared = {"max_position_embeddings": 128_000, "rms_norm_eps": 1e-6, "rope_parameters": rope, "bos_token_id": None,
              "eos_token_id": None}  # fmt: skip
    return {"model_type": "qwen2_5_vl", "text_config": shared | text | {"tie_word_embeddings": tied},
            "vision_config": tower | (vision or {}), "tie_word_embeddings": tied} | special | ids  # fmt: skip


def _qwen3(
    width: int, mlp: int, layers: int, heads: int, vision: tuple[int, int, int], deepstack: list[int], tied: bool
) -> Fields:
    """vision: depth, width and mlp of the tower."""
    text = {
        "hidden_size": width, "intermediate_size": mlp, "num_hidden_layers": layers, "num_attention_heads": heads,
        "num_key_value_heads": 8, "head_dim": 128, "vocab_size": 151936, "rms_norm_eps": 1e-6, "bos_token_id": None,
        "eos_token_id": None, "max_position_embeddings": 262_144, "tie_word_embeddings": tied,
        "rope_parameters": {"rope_type": "default", "rope_theta": 5e6, "mrope_section": [24, 20, 20],
                            "mrope_interleaved": True},
    }  # fmt: skip
    depth, own, inner = vision
    tower = {
        "depth": depth, "hidden_size": own, "intermediate_size": inner, "num_heads": 16, "patch_size": 16,
        "spatial_merge_size": 2, "temporal_patch_size": 2, "in_channels": 3, "out_hidden_size": width,
        "num_position_embeddings": 2304, "deepstack_visual_indexes": deepstack,
    }  # fmt: skip
    return {"model_type": "qwen3_vl", "text_config": text, "vision_config": tower, "tie_word_embeddings": tied,
            "image_token_id": 151655, "video_token_id": 151656, "vision_start_token_id": 151652,
            "vision_end_token_id": 151653}  # fmt: skip


def _llava(width: int, mlp: int, layers: int, heads: int) -> Fields:
    text = {
        "model_type": "llama", "hidden_size": width, "intermediate_size": mlp, "num_hidden_layers": layers,
        "num_attention_heads": heads, "num_key_value_heads": heads, "vocab_size": 32064, "rms_norm_eps": 1e-5,
        "max_position_embeddings": 16_384,  # 4,096 as published; several images need more
    }  # fmt: skip
    tower = {
        "model_type": "clip_vision_model", "hidden_size": 1024, "intermediate_size": 4096, "num_hidden_layers": 24,
        "num_attention_heads": 16, "image_size": 336, "patch_size": 14, "projection_dim": 768,
    }  # fmt: skip
    return {"model_type": "llava", "text_config": text, "vision_config": tower, "image_token_index": 32000,
            "vision_feature_layer": -2, "vision_feature_select_strategy": "default"}  # fmt: skip


_BASES: dict[str, Fields] = {
    # A CPU's size: 12 decoder layers of 512, a tower of the demo model's size.
    "small": _qwen(
        {"hidden_size": 512, "intermediate_size": 1408, "num_hidden_layers": 12, "num_attention_heads": 16,
         "num_key_value_heads": 4, "vocab_size": 4096,
         "rope_parameters": {"rope_type": "default", "rope_theta": 1e4, "mrope_section": [4, 6, 6]}},
        {"depth": 4, "hidden_size": 128, "intermediate_size": 320, "num_heads": 4, "fullatt_block_indexes": [3]},
        tied=True, image_token_id=4001, video_token_id=4002, vision_start_token_id=4003, vision_end_token_id=4004,
    ),
    "qwen2.5-vl-3b": _qwen(
        {"hidden_size": 2048, "intermediate_size": 11008, "num_hidden_layers": 36, "num_attention_heads": 16,
         "num_key_value_heads": 2, "vocab_size": 151936}, tied=True,
    ),
    "qwen2.5-vl-7b": _qwen(
        {"hidden_size": 3584, "intermediate_size": 18944, "num_hidden_layers": 28, "num_attention_heads": 28,
         "num_key_value_heads": 4, "vocab_size": 152064},
    ),
    "qwen2.5-vl-32b": _qwen(
        {"hidden_size": 5120, "intermediate_size": 27648, "num_hidden_layers": 64, "num_attention_heads": 40,
         "num_key_value_heads": 8, "vocab_size": 152064}, {"intermediate_size": 3456},
    ),
    "qwen2.5-vl-72b": _qwen(
        {"hidden_size": 8192, "intermediate_size": 29568, "num_hidden_layers": 80, "num_attention_heads": 64,
         "num_key_value_heads": 8, "vocab_size": 152064}, {"intermediate_size": 3456},
    ),
    "qwen3-vl-2b": _qwen3(2048, 6144, 28, 16, (24, 1024, 4096), [5, 11, 17], tied=True),
    "qwen3-vl-4b": _qwen3(2560, 9728, 36, 32, (24, 1024, 4096), [5, 11, 17], tied=True),
    "qwen3-vl-8b": _qwen3(4096, 12288, 36, 32, (27, 1152, 4304), [8, 16, 24], tied=False),
    "llava-1.5-7b": _llava(4096, 11008, 32, 32),
    "llava-1.5-13b": _llava(5120, 13824, 40, 40),
}  # fmt: skip
SHAPES = {name: BenchShape(base, published_config(Shape.from_config(base))) for name, base in _BASES.items()}


def read_shape(name: str) -> BenchShape:
    """The sizes of a model.

    Args:
        name: a key of `SHAPES`, or a JSON file {"base": fields of a config.json, "glimpse": fields of a GlimpseConfig}.

    Raises:
        GlimpseError: for another name, and for an incomplete file.
    """
    if name in SHAPES:
        return SHAPES[name]
    try:
        content = json.loads(Path(name).read_text())
        given: Fields = content["glimpse"]
        values: Fields = {key: tuple(value) if isinstance(value, list) else value for key, value in given.items()}
        return BenchShape(dict(content["base"]), GlimpseConfig(**values))
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise GlimpseError(
            f"--shape is {name!r}, which is no shape ({error}). Expected one of {', '.join(SHAPES)}, or a JSON file "
            'with "base" (a config.json with its model_type) and "glimpse" (the fields of a GlimpseConfig).'
        ) from error


def random_model(name: str, *, device: str = "auto", dtype: str = "auto", attn: str = "auto") -> GlimpseModel:
    """Make a model with random weights on the device itself. It has no stop tokens.

    Args:
        name: as in `read_shape`.
        device, dtype, attn: as in `models.catalog.load`.
    """
    shape = read_shape(name)
    chosen_device = choose_device(device)
    chosen_dtype = choose_dtype(dtype, chosen_device)
    attn = choose_attention(attn, chosen_device, chosen_dtype)
    kind = shape.base.get("model_type")
    if kind not in FAMILIES:
        raise GlimpseError(f"The shape {name} is a {kind} model. Expected one of {', '.join(FAMILIES)}.")
    config = AutoConfig.for_model(**shape.base)
    names = {"": attn, "text_config": PROBED[attn], "vision_config": attn}
    gpus = [chosen_device] if chosen_device.type == "cuda" else []
    with torch.device(chosen_device), torch.random.fork_rng(devices=gpus):
        torch.manual_seed(0)
        hf = AutoModelForImageTextToText.from_config(config, dtype=chosen_dtype, attn_implementation=names)
        backbone = FAMILIES[kind](hf.eval().requires_grad_(False))
        backbone.batch_windows()
        glimpse, vip = checkpoint.create(shape.glimpse, backbone)
    hf.generation_config.eos_token_id = None
    return GlimpseModel(
        backbone=backbone,
        processor=None,
        name=name,
        device=chosen_device,
        dtype=chosen_dtype,
        attn=attn,
        glimpse=glimpse.to(chosen_dtype).eval().requires_grad_(False),
        vip=vip.to(chosen_dtype).eval().requires_grad_(False),
        config=shape.glimpse,
    )


def synthetic_prompt(model: LoadedModel, visual_tokens: int, text_tokens: int = 48) -> Prompt:
    """Make a prompt about random pixels: half of the text, the images, the rest of the text.

    One nearly square image where the tower takes any size; where it takes one size only, as many images as come
    closest to the number.

    Args:
        model: whose prompt it is.
        visual_tokens: about how many.
        text_tokens: at least 2.

    Returns:
        One row.
    """
    backbone = model.backbone
    shape = model.shape
    generator = torch.Generator().manual_seed(0)
    fixed = shape.vision.image_tokens
    pixels, sizes = (
        _patches(shape, visual_tokens, generator) if fixed is None
        else _squares(backbone.hf.config.vision_config.image_size, round(visual_tokens / fixed), generator)
    )  # fmt: skip
    words = torch.randint(10, min(shape.text.vocabulary, backbone.image_token), (max(text_tokens, 2),),
                          generator=generator)  # fmt: skip
    half = len(words) // 2
    images = [torch.full((grid.tokens,), backbone.image_token) for grid in backbone.grids(pixels, sizes)]
    joined = [part for image in images for part in (image, words[:1])][:-1]  # one word between two images
    ids = torch.cat([words[:half], *joined, words[half:]])[None]
    device = model.device
    return backbone.prompt(
        ids.to(device), pixels.to(device), None if sizes is None else sizes.to(device), torch.ones_like(ids).to(device)
    )


def _patches(shape: Shape, tokens: int, generator: torch.Generator) -> tuple[Tensor, Tensor]:
    """Patches of one nearly square image, and its size (1, 3) in patches."""
    rows = max(1, round(tokens**0.5))
    cols = max(1, round(tokens / rows))
    side = shape.vision.merge
    size = torch.tensor([[1, rows * side, cols * side]])
    return torch.randn(int(size.prod()), shape.vision.patch_values, generator=generator), size


def _squares(side: int, count: int, generator: torch.Generator) -> tuple[Tensor, None]:
    return torch.randn(max(1, count), 3, side, side, generator=generator), None
