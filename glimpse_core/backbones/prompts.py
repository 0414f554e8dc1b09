"""Prompts of a base model: how they are made, and which of their tokens are visual, of which image and which row.

Letters as in `types.py`.
"""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

from glimpse_core.backbones.stock_model import StockModel
from glimpse_core.errors import GlimpseError
from glimpse_core.types import Grid, Prompt


@dataclass(frozen=True)
class PromptModel(StockModel):
    """A stock model and what it says about a prompt; `Backbone` adds what is computed from one."""

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
