"""Loaded models: weights and settings, nothing about any request. Sessions, pruners and trainers share them freely.

A model with glimpse modules and one without are two types. A `GlimpseModel` scores its visual tokens with them; a
`LoadedModel` by plain attention in the same layer (`glimpse.last_token`). `require_glimpse` goes from the second to the
first, for what needs trained modules.
"""

from __future__ import annotations

import math
from dataclasses import dataclass, fields
from typing import TYPE_CHECKING, ClassVar, NamedTuple

from glimpse_core.costs.shape import Shape
from glimpse_core.errors import GlimpseError
from glimpse_core.glimpse.familiarity import WorldStatistics
from glimpse_core.types import Selection

if TYPE_CHECKING:
    import torch

    from glimpse_core.backbones import Backbone
    from glimpse_core.backbones.processors import Processor
    from glimpse_core.glimpse.token import Glimpse
    from glimpse_core.glimpse.vip import VIP
    from glimpse_core.types import GlimpseConfig

# The rule of a model without glimpse modules: a share of the tokens by rank, the smallest of the published comparisons.
BY_RANK = Selection(threshold=0.0, max_ratio=0.111, min_tokens=1)


def published_layer(layers: int) -> int:
    """K, from 0, of all released glimpse modules (the paper's table 14): at two thirds of the decoder.

    Args:
        layers: of the decoder.
    """
    return math.ceil(layers * 2 / 3) - 1


class GlimpseModules(NamedTuple):
    """What a folder of glimpse modules holds: the architecture, the glimpse token and the predictor."""

    config: GlimpseConfig
    glimpse: Glimpse
    vip: VIP


@dataclass(frozen=True, kw_only=True)
class LoadedModel:
    """A base model, ready for inference.

    Attributes:
        backbone: its weights, and what the family of models can do.
        processor: makes prompts; None where the model's folder has no tokenizer. Such a model takes ready-made prompts
            only. Code that cannot do without calls `require_processor`.
        name: as it was asked for: of the catalog, the Hub or a folder.
        device: where inputs go and results come from.
        dtype: of the weights.
        attn: "sdpa", "eager" or "flash_attention_2".
        adapter: folder or Hub name of the LoRA adapter that it has; None for the base model itself.
        merged: whether the adapter is part of the weights, or apart in the layers.
        world: where the images lie that a model of a small world was trained on; None for all others.
        attention_layer: decoder layer, from 0, whose attention scores the visual tokens where no modules do; None: that
            of `published_layer`.
    """

    backbone: Backbone
    processor: Processor | None
    name: str
    device: torch.device
    dtype: torch.dtype
    attn: str
    world: WorldStatistics | None = None
    adapter: str | None = None
    merged: bool = True
    attention_layer: int | None = None

    trained: ClassVar[bool] = False  # whether glimpse modules score the visual tokens; else plain attention does

    @property
    def keep_layer(self) -> int:
        """The paper's K, from 0: visual tokens are scored in this decoder layer, and dropped after it."""
        return published_layer(self.backbone.layers) if self.attention_layer is None else self.attention_layer

    @property
    def keep_depth(self) -> int:
        """Decoder layers that process every token: K + 1, at most all of them."""
        return min(self.keep_layer + 1, self.backbone.layers)

    @property
    def shared_depth(self) -> int:
        """Decoder layers that the pruned and the full answer have in common: K + 1."""
        return self.keep_depth

    @property
    def selection(self) -> Selection:
        """The rule from scores to kept tokens that holds where none is given."""
        return BY_RANK

    @property
    def scored_by(self) -> dict[str, str | int]:
        """What scores its visual tokens, for records and reports: kind, layer K, and a sentence."""
        meaning = (
            f"Attention of the last prompt token at layer {self.keep_layer}, averaged over heads, 1 for the most "
            "attended visual token. No trained predictor."
        )
        return {"kind": "attention", "layer": self.keep_layer, "meaning": meaning}

    @property
    def shape(self) -> Shape:
        """The sizes from which costs are calculated."""
        return Shape.from_config(self.backbone.hf.config)

    def require_processor(self) -> Processor:
        """The processor. Raises GlimpseError where the model's folder has none."""
        if self.processor is None:
            raise GlimpseError(
                f"The folder of {self.name} has no tokenizer and image processor. Expected tokenizer.json, "
                "tokenizer_config.json and preprocessor_config.json. Add them as the released folders have them."
            )
        return self.processor


@dataclass(frozen=True, kw_only=True)
class GlimpseModel(LoadedModel):
    """A base model with the trained modules of GlimpsePrune (arXiv 2508.01548).

    Attributes:
        glimpse: the learned glimpse token.
        vip: the Visual Importance Predictor.
        config: their architecture, and the selection they were published with.
    """

    glimpse: Glimpse
    vip: VIP
    config: GlimpseConfig

    trained: ClassVar[bool] = True

    @property
    def keep_layer(self) -> int:
        """The paper's K, from 0, as the modules were trained for it; it may lie beyond the last layer."""
        return self.config.keep_layer

    @property
    def selection(self) -> Selection:
        """The rule that the modules were published with."""
        return self.config.selection

    @property
    def scored_by(self) -> dict[str, str | int]:
        """What scores its visual tokens, for records and reports: kind, layer K, and a sentence."""
        meaning = "Probability that a visual token matters, by the trained predictor of GlimpsePrune."
        return {"kind": "predictor", "layer": self.keep_layer, "meaning": meaning}

    @property
    def shape(self) -> Shape:
        """The sizes from which costs are calculated, those of the glimpse modules included."""
        return Shape.from_config(self.backbone.hf.config, self.config)


def with_modules(model: LoadedModel, modules: GlimpseModules) -> GlimpseModel:
    """The same base model with these glimpse modules, in place of any that it has."""
    base = {field.name: getattr(model, field.name) for field in fields(LoadedModel)}
    return GlimpseModel(**base, **modules._asdict())


def require_glimpse(model: LoadedModel) -> GlimpseModel:
    """The same model, known to have glimpse modules. Raises GlimpseError if it has none."""
    if not isinstance(model, GlimpseModel):
        raise lacks_glimpse(model)
    return model


def lacks_glimpse(model: LoadedModel) -> GlimpseError:
    """The error for a model without glimpse modules where they are needed."""
    return GlimpseError(
        f"{model.name} has no glimpse modules. Expected trained ones. Pass glimpse=FOLDER "
        "(on the command line --glimpse FOLDER) when loading it, or choose a method that needs no modules."
    )
