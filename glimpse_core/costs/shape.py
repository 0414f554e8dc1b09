"""Sizes of a model that decide its costs, read from its config without loading it.

A config may be a plain dictionary (the `config.json` of a model folder, old flat layout or new nested one) or any
object with `to_dict()`, such as the `config` of a loaded model. Known are Qwen2.5-VL, Qwen3-VL and the LLaVA-1.5
layout: a decoder of the Llama kind (grouped queries, gated MLP) after a CLIP- or SigLIP-like tower and a two-layer
projector.

This module does not know weights, tensors or tokenizers, and does not import torch.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from glimpse_core.errors import GlimpseError
from glimpse_core.types import GlimpseConfig


@dataclass(frozen=True)
class TextShape:
    """Sizes of the decoder. Widths in channels.

    Attributes:
        mlp: inner width of the gated MLP.
        vocabulary: rows of the output matrix.
    """

    layers: int
    width: int
    mlp: int
    heads: int
    kv_heads: int
    head_width: int
    vocabulary: int


@dataclass(frozen=True)
class VisionShape:
    """Sizes of the vision tower and of the projector that joins it to the decoder.

    Attributes:
        merge: patches on each side of one visual token (2 for Qwen2.5-VL, 1 for LLaVA).
        window: visual tokens on each side of an attention window. None: every block sees the whole image.
        full_blocks: how many of the `blocks` see the whole image.
        class_tokens: extra rows per image that never become visual tokens (CLIP's class token).
        image_tokens: visual tokens of every image if the tower has one fixed input size, else None.
        projector: widths of the two-layer projector, input first.
        deepstack: blocks whose output goes through a projector of its own, for the first decoder layers (Qwen3-VL).
    """

    blocks: int
    width: int
    mlp: int
    gated: bool
    patch_values: int
    merge: int
    window: int | None
    full_blocks: int
    class_tokens: int
    image_tokens: int | None
    projector: tuple[int, int, int]
    deepstack: tuple[int, ...] = ()


@dataclass(frozen=True)
class Shape:
    """Sizes of a vision-language model, with the config of its glimpse modules if it has some."""

    text: TextShape
    vision: VisionShape
    glimpse: GlimpseConfig | None = None

    @classmethod
    def from_config(cls, config: Any, glimpse: GlimpseConfig | None = None) -> Shape:
        """Read the config of a base model.

        Args:
            config: a dictionary such as config.json holds, or an object with `to_dict()`.
            glimpse: config of the glimpse modules, if the model has some.

        Raises:
            GlimpseError: a field is missing or makes no sense, or the family is unknown.
        """
        top = _mapping(config, "config")
        text = _text(_mapping(top.get("text_config") or top, "text_config"))
        vision = _mapping(top.get("vision_config"), "vision_config")
        qwen = _qwen3_vision if "deepstack_visual_indexes" in vision else _qwen_vision
        read = qwen if "depth" in vision else _plain_vision
        return cls(text, read(vision, text), glimpse)


def _mapping(config: Any, name: str) -> Mapping[str, Any]:
    if isinstance(config, Mapping):
        return config
    if hasattr(config, "to_dict"):
        fields: dict[str, Any] = config.to_dict()
        return fields
    raise GlimpseError(
        f"The {name} is a {type(config).__name__}. Expected a dictionary or an object with to_dict(): give the model's "
        "config.json or its loaded config."
    )


def _number(config: Mapping[str, Any], part: str, *names: str, default: int | None = None) -> int:
    """Return the first of `names` that is set. Patch sizes may be a list of equal numbers."""
    for name in names:
        value = config.get(name)
        if isinstance(value, list | tuple) and value and len(set(value)) == 1:
            value = value[0]
        if value is not None:
            if isinstance(value, bool) or not isinstance(value, int) or value < 1:
                raise GlimpseError(f"{part}.{name} is {value!r}. Expected a positive integer.")
            return value
    if default is not None:
        return default
    raise GlimpseError(
        f"{part}.{names[0]} is missing from the config. Expected a positive integer. Short config.json files leave out "
        "what equals a library's default: load the config with transformers and give that object."
    )


def _text(config: Mapping[str, Any]) -> TextShape:
    part = "text_config"
    width, heads = _number(config, part, "hidden_size"), _number(config, part, "num_attention_heads")
    return TextShape(
        layers=_number(config, part, "num_hidden_layers"),
        width=width,
        mlp=_number(config, part, "intermediate_size"),
        heads=heads,
        kv_heads=_number(config, part, "num_key_value_heads", default=heads),
        head_width=_number(config, part, "head_dim", default=width // heads),
        vocabulary=_number(config, part, "vocab_size"),
    )


def _qwen_vision(config: Mapping[str, Any], text: TextShape) -> VisionShape:
    """Read Qwen2.5-VL's tower. Defaults are those of all published sizes, which their config files may leave out."""
    part = "vision_config"
    if "intermediate_size" not in config:
        raise GlimpseError(
            f"{part}.intermediate_size is missing from the config. Expected it, because of the towers with a "
            f"{part}.depth only Qwen2.5-VL's and Qwen3-VL's are known: give a config of one of them."
        )
    width, blocks = _number(config, part, "hidden_size"), _number(config, part, "depth")
    patch = _number(config, part, "patch_size", default=14)
    merge = _number(config, part, "spatial_merge_size", default=2)
    frames = _number(config, part, "temporal_patch_size", default=2)
    full = {int(block) for block in config.get("fullatt_block_indexes", (7, 15, 23, 31))}
    return VisionShape(
        blocks=blocks,
        width=width,
        mlp=_number(config, part, "intermediate_size"),
        gated=True,
        patch_values=_number(config, part, "in_channels", "in_chans", default=3) * frames * patch * patch,
        merge=merge,
        window=_number(config, part, "window_size", default=112) // merge // patch,
        full_blocks=len(full & set(range(blocks))),
        class_tokens=0,
        image_tokens=None,
        projector=(width * merge**2, width * merge**2, _number(config, part, "out_hidden_size", default=text.width)),
    )


def _qwen3_vision(config: Mapping[str, Any], text: TextShape) -> VisionShape:
    """Read Qwen3-VL's tower, whose blocks all see the whole image. Defaults are those of all published sizes."""
    part = "vision_config"
    width, blocks = _number(config, part, "hidden_size"), _number(config, part, "depth")
    patch = _number(config, part, "patch_size", default=16)
    merge = _number(config, part, "spatial_merge_size", default=2)
    frames = _number(config, part, "temporal_patch_size", default=2)
    return VisionShape(
        blocks=blocks,
        width=width,
        mlp=_number(config, part, "intermediate_size"),
        gated=False,
        patch_values=_number(config, part, "in_channels", default=3) * frames * patch * patch,
        merge=merge,
        window=None,
        full_blocks=blocks,
        class_tokens=0,
        image_tokens=None,
        projector=(width * merge**2, width * merge**2, _number(config, part, "out_hidden_size", default=text.width)),
        deepstack=tuple(int(block) for block in config["deepstack_visual_indexes"]),
    )


def _plain_vision(config: Mapping[str, Any], text: TextShape) -> VisionShape:
    """Read CLIP's tower or a similar one as LLaVA uses it: all blocks run, then a projector; no class token is left."""
    part = "vision_config"
    width, blocks = _number(config, part, "hidden_size"), _number(config, part, "num_hidden_layers")
    patch = _number(config, part, "patch_size")
    return VisionShape(
        blocks=blocks,
        width=width,
        mlp=_number(config, part, "intermediate_size"),
        gated=False,
        patch_values=_number(config, part, "num_channels", default=3) * patch * patch,
        merge=1,
        window=None,
        full_blocks=blocks,
        class_tokens=int("clip" in str(config.get("model_type", "clip"))),
        image_tokens=(_number(config, part, "image_size") // patch) ** 2,
        projector=(width, text.width, text.width),
    )
