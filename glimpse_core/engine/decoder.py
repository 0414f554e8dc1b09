"""Types of the transformers objects that the engine works on: the text model, its attention modules, its cache layers.

transformers declares its submodules as `Tensor | Module` and its cache layers as a union of all kinds there are. The
protocols here name the parts that this package calls, so that a type checker knows them. Objects enter this typing in
two places: `Backbone.text` for the text model, `filled_layers` for the cache. The tests in `tests/backbones` named
after upstream check that the stock classes have these parts.
"""

from __future__ import annotations

from typing import Any, Protocol, cast

from torch import Tensor, nn
from transformers import PreTrainedConfig

from glimpse_core.types import Prefix


class Decoder(Protocol):
    """A Llama-shaped text model of transformers: embeddings, decoder layers, rotary positions and a final norm."""

    @property
    def config(self) -> PreTrainedConfig:
        """Sizes and the attention function."""

    @property
    def layers(self) -> nn.ModuleList:
        """The decoder layers, in order."""

    def embed_tokens(self, input_ids: Tensor) -> Tensor:
        """(B, L) int64 -> (B, L, C)"""

    def rotary_emb(self, hidden: Tensor, positions: Tensor) -> tuple[Tensor, Tensor]:
        """Cosine and sine for positions (A, B, L) or (B, L), in the dtype of `hidden`."""

    def norm(self, hidden: Tensor) -> Tensor:
        """(..., C) after the last layer -> (..., C)"""


class AttentionModule(Protocol):
    """The attention of one decoder layer, as its attention function receives it."""

    layer_idx: int
    is_causal: bool
    config: Any
    q_proj: nn.Linear


class FilledLayer(Protocol):
    """A cache layer that holds keys and values."""

    keys: Tensor  # (B, H_kv, tokens, head size)
    values: Tensor  # (B, H_kv, tokens, head size)

    def get_seq_length(self) -> int:
        """Number of tokens in this layer, padding included."""

    def crop(self, max_length: int) -> None:
        """Shorten to `max_length` tokens or, if that is negative, by as many."""


def filled_layers(prefix: Prefix) -> list[FilledLayer]:
    """Return the cache layers [0, depth), which the layers already run have filled.

    Args:
        prefix: a prefix of any depth.

    Returns:
        One entry per layer that has run, empty for a prefix without a cache. The entries are the cache's own objects.
    """
    return [] if prefix.cache is None else cast("list[FilledLayer]", prefix.cache.layers[: prefix.depth])
