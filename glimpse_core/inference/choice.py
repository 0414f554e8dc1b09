"""From scores and `Settings` to the tokens that an answer goes on with; no model runs."""

from __future__ import annotations

from collections.abc import Callable, Sequence

import torch
from torch import Tensor

from glimpse_core.glimpse.selection import ERASED, PAINTED, paint, select
from glimpse_core.pruners.random import random_mask
from glimpse_core.types import Grid, Kept, Settings

# Control -> its mask (N,) bool, given that of the selection and the seed. The settings' table has the same names.
CONTROLS: dict[str, Callable[[Tensor, int], Tensor]] = {
    "random": lambda mask, seed: random_mask(len(mask), int(mask.sum()), seed),
    "inverse": lambda mask, seed: ~mask,
}


def choose(logits: Tensor, grids: Sequence[Grid], settings: Settings) -> Kept:
    """Which of the N visual tokens of a prompt are kept.

    Args:
        logits: VIP logits (N,) of all images in prompt order, tokens in raster order.
        grids: token grid of every image.
        settings: rule, budget, anchors, manual edits and control, applied in this order.

    Returns:
        Mask and reasons (N,). A control's tokens count as painted or erased: no score decides about them.

    Raises:
        GlimpseError: for anchors with several images, and for edits outside the images.
    """
    only = grids[0] if len(grids) == 1 else None
    kept = paint(select(logits, settings.selection, only, budget=settings.budget), settings.edits.strokes)
    if not settings.edits.control:
        return kept
    mask = CONTROLS[settings.edits.control](kept.mask, settings.edits.seed)
    return Kept(mask, torch.where(mask, PAINTED, ERASED).to(torch.uint8))
