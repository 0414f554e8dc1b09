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
    """How the parts are added up. The defaults are the published ones."""

    answer: float = 1.0
    mask: float = 1.0  # weight of (dice * Dice + bce * BCE), summed over the VIP's output rows
    dice: float = 1.0
    bce: float = 0.1
    epsilon: float = 1e-6  # keeps Dice defined where neither the mask nor the prediction has any weight


@dataclass(frozen=True)
class MaskLosses:
    """Per output row of the VIP (one row, unless the VIP is deeply supervised): scalars."""

    dice: tuple[Tensor, ...]
    bce: tuple[Tensor, ...]


def dice_loss(logits: Sequence[Tensor], masks: Sequence[Tensor], epsilon: float = 1e-6) -> Tensor:
    """One minus the soft Dice overlap, averaged over samples. `logits[b]` (N_b,) and `masks[b]` (N_b,) bool or 0/1."""
    losses = []
    for row, mask in _pairs(logits, masks):
        probability, target = row.sigmoid(), mask
        overlap = 2 * (probability * target).sum() + epsilon
        losses.append(1 - overlap / (probability.sum() + target.sum() + epsilon))
    return _mean(losses)


def bce_loss(logits: Sequence[Tensor], masks: Sequence[Tensor]) -> Tensor:
    """Binary cross entropy: mean over a sample's tokens, then over samples. Shapes as in `dice_loss`."""
    return _mean([functional.binary_cross_entropy_with_logits(row, mask) for row, mask in _pairs(logits, masks)])


def mask_losses(outputs: Sequence[Tensor], masks: Sequence[Tensor], epsilon: float = 1e-6) -> MaskLosses:
    """Both mask losses for every output row. `outputs[b]` is (rows, N_b), `masks[b]` is (N_b,)."""
    counts = {len(output) for output in outputs}
    if len(counts) != 1:
        raise ValueError(f"every sample needs the same number of output rows, got {sorted(counts)}")
    rows = [[output[i] for output in outputs] for i in range(counts.pop())]
    return MaskLosses(
        dice=tuple(dice_loss(row, masks, epsilon) for row in rows),
        bce=tuple(bce_loss(row, masks) for row in rows),
    )


def mask_loss(losses: MaskLosses, weights: LossWeights | None = None) -> Tensor:
    """The location loss: weighted Dice plus BCE, summed over the output rows."""
    weights = weights or LossWeights()
    return sum(weights.dice * dice + weights.bce * bce for dice, bce in zip(losses.dice, losses.bce, strict=True))


def answer_loss(logits: Tensor, labels: Tensor) -> Tensor:
    """Next-token cross entropy, mean over all supervised tokens of the batch.

    `logits` (..., T, V) and `labels` (..., T) are NOT shifted yet: position t predicts label t + 1, so the first answer
    token is predicted by whatever stands before it, which in training is the glimpse token.
    """
    predictions = logits[..., :-1, :].float().flatten(0, -2)
    return functional.cross_entropy(predictions, labels[..., 1:].flatten(), ignore_index=IGNORED_LABEL)


def total_loss(answer: Tensor, mask: Tensor, weights: LossWeights | None = None) -> Tensor:
    """What is minimized: the answer loss and the location loss, weighted."""
    weights = weights or LossWeights()
    return weights.mask * mask + weights.answer * answer


def _pairs(logits: Sequence[Tensor], masks: Sequence[Tensor]) -> list[tuple[Tensor, Tensor]]:
    if len(logits) != len(masks) or not logits:
        raise ValueError(f"need one mask per sample and at least one, got {len(logits)} logits and {len(masks)} masks")
    for row, mask in zip(logits, masks, strict=True):
        if row.numel() != mask.numel():
            raise ValueError(f"{row.numel()} logits against a mask of {mask.numel()} tokens")
    return [(row.flatten().float(), mask.flatten().to(row).float()) for row, mask in zip(logits, masks, strict=True)]


def _mean(losses: list[Tensor]) -> Tensor:
    return sum(losses[1:], losses[0]) / len(losses)
