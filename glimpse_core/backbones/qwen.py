"""Qwen2.5-VL: images of any size, windows in the vision tower, three position axes (time, row, column)."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Any, ClassVar

from torch import Tensor
from transformers import PreTrainedModel, Qwen2_5_VLForConditionalGeneration
from transformers.vision_utils import get_vision_window_index

from glimpse_core.backbones.layout import Layout
from glimpse_core.backbones.qwen_base import QwenVL
from glimpse_core.engine.windows import WINDOWED
from glimpse_core.errors import GlimpseError
from glimpse_core.types import Prompt


@dataclass(frozen=True)
class Qwen25VL(QwenVL):
    """Qwen2.5-VL (arXiv 2502.13923)."""

    hf: Qwen2_5_VLForConditionalGeneration

    model_types: ClassVar[tuple[str, ...]] = ("qwen2_5_vl",)
    published_types: ClassVar[tuple[str, ...]] = ("qwen2_5_vl_gp", "qwen2_5_vl")
    stock: ClassVar[type[PreTrainedModel]] = Qwen2_5_VLForConditionalGeneration

    def batch_windows(self) -> bool:
        """See `StockModel.batch_windows`. Flash attention batches windows by itself and stays."""
        config: Any = self.vision_config
        # Written to the config, since `set_attn_implementation` looks for a kernel of every name with "flash".
        config._attn_implementation = WINDOWED.get(config._attn_implementation, config._attn_implementation)
        return True

    @property
    def local_block(self) -> int:
        """Number of the first block that sees the whole image."""
        return min(self._full_blocks)

    @property
    def local_window(self) -> int:
        """Visual tokens on each side of the tower's own windows."""
        return int(self.vision_config.window_size // self.token_pixels)

    @property
    def _full_blocks(self) -> list[int]:
        """Numbers of the blocks that see the whole image."""
        return [int(block) for block in self.vision_config.fullatt_block_indexes]

    def check_readable(self, block: int) -> None:
        """See `QwenVL.check_readable`: blocks with windows see parts of an image only."""
        if block not in self._full_blocks:
            raise GlimpseError(
                f"The attention of vision tower block {block} was asked for, which sees windows only. Expected a block "
                f"that sees whole images: choose one of {sorted(self._full_blocks)}."
            )

    def token_order(self, prompt: Prompt) -> Tensor:
        """See `QwenVL.token_order`: window by window."""
        return self.windows(prompt)[0]

    def windows(self, prompt: Prompt) -> tuple[Tensor, tuple[int, ...]]:
        """Return the tower's window order.

        Returns:
            order: (N,) int64 raster index of each token, window by window. sizes: tokens of every window.
        """
        vision = self.vision_config
        order, edges = get_vision_window_index(
            self.patch_grid(prompt),
            spatial_merge_size=vision.spatial_merge_size,
            window_size=vision.window_size,
            patch_size=vision.patch_size,
        )
        sizes = edges.diff() // vision.spatial_merge_size**2
        return order, tuple(sizes.tolist())

    def layout(self, prompt: Prompt, whole: bool = True) -> Layout:
        """See `Backbone.layout`. Windows are the tower's own, in its order."""
        plain = super().layout(prompt)
        if whole:
            return plain
        order, lengths = self.windows(prompt)
        return replace(plain, lengths=lengths, order=order.to(plain.cells.device), images=plain.lengths)

    def positions(self, prompt: Prompt) -> Tensor:
        """Return positions (3, B, L) on the axes time, row and column."""
        mask = prompt.attention_mask
        sizes: dict[str, Any] = {"image_grid_thw": prompt.image_grid_thw}
        if prompt.seconds:
            sizes = {"video_grid_thw": prompt.image_grid_thw, "second_per_grid_ts": prompt.seconds}
        positions: Tensor
        positions, _ = self.hf.model.get_rope_index(
            prompt.input_ids, prompt.mm_token_type_ids, **sizes, attention_mask=mask
        )
        return positions.masked_fill(mask == 0, 1)
