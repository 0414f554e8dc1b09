"""Log-probabilities of sampled answers, after pruned prompts: of the policy, and of the reference.

The prompt runs once for all answers: layers 0..K on all tokens, the rest on the kept ones, the caches shortened
throughout. Its caches then stand before every answer. Gradients flow through the caches as through everything else.

Two ways give the log-probabilities of the second and later tokens. `replay` is the policy that was sampled from.
`upstream` is the published approximation: there the kept tokens alone run through all layers, so that layers 0..K do
not see the dropped ones. The first token is predicted by the pruned prompt in both.

G answers, T tokens of the longest one; other letters as in `types.py`.
"""

from __future__ import annotations

import copy
from dataclasses import dataclass, replace
from typing import Any, Literal, cast

import torch
from torch import Tensor, nn
from torch.utils.checkpoint import checkpoint
from transformers import DynamicCache

from glimpse_core.backbones import Backbone
from glimpse_core.engine.decoder import filled_layers
from glimpse_core.engine.prefix import RunLayer, advance, fork, keep
from glimpse_core.types import Prefix, Prompt, Vision

LogProbs = Literal["replay", "upstream"]


@dataclass(frozen=True)
class Question:
    """One prompt, and which of its tokens are kept.

    Attributes:
        prompt: B = 1.
        vision: its encoded images, without gradients.
        kept: (N,) bool, over the visual tokens; all True prunes nothing.
        depth: decoder layers that process every token, K + 1.
    """

    prompt: Prompt
    vision: Vision
    kept: Tensor
    depth: int


@dataclass(frozen=True)
class Told:
    """What a model gives for sampled answers.

    Attributes:
        logprobs: (G, T) log-probabilities of the ids, float32 or wider.
        entropy: (G, T) of the distributions that they were taken from, without gradients.
    """

    logprobs: Tensor
    entropy: Tensor


def pruned_prompt(backbone: Backbone, question: Question, run: RunLayer | None = None) -> Prefix:
    """Run a prompt through all layers, with the visual tokens dropped after layer K. run: as `advance` takes it."""
    return _finish(backbone, _shared(backbone, question, run), question, run)


def policy(
    backbone: Backbone, question: Question, ids: Tensor, mode: LogProbs = "replay", recompute: bool = False
) -> Told:
    """Return log-probabilities of sampled answers under the model as it is, with gradients.

    Args:
        backbone: with its adapter.
        question: the prompt that the answers were sampled from.
        ids: (G, T) int64 generated ids.
        mode: how the second and later tokens are predicted.
        recompute: run every layer again in the backward pass instead of holding its activations.
    """
    run = recomputed if recompute else None
    first = pruned_prompt(backbone, question, run)
    before = first if mode == "replay" else _kept_alone(backbone, question, run)
    return _told(backbone, first, before, ids, run)


@torch.no_grad()
def reference(backbone: Backbone, question: Question, ids: Tensor, mode: LogProbs = "replay") -> Tensor:
    """Return the reference's log-probabilities (G, T), as published: the first token's after the unpruned prompt.

    Args:
        backbone: with its adapter disabled.
        question, ids, mode: as `policy` takes them.
    """
    shared = _shared(backbone, question, None)
    first = advance(backbone.text, fork(shared), backbone.layers)
    before = _finish(backbone, shared, question, None) if mode == "replay" else _kept_alone(backbone, question, None)
    return _told(backbone, first, before, ids, None).logprobs


def repeated(prefix: Prefix, rows: int) -> Prefix:
    """Return `rows` equal rows of a prefix of one row, which share its memory."""
    branch = fork(prefix)
    for layer in filled_layers(branch):
        layer.keys = layer.keys.expand(rows, -1, -1, -1)
        layer.values = layer.values.expand(rows, -1, -1, -1)
    shape = (*prefix.positions.shape[:-2], rows, prefix.positions.shape[-1])
    return replace(branch, hidden=prefix.hidden.expand(rows, -1, -1), positions=prefix.positions.expand(shape))


def _shared(backbone: Backbone, question: Question, run: RunLayer | None) -> Prefix:
    """All tokens after layer K."""
    return advance(backbone.text, backbone.start(question.prompt, question.vision), question.depth, run=run)


def _finish(backbone: Backbone, shared: Prefix, question: Question, run: RunLayer | None) -> Prefix:
    """Drop the tokens that are not kept, and run the layers that are left."""
    kept = backbone.keep_mask(question.prompt, (question.kept,))
    return advance(backbone.text, keep(fork(shared), kept), backbone.layers, run=run)


def _kept_alone(backbone: Backbone, question: Question, run: RunLayer | None) -> Prefix:
    """The kept tokens alone through all layers, at their original positions."""
    start = backbone.start(question.prompt, question.vision)
    kept = backbone.keep_mask(question.prompt, (question.kept,))
    return advance(backbone.text, keep(start, kept), backbone.layers, run=run)


def _told(backbone: Backbone, first: Prefix, before: Prefix, ids: Tensor, run: RunLayer | None) -> Told:
    """The first token of every answer is predicted by `first`, the others stand after `before`."""
    rows, count = ids.shape
    logits = backbone.next_logits(first.hidden).expand(rows, -1)[:, None]
    if count > 1:
        start = repeated(before, rows)
        steps = torch.arange(1, count, device=ids.device)
        answers = replace(
            start,
            hidden=backbone.embed(ids[:, :-1]),
            positions=start.positions[..., -1:] + steps,
            depth=0,
            processed=(),
        )
        after = advance(backbone.text, answers, backbone.layers, run=run)
        logits = torch.cat([logits, backbone.logits(after.hidden)], dim=1)
    scores = _wide(logits).log_softmax(-1)
    with torch.no_grad():
        entropy = -(scores.exp() * scores).sum(-1)
    return Told(scores.gather(-1, ids[..., None])[..., 0], entropy)


def _wide(logits: Tensor) -> Tensor:
    """16-bit numbers as float32; wider ones as they are."""
    return logits.float() if logits.dtype.itemsize < 4 else logits


def recomputed(layer: nn.Module, hidden: Tensor, inputs: dict[str, Any]) -> Tensor:
    """Run a layer, and again in the backward pass (a `RunLayer`), with gradients to its cache, too."""
    cache, index = cast(DynamicCache, inputs["past_key_values"]), cast(Any, layer).self_attn.layer_idx

    def once(hidden: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        own = copy.copy(cache)
        own.layers = [copy.copy(each) for each in before]
        out: Tensor = layer(hidden, **(inputs | {"past_key_values": own}))
        filled = cast(Any, own.layers[index])
        return out, filled.keys, filled.values

    before = [copy.copy(each) for each in cache.layers]
    out, keys, values = checkpoint(once, hidden, use_reentrant=False)
    filled = cast(Any, cache.layers[index])
    if not filled.is_initialized:
        filled.lazy_initialization(keys, values)
    filled.keys, filled.values = keys, values
    return cast(Tensor, out)
