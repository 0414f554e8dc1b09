"""All methods by name, one line each; which of them keeps every token (`BASELINE`), and which ranks as a model without
glimpse modules does (`TRAINING_FREE`).
"""

from __future__ import annotations

from glimpse_core.pruners.attention import AttentionPruner, GlimpseAttentionPruner
from glimpse_core.pruners.cdpruner import CDPrunerPruner
from glimpse_core.pruners.dart import DartPruner
from glimpse_core.pruners.divprune import DivPrunePruner
from glimpse_core.pruners.fastv import FastVPruner
from glimpse_core.pruners.glimpse import GlimpsePruner
from glimpse_core.pruners.grid import GridPruner
from glimpse_core.pruners.hawk import HawkPruner
from glimpse_core.pruners.inverse import InversePruner
from glimpse_core.pruners.ivcprune import IVCPrunePruner
from glimpse_core.pruners.mask import BoxPruner, DropAllPruner, MaskPruner, TextOnlyPruner
from glimpse_core.pruners.method import Method
from glimpse_core.pruners.mmtok import MMTokPruner
from glimpse_core.pruners.none import NoPruner
from glimpse_core.pruners.pyramiddrop import PyramidDropPruner
from glimpse_core.pruners.random import RandomAtKPruner, RandomPruner
from glimpse_core.pruners.smaller import DownsamplePruner, PoolPruner
from glimpse_core.pruners.v2drop import V2DropPruner
from glimpse_core.pruners.visionselector import VisionSelectorPruner
from glimpse_core.pruners.visionzip import VisionZipPruner
from glimpse_core.pruners.vscan import VScanPruner

PRUNERS: dict[str, type[Method]] = {
    "glimpse": GlimpsePruner,
    "fastv": FastVPruner,
    "pyramiddrop": PyramidDropPruner,
    "dart": DartPruner,
    "divprune": DivPrunePruner,
    "visionzip": VisionZipPruner,
    "vscan": VScanPruner,
    "cdpruner": CDPrunerPruner,
    "mmtok": MMTokPruner,
    "ivcprune": IVCPrunePruner,
    "hawk": HawkPruner,
    "v2drop": V2DropPruner,
    "visionselector": VisionSelectorPruner,
    "none": NoPruner,
    "random": RandomPruner,
    "random_at_k": RandomAtKPruner,
    "grid": GridPruner,
    "pool": PoolPruner,
    "downsample": DownsamplePruner,
    "attention": AttentionPruner,
    "glimpse_attention": GlimpseAttentionPruner,
    "boxes": BoxPruner,
    "text_only": TextOnlyPruner,
    "drop_all": DropAllPruner,
    "inverse": InversePruner,
    "mask": MaskPruner,
}
TRAINING_FREE = "attention"
(BASELINE,) = (name for name, method in PRUNERS.items() if method.card.baseline)
