"""The published class names over this engine: code written for the original runs with only its import line changed.

from glimpse_core.dropin import Qwen2_5_VL_GP_ForConditionalGeneration, Qwen2_5_VL_GP_Processor
"""

from __future__ import annotations

from glimpse_core.dropin.forward import PrunedOutput
from glimpse_core.dropin.llava import LlavaLlamaForCausalLM_GP
from glimpse_core.dropin.processor import Qwen2_5_VL_GP_Processor
from glimpse_core.dropin.qwen import Qwen2_5_VL_GP_ForConditionalGeneration

__all__ = [
    "LlavaLlamaForCausalLM_GP",
    "PrunedOutput",
    "Qwen2_5_VL_GP_ForConditionalGeneration",
    "Qwen2_5_VL_GP_Processor",
]
