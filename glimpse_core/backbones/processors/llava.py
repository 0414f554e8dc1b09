"""LLaVA-1.5: images are padded to a square, questions are asked in the format "vicuna v1".

The published code pads with CLIP's mean color and sees the whole square; the image processor that comes with the
Hugging Face conversion would crop instead. Text between placeholders is encoded piece by piece, as the published code
does it, because this kind of tokenizer puts a space before every piece.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any, ClassVar

from PIL import Image
from torch import Tensor
from transformers import (
    AutoTokenizer,
    LlamaTokenizer,
    LlavaConfig,
    LlavaImageProcessorPil,
    PreTrainedTokenizerFast,
)

from glimpse_core.backbones.llava_original import tower_folder
from glimpse_core.backbones.processors.base import Processor, arrays

SYSTEM = (
    "A chat between a curious user and an artificial intelligence assistant. "
    "The assistant gives helpful, detailed, and polite answers to the user's questions."
)


@dataclass(frozen=True)
class LlavaProcessor(Processor):
    """LLaVA-1.5's processor. image_token: the placeholder's id, the first after the original vocabulary."""

    images: LlavaImageProcessorPil
    image_token: int

    model_types: ClassVar[tuple[str, ...]] = ("llava", "llava_llama")
    ending: ClassVar[str] = "</s>"

    @classmethod
    def load(cls, folder: Path, settings: dict[str, Any]) -> LlavaProcessor | None:
        """See `Processor.load`. The authors' folders have image settings in the folder of their tower."""
        original = settings["model_type"] == "llava_llama"
        pixels = tower_folder(folder, settings) if original else folder
        if not (pixels / "preprocessor_config.json").exists() or not (folder / "tokenizer_config.json").exists():
            return None
        reader: Any = AutoTokenizer
        if original:  # a model type that AutoTokenizer does not know, and a sentencepiece file alone
            reader = PreTrainedTokenizerFast if (folder / "tokenizer.json").exists() else LlamaTokenizer
        image_token = settings["vocab_size"] if original else LlavaConfig.from_pretrained(folder).image_token_id
        return cls(
            LlavaImageProcessorPil.from_pretrained(pixels, do_pad=True), reader.from_pretrained(folder), image_token
        )

    def pixels(self, images: list[Image.Image]) -> dict[str, Tensor]:
        """Return pixel_values (images, 3, S, S) float32."""
        out = self.images(images=arrays(images), return_tensors="pt", input_data_format="channels_last")
        return {"pixel_values": out["pixel_values"]}

    def frame(self, image: Image.Image) -> tuple[float, float, float, float]:
        """See `Processor.frame`: the image in the middle of its square."""
        width, height = image.size
        side = max(width, height)
        left, top = (side - width) // 2, (side - height) // 2
        return left / side, top / side, (left + width) / side, (top + height) / side

    def token_ids(self, images: int, question: str, system: str | None) -> list[int]:
        """See `Processor.token_ids`. Pieces of text between images are encoded one by one."""
        system = SYSTEM if system is None else system
        pieces = [f"{system} USER: ".lstrip(), *["\n"] * (images - 1), f"\n{question} ASSISTANT:"]
        if not images:
            pieces = ["".join(pieces).replace(" \n", " ", 1)]
        ids = [self.tokenizer.bos_token_id, *self.plain_ids(pieces[0])]
        for piece in pieces[1:]:
            ids += [self.image_token, *self.plain_ids(piece)]
        return ids
