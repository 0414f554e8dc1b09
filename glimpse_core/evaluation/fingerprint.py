"""Telling weights and versions apart."""

from __future__ import annotations

import hashlib
import platform

import torch
import transformers

import glimpse_core
from glimpse_core.glimpse.model import GlimpseModel


def fingerprint(model: GlimpseModel) -> str:
    """Tells weights apart: a hash of evenly spaced values of every tensor, base and glimpse modules."""
    digest = hashlib.sha256()
    for module in (model.backbone.hf, model.glimpse, model.vip):
        for name, tensor in module.state_dict().items():
            digest.update(name.encode())
            digest.update(tensor.flatten()[:: tensor.numel() // 4096 + 1].float().cpu().numpy().tobytes())
    return digest.hexdigest()[:16]


def versions() -> dict[str, str]:
    return {
        "glimpse_core": glimpse_core.__version__,
        "torch": torch.__version__,
        "transformers": transformers.__version__,
        "python": platform.python_version(),
    }
