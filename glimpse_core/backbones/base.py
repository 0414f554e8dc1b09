"""What every base model can do, and what all of them do alike.

A backbone holds weights and constants; it keeps nothing of a request, and never lets the wrapped model do so either
(positions are always explicit). Sub-classes say where pictures come from (`grids`, `encode_images`), where tokens stand
(`positions`) and which states of the vision tower the VIP reads.

Letters as in `types.py`.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, ClassVar

import torch
from torch import Tensor, nn
from transformers import DynamicCache, PreTrainedConfig, PreTrainedModel

from glimpse_core.errors import GlimpseError
from glimpse_core.types import Grid, Layout, Prefix, Prompt, Vision, VisionReadings, VisionReads


@dataclass(frozen=True)
class Backbone(ABC):
    """See the module docstring. `hf` is the stock model, usable on its own at any time."""

    hf: PreTrainedModel

    model_types: ClassVar[tuple[str, ...]]  # in the config.json of a base model folder
    published_types: ClassVar[tuple[str, ...]]  # the same in the config.json of published glimpse folders
    stock: ClassVar[type[PreTrainedModel]]  # the class of `hf`

    @classmethod
    def describe(cls, folder: Path, settings: dict[str, Any]) -> PreTrainedConfig:
        """The stock config of a local folder whose config.json is `settings`; no weights are read.

        Raises `GlimpseError` for a model of this type that the class does not run.
        """
        return cls.stock.config_class.from_pretrained(folder)

    @classmethod
    def open(cls, folder: Path, settings: dict[str, Any], **options: Any) -> tuple[PreTrainedModel, dict[str, Any]]:
        """The stock model of a local folder with `settings` in its config.json, and what transformers tells of it.

        options: those of `from_pretrained`. Raises what transformers does, and `GlimpseError` for a model of this type
        that the class does not run.
        """
        return cls.stock.from_pretrained(folder, output_loading_info=True, **options)

    # ---------------------------------------------------------------------------------------------- constants

    @property
    def text(self) -> nn.Module:
        return self.hf.model.language_model

    @property
    def device(self) -> torch.device:
        """Where inputs go and results come from, wherever accelerate keeps or runs the layers between."""
        place = getattr(getattr(self.text.embed_tokens, "_hf_hook", None), "execution_device", None)
        return self.hf.device if place is None else torch.empty(0, device=place).device

    @property
    def layers(self) -> int:
        return self.hf.config.text_config.num_hidden_layers

    @property
    def heads(self) -> int:
        return self.hf.config.text_config.num_attention_heads

    @property
    def hidden_size(self) -> int:
        return self.hf.config.text_config.hidden_size

    @property
    def norm_eps(self) -> float:
        return self.hf.config.text_config.rms_norm_eps

    @property
    def vision_size(self) -> int:
        return self.hf.config.vision_config.hidden_size

    @property
    @abstractmethod
    def vision_depth(self) -> int:
        """How many states of the vision tower can be read: `vision_layers` are numbers from 0 to this, exclusive."""

    @property
    def image_token(self) -> int:
        """The id that stands in a prompt once for every visual token."""
        return self.hf.config.image_token_id

    @property
    @abstractmethod
    def token_pixels(self) -> int:
        """Side of one visual token in pixels of the resized picture."""

    @property
    def stop_tokens(self) -> frozenset[int]:
        stop = self.hf.generation_config.eos_token_id
        return frozenset([stop] if isinstance(stop, int) else stop or [])

    @property
    def repetition_penalty(self) -> float:
        """What the model is published with, and `generate` applies; 1 is none."""
        return self.hf.generation_config.repetition_penalty or 1.0

    # ---------------------------------------------------------------------------------------------- prompts

    @abstractmethod
    def grids(self, pixel_values: Tensor | None, image_grid_thw: Tensor | None) -> tuple[Grid, ...]:
        """The token grid of every picture that a processor prepared."""

    def prompt(
        self,
        input_ids: Tensor,
        pixel_values: Tensor | None,
        image_grid_thw: Tensor | None = None,
        attention_mask: Tensor | None = None,
    ) -> Prompt:
        """Complete what a processor gave. Raises `GlimpseError` if placeholders and pictures do not match."""
        grids = self.grids(pixel_values, image_grid_thw)
        kinds = self.kinds(input_ids)
        places, features = int((kinds > 0).sum()), sum(grid.tokens for grid in grids)
        if places != features:
            raise GlimpseError(
                f"the prompt has {places} image placeholder tokens, but the pictures make {features} visual tokens: "
                "the two must be equal, so build prompt and pictures with the same processor"
            )
        if attention_mask is None:
            attention_mask = torch.ones_like(input_ids)
        elif bool((attention_mask[:, -1] == 0).any()):
            raise GlimpseError(
                "the prompt is padded on the right, but the end of every row must be real: pad on the left"
            )
        return Prompt(input_ids, attention_mask, pixel_values, image_grid_thw, kinds, grids)

    def kinds(self, input_ids: Tensor) -> Tensor:
        """(B, L) int32: 0 at words, 1 at image placeholders, 2 at video placeholders where the family has them."""
        return (input_ids == self.image_token).int()

    def visual(self, prompt: Prompt) -> Tensor:
        """(B, L) bool, True at the visual tokens."""
        return self.kinds(prompt.input_ids) > 0

    def tokens_per_row(self, prompt: Prompt) -> list[int]:
        """N_b for every row."""
        if len(prompt.input_ids) == 1:
            return [sum(grid.tokens for grid in prompt.grids)]
        return self.visual(prompt).sum(1).tolist()

    def grids_per_row(self, prompt: Prompt) -> list[list[Grid]]:
        """The images of every row, found by counting placeholders."""
        grids, rows = list(prompt.grids), []
        for count in self.tokens_per_row(prompt):
            row = []
            while count > 0:
                row.append(grids.pop(0))
                count -= row[-1].tokens
            rows.append(row)
        return rows

    def keep_mask(self, prompt: Prompt, masks: tuple[Tensor, ...]) -> Tensor:
        """(B, L) bool: every real text token, and the visual tokens that `masks` (one (N_b,) bool per row) keep."""
        kept = prompt.attention_mask.bool()
        visual = self.visual(prompt)
        flat = torch.cat(masks).to(kept.device)
        return kept.masked_scatter(visual, flat)

    def question(self, prompt: Prompt) -> Tensor:
        """(B, L) bool: the words behind the last picture of each row, up to the end of the turn."""
        ids, visual = prompt.input_ids, self.visual(prompt)
        behind = ~visual & (visual.cumsum(1) == visual.sum(1, keepdim=True)) & prompt.attention_mask.bool()
        marks = torch.isin(ids, torch.tensor(sorted({*self.stop_tokens, *self.frame_tokens}), device=ids.device))
        ended = torch.isin(ids, torch.tensor(sorted(self.stop_tokens), device=ids.device)) & behind
        return behind & ~marks & (ended.cumsum(1) == 0)

    @property
    def frame_tokens(self) -> frozenset[int]:
        """Ids that stand around pictures and are no words."""
        return frozenset()

    # ---------------------------------------------------------------------------------------------- verbs

    def need_images(self, prompt: Prompt) -> None:
        """Raise a `GlimpseError` for a prompt, or a batch, without a single picture."""
        if not prompt.grids:
            raise GlimpseError(
                "the prompt has no picture, so there is nothing to look at or to prune: answer it with the stock model"
            )

    @abstractmethod
    def encode_images(
        self, prompt: Prompt, vision_layers: tuple[int, ...] = (), reads: VisionReads | None = None
    ) -> Vision:
        """Run the vision tower once. `vision_layers`: the states of it that the VIP wants, in its order.

        reads: what else to read on the way (`Vision.readings`); attention is computed from the block's input, one query
        block after the other, and never held as a matrix.
        """

    @property
    @abstractmethod
    def feature_block(self) -> int:
        """The block of the vision tower whose output becomes the visual tokens."""

    @property
    @abstractmethod
    def local_block(self) -> int:
        """The early block of the vision tower in which local detail is looked for (VScan)."""

    @property
    def contrastive(self) -> bool:
        """The vision tower was trained together with a text tower (CLIP)."""
        return False

    def mergeable(self, vision: Vision, readings: VisionReadings) -> Tensor:
        """(N, ·): the features that methods average which merge before the projector; `project` makes embeddings."""
        return vision.embeds

    def project(self, features: Tensor) -> Tensor:
        """(n, ·) averaged `mergeable` features -> (n, C)"""
        return features

    @property
    @abstractmethod
    def local_window(self) -> int:
        """Visual tokens on each side of the windows in which local detail is looked for (VScan)."""

    def resized(self, prompt: Prompt, grids: Sequence[Grid]) -> Prompt:
        """The same prompt with every picture shrunk to a given token grid, as if the processor had made it so."""
        raise GlimpseError(
            f"the vision tower of {self.hf.config.model_type} has one input size, so a smaller picture makes no fewer "
            "tokens: use pool, which averages them behind the tower"
        )

    def layout(self, prompt: Prompt, whole: bool = True) -> Layout:
        """Where the visual tokens lie, for the VIP. whole: attend over whole images, not only inside windows."""
        device = prompt.input_ids.device
        cells = [
            torch.cartesian_prod(torch.arange(grid.rows, device=device), torch.arange(grid.cols, device=device))
            for grid in prompt.grids
        ]
        return Layout(torch.cat(cells), tuple(grid.tokens for grid in prompt.grids))

    @abstractmethod
    def positions(self, prompt: Prompt) -> Tensor:
        """(A, B, L), or (B, L) with one axis: the position of every token; padding gets 1, as the published code."""

    def embed(self, input_ids: Tensor) -> Tensor:
        """(B, L) -> (B, L, C)"""
        return self.text.embed_tokens(input_ids)

    def start(self, prompt: Prompt, vision: Vision | None, positions: Tensor | None = None) -> Prefix:
        """Text embeddings with the pictures in their places; no layer has run. vision: None without pictures."""
        hidden = self.embed(prompt.input_ids)
        if vision is not None:
            hidden = hidden.masked_scatter(self.visual(prompt)[..., None], vision.embeds.to(hidden))
        real = prompt.attention_mask.bool()
        return Prefix(
            hidden=hidden,
            positions=self.positions(prompt) if positions is None else positions,
            padding=None if bool(real.all()) else real,
            cache=DynamicCache(config=self.hf.config),
        )

    def logits(self, hidden: Tensor) -> Tensor:
        """(..., C) behind the last layer -> (..., vocabulary), in the model's dtype."""
        return self.hf.lm_head(self.text.norm(hidden))

    def next_logits(self, hidden: Tensor) -> Tensor:
        """(B, L, C) behind the last layer -> (B, vocabulary) for the token that follows, in the model's dtype.

        Normalizes all rows before it takes the last, as the stock model does: the other way round, the matrix product
        runs over memory laid out differently, and the last bit of the result can differ.
        """
        return self.hf.lm_head(self.text.norm(hidden)[:, -1:])[:, 0]
