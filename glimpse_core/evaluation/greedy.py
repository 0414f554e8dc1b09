"""Greedy answers of several variants of one question: each branch by itself up to its first token, then in step.

Decoding one token costs a small model about the same for one row as for five, so the variants share the steps. The
result is that of `Session.answer` with the same mask (tests/test_evaluation.py). R variants.
"""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor
from torch.nn import functional

from glimpse_core.backbone import Backbone
from glimpse_core.decode import feed, finish, next_logits
from glimpse_core.prefix import fork, keep
from glimpse_core.types import Prefix, Prompt


@torch.inference_mode()
def greedy(backbone: Backbone, trunk: Prefix, prompt: Prompt, masks: Sequence[Tensor], limit: int) -> list[list[int]]:
    """Continue a trunk (B = 1) once for each mask (N,) bool over its visual tokens. At most `limit` tokens each.

    Returns the token ids of every answer, without the stop token.
    """
    branches = [finish(backbone, keep(trunk, backbone.keep_mask(prompt, (mask,)))) for mask in masks]
    rows = stack(branches)
    stop = torch.tensor(sorted(backbone.stop_tokens), device=rows.hidden.device)
    running = torch.ones(len(masks), dtype=torch.bool, device=rows.hidden.device)
    answers: list[list[int]] = [[] for _ in masks]
    for step in range(1, limit + 1):
        tokens = next_logits(backbone, rows).argmax(-1)
        running &= ~torch.isin(tokens, stop)
        for answer, token, going in zip(answers, tokens.tolist(), running.tolist(), strict=True):
            if going:
                answer.append(token)
        if step == limit or not bool(running.any()):
            break
        rows = feed(backbone, rows, tokens[:, None])  # rows that have ended run along, unheard
    return answers


def stack(branches: Sequence[Prefix]) -> Prefix:
    """Finished prefixes of one row each, as one of R rows that can be fed; shorter ones are padded on the left."""
    lengths = [branch.hidden.shape[1] for branch in branches]
    longest = max(lengths)
    together = fork(branches[0]).cache
    for index, layer in enumerate(together.layers):
        own = [branch.cache.layers[index] for branch in branches]
        layer.keys, layer.values = (
            torch.cat([functional.pad(t, (0, 0, longest - t.shape[2], 0)) for t in (getattr(one, name) for one in own)])
            for name in ("keys", "values")
        )
    padding = torch.arange(longest) >= longest - torch.tensor(lengths)[:, None]  # (R, longest)
    return Prefix(
        hidden=torch.cat([branch.hidden[:, -1:] for branch in branches]),
        positions=torch.cat([branch.positions[..., -1:] for branch in branches], dim=-2),
        padding=None if bool(padding.all()) else padding.to(branches[0].hidden.device),
        cache=together,
        depth=branches[0].depth,
    )
