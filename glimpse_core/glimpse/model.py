"""A loaded model: weights and settings, nothing about any request. Sessions, pruners and trainers share it freely."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import torch

    from glimpse_core.backbones import Backbone
    from glimpse_core.backbones.processors import Processor
    from glimpse_core.glimpse.token import Glimpse
    from glimpse_core.glimpse.vip import VIP
    from glimpse_core.types import GlimpseConfig


@dataclass(frozen=True)
class GlimpseModel:
    """What `catalog.load` returns. `glimpse`, `vip` and `config` are None together: a model that cannot prune.

    `processor` is None when the folder has no tokenizer; such a model takes ready-made prompts only.
    """

    backbone: Backbone
    glimpse: Glimpse | None
    vip: VIP | None
    config: GlimpseConfig | None
    processor: Processor | None
    name: str
    device: torch.device
    dtype: torch.dtype
    attn: str  # "sdpa", "eager" or "flash_attention_2"

    @property
    def keep_depth(self) -> int:
        """How many layers see every token: K + 1. A K behind the last layer means all of them."""
        if self.config is None:
            return 0
        return min(self.config.keep_layer + 1, self.backbone.layers)
