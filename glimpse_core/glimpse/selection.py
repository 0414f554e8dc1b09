"""From scores to kept tokens: threshold, cap, floor or a budget; then anchors and manual edits.

Pure functions on small CPU tensors; no model in sight. N visual tokens of one prompt, all images together: the cap and
the floor are shared by the images of a prompt.
"""

from __future__ import annotations

from collections.abc import Mapping
from numbers import Integral
from typing import Literal

import torch
from torch import Tensor

from glimpse_core.errors import GlimpseError
from glimpse_core.glimpse.settings import check
from glimpse_core.types import Grid, Kept, Selection

BELOW, ABOVE, CAPPED, FLOOR, ANCHOR, PAINTED, ERASED, WITHIN, BEYOND = range(9)
REASONS = (
    "dropped by the threshold",
    "kept by the threshold",
    "dropped by the cap",
    "kept by the floor",
    "kept as an anchor",
    "painted in",
    "erased",
    "kept within the budget",
    "dropped beyond the budget",
)
SHARED = dict(zip((ABOVE, CAPPED), ("kept within the share", "dropped beyond the share"), strict=True))
REASONS_BY_RANK = tuple(SHARED.get(code, reason) for code, reason in enumerate(REASONS))  # without a threshold


def select(
    logits: Tensor,
    selection: Selection,
    grid: Grid | None = None,
    ties: Literal["position", "topk"] = "position",
    budget: int | None = None,
) -> Kept:
    """Choose which of N visual tokens are kept.

    The order is the published one. Threshold: sigmoid(logit) > threshold, strictly. Cap: when more than max_ratio * N
    passed, only the int(max_ratio * N) most probable ones stay (truncated, but at least one; the authors' first release
    could keep none). Floor: when fewer than min_tokens are left, the min_tokens most probable ones are added. Anchors:
    the named corners are added last and may exceed the cap.

    Args:
        logits: (N,) VIP logits.
        selection: the rule.
        grid: of the image, where there is a single one; needed for anchors only.
        ties: of equally probable tokens the earlier wins ("position", which the page relies on), or `torch.topk`
            decides ("topk"), as in the published code. They differ where masks were given instead of predicted, since
            then all probabilities are 0 or 1.
        budget: keep exactly this number of tokens by rank, or all if there are fewer. Threshold, cap and floor have no
            effect then, and anchors are added as before (not published).

    Returns:
        Mask and reasons, (N,) each.

    Raises:
        GlimpseError: for impossible settings, and for anchors with several images.
    """
    probabilities = logits.sigmoid()
    if selection.threshold == 0 and budget is None:  # everything passes, also what 16 bits would round to 0
        probabilities = logits.float().sigmoid()
    return select_ranked(probabilities, selection, grid, ties, budget)


def select_ranked(
    probabilities: Tensor,
    selection: Selection,
    grid: Grid | None = None,
    ties: Literal["position", "topk"] = "position",
    budget: int | None = None,
) -> Kept:
    """`select`, given what tokens are ranked by. probabilities: (N,) from 0 to 1; other arguments as there."""
    check(selection)
    mask, reason = by_score(probabilities, selection, ties) if budget is None else by_rank(probabilities, budget, ties)
    if selection.anchors:
        corners = torch.zeros_like(mask)
        corners[anchor_tokens(selection.anchors, grid)] = True
        reason[corners & ~mask] = ANCHOR
        mask = mask | corners
    return Kept(mask, reason)


def by_score(probabilities: Tensor, selection: Selection, ties: Literal["position", "topk"]) -> tuple[Tensor, Tensor]:
    """Mask (N,) bool and reasons (N,) uint8 by threshold, cap and floor."""
    count = len(probabilities)
    mask = probabilities > selection.threshold
    reason = mask.to(torch.uint8)  # BELOW, ABOVE
    if selection.max_ratio is not None and count and int(mask.sum()) / count > selection.max_ratio:
        capped = top_mask(probabilities, capacity(selection.max_ratio, count), ties)
        reason[mask & ~capped] = CAPPED
        mask = capped
    if int(mask.sum()) < selection.min_tokens:
        best = top_mask(probabilities, min(selection.min_tokens, count), ties)
        reason[best & ~mask] = FLOOR
        mask = mask | best
    return mask, reason


def capacity(ratio: float, count: int) -> int:
    """Number of tokens that a cap leaves of `count`: the share is cut off to a whole number, and is at least 1."""
    return max(1, int(ratio * count))


def by_rank(probabilities: Tensor, budget: int, ties: Literal["position", "topk"]) -> tuple[Tensor, Tensor]:
    """Mask (N,) bool of the `budget` most probable tokens, and reasons (N,) uint8."""
    mask = top_mask(probabilities, budget, ties)
    return mask, torch.where(mask, WITHIN, BEYOND).to(torch.uint8)


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
            "anchors are given, and the prompt has several images. Expected a single one, whose corners they are: "
            "remove the anchors, or ask with one image."
        )
    corners = {
        "tl": 0,
        "tr": grid.cols - 1,
        "bl": (grid.rows - 1) * grid.cols,
        "br": grid.tokens - 1,
    }
    return [corners[name] for name in anchors]


def paint(kept: Kept, strokes: Mapping[int, bool]) -> Kept:
    """Apply manual edits, which override every rule.

    Args:
        kept: of N tokens.
        strokes: token index -> keep (True) or drop (False).

    Raises:
        GlimpseError: for an index outside the images.
    """
    count = len(kept.mask)
    wrong = [index for index in strokes if not (isinstance(index, Integral) and 0 <= index < count)]
    if wrong:
        raise GlimpseError(
            f"The edits name tokens {wrong[:5]}. Expected tokens 0 to {count - 1}: edit inside the image."
        )
    mask, reason = kept.mask.clone(), kept.reason.clone()
    for index, on in strokes.items():
        mask[index] = bool(on)
        reason[index] = PAINTED if on else ERASED
    return Kept(mask, reason)
