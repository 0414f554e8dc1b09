"""Qwen2.5-VL: pictures of any size, windows in the vision tower, three position axes (time, row, column).

P patches of all images, 4 of which (a 2x2 unit) make one visual token; other letters as in `types.py`.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import ClassVar

import torch
from torch import Tensor
from torch.nn import functional
from transformers import PreTrainedModel, Qwen2_5_VLForConditionalGeneration
from transformers.models.qwen2_5_vl.modeling_qwen2_5_vl import apply_rotary_pos_emb_vision
from transformers.vision_utils import get_vision_cu_seqlens, get_vision_position_ids, get_vision_window_index

from glimpse_core.backbones.base import Backbone
from glimpse_core.engine.attention import column_sums
from glimpse_core.engine.prefix import places
from glimpse_core.errors import GlimpseError
from glimpse_core.types import Grid, Layout, Prompt, Vision, VisionReadings, VisionReads


@dataclass(frozen=True)
class Qwen25VL(Backbone):
    """See the module docstring. `vision_layers` are the numbers of the tower's blocks, whose output is read."""

    hf: Qwen2_5_VLForConditionalGeneration

    model_types: ClassVar[tuple[str, ...]] = ("qwen2_5_vl",)
    published_types: ClassVar[tuple[str, ...]] = ("qwen2_5_vl_gp", "qwen2_5_vl")
    stock: ClassVar[type[PreTrainedModel]] = Qwen2_5_VLForConditionalGeneration

    @property
    def vision_depth(self) -> int:
        return self.hf.config.vision_config.depth

    @property
    def token_pixels(self) -> int:
        vision = self.hf.config.vision_config
        return vision.patch_size * vision.spatial_merge_size

    def grids(self, pixel_values: Tensor | None, image_grid_thw: Tensor | None) -> tuple[Grid, ...]:
        """image_grid_thw: (images or videos, 3) in patches. A video has one grid for each of its temporal slices."""
        merge = self.hf.config.vision_config.spatial_merge_size
        sizes = [] if image_grid_thw is None else image_grid_thw.tolist()
        return tuple(Grid(h // merge, w // merge) for t, h, w in sizes for _ in range(t))

    def kinds(self, input_ids: Tensor) -> Tensor:
        config = self.hf.config
        return (input_ids == config.image_token_id).int() + 2 * (input_ids == config.video_token_id).int()

    def prompt(
        self,
        input_ids: Tensor,
        pixel_values: Tensor | None,
        image_grid_thw: Tensor | None = None,
        attention_mask: Tensor | None = None,
        seconds: Sequence[float] = (),
    ) -> Prompt:
        """As every backbone, or about videos: pixels and grid are then those of the videos (temporal slices first).

        seconds: for every video, from one temporal slice (two frames) to the next.
        """
        prompt = super().prompt(input_ids, pixel_values, image_grid_thw, attention_mask)
        kinds = set(prompt.mm_token_type_ids.unique().tolist()) - {0}
        if kinds == {1, 2}:
            raise GlimpseError("the prompt has pictures and a video: ask about one kind at a time")
        videos = len(image_grid_thw) if kinds == {2} else 0
        if len(seconds) != videos:
            raise GlimpseError(
                f"the prompt has {videos} videos, but {len(seconds)} numbers of seconds were given: give the seconds "
                "from one temporal slice to the next, one number for each video"
            )
        return replace(prompt, seconds=tuple(map(float, seconds)))

    @property
    def frame_tokens(self) -> frozenset[int]:
        return frozenset([self.hf.config.vision_start_token_id, self.hf.config.vision_end_token_id])

    @property
    def feature_block(self) -> int:
        return self.vision_depth - 1

    @property
    def local_block(self) -> int:
        """The first block that sees the whole picture."""
        return min(self.hf.config.vision_config.fullatt_block_indexes)

    @property
    def local_window(self) -> int:
        """That of the tower's own windows."""
        vision = self.hf.config.vision_config
        return vision.window_size // vision.spatial_merge_size // vision.patch_size

    def encode_images(
        self, prompt: Prompt, vision_layers: tuple[int, ...] = (), reads: VisionReads | None = None
    ) -> Vision:
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
            return patches.unflatten(0, (len(embeds), -1)).mean(1)[raster]

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
        """What every patch receives in a block that sees whole images (P,), and its keys (P, head size)."""
        tower, vision = self.hf.model.visual, self.hf.config.vision_config
        if block not in vision.fullatt_block_indexes:
            raise GlimpseError(
                f"block {block} of the vision tower sees windows only, so its attention says nothing about the whole "
                f"picture: choose one of {sorted(vision.fullatt_block_indexes)}"
            )
        attention, grid = tower.blocks[block].attn, prompt.image_grid_thw.to(entering.device)
        order = self.windows(prompt)[0].to(entering.device)
        places = get_vision_position_ids(grid, vision.spatial_merge_size)
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
        mask, sizes = prompt.attention_mask, {"image_grid_thw": prompt.image_grid_thw}
        if prompt.seconds:
            sizes = {"video_grid_thw": prompt.image_grid_thw, "second_per_grid_ts": prompt.seconds}
        positions, _ = self.hf.model.get_rope_index(
            prompt.input_ids, prompt.mm_token_type_ids, **sizes, attention_mask=mask
        )
        return positions.masked_fill(mask == 0, 1)

    def resized(self, prompt: Prompt, grids: Sequence[Grid]) -> Prompt:
        vision = self.hf.config.vision_config
        times, *_ = prompt.image_grid_thw.T.tolist()
        if any(time != 1 for time in times):
            raise GlimpseError("the prompt has a video, whose frames are not resized: choose another control")
        merge, patch = vision.spatial_merge_size, vision.patch_size
        parts = prompt.pixel_values.split([grid.tokens * merge**2 for grid in prompt.grids])
        small, side = [], merge * patch
        for part, old, new in zip(parts, prompt.grids, grids, strict=True):
            # (rows, cols, merge, merge, channels * frames, patch, patch) <-> (channels * frames, height, width)
            blocks = part.view(old.rows, old.cols, merge, merge, -1, patch, patch)
            image = blocks.permute(4, 0, 2, 5, 1, 3, 6).reshape(1, -1, old.rows * side, old.cols * side)
            image = functional.interpolate(
                image.float(), (new.rows * side, new.cols * side), mode="bicubic", antialias=True
            )[0].to(part)
            blocks = image.view(-1, new.rows, merge, patch, new.cols, merge, patch).permute(1, 4, 2, 5, 0, 3, 6)
            small.append(blocks.reshape(new.tokens * merge**2, -1))
        sizes = [[1, grid.rows * merge, grid.cols * merge] for grid in grids]
        ids, mask = self._fewer(prompt, [grid.tokens for grid in grids])
        return self.prompt(ids, torch.cat(small), torch.tensor(sizes).to(prompt.image_grid_thw), mask)

    def _fewer(self, prompt: Prompt, counts: Sequence[int]) -> tuple[Tensor, Tensor]:
        """Ids and attention mask with as many placeholders for each picture as `counts` says."""
        stay = [torch.arange(grid.tokens) < count for grid, count in zip(prompt.grids, counts, strict=True)]
        kept = self.keep_mask(prompt, (torch.cat(stay),))
        order, found = places(kept)
        return prompt.input_ids.gather(1, order).masked_fill(~found, 0), found.to(prompt.attention_mask)
