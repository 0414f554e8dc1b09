"""The cache of transformers, typed as this package uses it: ordinary layers that hold keys and values."""

from __future__ import annotations

from typing import Protocol, cast

from torch import Tensor
from transformers import DynamicCache

from glimpse_core.types import Prefix


class CacheLayer(Protocol):
    """One decoder layer that has run (transformers' `DynamicLayer`)."""

    keys: Tensor  # (B, key-value heads, cached tokens, head size)
    values: Tensor  # the same

    def get_seq_length(self) -> int:
        """Tokens that it holds, padding included."""
        ...


def cache_of(prefix: Prefix) -> DynamicCache:
    """The cache of a prefix. Raises a ValueError where there is none, as in training."""
    if prefix.cache is None:
        raise ValueError("the prefix has no cache, but an answer is to be continued from it")
    return prefix.cache


def layers_of(cache: DynamicCache) -> list[CacheLayer]:
    """The cache's layers themselves, not copies, for those that have run."""
    return cast("list[CacheLayer]", cache.layers)
