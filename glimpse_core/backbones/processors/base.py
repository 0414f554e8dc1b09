"""The base class of processors, which combine a base model's own image processor and tokenizer.

transformers' combined processors are not used: one of them insists on a video processor, which needs torchvision. The
image backend is always Pillow, so that the same image gives the same numbers on every machine.

The question is data: text in it that looks like a special token (say, an image placeholder) stays text.
"""

from __future__ import annotations

import itertools
from abc import ABC, abstractmethod
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, ClassVar, cast

import numpy as np
import torch
from numpy.typing import NDArray
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
    """Turns images and questions into prompts. `images` and `tokenizer` are the stock ones of the base model folder."""

    images: Any
    tokenizer: PreTrainedTokenizerBase

    model_types: ClassVar[tuple[str, ...]]  # in the config.json of a base model folder
    ending: ClassVar[str]  # what follows an answer, supervised with it

    @classmethod
    @abstractmethod
    def load(cls, folder: Path, settings: dict[str, Any]) -> Processor | None:
        """Load the processor of a local folder.

        Args:
            folder: a base model folder.
            settings: what its config.json holds.

        Returns:
            None if the tokenizer or the settings for images are missing.
        """

    @abstractmethod
    def pixels(self, images: list[Image.Image]) -> dict[str, Tensor]:
        """Return the image inputs of `Backbone.prompt`: pixel_values float32, and image_grid_thw if the family has it.

        Raises:
            GlimpseError: an image is not a PIL image, empty, too narrow, or damaged.
        """

    @abstractmethod
    def token_ids(self, images: int, question: str, system: str | None) -> list[int]:
        """Return the ids of the chat prompt with ONE placeholder per image.

        Args:
            images: number of images.
            question: what is asked.
            system: the system prompt. None: the family's usual one.
        """

    def frame(self, image: Image.Image) -> tuple[float, float, float, float]:
        """Return left, top, right and bottom of the image as shares of its token grid (`Grid.frame`)."""
        return WHOLE

    def prompt(
        self,
        backbone: Backbone,
        images: list[Image.Image],
        question: str,
        system: str | None = None,
        answer: str | None = None,
    ) -> Prompt:
        """Return a prompt (B = 1) on the backbone's device: all images, then the question.

        Args:
            backbone: the model that the prompt is for.
            images: at least one PIL image; any mode, RGB is made of it.
            question: what is asked.
            system: the system prompt. None: the family's usual one.
            answer: for training: what the assistant says, appended with the family's own ending. None: nothing, the
                prompt ends where the answer begins.

        Raises:
            GlimpseError: an image is not a PIL image, empty, too narrow, or damaged.
        """
        inputs = self.pixels(images)
        pixels, sizes = inputs["pixel_values"], inputs.get("image_grid_thw")
        ids = self.token_ids(len(images), question, system)
        placed = expanded(ids, backbone.image_token, [grid.tokens for grid in backbone.grids(pixels, sizes)])
        if answer is not None:
            placed.extend(self.plain_ids(answer) + self.special_ids(self.ending))
        device = backbone.device
        sizes = None if sizes is None else sizes.to(device)
        prompt = backbone.prompt(torch.tensor([placed], device=device), pixels.to(device), sizes)
        framed = zip(prompt.grids, images, strict=True)
        return replace(prompt, grids=tuple(replace(grid, frame=self.frame(image)) for grid, image in framed))

    def video_prompt(
        self, backbone: Backbone, frames: list[Image.Image], question: str, fps: float, system: str | None = None
    ) -> Prompt:
        """Return a prompt (B = 1) about one video.

        Args:
            backbone: the model that the prompt is for.
            frames: the video's frames, all of one size.
            question: what is asked.
            fps: how many of the frames make a second.
            system: the system prompt. None: the family's usual one.

        Raises:
            GlimpseError: the family takes no videos, or torchvision is missing.
        """
        raise GlimpseError(
            f"A video was given to a {backbone.hf.config.model_type} model, which takes none. Expected images: ask "
            "about single frames, or choose a Qwen2.5-VL or Qwen3-VL model."
        )

    def next_prompt(self, backbone: Backbone, prompt: Prompt, question: str, system: str | None = None) -> Prompt:
        """Return the prompt of another question about the images, or the video, of a prompt.

        No image is prepared again.

        Args:
            backbone: the model that the prompt is for.
            prompt: one row, from `prompt` or `video_prompt`.
            question: what is asked.
            system: the system prompt. None: the family's usual one.
        """
        ids = self.token_ids(len(prompt.grids), question, system)
        placed = expanded(ids, backbone.image_token, [grid.tokens for grid in prompt.grids])
        return self._asked_again(backbone, prompt, placed)

    def _asked_again(self, backbone: Backbone, prompt: Prompt, placed: list[int]) -> Prompt:
        """Return `prompt` with other ids, in which its images have as many placeholders."""
        ids = torch.tensor([placed], device=backbone.device)
        made = backbone.prompt(ids, prompt.pixel_values, prompt.image_grid_thw, seconds=prompt.seconds)
        return replace(made, grids=prompt.grids)

    def special_ids(self, text: str) -> list[int]:
        """Return the ids of text from the template, in which special tokens are special."""
        return self.tokenizer.encode(text, add_special_tokens=False) if text else []

    def plain_ids(self, text: str) -> list[int]:
        """Return the ids of text from a person, in which nothing is special."""
        return self.tokenizer.encode(text, add_special_tokens=False, split_special_tokens=True) if text else []

    def decode(self, tokens: list[int]) -> str:
        """Return the text of generated ids, without special tokens."""
        text = self.tokenizer.decode(tokens, skip_special_tokens=True, clean_up_tokenization_spaces=False)
        return cast(str, text)  # a list only for a list of lists


def expanded(ids: list[int], placeholder: int, counts: list[int]) -> list[int]:
    """Return `ids` with the first placeholder `counts[0]` times, the second `counts[1]` times, and so on."""
    total = iter(counts)
    placed: list[int] = []
    for token in ids:
        placed.extend(itertools.repeat(token, next(total)) if token == placeholder else (token,))
    return placed


def arrays(images: list[Image.Image]) -> list[NDArray[np.uint8]]:
    """Return every image as (height, width, 3) bytes, RGB. Raises GlimpseError as `checked` does."""
    return [np.asarray(checked(image, position)) for position, image in enumerate(images, 1)]


def checked(image: Image.Image, position: int) -> Image.Image:
    """Return an image in RGB.

    Args:
        image: a PIL image of any mode.
        position: its number among the images given, from 1, for messages.

    Raises:
        GlimpseError: it is not a PIL image, empty, too narrow, or damaged.
    """
    if not isinstance(image, Image.Image):
        raise GlimpseError(
            f"Image {position} is a {type(image).__name__}. Expected a PIL image: open the file with PIL.Image.open."
        )
    width, height = image.size
    if not width or not height:
        raise GlimpseError(f"Image {position} is {width} x {height} pixels. Expected at least one: choose another.")
    if max(width, height) > LONGEST_ASPECT * min(width, height):
        raise GlimpseError(
            f"Image {position} is {width} x {height} pixels. Expected one side to be at most {LONGEST_ASPECT} times "
            "the other: crop it."
        )
    try:
        image.load()
        return rgb(image)
    except (OSError, SyntaxError, ValueError) as error:  # how Pillow reports a broken file, lazily
        raise GlimpseError(
            f"Image {position} cannot be read ({error}). Expected an undamaged file: choose another one."
        ) from error
