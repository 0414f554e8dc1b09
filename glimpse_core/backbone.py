"""Qwen2.5-VL behind the few verbs that the rest of the package needs.

The only file that touches model classes of transformers. Another base model becomes another class with the same
public names. A backbone holds weights and constants; it keeps nothing of a request, and never lets the wrapped model do
so either (`rope_deltas` is not used: positions are always explicit).

Letters as in `types.py`; P patches of all images, 4 of which (a 2x2 unit) make one visual token.
"""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor, nn
from transformers import DynamicCache, Qwen2_5_VLForConditionalGeneration
from transformers.vision_utils import get_vision_window_index

from glimpse_core.errors import GlimpseError
from glimpse_core.types import Grid, Prefix, Prompt, Vision
from glimpse_core.vip import Layout


@dataclass(frozen=True)
class Qwen25VL:
    """See the module docstring. `hf` is the stock model, usable on its own at any time."""

    hf: Qwen2_5_VLForConditionalGeneration

    # ---------------------------------------------------------------------------------------------- constants

    @property
    def text(self) -> nn.Module:
        return self.hf.model.language_model

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
    def vision_depth(self) -> int:
        return self.hf.config.vision_config.depth

    @property
    def image_token(self) -> int:
        return self.hf.config.image_token_id

    @property
    def token_pixels(self) -> int:
        """Side of one visual token in pixels of the resized picture."""
        vision = self.hf.config.vision_config
        return vision.patch_size * vision.spatial_merge_size

    @property
    def stop_tokens(self) -> frozenset[int]:
        stop = self.hf.generation_config.eos_token_id
        return frozenset([stop] if isinstance(stop, int) else stop or [])

    # ---------------------------------------------------------------------------------------------- prompts

    def prompt(
        self,
        input_ids: Tensor,
        pixel_values: Tensor | None,
        image_grid_thw: Tensor | None,
        attention_mask: Tensor | None = None,
    ) -> Prompt:
        """Complete what a processor gave. Raises `GlimpseError` if placeholders and pictures do not match."""
        merge = self.hf.config.vision_config.spatial_merge_size
        sizes = [] if image_grid_thw is None else image_grid_thw.tolist()
        grids = tuple(Grid(h // merge, w // merge) for _, h, w in sizes)
        places, features = int((input_ids == self.image_token).sum()), sum(grid.tokens for grid in grids)
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
        kinds = (input_ids == self.image_token).int()
        return Prompt(input_ids, attention_mask, pixel_values, image_grid_thw, kinds, grids)

    def visual(self, prompt: Prompt) -> Tensor:
        """(B, L) bool, True at the visual tokens."""
        return prompt.input_ids == self.image_token

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

    # ---------------------------------------------------------------------------------------------- verbs

    def see(self, prompt: Prompt, vision_layers: tuple[int, ...] = ()) -> Vision:
        """Run the vision tower once. `vision_layers`: the blocks whose output the VIP wants, in its order."""
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
        """Where the visual tokens lie, for the VIP. whole: attend over whole images, not only inside windows."""
        device = prompt.input_ids.device
        cells = [
            torch.cartesian_prod(torch.arange(grid.rows, device=device), torch.arange(grid.cols, device=device))
            for grid in prompt.grids
        ]
        images = tuple(grid.tokens for grid in prompt.grids)
        if whole:
            return Layout(torch.cat(cells), images)
        order, lengths = self.windows(prompt)
        return Layout(torch.cat(cells), lengths, order.to(device), images)

    def positions(self, prompt: Prompt) -> Tensor:
        """(3, B, L) time, row and column position of every token; padding gets 1, as the published code has it."""
        mask = prompt.attention_mask
        positions, _ = self.hf.model.get_rope_index(
            prompt.input_ids, prompt.mm_token_type_ids, prompt.image_grid_thw, attention_mask=mask
        )
        return positions.masked_fill(mask == 0, 1)

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
