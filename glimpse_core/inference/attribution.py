"""Which visual tokens an answer's words depend on, by leaving them out.

The given answer is scored again, all of its tokens at once, from prompts that lack some of the kept tokens. What a word
loses in log-probability without a group of tokens is what only they tell. Often several groups tell the same: a red
thing is red in all of its tokens. So each group is also tried with all others left out: what a word gains over a prompt
without any visual token. Groups come first, then the parts of those that matter, down to single tokens. Layers 0..K
have run already and are the same for all of it (`session.Session.answer`).

W words, T tokens of the answer, N visual tokens of all images, R rows.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor

from glimpse_core.backbones import Backbone
from glimpse_core.engine.prefix import BeforeLayer
from glimpse_core.inference.branches import finish_all, similar
from glimpse_core.inference.decoding import next_logits
from glimpse_core.inference.rows import feed, stack
from glimpse_core.inference.sampling import penalized
from glimpse_core.types import Grid, Prefix, Prompt

ROWS = 16  # left out at a time: bounds the memory
GROUPS = 16  # of all kept tokens, at first
PARTS, BEST = 4, 3  # that a group is split into; most important groups of a word that are split
SIZES = (1, 2, 3, 4, 6, 8, 12, 16, 24, 32, 48, 64, 96, 128)  # sets that are tried as the tokens that a word needs
FEW = 8  # of these at first, since most words need few tokens

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


@dataclass(frozen=True)
class Attribution:
    """What each word of an answer draws from each visual token.

    Attributes:
        kept: (N,) bool, the tokens that the answer was made from.
        words: of the answer.
        log_probabilities: (W,) float32 of the words, with all kept tokens.
        drops: (W, N) float32, what a word loses in log-probability without a token; where tokens were left out as a
            group only, its loss in equal shares. 0 for tokens that are not kept.
        gains: (W, N) float32, what it gains by a token, or its group, over a prompt without any visual token.
        alone: (N,) bool, True where a token was tried by itself.
        needed: per word, the tokens that it needs: those with the largest drops and gains, as few of them (as `SIZES`
            go) as have to be left out together for the word to change. Empty for a word that stays the same without any
            visual token, or without the most of `SIZES`.
        runs: number of prompts that were scored.
    """

    kept: Tensor
    words: tuple[Word, ...]
    log_probabilities: Tensor
    drops: Tensor
    gains: Tensor
    alone: Tensor
    needed: tuple[tuple[int, ...], ...]
    runs: int

    def carried_by(self, token: int) -> tuple[int, ...]:
        """Return which words a visual token carries, by their numbers: the words that need it."""
        return tuple(word for word, tokens in enumerate(self.needed) if token in tokens)

    def to_dict(self) -> dict[str, Any]:
        """Return the words with their log-probability, needs, and drops of all kept tokens, as JSON values."""
        kept = self.kept.nonzero().flatten().tolist()
        words = [
            {
                "text": word.text,
                "tokens": [word.start, word.stop],
                "log_probability": round(float(self.log_probabilities[number]), 6),
                "needs": list(self.needed[number]),
                "drops": [round(value, 6) for value in self.drops[number][kept].tolist()],
                "gains": [round(value, 6) for value in self.gains[number][kept].tolist()],
            }
            for number, word in enumerate(self.words)
        ]
        return {"kept": kept, "alone": self.alone.nonzero().flatten().tolist(), "words": words, "runs": self.runs}


def words_of(tokens: Sequence[int], decode: Callable[[list[int]], str]) -> tuple[Word, ...]:
    """Split an answer at white space.

    Args:
        tokens: generated ids.
        decode: ids -> text.
    """
    ends = [len(decode([*tokens[: index + 1]]).rstrip("\ufffd")) for index in range(len(tokens))]
    words = []
    for found in re.finditer(r"\S+", decode([*tokens])):
        start = next(index for index, end in enumerate(ends) if end > found.start())
        stop = next((index + 1 for index, end in enumerate(ends) if end >= found.end()), len(tokens))
        words.append(Word(found.group(), start, stop))
    return tuple(words)


Score = Callable[[Sequence[Tensor]], Forced]  # masks (N,) bool -> the answer scored from each


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


def attribute(score: Score, kept: Tensor, grids: Sequence[Grid], words: tuple[Word, ...]) -> Attribution:
    """Find out what every word of an answer draws from every kept token.

    Args:
        score: masks (N,) bool -> the answer scored from each.
        kept: (N,) bool, the tokens that the answer was made from.
        grids: of the images, in prompt order.
        words: of the answer.
    """
    ends = score([kept, torch.zeros_like(kept)])
    (whole, nothing), seen = ends.of(words), ends.unchanged(words)
    depending = [number for number in range(len(words)) if bool(seen[0, number]) and not bool(seen[1, number])]
    drops, gains = torch.zeros(2, len(words), len(kept))
    sizes, runs = torch.zeros(len(kept), dtype=torch.int64), 2
    waiting = groups_of(nearby(kept, grids), GROUPS) if depending else []
    while waiting:
        found = score([without(kept, group) for group in waiting] + [only(kept, group) for group in waiting]).of(words)
        runs += len(found)
        lost, gained = whole - found[: len(waiting)], found[len(waiting) :] - nothing  # (groups, W)
        for group, less, more in zip(waiting, lost, gained, strict=True):
            drops[:, group], gains[:, group] = (less / len(group))[:, None], (more / len(group))[:, None]
            sizes[group] = len(group)
        weights = lost.clamp(min=0) + gained.clamp(min=0)
        best = {place for word in depending for place in _highest(weights[:, word])}
        waiting = [
            part for place in sorted(best) if len(waiting[place]) > 1 for part in groups_of(waiting[place], PARTS)
        ]
    order = (
        (drops.clamp(min=0) + gains.clamp(min=0)).masked_fill(~kept, -1).argsort(dim=1, descending=True, stable=True)
    )
    needed, tried = _needed(score, kept, {word: order[word] for word in depending}, words)
    return Attribution(kept, words, whole, drops, gains, sizes == 1, needed, runs + tried)


def _highest(weights: Tensor) -> list[int]:
    """The places of the `BEST` highest weights (groups,)."""
    return [int(place) for place in weights.topk(min(BEST, len(weights))).indices]


def _needed(
    score: Score, kept: Tensor, order: Mapping[int, Tensor], words: tuple[Word, ...]
) -> tuple[tuple[tuple[int, ...], ...], int]:
    """The tokens that each word needs (`Attribution.needed`), and how many prompts were scored to find them.

    order: of the words that depend on visual tokens, these (N,), the most important ones first.
    """
    count = int(kept.sum())
    sizes = sorted({min(size, count) for size in SIZES})
    found: list[tuple[int, ...]] = [()] * len(words)
    tried = 0
    for some in (sizes[:FEW], sizes[FEW:]):
        sets = [(word, order[word][:size].tolist()) for word in order for size in some if not found[word]]
        if not sets:
            break
        tried += len(sets)
        unchanged = score([without(kept, tokens) for _, tokens in sets]).unchanged(words)
        for (word, tokens), row in zip(sets, unchanged, strict=True):
            if not found[word] and not bool(row[word]):
                found[word] = tuple(sorted(tokens))
    return tuple(found), tried


def only(kept: Tensor, tokens: Sequence[int]) -> Tensor:
    """(N,) bool: nothing but some tokens."""
    mask = torch.zeros_like(kept)
    mask[list(tokens)] = True
    return mask


def without(kept: Tensor, tokens: Sequence[int]) -> Tensor:
    """(N,) bool: the mask without some tokens."""
    mask = kept.clone()
    mask[list(tokens)] = False
    return mask


def groups_of(tokens: Sequence[int], count: int) -> list[list[int]]:
    """Split tokens into at most `count` groups of nearly equal size, in their order."""
    count = min(count, len(tokens))
    edges = [round(place * len(tokens) / count) for place in range(count + 1)] if count else []
    return [list(tokens[start:stop]) for start, stop in zip(edges, edges[1:], strict=False)]


def nearby(kept: Tensor, grids: Sequence[Grid]) -> list[int]:
    """The kept tokens in an order in which neighbors follow each other: by image, then along a Z-shaped curve."""
    codes = [(image, *_interleaved(row, col)) for image, row, col in _cells(grids)]
    return sorted(kept.nonzero().flatten().tolist(), key=codes.__getitem__)


def _cells(grids: Sequence[Grid]) -> Iterator[tuple[int, int, int]]:
    for image, grid in enumerate(grids):
        yield from ((image, row, col) for row in range(grid.rows) for col in range(grid.cols))


def _interleaved(row: int, col: int) -> tuple[int, ...]:
    """The bits of both numbers in turn, the highest first."""
    return tuple(number >> bit & 1 for bit in range(15, -1, -1) for number in (row, col))
