"""Sampling a group of answers to one pruned prompt, which is run once for all of them.

G answers, T tokens of the longest one.
"""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor

from glimpse_core.backbones import Backbone
from glimpse_core.inference.decoding import begin, step
from glimpse_core.training.plus.loss import completion_mask
from glimpse_core.training.plus.pruned import Question, pruned_prompt, repeated


@dataclass(frozen=True)
class Rollouts:
    """Sampled answers.

    Attributes:
        ids: (G, T) int64 generated ids, end tokens included; what follows an end token is of no meaning.
        mask: (G, T) bool, True up to the end token.
    """

    ids: Tensor
    mask: Tensor

    def answers(self, stop_tokens: frozenset[int]) -> list[list[int]]:
        """Return the generated ids of each answer, without the end token."""
        rows = zip(self.ids.tolist(), self.mask.sum(1).tolist(), strict=True)
        return [[token for token in row[:length] if token not in stop_tokens] for row, length in rows]


@torch.no_grad()
def sample(backbone: Backbone, question: Question, group: int, limit: int, generator: torch.Generator) -> Rollouts:
    """Sample answers from the whole distribution at temperature 1, without repetition penalty.

    Args:
        backbone: with its adapter, in inference mode.
        question: the pruned prompt.
        group: number of answers, G.
        limit: most tokens of an answer, the end token included.
        generator: on the CPU, so that a seed means the same on every device.
    """
    decoding = begin([repeated(pruned_prompt(backbone, question), group)])
    stop = backbone.stop_tokens
    for _ in range(limit):
        decoding = step(backbone, decoding, lambda logits: draw(logits, generator))
        mask = completion_mask(decoding.generated_ids, stop)
        ended = torch.isin(decoding.generated_ids, torch.tensor(sorted(stop), device=mask.device)).any(1)
        if bool(ended.all()):
            break
    return Rollouts(decoding.generated_ids, mask)


def draw(logits: Tensor, generator: torch.Generator) -> Tensor:
    """Draw one id per row by its probability. logits: (G, vocabulary). Returns (G,) int64, on the logits' device."""
    chances = logits.float().cpu().softmax(-1)
    return torch.multinomial(chances, 1, generator=generator)[:, 0].to(logits.device)
