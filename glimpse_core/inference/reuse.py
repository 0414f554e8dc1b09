"""What one question leaves for the next one about the same images: everything up to the end of the last image.

Attention is causal: vision tower, keys and values, and hidden states of the images never depend on the question after
them. So a further question runs its own words only, the predictor, and what pruning leaves of the layers after K.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, replace

import torch
from torch import Tensor

from glimpse_core.backbones import Backbone
from glimpse_core.engine.decoder import FilledLayer, filled_layers
from glimpse_core.engine.prefix import fork, resume
from glimpse_core.types import Prefix, Prompt, Vision


@dataclass(frozen=True)
class Known:
    """A prompt of one row, and what was computed for it.

    Attributes:
        vision: what the vision tower gave.
        trunk: the whole prompt after the layers that all answers share.
        deep: caches of all layers after the trunk's, of at least the first `images_end` tokens; empty until a full
            answer has run these layers.
    """

    prompt: Prompt
    vision: Vision
    trunk: Prefix
    deep: tuple[FilledLayer, ...] = ()

    @property
    def images_end(self) -> int:
        """Number of tokens up to the end of the last image, which a further question can take over."""
        return int((self.prompt.mm_token_type_ids[0] > 0).nonzero().max()) + 1

    def has_images_of(self, prompt: Prompt) -> bool:
        """Whether another prompt is about the same images, so that the vision tower need not run for it."""
        own, other = self.prompt, prompt
        return (
            len(other.input_ids) == 1
            and own.grids == other.grids
            and own.seconds == other.seconds
            and _same(own.pixel_values, other.pixel_values)
            and _same(own.image_grid_thw, other.image_grid_thw)
        )

    def begins(self, prompt: Prompt, positions: Tensor) -> bool:
        """Whether another prompt is the same up to the end of the images, so that the layers need not run for that.

        False where a prompt is padded, or where anything before the end differs: another system prompt, or a template
        that puts the question before the images.

        Args:
            prompt: any prompt.
            positions: (A, 1, L) or (1, L) of all its tokens.
        """
        end, whole = self.images_end, bool(prompt.attention_mask.all()) and self.trunk.padding is None
        return (
            whole
            and self.has_images_of(prompt)
            and torch.equal(self.prompt.input_ids[:, :end], prompt.input_ids[:, :end])
            and torch.equal(self.trunk.positions[..., :end], positions[..., :end])
        )

    @property
    def nbytes(self) -> int:
        """Bytes of memory that prompt, vision states, hidden states, keys and values take."""
        found = [self.vision.embeds, self.vision.conditions, self.trunk.hidden, self.trunk.positions]
        found += [] if self.prompt.pixel_values is None else [self.prompt.pixel_values]
        found += [part for layer in (*filled_layers(self.trunk), *self.deep) for part in (layer.keys, layer.values)]
        return storage_bytes(found)

    def finished(self, prefix: Prefix) -> Known:
        """Return the same with the caches of a full answer's prefix, once it has run all layers."""
        return replace(self, deep=tuple(filled_layers(fork(prefix))[self.trunk.depth :]))


@dataclass(frozen=True)
class Reuse:
    """A new prompt that begins as an earlier one did."""

    known: Known
    backbone: Backbone
    prompt: Prompt

    def start(self) -> Prefix:
        """Return the rest of the prompt at depth 0, ready for the layers that all answers share."""
        whole = self.backbone.start(self.prompt, self.known.vision)
        return resume(whole, filled_layers(self.known.trunk), self.known.images_end)

    def whole(self, rest: Prefix) -> Prefix:
        """Return the whole prompt, given the rest of it after these layers."""
        end, trunk = self.known.images_end, self.known.trunk
        pending = rest.pending
        if pending is not None and trunk.pending is not None:  # DeepStack features are pending in both, or in none
            pending = torch.cat([trunk.pending[:, :, :end], pending], dim=2)
        return replace(
            rest,
            pending=pending,
            hidden=torch.cat([trunk.hidden[:, :end], rest.hidden], dim=1),
            positions=torch.cat([trunk.positions[..., :end], rest.positions], dim=-1),
        )


def storage_bytes(tensors: Iterable[Tensor]) -> int:
    """Bytes of memory behind tensors; what several of them share counts once, what a view leaves out counts, too."""
    found = {tensor.untyped_storage().data_ptr(): tensor.untyped_storage().nbytes() for tensor in tensors}
    return sum(found.values())


def _same(one: Tensor | None, other: Tensor | None) -> bool:
    return one is other or (one is not None and other is not None and torch.equal(one, other))
