"""Pruning methods, one per file. A new one is a frozen dataclass in a file of its own and one line in `registry.py`."""

from glimpse_core.pruners.base import Pruner
from glimpse_core.pruners.build import build, card
from glimpse_core.pruners.glimpse import GlimpsePruner
from glimpse_core.pruners.grid import GridPruner
from glimpse_core.pruners.inverse import InversePruner
from glimpse_core.pruners.mask import MaskPruner
from glimpse_core.pruners.method import Card, Cascade, Method
from glimpse_core.pruners.none import NoPruner
from glimpse_core.pruners.random import RandomPruner
from glimpse_core.pruners.registry import BASELINE, PRUNERS, TRAINING_FREE
from glimpse_core.pruners.sharing import SharedWork

__all__ = [
    "BASELINE",
    "PRUNERS",
    "TRAINING_FREE",
    "Card",
    "Cascade",
    "GlimpsePruner",
    "GridPruner",
    "InversePruner",
    "MaskPruner",
    "Method",
    "NoPruner",
    "Pruner",
    "RandomPruner",
    "SharedWork",
    "build",
    "card",
]
