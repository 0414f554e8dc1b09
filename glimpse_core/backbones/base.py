"""The base class of all base models: the interface that the rest of the package sees, and what they do alike.

A backbone holds weights and constants. It keeps nothing of a request, and never lets the wrapped model do so either
(positions are always explicit). A subclass says how images become visual tokens (`grids`, `encode_images`), which
positions the tokens have (`positions`) and which states of the vision tower the VIP reads.

Letters as in `types.py`.
"""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Sequence
from dataclasses import dataclass
from typing import cast

import torch
from torch import Tensor, nn
from transformers import DynamicCache

from glimpse_core.backbones.layout import Layout
from glimpse_core.backbones.prompts import PromptModel
from glimpse_core.errors import GlimpseError
from glimpse_core.types import Grid, Prefix, Prompt, Vision, VisionReadings, VisionReads


@dataclass(frozen=True)
class Backbone(PromptModel):
    """A base model: prompts, encoded images, and the steps before the first and after the last decoder layer."""

    @abstractmethod
    def encode_images(
        self, prompt: Prompt, vision_layers: tuple[int, ...] = (), reads: VisionReads | None = None
    ) -> Vision:
        """Run the vision tower once on all images of a prompt.

        Args:
            prompt: a prompt with at least one image.
            vision_layers: states to return as `Vision.conditions`, in this order, which is the VIP's.
            reads: what else to return as `Vision.readings`. Attention is computed from a block's input, in tiles, and
                never held as a matrix.

        Raises:
            GlimpseError: the prompt has no image, or the attention of a block cannot be read.
        """

    @property
    @abstractmethod
    def feature_block(self) -> int:
        """Number of the vision tower block whose output becomes the visual tokens."""

    @property
    @abstractmethod
    def local_block(self) -> int:
        """Number of the early vision tower block in which VScan looks for local detail."""

    @property
    def contrastive(self) -> bool:
        """Whether the vision tower was trained together with a text tower (CLIP)."""
        return False

    def mergeable(self, vision: Vision, readings: VisionReadings) -> Tensor:
        """Return the features that a method averages if it merges tokens before the projector.

        Args:
            vision: the encoded images.
            readings: what was read, with the state of `feature_block`.

        Returns:
            (N, features); `project` makes of them what `pruners.state.replace_embeddings` takes.
        """
        return torch.cat([vision.embeds, *(() if vision.deepstack is None else vision.deepstack)], dim=-1)

    def project(self, features: Tensor) -> Tensor:
        """Return embeddings (n, C), and the DeepStack features beside them, of averaged `mergeable` features."""
        return features

    @property
    @abstractmethod
    def local_window(self) -> int:
        """Visual tokens on each side of the windows in which VScan looks for local detail."""

    def resized(self, prompt: Prompt, grids: Sequence[Grid]) -> Prompt:
        """Return the same prompt with every image shrunk, as if the processor had prepared it so.

        Args:
            prompt: a prompt with images.
            grids: the new token grid of every image.

        Raises:
            GlimpseError: the vision tower has one input size, or the prompt has a video.
        """
        raise GlimpseError(
            f"Smaller images were asked of {self.hf.config.model_type}, whose vision tower has one input size. "
            "Expected a model that takes any size: use pool, which averages the tokens after the tower."
        )

    def layout(self, prompt: Prompt, whole: bool = True) -> Layout:
        """Return where the visual tokens are, for the VIP.

        Args:
            prompt: a prompt with images.
            whole: whether tokens attend over their whole image, or only inside the vision tower's windows.
        """
        device = prompt.input_ids.device
        cells = [
            torch.cartesian_prod(torch.arange(grid.rows, device=device), torch.arange(grid.cols, device=device))
            for grid in prompt.grids
        ]
        return Layout(torch.cat(cells), tuple(grid.tokens for grid in prompt.grids))

    @abstractmethod
    def positions(self, prompt: Prompt) -> Tensor:
        """Return the position of every token: int64 (A, B, L), or (B, L) with one axis.

        Padding gets 1, as in the published code.
        """

    def embed(self, input_ids: Tensor) -> Tensor:
        """Return the text embeddings (B, L, C) of `input_ids` (B, L)."""
        return self.text.embed_tokens(input_ids)

    def start(self, prompt: Prompt, vision: Vision | None, positions: Tensor | None = None) -> Prefix:
        """Return the prompt as a prefix at depth 0: text embeddings, and image embeddings at the placeholders.

        Args:
            prompt: the prompt.
            vision: the encoded images. None: the prompt has none.
            positions: position ids to use. None: those of `positions`.
        """
        hidden = self.embed(prompt.input_ids)
        pending = None
        if vision is not None:
            places = self.visual(prompt)[..., None]
            hidden = hidden.masked_scatter(places, vision.embeds.to(hidden))
            if vision.deepstack is not None:
                nothing = torch.zeros_like(hidden)
                pending = torch.stack([nothing.masked_scatter(places, one.to(hidden)) for one in vision.deepstack])
        real = prompt.attention_mask.bool()
        return Prefix(
            hidden=hidden,
            positions=self.positions(prompt) if positions is None else positions,
            padding=None if bool(real.all()) else real,
            cache=DynamicCache(config=self.hf.config),
            pending=pending,
        )

    def logits(self, hidden: Tensor) -> Tensor:
        """Return logits (..., vocabulary) for hidden states (..., C) after the last layer, in the model's dtype."""
        logits: Tensor = self._output_matrix(self.text.norm(hidden))
        return logits

    def next_logits(self, hidden: Tensor) -> Tensor:
        """Return logits (B, vocabulary) of the next token for hidden states (B, L, C), in the model's dtype.

        Normalizes all rows before it takes the last, as the stock model does: the other way round, the matrix product
        runs over memory laid out differently, and the last bit of the result can differ.
        """
        logits: Tensor = self._output_matrix(self.text.norm(hidden)[:, -1:])[:, 0]
        return logits

    @property
    def _output_matrix(self) -> nn.Linear:
        return cast(nn.Linear, self.hf.lm_head)
