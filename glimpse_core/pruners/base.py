"""The protocol of pruners, and how a budget becomes a number of tokens."""

from __future__ import annotations

from numbers import Integral, Real
from typing import TYPE_CHECKING, Protocol

from glimpse_core.engine.attention import Probe
from glimpse_core.engine.prefix import BeforeLayer, advance
from glimpse_core.errors import GlimpseError
from glimpse_core.pruners.sharing import SharedWork
from glimpse_core.types import Prefix, Prompt, Pruned, Vision

if TYPE_CHECKING:
    from glimpse_core.glimpse.model import LoadedModel


class Pruner(Protocol):
    """Anything that decides which visual tokens of a prompt are kept, by calling it.

    It acts in the prefill only and changes nothing: neither the model nor its arguments. `method.Method` is the base
    class of the pruners in this package; a frozen dataclass with a field `model` and `__call__` satisfies the protocol.
    """

    @property
    def model(self) -> LoadedModel:
        """The model that it was made for."""
        ...

    def __call__(self, prompt: Prompt, vision: Vision | None = None, shared: SharedWork | None = None) -> Pruned:
        """Prune a prompt.

        Args:
            prompt: one or several rows.
            vision: what the vision tower gave for it; None: the pruner runs the tower as it needs it.
            shared: what pruners of the same question share; None: it does all of the work itself.
        """
        ...


def prefill_without_glimpse(
    model: LoadedModel,
    prompt: Prompt,
    vision: Vision,
    before_layer: BeforeLayer | None = None,
    start: Prefix | None = None,
    probe: Probe | None = None,
) -> Prefix:
    """The whole prompt after `model.shared_depth` layers, without a glimpse token.

    Args:
        before_layer, probe: as in `engine.prefix.advance`; the first may raise to stop the work.
        start: the prompt at depth 0, where not all of it is to be run; None: all of it.
    """
    start = start or model.backbone.start(prompt, vision)
    return advance(model.backbone.text, start, model.shared_depth, before_layer=before_layer, probe=probe)


def tokens(total: int, ratio: float, count: int | None = None) -> int:
    """The number of visual tokens that a budget allows.

    All methods round alike, so that equal budgets are equal counts; their authors' code rounds now up, now down.

    Args:
        total: visual tokens of the row.
        ratio: share of them, from 0 to 1; ignored where `count` is given.
        count: number of tokens.

    Returns:
        At most `total`; the product is rounded to the nearest number, and is at least 1 unless the ratio is 0.
    """
    if count is not None:
        return min(count, total)
    return min(max(round(ratio * total), int(ratio > 0)), total)


def check_budget(ratio: float | None, count: int | None) -> None:
    """Raise a GlimpseError for a budget that makes no sense. None: not given."""
    if ratio is not None and not (isinstance(ratio, Real) and 0 <= ratio <= 1):
        raise GlimpseError(f"ratio is {ratio!r}. Expected a share of the visual tokens: choose a number from 0 to 1.")
    if count is not None and not (isinstance(count, Integral) and count >= 0):
        raise GlimpseError(f"count is {count!r}. Expected a number of visual tokens: choose 0, 1, 2, ...")
