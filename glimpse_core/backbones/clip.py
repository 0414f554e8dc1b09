"""CLIP's projections of image patches and words into their common space, for a vision tower that is already loaded.

P is the size of that space, other letters as in `types.py`.
"""

from __future__ import annotations

import functools
from dataclasses import dataclass
from typing import cast

import torch
from torch import Tensor, nn
from transformers import AutoTokenizer, CLIPModel, CLIPTextConfig, PreTrainedTokenizerBase

from glimpse_core.errors import GlimpseError


@dataclass(frozen=True)
class ClipText:
    """The CLIP model that a LLaVA vision tower comes from (openai/clip-vit-large-patch14-336 for LLaVA-1.5)."""

    hf: CLIPModel
    tokenizer: PreTrainedTokenizerBase

    @classmethod
    @functools.cache
    def load(cls, folder: str, device: torch.device) -> ClipText:
        """Load the model, once per folder and device.

        Raises:
            GlimpseError: the folder holds no CLIP model.
        """
        try:
            hf, tokenizer = CLIPModel.from_pretrained(folder), AutoTokenizer.from_pretrained(folder)
        except (OSError, ValueError) as error:
            raise GlimpseError(
                f"{folder} was given as the CLIP model, but cannot be loaded ({error}). Expected a folder or Hub name "
                "of the CLIP model that the vision tower comes from."
            ) from error
        cast(nn.Module, hf).to(device).eval().requires_grad_(False)  # all three change the model itself
        return cls(hf, tokenizer)

    def patches(self, states: Tensor) -> Tensor:
        """Return projections (n, P) of states (n, V), the output of a vision tower block.

        Raises:
            GlimpseError: the tower's width is not that of this model.
        """
        weight = self.hf.visual_projection.weight
        if states.shape[-1] != weight.shape[1]:
            raise GlimpseError(
                f"The CLIP model's vision width is {weight.shape[1]}. Expected the tower's, {states.shape[-1]}: name "
                "the CLIP model that the tower comes from."
            )
        projected: Tensor = self.hf.visual_projection(self.hf.vision_model.post_layernorm(states.to(weight)))
        return projected

    def words(self, question: str) -> Tensor:
        """Return projections (segments, P) of a question, cut into pieces of the text tower's length.

        The last piece is filled with id 0.
        """
        size = cast(CLIPTextConfig, self.hf.config.text_config).max_position_embeddings
        ids = torch.tensor(self.tokenizer(question)["input_ids"], device=self.hf.device)
        pieces = [torch.nn.functional.pad(part, (0, size - len(part))) for part in ids.split(size)]
        found = self.hf.text_model(torch.stack(pieces)).pooler_output
        projected: Tensor = self.hf.text_projection(found)
        return projected
