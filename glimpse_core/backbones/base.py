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

from glimpse_core.backbones.stock_model import StockModel
from glimpse_core.errors import GlimpseError
from glimpse_core.types import Grid, Layout, Prefix, Prompt, Vision, VisionReadings, VisionReads


@dataclass(frozen=True)
class Backbone(StockModel):
    """A base model: prompts, encoded images, and the steps before the first and after the last decoder layer."""

    @abstractmethod
    def grids(self, pixel_values: Tensor | None, image_grid_thw: Tensor | None) -> tuple[Grid, ...]:
        """Return the token grid of every image that a processor prepared.

        Args:
            pixel_values: as in `Prompt`. None: no images.
            image_grid_thw: as in `Prompt`. None: no images, or a family whose images have one size.
        """

    def prompt(
        self,
        input_ids: Tensor,
        pixel_values: Tensor | None,
        image_grid_thw: Tensor | None = None,
        attention_mask: Tensor | None = None,
        seconds: Sequence[float] = (),
    ) -> Prompt:
        """Return a `Prompt` from what a processor prepares.

        Args:
            input_ids: (B, L) int64, one placeholder per visual token.
            pixel_values: as in `Prompt`. None: no images.
            image_grid_thw: as in `Prompt`. Of a prompt about videos, pixels and grid are those of the videos.
            attention_mask: (B, L) int64, padding on the left. None: nothing is padded.
            seconds: for every video, the time from one temporal slice (two frames) to the next.

        Raises:
            GlimpseError: placeholders and images do not match, the prompt is padded on the right, it has images and
                videos, or not one number of seconds per video.
        """
        grids = self.grids(pixel_values, image_grid_thw)
        kinds = self.kinds(input_ids)
        places, features = int((kinds > 0).sum()), sum(grid.tokens for grid in grids)
        if places != features:
            raise GlimpseError(
                f"The prompt has {places} image placeholder tokens and the images make {features} visual tokens. "
                "Expected equal numbers: build prompt and images with the same processor."
            )
        if attention_mask is None:
            attention_mask = torch.ones_like(input_ids)
        elif bool((attention_mask[:, -1] == 0).any()):
            raise GlimpseError(
                "The prompt is padded on the right. Expected rows that end with a real token: pad on the left."
            )
        videos = self._videos(kinds, image_grid_thw)
        if len(seconds) != videos:
            raise GlimpseError(
                f"The prompt has {videos} videos and {len(seconds)} numbers of seconds were given. Expected one number "
                "per video: give the seconds from one temporal slice to the next."
            )
        times = tuple(map(float, seconds))
        return Prompt(input_ids, attention_mask, pixel_values, image_grid_thw, kinds, grids, times)

    def _videos(self, kinds: Tensor, image_grid_thw: Tensor | None) -> int:
        """Return the number of videos of a prompt of these `kinds`. Raises GlimpseError if it also has images."""
        found = set(kinds.unique().tolist()) - {0}
        if found == {1, 2}:
            raise GlimpseError("The prompt has images and a video. Expected one of both: ask about them one at a time.")
        return 0 if image_grid_thw is None or found != {2} else len(image_grid_thw)

    def kinds(self, input_ids: Tensor) -> Tensor:
        """Return (B, L) int32: 0 at words, 1 at image placeholders, 2 at video placeholders, if the family has them."""
        return (input_ids == self.image_token).int()

    def visual(self, prompt: Prompt) -> Tensor:
        """Return (B, L) bool, True at the visual tokens."""
        return self.kinds(prompt.input_ids) > 0

    def tokens_per_row(self, prompt: Prompt) -> list[int]:
        """Return N_b, the number of visual tokens, for every row."""
        if len(prompt.input_ids) == 1:
            return [sum(grid.tokens for grid in prompt.grids)]
        counts: list[int] = self.visual(prompt).sum(1).tolist()
        return counts

    def grids_per_row(self, prompt: Prompt) -> list[list[Grid]]:
        """Return the grids of the images of every row, found by counting placeholders."""
        grids = list(prompt.grids)
        rows: list[list[Grid]] = []
        for count in self.tokens_per_row(prompt):
            row: list[Grid] = []
            while count > 0:
                row.append(grids.pop(0))
                count -= row[-1].tokens
            rows.append(row)
        return rows

    def keep_mask(self, prompt: Prompt, masks: tuple[Tensor, ...]) -> Tensor:
        """Return (B, L) bool: every real text token, and the visual tokens that `masks` keep.

        Args:
            prompt: the prompt.
            masks: one (N_b,) bool per row.
        """
        kept = prompt.attention_mask.bool()
        visual = self.visual(prompt)
        flat = torch.cat(masks).to(kept.device)
        return kept.masked_scatter(visual, flat)

    def question(self, prompt: Prompt) -> Tensor:
        """Return (B, L) bool: the words after the last image of each row, up to the end of the turn."""
        ids, visual = prompt.input_ids, self.visual(prompt)
        after = ~visual & (visual.cumsum(1) == visual.sum(1, keepdim=True)) & prompt.attention_mask.bool()
        marks = torch.isin(ids, torch.tensor(sorted({*self.stop_tokens, *self.frame_tokens}), device=ids.device))
        ended = torch.isin(ids, torch.tensor(sorted(self.stop_tokens), device=ids.device)) & after
        return after & ~marks & (ended.cumsum(1) == 0)

    @property
    def frame_tokens(self) -> frozenset[int]:
        """Ids that mark where an image begins and ends, which are not words of the question."""
        return frozenset()

    def need_images(self, prompt: Prompt) -> None:
        """Raise GlimpseError for a prompt, or a batch, without a single image."""
        if not prompt.grids:
            raise GlimpseError("The prompt has no image. Expected at least one: answer text with the stock model.")

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
            (N, features); `project` makes embeddings of them.
        """
        return vision.embeds

    def project(self, features: Tensor) -> Tensor:
        """Return embeddings (n, C) of averaged `mergeable` features (n, features)."""
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
