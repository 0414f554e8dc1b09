"""LLaVA-1.5: a CLIP tower, a two-layer projector and a Llama decoder with one position axis.

Every image is a square of fixed size, so it always makes the same number of visual tokens; the processor makes squares
of other images. S is the side of that square in pixels, other letters as in `types.py`.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any, ClassVar, cast

import torch
from torch import Tensor
from transformers import GenerationConfig, LlavaConfig, LlavaForConditionalGeneration, PreTrainedConfig, PreTrainedModel

from glimpse_core.backbones import llava_original
from glimpse_core.backbones.base import Backbone
from glimpse_core.backbones.stock_model import with_info
from glimpse_core.errors import GlimpseError
from glimpse_core.types import Grid, Prompt, Vision, VisionReadings, VisionReads

# In the vocabulary of Llama and Vicuna, as the tests of transformers' LLaVA processors have them:
CUE = (319, 1799, 9047, 13566, 29901)  # " ASSISTANT:"
BLANKS = (29871, 13)  # a space before nothing, and the line break after an image


@dataclass(frozen=True)
class Llava(Backbone):
    """LLaVA-1.5 (arXiv 2310.03744).

    `vision_layers` count the tower's hidden states as transformers does: 0 enters the first block, i leaves the
    i-th. That is the published convention, and it differs from Qwen2.5-VL's, which counts blocks.
    """

    hf: LlavaForConditionalGeneration

    model_types: ClassVar[tuple[str, ...]] = ("llava", "llava_llama")  # the conversion, and the authors' own layout
    published_types: ClassVar[tuple[str, ...]] = ("llava_llama_gp", "llava_llama", "llava")
    stock: ClassVar[type[PreTrainedModel]] = LlavaForConditionalGeneration

    @classmethod
    def describe(cls, folder: Path, settings: dict[str, Any]) -> LlavaConfig:
        """See `StockModel.describe`. The authors' folders name a tower, whose config is read, too."""
        config: LlavaConfig
        if settings["model_type"] == "llava":
            config = LlavaConfig.from_pretrained(folder)
        else:
            config = llava_original.read_config(folder, settings, llava_original.tower_folder(folder, settings))
        check(config, folder)
        return config

    @classmethod
    def open(cls, folder: Path, settings: dict[str, Any], **options: Any) -> tuple[PreTrainedModel, dict[str, Any]]:
        """See `StockModel.open`. Weights of the authors' folders get the names that transformers has."""
        config = cls.describe(folder, settings)
        if settings["model_type"] == "llava":
            return super().open(folder, settings, **options)
        weights = llava_original.read_weights(folder, llava_original.tower_folder(folder, settings))
        hf, loaded = with_info(
            cls.stock.from_pretrained(None, config=config, state_dict=weights, output_loading_info=True, **options)
        )
        names = ("bos_token_id", "eos_token_id", "pad_token_id")
        hf.generation_config = GenerationConfig(**{name: settings.get(name) for name in names})
        if (folder / "generation_config.json").exists():
            hf.generation_config.update(**GenerationConfig.from_pretrained(folder).to_diff_dict())
        return hf, loaded

    @property
    def vision_depth(self) -> int:
        """Hidden states of the tower: what enters the first block, and what each block returns."""
        return int(self.vision_config.num_hidden_layers) + 1

    @property
    def token_pixels(self) -> int:
        return int(self.vision_config.patch_size)

    @property
    def _feature_layer(self) -> int:
        """Index of the hidden state that becomes the visual tokens; `check` refuses configs with several."""
        return cast(int, self.hf.config.vision_feature_layer)

    def grids(self, pixel_values: Tensor | None, image_grid_thw: Tensor | None = None) -> tuple[Grid, ...]:
        """See `Backbone.grids`. pixel_values: (images, 3, S, S)."""
        count = 0 if pixel_values is None else len(pixel_values)
        side = int(self.vision_config.image_size) // self.token_pixels
        return (Grid(side, side),) * count

    @property
    def feature_block(self) -> int:
        """The block before the state that the config names as `vision_feature_layer`."""
        return self._feature_layer % self.vision_depth - 1

    @property
    def local_block(self) -> int:
        """The published block 5 of 24, or what corresponds to it."""
        return int(self.vision_config.num_hidden_layers) * 5 // 24

    @property
    def local_window(self) -> int:
        """Visual tokens on each side of a window, with four windows on each side of the image."""
        return max(int(self.vision_config.image_size) // self.token_pixels // 4, 1)

    @property
    def contrastive(self) -> bool:
        """True: the tower is CLIP's."""
        return True

    def encode_images(
        self, prompt: Prompt, vision_layers: tuple[int, ...] = (), reads: VisionReads | None = None
    ) -> Vision:
        """See `Backbone.encode_images`. Attention is the class token's, and `summaries` hold its states."""
        self.need_images(prompt)
        reads = reads or VisionReads()
        asked = [self._feature_layer, *vision_layers, *(block + 1 for block in reads.states), *reads.attention]
        out = self.hf.model.get_image_features(prompt.pixel_values, return_dict=True, output_hidden_states=asked)
        embeds = torch.cat(list(out.pooler_output))
        # The first row of every image is CLIP's class token.
        conditions = [out.hidden_states[index][:, 1:].flatten(0, 1) for index in vision_layers]
        outputs = {block: out.hidden_states[block + 1] for block in reads.states}
        read = {block: self._attended(block, out.hidden_states[block]) for block in reads.attention}
        readings = VisionReadings(
            states={block: state[:, 1:].flatten(0, 1) for block, state in outputs.items()},
            attention={block: attention for block, (attention, _) in read.items()},
            keys={block: keys for block, (_, keys) in read.items()},
            summaries={block: state[:, 0] for block, state in outputs.items()},
        )
        none = embeds.new_empty(0, len(embeds), self.vision_size)
        return Vision(embeds, torch.stack(conditions) if conditions else none, readings)

    def _attended(self, block: int, entering: Tensor) -> tuple[Tensor, Tensor]:
        """Return the attention that every visual token receives from the class token in a block, and its keys.

        Args:
            block: number of the block.
            entering: (images, 1 + patches, V) input of the block.

        Returns:
            received: (N,) float32, averaged over heads. keys: (N, head size), averaged over heads.
        """
        layer: Any = self.hf.model.vision_tower.encoder.layers[block]
        attention, normed = layer.self_attn, layer.layer_norm1(entering)
        heads = (len(entering), -1, attention.num_heads, attention.head_dim)
        query = attention.q_proj(normed[:, :1]).view(heads).transpose(1, 2)
        key = attention.k_proj(normed).view(heads).transpose(1, 2)  # (images, H, 1 + P, head size)
        weights: Tensor = (query @ key.transpose(2, 3) * attention.scale).softmax(-1, dtype=torch.float32)
        return weights[:, :, 0, 1:].mean(1).flatten(), key[:, :, 1:].mean(1).flatten(0, 1)

    def mergeable(self, vision: Vision, readings: VisionReadings) -> Tensor:
        """See `Backbone.mergeable`: the state that enters the projector."""
        return readings.states[self.feature_block]

    def project(self, features: Tensor) -> Tensor:
        """See `Backbone.project`: the two-layer projector."""
        embeds: Tensor = self.hf.model.multi_modal_projector(features)
        return embeds

    def question(self, prompt: Prompt) -> Tensor:
        """See `Backbone.question`. Leaves out the cue for the answer and white space, if the tokenizer is Llama's."""
        ids, words = prompt.input_ids, super().question(prompt)
        cue, blanks = (torch.tensor(some, device=ids.device) for some in (CUE, BLANKS))
        if ids.shape[1] > len(CUE):
            asked = (ids[:, -len(CUE) :] == cue).all(1)[:, None]
            words[:, -len(CUE) :] &= ~asked
            words &= ~(asked & torch.isin(ids, blanks))
        return words

    def positions(self, prompt: Prompt) -> Tensor:
        """Return positions (B, L), counted from the first real token of each row."""
        mask = prompt.attention_mask
        return (mask.long().cumsum(1) - 1).masked_fill(mask == 0, 1)


def check(config: LlavaConfig, folder: Path) -> None:
    """Raise GlimpseError for a model that shares the model type of LLaVA-1.5 but is built differently."""
    parts = (config.text_config, config.vision_config)
    found = tuple(str(cast(PreTrainedConfig, part).model_type) for part in parts)
    if found != ("llama", "clip_vision_model"):
        raise GlimpseError(
            f"{folder} is a llava model of {' and '.join(found)}. Expected LLaVA-1.5 (llama and clip_vision_model): "
            "choose llava-1.5-7b or llava-1.5-13b."
        )
    layer, strategy = config.vision_feature_layer, config.vision_feature_select_strategy
    if not isinstance(layer, int) or strategy != "default":
        raise GlimpseError(
            f"{folder} reads vision_feature_layer {layer!r} with strategy {strategy!r}. Expected one layer without the "
            "class token (a number and 'default'), as in LLaVA-1.5: choose llava-1.5-7b or llava-1.5-13b."
        )
