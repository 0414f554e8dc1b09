"""Visual tokens by decoder layer and what they cost: the common measure of all pruning methods.

Methods that drop tokens before the decoder, at one layer or at several, and that do or do not shorten the caches of
the layers already run, are compared by the same figures here. `cost.py` states the conventions of counting FLOPs.
Arithmetic only, no torch.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Literal

from glimpse_core.costs import flops
from glimpse_core.costs.flops import Attention, prefill_layer
from glimpse_core.costs.kv_cache import dtype_bytes
from glimpse_core.costs.shape import Shape
from glimpse_core.errors import GlimpseError
from glimpse_core.types import Grid, Schedule

Cache = Literal["pruned", "untouched"]


@dataclass(frozen=True)
class Drop:
    """One step of a method that drops visual tokens."""

    depth: int  # decoder layers that have run before the drop; 0 is before the decoder
    left: int  # visual tokens that are left from layer `depth` on
    cache: Cache = "pruned"  # of the layers already run, as in `prefix.keep`


def schedule(layers: int, total: int, drops: Iterable[Drop], seen: int | None = None) -> Schedule:
    """Return the schedule of one row.

    Args:
        layers: number of decoder layers.
        total: visual tokens before any is dropped.
        drops: in the order in which they happen.
        seen: tokens that the vision tower makes. None: all.
    """
    alive, cached = [total] * layers, [total] * layers
    for drop in drops:
        alive[drop.depth :] = [drop.left] * (layers - drop.depth)
        first = 0 if drop.cache == "pruned" else drop.depth
        cached[first:] = [drop.left] * (layers - first)
    return Schedule(total, tuple(alive), tuple(cached), total if seen is None else seen)


def prefill_share(plan: Schedule) -> float:
    """Return the share of the visual tokens that the layers run on in the prefill, averaged over layers."""
    return sum(plan.alive) / len(plan.alive) / plan.total if plan.total else 1.0


def kv_share(plan: Schedule) -> float:
    """Return the share of the visual tokens that the caches hold while answering, averaged over layers.

    This is the published comparison's budget ("average retention of the visual tokens' KV cache during decoding").
    """
    return sum(plan.cached) / len(plan.cached) / plan.total if plan.total else 1.0


def final_share(plan: Schedule) -> float:
    """Return the share of the visual tokens that are left after the last drop."""
    return plan.final / plan.total if plan.total else 1.0


@dataclass(frozen=True)
class ScheduleCosts:
    """Costs of one question under a schedule and, with `full_`, of the same question unpruned, as `cost.py` counts."""

    decoder_prefill: int  # FLOPs, selector included
    prefill: int  # FLOPs, with the vision tower and one row of the output matrix
    decode: int  # FLOPs of one generated token, the first after the prompt
    kv_bytes: int
    full_decoder_prefill: int
    full_prefill: int
    full_decode: int
    full_kv_bytes: int
    selector: int  # FLOPs of choosing the tokens

    @property
    def decoder_prefill_share(self) -> float:
        """Share of the unpruned decoder prefill's FLOPs."""
        return self.decoder_prefill / self.full_decoder_prefill

    @property
    def prefill_share(self) -> float:
        """Share of the unpruned prefill's FLOPs."""
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
    """Return the costs of one question under a schedule.

    Args:
        shape: the model.
        prompt_length: prompt tokens, visual ones included.
        plan: the schedule of the prompt.
        selector: FLOPs of choosing the tokens, as a method's `selector_flops` counts them.
        grids: of the images before pruning, for exact attention windows in the vision tower. None: one image.
        dtype: of the KV cache, a name such as "bfloat16" or a torch dtype.
        attention: count masked pairs ("full") or not ("causal").

    Raises:
        GlimpseError: schedule, prompt and shape do not fit, or the dtype is unknown.
    """
    text = shape.text
    words = _words(shape, prompt_length, plan)
    unit = 2 * text.kv_heads * text.head_width * dtype_bytes(dtype)
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


def _words(shape: Shape, prompt_length: int, plan: Schedule) -> int:
    """Return the number of prompt tokens that are not visual. Raises GlimpseError for a schedule that does not fit."""
    layers, words = shape.text.layers, prompt_length - plan.total
    if len(plan.alive) != layers or words < 1:
        raise GlimpseError(
            f"The schedule has {len(plan.alive)} layers and {plan.total} visual tokens. Expected {layers} layers "
            f"and fewer tokens than the prompt's {prompt_length}: build the schedule for this model and this prompt."
        )
    return words
