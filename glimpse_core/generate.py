"""Pruning inside the stock `model.generate(...)`, for code that knows transformers and not this package.

    pruned = with_pruning(catalog.load("demo"))
    pruned.generate(**processor(...), max_new_tokens=64)   # greedy, sampling, beams, streamers: all stock

`generate` encodes pictures, prefills, and then loops. Two of its own methods are overridden: the one that encodes
pictures (ours waits, since the predictor wants more than the embeddings) and the one that prefills (ours prunes, and
hands the pruned positions and padding to the stock loop, which counts on from there). Position ids given by the
caller are replaced.

What goes around the prefill would silently not prune, or could not be shortened; it is refused.
"""

from __future__ import annotations

import functools
from dataclasses import dataclass
from typing import Any

from torch import Tensor
from transformers import DynamicCache, PreTrainedModel
from transformers.cache_utils import DynamicLayer
from transformers.modeling_outputs import CausalLMOutputWithPast

from glimpse_core.decode import finish, next_logits
from glimpse_core.errors import GlimpseError
from glimpse_core.model import GlimpseModel
from glimpse_core.prefix import fork
from glimpse_core.pruners import GlimpsePruner, Pruner
from glimpse_core.types import Prefix, Prompt

_PICTURES = "glimpse_pictures"  # key in generate's own keyword arguments, gone after the prefill


@dataclass(frozen=True)
class _Pictures:
    """Pixels on their way to the prefill. Not a tensor, so that `generate` does not repeat it for beams."""

    pixel_values: Tensor
    image_grid_thw: Tensor


class PrunedGeneration:
    """Mixin before a stock model class. `pruner` decides what stays."""

    pruner: Pruner

    def _prepare_multimodal_encoder_kwargs_for_generation(self, model_kwargs: dict[str, Any]) -> dict[str, Any]:
        if model_kwargs.get("pixel_values_videos") is not None:
            raise GlimpseError("the prompt has a video, which is never pruned: use the stock model for videos")
        pixels, grids = model_kwargs.pop("pixel_values", None), model_kwargs.pop("image_grid_thw", None)
        if pixels is None:
            return super()._prepare_multimodal_encoder_kwargs_for_generation(model_kwargs)
        return {**model_kwargs, _PICTURES: _Pictures(pixels, grids)}

    def _prefill(
        self, input_ids: Tensor, generation_config: Any, model_kwargs: dict[str, Any], is_first_iteration: bool = True
    ) -> CausalLMOutputWithPast:
        pictures = model_kwargs.pop(_PICTURES, None)
        if pictures is None:  # text only, or a chat that goes on
            return super()._prefill(input_ids, generation_config, model_kwargs, is_first_iteration)
        cache = model_kwargs.get("past_key_values")
        _check(cache, model_kwargs, generation_config)
        prompt, copies = self._prompt(input_ids, model_kwargs.get("attention_mask"), pictures)
        prefix = finish(self.pruner.model.backbone, self.pruner(prompt).branch)
        prefix = _repeat(prefix, copies)
        # The stock loop appends "last position + 1" and one mask column per token to these two.
        model_kwargs["position_ids"] = prefix.positions
        model_kwargs["attention_mask"] = None if prefix.padding is None else prefix.padding.long()
        cache.layers = prefix.cache.layers  # the caller may hold on to this cache
        logits = next_logits(self.pruner.model.backbone, prefix)
        return CausalLMOutputWithPast(logits=logits[:, None], past_key_values=cache)

    def _prompt(self, input_ids: Tensor, mask: Tensor | None, pictures: _Pictures) -> tuple[Prompt, int]:
        """The prompt without the copies made for beams and several returned sequences, and their number."""
        backbone = self.pruner.model.backbone
        places = int((input_ids == backbone.image_token).sum())
        tokens = sum(grid.tokens for grid in backbone.grids(pictures.pixel_values, pictures.image_grid_thw))
        copies = max(places // tokens, 1)
        device = backbone.hf.device
        prompt = backbone.prompt(
            input_ids[::copies].to(device),
            pictures.pixel_values.to(device),
            pictures.image_grid_thw.to(device),
            None if mask is None else mask[::copies].to(device),
        )
        return prompt, copies

    def _assisted_decoding(self, *args: object, **kwargs: object) -> None:
        raise GlimpseError(
            "assisted and prompt-lookup decoding skip the prefill and would answer unpruned: "
            "leave out assistant_model and prompt_lookup_num_tokens"
        )

    def generate_batch(self, *args: object, **kwargs: object) -> None:
        raise GlimpseError(
            "continuous batching (cache_implementation='paged') has its own prefill and would answer "
            "unpruned: leave it out"
        )


def _check(cache: Any, model_kwargs: dict[str, Any], generation_config: Any) -> None:
    """Refuse what cannot be pruned, with the reason."""
    if not model_kwargs.get("use_cache", True) or cache is None:
        raise GlimpseError("use_cache is false, but pruning shortens the cache: leave use_cache at true")
    grows = isinstance(cache, DynamicCache) and all(type(layer) is DynamicLayer for layer in cache.layers)
    if not grows or getattr(cache, "offloading", False):
        raise GlimpseError(
            f"the cache is a {type(cache).__name__} that cannot be shortened: leave out cache_implementation, "
            "or pass an ordinary DynamicCache"
        )
    if cache.get_seq_length():
        raise GlimpseError(
            "the cache is not empty, but pictures can only be pruned in the first turn: start with an empty cache"
        )
    if model_kwargs.get("inputs_embeds") is not None:
        raise GlimpseError("inputs_embeds was given, but the pictures are placed by their token ids: give input_ids")
    if generation_config.prefill_chunk_size is not None:
        raise GlimpseError("prefill_chunk_size is set, but a picture is pruned as a whole: leave it out")


def _repeat(prefix: Prefix, copies: int) -> Prefix:
    """Every row `copies` times in a row, as `generate` orders beams."""
    if copies == 1:
        return prefix
    cache = fork(prefix).cache
    cache.batch_repeat_interleave(copies)
    return Prefix(
        hidden=prefix.hidden.repeat_interleave(copies, dim=0),
        positions=prefix.positions.repeat_interleave(copies, dim=-2),
        padding=None if prefix.padding is None else prefix.padding.repeat_interleave(copies, dim=0),
        cache=cache,
        depth=prefix.depth,
    )


@functools.cache
def _class(stock: type[PreTrainedModel]) -> type[PreTrainedModel]:
    return type(f"Pruned{stock.__name__}", (PrunedGeneration, stock), {})


def with_pruning(model: GlimpseModel, pruner: Pruner | None = None) -> PreTrainedModel:
    """A stock model, weights shared with `model`, whose `generate` prunes. `model` itself stays as it is.

    pruner: None is GlimpsePrune with the settings of the checkpoint. Everything but `generate` works as in the stock
    class.
    """
    hf = model.backbone.hf
    view = _class(type(hf)).__new__(_class(type(hf)))
    view.__dict__.update(hf.__dict__)
    view.pruner = pruner or GlimpsePruner(model)
    return view
