"""What every pruner shares: the protocol, and dropping tokens behind layer K by a mask.

A pruner is a frozen dataclass with `__call__(prompt) -> Pruned`; it may run the model as it likes. `vision` may be
handed in when the pictures have been seen already.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Protocol

from torch import Tensor

from glimpse_core.prefix import BeforeLayer, advance, fork, keep
from glimpse_core.sharing import once
from glimpse_core.types import Prefix, Prompt, Pruned, Scores, Vision

if TYPE_CHECKING:
    from glimpse_core.model import GlimpseModel


class Pruner(Protocol):
    """See the module docstring."""

    model: GlimpseModel

    def __call__(self, prompt: Prompt, vision: Vision | None = None) -> Pruned: ...


def plain_trunk(
    model: GlimpseModel, prompt: Prompt, vision: Vision | None, before_layer: BeforeLayer | None = None
) -> Prefix:
    """The prompt at depth K + 1, without a glimpse token."""
    return plain(model, prompt, vision, model.keep_depth, before_layer)


def plain(
    model: GlimpseModel,
    prompt: Prompt,
    vision: Vision | None,
    depth: int,
    before_layer: BeforeLayer | None = None,
) -> Prefix:
    """The whole prompt stopped before layer `depth`. Inside `sharing()` no layer is run twice for the same `vision`."""
    stops: dict[int, Prefix] = {} if vision is None else once("plain", (model, prompt, vision), dict)
    nearest = max((stop for stop in stops if stop <= depth), default=None)
    start = model.backbone.start(prompt, vision or model.backbone.see(prompt)) if nearest is None else stops[nearest]
    stops[depth] = advance(model.backbone.text, fork(start), depth, before_layer=before_layer)
    return fork(stops[depth])


def cut(
    model: GlimpseModel, prompt: Prompt, trunk: Prefix, kept: tuple[Tensor, ...], scores: Scores | None = None
) -> Pruned:
    """Drop from the trunk what `kept` (one (N_b,) bool per row) does not keep."""
    mask = model.backbone.keep_mask(prompt, kept)
    return Pruned(trunk, keep(trunk, mask), kept, scores)
