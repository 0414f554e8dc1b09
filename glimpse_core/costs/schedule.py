"""How many visual tokens each decoder layer works on, and what that costs: the common measure of all pruning methods.

Methods that drop tokens before the decoder, at one layer or at several, and that do or do not shorten the caches of
the layers already run, are compared by the same figures here. `cost.py` states the conventions of counting FLOPs.
Arithmetic only, no torch.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Literal

from glimpse_core.costs import flops
from glimpse_core.costs.cost import DTYPE_BYTES
from glimpse_core.costs.flops import Attention, prefill_layer
from glimpse_core.costs.shape import Shape
from glimpse_core.errors import GlimpseError
from glimpse_core.types import Grid, Schedule

Cache = Literal["pruned", "untouched"]


@dataclass(frozen=True)
class Drop:
    """`left` visual tokens are left from layer `depth` on; 0 is before the decoder. cache: see `prefix.keep`."""

    depth: int
    left: int
    cache: Cache = "pruned"


def schedule(layers: int, total: int, drops: Iterable[Drop], seen: int | None = None) -> Schedule:
    """The schedule of one row with `total` visual tokens in a decoder of `layers` layers. seen: see `Schedule`."""
    alive, cached = [total] * layers, [total] * layers
    for drop in drops:
        alive[drop.depth :] = [drop.left] * (layers - drop.depth)
        first = 0 if drop.cache == "pruned" else drop.depth
        cached[first:] = [drop.left] * (layers - first)
    return Schedule(total, tuple(alive), tuple(cached), total if seen is None else seen)


def prefill_share(plan: Schedule) -> float:
    """Visual tokens that the layers run on in the prefill, averaged over layers, as a share of all."""
    return sum(plan.alive) / len(plan.alive) / plan.total if plan.total else 1.0


def kv_share(plan: Schedule) -> float:
    """Visual tokens that the caches hold while answering, averaged over layers, as a share of all.

    This is the published comparison's budget ("average retention of the visual tokens' KV cache during decoding").
    """
    return sum(plan.cached) / len(plan.cached) / plan.total if plan.total else 1.0


def final_share(plan: Schedule) -> float:
    """Visual tokens that are left behind the last drop, as a share of all."""
    return plan.final / plan.total if plan.total else 1.0


@dataclass(frozen=True)
class ScheduleCosts:
    """One question under a schedule, beside the same question unpruned. FLOPs and bytes as in `cost.py`.

    decoder_prefill counts the selector in, prefill the vision tower and one row of the output matrix too. decode is
    one generated token, the first behind the prompt.
    """

    decoder_prefill: int
    prefill: int
    decode: int
    kv_bytes: int
    full_decoder_prefill: int
    full_prefill: int
    full_decode: int
    full_kv_bytes: int
    selector: int

    @property
    def decoder_prefill_share(self) -> float:
        return self.decoder_prefill / self.full_decoder_prefill

    @property
    def prefill_share(self) -> float:
        return self.prefill / self.full_prefill


def schedule_cost(
    shape: Shape,
    prompt_length: int,
    plan: Schedule,
    *,
    selector: int = 0,
    grids: Sequence[Grid] | None = None,
    dtype: object = "bfloat16",
    attention: Attention = "full",
) -> ScheduleCosts:
    """The costs of one question of `prompt_length` tokens, visual ones included, under a schedule.

    selector: FLOPs of choosing the tokens, which every method's `selector_flops` gives. grids: of the pictures before
    pruning, for exact attention windows in the vision tower.
    """
    text, name = shape.text, str(dtype).removeprefix("torch.")
    words = prompt_length - plan.total
    if len(plan.alive) != text.layers or words < 1:
        raise GlimpseError(
            f"the schedule has {len(plan.alive)} layers and {plan.total} visual tokens of a prompt of {prompt_length}, "
            f"but the shape has {text.layers} layers: build the schedule for this model and this prompt"
        )
    if name not in DTYPE_BYTES:
        raise GlimpseError(f"The KV cache's dtype is {name!r}; known are {', '.join(DTYPE_BYTES)}.")
    unit = 2 * text.kv_heads * text.head_width * DTYPE_BYTES[name]
    sizes = None if grids is None else [(grid.rows, grid.cols) for grid in grids]
    smaller = sizes if plan.seen == plan.total else None

    def prefill(alive: Sequence[int]) -> int:
        return sum(prefill_layer(text, words + tokens, attention) for tokens in alive)

    def decode(cached: Sequence[int]) -> int:
        return sum(flops.decoder_layer(text, 1, words + tokens + 1) for tokens in cached) + flops.output_matrix(text)

    everything = (plan.total,) * text.layers
    decoder, full = prefill(plan.alive) + selector, prefill(everything)
    head = flops.output_matrix(text)
    return ScheduleCosts(
        decoder_prefill=decoder,
        prefill=decoder + flops.vision_tower(shape.vision, plan.seen, smaller) + head,
        decode=decode(plan.cached),
        kv_bytes=unit * sum(words + tokens for tokens in plan.cached),
        full_decoder_prefill=full,
        full_prefill=full + flops.vision_tower(shape.vision, plan.total, sizes) + head,
        full_decode=decode(everything),
        full_kv_bytes=unit * (words + plan.total) * text.layers,
        selector=selector,
    )
