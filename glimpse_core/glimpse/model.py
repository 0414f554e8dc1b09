"""Loaded models: weights and settings, nothing about any request. Sessions, pruners and trainers share them freely.

A model with glimpse modules and one without are two types: `LoadedModel` answers questions, and methods that need no
training prune it; `GlimpseModel` also scores its visual tokens. `require_glimpse` goes from the first to the second.
"""

from __future__ import annotations

from dataclasses import dataclass, fields
from typing import TYPE_CHECKING, NamedTuple

from glimpse_core.costs.shape import Shape
from glimpse_core.errors import GlimpseError
from glimpse_core.glimpse.familiarity import WorldStatistics

if TYPE_CHECKING:
    import torch

    from glimpse_core.backbones import Backbone
    from glimpse_core.backbones.processors import Processor
    from glimpse_core.glimpse.token import Glimpse
    from glimpse_core.glimpse.vip import VIP
    from glimpse_core.types import GlimpseConfig


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

    @property
    def shared_depth(self) -> int:
        """Decoder layers that the pruned and the full answer have in common: none, since nothing scores tokens later.

        Methods that drop where GlimpsePrune does (`pruners.at_layer`) drop before the decoder here.
        """
        return 0

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

    @property
    def keep_depth(self) -> int:
        """Decoder layers that process every token: K + 1, at most all of them."""
        return min(self.config.keep_layer + 1, self.backbone.layers)

    @property
    def shared_depth(self) -> int:
        """Decoder layers that the pruned and the full answer have in common: K + 1."""
        return self.keep_depth

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
        f"{model.name} has no glimpse modules. Expected a model that scores its visual tokens. Pass glimpse=FOLDER "
        "(on the command line --glimpse FOLDER) when loading it, or choose a method that needs no modules."
    )
