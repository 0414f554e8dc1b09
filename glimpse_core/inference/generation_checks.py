"""What keeps a call of the stock `generate` from being pruned, and the refusal of each such call with its reason."""

from __future__ import annotations

from typing import Any

from transformers import DynamicCache, GenerationConfig
from transformers.cache_utils import DynamicLayer

from glimpse_core.errors import GlimpseError
from glimpse_core.inference.rows import lengths
from glimpse_core.types import Prefix, Prompt

_MARK = "glimpse_pruned"  # attribute of a cache that lost tokens
NO_VIDEO = (
    "The prompt has a video, which generate and forward never prune. Expected images: answer the video unpruned "
    "(do_selection=False, or the stock model), or pruned with glimpse_core.Session.ask_video."
)


def mark(cache: DynamicCache, prefix: Prefix, prompt: Prompt) -> None:
    """Note on a cache whether tokens of the prompt are missing, so that no caller derives positions from its length."""
    left = prefix.hidden[..., 0].numel() if prefix.padding is None else int(prefix.padding.sum())
    setattr(cache, _MARK, left != int(prompt.attention_mask.sum()))


def check_unmarked(cache: object) -> None:
    """Raise GlimpseError for a cache that `mark` found to lack tokens."""
    if getattr(cache, _MARK, False):
        raise GlimpseError(
            "The cache is that of a pruned answer, whose tokens cannot be counted any more. Expected an empty one: "
            "start again from the whole conversation."
        )


def check_call(cache: Any, model_kwargs: dict[str, Any], generation_config: GenerationConfig) -> None:
    """Refuse a call that cannot be pruned, before its prefill.

    Args:
        cache: the call's `past_key_values`.
        model_kwargs: its further arguments.
        generation_config: its settings.

    Raises:
        GlimpseError: with the reason, and what to do.
    """
    if not model_kwargs.get("use_cache", True) or cache is None:
        raise GlimpseError("use_cache is false. Expected true, since pruning shortens the cache: leave it out.")
    grows = isinstance(cache, DynamicCache) and all(type(layer) is DynamicLayer for layer in cache.layers)
    if not grows or getattr(cache, "offloading", False):
        raise GlimpseError(
            f"The cache is a {type(cache).__name__} that cannot be shortened. Expected an ordinary DynamicCache: pass "
            "one, or leave out cache_implementation."
        )
    if cache.get_seq_length():
        raise GlimpseError(
            "The cache is not empty. Expected an empty one, since images can only be pruned in the first turn: start "
            "again with a new cache."
        )
    if model_kwargs.get("inputs_embeds") is not None:
        raise GlimpseError("inputs_embeds was given. Expected input_ids, whose placeholders say where images are.")
    if generation_config.output_hidden_states or generation_config.output_attentions:
        raise GlimpseError(
            "output_hidden_states or output_attentions is true. Expected neither, since layers differ in their tokens: "
            "leave them out."
        )
    if generation_config.prefill_chunk_size is not None:
        raise GlimpseError(
            "prefill_chunk_size is set. Expected none, since an image is pruned as a whole: leave it out."
        )


def check_lengths(prefix: Prefix, attn: str) -> None:
    """Refuse a prefix that needs a mask or positions of its own in each layer, which the stock loop does not have.

    Masks differ where a method leaves the caches of early layers whole (FastV), and positions where it renumbers the
    other layers, too (PyramidDrop on LLaVA).

    Args:
        prefix: the pruned prompt, after the last layer.
        attn: the model's attention function.

    Raises:
        GlimpseError: with the reason, and what to do.
    """
    if any(prefix.shifts):
        raise GlimpseError(
            "The pruner renumbers positions after the first layers. Expected the same positions in all layers: choose "
            'positions="original" for it, or decode its branch with glimpse_core.inference.decoding.'
        )
    held = sorted(set(lengths(prefix)))
    if len(held) > 1 and (prefix.padding is not None or attn == "eager"):
        raise GlimpseError(
            f"The pruner leaves {held} tokens in the caches of different layers. Expected one row without "
            "padding, and no eager attention, which is all that transformers can decode then: ask one question at a "
            'time, or choose cache="pruned".'
        )
