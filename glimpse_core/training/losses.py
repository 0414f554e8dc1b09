"""The published losses of the supervised glimpse stage, as pure functions.

Shapes: N_b visual tokens of sample b, T text positions, V vocabulary. This file knows no model: logits and masks in,
scalars out. Everything is computed in float32, whatever the dtype of the inputs.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from torch import Tensor
from torch.nn import functional

from glimpse_core.types import IGNORED_LABEL


@dataclass(frozen=True)
class LossWeights:
    """Weights of the losses. The defaults are the published ones (GlimpsePrune, arXiv 2508.01548).

    `rank` and `graded` are ours. Dice leaves nearly no probability between 0 and 1, so that the published scores have
    no order within the evidence and none outside: these two give them one, for budgets that are not the evidence's.
    """

    answer: float = 1.0
    mask: float = 1.0  # weight of (dice * Dice + bce * BCE), summed over the VIP's output rows
    dice: float = 1.0
    bce: float = 0.1
    rank: float = 0.0  # `ranking_loss` against graded masks, of the VIP's last output row
    graded: float = 0.0  # `bce_loss` against graded masks, of the VIP's last output row
    epsilon: float = 1e-6  # keeps Dice defined where neither the mask nor the prediction has any weight


@dataclass(frozen=True)
class MaskLosses:
    """Mask losses: a scalar per output row of the VIP, which has one row unless it is deeply supervised."""

    dice: tuple[Tensor, ...]
    bce: tuple[Tensor, ...]


def dice_loss(logits: Sequence[Tensor], masks: Sequence[Tensor], epsilon: float = 1e-6) -> Tensor:
    """Return one minus the soft Dice overlap, averaged over samples.

    Args:
        logits: per sample (N_b,).
        masks: per sample (N_b,) bool or 0/1.
        epsilon: keeps the loss defined if neither mask nor prediction has any weight.

    Raises:
        ValueError: logits and masks do not fit.
    """
    losses: list[Tensor] = []
    for row, mask in _pairs(logits, masks):
        probability, target = row.sigmoid(), mask
        overlap = 2 * (probability * target).sum() + epsilon
        losses.append(1 - overlap / (probability.sum() + target.sum() + epsilon))
    return _mean(losses)


def bce_loss(logits: Sequence[Tensor], masks: Sequence[Tensor]) -> Tensor:
    """Return the binary cross entropy: mean over a sample's tokens, then over samples. Arguments as in `dice_loss`."""
    return _mean([functional.binary_cross_entropy_with_logits(row, mask) for row, mask in _pairs(logits, masks)])


def ranking_loss(logits: Sequence[Tensor], grades: Sequence[Tensor]) -> Tensor:
    """Return how badly logits order tokens by their grade, averaged over samples.

    For every pair of tokens of which one has the higher grade: the logistic loss of their logits' difference, weighted
    by the difference of their grades. 0 for a perfect order with large differences, log 2 for equal logits; a sample
    whose tokens all have one grade counts 0.

    Args:
        logits: per sample (N_b,).
        grades: per sample (N_b,) from 0 to 1; those of `graded_mask`, or 0 and 1.

    Raises:
        ValueError: logits and grades do not fit.
    """
    losses: list[Tensor] = []
    for row, grade in _pairs(logits, grades):
        values, which = grade.unique(return_inverse=True)
        total, weight = row.sum() * 0, grade.new_zeros(())
        for low in range(len(values) - 1):  # there are few grades: all tokens above one against all that have it
            higher, lower = row[which > low], row[which == low]
            gap = (grade[which > low] - values[low])[:, None].expand(-1, len(lower))
            total = total + (gap * functional.softplus(lower[None, :] - higher[:, None])).sum()
            weight = weight + gap.sum()
        losses.append(total / weight.clamp(min=1e-12))
    return _mean(losses)


def mask_losses(outputs: Sequence[Tensor], masks: Sequence[Tensor], epsilon: float = 1e-6) -> MaskLosses:
    """Return both mask losses for every output row.

    Args:
        outputs: per sample (rows, N_b), logits of the VIP.
        masks: per sample (N_b,) bool or 0/1.
        epsilon: as in `dice_loss`.

    Raises:
        ValueError: outputs and masks do not fit.
    """
    counts = {len(output) for output in outputs}
    if len(counts) != 1:
        raise ValueError(
            f"The samples have {sorted(counts)} output rows. Expected the same number of output rows for all."
        )
    rows = [[output[i] for output in outputs] for i in range(counts.pop())]
    return MaskLosses(
        dice=tuple(dice_loss(row, masks, epsilon) for row in rows),
        bce=tuple(bce_loss(row, masks) for row in rows),
    )


def mask_loss(losses: MaskLosses, weights: LossWeights | None = None) -> Tensor:
    """Return the location loss: weighted Dice plus BCE, summed over the output rows."""
    weights = weights or LossWeights()
    return _sum([weights.dice * dice + weights.bce * bce for dice, bce in zip(losses.dice, losses.bce, strict=True)])


def answer_loss(logits: Tensor, labels: Tensor) -> Tensor:
    """Return the next-token cross entropy, mean over all supervised tokens of the batch.

    The first answer token is predicted by the token before it, which in training is the glimpse token.

    Args:
        logits: (..., T, V), not shifted: position t predicts label t + 1.
        labels: (..., T), not shifted, `IGNORED_LABEL` at tokens that are not supervised.
    """
    predictions = logits[..., :-1, :].float().flatten(0, -2)
    return functional.cross_entropy(predictions, labels[..., 1:].flatten(), ignore_index=IGNORED_LABEL)


def order_loss(outputs: Sequence[Tensor], grades: Sequence[Tensor], weights: LossWeights) -> Tensor:
    """Return the weighted losses against graded masks.

    Args:
        outputs: per sample (rows, N_b), logits of the VIP; the last row counts.
        grades: per sample (N_b,) from 0 to 1.
        weights: of the losses; those that are 0 are not computed.
    """
    last = [output[-1] for output in outputs]
    total = last[0].new_zeros((), dtype=last[0].float().dtype)
    if weights.rank:
        total = total + weights.rank * ranking_loss(last, grades)
    if weights.graded:
        total = total + weights.graded * bce_loss(last, grades)
    return total


def total_loss(answer: Tensor, mask: Tensor, weights: LossWeights | None = None) -> Tensor:
    """Return what is minimized: the answer loss and the location loss, weighted."""
    weights = weights or LossWeights()
    return weights.mask * mask + weights.answer * answer


def _pairs(logits: Sequence[Tensor], masks: Sequence[Tensor]) -> list[tuple[Tensor, Tensor]]:
    if len(logits) != len(masks) or not logits:
        raise ValueError(f"{len(logits)} logits and {len(masks)} masks were given. Expected one mask per sample.")
    for row, mask in zip(logits, masks, strict=True):
        if row.numel() != mask.numel():
            raise ValueError(f"{row.numel()} logits against a mask of {mask.numel()} tokens. Expected one per token.")
    return [(row.flatten().float(), mask.flatten().to(row).float()) for row, mask in zip(logits, masks, strict=True)]


def _mean(losses: list[Tensor]) -> Tensor:
    return _sum(losses) / len(losses)


def _sum(losses: list[Tensor]) -> Tensor:
    return sum(losses[1:], losses[0])
