"""The stock model inside a backbone: loading it, and the numbers that its config fixes."""

from __future__ import annotations

from abc import ABC, abstractmethod
from dataclasses import dataclass
from pathlib import Path
from typing import Any, ClassVar, cast

import torch
from transformers import PreTrainedConfig, PreTrainedModel

from glimpse_core.engine.decoder import Decoder


@dataclass(frozen=True)
class StockModel(ABC):
    """A base model of transformers and its constants; `Backbone` adds what is done with it.

    Attributes:
        hf: the stock model, usable on its own at any time.
    """

    hf: PreTrainedModel

    model_types: ClassVar[tuple[str, ...]]  # in the config.json of a base model folder
    published_types: ClassVar[tuple[str, ...]]  # the same in the config.json of published glimpse folders
    stock: ClassVar[type[PreTrainedModel]]  # the class of `hf`

    @classmethod
    def describe(cls, folder: Path, settings: dict[str, Any]) -> PreTrainedConfig:
        """Return the stock config of a local folder, without reading weights.

        Args:
            folder: a base model folder.
            settings: what its config.json holds.

        Raises:
            GlimpseError: the class does not run this model, although its type is the right one.
        """
        kind = cast("type[PreTrainedConfig]", cls.stock.config_class)  # set for every class of a published model
        return kind.from_pretrained(folder)

    @classmethod
    def open(cls, folder: Path, settings: dict[str, Any], **options: Any) -> tuple[PreTrainedModel, dict[str, Any]]:
        """Load the stock model of a local folder.

        Args:
            folder: a base model folder.
            settings: what its config.json holds.
            options: those of `from_pretrained`.

        Returns:
            The model, and transformers' loading info (missing keys and the like).

        Raises:
            GlimpseError: the class does not run this model, although its type is the right one.
            OSError, ValueError: as transformers raises them.
        """
        return with_info(cls.stock.from_pretrained(folder, output_loading_info=True, **options))

    @property
    def text(self) -> Decoder:
        """The decoder, which the engine runs layer by layer."""
        return cast(Decoder, self.hf.model.language_model)

    @property
    def text_config(self) -> PreTrainedConfig:
        """The decoder's part of the config."""
        return cast(PreTrainedConfig, self.hf.config.text_config)

    @property
    def vision_config(self) -> PreTrainedConfig:
        """The vision tower's part of the config."""
        return cast(PreTrainedConfig, self.hf.config.vision_config)

    @property
    def device(self) -> torch.device:
        """The device of inputs and results, wherever accelerate keeps or runs the layers between."""
        hooked = getattr(getattr(self.text.embed_tokens, "_hf_hook", None), "execution_device", None)
        return self.hf.device if hooked is None else torch.empty(0, device=hooked).device

    @property
    def layers(self) -> int:
        """Number of decoder layers."""
        return int(self.text_config.num_hidden_layers)

    @property
    def heads(self) -> int:
        """H, the attention heads of a decoder layer."""
        return int(self.text_config.num_attention_heads)

    @property
    def hidden_size(self) -> int:
        """C, the decoder's hidden size."""
        return int(self.text_config.hidden_size)

    @property
    def norm_eps(self) -> float:
        """Epsilon of the decoder's RMS norms."""
        return float(self.text_config.rms_norm_eps)

    @property
    def vision_size(self) -> int:
        """V, the vision tower's hidden size."""
        return int(self.vision_config.hidden_size)

    @property
    @abstractmethod
    def vision_depth(self) -> int:
        """Number of vision tower states that can be read: `vision_layers` are from 0 to this, exclusive."""

    @property
    def image_token(self) -> int:
        """The id that stands in a prompt once for every visual token."""
        return int(self.hf.config.image_token_id)

    @property
    @abstractmethod
    def token_pixels(self) -> int:
        """Side of one visual token in pixels of the resized image."""

    def batch_windows(self) -> bool:
        """Run the windows of the vision tower in batches, with the same numbers. Returns whether it has windows."""
        return False

    @property
    def stop_tokens(self) -> frozenset[int]:
        """Ids that end an answer, as the model's generation_config has them."""
        stop = self.hf.generation_config.eos_token_id
        return frozenset([stop] if isinstance(stop, int) else stop or [])

    @property
    def repetition_penalty(self) -> float:
        """The factor that the model is published with and `generate` applies; 1 is none."""
        return self.hf.generation_config.repetition_penalty or 1.0


def with_info(loaded: object) -> tuple[PreTrainedModel, dict[str, Any]]:
    """Return what `from_pretrained(..., output_loading_info=True)` gives, which its annotation does not mention."""
    return cast("tuple[PreTrainedModel, dict[str, Any]]", loaded)
