"""Named sets of cells. "variants" is what `evaluate --json` runs: five answers to every question of the demo world."""

from __future__ import annotations

from typing import Any

from glimpse_core import world
from glimpse_core.evaluation.cells import ADAPTIVE, DYNAMIC, REFERENCE, Cell
from glimpse_core.evaluation.plan import Plan
from glimpse_core.evaluation.tasks.world import WorldTask

VARIANTS = {
    "full": Cell(REFERENCE),
    "pruned": Cell(ADAPTIVE, DYNAMIC),
    "random_same_budget": Cell("random_at_k", DYNAMIC),
    "oracle_boxes": Cell("boxes"),
    "evidence_dropped": Cell("inverse:boxes"),
}


def variants(model: str, count: int = 2000, seed: int = world.HELD_OUT, **settings: Any) -> Plan:
    """Plan the five variants: all visual tokens; those that the glimpse keeps; as many random ones, dropped at the same
    layer; exactly those under the evidence boxes; all but those.

    Args:
        seed: of the first scene; scenes below `world.HELD_OUT` are for tuning only.
        settings: other fields of `Plan`.
    """
    cells = tuple(VARIANTS.values())
    return Plan(model, WorldTask.name, cells, count, seed, first_draw=seed, **settings)
