"""A stand-in for model and session with the engine's exact API, for tests of the page alone: fast, and its scores
are known.

A token's probability is how red its patch is, so a test that paints a patch red knows which token must light up.
"""

from __future__ import annotations

import threading
import time
import weakref
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field, replace
from mmap import mmap
from types import SimpleNamespace
from typing import Any

import numpy as np
import torch
from PIL import Image

from glimpse_core.errors import Cancelled
from glimpse_core.glimpse.selection import paint as painted
from glimpse_core.glimpse.selection import select
from glimpse_core.inference.attribution import Attribution, Steps, complete
from glimpse_core.inference.band import BudgetAnswer, budgets_of, check_budgets
from glimpse_core.inference.candidates import Candidate
from glimpse_core.inference.choice import choose
from glimpse_core.inference.divergence import Divergence, divergence
from glimpse_core.inference.forced import Word
from glimpse_core.pruners.random import random_mask
from glimpse_core.types import GlimpseConfig, Grid, Kept, Sampling, Selection, Settings, Step

PATCH = 28
CONFIG = {
    "text_config": {
        "num_hidden_layers": 6,
        "hidden_size": 64,
        "intermediate_size": 128,
        "num_attention_heads": 4,
        "num_key_value_heads": 2,
        "vocab_size": 300,
    },
    "vision_config": {
        "depth": 2,
        "hidden_size": 32,
        "intermediate_size": 64,
        "num_heads": 2,
        "out_hidden_size": 64,
        "patch_size": 14,
        "spatial_merge_size": 2,
        "temporal_patch_size": 2,
        "in_channels": 3,
        "window_size": 112,
        "fullatt_block_indexes": [1],
    },
}
GLIMPSE = GlimpseConfig(keep_layer=3, read_layers=(3,), glimpse_layers=(0, 1, 2, 3), vision_layers=(0, 1))


STOP = 0
KNOWN = [""]  # words by their number, which is a token's id


def number_of(word: str) -> int:
    if word not in KNOWN:
        KNOWN.append(word)
    return KNOWN.index(word)


@dataclass
class FakeModel:
    """What the page reads of a GlimpseModel. `pace` is how long one token takes, in seconds."""

    trained = True
    keep_layer = GLIMPSE.keep_layer
    scored_by = {"kind": "predictor", "layer": GLIMPSE.keep_layer, "meaning": "How red a patch is."}
    name: str = "fake"
    device: str = "cpu"
    dtype: str = "torch.float32"
    attn: str = "sdpa"
    pace: float = 0.01
    words: int = 12
    config: GlimpseConfig = GLIMPSE
    backbone: Any = field(
        default_factory=lambda: SimpleNamespace(hf=SimpleNamespace(config=CONFIG), repetition_penalty=1.0)
    )
    fail: Exception | None = None  # raised by the next question
    say: Callable[[int, int], str] | None = None  # tokens kept, of all -> the answer; None: of the stand-in's own words
    rounds: int = 3  # of scoring, until it is known what the words of an answer need
    ballast: int = 0  # bytes that a session holds, as a real one holds its key/value cache
    sessions: list[FakeSession] = field(default_factory=list)
    answers: list[FakeAnswer] = field(default_factory=list)
    bands: list[FakeBand] = field(default_factory=list)


class FakeAnswer(Iterator[Step]):
    def __init__(self, model: FakeModel, words: list[str], limit: int, cancel: threading.Event | None) -> None:
        self._model, self._words, self._limit, self._cancel = model, words, limit, cancel
        self.text, self.tokens, self.finished = "", [], None
        self.chosen: list[int] = []
        self.candidates: list[tuple[Candidate, ...]] = []
        self.timings = {"branch": 0.001, "tokens": []}

    @property
    def told_to_stop(self) -> bool:
        return self._cancel is not None and self._cancel.is_set()

    def __next__(self) -> Step:
        if self.told_to_stop:
            self.finished = "cancelled"
        elif len(self.tokens) == len(self._words):
            self.finished = "stop"
            self._choose(STOP)
        elif len(self.tokens) == self._limit:
            self.finished = "length"
        if self.finished:
            raise StopIteration
        time.sleep(self._model.pace)
        self.text = " ".join(self._words[: len(self.tokens) + 1])
        self.tokens.append(self._choose(number_of(self._words[len(self.tokens)])))
        self.timings["tokens"].append(self._model.pace)
        return Step(self.text, self.tokens[-1], self._model.pace, self.tokens[-1])

    def _choose(self, token: int) -> int:
        self.chosen.append(token)
        self.candidates.append((Candidate(token, 0.75), Candidate(number_of("perhaps"), 0.125)))
        return token


def needs_of(text: str, kept: torch.Tensor) -> list[tuple[bool, tuple[int, ...]]]:
    """Whether each word of a stand-in's answer depends on the picture, and the tokens that it needs.

    Of every three words the third depends on nothing. Word number 4, and every fifth after it, depends on the picture,
    but nothing is found. Every other word needs two of the kept tokens, the next word one of these and another.
    """
    tokens = kept.nonzero().flatten().tolist()
    found: list[tuple[bool, tuple[int, ...]]] = []
    for number, _ in enumerate(text.split()):
        two = {tokens[place % len(tokens)] for place in (number, number + 1)} if tokens else set()
        depends = number % 3 != 2
        found.append((depends, tuple(sorted(two)) if depends and number % 5 != 4 else ()))
    return found


class FakeBand(Iterator[tuple[BudgetAnswer, ...]]):
    """All its answers grow side by side, a word in each step."""

    def __init__(
        self,
        model: FakeModel,
        budgets: tuple[int, ...],
        masks: list[torch.Tensor],
        words: list[list[str]],
        limit: int,
        cancel: threading.Event | None,
    ) -> None:
        self.answers = tuple(BudgetAnswer(budget, mask) for budget, mask in zip(budgets, masks, strict=True))
        self._model, self._words, self._limit, self._cancel = model, words, limit, cancel
        model.bands.append(self)

    def __next__(self) -> tuple[BudgetAnswer, ...]:
        if all(answer.finished for answer in self.answers):
            raise StopIteration
        stopped = self._cancel is not None and self._cancel.is_set()
        time.sleep(0 if stopped else self._model.pace)
        self.answers = tuple(map(self._stopped if stopped else self._grown, self.answers, self._words))
        return self.answers

    def _stopped(self, answer: BudgetAnswer, words: list[str]) -> BudgetAnswer:
        return answer if answer.finished else replace(answer, finished="cancelled")

    def _grown(self, answer: BudgetAnswer, words: list[str]) -> BudgetAnswer:
        count = len(answer.tokens) + 1
        if count > len(words):
            return answer if answer.finished else replace(answer, finished="stop")
        ended = "length" if count == self._limit else None
        return (
            answer
            if answer.finished
            else replace(answer, tokens=tuple(range(count)), text=" ".join(words[:count]), finished=ended)
        )

    def complete(self) -> FakeBand:
        """Run to the end."""
        for _ in self:
            pass
        return self


class FakeSession:
    def __init__(self, model: FakeModel, images: list[Image.Image], question: str) -> None:
        self.model, self.images, self.question = model, images, question
        self.sizes = tuple(tuple(max(2, round(side / PATCH)) * PATCH for side in image.size) for image in images)
        self.grids = tuple(Grid(height // PATCH, width // PATCH) for width, height in self.sizes)
        red = [self._red(image, size) for image, size in zip(images, self.sizes, strict=True)]
        self.logits = torch.from_numpy(np.concatenate(red)).float()
        self.probabilities = self.logits.sigmoid()
        self.attention = torch.stack([self.logits * scale for scale in (0.5, 1.0, 2.0, -1.0)])  # 4 heads, 1 layer
        self.prompt_length = len(self.logits) + 20
        self.reused = 0
        self.held_bytes = model.ballast
        self.config = model.config
        self.familiarity = None
        self.timings = {"vision": 0.01, "trunk": 0.02, "glimpse_vip": 0.005}
        self.counters = {"vision": 1, "trunk": 1, "branch": 0, "answers": 0}
        self.masks: list[list[int] | None] = []  # that were answered with
        self.bands: list[list[list[int]]] = []  # those of each band
        self.attributed: list[str] = []  # answers whose words were looked into
        model.sessions.append(self if not model.ballast else weakref.proxy(self))
        # Mapped memory goes back to the system with its session; what malloc frees may stay with it for some time.
        self.ballast = np.frombuffer(mmap(-1, max(1, model.ballast)), dtype=np.uint8)
        self.ballast.fill(1)

    @staticmethod
    def _red(image: Image.Image, size: tuple[int, int]) -> np.ndarray:
        small = image.resize((size[0] // PATCH, size[1] // PATCH), Image.Resampling.BOX)
        red, green, blue = np.asarray(small, dtype=np.float64).reshape(-1, 3).T
        return (red - (green + blue) / 2) / 32 - 2

    @classmethod
    def ask(
        cls,
        model: FakeModel,
        images: list[Image.Image],
        question: str,
        *,
        system: str | None = None,
        cancel: threading.Event | None = None,
    ) -> FakeSession:
        if model.fail:
            error, model.fail = model.fail, None
            raise error
        if cancel is not None and cancel.is_set():
            raise Cancelled("Stopped.")
        return cls(model, images, question)

    def next(self, question: str, *, system: str | None = None, cancel: threading.Event | None = None) -> FakeSession:
        """Nothing of the pictures is looked at again."""
        found = self.ask(self.model, self.images, question, cancel=cancel)
        found.reused = len(self.logits) + 8
        found.counters |= {"vision": 0, "trunk": 1}
        return found

    def select(self, selection: Selection | None = None, paint: dict[int, bool] | None = None) -> Kept:
        only = self.grids[0] if len(self.grids) == 1 else None
        kept = select(self.logits, selection or Selection(), only)
        return painted(kept, paint) if paint else kept

    def choose(self, settings: Settings) -> Kept:
        return choose(self.logits, self.grids, settings)

    def band(
        self,
        budgets: tuple[int, ...] | None,
        settings: Settings | None = None,
        *,
        max_new_tokens: int = 64,
        cancel: threading.Event | None = None,
    ) -> FakeBand:
        """Not counted among the answers: it comes after them by itself."""
        given = budgets_of(len(self.logits)) if budgets is None else check_budgets(budgets, len(self.logits))
        masks = [
            choose(self.logits, self.grids, replace(settings or Settings(), budget=budget)).mask for budget in given
        ]
        words = [self._words(int(mask.sum())) for mask in masks]
        self.bands.append([mask.int().tolist() for mask in masks])
        return FakeBand(self.model, given, masks, words, max_new_tokens, cancel)

    def random(self, count: int, seed: int = 0) -> torch.Tensor:
        return random_mask(len(self.logits), count, seed)

    def inverse(self, kept: Kept) -> torch.Tensor:
        return ~kept.mask

    def answer(
        self, mask: torch.Tensor | None, sampling: Sampling | None = None, cancel: threading.Event | None = None
    ) -> FakeAnswer:
        self.counters["branch"] += 1
        self.counters["answers"] += 1
        self.masks.append(None if mask is None else mask.int().tolist())
        words = self._words(len(self.logits) if mask is None else int(mask.sum()))
        answer = FakeAnswer(self.model, words, (sampling or Sampling()).max_new_tokens, cancel)
        self.model.answers.append(answer)
        return answer

    def divergence(self, full: FakeAnswer, kept: FakeAnswer) -> Divergence | None:
        return divergence(full, kept, lambda tokens: "".join(f" {KNOWN[token]}" for token in tokens), frozenset([STOP]))

    def attribute(self, answer: FakeAnswer, mask: torch.Tensor | None) -> Attribution:
        return complete(self.attribution_steps(answer, mask))

    def attribution_steps(
        self, answer: FakeAnswer, mask: torch.Tensor | None, cancel: threading.Event | None = None
    ) -> Steps:
        kept = torch.ones(len(self.logits), dtype=torch.bool) if mask is None else mask
        self.attributed.append(answer.text)
        for number in range(self.model.rounds):
            if cancel is not None and cancel.is_set():
                raise Cancelled("Stopped.")
            time.sleep(self.model.pace)
            yield 16 * (number + 1)
        words = tuple(Word(text, number, number + 1) for number, text in enumerate(answer.text.split()))
        depends, needed = zip(*needs_of(answer.text, kept), strict=True)
        zeros = torch.zeros(len(words), len(kept))
        return Attribution(kept, words, depends, zeros[:, 0], zeros, zeros, kept, needed, 16 * self.model.rounds)

    def _words(self, kept: int) -> list[str]:
        if self.model.say:
            return self.model.say(kept, len(self.logits)).split()
        subject = "little" if kept < min(3, len(self.logits)) else "everything"
        return [f"I see {subject} in", *(f"word{i}" for i in range(self.model.words))]
