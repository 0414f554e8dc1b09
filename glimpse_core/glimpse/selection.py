"""From scores to kept tokens: threshold, cap, floor, anchors, paint.

Pure functions on small CPU tensors; no model in sight. N visual tokens of one prompt, all images together: the cap and
the floor are shared by the images of a prompt.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from numbers import Integral, Real
from typing import Literal

import torch
from torch import Tensor

from glimpse_core.errors import GlimpseError
from glimpse_core.types import Grid, Kept, Selection

BELOW, ABOVE, CAPPED, FLOOR, ANCHOR, PAINTED, ERASED = range(7)
REASONS = (
    "dropped by the threshold",
    "kept by the threshold",
    "dropped by the cap",
    "kept by the floor",
    "kept as an anchor",
    "painted in",
    "erased",
)
ANCHORS = ("tl", "tr", "bl", "br")


def check(selection: Selection) -> None:
    """Raise a `GlimpseError` that names the first setting that makes no sense."""
    if not (isinstance(selection.threshold, Real) and 0 <= selection.threshold <= 1):
        raise GlimpseError(
            f"threshold is {selection.threshold!r}, but a probability is needed: choose a number from 0 to 1"
        )
    ratio = selection.max_ratio
    if ratio is not None and not (isinstance(ratio, Real) and math.isfinite(ratio) and ratio >= 0):
        raise GlimpseError(
            f"max_ratio is {ratio!r}, but a share is needed: choose a number from 0 to 1, or None for no cap"
        )
    if not (isinstance(selection.min_tokens, Integral) and selection.min_tokens >= 0):
        raise GlimpseError(f"min_tokens is {selection.min_tokens!r}, but a count is needed: choose 0, 1, 2, ...")
    unknown = [name for name in selection.anchors if name not in ANCHORS]
    if unknown:
        raise GlimpseError(
            f"anchors has {unknown}, but only the corners {', '.join(ANCHORS)} are known: leave the others out"
        )


def select(
    logits: Tensor, selection: Selection, grid: Grid | None = None, ties: Literal["position", "topk"] = "position"
) -> Kept:
    """Which of N tokens are kept, given their VIP logits (N,). `grid` is needed for anchors only.

    The order is the published one. Threshold: sigmoid(logit) > threshold, strictly. Cap: when more than max_ratio * N
    passed, only the int(max_ratio * N) most probable ones stay (truncated, so possibly none). Floor: when fewer than
    min_tokens are left, the min_tokens most probable ones are added. Anchors: the named corners are added last and
    may exceed the cap.

    ties: of equally probable tokens the earlier wins, which the page relies on; "topk" leaves it to `torch.topk`, as
    the published code does. They differ where masks were given instead of predicted, since then all probabilities are
    0 or 1.
    """
    check(selection)
    probabilities = logits.sigmoid()
    count = len(probabilities)
    mask = probabilities > selection.threshold
    reason = mask.to(torch.uint8)  # BELOW, ABOVE
    if selection.max_ratio is not None and count and int(mask.sum()) / count > selection.max_ratio:
        capped = top_mask(probabilities, int(selection.max_ratio * count), ties)
        reason[mask & ~capped] = CAPPED
        mask = capped
    if int(mask.sum()) < selection.min_tokens:
        best = top_mask(probabilities, min(selection.min_tokens, count), ties)
        reason[best & ~mask] = FLOOR
        mask = mask | best
    if selection.anchors:
        corners = torch.zeros_like(mask)
        corners[anchor_tokens(selection.anchors, grid)] = True
        reason[corners & ~mask] = ANCHOR
        mask = mask | corners
    return Kept(mask, reason)


def top_mask(scores: Tensor, count: int, ties: Literal["position", "topk"] = "position") -> Tensor:
    """(N,) bool, the `count` (at most N) highest of scores (N,). ties: as in `select`."""
    mask = torch.zeros(len(scores), dtype=torch.bool, device=scores.device)
    count = min(count, len(scores))
    if ties == "topk":
        mask[scores.topk(count).indices] = True
    else:
        mask[scores.argsort(descending=True, stable=True)[:count]] = True
    return mask


def anchor_tokens(anchors: tuple[str, ...], grid: Grid | None) -> list[int]:
    """Raster indices of the named corners."""
    if grid is None:
        raise GlimpseError(
            "anchors are corners of one image, but the prompt has several: remove the anchors or ask with one image"
        )
    corners = {
        "tl": 0,
        "tr": grid.cols - 1,
        "bl": (grid.rows - 1) * grid.cols,
        "br": grid.tokens - 1,
    }
    return [corners[name] for name in anchors]


def paint(kept: Kept, strokes: Mapping[int, bool]) -> Kept:
    """A person's last word: token index -> keep (True) or drop (False)."""
    count = len(kept.mask)
    wrong = [index for index in strokes if not (isinstance(index, Integral) and 0 <= index < count)]
    if wrong:
        raise GlimpseError(
            f"paint names tokens {wrong[:5]}, but the picture has tokens 0 to {count - 1}: paint inside the picture"
        )
    mask, reason = kept.mask.clone(), kept.reason.clone()
    for index, on in strokes.items():
        mask[index] = bool(on)
        reason[index] = PAINTED if on else ERASED
    return Kept(mask, reason)
