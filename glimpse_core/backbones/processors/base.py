"""What all processors do alike: the base model's own image processor and tokenizer, and placeholders for pictures.

transformers' combined processors are not used: one of them insists on a video processor, which needs torchvision. The
picture backend is always the Pillow one, so that the same picture gives the same numbers on every machine.

The question is data: text in it that looks like a special token (say, an image placeholder) stays text.
"""

from __future__ import annotations

import itertools
from abc import ABC, abstractmethod
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, ClassVar

import numpy as np
import torch
from PIL import Image
from torch import Tensor
from transformers import PreTrainedTokenizerBase

from glimpse_core.backbones import Backbone
from glimpse_core.errors import GlimpseError
from glimpse_core.media.overlay import rgb
from glimpse_core.types import Prompt

LONGEST_ASPECT = 200  # the limit of Qwen2.5-VL's image processor, held for all
WHOLE = (0.0, 0.0, 1.0, 1.0)


@dataclass(frozen=True)
class Processor(ABC):
    """Stateless. `images` and `tokenizer` are the stock ones of the base model's folder."""

    images: Any
    tokenizer: PreTrainedTokenizerBase

    model_types: ClassVar[tuple[str, ...]]  # in the config.json of a base model folder
    ending: ClassVar[str]  # what stands behind an answer, supervised with it

    @classmethod
    @abstractmethod
    def load(cls, folder: Path, settings: dict[str, Any]) -> Processor | None:
        """From a local folder with `settings` in its config.json; None if tokenizer or image settings are missing."""

    @abstractmethod
    def pixels(self, images: list[Image.Image]) -> dict[str, Tensor]:
        """What `Backbone.prompt` takes: pixel_values float32, and image_grid_thw where the family has it."""

    @abstractmethod
    def token_ids(self, images: int, question: str, system: str | None) -> list[int]:
        """The chat prompt with ONE placeholder per picture. system: None takes the family's usual one."""

    def frame(self, image: Image.Image) -> tuple[float, float, float, float]:
        """Left, top, right and bottom of the picture as shares of its token grid (`Grid.frame`)."""
        return WHOLE

    def prompt(
        self,
        backbone: Backbone,
        images: list[Image.Image],
        question: str,
        system: str | None = None,
        answer: str | None = None,
    ) -> Prompt:
        """One prompt (B = 1) on the backbone's device: all pictures, then the question, up to where the answer begins.

        answer: what the assistant says, appended with the family's own ending (for training); None: nothing.
        """
        inputs = self.pixels(images)
        ids = self.token_ids(len(images), question, system)
        placed = expanded(ids, backbone.image_token, [grid.tokens for grid in backbone.grids(**inputs)])
        if answer is not None:
            placed.extend(self.plain_ids(answer) + self.special_ids(self.ending))
        device = backbone.device
        inputs = {name: tensor.to(device) for name, tensor in inputs.items()}
        prompt = backbone.prompt(torch.tensor([placed], device=device), **inputs)
        framed = zip(prompt.grids, images, strict=True)
        return replace(prompt, grids=tuple(replace(grid, frame=self.frame(image)) for grid, image in framed))

    def video_prompt(
        self, backbone: Backbone, frames: list[Image.Image], question: str, fps: float, system: str | None = None
    ) -> Prompt:
        """One prompt (B = 1) about one video. fps: frames given per second. Raises `GlimpseError` where none can be."""
        raise GlimpseError(
            f"{backbone.hf.config.model_type} models take no videos: choose a Qwen2.5-VL model, or ask about pictures"
        )

    def special_ids(self, text: str) -> list[int]:
        """Encode text of the template, special tokens as such."""
        return self.tokenizer.encode(text, add_special_tokens=False) if text else []

    def plain_ids(self, text: str) -> list[int]:
        """Encode text of a person; nothing in it is special."""
        return self.tokenizer.encode(text, add_special_tokens=False, split_special_tokens=True) if text else []

    def decode(self, tokens: list[int]) -> str:
        return self.tokenizer.decode(tokens, skip_special_tokens=True, clean_up_tokenization_spaces=False)


def expanded(ids: list[int], placeholder: int, counts: list[int]) -> list[int]:
    """The first placeholder `counts[0]` times, the second `counts[1]` times, and so on."""
    total, placed = iter(counts), []
    for token in ids:
        placed.extend(itertools.repeat(token, next(total)) if token == placeholder else (token,))
    return placed


def arrays(images: list[Image.Image]) -> list[np.ndarray]:
    """The pictures as (height, width, 3) bytes. Raises `GlimpseError` for what no picture can be made of."""
    return [np.asarray(checked(image, number)) for number, image in enumerate(images, 1)]


def checked(image: Image.Image, number: int) -> Image.Image:
    """The picture in RGB. Raises `GlimpseError` for what no picture can be made of."""
    if not isinstance(image, Image.Image):
        raise GlimpseError(
            f"picture {number} is a {type(image).__name__}, but a PIL image is needed: open the file with "
            "PIL.Image.open"
        )
    width, height = image.size
    if not width or not height:
        raise GlimpseError(f"picture {number} is {width} x {height} pixels, which is empty: choose another one")
    if max(width, height) > LONGEST_ASPECT * min(width, height):
        raise GlimpseError(
            f"picture {number} is {width} x {height} pixels, but one side may be at most {LONGEST_ASPECT} "
            "times the other: crop it"
        )
    try:
        image.load()
        return rgb(image)
    except (OSError, SyntaxError, ValueError) as error:  # how Pillow reports a broken file, lazily
        raise GlimpseError(
            f"picture {number} cannot be read ({error}): the file is damaged, choose another one"
        ) from error
