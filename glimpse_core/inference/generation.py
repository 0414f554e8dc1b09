"""Pruning inside the stock `model.generate(...)`, for code that knows transformers and not this package.

    pruned = with_pruning(catalog.load("demo"))
    pruned.generate(**processor(...), max_new_tokens=64)   # greedy, sampling, beams, streamers: all stock

`generate` encodes pictures, prefills, and then loops. Two of its own methods are overridden: the one that encodes
pictures (ours waits, since the predictor wants more than the embeddings) and the one that prefills (ours prunes, and
hands the pruned positions and padding to the stock loop, which counts on from there). Position ids given by the
caller are replaced. The pruner travels with the call's own arguments, so calls with different ones do not meet.

What goes around the prefill would silently not prune, or could not be shortened; it is refused. So is going on with a
cache that lost tokens: the stock loop finds its place by counting them.
"""

from __future__ import annotations

import functools
from dataclasses import dataclass, replace
from typing import Any

from torch import Tensor
from transformers import DynamicCache, PreTrainedModel
from transformers.cache_utils import DynamicLayer
from transformers.modeling_outputs import CausalLMOutputWithPast

from glimpse_core.backbones import Backbone
from glimpse_core.engine.prefix import fork
from glimpse_core.errors import GlimpseError
from glimpse_core.glimpse.model import LoadedModel, require_glimpse
from glimpse_core.inference.decoding import finish, next_logits
from glimpse_core.pruners import GlimpsePruner, Pruner
from glimpse_core.types import Prefix, Prompt

_PRUNER, _PICTURES = "pruner", "glimpse_pictures"  # keys in generate's own keyword arguments, gone after the prefill
_MARK = "glimpse_pruned"  # attribute of a cache that lost tokens
NO_VIDEO = (
    "the prompt has a video, which `generate` and `forward` never prune: answer it unpruned (do_selection=False, or "
    "the stock model), or pruned with glimpse_core.inference.session.Session.ask_video"
)


@dataclass(frozen=True)
class _Pictures:
    """Pixels on their way to the prefill, and who prunes. Not a tensor, so `generate` does not repeat it for beams."""

    pixel_values: Tensor
    image_grid_thw: Tensor | None
    pruner: Pruner


class PrunedGeneration:
    """Mixin before a stock model class: `generate(..., pruner=...)`; None answers as the stock class does."""

    def generate(self, *args: Any, pruner: Pruner | None = None, **kwargs: Any) -> Any:
        """The stock `generate`. pruner: decides which visual tokens stay; it must belong to this model."""
        if pruner is not None and kwargs.get("pixel_values_videos") is not None:
            raise GlimpseError(NO_VIDEO)
        return super().generate(*args, **({} if pruner is None else {_PRUNER: pruner}), **kwargs)

    def _validate_model_kwargs(self, model_kwargs: dict[str, Any]) -> None:
        super()._validate_model_kwargs({name: value for name, value in model_kwargs.items() if name != _PRUNER})

    def _prepare_multimodal_encoder_kwargs_for_generation(self, model_kwargs: dict[str, Any]) -> dict[str, Any]:
        pruner = model_kwargs.pop(_PRUNER, None)
        if pruner is None or model_kwargs.get("pixel_values") is None:
            if pruner is not None and (model_kwargs.get("mm_encoder_outputs") or {}).get("image") is not None:
                raise GlimpseError(
                    "mm_encoder_outputs has encoded pictures, but the raw ones are needed to prune: give pixel_values"
                )
            return super()._prepare_multimodal_encoder_kwargs_for_generation(model_kwargs)
        pixels, grids = model_kwargs.pop("pixel_values"), model_kwargs.pop("image_grid_thw", None)
        return {**model_kwargs, _PICTURES: _Pictures(pixels, grids, pruner)}

    def _prefill(
        self, input_ids: Tensor, generation_config: Any, model_kwargs: dict[str, Any], is_first_iteration: bool = True
    ) -> CausalLMOutputWithPast:
        pictures = model_kwargs.pop(_PICTURES, None)
        cache = model_kwargs.get("past_key_values")
        if getattr(cache, _MARK, False):
            raise GlimpseError(
                "the cache is of a pruned answer, whose tokens cannot be counted any more, so nothing can be appended "
                "to it: start again from the whole conversation with a new cache"
            )
        if pictures is None:  # text only, or nothing to prune
            return super()._prefill(input_ids, generation_config, model_kwargs, is_first_iteration)
        if "prepare_inputs_for_generation" in vars(self):  # how PEFT slips in the tokens of prefix and prompt tuning
            raise GlimpseError(
                "an adapter brings tokens of its own, which would be lost in a pruned prefill: use one that changes "
                "weights (LoRA), or answer unpruned"
            )
        _check(cache, model_kwargs, generation_config)
        backbone = pictures.pruner.model.backbone
        copies = max(generation_config.num_beams, generation_config.num_return_sequences)  # what generate repeated
        mask = model_kwargs.get("attention_mask")
        prompt = on_device(
            backbone,
            input_ids[::copies],
            None if mask is None else mask[::copies],
            pictures.pixel_values,
            pictures.image_grid_thw,
        )
        prefix = finish(backbone, pictures.pruner(prompt).branch)
        _check_lengths(prefix, pictures.pruner.model.attn)
        mark(cache, prefix, prompt)
        prefix = _repeat(prefix, copies)
        # The stock loop appends "last position + 1" and one mask column per token to these two.
        model_kwargs["position_ids"] = prefix.positions
        model_kwargs["attention_mask"] = None if prefix.padding is None else prefix.padding.long()
        cache.layers = prefix.cache.layers  # the caller may hold on to this cache
        return CausalLMOutputWithPast(logits=next_logits(backbone, prefix)[:, None], past_key_values=cache)

    def prepare_inputs_for_generation(self, *args: Any, **kwargs: Any) -> dict[str, Any]:
        if _PICTURES in kwargs:
            raise GlimpseError(
                "this way of decoding has a prefill of its own and would answer without the pictures: leave out "
                "custom_generate"
            )
        return super().prepare_inputs_for_generation(*args, **kwargs)

    def _assisted_decoding(self, *args: Any, **kwargs: Any) -> Any:
        if _PICTURES not in kwargs:
            return super()._assisted_decoding(*args, **kwargs)
        raise GlimpseError(
            "assisted and prompt-lookup decoding skip the prefill and would answer unpruned: "
            "leave out assistant_model and prompt_lookup_num_tokens"
        )

    def generate_batch(self, *args: object, **kwargs: object) -> None:
        raise GlimpseError(
            "continuous batching (cache_implementation='paged') has its own prefill and would answer "
            "unpruned: leave it out"
        )


def on_device(
    backbone: Backbone, input_ids: Tensor, mask: Tensor | None, pixel_values: Tensor, image_grid_thw: Tensor | None
) -> Prompt:
    """A prompt from what a processor gave, on the device of the model's first layer."""
    device = backbone.device
    return backbone.prompt(
        input_ids.to(device),
        pixel_values.to(device),
        None if image_grid_thw is None else image_grid_thw.to(device),
        None if mask is None else mask.to(device),
    )


def mark(cache: DynamicCache, prefix: Prefix, prompt: Prompt) -> None:
    """Note on a cache whether tokens of the prompt are missing, so that nobody goes on with it by counting."""
    left = prefix.hidden[..., 0].numel() if prefix.padding is None else int(prefix.padding.sum())
    setattr(cache, _MARK, left != int(prompt.attention_mask.sum()))


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
    if generation_config.output_hidden_states or generation_config.output_attentions:
        raise GlimpseError(
            "output_hidden_states and output_attentions cannot be given, since layers differ in their tokens: leave "
            "them out"
        )
    if generation_config.prefill_chunk_size is not None:
        raise GlimpseError("prefill_chunk_size is set, but a picture is pruned as a whole: leave it out")


def _check_lengths(prefix: Prefix, attn: str) -> None:
    """Methods that leave the caches of early layers whole (FastV) make one mask for all layers impossible.

    Where they renumber the others (PyramidDrop on LLaVA), one position for all layers is impossible, too.
    """
    if any(prefix.shifts):
        raise GlimpseError(
            "the pruner renumbers positions behind the first layers, which generate cannot follow: choose "
            'positions="original" for it, or decode its branch with glimpse_core.inference.decoding'
        )
    lengths = {layer.get_seq_length() for layer in prefix.cache.layers}
    if len(lengths) > 1 and (prefix.padding is not None or attn == "eager"):
        raise GlimpseError(
            f"this pruner leaves {sorted(lengths)} tokens in the caches of different layers, which transformers can "
            "decode only for one row at a time and without eager attention: do so, or choose a pruner that shortens all"
        )


def _repeat(prefix: Prefix, copies: int) -> Prefix:
    """Every row `copies` times in a row, as `generate` orders beams."""
    if copies == 1:
        return prefix
    cache = fork(prefix).cache
    cache.batch_repeat_interleave(copies)
    return replace(
        prefix,
        hidden=prefix.hidden.repeat_interleave(copies, dim=0),
        positions=prefix.positions.repeat_interleave(copies, dim=-2),
        padding=None if prefix.padding is None else prefix.padding.repeat_interleave(copies, dim=0),
        cache=cache,
    )


@functools.cache
def _class(stock: type[PreTrainedModel]) -> type[PreTrainedModel]:
    return type(f"Pruned{stock.__name__}", (_Always, PrunedGeneration, stock), {})


class _Always:
    """Mixin of the views that `with_pruning` gives: one pruner for every call."""

    pruner: Pruner

    def generate(self, *args: Any, **kwargs: Any) -> Any:
        return super().generate(*args, **{_PRUNER: self.pruner, **kwargs})


def with_pruning(model: LoadedModel, pruner: Pruner | None = None) -> PreTrainedModel:
    """A stock model, weights shared with `model`, whose `generate` prunes. `model` itself stays as it is.

    pruner: None is GlimpsePrune with the settings of the checkpoint; `generate(pruner=...)` overrules it for a call.
    Everything but `generate` works as in the stock class.
    """
    hf = model.backbone.hf
    view = _class(type(hf)).__new__(_class(type(hf)))
    view.__dict__.update(hf.__dict__)
    view.pruner = pruner or GlimpsePruner(require_glimpse(model))
    return view
