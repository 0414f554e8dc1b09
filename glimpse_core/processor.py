"""From pictures and a question to a `Prompt`: the base model's own image processor, tokenizer and chat template.

transformers' combined processor is not used, because it insists on a video processor, which needs torchvision. The
picture backend is always the Pillow one, so that the same picture gives the same numbers on every machine.

The question is data: text in it that looks like a special token (say, an image placeholder) stays text.
"""

from __future__ import annotations

import itertools
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from PIL import Image
from transformers import AutoTokenizer, PreTrainedTokenizerBase, Qwen2VLImageProcessorPil

from glimpse_core.backbone import Backbone
from glimpse_core.errors import GlimpseError
from glimpse_core.render import rgb
from glimpse_core.types import Prompt

LONGEST_ASPECT = 200  # the image processor's own limit
_MARKS = ("\ue000system\ue001", "\ue000question\ue001")  # private-use characters, replaced after rendering


@dataclass(frozen=True)
class Processor:
    """Stateless. `images` and `tokenizer` are the stock ones of the base model's folder."""

    images: Qwen2VLImageProcessorPil
    tokenizer: PreTrainedTokenizerBase

    @classmethod
    def load(cls, folder: str) -> Processor:
        """folder: a local folder or a Hub name. Raises OSError or ValueError as transformers does."""
        tokenizer = AutoTokenizer.from_pretrained(folder)
        if not tokenizer.chat_template:
            raise GlimpseError(
                f"the tokenizer of {folder} has no chat template, but questions are asked in the model's chat format: "
                "add chat_template.jinja, as the released Qwen2.5-VL-Instruct folders have it"
            )
        return cls(Qwen2VLImageProcessorPil.from_pretrained(folder), tokenizer)

    def prompt(
        self,
        backbone: Backbone,
        images: list[Image.Image],
        question: str,
        system: str | None = None,
        answer: str | None = None,
    ) -> Prompt:
        """One prompt (B = 1) on the backbone's device: all pictures, then the question, up to where the answer begins.

        answer: what the assistant says, appended with the template's own ending (for training); None: nothing.
        """
        inputs = self.pictures(images)
        per_token = self.images.merge_size**2
        counts = (inputs["image_grid_thw"].prod(-1) // per_token).tolist()
        ids = self.token_ids(len(images), question, system)
        placed, total = [], iter(counts)
        for token in ids:
            placed.extend(itertools.repeat(token, next(total)) if token == backbone.image_token else (token,))
        if answer is not None:
            placed.extend(self.plain_ids(answer) + self.special_ids("<|im_end|>\n"))
        device = backbone.hf.device
        return backbone.prompt(
            torch.tensor([placed], device=device),
            inputs["pixel_values"].to(device),
            inputs["image_grid_thw"].to(device),
        )

    def pictures(self, images: list[Image.Image]) -> dict[str, Any]:
        """pixel_values (patches, values) float32 and image_grid_thw (images, 3) int64, both torch."""
        arrays = [np.asarray(checked(image, number)) for number, image in enumerate(images, 1)]
        # Said explicitly, because a picture 3 pixels high would be taken for channels-first.
        return self.images(images=arrays, return_tensors="pt", input_data_format="channels_last")

    def token_ids(self, pictures: int, question: str, system: str | None) -> list[int]:
        """The chat prompt with ONE placeholder per picture."""
        content = [{"type": "image"}] * pictures + [{"type": "text", "text": _MARKS[1]}]
        messages: list[dict[str, Any]] = [{"role": "user", "content": content}]
        if system is not None:
            messages.insert(0, {"role": "system", "content": _MARKS[0]})
        rendered = self.tokenizer.apply_chat_template(messages, tokenize=False, add_generation_prompt=True)
        said = {_MARKS[0]: system or "", _MARKS[1]: question}
        if not any(token in text for text in said.values() for token in self.tokenizer.added_tokens_encoder):
            for mark, text in said.items():
                rendered = rendered.replace(mark, text)
            return self.special_ids(rendered)
        # Rare: the person typed a special token. Encode their words apart from the template's.
        ids: list[int] = []
        while rendered:
            found = [(rendered.index(mark), mark) for mark in said if mark in rendered]
            start, mark = min(found, default=(len(rendered), ""))
            ids += self.special_ids(rendered[:start]) + (self.plain_ids(said[mark]) if mark else [])
            rendered = rendered[start + len(mark) :]
        return ids

    def special_ids(self, text: str) -> list[int]:
        """Encode text of the template, special tokens as such."""
        return self.tokenizer.encode(text, add_special_tokens=False) if text else []

    def plain_ids(self, text: str) -> list[int]:
        """Encode text of a person; nothing in it is special."""
        return self.tokenizer.encode(text, add_special_tokens=False, split_special_tokens=True) if text else []

    def decode(self, tokens: list[int]) -> str:
        return self.tokenizer.decode(tokens, skip_special_tokens=True, clean_up_tokenization_spaces=False)


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


def is_available(folder: str) -> bool:
    """Whether a local folder has what a processor needs."""
    path = Path(folder)
    return (path / "preprocessor_config.json").exists() and (path / "tokenizer_config.json").exists()
