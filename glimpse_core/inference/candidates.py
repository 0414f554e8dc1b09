"""The most probable next tokens of a step."""

from __future__ import annotations

from dataclasses import dataclass

from torch import Tensor

CANDIDATES = 5


@dataclass(frozen=True)
class Candidate:
    """A token that could have been next.

    Attributes:
        token_id: its id.
        probability: as the token was chosen from: after the repetition penalty, before temperature and top-p.
    """

    token_id: int
    probability: float


def candidates_of(logits: Tensor) -> tuple[Candidate, ...]:
    """Return the most probable next tokens, the most probable first.

    Args:
        logits: (vocabulary,) that the next token is chosen from.
    """
    probabilities, ids = logits.float().softmax(-1).topk(min(CANDIDATES, len(logits)))
    return tuple(map(Candidate, ids.tolist(), probabilities.tolist()))
