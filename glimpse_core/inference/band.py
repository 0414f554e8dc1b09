"""The answers at many budgets to one question, from the one prefill that they share: where does the answer break?

Layers 0..K run once, whatever the budgets. After them each budget runs its own tokens, and budgets of similar size
decode side by side, one token of each per step: a step costs a small model about the same for one row as for twelve.
"""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace
from typing import Any

import torch
from torch import Tensor

from glimpse_core.backbones import Backbone
from glimpse_core.errors import Cancelled, GlimpseError
from glimpse_core.inference.branches import branch_steps, distinct
from glimpse_core.types import Prefix, Prompt

BUDGETS = 12  # of a band for which none are given


def budgets_of(total: int, count: int = BUDGETS) -> tuple[int, ...]:
    """Choose budgets from one token to all of them, each about the same factor above the one before.

    Args:
        total: visual tokens, at least 1.
        count: number of budgets, at least 2; a small total has fewer.

    Returns:
        Different numbers of tokens, ascending, 1 and `total` among them.
    """
    return tuple(sorted({round(total ** (place / (count - 1))) for place in range(count)}))


def read_budgets(text: str, name: str) -> tuple[int, ...] | None:
    """Read budgets such as "1,8,64", or "auto" for those of `budgets_of`, which is None.

    Args:
        text: what was given.
        name: what it was given as, for the message.

    Raises:
        GlimpseError: for what is neither.
    """
    if text.strip() == "auto":
        return None
    parts = [part.strip() for part in text.split(",")]
    if not all(part.isascii() and part.isdecimal() for part in parts):
        raise GlimpseError(f"{name} is {text[:80]!r}. Expected auto, or numbers of tokens such as 1,8,64.")
    return tuple(map(int, parts))


def check_budgets(budgets: Sequence[int], total: int) -> tuple[int, ...]:
    """Return the budgets, ascending, each once. Raises GlimpseError for none, and for what is no number of tokens."""
    wrong = [budget for budget in budgets if isinstance(budget, bool) or not 1 <= budget <= total]
    if wrong or not budgets:
        given = ", ".join(map(str, wrong or budgets)) or "none"
        raise GlimpseError(f"The budgets are {given}. Expected integers from 1 to {total}, all visual tokens.")
    return tuple(sorted(set(budgets)))


@dataclass(frozen=True)
class BudgetAnswer:
    """An answer at one budget, as far as it is.

    Attributes:
        budget: visual tokens that were asked for.
        mask: (N,) bool, the tokens that it is made from: more or fewer than `budget` where some are chosen by hand.
        tokens: generated ids, without the stop token.
        text: of these.
        finished: "stop", "length" or "cancelled"; None while it runs or waits.
    """

    budget: int
    mask: Tensor
    tokens: tuple[int, ...] = ()
    text: str = ""
    finished: str | None = None

    def to_dict(self) -> dict[str, Any]:
        """Return budget, number of tokens kept, text, generated ids, and how it ended, as JSON values."""
        kept, tokens = int(self.mask.sum()), list(self.tokens)
        return {"budget": self.budget, "kept": kept, "text": self.text, "tokens": tokens, "finished": self.finished}


class Band(Iterator[tuple[BudgetAnswer, ...]]):
    """Streams greedy answers at many budgets, small budgets first. Iterate over it, or call `complete`; it runs once.

    Attributes:
        answers: one per budget, ascending, as they are now. Each step of the iteration replaces some of them.
        runs: how many different sets of tokens are run after layer K; 0 before the first step.
    """

    def __init__(
        self,
        backbone: Backbone,
        prompt: Prompt,
        masks: dict[int, Tensor],
        branch: Callable[[Tensor], Prefix],
        decode: Callable[[list[int]], str],
        limit: int,
        cancel: threading.Event | None = None,
    ) -> None:
        """Prepare the answers; nothing runs before the first step is asked for.

        Args:
            backbone: of the model.
            prompt: one row.
            masks: (N,) bool by budget, ascending.
            branch: the prompt after layer K with the tokens of a mask.
            decode: generated ids -> text.
            limit: most tokens of an answer, at least 1.
            cancel: set it from another thread to stop between tokens, or between layers.
        """
        self.answers = tuple(BudgetAnswer(budget, mask) for budget, mask in masks.items())
        self.runs = 0
        self._backbone, self._prompt, self._branch = backbone, prompt, branch
        self._decode, self._limit, self._cancel = decode, limit, cancel
        self._steps = self._run()

    def __next__(self) -> tuple[BudgetAnswer, ...]:
        try:
            return next(self._steps)
        except Cancelled:
            self.answers = tuple(
                answer if answer.finished else replace(answer, finished="cancelled") for answer in self.answers
            )
            raise StopIteration from None

    def complete(self) -> Band:
        """Run to the end."""
        for _ in self:
            pass
        return self

    @torch.inference_mode()
    def _run(self) -> Iterator[tuple[BudgetAnswer, ...]]:
        self._check(0, torch.empty(0))
        branches, places = distinct([self._branch(answer.mask) for answer in self.answers])
        self.runs = len(branches)
        for found in branch_steps(self._backbone, self._prompt, branches, self._limit, before_layer=self._check):
            self.answers = tuple(
                self._grown(answer, found[place]) if place in found else answer
                for answer, place in zip(self.answers, places, strict=True)
            )
            yield self.answers
            self._check(0, torch.empty(0))

    def _grown(self, answer: BudgetAnswer, token: int | None) -> BudgetAnswer:
        """The answer with one token more; None ends it."""
        if token is None:
            return replace(answer, finished="stop")
        tokens = (*answer.tokens, token)
        text = self._decode([*tokens]).rstrip("\ufffd")  # half a character waits for its other half
        return replace(answer, tokens=tokens, text=text, finished="length" if len(tokens) == self._limit else None)

    def _check(self, layer: int, hidden: Tensor) -> Tensor:
        """Raise Cancelled where the band is cancelled (`engine.prefix.BeforeLayer`)."""
        if self._cancel is not None and self._cancel.is_set():
            raise Cancelled("The answers were stopped: ask again.")
        return hidden
