"""Qwen2.5-VL: pictures of any size, windows in the vision tower, three position axes (time, row, column).

P patches of all images, 4 of which (a 2x2 unit) make one visual token; other letters as in `types.py`.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import ClassVar

import torch
from torch import Tensor
from transformers import PreTrainedModel, Qwen2_5_VLForConditionalGeneration
from transformers.vision_utils import get_vision_window_index

from glimpse_core.backbone.base import Backbone
from glimpse_core.types import Grid, Prompt, Vision
from glimpse_core.vip import Layout


@dataclass(frozen=True)
class Qwen25VL(Backbone):
    """See the module docstring. `vision_layers` are the numbers of the tower's blocks, whose output is read."""

    hf: Qwen2_5_VLForConditionalGeneration

    model_type: ClassVar[str] = "qwen2_5_vl"
    stock: ClassVar[type[PreTrainedModel]] = Qwen2_5_VLForConditionalGeneration

    @property
    def vision_depth(self) -> int:
        return self.hf.config.vision_config.depth

    @property
    def token_pixels(self) -> int:
        vision = self.hf.config.vision_config
        return vision.patch_size * vision.spatial_merge_size

    def grids(self, pixel_values: Tensor | None, image_grid_thw: Tensor | None) -> tuple[Grid, ...]:
        """image_grid_thw: (images, 3) in patches."""
        merge = self.hf.config.vision_config.spatial_merge_size
        sizes = [] if image_grid_thw is None else image_grid_thw.tolist()
        return tuple(Grid(h // merge, w // merge) for _, h, w in sizes)

    def see(self, prompt: Prompt, vision_layers: tuple[int, ...] = ()) -> Vision:
        wanted = {"output_hidden_states": [block + 1 for block in vision_layers]} if vision_layers else {}
        out = self.hf.model.get_image_features(prompt.pixel_values, prompt.image_grid_thw, return_dict=True, **wanted)
        embeds = torch.cat(list(out.pooler_output))
        if not vision_layers:
            return Vision(embeds, embeds.new_empty(0, len(embeds), self.vision_size))
        raster = self.windows(prompt)[0].argsort().to(embeds.device)
        unit = self.hf.config.vision_config.spatial_merge_size**2
        # Index 0 of hidden_states is what enters block 0. The patches are in window order, four per token.
        read = [out.hidden_states[block + 1].view(len(embeds), unit, -1).mean(1)[raster] for block in vision_layers]
        return Vision(embeds, torch.stack(read))

    def windows(self, prompt: Prompt) -> tuple[Tensor, tuple[int, ...]]:
        """The tower's window order: (N,) raster index of each token, window by window, and the windows' tokens."""
        vision = self.hf.config.vision_config
        order, edges = get_vision_window_index(
            prompt.image_grid_thw,
            spatial_merge_size=vision.spatial_merge_size,
            window_size=vision.window_size,
            patch_size=vision.patch_size,
        )
        sizes = edges.diff() // vision.spatial_merge_size**2
        return order, tuple(sizes.tolist())

    def layout(self, prompt: Prompt, whole: bool = True) -> Layout:
        plain = super().layout(prompt)
        if whole:
            return plain
        order, lengths = self.windows(prompt)
        return replace(plain, lengths=lengths, order=order.to(plain.cells.device), images=plain.lengths)

    def positions(self, prompt: Prompt) -> Tensor:
        """(3, B, L) time, row and column."""
        mask = prompt.attention_mask
        positions, _ = self.hf.model.get_rope_index(
            prompt.input_ids, prompt.mm_token_type_ids, prompt.image_grid_thw, attention_mask=mask
        )
        return positions.masked_fill(mask == 0, 1)
