"""A tiny random Qwen3-VL in the Hub's layout, as in `tiny.py`: DeepStack after two layers, wide heads."""

from __future__ import annotations

import functools
import json
import tempfile
from pathlib import Path

from transformers import Qwen3VLConfig, Qwen3VLForConditionalGeneration

from glimpse_core.glimpse.model import GlimpseModel
from glimpse_core.training.demo_base.text import save_tokenizer
from tests.support import tiny
from tests.support.tiny_folder import byte_tokenizer

PIXELS = {
    "image_processor_type": "Qwen2VLImageProcessor", "size": {"shortest_edge": 1024, "longest_edge": 65536},
    "patch_size": 16, "temporal_patch_size": 2, "merge_size": 2, "image_mean": [0.5] * 3, "image_std": [0.5] * 3,
}  # fmt: skip
DEEPSTACK = [0, 2]
_KEPT_ALIVE: list[tempfile.TemporaryDirectory] = []


def config(special, **vision: object) -> Qwen3VLConfig:
    """special: a token's id by its text. vision: fields of the tower that differ."""
    return Qwen3VLConfig(
        text_config=dict(
            vocab_size=320, hidden_size=32, intermediate_size=48, num_hidden_layers=tiny.LAYERS, num_attention_heads=4,
            num_key_value_heads=2, head_dim=16, max_position_embeddings=4096, bos_token_id=None,
            eos_token_id=special("<|im_end|>"), pad_token_id=special("<|endoftext|>"),
            rope_parameters={
                "rope_type": "default", "rope_theta": 10000.0, "mrope_section": [4, 2, 2], "mrope_interleaved": True,
            },
        ),
        vision_config=dict(
            depth=4, hidden_size=32, intermediate_size=48, num_heads=4, out_hidden_size=32, patch_size=16,
            spatial_merge_size=2, temporal_patch_size=2, in_channels=3, num_position_embeddings=16,
            deepstack_visual_indexes=DEEPSTACK,
        ) | vision,
        image_token_id=special("<|image_pad|>"), video_token_id=special("<|video_pad|>"),
        vision_start_token_id=special("<|vision_start|>"), vision_end_token_id=special("<|vision_end|>"),
        tie_word_embeddings=False,
    )  # fmt: skip


@functools.cache
def base_folder() -> Path:
    """A base model with tokenizer and image processor; removed when the tests end."""
    _KEPT_ALIVE.append(tempfile.TemporaryDirectory())
    folder = Path(_KEPT_ALIVE[-1].name)
    tokenizer = byte_tokenizer()
    hf = Qwen3VLForConditionalGeneration(config(tokenizer.token_to_id))
    tiny.randomize(hf, seed=13)  # about a third of the tokens pass
    hf.generation_config.eos_token_id = tokenizer.token_to_id("<|im_end|>")
    hf.save_pretrained(folder)
    save_tokenizer(tokenizer, folder)
    (folder / "preprocessor_config.json").write_text(json.dumps(PIXELS))
    return folder


def model(attn: str = "sdpa", **changes: object) -> GlimpseModel:
    """The base with random glimpse modules of `tiny.CONFIG`, changed."""
    return tiny.model(attn, folder=base_folder(), **changes)
