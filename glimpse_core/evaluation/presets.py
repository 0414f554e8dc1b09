"""Named sets of cells. "variants" is what `evaluate --json` runs: five answers to every question of the demo world, and
at every budget that is asked for one more for each of `RANKINGS`.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from glimpse_core import world
from glimpse_core.evaluation.cells import ADAPTIVE, DYNAMIC, REFERENCE, Cell
from glimpse_core.evaluation.plan import Plan
from glimpse_core.evaluation.tasks.world import SCENE, WorldTask

VARIANTS = {
    "full": Cell(REFERENCE),
    "pruned": Cell(ADAPTIVE, DYNAMIC),
    "random_same_budget": Cell("random_at_k", DYNAMIC),
    "oracle_boxes": Cell("boxes"),
    "evidence_dropped": Cell("inverse:boxes"),
}


# At equal budgets: the predictor's order of the visual tokens, the glimpse token's attention, and the last token's.
RANKINGS = ("glimpse:exact", "glimpse_attention", "attention")


def variants(
    model: str,
    count: int = 2000,
    seed: int = world.HELD_OUT,
    kind: str = SCENE,
    budgets: Sequence[float] = (),
    **settings: Any,
) -> Plan:
    """Plan the five variants: all visual tokens; those that the glimpse keeps; as many random ones, dropped at the same
    layer; exactly those under the evidence boxes; all but those.

    Args:
        model: as `catalog.load` takes it.
        count: number of questions.
        seed: of the first scene and page; those below `world.HELD_OUT` are for tuning only.
        kind: scene, page, or both in turn.
        budgets: shares of the visual tokens at which the methods of `RANKINGS` answer as well.
        settings: other fields of `Plan`.
    """
    cells = (*VARIANTS.values(), *(Cell(name, budget) for budget in budgets for name in RANKINGS))
    task = WorldTask.name if kind == SCENE else f"{WorldTask.name}:{kind}"
    return Plan(model, task, cells, count, seed, first_draw=seed, **settings)
