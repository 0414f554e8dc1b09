"""A prompt on its way through the decoder, losing visual tokens: what pruning methods are written in.

`Live` is the value, the functions are its verbs: `advance` runs layers, `drop` lets tokens go, `place` puts other
embeddings where tokens are, `last_row` reads attention. A method is a function from `Live` to `Live`, so methods
compose: one may drop tokens before the decoder, the next may go on from there.

S tokens that are left, other letters as in `types.py`; n visual tokens left in a row.
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
from glimpse_core.engine.prefix import fork, keep, places
from glimpse_core.errors import GlimpseError
from glimpse_core.pruners.sharing import Results, SharedWork
from glimpse_core.types import Prefix, Prompt, Pruned, Scores, Vision, VisionReadings, VisionReads

if TYPE_CHECKING:
    from glimpse_core.glimpse.model import GlimpseModel

Positions = Literal["published", "original", "renumbered"]


@dataclass(frozen=True)
class Live:
    """See the module docstring.

    shared: the question. results: what pruners that have exactly these tokens left share; `drop` and `place`, which
    change the tokens, start with none. visual: (B, S) bool, where visual tokens stand. slots: per row (n,) int64, which
    visual token of the row stands in each visual place, in the order of the sequence; -1 for one that is no part of
    the token grid. trunk: all tokens, stopped where the first were dropped. drops: per row. seen: visual tokens that
    the tower made, per row.
    """

    shared: SharedWork
    results: Results
    prefix: Prefix
    visual: Tensor
    slots: tuple[Tensor, ...]
    totals: tuple[int, ...]
    trunk: Prefix | None = None
    drops: tuple[tuple[Drop, ...], ...] = ()
    scores: Scores | None = None
    seen: tuple[int, ...] | None = None

    @property
    def model(self) -> GlimpseModel:
        return self.shared.model

    @property
    def prompt(self) -> Prompt:
        return self.shared.prompt

    @property
    def vision(self) -> Vision | None:
        return self.shared.vision

    @property
    def one_axis(self) -> bool:
        """Positions are plain numbers (LLaVA), not time, row and column (Qwen)."""
        return self.prefix.positions.ndim == 2

    @property
    def counts(self) -> list[int]:
        """n, for every row."""
        return [len(slots) for slots in self.slots]


def begin(shared: SharedWork) -> Live:
    """All tokens, before the first layer. Without `shared.vision` there are no embeddings in the visual places."""
    model, prompt = shared.model, shared.prompt
    start = shared.whole.prefix(0, lambda: model.backbone.start(prompt, shared.vision), lambda stop: stop)
    counts = model.backbone.tokens_per_row(prompt)
    slots = tuple(torch.arange(count, device=start.hidden.device) for count in counts)
    visual = model.backbone.visual(prompt)
    return Live(shared, shared.whole, start, visual, slots, tuple(counts), drops=((),) * len(counts))


def advance(live: Live, depth: int) -> Live:
    """Run layers up to `depth`. Pruners of the same question that have the same tokens left share the work."""
    if depth < live.prefix.depth:
        raise GlimpseError(
            f"this method works before layer {depth}, but the method before it has run {live.prefix.depth} layers: "
            "put the one that drops earlier first"
        )
    text = live.model.backbone.text
    prefix = live.results.prefix(depth, lambda: live.prefix, lambda stop: verbs.advance(text, stop, depth))
    return replace(live, prefix=prefix)


def drop(live: Live, kept: Sequence[Tensor], *, cache: Cache = "pruned", positions: Positions = "original") -> Live:
    """Let visual tokens go, those where `kept` (one (n,) bool per row) is False.

    positions: as `prefix.keep` has them; "published" is what the authors' ports do, which renumber with one position
    axis (LLaVA) and keep the original ids with several (Qwen).
    """
    prefix = live.prefix
    if cache == "untouched" and prefix.depth and (len(live.slots) > 1 or prefix.padding is not None):
        raise GlimpseError(
            'cache is "untouched", which leaves caches of unequal length, but the batch has several rows or padding: '
            'ask one question at a time, or choose cache="pruned"'
        )
    if cache == "pruned" and _longer_caches(prefix):
        raise GlimpseError(
            'the method before this one left the caches of its layers as they were: choose cache="pruned" for it, or '
            '"untouched" for this one'
        )
    if positions == "published":
        positions = "renumbered" if live.one_axis else "original"
    device = prefix.hidden.device
    real = torch.ones_like(live.visual) if prefix.padding is None else prefix.padding
    flat = torch.cat([mask.to(device) for mask in kept])
    mask = real.masked_scatter(live.visual, flat)
    order, found = places(mask)
    slots = tuple(slot[own.to(device)] for slot, own in zip(live.slots, kept, strict=True))
    drops = tuple(
        (*before, Drop(prefix.depth, len(left), cache)) for before, left in zip(live.drops, slots, strict=True)
    )
    return replace(
        live,
        results=Results(),
        prefix=keep(prefix, mask, cache=cache, positions=positions),
        visual=live.visual.gather(1, order) & found,
        slots=slots,
        trunk=live.trunk or prefix,
        drops=drops,
    )


def _longer_caches(prefix: Prefix) -> bool:
    layers = prefix.cache.layers[: prefix.depth]
    return any(layer.get_seq_length() != prefix.hidden.shape[1] for layer in layers)


def place(live: Live, embeds: Sequence[Tensor], slots: Sequence[Tensor] | None = None) -> Live:
    """Other embeddings, one (n, C) per row, in the visual places, in sequence order. Before the decoder only.

    slots: which visual tokens they now stand for, where that changes.
    """
    hidden = live.prefix.hidden
    flat = torch.cat([part.to(hidden) for part in embeds])
    hidden = hidden.masked_scatter(live.visual[..., None], flat)
    prefix = replace(live.prefix, hidden=hidden)
    return replace(live, results=Results(), prefix=prefix, slots=tuple(slots or live.slots))


def last_row(live: Live, *, rope: bool = True) -> tuple[Tensor, ...]:
    """Per row (n,) float32: the share of the last token's attention that each visual token gets in the next layer.

    Softmax over all tokens that are left, averaged over heads. rope: see `attention.peek`.
    """
    logits = peek(live.model.backbone.text, live.prefix, rope).float()
    if live.prefix.padding is not None:
        logits = logits.masked_fill(~live.prefix.padding[:, None], -torch.inf)
    return per_row(live, logits.softmax(-1).mean(1))


def per_row(live: Live, values: Tensor) -> tuple[Tensor, ...]:
    """(B, S, ...) -> per row (n, ...), the visual places only."""
    return values[live.visual].split(live.counts)


def embeds_per_row(live: Live) -> tuple[Tensor, ...]:
    """Per row (n, C): what stands in the visual places now."""
    return per_row(live, live.prefix.hidden)


def of_slots(live: Live, values: Tensor) -> tuple[Tensor, ...]:
    """(N, ...), one entry per visual token of the prompt -> per row (n, ...), those that are left, in their order.

    Raises GlimpseError where a token is left that is no part of the token grid.
    """
    if any(bool((slots < 0).any()) for slots in live.slots):
        raise GlimpseError(
            "the method before this one added a token that is no part of the picture (VisionZip's class token): "
            "build it with summary=False"
        )
    rows = values.split(list(live.totals))
    return tuple(row[slots.to(row.device)] for row, slots in zip(rows, live.slots, strict=True))


def vision_readings(live: Live, reads: VisionReads) -> VisionReadings:
    """What `reads` names from inside the vision tower. Runs the tower again if `vision` came without it."""
    return live.shared.vision_readings(reads)


def result(live: Live) -> Pruned:
    """The pruner's answer."""
    device, layers = live.prefix.hidden.device, live.model.backbone.layers
    kept = []
    for slots, total in zip(live.slots, live.totals, strict=True):
        mask = torch.zeros(total, dtype=torch.bool, device=device)
        mask[slots[slots >= 0]] = True
        kept.append(mask)
    seen = live.seen or live.totals
    schedules = tuple(
        schedule(layers, total, drops, own) for total, drops, own in zip(live.totals, live.drops, seen, strict=True)
    )
    trunk = live.trunk or live.prefix
    branch = live.prefix if live.trunk else fork(trunk)
    return Pruned(None if live.vision is None else trunk, branch, tuple(kept), live.scores, schedules)
