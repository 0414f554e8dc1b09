"""Inputs of the authors' models as this package takes them. LLaVA's have ONE placeholder per image, -200."""

from __future__ import annotations

from collections.abc import Mapping

import torch
from torch import Tensor

from glimpse_core.backbones import Backbone
from glimpse_core.types import IGNORED_LABEL, Prompt

PLACEHOLDER = -200


def read_prompt(inputs: Mapping[str, Tensor], backbone: Backbone) -> tuple[Prompt, Tensor, Tensor | None]:
    """Return inputs of the authors' code as a prompt.

    Args:
        inputs: `input_ids` (B, L); `attention_mask` (B, L) if padded; `images` (images, 3, S, S) for LLaVA, else
            `pixel_values` and `image_grid_thw`; in training `labels` (B, L).
        backbone: the model that the inputs are for.

    Returns:
        The prompt; its ids (B, L') as the original writes them, one placeholder per visual token; labels (B, L') or
        None.
    """
    ids, mask, labels = inputs["input_ids"], inputs.get("attention_mask"), inputs.get("labels")
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
    """Return for every position of an expanded row the index of its entry in `ids[row]`.

    Args:
        ids: (B, L) with one placeholder per image.
        mask: (B, L), 0 at padding, which is left out. None: nothing is padded.
        row: number of the row.
        tokens: visual tokens per image, as many times its placeholder appears.
    """
    counts = torch.where(ids[row] == PLACEHOLDER, tokens, 1)
    return torch.arange(ids.shape[1]).repeat_interleave(counts if mask is None else counts * mask[row])


def left_padded(values: Tensor, length: int, fill: int) -> Tensor:
    """Return `values` (n,) with as many `fill` before it as make `length` entries."""
    return torch.cat([values.new_full((length - len(values),), fill), values])
