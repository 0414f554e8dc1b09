"""The published loss of GlimpsePrune+, as pure functions (arXiv 2508.01548, reinforcement learning stage).

G answers to one prompt, T tokens of the longest one. This file knows no model. Everything is computed in the dtype of
the inputs, float32 in training.
"""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor

KL_WEIGHT = 0.04
EPSILON = 1e-4  # added to the standard deviation of the rewards


@dataclass(frozen=True)
class PlusLoss:
    """The loss of one prompt's answers, and its parts.

    Attributes:
        total: scalar, to be minimized.
        kl: scalar, the estimated divergence from the base: mean over a row's tokens, then over rows; not weighted.
    """

    total: Tensor
    kl: Tensor


def advantages(rewards: Tensor) -> Tensor:
    """Return each answer's advantage within its group: (r - mean) / (std + 1e-4), with the unbiased std.

    Args:
        rewards: (G,) float, G at least 2.
    """
    return (rewards - rewards.mean()) / (rewards.std(correction=1) + EPSILON)


def completion_mask(ids: Tensor, stop_tokens: frozenset[int]) -> Tensor:
    """Return which tokens count: all up to the first end token, that one included.

    Args:
        ids: (G, T) int64 generated ids.
        stop_tokens: ids that end an answer.

    Returns:
        (G, T) bool.
    """
    stops = torch.isin(ids, torch.tensor(sorted(stop_tokens), dtype=torch.int64, device=ids.device))
    return stops.cumsum(1) - stops.int() == 0


def divergence(policy: Tensor, reference: Tensor) -> Tensor:
    """Return exp(reference - policy) - (reference - policy) - 1 of log-probabilities, per token, never negative."""
    gap = reference - policy
    return gap.exp() - gap - 1


def plus_loss(
    policy: Tensor, reference: Tensor, advantage: Tensor, mask: Tensor, kl_weight: float = KL_WEIGHT
) -> PlusLoss:
    """Return the loss of one group of answers.

    With l the policy's log-probabilities, ref the reference's, m the mask, A the advantages and sg the stop of
    gradients: the mean over answers of sum_t m_t (-exp(l_t - sg(l_t)) A + kl_weight * divergence_t) / sum_t m_t.

    Args:
        policy: (G, T) log-probabilities of the generated ids, with gradients.
        reference: (G, T) those of the base model, without.
        advantage: (G,).
        mask: (G, T) bool, see `completion_mask`; at least one token per answer.
        kl_weight: of the divergence.
    """
    weights = mask.to(policy) / mask.sum(1, keepdim=True)
    kl = divergence(policy, reference)
    per_token = -(policy - policy.detach()).exp() * advantage[:, None] + kl_weight * kl
    total = (per_token.masked_fill(~mask, 0) * weights).sum(1).mean()
    return PlusLoss(total, (kl.masked_fill(~mask, 0) * weights).sum(1).mean())
