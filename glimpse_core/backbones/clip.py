"""CLIP's two ways into the space that pictures and texts share, beside a vision tower that is already there."""

from __future__ import annotations

import functools
from dataclasses import dataclass

import torch
from torch import Tensor
from transformers import AutoTokenizer, CLIPModel, PreTrainedTokenizerBase

from glimpse_core.errors import GlimpseError


@dataclass(frozen=True)
class ClipText:
    """The CLIP model that a LLaVA tower comes from (openai/clip-vit-large-patch14-336 for LLaVA-1.5)."""

    hf: CLIPModel
    tokenizer: PreTrainedTokenizerBase

    @classmethod
    @functools.cache
    def load(cls, folder: str, device: torch.device) -> ClipText:
        """Loaded once per folder and device. Raises GlimpseError if there is no CLIP model."""
        try:
            hf, tokenizer = CLIPModel.from_pretrained(folder), AutoTokenizer.from_pretrained(folder)
        except (OSError, ValueError) as error:
            raise GlimpseError(f"no CLIP model can be loaded from {folder}: {error}") from error
        return cls(hf.to(device).eval().requires_grad_(False), tokenizer)

    def patches(self, states: Tensor) -> Tensor:
        """States (n, V) that leave a block of the vision tower -> (n, P)."""
        weight = self.hf.visual_projection.weight
        if states.shape[-1] != weight.shape[1]:
            raise GlimpseError(
                f"this CLIP model has a vision width of {weight.shape[1]}, but the tower's is {states.shape[-1]}: name "
                "the CLIP model that the tower comes from"
            )
        return self.hf.visual_projection(self.hf.vision_model.post_layernorm(states.to(weight)))

    def words(self, question: str) -> Tensor:
        """(segments, P): the question in pieces of as many tokens as the text tower reads, the last filled with 0."""
        size = self.hf.config.text_config.max_position_embeddings
        ids = torch.tensor(self.tokenizer(question)["input_ids"], device=self.hf.device)
        pieces = [torch.nn.functional.pad(part, (0, size - len(part))) for part in ids.split(size)]
        found = self.hf.text_model(torch.stack(pieces)).pooler_output
        return self.hf.text_projection(found)
