"""GlimpsePrune: a glimpse token looks once, a small predictor scores every visual token, and the rest is dropped."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, ClassVar

import torch
from torch import Tensor

from glimpse_core.costs import flops
from glimpse_core.costs.schedule import Cache, Drop
from glimpse_core.costs.shape import Shape
from glimpse_core.engine.prefix import fork
from glimpse_core.errors import GlimpseError
from glimpse_core.glimpse.look import Left, look, reference_scores
from glimpse_core.glimpse.selection import select, top_mask
from glimpse_core.pruners.base import tokens
from glimpse_core.pruners.live import Live, Positions, advance, drop, of_slots
from glimpse_core.pruners.method import Card, Method
from glimpse_core.types import Prefix, Scores, Selection

if TYPE_CHECKING:
    from glimpse_core.glimpse.model import GlimpseModel


@dataclass(frozen=True)
class GlimpsePruner(Method):
    """selection: None takes what the checkpoint was published with.

    references: one (N_b,) bool mask per row, needed only by checkpoints that let given masks decide (`use_ref_masks`).
    ratio, count: a cap of its own on what the threshold lets pass, of every row (the published "<= 11.1%"); the number
    of tokens stays dynamic below it. exact: keep exactly the budget, the most probable tokens, whatever the threshold.
    cache, positions: as published; other policies are for comparisons.
    """

    selection: Selection | None = None
    references: tuple[Tensor, ...] | None = None
    ratio: float | None = None
    count: int | None = None
    exact: bool = False
    cache: Cache = "pruned"
    positions: Positions = "original"

    card: ClassVar[Card] = Card("GlimpsePrune", "behind layer K", "arXiv 2508.01548", question=True, adaptive=True)

    def __post_init__(self) -> None:
        super().__post_init__()
        check_glimpse(self.model)

    def conditions(self) -> tuple[int, ...]:
        return self.model.config.vision_layers

    def shorten(self, live: Live) -> Live:
        config = self.model.config
        trunk, scores = look_at(live, self.references)
        kept = []
        for row, (logits, grids) in enumerate(
            zip(scores.logits, self.model.backbone.grids_per_row(live.prompt), strict=True)
        ):
            whole = live.trunk is None and len(grids) == 1
            ties = "position" if config.masks == "vip" else "topk"
            budget = self._budget(live.totals[row])
            if self.exact:
                kept.append(top_mask(logits[-1], budget))
            else:
                kept.append(select(logits[-1], self._selection(budget, logits), grids[0] if whole else None, ties).mask)
        return replace(
            drop(replace(live, prefix=fork(trunk)), kept, cache=self.cache, positions=self.positions), scores=scores
        )

    def _budget(self, total: int) -> int | None:
        """Tokens that may pass. The published cap is cut off, not rounded."""
        if self.ratio is None and self.count is None:
            if self.exact:
                raise GlimpseError("exact is true, but no budget was given: pass a ratio or a count")
            return None
        if self.count is None and not self.exact:
            return int(self.ratio * total)
        return tokens(total, self.ratio or 0, self.count)

    def _selection(self, budget: int | None, logits: Tensor) -> Selection:
        selection, left = self.selection or self.model.config.selection, logits.shape[-1]
        if budget is None or not left:
            return selection
        share = (budget + 0.5) / left  # of those that are left, halfway for safe rounding
        return replace(selection, max_ratio=min(share, 1.0))

    def plan(self, total: int) -> tuple[Drop, ...]:
        budget = self._budget(total)
        if budget is None:
            ratio = (self.selection or self.model.config.selection).max_ratio
            budget = total if ratio is None else min(int(ratio * total), total)
        return (Drop(self.model.keep_depth, budget, self.cache),)

    def selector_flops(self, shape: Shape, prompt_length: int, total: int) -> int:
        """The glimpse token in layers 0..K, its attention row, and the predictor."""
        if self.model.config.masks != "vip":
            return 0
        extra = self.model.config.glimpse_length
        length = prompt_length + extra
        token = flops.decoder_layer(shape.text, length, length**2) - flops.decoder_layer(
            shape.text, prompt_length, prompt_length**2
        )
        shape = replace(shape, glimpse=self.model.config)
        return self.model.keep_depth * token + flops.glimpse_and_vip(shape, length, total, None)


def look_at(live: Live, references: tuple[Tensor, ...] | None = None) -> tuple[Prefix, Scores]:
    """The trunk behind layer K, which may be shared, and the scores of the visual tokens that are left."""
    model, prompt = live.model, live.prompt
    if model.config.masks == "reference":
        if live.trunk is not None:
            raise GlimpseError("use_ref_masks is true, so nothing may be dropped before GlimpsePrune: let it be first")
        return advance(live, model.keep_depth).prefix, reference_scores(model, prompt, references)
    if live.prefix.depth:
        raise GlimpseError(
            "the glimpse token enters before the first layer, but the method before it has run "
            f"{live.prefix.depth} layers: only methods that drop before the decoder can come first"
        )

    def looked() -> tuple[Prefix, Scores]:
        vision = live.shared.conditioned(model.config.vision_layers)
        if live.trunk is None:
            return look(model, prompt, vision)
        index = of_slots(live, torch.arange(sum(live.totals), device=live.prefix.hidden.device))
        return look(model, prompt, vision, live.prefix, Left(live.visual, torch.cat(index), live.counts))

    return live.results.once("look", looked)


def check_glimpse(model: GlimpseModel) -> None:
    """Raise a GlimpseError for a model that cannot look."""
    if model.config is None:
        raise GlimpseError(
            f"{model.name} was loaded without glimpse modules, so nothing can be scored: pass glimpse=FOLDER to load"
        )
