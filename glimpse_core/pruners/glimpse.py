"""GlimpsePrune: a glimpse token reads the prompt, a small predictor scores visual tokens, the rest is dropped."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, ClassVar, Literal

import torch
from torch import Tensor

from glimpse_core.costs import flops
from glimpse_core.costs.schedule import Cache, Drop
from glimpse_core.costs.shape import Shape
from glimpse_core.engine.prefix import fork
from glimpse_core.errors import GlimpseError
from glimpse_core.glimpse.look import Remaining, look, reference_scores
from glimpse_core.glimpse.model import require_glimpse
from glimpse_core.glimpse.selection import capacity, select, top_mask
from glimpse_core.glimpse.slices import SliceMerge, redundant, without_redundant
from glimpse_core.pruners.base import tokens
from glimpse_core.pruners.method import Card, Method
from glimpse_core.pruners.state import Positions, PruningState, advance, drop, gather_remaining
from glimpse_core.types import Grid, Prefix, Scores, Selection

if TYPE_CHECKING:
    from glimpse_core.glimpse.model import GlimpseModel


@dataclass(frozen=True)
class GlimpsePruner(Method):
    """GlimpsePrune: keep the visual tokens that a trained predictor finds important for the question.

    A learned glimpse token is appended to the prompt and runs with it through layers 0..K. The Visual Importance
    Predictor (VIP) turns its attention to the visual tokens, and states of the vision tower, into one probability per
    token; tokens above a threshold are kept, the others are dropped after layer K from all caches. So the number of
    tokens depends on the image and the question.

    https://arxiv.org/abs/2508.01548

    Args:
        model: a model with glimpse modules.
        selection: threshold, cap, floor and anchors. Default None: what the checkpoint was published with.
        references: per row (N_b,) bool, masks that decide instead of the predictor. Only for checkpoints that ask for
            them (`use_ref_masks`). Default None.
        ratio: most of a row's visual tokens that may pass the threshold, as a share, instead of the cap in `selection`
            (the published "<= 11.1%"). Default None: no cap of its own.
        count: the same as a number of tokens. Default None.
        exact: keep exactly the budget, the most probable tokens, whatever the threshold. Default False.
        cache: "pruned" (default, as published) or "untouched": caches of layers that have run; see `state.drop`.
        positions: "original" (default, as published), "renumbered" or "published"; see `state.drop`.
        slices: in videos, drop slices that look like their neighbors and would be kept in large part, so that one
            stands for all (`glimpse.slices`). Default None: off, as in the released code.
    """

    model: GlimpseModel

    selection: Selection | None = None
    references: tuple[Tensor, ...] | None = None
    ratio: float | None = None
    count: int | None = None
    exact: bool = False
    cache: Cache = "pruned"
    positions: Positions = "original"
    slices: SliceMerge | None = None

    card: ClassVar[Card] = Card(
        "GlimpsePrune", "after layer K", "arXiv 2508.01548", question=True, adaptive=True, modules=True
    )

    def __post_init__(self) -> None:
        super().__post_init__()
        require_glimpse(self.model)

    @property
    def chosen_selection(self) -> Selection:
        """`selection`, or what the checkpoint was published with."""
        return self.selection or self.model.config.selection

    def conditions(self) -> tuple[int, ...]:
        """See `Method.conditions`: those of the checkpoint."""
        return self.model.config.vision_layers

    def shorten(self, state: PruningState) -> PruningState:
        trunk, scores = look_at(self.model, state, self.references)
        images = self.model.backbone.grids_per_row(state.prompt)
        single = [grids[0] if state.trunk is None and len(grids) == 1 else None for grids in images]
        rows = zip(self._merged(state, scores), single, state.totals, strict=True)
        kept = [self._kept(logits, grid, total) for logits, grid, total in rows]
        state = replace(state, prefix=fork(trunk), scores=scores)
        return drop(state, kept, cache=self.cache, positions=self.positions)

    def _merged(self, state: PruningState, scores: Scores) -> list[Tensor]:
        """Per row (n,) logits; lower where a slice of a video is redundant."""
        found = [logits[-1] for logits in scores.logits]
        if self.slices is None or not state.prompt.seconds or self.model.config.masks != "vip":
            return found
        embeds = gather_remaining(state, state.vision.embeds)
        for row, grids in enumerate(state.model.backbone.grids_per_row(state.prompt)):
            sizes = torch.tensor([grid.tokens for grid in grids], dtype=torch.int64)
            slice_of = torch.arange(len(grids)).repeat_interleave(sizes)[state.indices[row].cpu()]
            left = slice_of.bincount(minlength=len(grids)).tolist()
            total = state.totals[row]
            alone = self if self.count is None else replace(self, ratio=min(self.count / max(total, 1), 1), count=None)
            parts = zip(found[row].split(left), sizes.tolist(), strict=True)
            masks = [alone._kept(part, None, size) for part, size in parts]
            dropped = redundant(masks, embeds[row].split(left), self.slices)
            found[row] = without_redundant(found[row], left, dropped)
        return found

    def _kept(self, logits: Tensor, grid: Grid | None, total: int) -> Tensor:
        """(n,) bool for the logits (n,) of a row that had `total` visual tokens. grid: of a single complete image."""
        budget = self._budget(total)
        if self.exact and budget is not None:
            return top_mask(logits, budget)
        ties: Literal["position", "topk"] = "position" if self.model.config.masks == "vip" else "topk"
        return select(logits, self._capped(budget, len(logits)), grid, ties).mask

    def _budget(self, total: int) -> int | None:
        """Tokens that may pass; None: no cap of its own. The published cap is cut off, not rounded."""
        if self.ratio is None and self.count is None:
            if self.exact:
                raise GlimpseError("exact is true, but there is no budget. Expected one: pass a ratio or a count.")
            return None
        if self.ratio is not None and self.count is None and not self.exact:
            return int(self.ratio * total)
        return tokens(total, self.ratio or 0, self.count)

    def _capped(self, budget: int | None, left: int) -> Selection:
        if budget is None or not left:
            return self.chosen_selection
        share = (budget + 0.5) / left  # halfway, so that it rounds safely
        return replace(self.chosen_selection, max_ratio=min(share, 1.0))

    def plan(self, total: int) -> tuple[Drop, ...]:
        """See `Method.plan`. Without a budget, the cap is the most that can be left."""
        budget = self._budget(total)
        if budget is None:
            ratio = self.chosen_selection.max_ratio
            budget = total if ratio is None else min(capacity(ratio, total), total)
        return (Drop(self.model.keep_depth, budget, self.cache),)

    def selector_flops(self, shape: Shape, prompt_length: int, total: int) -> int:
        """The glimpse token in layers 0..K, its attention row, and the predictor."""
        shape = replace(shape, glimpse=self.model.config)
        return flops.glimpse(shape, prompt_length, total, self.model.keep_depth).total


def look_at(
    model: GlimpseModel, state: PruningState, references: tuple[Tensor, ...] | None = None
) -> tuple[Prefix, Scores]:
    """Score the visual tokens that are left, once for all pruners that have the same tokens left.

    Args:
        model: the model of `state`.
        state: before the first layer.
        references: see `GlimpsePruner`.

    Returns:
        The tokens that are left, after layer K, which others may share; and their scores.
    """
    if model.config.masks == "reference":
        if state.trunk is not None:
            raise GlimpseError(
                "use_ref_masks is true, but a method before GlimpsePrune has dropped tokens. Expected GlimpsePrune to "
                "come first: change their order."
            )
        return advance(state, model.keep_depth).prefix, reference_scores(model, state.prompt, references)
    if state.prefix.depth:
        raise GlimpseError(
            f"The method before this one has run {state.prefix.depth} layers, but the glimpse token enters before the "
            "first layer. Expected a method that drops before the decoder: choose such a one to come first."
        )

    def looked() -> tuple[Prefix, Scores]:
        vision = state.shared.conditioned(model.config.vision_layers)
        if state.trunk is None:
            return look(model, state.prompt, vision)
        index = gather_remaining(state, torch.arange(sum(state.totals), device=state.prefix.hidden.device))
        left = Remaining(state.visual, torch.cat(index), state.counts)
        return look(model, state.prompt, vision, state.prefix, left)

    return state.results.once("look", looked)
