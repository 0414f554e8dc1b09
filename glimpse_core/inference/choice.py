"""From scores and `Settings` to the tokens that an answer goes on with; no model runs."""

from __future__ import annotations

from collections.abc import Callable, Sequence

import torch
from torch import Tensor

from glimpse_core.glimpse.selection import ERASED, PAINTED, paint, select_ranked
from glimpse_core.pruners.random import random_mask
from glimpse_core.types import Grid, Kept, Settings

# Control -> its mask (N,) bool, given that of the selection and the seed. The settings' table has the same names.
CONTROLS: dict[str, Callable[[Tensor, int], Tensor]] = {
    "random": lambda mask, seed: random_mask(len(mask), int(mask.sum()), seed),
    "inverse": lambda mask, seed: ~mask,
}


def choose(logits: Tensor, grids: Sequence[Grid], settings: Settings) -> Kept:
    """`choose_ranked` for a trained predictor. logits: (N,) of all images in prompt order, tokens in raster order."""
    return choose_ranked(logits.float().sigmoid(), grids, settings)


def choose_ranked(relevance: Tensor, grids: Sequence[Grid], settings: Settings) -> Kept:
    """Which of the N visual tokens of a prompt are kept.

    Args:
        relevance: (N,) from 0 to 1, what tokens are ranked by, in the order of the prompt.
        grids: token grid of every image.
        settings: rule, budget, anchors, manual edits and control, applied in this order.

    Returns:
        Mask and reasons (N,). A control's tokens count as painted or erased: no score decides about them.

    Raises:
        GlimpseError: for anchors with several images, and for edits outside the images.
    """
    only = grids[0] if len(grids) == 1 else None
    ruled = select_ranked(relevance, settings.selection, only, budget=settings.budget)
    kept = paint(ruled, settings.edits.strokes)
    if not settings.edits.control:
        return kept
    mask = CONTROLS[settings.edits.control](kept.mask, settings.edits.seed)
    return Kept(mask, torch.where(mask, PAINTED, ERASED).to(torch.uint8))
