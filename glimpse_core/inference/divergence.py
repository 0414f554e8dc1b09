"""Where two answers to one question part, and how likely each next token was on either side."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import asdict, dataclass
from typing import Any

from glimpse_core.inference.candidates import Candidate
from glimpse_core.inference.decoding import Answer


@dataclass(frozen=True)
class NextToken:
    """A candidate as it is shown. text: what it would add to the answer; empty for a stop token, which `stop` marks."""

    token_id: int
    probability: float
    text: str
    stop: bool


@dataclass(frozen=True)
class Divergence:
    """The first token that two answers do not share.

    Attributes:
        position: its number in both answers, from 0.
        shared: the text before it.
        full: candidates of the answer from all visual tokens, the most probable first.
        kept: candidates of the answer from the kept ones.
    """

    position: int
    shared: str
    full: tuple[NextToken, ...]
    kept: tuple[NextToken, ...]

    def to_dict(self) -> dict[str, Any]:
        """Return it as JSON values."""
        sides = {"full": [asdict(token) for token in self.full], "kept": [asdict(token) for token in self.kept]}
        return {"position": self.position, "shared": self.shared, **sides}


def divergence(
    full: Answer, kept: Answer, decode: Callable[[list[int]], str], stop_tokens: frozenset[int]
) -> Divergence | None:
    """Find where two answers part.

    Args:
        full: the answer from all visual tokens.
        kept: the answer from some of them.
        decode: generated ids -> text.
        stop_tokens: ids that end an answer.

    Returns:
        None where they are the same token by token, as far as both go: one that was cut has no next token.
    """
    position = next(
        (place for place, (one, other) in enumerate(zip(full.chosen, kept.chosen, strict=False)) if one != other), None
    )
    if position is None:
        return None
    before = full.tokens[:position]
    shared = decode(before) if before else ""

    def shown(candidate: Candidate) -> NextToken:
        stop = candidate.token_id in stop_tokens
        text = "" if stop else decode([*before, candidate.token_id])[len(shared) :]
        return NextToken(candidate.token_id, candidate.probability, text, stop)

    sides = (tuple(map(shown, answer.candidates[position])) for answer in (full, kept))
    return Divergence(position, shared, *sides)
