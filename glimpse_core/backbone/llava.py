"""LLaVA-1.5: a CLIP tower, a two-layer projector and a Llama decoder with one position axis.

Every picture is one square of fixed size, so it always makes the same number of visual tokens; how a picture that is
no square gets there is the processor's affair. S side of that square in pixels, other letters as in `types.py`.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any, ClassVar

import torch
from torch import Tensor
from transformers import GenerationConfig, LlavaConfig, LlavaForConditionalGeneration, PreTrainedModel

from glimpse_core.backbone import llava_original
from glimpse_core.backbone.base import Backbone
from glimpse_core.errors import GlimpseError
from glimpse_core.types import Grid, Prompt, Vision, Wanted


@dataclass(frozen=True)
class Llava(Backbone):
    """See the module docstring.

    `vision_layers` count the tower's hidden states as transformers does: 0 enters the first block, i leaves the
    i-th. That is the published convention, and it differs from Qwen2.5-VL's, which counts blocks.
    """

    hf: LlavaForConditionalGeneration

    model_types: ClassVar[tuple[str, ...]] = ("llava", "llava_llama")  # the conversion, and the authors' own layout
    published_types: ClassVar[tuple[str, ...]] = ("llava_llama_gp", "llava_llama", "llava")
    stock: ClassVar[type[PreTrainedModel]] = LlavaForConditionalGeneration

    @classmethod
    def open(cls, folder: Path, settings: dict[str, Any], **options: Any) -> tuple[PreTrainedModel, dict[str, Any]]:
        if settings["model_type"] == "llava":
            check(LlavaConfig.from_pretrained(folder), folder)
            return super().open(folder, settings, **options)
        tower = llava_original.tower_folder(folder, settings)
        config = llava_original.read_config(folder, settings, tower)
        check(config, folder)
        hf, loaded = cls.stock.from_pretrained(
            None,
            config=config,
            state_dict=llava_original.read_weights(folder, tower),
            output_loading_info=True,
            **options,
        )
        names = ("bos_token_id", "eos_token_id", "pad_token_id")
        hf.generation_config = GenerationConfig(**{name: settings.get(name) for name in names})
        return hf, loaded

    @property
    def vision_depth(self) -> int:
        return self.hf.config.vision_config.num_hidden_layers + 1

    @property
    def token_pixels(self) -> int:
        return self.hf.config.vision_config.patch_size

    def grids(self, pixel_values: Tensor | None, image_grid_thw: Tensor | None = None) -> tuple[Grid, ...]:
        """pixel_values: (images, 3, S, S)."""
        count = 0 if pixel_values is None else len(pixel_values)
        side = self.hf.config.vision_config.image_size // self.token_pixels
        return (Grid(side, side),) * count

    @property
    def feature_block(self) -> int:
        return self.hf.config.vision_feature_layer % self.vision_depth - 1

    @property
    def local_block(self) -> int:
        raise GlimpseError("local detail (VScan) is read from Qwen2.5-VL's tower only so far: choose another method")

    def see(self, prompt: Prompt, vision_layers: tuple[int, ...] = (), wanted: Wanted | None = None) -> Vision:
        if wanted is not None and wanted != Wanted():
            raise GlimpseError("the inside of LLaVA's vision tower is not read so far: choose another method")
        feature = self.hf.config.vision_feature_layer
        out = self.hf.model.get_image_features(
            prompt.pixel_values, return_dict=True, output_hidden_states=[feature, *vision_layers]
        )
        embeds = torch.cat(list(out.pooler_output))
        if not vision_layers:
            return Vision(embeds, embeds.new_empty(0, len(embeds), self.vision_size))
        # The first row of every picture is CLIP's class token.
        return Vision(embeds, torch.stack([out.hidden_states[index][:, 1:].flatten(0, 1) for index in vision_layers]))

    def positions(self, prompt: Prompt) -> Tensor:
        """(B, L), counted from the first real token of each row."""
        mask = prompt.attention_mask
        return (mask.long().cumsum(1) - 1).masked_fill(mask == 0, 1)


def check(config: LlavaConfig, folder: Path) -> None:
    """Raise a `GlimpseError` for what shares the model type of LLaVA-1.5 but is built differently."""
    found = (config.text_config.model_type, config.vision_config.model_type)
    if found != ("llama", "clip_vision_model"):
        raise GlimpseError(
            f"{folder} is a llava model of {' and '.join(found)}, but only LLaVA-1.5 (llama and clip_vision_model) is "
            "supported: choose llava-1.5-7b or llava-1.5-13b"
        )
    layer, strategy = config.vision_feature_layer, config.vision_feature_select_strategy
    if not isinstance(layer, int) or strategy != "default":
        raise GlimpseError(
            f"{folder} reads vision_feature_layer {layer!r} with strategy {strategy!r}, but one layer without the "
            "class token is needed (a number, and 'default'), as LLaVA-1.5 has it"
        )
