"""A tiny random LLaVA-1.5, in the layout of the Hugging Face conversion and in its authors' own. As in `tiny.py`."""

from __future__ import annotations

import functools
import json
import shutil
import tempfile
from pathlib import Path

import torch
from safetensors.torch import load_file
from tokenizers import AddedToken, Tokenizer, decoders, models, pre_tokenizers
from transformers import LlavaConfig, LlavaForConditionalGeneration

from glimpse_core.glimpse.model import GlimpseModel
from tests.support import tiny

SPECIAL = ("<s>", "</s>", "<image>", "<pad>")
PIXELS = {
    "image_processor_type": "CLIPImageProcessor",
    "size": {"shortest_edge": 56},
    "crop_size": {"height": 56, "width": 56},
}
_KEPT_ALIVE: list[tempfile.TemporaryDirectory] = []


def _folder() -> Path:
    _KEPT_ALIVE.append(tempfile.TemporaryDirectory())
    return Path(_KEPT_ALIVE[-1].name)


def save_tokenizer(folder: Path) -> Tokenizer:
    """Every byte is a token."""
    alphabet = sorted(pre_tokenizers.ByteLevel.alphabet())
    tokenizer = Tokenizer(models.BPE(vocab={symbol: index for index, symbol in enumerate(alphabet)}, merges=[]))
    tokenizer.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False, use_regex=False)
    tokenizer.decoder = decoders.ByteLevel()
    tokenizer.add_special_tokens([AddedToken(token, special=True) for token in SPECIAL])
    tokenizer.save(str(folder / "tokenizer.json"))
    (folder / "tokenizer_config.json").write_text(
        '{"tokenizer_class": "PreTrainedTokenizerFast", "bos_token": "<s>", "eos_token": "</s>", "pad_token": "<pad>"}'
    )
    return tokenizer


@functools.cache
def base_folder() -> Path:
    """As on the Hub; 4 x 4 visual tokens of 14 pixels."""
    folder = _folder()
    special = save_tokenizer(folder).token_to_id
    config = LlavaConfig(
        text_config=dict(
            model_type="llama", vocab_size=272, hidden_size=32, intermediate_size=48, num_hidden_layers=tiny.LAYERS,
            num_attention_heads=4, num_key_value_heads=4, bos_token_id=special("<s>"), eos_token_id=special("</s>"),
        ),
        vision_config=dict(
            model_type="clip_vision_model", hidden_size=32, intermediate_size=48, num_hidden_layers=4,
            num_attention_heads=4, image_size=56, patch_size=14, projection_dim=32,
        ),
        image_token_index=special("<image>"), image_seq_length=16,
    )  # fmt: skip
    hf = LlavaForConditionalGeneration(config)
    tiny.randomize(hf, seed=0)
    hf.generation_config.eos_token_id = special("</s>")
    hf.save_pretrained(folder)
    (folder / "preprocessor_config.json").write_text(json.dumps(PIXELS))
    return folder


@functools.cache
def original_folder() -> Path:
    """The same weights as their authors store them: a flat config, pytorch_model.bin, and the CLIP tower beside it."""
    source, folder = base_folder(), _folder()
    whole = json.loads((source / "config.json").read_text())
    vocabulary = whole["image_token_index"]
    config = whole["text_config"] | {
        "model_type": "llava_llama", "vocab_size": vocabulary, "mm_projector_type": "mlp2x_gelu",
        "mm_use_im_start_end": False, "image_aspect_ratio": "pad", "mm_vision_select_layer": -2,
        "mm_vision_select_feature": "patch", "mm_vision_tower": "somebody/clip-tower", "pad_token_id": 0,
    }  # fmt: skip
    (folder / "config.json").write_text(json.dumps(config))
    hf = LlavaForConditionalGeneration.from_pretrained(source, dtype=torch.float32)
    tower = folder / "clip-tower"
    hf.model.vision_tower.save_pretrained(tower)
    (tower / "preprocessor_config.json").write_text(json.dumps(PIXELS))
    language = {f"model.{name}": tensor for name, tensor in hf.model.language_model.state_dict().items()}
    language["lm_head.weight"] = hf.lm_head.weight.data
    for name in ("model.embed_tokens.weight", "lm_head.weight"):
        language[name] = language[name][:vocabulary].clone()
    for theirs, ours in ((0, "linear_1"), (2, "linear_2")):
        part = getattr(hf.model.multi_modal_projector, ours).state_dict()
        language |= {f"model.mm_projector.{theirs}.{name}": tensor for name, tensor in part.items()}
    torch.save(language, folder / "pytorch_model.bin")
    for name in ("tokenizer.json", "tokenizer_config.json"):
        shutil.copy(source / name, folder / name)
    return folder


def tower_weights(folder: Path) -> dict[str, torch.Tensor]:
    return load_file(folder / "clip-tower" / "model.safetensors")


def model(attn: str = "sdpa", **changes: object) -> GlimpseModel:
    """The base with random glimpse modules of `tiny.CONFIG`, changed."""
    return tiny.model(attn, folder=base_folder(), **changes)
