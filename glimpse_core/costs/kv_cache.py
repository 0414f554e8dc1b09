"""Bytes of the KV cache. Arithmetic only, no torch."""

from __future__ import annotations

from glimpse_core.costs.shape import Shape
from glimpse_core.errors import GlimpseError

DTYPE_BYTES = {"float64": 8, "float32": 4, "bfloat16": 2, "float16": 2}


def kv_bytes(shape: Shape, length: int, dtype: object = "bfloat16") -> int:
    """Return the bytes of the keys and values of `length` tokens in all layers.

    Raises:
        GlimpseError: the dtype is unknown.
    """
    return 2 * shape.text.layers * shape.text.kv_heads * shape.text.head_width * length * dtype_bytes(dtype)


def dtype_bytes(dtype: object) -> int:
    """Return the bytes of one number of the KV cache; dtype: a name such as "bfloat16" or a torch dtype."""
    name = str(dtype).removeprefix("torch.")
    if name not in DTYPE_BYTES:
        raise GlimpseError(f"The KV cache's dtype is {name!r}. Expected one of {', '.join(DTYPE_BYTES)}.")
    return DTYPE_BYTES[name]
