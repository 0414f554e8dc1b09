"""Attention at GlimpsePrune's layer, no predictor: the last token's (the paper's ablation), the glimpse token's.

The last token's is also what scores visual tokens of a model without glimpse modules (`glimpse.last_token`).
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, ClassVar

from glimpse_core.costs import flops
from glimpse_core.costs.schedule import Cache, Drop
from glimpse_core.costs.shape import Shape
from glimpse_core.engine.prefix import fork
from glimpse_core.glimpse.model import require_glimpse
from glimpse_core.glimpse.selection import top_mask
from glimpse_core.pruners.fastv import FastVPruner
from glimpse_core.pruners.glimpse import look_at
from glimpse_core.pruners.method import Budgeted, Card
from glimpse_core.pruners.state import PruningState, drop

if TYPE_CHECKING:
    from glimpse_core.glimpse.model import GlimpseModel


@dataclass(frozen=True)
class AttentionPruner(FastVPruner):
    """Control: keep what the last prompt token, which writes the first answer token, attends to in layer K.

    FastV's rule, where and how GlimpsePrune drops: after layer K, from all caches. These are the training-free scores
    at K, by which sessions, the page and `ask` choose tokens where a model has no glimpse modules.

    Args:
        model: the model to prune for.
        ratio: share of a row's visual tokens that is kept, from 0 to 1. Default 0.1.
        count: number of visual tokens that is kept of every row, instead of a share. Default None.
        layer: tokens are dropped before this layer. Default None: K + 1 (`LoadedModel.keep_layer`).
        cache: "pruned" (default) or "untouched": caches of layers that have run; see `state.drop`.
        positions: "original" (default), "renumbered" or "published"; see `state.drop`.
    """

    layer: int | None = None
    cache: Cache = "pruned"

    card: ClassVar[Card] = Card("attention at K", "after layer K", question=True, control=True)

    @property
    def depth(self) -> int:
        """The number of layers that process every token: `layer`, or as many as with GlimpsePrune."""
        return self.model.shared_depth if self.layer is None else self.layer


@dataclass(frozen=True)
class GlimpseAttentionPruner(Budgeted):
    """Control: keep what the trained glimpse token attends to, without the predictor.

    All heads that the predictor reads are averaged, each by how it divides its attention among the visual tokens of
    the row. What GlimpsePrune reaches beyond this, the predictor adds.

    Args:
        model: a model with glimpse modules.
        ratio: share of a row's visual tokens that is kept, from 0 to 1. Default 0.1.
        count: number of visual tokens that is kept of every row, instead of a share. Default None.
    """

    model: GlimpseModel

    card: ClassVar[Card] = Card("glimpse attention", "after layer K", question=True, control=True, modules=True)

    def __post_init__(self) -> None:
        super().__post_init__()
        require_glimpse(self.model)

    def conditions(self) -> tuple[int, ...]:
        """See `Method.conditions`: those of the predictor, which runs, too."""
        return self.model.config.vision_layers

    def shorten(self, state: PruningState) -> PruningState:
        trunk, scores = look_at(self.model, state)
        rows = zip(scores.attention.float().split(state.counts), self.budgets(state), strict=True)
        # Logits and log-probabilities differ by a constant per head, so both are normalized alike.
        kept = [top_mask(row.softmax(0).mean(1), budget) for row, budget in rows]
        return drop(replace(state, prefix=fork(trunk)), kept)

    def plan(self, total: int) -> tuple[Drop, ...]:
        return (Drop(self.model.keep_depth, self.budget(total)),)

    def selector_flops(self, shape: Shape, prompt_length: int, total: int) -> int:
        """The glimpse token in layers 0..K and its attention rows; the predictor runs, too, but is not needed."""
        shape = replace(shape, glimpse=self.model.config)
        look = flops.glimpse(shape, prompt_length, total, self.model.keep_depth)
        return look.token + look.rows
