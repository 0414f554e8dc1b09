"""Qwen2.5-VL with GlimpsePrune under its published name; see `dropin.model` for its use."""

from __future__ import annotations

from transformers import Qwen2_5_VLForConditionalGeneration

from glimpse_core.backbones import Qwen25VL
from glimpse_core.dropin.forward import selecting
from glimpse_core.dropin.model import DropIn


class Qwen2_5_VL_GP_ForConditionalGeneration(  # type: ignore[misc]  # transformers types two overridden methods otherwise
    DropIn, Qwen2_5_VLForConditionalGeneration
):
    """Qwen2.5-VL with GlimpsePrune, under its published name."""

    family = Qwen25VL
    forward = selecting(Qwen2_5_VLForConditionalGeneration.forward)
