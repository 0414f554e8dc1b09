"""What every pruner shares: the protocol, the untouched trunk, and the budget.

A pruner is a frozen dataclass with `__call__(prompt) -> Pruned`; it may run the model as it likes. `vision` may be
handed in when the pictures have been seen already, `shared` when other pruners are asked about the same question.
`method.py` has the base class that the methods here are made of.
"""

from __future__ import annotations

from numbers import Integral, Real
from typing import TYPE_CHECKING, Protocol

from glimpse_core.engine.prefix import BeforeLayer, advance
from glimpse_core.errors import GlimpseError
from glimpse_core.pruners.sharing import SharedWork
from glimpse_core.types import Prefix, Prompt, Pruned, Vision

if TYPE_CHECKING:
    from glimpse_core.glimpse.model import GlimpseModel


class Pruner(Protocol):
    """See the module docstring."""

    model: GlimpseModel

    def __call__(self, prompt: Prompt, vision: Vision | None = None, shared: SharedWork | None = None) -> Pruned: ...


def plain_trunk(model: GlimpseModel, prompt: Prompt, vision: Vision, before_layer: BeforeLayer | None = None) -> Prefix:
    """The prompt at depth K + 1, without a glimpse token."""
    start = model.backbone.start(prompt, vision)
    return advance(model.backbone.text, start, model.keep_depth, before_layer=before_layer)


def tokens(total: int, ratio: float, count: int | None = None) -> int:
    """The budget of a row with `total` visual tokens: `count` if given, else `ratio` of them rounded to the nearest.

    At most all; at least one, unless the budget says zero. All methods round alike, so that equal budgets are equal
    counts; their authors' code rounds now up, now down.
    """
    if count is not None:
        return min(count, total)
    return min(max(round(ratio * total), int(ratio > 0)), total)


def check_budget(ratio: float | None, count: int | None) -> None:
    """Raise a GlimpseError for a budget that makes no sense."""
    if ratio is not None and not (isinstance(ratio, Real) and 0 <= ratio <= 1):
        raise GlimpseError(f"ratio is {ratio!r}, but a share of the visual tokens is needed: choose from 0 to 1")
    if count is not None and not (isinstance(count, Integral) and count >= 0):
        raise GlimpseError(f"count is {count!r}, but a number of visual tokens is needed: choose 0, 1, 2, ...")
