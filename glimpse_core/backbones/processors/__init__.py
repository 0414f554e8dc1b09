"""Processors: images and a question to a `Prompt`. One class per family of base models, chosen by the config.json."""

from __future__ import annotations

import json
from pathlib import Path

from glimpse_core.backbones.processors.base import Processor
from glimpse_core.backbones.processors.llava import LlavaProcessor
from glimpse_core.backbones.processors.qwen import QwenProcessor
from glimpse_core.backbones.processors.qwen3 import Qwen3Processor

FAMILIES: dict[str, type[Processor]] = {
    kind: family for family in (QwenProcessor, Qwen3Processor, LlavaProcessor) for kind in family.model_types
}


def load(folder: str | Path) -> Processor | None:
    """Load the processor of a local base model folder.

    Returns:
        None if the folder has no tokenizer or no settings for images.

    Raises:
        GlimpseError: the tokenizer has no chat template.
        OSError, ValueError: as transformers raises them.
    """
    folder = Path(folder)
    settings = json.loads((folder / "config.json").read_text())
    return FAMILIES[settings["model_type"]].load(folder, settings)


__all__ = ["FAMILIES", "LlavaProcessor", "Processor", "Qwen3Processor", "QwenProcessor", "load"]
