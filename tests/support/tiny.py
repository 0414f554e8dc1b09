"""Tiny random models with the real structure, and prompts for them.

Weights are normal with std 0.25: with the usual 0.02 attention is near uniform and many a mistake would change nothing.
"""

from __future__ import annotations

import functools
import json
import tempfile
from dataclasses import asdict, replace
from pathlib import Path

import numpy as np
import torch
from PIL import Image
from transformers import Qwen2_5_VLConfig, Qwen2_5_VLForConditionalGeneration

from glimpse_core.glimpse.model import GlimpseModel, LoadedModel, require_glimpse
from glimpse_core.models import catalog, checkpoint
from glimpse_core.models.checkpoint_config import PUBLISHED_FIELDS, PUBLISHED_SELECTION
from glimpse_core.training.demo_base.text import save_tokenizer
from glimpse_core.types import GlimpseConfig, Prompt, Selection
from tests.support.tiny_folder import byte_tokenizer

CONFIG = GlimpseConfig(
    keep_layer=2,
    read_layers=(2,),
    glimpse_layers=(0, 1, 2, 3, 4),
    vision_layers=(3, 1),
    vip_size=16,
    vip_condition_size=16,
    vip_heads=2,
    selection=Selection(),
)
LAYERS = 5
_KEPT_ALIVE: list[tempfile.TemporaryDirectory] = []


@functools.cache
def base_folder() -> Path:
    """A base model in the Hub's layout, with tokenizer and image processor; removed when the tests end."""
    _KEPT_ALIVE.append(tempfile.TemporaryDirectory())
    folder = Path(_KEPT_ALIVE[-1].name)
    tokenizer = byte_tokenizer()
    hf = Qwen2_5_VLForConditionalGeneration(_config(tokenizer))
    randomize(hf, seed=0)
    hf.generation_config.eos_token_id = tokenizer.token_to_id("<|im_end|>")
    hf.save_pretrained(folder)
    save_tokenizer(tokenizer, folder)
    (folder / "preprocessor_config.json").write_text(
        '{"image_processor_type": "Qwen2VLImageProcessor", "min_pixels": 3136, "max_pixels": 50176, '
        '"patch_size": 14, "temporal_patch_size": 2, "merge_size": 2}'
    )
    return folder


@functools.cache
def published_folder() -> Path:
    """The glimpse modules of `model()` as they are published: the full model config and one file of state dicts."""
    _KEPT_ALIVE.append(tempfile.TemporaryDirectory())
    folder, loaded = Path(_KEPT_ALIVE[-1].name), model()
    modules = torch.nn.ModuleDict({"glimpse": loaded.glimpse, "vip": loaded.vip})
    content: dict = {}
    for name, tensor in modules.state_dict().items():
        part, _, rest = checkpoint.published_name(name).partition(".")
        if rest:
            content.setdefault(part, {})[rest] = tensor
        else:
            content[part] = tensor
    torch.save(content, folder / checkpoint.PUBLISHED_WEIGHTS)
    ours = asdict(loaded.config)
    settings = loaded.backbone.hf.config.to_dict() | {"model_type": "qwen2_5_vl_gp"}
    settings |= {theirs: ours[name] for name, theirs in PUBLISHED_FIELDS.items()} | {"attn_fuse_type": "AttnFuserV1"}
    settings |= {theirs: ours["selection"][name] for name, theirs in PUBLISHED_SELECTION.items()}
    (folder / "config.json").write_text(json.dumps(settings))
    return folder


def _config(tokenizer) -> Qwen2_5_VLConfig:
    special = tokenizer.token_to_id
    return Qwen2_5_VLConfig(
        text_config=dict(
            vocab_size=320, hidden_size=32, intermediate_size=48, num_hidden_layers=LAYERS, num_attention_heads=4,
            num_key_value_heads=2, max_position_embeddings=4096, bos_token_id=None, eos_token_id=special("<|im_end|>"),
            pad_token_id=special("<|endoftext|>"),
            rope_parameters={"rope_type": "default", "rope_theta": 10000.0, "mrope_section": [2, 1, 1]},
        ),
        vision_config=dict(
            depth=4, hidden_size=32, intermediate_size=48, num_heads=4, out_hidden_size=32, patch_size=14,
            spatial_merge_size=2, temporal_patch_size=2, window_size=56, fullatt_block_indexes=[1, 3], in_channels=3,
        ),
        image_token_id=special("<|image_pad|>"), video_token_id=special("<|video_pad|>"),
        vision_start_token_id=special("<|vision_start|>"), vision_end_token_id=special("<|vision_end|>"),
        tie_word_embeddings=False,
    )  # fmt: skip


@torch.no_grad()
def randomize(module: torch.nn.Module, seed: int, std: float = 0.25) -> None:
    """Matrices and biases normal around 0, gains of norms around 1."""
    generator = torch.Generator().manual_seed(seed)
    for name, parameter in module.named_parameters():
        noise = torch.randn(parameter.shape, generator=generator) * std
        parameter.copy_(noise if parameter.ndim > 1 or name.endswith("bias") else 1 + noise)


@functools.cache
def model(attn: str = "sdpa", dtype: str = "float32", folder: Path | None = None, **changes: object) -> GlimpseModel:
    """A base (None: the one above) with random glimpse modules of `CONFIG`, changed. A third of the tokens pass."""
    config = replace(CONFIG, **changes)
    loaded = require_glimpse(
        catalog.load(folder or base_folder(), glimpse=config, dtype=dtype, device="cpu", attn=attn)
    )
    modules = torch.nn.ModuleDict({"glimpse": loaded.glimpse, "vip": loaded.vip})
    randomize(modules, seed=1)
    modules.to(loaded.dtype).eval().requires_grad_(False)
    return loaded


def plain() -> LoadedModel:
    """The base above without glimpse modules."""
    return catalog.load(base_folder(), device="cpu")


def picture(width: int = 140, height: int = 112, seed: int = 0) -> Image.Image:
    """Noise of random blocks; every token looks different."""
    blocks = np.random.default_rng(seed).integers(0, 256, (-(-height // 14), -(-width // 14), 3), dtype=np.uint8)
    return Image.fromarray(blocks).resize((width, height), Image.Resampling.BICUBIC)


def prompt(loaded: LoadedModel, *sizes: tuple[int, int], question: str = "What is it?") -> Prompt:
    """One row with pictures of the given (width, height)."""
    pictures = [picture(*size, seed=seed) for seed, size in enumerate(sizes or [(140, 112)])]
    return loaded.processor.prompt(loaded.backbone, pictures, question)


def batch(loaded: LoadedModel) -> Prompt:
    """Two rows of unequal length, padded on the left."""
    rows = [
        prompt(loaded, (140, 112), question="Why so?"),
        prompt(loaded, (84, 112), question="And what is this thing here?"),
    ]
    longest = max(row.input_ids.shape[1] for row in rows)
    ids = torch.zeros(2, longest, dtype=torch.long)
    mask = torch.zeros(2, longest, dtype=torch.long)
    for index, row in enumerate(rows):
        ids[index, longest - row.input_ids.shape[1] :] = row.input_ids[0]
        mask[index, longest - row.input_ids.shape[1] :] = 1
    pixels = torch.cat([row.pixel_values for row in rows])
    sizes = None if rows[0].image_grid_thw is None else torch.cat([row.image_grid_thw for row in rows])
    return loaded.backbone.prompt(ids, pixels, sizes, mask)


def random_masks(loaded: LoadedModel, given: Prompt, share: float = 0.3, seed: int = 0) -> tuple[torch.Tensor, ...]:
    generator = torch.Generator().manual_seed(seed)
    return tuple(torch.rand(count, generator=generator) < share for count in loaded.backbone.tokens_per_row(given))


def as_inputs(given: Prompt) -> dict[str, torch.Tensor]:
    """What `generate` takes."""
    names = ["input_ids", "attention_mask", "pixel_values"]
    if given.image_grid_thw is not None:  # Qwen2.5-VL only
        names += ["image_grid_thw", "mm_token_type_ids"]
    return {name: getattr(given, name) for name in names}
