"""What one prompt teaches: answers sampled, rewarded, and the loss's gradients on the adapter."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Any

import torch
from torch import Tensor

from glimpse_core.models.adapter import LoraSizes
from glimpse_core.training.plus.loss import KL_WEIGHT, PlusLoss, advantages, plus_loss
from glimpse_core.training.plus.prompts import Asked, Prompts
from glimpse_core.training.plus.pruned import LogProbs, policy, reference
from glimpse_core.training.plus.rewards import Reward
from glimpse_core.training.plus.rollout import Rollouts, sample


@dataclass(frozen=True)
class Settings:
    """Everything that decides a run, except for the model, the data and the reward; the defaults are published.

    Attributes:
        steps: optimizer steps.
        batch: prompts per step, over all processes.
        group: answers sampled to each prompt.
        limit: most tokens of an answer.
        learning_rate: the peak, followed by a half cosine down to 0.
        warmup: share of the run in which the learning rate rises to the peak.
        clip: largest norm of the gradients.
        kl_weight: of the divergence from the base model.
        logprobs: how the second and later tokens are predicted, see `pruned`.
        sizes: of the adapter.
        seed: of initialization, sampling and dropout.
        longest: with "upstream": tokens of an answer count only up to this length of kept prompt and answer.
        recompute: run layers again in the backward pass, for less memory (gradient checkpointing).
        log_every, save_every: steps.
    """

    steps: int
    batch: int = 8
    group: int = 4
    limit: int = 128
    learning_rate: float = 1e-4
    warmup: float = 0.1
    clip: float = 1.0
    kl_weight: float = KL_WEIGHT
    logprobs: LogProbs = "replay"
    sizes: LoraSizes = field(default_factory=LoraSizes)
    seed: int = 0
    longest: int = 640
    recompute: bool = False
    log_every: int = 10
    save_every: int = 50


@dataclass(frozen=True)
class Lesson:
    """All that one prompt gave.

    Attributes:
        asked: the prompt.
        rollouts: the sampled answers. mask: which of their tokens count, (G, T) bool.
        texts: the answers. rewards: (G,). advantage: (G,).
        policy, reference: (G, T) log-probabilities. entropy: (G, T).
        loss: of this prompt.
        gradients: of the adapter's weights, in their order.
    """

    asked: Asked
    rollouts: Rollouts
    mask: Tensor
    texts: tuple[str, ...]
    rewards: Tensor
    advantage: Tensor
    policy: Tensor
    reference: Tensor
    entropy: Tensor
    loss: PlusLoss
    gradients: tuple[Tensor, ...]

    def figures(self) -> dict[str, float]:
        """Return what the log averages over prompts."""
        return {
            "loss": float(self.loss.total.detach()),
            "reward": float(self.rewards.mean()),
            "reward_std": float(self.rewards.std()),
            "kl": float(self.loss.kl.detach()),
            "length": float(self.mask.sum(1).float().mean()),
            "kept": self.asked.kept_share,
            "entropy": float(self.entropy[self.mask].mean()),
        }

    def dump(self) -> dict[str, Any]:
        """Return everything as JSON values, so that other code can recompute the loss."""
        question = self.asked.question
        return {
            "question": self.asked.example.question,
            "expected": self.asked.example.answer,
            "boxes": [list(box) for box in self.asked.example.boxes],
            "prompt_ids": question.prompt.input_ids[0].tolist(),
            "grid": [[grid.rows, grid.cols] for grid in question.prompt.grids],
            "kept": question.kept.int().tolist(),
            "keep_layer": question.depth - 1,
            "completion_ids": self.rollouts.ids.tolist(),
            "completions": list(self.texts),
            "completion_mask": self.mask.int().tolist(),
            "rewards": self.rewards.tolist(),
            "advantages": self.advantage.tolist(),
            "policy_logprobs": self.policy.tolist(),
            "reference_logprobs": self.reference.tolist(),
            "loss": float(self.loss.total.detach()),
            "kl": float(self.loss.kl.detach()),
        }


def learn(prompts: Prompts, asked: Asked, index: int, reward: Reward, settings: Settings) -> Lesson:
    """Sample answers to a prompt, reward them, and compute the gradients of the loss.

    Args:
        prompts: with the model and its adapter.
        asked: the prompt.
        index: of the prompt in the run; with the seed it decides what is sampled and dropped out.
        reward: of an answer.
        settings: of the run.

    Raises:
        torch.OutOfMemoryError: there is too little memory. Nothing is left behind.
    """
    backbone, adapter, question = prompts.model.backbone, prompts.adapter, asked.question
    stop, seed = backbone.stop_tokens, settings.seed + 1 + index
    processor = prompts.model.require_processor()
    adapter.peft.eval()
    rollouts = sample(backbone, question, settings.group, settings.limit, torch.Generator().manual_seed(seed))
    texts = tuple(processor.decode(ids) for ids in rollouts.answers(stop))
    rewards = torch.tensor([_rewarded(reward, asked, text) for text in texts], device=backbone.device)
    with adapter.disabled():
        base = reference(backbone, question, rollouts.ids, settings.logprobs)
    mask = counted(rollouts.mask, question.prompt.input_ids.shape[1] - int((~question.kept).sum()), settings)
    weights = tuple(adapter.parameters.values())
    torch.manual_seed(seed)  # dropout: the same for any number of processes, and when resumed
    adapter.peft.train()
    try:
        told = policy(backbone, question, rollouts.ids, settings.logprobs, settings.recompute)
        advantage = advantages(rewards)
        loss = plus_loss(told.logprobs, base, advantage, mask, settings.kl_weight)
        found = torch.autograd.grad(loss.total, weights, allow_unused=True)
    finally:
        adapter.peft.eval()
    gradients = tuple(_or_zero(gradient, weight) for gradient, weight in zip(found, weights, strict=True))
    return Lesson(asked, rollouts, mask, texts, rewards, advantage, told.logprobs.detach(), base, told.entropy, loss,
                  gradients)  # fmt: skip


def counted(mask: Tensor, prompt: int, settings: Settings) -> Tensor:
    """Return which tokens of the answers count: with "upstream" only those up to a total length; always the first.

    Args:
        mask: (G, T) bool, up to the end token.
        prompt: number of tokens of the pruned prompt.
        settings: of the run.
    """
    if settings.logprobs != "upstream":
        return mask
    room = max(settings.longest - prompt, 1)
    return mask & (torch.arange(mask.shape[1], device=mask.device) < room)


def _rewarded(reward: Reward, asked: Asked, text: str) -> float:
    return min(max(float(reward(asked.example.question, text, asked.example.answer)), 0.0), 1.0)


def _or_zero(gradient: Tensor | None, weight: Tensor) -> Tensor:
    return torch.zeros_like(weight) if gradient is None else gradient


def add_gradients(weights: Sequence[torch.nn.Parameter], gradients: Sequence[Tensor], scale: float) -> None:
    """Add scaled gradients to those that the weights have already."""
    for weight, gradient in zip(weights, gradients, strict=True):
        weight.grad = gradient * scale if weight.grad is None else weight.grad.add_(gradient, alpha=scale)


Progress = Callable[[str], None]
