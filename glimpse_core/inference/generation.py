"""Pruning inside the stock `model.generate(...)`, for code that knows transformers and not this package.

    pruned = with_pruning(catalog.load("demo"))
    pruned.generate(**processor(...), max_new_tokens=64)   # greedy, sampling, beams, streamers: all stock

`generate` encodes images, prefills, and then loops. Two of its own methods are overridden: the one that encodes images
(ours waits, since the predictor reads more than the embeddings) and the one that prefills (ours prunes, and hands the
pruned positions and padding to the stock loop, which counts on from there). Position ids given by the caller are
replaced. The pruner travels with the call's own arguments, so calls with different ones do not meet.

What bypasses the prefill would silently not prune, or could not be shortened; it is refused. So is continuing a cache
that lost tokens: the stock loop derives positions by counting its tokens.
"""

from __future__ import annotations

import functools
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

from torch import Tensor
from transformers import GenerationConfig, PreTrainedModel
from transformers.modeling_outputs import CausalLMOutputWithPast

from glimpse_core.backbones import Backbone
from glimpse_core.engine.prefix import fork
from glimpse_core.errors import GlimpseError
from glimpse_core.glimpse.model import LoadedModel, require_glimpse
from glimpse_core.inference.decoding import finish, next_logits
from glimpse_core.inference.generation_checks import NO_VIDEO, check_call, check_lengths, check_unmarked, mark
from glimpse_core.inference.rows import layers_of
from glimpse_core.pruners import GlimpsePruner, Pruner
from glimpse_core.types import Prefix, Prompt

_PRUNER, _IMAGES = "pruner", "glimpse_images"  # keys in generate's own keyword arguments, gone after the prefill


@dataclass(frozen=True)
class _Images:
    """Pixels on their way to the prefill, and the pruner. Not a tensor, so `generate` does not repeat it for beams."""

    pixel_values: Tensor
    image_grid_thw: Tensor | None
    pruner: Pruner


if TYPE_CHECKING:

    class _Stock(PreTrainedModel):
        """The stock class that the mixins below stand before: what they override of its GenerationMixin."""

        def generate(self, *args: Any, **kwargs: Any) -> Any: ...

        def generate_batch(self, *args: Any, **kwargs: Any) -> Any: ...

        def prepare_inputs_for_generation(self, *args: Any, **kwargs: Any) -> dict[str, Any]: ...

        def _assisted_decoding(self, *args: Any, **kwargs: Any) -> Any: ...

        def _validate_model_kwargs(self, model_kwargs: dict[str, Any]) -> None: ...

        def _prepare_multimodal_encoder_kwargs_for_generation(self, model_kwargs: dict[str, Any]) -> dict[str, Any]: ...

        def _prefill(
            self,
            input_ids: Tensor,
            generation_config: GenerationConfig,
            model_kwargs: dict[str, Any],
            is_first_iteration: bool = True,
        ) -> CausalLMOutputWithPast: ...

else:
    _Stock = object


class PrunedGeneration(_Stock):
    """Mixin before a stock model class that adds a pruner to `generate`."""

    def generate(self, *args: Any, pruner: Pruner | None = None, **kwargs: Any) -> Any:
        """Generate as the stock class does, with visual tokens pruned in the prefill.

        Args:
            pruner: made for this model; None prunes nothing.
            args, kwargs: of the stock `generate`.

        Raises:
            GlimpseError: for videos and for ways of decoding that bypass the prefill.
        """
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
                    "mm_encoder_outputs holds encoded images. Expected raw ones, to prune them: give pixel_values."
                )
            return super()._prepare_multimodal_encoder_kwargs_for_generation(model_kwargs)
        pixels, grids = model_kwargs.pop("pixel_values"), model_kwargs.pop("image_grid_thw", None)
        return {**model_kwargs, _IMAGES: _Images(pixels, grids, pruner)}

    def _prefill(
        self,
        input_ids: Tensor,
        generation_config: GenerationConfig,
        model_kwargs: dict[str, Any],
        is_first_iteration: bool = True,
    ) -> CausalLMOutputWithPast:
        images = model_kwargs.pop(_IMAGES, None)
        cache: Any = model_kwargs.get("past_key_values")
        check_unmarked(cache)
        if images is None:  # text only, or nothing to prune
            return super()._prefill(input_ids, generation_config, model_kwargs, is_first_iteration)
        if "prepare_inputs_for_generation" in vars(self):  # how PEFT slips in the tokens of prefix and prompt tuning
            raise GlimpseError(
                "The adapter adds tokens of its own, which a pruned prefill would lose. Expected one that changes "
                "weights (LoRA): use such a one, or answer unpruned."
            )
        check_call(cache, model_kwargs, generation_config)
        backbone = images.pruner.model.backbone
        copies = max(generation_config.num_beams or 1, generation_config.num_return_sequences or 1)  # rows repeated
        mask = model_kwargs.get("attention_mask")
        prompt = on_device(
            backbone,
            input_ids[::copies],
            None if mask is None else mask[::copies],
            images.pixel_values,
            images.image_grid_thw,
        )
        prefix = finish(backbone, images.pruner(prompt).branch)
        check_lengths(prefix, images.pruner.model.attn)
        mark(cache, prefix, prompt)
        prefix = _repeat(prefix, copies)
        # The stock loop appends "last position + 1" and one mask column per token to these two.
        model_kwargs["position_ids"] = prefix.positions
        model_kwargs["attention_mask"] = None if prefix.padding is None else prefix.padding.long()
        cache.layers = [*layers_of(prefix)]  # the caller may hold on to this cache
        return CausalLMOutputWithPast(logits=next_logits(backbone, prefix)[:, None], past_key_values=cache)

    def prepare_inputs_for_generation(self, *args: Any, **kwargs: Any) -> dict[str, Any]:
        """Prepare the inputs of a step as the stock class does.

        Raises:
            GlimpseError: where images still wait to be pruned, because the prefill was bypassed.
        """
        if _IMAGES in kwargs:
            raise GlimpseError(
                "custom_generate has a prefill of its own, which would answer without the images. Expected the stock "
                "loop: leave it out."
            )
        return super().prepare_inputs_for_generation(*args, **kwargs)

    def _assisted_decoding(self, *args: Any, **kwargs: Any) -> Any:
        if _IMAGES not in kwargs:
            return super()._assisted_decoding(*args, **kwargs)
        raise GlimpseError(
            "Assisted and prompt-lookup decoding bypass the prefill and would answer unpruned. Expected the stock "
            "loop: leave out assistant_model and prompt_lookup_num_tokens."
        )

    def generate_batch(self, *args: object, **kwargs: object) -> None:
        """Refuse continuous batching. Raises GlimpseError."""
        raise GlimpseError(
            "Continuous batching (cache_implementation='paged') has its own prefill and would answer unpruned. "
            "Expected the stock loop: leave it out."
        )


def on_device(
    backbone: Backbone, input_ids: Tensor, mask: Tensor | None, pixel_values: Tensor, image_grid_thw: Tensor | None
) -> Prompt:
    """Make a prompt of what a processor gave, on the device where the model's inputs go.

    Args:
        backbone: of the model.
        input_ids: (B, L) int64, one placeholder per visual token.
        mask: (B, L), 1 where real, padding on the left; None: nothing is padded.
        pixel_values: as the processor makes them.
        image_grid_thw: likewise; None for families without it.
    """
    device = backbone.device
    return backbone.prompt(
        input_ids.to(device),
        pixel_values.to(device),
        None if image_grid_thw is None else image_grid_thw.to(device),
        None if mask is None else mask.to(device),
    )


def _repeat(prefix: Prefix, copies: int) -> Prefix:
    """Repeat every row `copies` times in a row, as `generate` orders beams."""
    if copies == 1:
        return prefix
    cache = fork(prefix).cache
    assert cache is not None  # only training goes without
    cache.batch_repeat_interleave(copies)
    return replace(
        prefix,
        hidden=prefix.hidden.repeat_interleave(copies, dim=0),
        positions=prefix.positions.repeat_interleave(copies, dim=-2),
        padding=None if prefix.padding is None else prefix.padding.repeat_interleave(copies, dim=0),
        cache=cache,
    )


class _Always(PrunedGeneration):
    """Mixin of the views that `with_pruning` gives: one pruner for every call that names none."""

    default_pruner: Pruner

    def generate(self, *args: Any, **kwargs: Any) -> Any:
        return super().generate(*args, **{_PRUNER: self.default_pruner, **kwargs})


@functools.cache
def _class(stock: Any) -> type[_Always]:
    """The class of views on models of a stock class, made once."""
    return type(f"Pruned{stock.__name__}", (_Always, stock), {})


def with_pruning(model: LoadedModel, pruner: Pruner | None = None) -> PreTrainedModel:
    """Make a stock model whose `generate` prunes. Weights are shared with `model`, which itself stays as it is.

    Everything but `generate` works as in the stock class.

    Args:
        model: with or without glimpse modules.
        pruner: made for `model`; None is GlimpsePrune with the settings of the checkpoint. `generate(pruner=...)`
            overrides it for a call, and `pruner=None` there prunes nothing.

    Raises:
        GlimpseError: for a model without glimpse modules where no pruner is given.
    """
    hf = model.backbone.hf
    stock: Any = type(hf)
    kind = _class(stock)
    view = kind.__new__(kind)
    view.__dict__.update(hf.__dict__, default_pruner=pruner or GlimpsePruner(require_glimpse(model)))
    return view
