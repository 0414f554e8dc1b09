"""All methods by name: one line each."""

from __future__ import annotations

from glimpse_core.pruners.attention import AttentionPruner
from glimpse_core.pruners.divprune import DivPrunePruner
from glimpse_core.pruners.fastv import FastVPruner
from glimpse_core.pruners.glimpse import GlimpsePruner
from glimpse_core.pruners.grid import GridPruner
from glimpse_core.pruners.inverse import InversePruner
from glimpse_core.pruners.mask import BoxPruner, MaskPruner, TextOnlyPruner
from glimpse_core.pruners.method import Method
from glimpse_core.pruners.none import NoPruner
from glimpse_core.pruners.random import RandomAtKPruner, RandomPruner

PRUNERS: dict[str, type[Method]] = {
    "glimpse": GlimpsePruner,
    "fastv": FastVPruner,
    "divprune": DivPrunePruner,
    "none": NoPruner,
    "random": RandomPruner,
    "random_at_k": RandomAtKPruner,
    "grid": GridPruner,
    "attention": AttentionPruner,
    "boxes": BoxPruner,
    "text_only": TextOnlyPruner,
    "inverse": InversePruner,
    "mask": MaskPruner,
}
