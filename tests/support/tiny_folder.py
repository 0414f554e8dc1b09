"""A complete Hub-layout folder of a tiny random model with a tokenizer of single bytes, made in under a second."""

from __future__ import annotations

from pathlib import Path

from tokenizers import AddedToken, Tokenizer, decoders, models, pre_tokenizers

from glimpse_core.training.demo_base.model import build, save
from glimpse_core.training.demo_base.recipe import Shape
from glimpse_core.training.demo_base.text import SPECIAL


def byte_tokenizer() -> Tokenizer:
    """Every byte is a token; the special tokens are Qwen's."""
    alphabet = sorted(pre_tokenizers.ByteLevel.alphabet())
    tokenizer = Tokenizer(models.BPE(vocab={symbol: index for index, symbol in enumerate(alphabet)}, merges=[]))
    tokenizer.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False, use_regex=False)
    tokenizer.decoder = decoders.ByteLevel()
    tokenizer.add_special_tokens([AddedToken(token, special=True) for token in SPECIAL])
    return tokenizer


def write_base(folder: Path, *, layers: int = 4, width: int = 96, seed: int = 0) -> Path:
    """Write the base model. Its answers are noise, but it is loaded, trained on and asked like any other."""
    tokenizer = byte_tokenizer()
    shape = Shape(width, 2 * width, key_heads=width // 96, rope_base=50.0, vision_depth=2)
    save(build(tokenizer, shape, layers, seed), tokenizer, folder)
    return folder
