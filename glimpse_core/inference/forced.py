"""A given answer scored from prompts with different visual tokens, teacher-forced: without decoding it.

Layers 0..K have run already and are the same for all prompts (`session.Session.score`). W words, T tokens of the
answer, N visual tokens of all images, R rows.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

from glimpse_core.backbones import Backbone
from glimpse_core.engine.prefix import BeforeLayer
from glimpse_core.inference.branches import finish_all, similar
from glimpse_core.inference.decoding import next_logits
from glimpse_core.inference.rows import feed, stack
from glimpse_core.inference.sampling import penalized
from glimpse_core.types import Prefix, Prompt

ROWS = 16  # scored at a time: bounds the memory

Branch = Callable[[Tensor], Prefix]  # (N,) bool mask -> the prompt after layer K with its tokens


@dataclass(frozen=True)
class Word:
    """A word of an answer, and which of the answer's tokens, [start, stop), it is made of."""

    text: str
    start: int
    stop: int


@dataclass(frozen=True)
class Forced:
    """A given answer, scored from R prompts.

    Attributes:
        log_probabilities: (R, T) float32 of the answer's tokens, the repetition penalty included.
        likeliest: (R, T) bool, True where the token is the most probable one, which greedy decoding would choose.
    """

    log_probabilities: Tensor
    likeliest: Tensor

    def of(self, words: Sequence[Word]) -> Tensor:
        """(R, W) log-probabilities of words: of all their tokens together."""
        return torch.stack([self.log_probabilities[:, word.start : word.stop].sum(1) for word in words], dim=1)

    def unchanged(self, words: Sequence[Word]) -> Tensor:
        """(R, W) bool: whether greedy decoding would choose every token of a word again."""
        return torch.stack([self.likeliest[:, word.start : word.stop].all(1) for word in words], dim=1)


def words_of(tokens: Sequence[int], decode: Callable[[list[int]], str]) -> tuple[Word, ...]:
    """Split an answer at white space.

    Args:
        tokens: generated ids.
        decode: ids -> text.
    """
    texts = [decode([*tokens[: index + 1]]).rstrip("\ufffd") for index in range(len(tokens))]  # as `Answer.text` is
    ends = [len(text) for text in texts]
    words = []
    for found in re.finditer(r"\S+", texts[-1] if texts else ""):
        start = next(index for index, end in enumerate(ends) if end > found.start())
        stop = next((index + 1 for index, end in enumerate(ends) if end >= found.end()), len(tokens))
        words.append(Word(found.group(), start, stop))
    return tuple(words)


@torch.inference_mode()
def score_answer(
    backbone: Backbone,
    prompt: Prompt,
    branch: Branch,
    masks: Sequence[Tensor],
    tokens: Sequence[int],
    penalty: float = 1.0,
    before_layer: BeforeLayer | None = None,
) -> Forced:
    """Score a given answer from the same prompt with different visual tokens, several at a time.

    Args:
        backbone: of the model.
        prompt: one row.
        branch: makes the prompt after layer K with the tokens of a mask.
        masks: (N,) bool, one per row.
        tokens: the answer's ids, at least one.
        penalty: the repetition penalty that the answer was made with.
        before_layer: see `engine.prefix.advance`; called in the layers after K.
    """
    ids = torch.tensor([[*tokens]], device=backbone.device)
    scores = torch.zeros(len(masks), len(tokens))
    likeliest = torch.zeros(len(masks), len(tokens), dtype=torch.bool)
    for group in similar([int(mask.sum()) + 1 for mask in masks], ROWS):
        rows = stack(finish_all(backbone, [branch(masks[index]) for index in group], ROWS, before_layer))
        given = ids.expand(len(group), -1)
        logits = [next_logits(backbone, rows)]
        if len(tokens) > 1:
            logits += backbone.logits(feed(backbone, rows, given[:, :-1]).hidden).unbind(1)
        for step, found in enumerate(logits):
            found = penalized(found, penalty, prompt, given[:, :step]).float()
            scores[group, step] = found.log_softmax(-1).gather(1, given[:, step : step + 1])[:, 0].cpu()
            likeliest[group, step] = (found.argmax(-1) == given[:, step]).cpu()
    return Forced(scores, likeliest)
