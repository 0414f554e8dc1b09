"""Qwen3-VL: no windows in the vision tower, and DeepStack: features that are added after the first decoder layers."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, ClassVar

import torch
from torch import Tensor
from transformers import PreTrainedModel, Qwen3VLForConditionalGeneration

from glimpse_core.backbones.qwen_base import QwenVL
from glimpse_core.types import Prompt


@dataclass(frozen=True)
class Qwen3VL(QwenVL):
    """Qwen3-VL, the dense sizes (arXiv 2511.21631)."""

    hf: Qwen3VLForConditionalGeneration

    model_types: ClassVar[tuple[str, ...]] = ("qwen3_vl",)
    published_types: ClassVar[tuple[str, ...]] = ("qwen3_vl",)  # no modules were released
    stock: ClassVar[type[PreTrainedModel]] = Qwen3VLForConditionalGeneration

    @property
    def local_block(self) -> int:
        """The block at the same share of the depth as VScan's for LLaVA (5 of 24), since every block sees all."""
        return self.vision_depth * 5 // 24

    @property
    def local_window(self) -> int:
        """Visual tokens on each side of a window, as many as in Qwen2.5-VL's tower; this tower has none."""
        return 4

    def token_order(self, prompt: Prompt) -> Tensor:
        """See `QwenVL.token_order`: raster order."""
        return torch.arange(sum(grid.tokens for grid in prompt.grids))

    def deepstack(self, out: Any) -> Tensor:
        """See `QwenVL.deepstack`: feature i is added to the output of decoder layer i."""
        return torch.stack([torch.cat(list(images)) for images in out.deepstack_features])

    def positions(self, prompt: Prompt) -> Tensor:
        """Return positions (3, B, L) on the axes time, row and column. Times of a video are words of its prompt."""
        mask = prompt.attention_mask
        sizes: dict[str, Any] = {"video_grid_thw" if prompt.seconds else "image_grid_thw": prompt.image_grid_thw}
        positions: Tensor
        positions, _ = self.hf.model.get_rope_index(
            prompt.input_ids, prompt.mm_token_type_ids, **sizes, attention_mask=mask
        )
        return positions.masked_fill(mask == 0, 1)
