"""Inputs of the original's models as this package takes them. LLaVA's have ONE placeholder per picture, -200."""

from __future__ import annotations

from collections.abc import Mapping

import torch
from torch import Tensor

from glimpse_core.backbones import Backbone
from glimpse_core.types import IGNORED_LABEL, Prompt

PLACEHOLDER = -200


def read_prompt(inputs: Mapping[str, Tensor], backbone: Backbone) -> tuple[Prompt, Tensor, Tensor | None]:
    """The prompt; its ids as the original writes them (B, L); labels (B, L) if there are any.

    inputs: `input_ids`, if padded `attention_mask`, and `images` (images, 3, S, S) for LLaVA; else `pixel_values` and
    `image_grid_thw`; in training `labels`.
    """
    ids, mask, labels = (inputs.get(name) for name in ("input_ids", "attention_mask", "labels"))
    if "images" not in inputs:
        prompt = backbone.prompt(ids, inputs.get("pixel_values"), inputs.get("image_grid_thw"), mask)
        return prompt, ids, labels
    tokens = backbone.grids(inputs["images"], None)[0].tokens
    rows = [spread(ids, mask, row, tokens) for row in range(len(ids))]
    longest = max(map(len, rows))
    theirs = torch.stack([left_padded(ids[row, places], longest, 0) for row, places in enumerate(rows)])
    real = torch.stack([left_padded(torch.ones_like(places), longest, 0) for places in rows])
    if labels is not None:
        labels = labels.masked_fill(
            (ids == PLACEHOLDER) | (labels == PLACEHOLDER), IGNORED_LABEL
        )  # -200 all over the prompt
        labels = torch.stack(
            [left_padded(labels[row, places], longest, IGNORED_LABEL) for row, places in enumerate(rows)]
        )
    ours = theirs.masked_fill(theirs == PLACEHOLDER, backbone.image_token)
    return backbone.prompt(ours, inputs["images"], None, real), theirs, labels


def spread(ids: Tensor, mask: Tensor | None, row: int, tokens: int) -> Tensor:
    """Which entry of a row stands at every place, without padding, a placeholder once for every visual token."""
    counts = torch.where(ids[row] == PLACEHOLDER, tokens, 1)
    return torch.arange(ids.shape[1]).repeat_interleave(counts if mask is None else counts * mask[row])


def left_padded(values: Tensor, length: int, fill: int) -> Tensor:
    return torch.cat([values.new_full((length - len(values),), fill), values])
