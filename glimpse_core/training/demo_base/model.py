"""The demo base model: the stock Qwen2.5-VL architecture at a size that trains on two CPU cores.

Only sizes and the initialization are ours. With transformers' default initialization (normal, std 0.02) a model this
narrow starts with near-uniform attention and does not leave the first plateau; 1/sqrt(fan-in) does.
"""

import copy
import json
import math
from pathlib import Path
from typing import Any, cast

import torch
from tokenizers import Tokenizer
from torch import nn
from transformers import PreTrainedConfig, Qwen2_5_VLConfig, Qwen2_5_VLForConditionalGeneration

from glimpse_core.training.demo_base.recipe import Shape
from glimpse_core.training.demo_base.text import save_tokenizer

HEAD = 32  # width of an attention head, as the rotary sections need it


def demo_config(tokenizer: Tokenizer, shape: Shape, layers: int) -> Qwen2_5_VLConfig:
    """Return the config of a demo model. Special token ids are those of its tokenizer. layers: of the decoder."""
    names = ("im_end", "endoftext", "vision_start", "vision_end", "image_pad", "video_pad")
    ids = {name: cast(int, tokenizer.token_to_id(f"<|{name}|>")) for name in names}  # None for unknown tokens
    text = dict(
        vocab_size=-(-tokenizer.get_vocab_size() // 64) * 64,
        hidden_size=shape.width,
        intermediate_size=shape.inner,
        num_hidden_layers=layers,
        num_attention_heads=shape.width // HEAD,
        num_key_value_heads=shape.key_heads,
        max_position_embeddings=8192,
        rms_norm_eps=1e-6,
        tie_word_embeddings=True,
        # The columns' axis owns the lowest frequencies. At the usual base of 10,000 those turn 0.2 radians over a whole
        # image, and the model cannot tell left from right; at 30 they turn 1.6 to 4.7 over 40 tokens, and the rows'
        # slowest one turns 5.9, less than a whole turn.
        rope_parameters={"rope_type": "default", "rope_theta": shape.rope_base, "mrope_section": [4, 6, 6]},
        bos_token_id=None,
        eos_token_id=ids["im_end"],
        pad_token_id=ids["endoftext"],
    )
    ends: dict[str, Any] = {"eos_token_id": ids["im_end"], "pad_token_id": ids["endoftext"]}  # of any config
    return Qwen2_5_VLConfig(
        text_config=text,
        vision_config=_tower(shape),
        tie_word_embeddings=True,
        image_token_id=ids["image_pad"],
        video_token_id=ids["video_pad"],
        vision_start_token_id=ids["vision_start"],
        vision_end_token_id=ids["vision_end"],
        **ends,
    )


def _tower(shape: Shape) -> dict[str, Any]:
    """Return the fields of the vision tower's config."""
    return dict(
        depth=shape.vision_depth,
        hidden_size=shape.vision_width,
        intermediate_size=shape.vision_width * 5 // 2,
        num_heads=shape.vision_width // HEAD,
        out_hidden_size=shape.width,
        patch_size=14,
        spatial_merge_size=2,
        temporal_patch_size=2,
        window_size=112,
        fullatt_block_indexes=[shape.vision_depth - 1],
        in_channels=3,
        tokens_per_second=2,
    )


@torch.no_grad()
def initialize(model: Qwen2_5_VLForConditionalGeneration) -> None:
    """Draw weights with std 1/sqrt(fan-in), residual outputs divided by sqrt(2 x layers), 0.05 for the embeddings."""
    tower, text = cast(PreTrainedConfig, model.config.vision_config), cast(PreTrainedConfig, model.config.text_config)
    depth = {"visual": tower.depth, "language_model": text.num_hidden_layers}
    for name, module in model.named_modules():
        if isinstance(module, nn.Linear) and "lm_head" not in name:
            std = module.in_features**-0.5
            if name.endswith(("o_proj", "down_proj", "attn.proj")):
                std /= math.sqrt(2 * depth["visual" if "visual" in name else "language_model"])
            nn.init.normal_(module.weight, std=std)
            if module.bias is not None:
                nn.init.zeros_(module.bias)
        elif isinstance(module, nn.Conv3d):
            nn.init.normal_(module.weight, std=math.prod(module.weight.shape[1:]) ** -0.5)
        elif isinstance(module, nn.Embedding):
            nn.init.normal_(module.weight, std=0.05)


def build(tokenizer: Tokenizer, shape: Shape, layers: int, seed: int = 0) -> Qwen2_5_VLForConditionalGeneration:
    """Return a freshly initialized demo model in float32. layers: of the decoder."""
    torch.manual_seed(seed)
    model = Qwen2_5_VLForConditionalGeneration(demo_config(tokenizer, shape, layers))
    initialize(model)
    return model


def sources(before: int, after: int, first: int) -> list[tuple[int, bool]]:
    """Return where the layers of a grown decoder come from.

    Args:
        before: layers that there are.
        after: layers that there shall be.
        first: the first layer that may be followed by new ones.

    Returns:
        For each layer the old one that it is a copy of, and whether it is new.

    Raises:
        ValueError: there shall be fewer layers than there are, or none may be followed by new ones.
    """
    places, new = before - first, after - before
    if new < 0 or places < 1:
        raise ValueError(f"{before} layers shall become {after}, with new ones after layer {first}. Expected more.")
    counts = [0] * first + [new * (place + 1) // places - new * place // places for place in range(places)]
    return [(layer, copy > 0) for layer, count in enumerate(counts) for copy in range(count + 1)]


@torch.no_grad()
def grown(
    model: Qwen2_5_VLForConditionalGeneration, tokenizer: Tokenizer, shape: Shape, layers: int, first: int
) -> tuple[Qwen2_5_VLForConditionalGeneration, dict[str, str]]:
    """Return a model with more decoder layers that computes the same.

    A new layer is a copy of the one before it whose outputs begin at zero: it passes its input on, and learns from its
    first step on, since the gradient of those outputs is not zero.

    Args:
        model: the model to grow.
        tokenizer: of the model.
        shape: of the model.
        layers: number of layers afterwards.
        first: the first layer that may be followed by new ones.

    Returns:
        The new model, and the name of the parameter that each of its old parameters had.
    """
    text = cast(PreTrainedConfig, model.config.text_config)
    made = sources(text.num_hidden_layers, layers, first)
    old, names, state = model.state_dict(), dict[str, str](), dict[str, torch.Tensor]()
    larger = build(tokenizer, shape, layers)
    for name in larger.state_dict():
        prefix, found, rest = name.partition("language_model.layers.")
        number, _, tail = rest.partition(".")
        source, new = made[int(number)] if found else (0, False)
        was = f"{prefix}{found}{source}.{tail}" if found else name
        state[name] = old[was]
        if not new:
            names[name] = was
        elif tail in ("self_attn.o_proj.weight", "mlp.down_proj.weight"):
            state[name] = torch.zeros_like(old[was])
    larger.load_state_dict(state)
    return larger, names


def save(model: Qwen2_5_VLForConditionalGeneration, tokenizer: Tokenizer, folder: Path) -> None:
    """Write a complete Hub folder: weights in bfloat16, tokenizer, image processor and generation settings."""
    folder.mkdir(parents=True, exist_ok=True)
    copied = copy.deepcopy(model)
    cast(nn.Module, copied).to(torch.bfloat16)  # changes the copy itself
    copied.save_pretrained(folder)
    save_tokenizer(tokenizer, folder)
    processor = {
        "image_processor_type": "Qwen2VLImageProcessor",
        "processor_class": "Qwen2_5_VLProcessor",
        "min_pixels": 56 * 56,
        "max_pixels": 1120 * 1120,
        "patch_size": 14,
        "temporal_patch_size": 2,
        "merge_size": 2,
        "image_mean": [0.5, 0.5, 0.5],
        "image_std": [0.5, 0.5, 0.5],
    }
    (folder / "preprocessor_config.json").write_text(json.dumps(processor, indent=2) + "\n")
    generation = {
        "do_sample": False,
        "eos_token_id": model.config.eos_token_id,
        "pad_token_id": model.config.pad_token_id,
    }
    (folder / "generation_config.json").write_text(json.dumps(generation, indent=2) + "\n")
