"""A prompt on its way through the decoder while it loses visual tokens: what pruning methods are written in.

`PruningState` is the value, and functions make the next one of it: `advance` runs layers, `drop` drops visual tokens,
`replace_embeddings` puts other embeddings in their places. `last_token_attention`, `embeds_per_row`,
`vision_readings` and `gather_remaining` read what methods rank by. A method is a function from state to state, so
methods compose: one may drop tokens before the decoder, and the next goes on from there.

S tokens that are left in the longest row; n visual tokens that are left in a row; other letters as in `types.py`.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Literal

import torch
from torch import Tensor

from glimpse_core.costs.schedule import Cache, Drop, schedule
from glimpse_core.engine import prefix as verbs
from glimpse_core.engine.attention import peek
from glimpse_core.engine.decoder import filled_layers
from glimpse_core.engine.prefix import fork, keep, places
from glimpse_core.errors import GlimpseError
from glimpse_core.pruners.sharing import Results, SharedWork
from glimpse_core.types import Prefix, Prompt, Pruned, Scores, Vision, VisionReadings, VisionReads

if TYPE_CHECKING:
    from glimpse_core.glimpse.model import LoadedModel

Positions = Literal["published", "original", "renumbered"]


@dataclass(frozen=True)
class PruningState:
    """A prompt stopped between two decoder layers, and what has been dropped of it so far.

    Attributes:
        shared: the question, and what its pruners share.
        results: what pruners share that have exactly these tokens left. `drop` and `replace_embeddings`, which change
            the tokens, start with none.
        prefix: the tokens that are left.
        visual: (B, S) bool, True at visual tokens.
        indices: per row (n,) int64: which of the row's visual tokens, counted in raster order from 0, stands in each
            visual place of the sequence; -1 for a token that is no part of the grid (VisionZip's class token).
        totals: visual tokens of every row before anything was dropped.
        trunk: all tokens, stopped where the first were dropped; None while none are.
        drops: per row, what was dropped where.
        scores: of a predictor, for methods that have one.
        seen: visual tokens that the vision tower made for this run, per row; None: as many as `totals`.
    """

    shared: SharedWork
    results: Results
    prefix: Prefix
    visual: Tensor
    indices: tuple[Tensor, ...]
    totals: tuple[int, ...]
    trunk: Prefix | None = None
    drops: tuple[tuple[Drop, ...], ...] = ()
    scores: Scores | None = None
    seen: tuple[int, ...] | None = None

    @property
    def model(self) -> LoadedModel:
        """The model that the prompt runs through."""
        return self.shared.model

    @property
    def prompt(self) -> Prompt:
        """The whole prompt, before anything was dropped."""
        return self.shared.prompt

    @property
    def vision(self) -> Vision:
        """What the vision tower gave for the whole prompt. Raises a ValueError in methods that never look."""
        return self.shared.require_vision()

    @property
    def one_axis(self) -> bool:
        """Positions are plain numbers (LLaVA), not time, row and column (Qwen)."""
        return self.prefix.positions.ndim == 2

    @property
    def counts(self) -> list[int]:
        """Visual tokens that are left, per row."""
        return [len(indices) for indices in self.indices]


def begin(shared: SharedWork) -> PruningState:
    """All tokens, before the first layer. Without `shared.vision` there are no embeddings in the visual places."""
    model, prompt = shared.model, shared.prompt
    start = shared.whole.prefix(0, lambda: model.backbone.start(prompt, shared.vision), lambda stop: stop)
    counts = model.backbone.tokens_per_row(prompt)
    indices = tuple(torch.arange(count, device=start.hidden.device) for count in counts)
    visual = model.backbone.visual(prompt)
    return PruningState(shared, shared.whole, start, visual, indices, tuple(counts), drops=((),) * len(counts))


def advance(state: PruningState, depth: int) -> PruningState:
    """Run layers up to `depth`. Pruners of the same question that have the same tokens left share the work."""
    if depth < state.prefix.depth:
        raise GlimpseError(
            f"This method works before layer {depth}, but the method before it has run {state.prefix.depth} layers. "
            "Expected the method that drops earlier to come first: change their order."
        )
    text = state.model.backbone.text
    prefix = state.results.prefix(depth, lambda: state.prefix, lambda stop: verbs.advance(text, stop, depth))
    return replace(state, prefix=prefix)


def drop(
    state: PruningState, kept: Sequence[Tensor], *, cache: Cache = "pruned", positions: Positions = "original"
) -> PruningState:
    """Drop visual tokens.

    Args:
        state: where the tokens are dropped.
        kept: per row (n,) bool, False for those to drop.
        cache: what happens to the layers that have run, as in `engine.prefix.keep`.
        positions: as in `engine.prefix.keep`; "published" is what the authors' ports do, which renumber with one
            position axis (LLaVA) and keep the original positions with several (Qwen).
    """
    prefix = state.prefix
    _check_cache(state, cache)
    if positions == "published":
        positions = "renumbered" if state.one_axis else "original"
    device = prefix.hidden.device
    real = torch.ones_like(state.visual) if prefix.padding is None else prefix.padding
    mask = real.masked_scatter(state.visual, torch.cat([own.to(device) for own in kept]))
    order, found = places(mask)
    indices = tuple(own[mask.to(device)] for own, mask in zip(state.indices, kept, strict=True))
    drops = tuple(
        (*before, Drop(prefix.depth, len(left), cache)) for before, left in zip(state.drops, indices, strict=True)
    )
    return replace(
        state,
        results=Results(),
        prefix=keep(prefix, mask, cache=cache, positions=positions),
        visual=state.visual.gather(1, order) & found,
        indices=indices,
        trunk=state.trunk or prefix,
        drops=drops,
    )


def _check_cache(state: PruningState, cache: Cache) -> None:
    prefix = state.prefix
    if cache == "untouched" and prefix.depth and (len(state.indices) > 1 or prefix.padding is not None):
        raise GlimpseError(
            'cache is "untouched", which leaves caches of unequal length, and the batch has several rows or padding. '
            'Expected a single row without padding: ask one question at a time, or choose cache="pruned".'
        )
    longer = any(layer.get_seq_length() != prefix.hidden.shape[1] for layer in filled_layers(prefix))
    if cache == "pruned" and longer:
        raise GlimpseError(
            'cache is "pruned", but the method before this one left the caches of its layers whole. Expected the same '
            'for both: choose cache="pruned" for that one, or "untouched" for this one.'
        )


def replace_embeddings(
    state: PruningState, embeds: Sequence[Tensor], indices: Sequence[Tensor] | None = None
) -> PruningState:
    """Put other embeddings in the visual places, before the first layer: what methods that merge tokens need.

    Args:
        state: at depth 0.
        embeds: per row (n, C), in the order of the sequence; with DeepStack (n, C + F * C), as `carried_per_row` gives
            them, so that features still to be added are merged like the tokens that they belong to.
        indices: which visual tokens they stand for, where that changes; see `PruningState.indices`.
    """
    hidden = state.prefix.hidden
    own, *later = torch.cat([part.to(hidden) for part in embeds]).split(hidden.shape[-1], dim=-1)
    places, pending = state.visual[..., None], state.prefix.pending
    if len(later) != (0 if pending is None else len(pending)):
        raise ValueError(f"The embeddings have {len(later)} features to be added. Expected as many as the prefix has.")
    if pending is not None:
        merged = zip(pending, later, strict=True)
        pending = torch.stack([feature.masked_scatter(places, part) for feature, part in merged])
    prefix = replace(state.prefix, hidden=hidden.masked_scatter(places, own), pending=pending)
    return replace(state, results=Results(), prefix=prefix, indices=tuple(indices or state.indices))


def last_token_attention(state: PruningState, *, rope: bool = True) -> tuple[Tensor, ...]:
    """The attention that the last token of every row pays to the visual tokens in the next layer.

    Args:
        state: stopped before that layer.
        rope: the layer's queries and keys are rotated by their positions, as always; False ranks without positions.

    Returns:
        Per row (n,) float32: softmax over all tokens that are left, averaged over heads.
    """
    logits = peek(state.model.backbone.text, state.prefix, rope).float()
    if state.prefix.padding is not None:
        logits = logits.masked_fill(~state.prefix.padding[:, None], -torch.inf)
    return per_row(state, logits.softmax(-1).mean(1))


def per_row(state: PruningState, values: Tensor) -> tuple[Tensor, ...]:
    """Of values for all tokens (B, S, ...) those of the visual tokens, per row (n, ...)."""
    rows: tuple[Tensor, ...] = values[state.visual].split(state.counts)
    return rows


def embeds_per_row(state: PruningState) -> tuple[Tensor, ...]:
    """What stands in the visual places now, per row (n, C)."""
    return per_row(state, state.prefix.hidden)


def carried_per_row(state: PruningState) -> tuple[Tensor, ...]:
    """What stands in the visual places, beside it the features still to be added: per row (n, C + F * C)."""
    pending = () if state.prefix.pending is None else state.prefix.pending
    return per_row(state, torch.cat([state.prefix.hidden, *pending], dim=-1))


def gather_remaining(state: PruningState, values: Tensor) -> tuple[Tensor, ...]:
    """Of values for all visual tokens of the prompt those of the tokens that are left.

    Args:
        state: which tokens are left.
        values: (N, ...), all rows in order, each in raster order.

    Returns:
        Per row (n, ...), in the order of the sequence.

    Raises:
        GlimpseError: where a token is left that is no part of the grid.
    """
    if any(bool((indices < 0).any()) for indices in state.indices):
        raise GlimpseError(
            "The method before this one added a token that is no part of the image (VisionZip's class token). "
            "Expected image tokens only: build that method with summary=False."
        )
    rows = values.split(list(state.totals))
    return tuple(row[indices.to(row.device)] for row, indices in zip(rows, state.indices, strict=True))


def vision_readings(state: PruningState, reads: VisionReads) -> VisionReadings:
    """What `reads` names from inside the vision tower. Runs the tower again if `vision` came without it."""
    return state.shared.vision_readings(reads)


def result(state: PruningState) -> Pruned:
    """What a pruner returns for a state in which nothing more is dropped."""
    device, layers = state.prefix.hidden.device, state.model.backbone.layers
    kept = []
    for indices, total in zip(state.indices, state.totals, strict=True):
        mask = torch.zeros(total, dtype=torch.bool, device=device)
        mask[indices[indices >= 0]] = True
        kept.append(mask)
    schedules = tuple(
        schedule(layers, total, drops, seen)
        for total, drops, seen in zip(state.totals, state.drops, state.seen or state.totals, strict=True)
    )
    trunk = state.trunk or state.prefix
    branch = state.prefix if state.trunk else fork(trunk)
    return Pruned(None if state.shared.vision is None else trunk, branch, tuple(kept), state.scores, schedules)
