"""From logits to the next token: repetition penalty, greedy choice, nucleus sampling. R rows."""

from __future__ import annotations

import torch
from torch import Tensor
from transformers import RepetitionPenaltyLogitsProcessor

from glimpse_core.backbones import Backbone
from glimpse_core.errors import GlimpseError
from glimpse_core.types import Prompt, Sampling


def check(sampling: Sampling) -> None:
    """Raise a GlimpseError that names the first setting outside its range."""
    if not sampling.temperature >= 0:
        raise GlimpseError(f"temperature is {sampling.temperature!r}. Expected 0 (greedy) or a positive number.")
    if not 0 < sampling.top_p <= 1:
        raise GlimpseError(f"top_p is {sampling.top_p!r}. Expected a number above 0, at most 1.")
    if sampling.max_new_tokens < 1:
        raise GlimpseError(f"max_new_tokens is {sampling.max_new_tokens!r}. Expected at least 1.")
    if sampling.repetition_penalty is not None and not sampling.repetition_penalty > 0:
        raise GlimpseError(
            f"repetition_penalty is {sampling.repetition_penalty!r}. Expected 1 (none), another positive number, or "
            "None for the model's own."
        )


def penalty_of(backbone: Backbone, sampling: Sampling) -> float:
    """Return the repetition penalty of an answer: the one asked for, else the model's own."""
    own = sampling.repetition_penalty
    return backbone.repetition_penalty if own is None else own


def penalized(logits: Tensor, penalty: float, prompt: Prompt, generated_ids: Tensor) -> Tensor:
    """Make tokens less likely that stand in the prompt or were generated before, exactly as `generate` does.

    Placeholders of dropped visual tokens count as part of the prompt, so pruning changes nothing about the penalty.

    Args:
        logits: (R, vocabulary).
        penalty: 1 changes nothing.
        prompt: of R rows, or of one that all rows share.
        generated_ids: (R, t) int64.

    Returns:
        (R, vocabulary): `logits` itself without a penalty, else float32.
    """
    if penalty == 1:
        return logits
    rows, device = len(logits), logits.device
    padded = prompt.attention_mask.argmax(1).expand(rows).to(device)
    ids = torch.cat([prompt.input_ids.expand(rows, -1).to(device), generated_ids.to(device)], dim=1)
    found: Tensor = RepetitionPenaltyLogitsProcessor(float(penalty), padded)(ids, logits.float())
    return found


def choose(logits: Tensor, sampling: Sampling, generator: torch.Generator | None = None) -> Tensor:
    """Choose the next token of every row.

    Args:
        logits: (R, vocabulary).
        sampling: temperature 0 is greedy, else nucleus sampling with `top_p`.
        generator: lives on the CPU, so that a seed means the same on every device.

    Returns:
        (R,) int64 token ids, on the device of the logits.
    """
    if sampling.temperature == 0:
        return logits.argmax(-1)
    return torch.cat([_draw(row, sampling, generator) for row in logits]).to(logits.device)


def _draw(logits: Tensor, sampling: Sampling, generator: torch.Generator | None) -> Tensor:
    """(vocabulary,) -> (1,) int64, on the CPU."""
    chances = (logits.float().cpu() / sampling.temperature).softmax(-1)
    ranked, ids = chances.sort(descending=True)
    ranked[ranked.cumsum(0) - ranked >= sampling.top_p] = 0  # the most probable token always stays
    return ids[torch.multinomial(ranked, 1, generator=generator)]
