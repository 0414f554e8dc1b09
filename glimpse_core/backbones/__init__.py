"""The base models behind one set of verbs. Only this package touches model classes of transformers.

`Backbone` is what the rest of the package sees; a further base model is one more file here and one line in `FAMILIES`.
"""

from __future__ import annotations

from glimpse_core.backbones.base import Backbone
from glimpse_core.backbones.llava import Llava
from glimpse_core.backbones.qwen import Qwen25VL
from glimpse_core.backbones.qwen3 import Qwen3VL

FAMILIES: dict[str, type[Backbone]] = {
    kind: family for family in (Qwen25VL, Qwen3VL, Llava) for kind in family.model_types
}

__all__ = ["FAMILIES", "Backbone", "Llava", "Qwen3VL", "Qwen25VL"]
