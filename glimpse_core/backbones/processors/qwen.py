"""Qwen2.5-VL: images keep their proportions, questions are asked in the tokenizer's chat template."""

from __future__ import annotations

import importlib.util
from dataclasses import dataclass
from pathlib import Path
from typing import Any, ClassVar, cast

import numpy as np
import torch
import transformers
from PIL import Image
from torch import Tensor
from transformers import AutoTokenizer, Qwen2VLImageProcessorPil

from glimpse_core.backbones import Backbone
from glimpse_core.backbones.processors.base import Processor, arrays, expanded
from glimpse_core.errors import GlimpseError
from glimpse_core.types import Prompt

_MARKS = ("\ue000system\ue001", "\ue000question\ue001")  # private-use characters, replaced after rendering


@dataclass(frozen=True)
class QwenProcessor(Processor):
    """Qwen2.5-VL's processor."""

    images: Qwen2VLImageProcessorPil

    model_types: ClassVar[tuple[str, ...]] = ("qwen2_5_vl",)
    ending: ClassVar[str] = "<|im_end|>\n"
    video_processor: ClassVar[str] = "Qwen2VLVideoProcessor"  # by name: importing it needs torchvision

    @classmethod
    def load(cls, folder: Path, settings: dict[str, Any]) -> QwenProcessor | None:
        """See `Processor.load`.

        Raises:
            GlimpseError: the tokenizer has no chat template.
        """
        if not all((folder / name).exists() for name in ("preprocessor_config.json", "tokenizer_config.json")):
            return None
        tokenizer = AutoTokenizer.from_pretrained(folder)
        if not tokenizer.chat_template:
            raise GlimpseError(
                f"The tokenizer of {folder} has no chat template. Expected one, because questions are asked in the "
                "model's chat format: add chat_template.jinja, as the released Qwen2.5-VL-Instruct folders have it."
            )
        return cls(Qwen2VLImageProcessorPil.from_pretrained(folder), tokenizer)

    def pixels(self, images: list[Image.Image]) -> dict[str, Tensor]:
        """Return pixel_values (patches, values) float32 and image_grid_thw (images, 3) int64."""
        # The data format is given, because an image 3 pixels high would be taken for channels-first.
        return dict(self.images(images=arrays(images), return_tensors="pt", input_data_format="channels_last"))

    def video_prompt(
        self, backbone: Backbone, frames: list[Image.Image], question: str, fps: float, system: str | None = None
    ) -> Prompt:
        """See `Processor.video_prompt`. Two frames make one temporal slice."""
        pixels, size = self.video(frames)
        ids = self.token_ids(1, question, system, kind="video")
        slices = [grid.tokens for grid in backbone.grids(pixels, size)]
        seconds = backbone.hf.config.vision_config.temporal_patch_size / fps
        placed = self.place_video(ids, backbone.hf.config, slices, seconds, fps)
        device = backbone.device
        return backbone.prompt(
            torch.tensor([placed], device=device), pixels.to(device), size.to(device), seconds=[seconds]
        )

    def place_video(self, ids: list[int], config: Any, slices: list[int], seconds: float, fps: float) -> list[int]:
        """Return `ids` with the placeholders of one video in place of the template's single one.

        Args:
            ids: of the chat prompt.
            config: of the base model.
            slices: visual tokens of every temporal slice.
            seconds: from one slice to the next.
            fps: frames of a second.
        """
        return expanded(ids, config.video_token_id, [sum(slices)])

    def next_prompt(self, backbone: Backbone, prompt: Prompt, question: str, system: str | None = None) -> Prompt:
        """See `Processor.next_prompt`. All grids of a prompt with a video are slices of that one."""
        if not prompt.seconds:
            return super().next_prompt(backbone, prompt, question, system)
        ids, config = self.token_ids(1, question, system, kind="video"), backbone.hf.config
        (seconds,) = prompt.seconds
        fps = config.vision_config.temporal_patch_size / seconds
        placed = self.place_video(ids, config, [grid.tokens for grid in prompt.grids], seconds, fps)
        return self._asked_again(backbone, prompt, placed)

    def video(self, frames: list[Image.Image]) -> tuple[Tensor, Tensor]:
        """Return the patches of a video, made by the stock video processor, which needs torchvision.

        Args:
            frames: all of one size, an even number of them.

        Returns:
            Patches (P, values) float32 of all frames, and their size (1, 3) in patches: temporal slices, rows, columns.

        Raises:
            GlimpseError: torchvision is not installed, or a frame is not an image.
        """
        if importlib.util.find_spec("torchvision") is None:
            raise GlimpseError(
                "A video was given and torchvision is not installed. Expected it, because transformers' video "
                "processor needs it: pip install torchvision==0.28.0 from the same index as torch (a build for another "
                "torch breaks both), or ask about single frames as images."
            )
        stock = getattr(transformers, self.video_processor).from_pretrained(self.tokenizer.name_or_path)
        out = stock(
            videos=[np.stack(arrays(frames))], do_sample_frames=False, cap_pixels_per_frame=True,
            input_data_format="channels_last", return_tensors="pt",
        )  # fmt: skip
        return out["pixel_values_videos"], out["video_grid_thw"]

    def token_ids(self, images: int, question: str, system: str | None, kind: str = "image") -> list[int]:
        """See `Processor.token_ids`. A question with special tokens in it is encoded apart from the template.

        Args:
            images: number of images or videos.
            question: what is asked.
            system: the system prompt. None: the template's.
            kind: "image" or "video".
        """
        content = [{"type": kind}] * images + [{"type": "text", "text": _MARKS[1]}]
        messages: list[dict[str, Any]] = [{"role": "user", "content": content}]
        if system is not None:
            messages.insert(0, {"role": "system", "content": _MARKS[0]})
        template = self.tokenizer.apply_chat_template(messages, tokenize=False, add_generation_prompt=True)
        rendered = cast(str, template)  # with tokenize=False
        typed = {_MARKS[0]: system or "", _MARKS[1]: question}
        if not any(token in text for text in typed.values() for token in self.tokenizer.added_tokens_encoder):
            for mark, text in typed.items():
                rendered = rendered.replace(mark, text)
            return self.special_ids(rendered)
        # Rare: the person typed a special token. Encode their words apart from the template's.
        ids: list[int] = []
        while rendered:
            found = [(rendered.index(mark), mark) for mark in typed if mark in rendered]
            start, mark = min(found, default=(len(rendered), ""))
            ids += self.special_ids(rendered[:start]) + (self.plain_ids(typed[mark]) if mark else [])
            rendered = rendered[start + len(mark) :]
        return ids
