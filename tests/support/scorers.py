"""A random scorer of VisionSelector, and its folder in the published layout."""

from __future__ import annotations

import json
from pathlib import Path

import torch
from safetensors.torch import save_file

from glimpse_core.pruners.visionselector import PARTS, Scorer

WIDTH = 32  # of all tiny decoders


def scorer(width: int = WIDTH, seed: int = 11) -> Scorer:
    random = torch.Generator().manual_seed(seed)
    size = width // 2
    scales = (((size, width), 0.25), ((size,), 2.0)) * 2  # biases large enough to change the order
    return Scorer(*(torch.randn(*shape, generator=random) * std for shape, std in scales))


def write(folder: Path, own: Scorer, first: str = "visual.", split: bool = True) -> Path:
    """As published: among the base model's weights, in several files with an index, or in one without."""
    folder.mkdir()
    parts = {f"{first}importance_scorer.{name}": getattr(own, field).contiguous() for field, name in PARTS.items()}
    others = {"visual.blocks.0.attn.qkv.weight": torch.zeros(2, 2), "model.norm.weight": torch.ones(2)}
    if not split:
        save_file(parts | others, folder / "model.safetensors")
        return folder
    save_file(parts, folder / "model-00001-of-00002.safetensors")  # the other file need not be there
    where = dict.fromkeys(parts, "model-00001-of-00002.safetensors")
    where |= dict.fromkeys(others, "model-00002-of-00002.safetensors")
    (folder / "model.safetensors.index.json").write_text(json.dumps({"metadata": {}, "weight_map": where}))
    return folder
