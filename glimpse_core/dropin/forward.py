"""The published classes' `forward`: the stock one, or one pass over a prompt with images whose tokens are pruned."""

from __future__ import annotations

import functools
import inspect
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from torch import Tensor
from transformers import DynamicCache
from transformers.modeling_outputs import CausalLMOutputWithPast

from glimpse_core.dropin.model import DropIn
from glimpse_core.dropin.settings import take
from glimpse_core.errors import GlimpseError
from glimpse_core.inference.decoding import finish
from glimpse_core.inference.generation import on_device
from glimpse_core.inference.generation_checks import NO_VIDEO, mark
from glimpse_core.pruners import Pruner


@dataclass
class PrunedOutput(CausalLMOutputWithPast):
    """What `model(..., do_selection=True)` returns, padded on the left. The attributes have their published names.

    Attributes:
        logits: (B, R, vocabulary).
        image_token_mask_logits: per row (outputs, N_b), the last output decides; None for pruners that do not score.
        image_token_bool_masks: per row (N_b,) bool, True where kept.
        attention_mask: (B, R), 1 where real.
        position_ids: (A, B, R) or (B, R).
    """

    image_token_mask_logits: tuple[Tensor, ...] | None = None
    image_token_bool_masks: tuple[Tensor, ...] | None = None
    attention_mask: Tensor | None = None
    position_ids: Tensor | None = None


def selecting(stock: Callable[..., Any]) -> Callable[..., Any]:
    """Make the `forward` of a drop-in class: the stock one, unless images are given and are to be pruned."""
    names = list(inspect.signature(stock).parameters)[1:]

    @functools.wraps(stock)  # generate looks at the signature
    def forward(self: DropIn, *args: Any, do_selection: bool | None = None, **kwargs: Any) -> Any:
        kwargs |= dict(zip(names, args, strict=False))
        given = take(kwargs)
        kwargs = self._published(kwargs)
        video = kwargs.get("pixel_values_videos") is not None
        nothing = kwargs.get("pixel_values") is None and not video
        if nothing or (do_selection is None and kwargs.get("labels") is not None):
            return stock(self, **kwargs)
        pruner = self._pruner(do_selection, given)
        if pruner is not None and video:
            raise GlimpseError(NO_VIDEO)
        return stock(self, **kwargs) if pruner is None else _pruned(pruner, **kwargs)

    return forward


def _refuse(others: dict[str, Any]) -> None:
    """Raise GlimpseError for arguments that a pruned pass does not take, where they are set."""
    refused = sorted(name for name, value in others.items() if value is not None and value is not False)
    if refused:
        raise GlimpseError(
            f"{', '.join(refused)} was given. Expected input_ids and images alone for pruning: leave it out, or pass "
            "do_selection=False."
        )


def _pruned(
    pruner: Pruner,
    *,
    pixel_values: Tensor,
    input_ids: Tensor | None = None,
    attention_mask: Tensor | None = None,
    image_grid_thw: Tensor | None = None,
    use_cache: bool | None = None,
    logits_to_keep: int = 0,
    return_dict: bool | None = None,
    mm_token_type_ids: Tensor | None = None,  # made anew
    position_ids: Tensor | None = None,  # made anew
    **others: Any,
) -> PrunedOutput | tuple[Any, ...]:
    """One pass over a prompt with images, pruned."""
    _refuse(others)
    if input_ids is None:
        raise GlimpseError(
            "input_ids were not given. Expected them for pruning: give them, or pass do_selection=False."
        )
    backbone = pruner.model.backbone
    prompt = on_device(backbone, input_ids, attention_mask, pixel_values, image_grid_thw)
    result = pruner(prompt)
    prefix = finish(backbone, result.branch)
    cache: DynamicCache | None = None if use_cache is False else prefix.cache
    if cache is not None:
        mark(cache, prefix, prompt)
    padding = prefix.padding
    out = PrunedOutput(
        logits=backbone.logits(prefix.hidden[:, -logits_to_keep:]),
        past_key_values=cache,
        image_token_mask_logits=None if result.scores is None else result.scores.logits,
        image_token_bool_masks=result.kept,
        attention_mask=prefix.hidden.new_ones(prefix.hidden.shape[:2]).long() if padding is None else padding.long(),
        position_ids=prefix.positions,
    )
    return out.to_tuple() if return_dict is False else out
