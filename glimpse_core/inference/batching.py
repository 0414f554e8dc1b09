"""Several prompts as one batch: rows of different length, with different images, or with none.

    prompt = join(backbone, prompts)
    decoding.answers(backbone, prompt, GlimpsePruner(model)(prompt).branch, limit=64)  # generated ids, a list per row

Rows share nothing but the weights: each is pruned and answered as if it were alone.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

import torch
from torch import Tensor
from torch.nn import functional

from glimpse_core.backbones import Backbone
from glimpse_core.errors import GlimpseError
from glimpse_core.types import Prompt


def join(backbone: Backbone, prompts: Sequence[Prompt]) -> Prompt:
    """Join prompts to one batch. Shorter rows are padded on the left.

    Args:
        backbone: of the model that the prompts were made for.
        prompts: at least one, each of one or several rows, all with images or all with videos.

    Returns:
        All rows in order, with their images, or temporal slices of videos, in the order of the rows.

    Raises:
        GlimpseError: for no prompt.
    """
    if not prompts:
        raise GlimpseError("No prompt was given. Expected at least one for a batch.")
    longest = max(prompt.input_ids.shape[1] for prompt in prompts)
    filler = int(prompts[0].input_ids[0, -1])  # any text will do, since it is masked

    def padded(values: Tensor, value: int) -> Tensor:
        return functional.pad(values, (longest - values.shape[1], 0), value=value)

    seconds = tuple(value for prompt in prompts for value in prompt.seconds)
    joined = backbone.prompt(
        torch.cat([padded(prompt.input_ids, filler) for prompt in prompts]),
        _joined([prompt.pixel_values for prompt in prompts]),
        _joined([prompt.image_grid_thw for prompt in prompts]),
        torch.cat([padded(prompt.attention_mask, 0) for prompt in prompts]),
        **({"seconds": seconds} if seconds else {}),
    )
    return replace(joined, grids=tuple(grid for prompt in prompts for grid in prompt.grids))


def _joined(parts: Sequence[Tensor | None]) -> Tensor | None:
    """Concatenate what is given; prompts without images give nothing."""
    given = [part for part in parts if part is not None]
    return torch.cat(given) if given else None
