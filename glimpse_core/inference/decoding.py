"""From a prefix, wherever it stopped, to tokens and text.

Plain functions on a `Prefix` first (they work for batches too), then `Answer`, the cancellable, timed stream of one
answer. This file does not know what was pruned: a pruned prefix decodes like any other.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Iterator
from dataclasses import replace

import torch
from torch import Tensor
from transformers import RepetitionPenaltyLogitsProcessor

from glimpse_core.backbones import Backbone
from glimpse_core.engine.prefix import BeforeLayer, advance
from glimpse_core.errors import GlimpseError
from glimpse_core.types import Prefix, Prompt, Sampling, Step


def finish(backbone: Backbone, prefix: Prefix, before_layer: BeforeLayer | None = None) -> Prefix:
    """Run the layers that are left."""
    return advance(backbone.text, prefix, backbone.layers, before_layer=before_layer)


def next_logits(backbone: Backbone, prefix: Prefix) -> Tensor:
    """(B, vocabulary) for the token behind a finished prefix, in the model's dtype."""
    return backbone.next_logits(prefix.hidden)


def feed(backbone: Backbone, prefix: Prefix, tokens: Tensor) -> Prefix:
    """Append tokens (B, 1) int64 to a finished prefix and run them through all layers, into the same cache.

    Their position is one behind the previous token's, whatever was pruned; it is never derived from the cache length.
    """
    padding = prefix.padding
    following = Prefix(
        hidden=backbone.embed(tokens),
        positions=prefix.positions[..., -1:] + 1,
        padding=None if padding is None else torch.cat([padding, padding.new_ones(len(padding), 1)], dim=1),
        cache=prefix.cache,
        ahead=prefix.ahead,
    )
    return finish(backbone, following)


def penalized(logits: Tensor, penalty: float, prompt: Prompt, spoken: Tensor) -> Tensor:
    """Logits (R, vocabulary) of R rows that have said `spoken` (R, t), with repetition made less likely.

    Exactly what `generate` does: everything in the prompt counts as said, the placeholders of dropped tokens as well,
    so pruning changes nothing about it. prompt: of R rows, or of one that all share. penalty: 1 changes nothing.
    """
    if penalty == 1:
        return logits
    rows, device = len(logits), logits.device
    padded = prompt.attention_mask.argmax(1).expand(rows).to(device)
    ids = torch.cat([prompt.input_ids.expand(rows, -1).to(device), spoken.to(device)], dim=1)
    return RepetitionPenaltyLogitsProcessor(float(penalty), padded)(ids, logits.float())


def answers(backbone: Backbone, prompt: Prompt, branch: Prefix, limit: int) -> list[list[int]]:
    """Greedy answers to all rows of a prompt, at most `limit` tokens each, a stop token not among them.

    branch: what a pruner made of the prompt. The model's own repetition penalty applies.
    """
    prefix = finish(backbone, branch)
    stop = torch.tensor(sorted(backbone.stop_tokens), device=prefix.hidden.device)
    said: list[list[int]] = [[] for _ in prefix.hidden]
    spoken = prompt.input_ids[:, :0]
    running = torch.ones(len(said), dtype=torch.bool, device=prefix.hidden.device)
    for step in range(limit):
        logits = next_logits(backbone, prefix)
        tokens = penalized(logits, backbone.repetition_penalty, prompt, spoken).argmax(-1)
        spoken = torch.cat([spoken, tokens[:, None].to(spoken.device)], dim=1)
        running &= ~torch.isin(tokens, stop)
        for row in running.nonzero()[:, 0].tolist():
            said[row].append(int(tokens[row]))
        if step == limit - 1 or not bool(running.any()):
            break
        prefix = feed(backbone, prefix, tokens[:, None])  # rows that have ended run along, unheard
    return said


def choose(logits: Tensor, sampling: Sampling, generator: torch.Generator | None) -> int:
    """One token id from logits (vocabulary,). The generator lives on the CPU, so a seed means the same everywhere."""
    if sampling.temperature == 0:
        return int(logits.argmax())
    chances = (logits.float().cpu() / sampling.temperature).softmax(-1)
    ranked, ids = chances.sort(descending=True)
    ranked[ranked.cumsum(0) - ranked >= sampling.top_p] = 0  # the most probable token always stays
    return int(ids[torch.multinomial(ranked, 1, generator=generator)])


def penalty_of(backbone: Backbone, sampling: Sampling) -> float:
    """The repetition penalty that an answer has."""
    own = sampling.repetition_penalty
    return backbone.repetition_penalty if own is None else own


def check(sampling: Sampling) -> None:
    """Raise a `GlimpseError` that names the first impossible setting."""
    if not sampling.temperature >= 0:
        raise GlimpseError(f"temperature is {sampling.temperature!r}: choose 0 (greedy) or a positive number")
    if not 0 < sampling.top_p <= 1:
        raise GlimpseError(f"top_p is {sampling.top_p!r}: choose a number above 0, at most 1")
    if sampling.max_new_tokens < 1:
        raise GlimpseError(f"max_new_tokens is {sampling.max_new_tokens!r}: choose at least 1")
    if sampling.repetition_penalty is not None and not sampling.repetition_penalty > 0:
        raise GlimpseError(
            f"repetition_penalty is {sampling.repetition_penalty!r}: choose 1 (none), a larger number, or None for the "
            "model's own"
        )


class Answer(Iterator[Step]):
    """A streamed answer. Iterate over it, or call `complete`; it runs once.

    text: the whole text so far. tokens: the ids so far, a stop token not among them. finished: "stop" (the model
    ended), "length", "cancelled", or None while running. timings: {"branch": seconds of pruning and of the prefill
    behind layer K, "tokens": [seconds of every step]}; the first token's step contains the branch.
    """

    def __init__(
        self,
        backbone: Backbone,
        prompt: Prompt,
        branch: Callable[[], Prefix],
        decode: Callable[[list[int]], str],
        sampling: Sampling,
        cancel: threading.Event | None = None,
    ) -> None:
        """prompt: one row. branch: gives the prefix to continue from; called when the first step is asked for."""
        check(sampling)
        self.text = ""
        self.tokens: list[int] = []
        self.finished: str | None = None
        self.timings: dict[str, float | list[float]] = {"branch": 0.0, "tokens": []}
        self._backbone, self._prompt, self._decode = backbone, prompt, decode
        self._sampling, self._cancel = sampling, cancel
        self._penalty = penalty_of(backbone, sampling)
        self._branch: Callable[[], Prefix] | None = branch
        self._prefix: Prefix | None = None
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
        if token in self._stop:
            self._end("stop")
        self.tokens.append(token)
        self.text = self._decode(self.tokens).rstrip("\ufffd")  # half a character waits for its other half
        seconds = time.perf_counter() - began
        self.timings["tokens"].append(seconds)
        step = Step(self.text, token, seconds, len(self.tokens) - 1)
        if len(self.tokens) == self._sampling.max_new_tokens:
            self.finished, self._prefix = "length", None
        return step

    def complete(self) -> Answer:
        """Run to the end."""
        for _ in self:
            pass
        return self

    def _forward(self) -> int:
        backbone = self._backbone
        if self._prefix is not None:
            last = torch.tensor([[self.tokens[-1]]], device=self._prefix.hidden.device)
            prefix = feed(backbone, self._prefix, last)
        else:
            began = time.perf_counter()
            prefix, self._branch = finish(backbone, self._branch(), self._check_cancel), None
            if prefix.hidden.is_cuda:
                torch.cuda.synchronize(prefix.hidden.device)
            self.timings["branch"] = time.perf_counter() - began
        self._prefix = replace(prefix, hidden=prefix.hidden[:, -1:], positions=prefix.positions[..., -1:])
        spoken = torch.tensor([self.tokens], dtype=torch.int64)
        logits = penalized(next_logits(backbone, prefix), self._penalty, self._prompt, spoken)
        return choose(logits[0], self._sampling, self._generator)

    def _check_cancel(self, layer: int, hidden: Tensor) -> Tensor:
        if self._cancel is not None and self._cancel.is_set():
            self._end("cancelled")
        return hidden

    def _end(self, reason: str) -> None:
        self.finished, self._prefix, self._branch = reason, None, None  # the cache is let go at once
        raise StopIteration
