"""Pruning methods, one per file. A new one is a frozen dataclass in a file of its own and one line in `PRUNERS`."""

from __future__ import annotations

from glimpse_core.pruners.base import Pruner
from glimpse_core.pruners.glimpse import GlimpsePruner
from glimpse_core.pruners.grid import GridPruner
from glimpse_core.pruners.inverse import InversePruner
from glimpse_core.pruners.mask import MaskPruner
from glimpse_core.pruners.none import NoPruner
from glimpse_core.pruners.random import RandomPruner

PRUNERS: dict[str, type[Pruner]] = {
    "glimpse": GlimpsePruner,
    "none": NoPruner,
    "random": RandomPruner,
    "grid": GridPruner,
    "inverse": InversePruner,
    "mask": MaskPruner,
}
