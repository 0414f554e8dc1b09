"""Qwen2.5-VL: images of any size, windows in the vision tower, three position axes (time, row, column).

P patches of all images, 4 of which (a 2x2 unit) make one visual token; other letters as in `types.py`.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any, ClassVar, cast

import torch
from torch import Tensor
from torch.nn import functional
from transformers import PreTrainedModel, Qwen2_5_VLForConditionalGeneration
from transformers.models.qwen2_5_vl.modeling_qwen2_5_vl import apply_rotary_pos_emb_vision
from transformers.vision_utils import get_vision_cu_seqlens, get_vision_position_ids, get_vision_window_index

from glimpse_core.backbones.base import Backbone
from glimpse_core.backbones.layout import Layout
from glimpse_core.engine.attention import column_sums
from glimpse_core.engine.prefix import places
from glimpse_core.errors import GlimpseError
from glimpse_core.types import Grid, Prompt, Vision, VisionReadings, VisionReads


@dataclass(frozen=True)
class Qwen25VL(Backbone):
    """Qwen2.5-VL (arXiv 2502.13923). `vision_layers` are numbers of the tower's blocks, whose output is read."""

    hf: Qwen2_5_VLForConditionalGeneration

    model_types: ClassVar[tuple[str, ...]] = ("qwen2_5_vl",)
    published_types: ClassVar[tuple[str, ...]] = ("qwen2_5_vl_gp", "qwen2_5_vl")
    stock: ClassVar[type[PreTrainedModel]] = Qwen2_5_VLForConditionalGeneration

    @property
    def vision_depth(self) -> int:
        return int(self.vision_config.depth)

    @property
    def token_pixels(self) -> int:
        return int(self.vision_config.patch_size * self.vision_config.spatial_merge_size)

    def grids(self, pixel_values: Tensor | None, image_grid_thw: Tensor | None) -> tuple[Grid, ...]:
        """See `Backbone.grids`. A video has one grid for each of its temporal slices."""
        merge = self.vision_config.spatial_merge_size
        sizes = [] if image_grid_thw is None else image_grid_thw.tolist()
        return tuple(Grid(h // merge, w // merge) for t, h, w in sizes for _ in range(t))

    def kinds(self, input_ids: Tensor) -> Tensor:
        """See `Backbone.kinds`. This family has videos."""
        config = self.hf.config
        return (input_ids == config.image_token_id).int() + 2 * (input_ids == config.video_token_id).int()

    @property
    def frame_tokens(self) -> frozenset[int]:
        """The two ids around every image and video."""
        return frozenset([self.hf.config.vision_start_token_id, self.hf.config.vision_end_token_id])

    @property
    def feature_block(self) -> int:
        """The last block; the merger after it makes embeddings."""
        return self.vision_depth - 1

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

    def _patch_grid(self, prompt: Prompt) -> Tensor:
        """Return (images or videos, 3) int64: time, height and width in patches. Raises GlimpseError without images."""
        self.need_images(prompt)
        return cast(Tensor, prompt.image_grid_thw)

    def encode_images(
        self, prompt: Prompt, vision_layers: tuple[int, ...] = (), reads: VisionReads | None = None
    ) -> Vision:
        """See `Backbone.encode_images`. The four patches of a token are averaged; `summaries` are empty."""
        self.need_images(prompt)
        reads = reads or VisionReads()
        # Index 0 of hidden_states is what enters block 0. The patches are in window order, four per token.
        indices = sorted({block + 1 for block in (*vision_layers, *reads.states)} | {*reads.attention})
        asked = {"output_hidden_states": indices} if indices else {}
        out = self.hf.model.get_image_features(prompt.pixel_values, prompt.image_grid_thw, return_dict=True, **asked)
        embeds = torch.cat(list(out.pooler_output))
        none = embeds.new_empty(0, len(embeds), self.vision_size)
        if not indices:
            return Vision(embeds, none)
        raster = self.windows(prompt)[0].argsort().to(embeds.device)

        def merged(patches: Tensor) -> Tensor:
            """(P, ...) in window order -> (N, ...) in raster order."""
            tokens: Tensor = patches.unflatten(0, (len(embeds), -1)).mean(1)
            return tokens[raster]

        outputs = {block: merged(out.hidden_states[block + 1]) for block in {*vision_layers, *reads.states}}
        read = {block: self._attended(prompt, block, out.hidden_states[block]) for block in reads.attention}
        readings = VisionReadings(
            states={block: outputs[block] for block in reads.states},
            attention={block: merged(received) for block, (received, _) in read.items()},
            keys={block: merged(keys) for block, (_, keys) in read.items()},
        )
        conditions = [outputs[block] for block in vision_layers]
        return Vision(embeds, torch.stack(conditions) if conditions else none, readings)

    def _attended(self, prompt: Prompt, block: int, entering: Tensor) -> tuple[Tensor, Tensor]:
        """Return the attention that every patch receives in a block, and its keys.

        Args:
            prompt: a prompt with images.
            block: number of a block that sees whole images.
            entering: (P, V) input of the block, patches in window order.

        Returns:
            received: (P,) float32, averaged over heads. keys: (P, head size) after RoPE, averaged over heads.
        """
        tower = self.hf.model.visual
        if block not in self._full_blocks:
            raise GlimpseError(
                f"The attention of vision tower block {block} was asked for, which sees windows only. Expected a block "
                f"that sees whole images: choose one of {sorted(self._full_blocks)}."
            )
        attention, grid = tower.blocks[block].attn, self._patch_grid(prompt).to(entering.device)
        order = self.windows(prompt)[0].to(entering.device)
        places = get_vision_position_ids(grid, self.vision_config.spatial_merge_size)
        cosine, sine = (
            part.unflatten(0, (len(order), -1))[order].flatten(0, 1) for part in tower.rotary_pos_emb(entering, places)
        )
        mixed = attention.qkv(tower.blocks[block].norm1(entering)).view(len(entering), 3, attention.num_heads, -1)
        query, key = apply_rotary_pos_emb_vision(mixed[:, 0], mixed[:, 1], cosine, sine)
        edges = get_vision_cu_seqlens(grid)
        received = [
            column_sums(q.transpose(0, 1), k.transpose(0, 1))
            for q, k in zip(query.split(edges.diff().tolist()), key.split(edges.diff().tolist()), strict=True)
        ]
        return torch.cat(received), key.mean(1)

    def windows(self, prompt: Prompt) -> tuple[Tensor, tuple[int, ...]]:
        """Return the tower's window order.

        Returns:
            order: (N,) int64 raster index of each token, window by window. sizes: tokens of every window.
        """
        vision = self.vision_config
        order, edges = get_vision_window_index(
            self._patch_grid(prompt),
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

    def resized(self, prompt: Prompt, grids: Sequence[Grid]) -> Prompt:
        """See `Backbone.resized`. Resizes the patches (bicubic, antialiased), whose pixels are normalized already."""
        patch_grid, pixels = self._patch_grid(prompt), cast(Tensor, prompt.pixel_values)
        times, *_ = patch_grid.T.tolist()
        if any(time != 1 for time in times):
            raise GlimpseError("The prompt has a video. Expected images, which can be resized: choose another control.")
        merge = self.vision_config.spatial_merge_size
        parts = pixels.split([grid.tokens * merge**2 for grid in prompt.grids])
        small = [self._shrunk(*each) for each in zip(parts, prompt.grids, grids, strict=True)]
        sizes = [[1, grid.rows * merge, grid.cols * merge] for grid in grids]
        ids, mask = self._fewer(prompt, [grid.tokens for grid in grids])
        return self.prompt(ids, torch.cat(small), torch.tensor(sizes).to(patch_grid), mask)

    def _shrunk(self, patches: Tensor, old: Grid, new: Grid) -> Tensor:
        """Return the patches (P', values) of one image with patches (P, values), resized from grid `old` to `new`."""
        merge, patch = self.vision_config.spatial_merge_size, self.vision_config.patch_size
        side = merge * patch
        # (rows, cols, merge, merge, channels * frames, patch, patch) <-> (channels * frames, height, width)
        blocks = patches.view(old.rows, old.cols, merge, merge, -1, patch, patch)
        image = blocks.permute(4, 0, 2, 5, 1, 3, 6).reshape(1, -1, old.rows * side, old.cols * side)
        size = (new.rows * side, new.cols * side)
        image = functional.interpolate(image.float(), size, mode="bicubic", antialias=True)[0].to(patches)
        blocks = image.view(-1, new.rows, merge, patch, new.cols, merge, patch).permute(1, 4, 2, 5, 0, 3, 6)
        return blocks.reshape(new.tokens * merge**2, -1)

    def _fewer(self, prompt: Prompt, counts: Sequence[int]) -> tuple[Tensor, Tensor]:
        """Return ids (B, L') and attention mask (B, L') with `counts[i]` placeholders for image i."""
        stay = [torch.arange(grid.tokens) < count for grid, count in zip(prompt.grids, counts, strict=True)]
        kept = self.keep_mask(prompt, (torch.cat(stay),))
        order, found = places(kept)
        return prompt.input_ids.gather(1, order).masked_fill(~found, 0), found.to(prompt.attention_mask)
