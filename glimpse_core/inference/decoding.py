"""From a prefix, wherever it stopped, to tokens and text.

One step serves every way to an answer: `begin` puts finished prefixes side by side, `step` chooses the next token of
each, `greedy` repeats it until all have ended, and `Answer` streams one of them, timed and cancellable. Nothing here
knows what was pruned: a pruned prefix decodes like any other. R rows; other letters as in `types.py`.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace

import torch
from torch import Tensor

from glimpse_core.backbones import Backbone
from glimpse_core.engine.prefix import BeforeLayer, advance
from glimpse_core.inference.candidates import Candidate, candidates_of
from glimpse_core.inference.rows import Rows, feed, stack
from glimpse_core.inference.sampling import check, choose, penalized, penalty_of
from glimpse_core.types import Prefix, Prompt, Sampling, Step

GREEDY = Sampling()


def finish(backbone: Backbone, prefix: Prefix, before_layer: BeforeLayer | None = None) -> Prefix:
    """Run the decoder layers that are left. before_layer: as in `engine.prefix.advance`."""
    return advance(backbone.text, prefix, backbone.layers, before_layer=before_layer)


def next_logits(backbone: Backbone, prefix: Prefix | Rows) -> Tensor:
    """(R, vocabulary) for the token after a finished prefix, in the model's dtype."""
    return backbone.next_logits(prefix.hidden)


@dataclass(frozen=True)
class Decoding:
    """R answers between two tokens.

    rows: have read the prompt and all generated ids but the last. generated_ids: (R, t) int64. prompt: see `begin`.
    logits: (R, vocabulary), what the last ids were chosen from; None before the first.
    """

    rows: Rows
    generated_ids: Tensor
    prompt: Prompt | None
    logits: Tensor | None = None

    @property
    def tokens(self) -> Tensor:
        """(R,) int64: the last ids."""
        return self.generated_ids[:, -1]

    def only(self, rows: Tensor) -> Decoding:
        """Leave out all but some rows. rows: (r,) int64, their indices."""
        prompt = self.prompt
        if prompt is not None and len(prompt.input_ids) > 1:  # of its fields, decoding reads these two
            prompt = replace(prompt, input_ids=prompt.input_ids[rows], attention_mask=prompt.attention_mask[rows])
        return Decoding(self.rows.only(rows), self.generated_ids[rows], prompt)


def begin(prefixes: Sequence[Prefix], prompt: Prompt | None = None) -> Decoding:
    """Put the rows of finished prefixes side by side, ready for the first token.

    Args:
        prefixes: of one or several rows each. Their caches stay as they are.
        prompt: what the repetition penalty counts as repeated, of as many rows as the prefixes have together, or of
            one that all rows share; None decodes without penalty.
    """
    rows = stack(prefixes)
    return Decoding(rows, torch.empty(len(rows.hidden), 0, dtype=torch.int64, device=rows.hidden.device), prompt)


def step(
    backbone: Backbone,
    decoding: Decoding,
    choose_next: Callable[[Tensor], Tensor] = lambda logits: choose(logits, GREEDY),
    penalty: float | None = None,
) -> Decoding:
    """Choose the next token of every row.

    Args:
        decoding: its cache goes on growing, so that only the newest value can be continued.
        choose_next: (R, vocabulary) logits -> (R,) int64 ids. Greedy by default.
        penalty: repetition penalty; None is the model's own.
    """
    rows, generated_ids, prompt = decoding.rows, decoding.generated_ids, decoding.prompt
    if generated_ids.shape[1]:
        rows = feed(backbone, rows, generated_ids[:, -1:])
    logits = next_logits(backbone, rows)
    if prompt is not None:
        penalty = backbone.repetition_penalty if penalty is None else penalty
        logits = penalized(logits, penalty, prompt, generated_ids)
    return Decoding(rows, torch.cat([generated_ids, choose_next(logits)[:, None]], dim=1), prompt, logits)


@torch.inference_mode()
def greedy_steps(backbone: Backbone, decoding: Decoding, limit: int) -> Iterator[dict[int, int | None]]:
    """Answer every row greedily, under the model's own repetition penalty, and yield after each step.

    Args:
        backbone: of the model.
        decoding: as `begin` returns it.
        limit: most tokens of an answer.

    Yields:
        For each row that had not ended, by its number: the id that it got, or None where it ended with a stop token.
    """
    count, device = len(decoding.generated_ids), decoding.generated_ids.device
    stop = torch.tensor(sorted(backbone.stop_tokens), dtype=torch.int64, device=device)
    members, running = torch.arange(count, device=device), torch.ones(count, dtype=torch.bool, device=device)
    for _ in range(limit):
        if 2 * int(running.sum()) <= len(running):  # until then rows that have ended run along, which is cheaper
            going = running.nonzero().flatten()
            decoding, members, running = decoding.only(going), members[going], running[going]
        decoding = step(backbone, decoding)
        before, running = running, running & ~torch.isin(decoding.tokens, stop)
        steps = zip(*(each.tolist() for each in (members, decoding.tokens, before, running)), strict=True)
        yield {member: token if goes else None for member, token, went, goes in steps if went}
        if not bool(running.any()):
            break


def greedy(backbone: Backbone, decoding: Decoding, limit: int) -> list[list[int]]:
    """Answer every row greedily, see `greedy_steps`.

    Returns:
        Generated ids of each row, without the stop token.
    """
    answers: list[list[int]] = [[] for _ in decoding.generated_ids]
    for found in greedy_steps(backbone, decoding, limit):
        for row, token in found.items():
            if token is not None:
                answers[row].append(token)
    return answers


def answers(backbone: Backbone, prompt: Prompt, branch: Prefix, limit: int) -> list[list[int]]:
    """Answer all rows of a prompt greedily, at most `limit` tokens each. branch: what a pruner made of the prompt.

    Returns the generated ids of each row, without the stop token.
    """
    return greedy(backbone, begin([finish(backbone, branch)], prompt), limit)


class Answer(Iterator[Step]):
    """A streamed answer. Iterate over it, or call `complete`; it runs once.

    text: the whole text so far. tokens: the ids so far, a stop token not among them. finished: "stop" (the model
    ended), "length", "cancelled", or None while running. timings: {"branch": seconds of pruning and of the prefill
    after layer K, "tokens": [seconds of every step]}; the first token's step contains the branch. penalty: of
    repetitions, 1 for none. chosen: the ids so far, with the stop token that ended it. candidates: of each of these
    steps, the most probable tokens.
    """

    def __init__(
        self,
        backbone: Backbone,
        prompt: Prompt,
        branch: Callable[[], Prefix],
        decode: Callable[[list[int]], str],
        sampling: Sampling,
        cancel: threading.Event | None = None,
        finished: Callable[[Prefix], None] = lambda prefix: None,
    ) -> None:
        """Prepare an answer; nothing runs before the first step is asked for.

        Args:
            prompt: one row.
            branch: returns the prefix to continue from; called when the first step is asked for.
            decode: generated ids -> text.
            cancel: set it from another thread to stop between tokens, or between layers of the prefill.
            finished: called with the prefix when all layers have run.

        Raises:
            GlimpseError: for a setting outside its range.
        """
        check(sampling)
        self.text = ""
        self.tokens: list[int] = []
        self.chosen: list[int] = []
        self.candidates: list[tuple[Candidate, ...]] = []
        self.finished: str | None = None
        self._seconds: list[float] = []
        self.timings: dict[str, float | list[float]] = {"branch": 0.0, "tokens": self._seconds}
        self._backbone, self._prompt, self._decode = backbone, prompt, decode
        self._sampling, self._cancel = sampling, cancel
        self.penalty = penalty_of(backbone, sampling)
        self._branch: Callable[[], Prefix] | None = branch
        self._finished = finished
        self._decoding: Decoding | None = None
        self._stop = backbone.stop_tokens
        self._generator = torch.Generator().manual_seed(sampling.seed) if sampling.temperature else None

    def __next__(self) -> Step:
        if self.finished is not None:
            raise StopIteration
        if self._cancel is not None and self._cancel.is_set():
            self._end("cancelled")
        began = time.perf_counter()
        with torch.inference_mode():
            token = self._forward()
        self.chosen.append(token)
        if token in self._stop:
            self._note_candidates()
            self._end("stop")
        self.tokens.append(token)
        self.text = self._decode(self.tokens).rstrip("\ufffd")  # half a character waits for its other half
        seconds = time.perf_counter() - began
        self._seconds.append(seconds)
        self._note_candidates()  # not part of an answer, and so not timed
        done = Step(self.text, token, seconds, len(self.tokens) - 1)
        if len(self.tokens) == self._sampling.max_new_tokens:
            self.finished, self._decoding = "length", None
        return done

    def complete(self) -> Answer:
        """Run to the end."""
        for _ in self:
            pass
        return self

    def _forward(self) -> int:
        if self._decoding is None:
            self._decoding = begin([self._prefill()], self._prompt)
        self._decoding = step(self._backbone, self._decoding, self._choose, self.penalty)
        return int(self._decoding.tokens)

    def _note_candidates(self) -> None:
        assert self._decoding is not None and self._decoding.logits is not None  # a step was made
        self.candidates.append(candidates_of(self._decoding.logits[0]))

    def _prefill(self) -> Prefix:
        began = time.perf_counter()
        assert self._branch is not None  # until the first step has been made
        prefix, self._branch = finish(self._backbone, self._branch(), self._check_cancel), None
        if prefix.hidden.is_cuda:
            torch.cuda.synchronize(prefix.hidden.device)
        self.timings["branch"] = time.perf_counter() - began
        self._finished(prefix)
        return prefix

    def _choose(self, logits: Tensor) -> Tensor:
        return choose(logits, self._sampling, self._generator)

    def _check_cancel(self, layer: int, hidden: Tensor) -> Tensor:
        if self._cancel is not None and self._cancel.is_set():
            self._end("cancelled")
        return hidden

    def _end(self, reason: str) -> None:
        self.finished, self._decoding, self._branch = reason, None, None  # the cache is let go at once
        raise StopIteration
