"""What Qwen's vision-language models have in common: images of any size, 2x2 units of patches, videos, three axes.

P patches of all images, 4 of which (a 2x2 unit) make one visual token; other letters as in `types.py`.
"""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, cast

import torch
from torch import Tensor
from torch.nn import functional
from transformers.models.qwen2_5_vl.modeling_qwen2_5_vl import apply_rotary_pos_emb_vision
from transformers.vision_utils import get_vision_cu_seqlens, get_vision_position_ids

from glimpse_core.backbones.base import Backbone
from glimpse_core.engine.attention import column_sums
from glimpse_core.engine.prefix import places
from glimpse_core.errors import GlimpseError
from glimpse_core.types import Grid, Prompt, Vision, VisionReadings, VisionReads


@dataclass(frozen=True)
class QwenVL(Backbone):
    """Base class of the Qwen families. `vision_layers` are numbers of the tower's blocks, whose output is read."""

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
        """See `Backbone.kinds`. These families have videos."""
        image, video = int(self.hf.config.image_token_id), int(self.hf.config.video_token_id)
        return (input_ids == image).int() + 2 * (input_ids == video).int()

    @property
    def frame_tokens(self) -> frozenset[int]:
        """The two ids around every image and video."""
        return frozenset([self.hf.config.vision_start_token_id, self.hf.config.vision_end_token_id])

    @property
    def feature_block(self) -> int:
        """The last block; the merger after it makes embeddings."""
        return self.vision_depth - 1

    @abstractmethod
    def token_order(self, prompt: Prompt) -> Tensor:
        """Return (N,) int64: the raster index of every visual token in the order in which the tower computes them."""

    def deepstack(self, out: Any) -> Tensor | None:
        """Return `Vision.deepstack` of what the tower returned. None: the family has no such features."""
        return None

    def check_readable(self, block: int) -> None:
        """Raise GlimpseError for a block whose attention cannot be read."""

    def patch_grid(self, prompt: Prompt) -> Tensor:
        """Return (images or videos, 3) int64: time, height and width in patches. Raises GlimpseError without images."""
        self.need_images(prompt)
        return cast(Tensor, prompt.image_grid_thw)

    def encode_images(
        self, prompt: Prompt, vision_layers: tuple[int, ...] = (), reads: VisionReads | None = None
    ) -> Vision:
        """See `Backbone.encode_images`. The four patches of a token are averaged; `summaries` are empty."""
        self.need_images(prompt)
        reads = reads or VisionReads()
        # Index 0 of hidden_states is what enters block 0. The patches are in the tower's order, four per token.
        indices = sorted({block + 1 for block in (*vision_layers, *reads.states)} | {*reads.attention})
        asked = {"output_hidden_states": indices} if indices else {}
        model: Any = self.hf.model
        out = model.get_image_features(prompt.pixel_values, prompt.image_grid_thw, return_dict=True, **asked)
        embeds = torch.cat(list(out.pooler_output))
        deepstack = self.deepstack(out)
        none = embeds.new_empty(0, len(embeds), self.vision_size)
        if not indices:
            return Vision(embeds, none, deepstack=deepstack)
        raster = self.token_order(prompt).argsort().to(embeds.device)

        def merged(patches: Tensor) -> Tensor:
            """(P, ...) in the tower's order -> (N, ...) in raster order."""
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
        return Vision(embeds, torch.stack(conditions) if conditions else none, readings, deepstack)

    def _attended(self, prompt: Prompt, block: int, entering: Tensor) -> tuple[Tensor, Tensor]:
        """Return the attention that every patch receives in a block, and its keys.

        Args:
            prompt: a prompt with images.
            block: number of a block that sees whole images.
            entering: (P, V) input of the block, patches in the tower's order.

        Returns:
            received: (P,) float32, averaged over heads. keys: (P, head size) after RoPE, averaged over heads.
        """
        self.check_readable(block)
        tower: Any = self.hf.model.visual
        attention, grid = tower.blocks[block].attn, self.patch_grid(prompt).to(entering.device)
        order = self.token_order(prompt).to(entering.device)
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

    def resized(self, prompt: Prompt, grids: Sequence[Grid]) -> Prompt:
        """See `Backbone.resized`. Resizes the patches (bicubic, antialiased), whose pixels are normalized already."""
        patch_grid, pixels = self.patch_grid(prompt), cast(Tensor, prompt.pixel_values)
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
