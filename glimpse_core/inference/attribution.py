"""Which visual tokens an answer's words depend on, by leaving them out.

The given answer is scored again, all of its tokens at once, from prompts that lack some of the kept tokens. What a word
loses in log-probability without a group of tokens is what only they tell. Often several groups tell the same: a red
thing is red in all of its tokens. So each group is also tried with all others left out: what a word gains over a prompt
without any visual token. Groups come first, then the parts of those that matter, down to single tokens. Layers 0..K
have run already and are the same for all of it (`session.Session.answer`).

W words, N visual tokens of all images.
"""

from __future__ import annotations

from collections.abc import Callable, Generator, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor

from glimpse_core.inference.forced import ROWS, Forced, Word
from glimpse_core.types import Grid

GROUPS = 16  # of all kept tokens, at first
PARTS, BEST = 4, 3  # that a group is split into; most important groups of a word that are split
LITTLE = 0.05  # of what all tokens together tell of a word: of a group that tells less, parts are not left out
SIZES = (*range(1, 17), *range(20, 33, 4), *range(40, 65, 8), *range(80, 129, 16))  # of the tokens that a word needs

Steps = Generator[int, None, "Attribution"]  # yields how many prompts have been scored so far


@dataclass(frozen=True)
class Attribution:
    """What each word of an answer draws from each visual token.

    Attributes:
        kept: (N,) bool, the tokens that the answer was made from.
        words: of the answer.
        depends: per word, whether it changes without any visual token. The others need none.
        log_probabilities: (W,) float32 of the words, with all kept tokens.
        drops: (W, N) float32, what a word loses in log-probability without a token; where tokens were left out as a
            group only, its loss in equal shares, which is little (`LITTLE`) or that of a group that matters less than
            others. 0 for tokens that are not kept.
        gains: (W, N) float32, what it gains by a token, or its group, over a prompt without any visual token.
        alone: (N,) bool, True where a token was both left out and kept by itself.
        needed: per word, the tokens that it needs: those with the largest drops and gains, as few of them as have to be
            left out together for the word to change, by halving `SIZES`. Empty for a word that depends on none, and for
            one that stays the same without the most of `SIZES`.
        runs: number of prompts that were scored.
    """

    kept: Tensor
    words: tuple[Word, ...]
    depends: tuple[bool, ...]
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
                "depends": self.depends[number],
                "needs": list(self.needed[number]),
                "drops": [round(value, 6) for value in self.drops[number][kept].tolist()],
                "gains": [round(value, 6) for value in self.gains[number][kept].tolist()],
            }
            for number, word in enumerate(self.words)
        ]
        return {"kept": kept, "alone": self.alone.nonzero().flatten().tolist(), "words": words, "runs": self.runs}


Score = Callable[[Sequence[Tensor]], Forced]  # masks (N,) bool -> the answer scored from each


def complete(running: Steps) -> Attribution:
    """Run all `steps`, and return the attribution."""
    while True:
        try:
            next(running)
        except StopIteration as done:
            found: Attribution = done.value
            return found


def steps(score: Score, kept: Tensor, grids: Sequence[Grid], words: tuple[Word, ...]) -> Steps:
    """Find out what every word of an answer draws from every kept token, step by step.

    Args:
        score: masks (N,) bool -> the answer scored from each.
        kept: (N,) bool, the tokens that the answer was made from.
        grids: of the images, in prompt order.
        words: of the answer.

    Yields:
        How many prompts have been scored so far.

    Returns:
        The attribution.
    """
    ends = score([kept, torch.zeros_like(kept)])
    yield (runs := 2)
    (whole, nothing), seen = ends.of(words), ends.unchanged(words)
    depends = (seen[0] & ~seen[1]).tolist()
    depending = [number for number, yes in enumerate(depends) if yes]
    drops, gains = torch.zeros(2, len(words), len(kept))
    alone = torch.zeros_like(kept)
    waiting = groups_of(nearby(kept, grids), GROUPS) if depending else []
    lacking = [True] * len(waiting)  # whether a group is left out, too
    while waiting:
        left_out = [group for group, lacks in zip(waiting, lacking, strict=True) if lacks]
        masks = [without(kept, group) for group in left_out] + [only(kept, group) for group in waiting]
        found = (yield from _scored(score, masks, runs)).of(words)
        runs += len(masks)
        lost = torch.zeros(len(waiting), len(words))
        lost[lacking], gained = whole - found[: len(left_out)], found[len(left_out) :] - nothing  # (groups, W)
        for group, lacks, less, more in zip(waiting, lacking, lost, gained, strict=True):
            gains[:, group] = (more / len(group))[:, None]
            if lacks:
                drops[:, group] = (less / len(group))[:, None]
                alone[group] = len(group) == 1
        waiting, lacking = _parts(waiting, lost, gained, (whole - nothing), depending)
    order = (
        (drops.clamp(min=0) + gains.clamp(min=0)).masked_fill(~kept, -1).argsort(dim=1, descending=True, stable=True)
    )
    needed, tried = yield from _needed(score, kept, {word: order[word] for word in depending}, words, runs)
    return Attribution(kept, words, tuple(depends), whole, drops, gains, alone, needed, runs + tried)


def _scored(score: Score, masks: Sequence[Tensor], before: int) -> Generator[int, None, Forced]:
    """The answer scored from each mask, some at a time. before: prompts that have been scored before."""
    parts = []
    for start in range(0, len(masks), ROWS):
        parts.append(score(masks[start : start + ROWS]))
        yield before + min(start + ROWS, len(masks))
    return Forced(torch.cat([part.log_probabilities for part in parts]), torch.cat([part.likeliest for part in parts]))


def _parts(
    groups: Sequence[list[int]], lost: Tensor, gained: Tensor, told: Tensor, words: Sequence[int]
) -> tuple[list[list[int]], list[bool]]:
    """The parts of the groups that matter most to some word, and whether these are left out, too.

    lost, gained: (groups, W). told: (W,), what all tokens together tell of a word. words: those that depend on tokens.
    """
    weights = lost.clamp(min=0) + gained.clamp(min=0)
    best = {word: weights[:, word].topk(min(BEST, len(groups))).indices.tolist() for word in words}
    matters = {place for word in words for place in best[word] if lost[place, word] >= LITTLE * told[word]}
    split = sorted({place for places in best.values() for place in places if len(groups[place]) > 1})
    parts = [(part, place in matters) for place in split for part in groups_of(groups[place], PARTS)]
    return [part for part, _ in parts], [lacks for _, lacks in parts]


def _needed(
    score: Score, kept: Tensor, order: Mapping[int, Tensor], words: tuple[Word, ...], before: int
) -> Generator[int, None, tuple[tuple[tuple[int, ...], ...], int]]:
    """The tokens that each word needs (`Attribution.needed`), and how many prompts were scored to find them.

    order: of the words that depend on visual tokens, these (N,), the most important ones first. before: as of
    `_scored`.
    """
    count, tried = int(kept.sum()), 0
    sizes = sorted({min(size, count) for size in SIZES})
    few = dict.fromkeys(order, -1)  # by word, the place in `sizes` of one without which it stays the same
    enough = dict.fromkeys(order, len(sizes) - 1)  # and of one without which it changes: without all, these words do
    trying = dict(enough) if sizes[-1] < count else _between(few, enough)
    while trying:
        masks = [without(kept, order[word][: sizes[place]].tolist()) for word, place in trying.items()]
        unchanged = (yield from _scored(score, masks, before + tried)).unchanged(words)
        tried += len(masks)
        for (word, place), row in zip(trying.items(), unchanged, strict=True):
            if not bool(row[word]):
                enough[word] = place
            elif place == enough[word]:  # the most of them: none were found
                del enough[word]
            else:
                few[word] = place
        trying = _between(few, enough)
    needed = {word: tuple(sorted(order[word][: sizes[place]].tolist())) for word, place in enough.items()}
    return tuple(needed.get(word, ()) for word in range(len(words))), tried


def _between(few: Mapping[int, int], enough: Mapping[int, int]) -> dict[int, int]:
    """The place in the middle of both, of each word for which there is one."""
    return {word: (few[word] + most) // 2 for word, most in enough.items() if most - few[word] > 1}


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
