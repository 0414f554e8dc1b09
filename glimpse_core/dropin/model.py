"""The published model classes: the stock class of transformers, plus `load_new_modules` and per-call selection.

    model = Qwen2_5_VL_GP_ForConditionalGeneration.from_pretrained(BASE, dtype="bfloat16", device_map="auto")
    model.load_new_modules(GLIMPSE)                                      # a folder or a Hub name
    model.generate(**inputs, max_new_tokens=64, do_selection=True)       # prunes
    model.generate(**inputs, max_new_tokens=64, do_selection=True, threshold=0.3, max_ratio=0.111, min_tokens=1)
    model(**inputs, do_selection=True).image_token_bool_masks            # per row: what would be kept

B rows, R tokens of the longest row behind the pruning, N_b visual tokens of row b.

The glimpse modules are not submodules: `save_pretrained`, adapters and quantization see the stock model only, while
`.to` and similar methods move both. No call leaves anything of its settings or its pruning behind on the model.
"""

from __future__ import annotations

import functools
import inspect
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any, ClassVar

from torch import Tensor
from transformers import DynamicCache
from transformers.conversion_mapping import (
    get_checkpoint_conversion_mapping,
    register_checkpoint_conversion_mapping,
)
from transformers.modeling_outputs import CausalLMOutputWithPast

from glimpse_core.backbones import Backbone, Qwen25VL
from glimpse_core.dropin.settings import check_places, pruner_of, take
from glimpse_core.engine.attention import PROBED
from glimpse_core.errors import GlimpseError
from glimpse_core.glimpse.model import GlimpseModules, LoadedModel, with_modules
from glimpse_core.inference.decoding import finish
from glimpse_core.inference.generation import NO_VIDEO, PrunedGeneration, mark, on_device
from glimpse_core.models import catalog, checkpoint
from glimpse_core.pruners import Pruner
from glimpse_core.storage import hub

# With these, transformers finds the files by itself.
STOCK_OPTIONS = {"cache_dir", "force_download", "local_files_only", "proxies", "subfolder", "token"}


@dataclass
class PrunedOutput(CausalLMOutputWithPast):
    """What `model(..., do_selection=True)` returns. logits (B, R, vocabulary), padded on the left like the rest.

    image_token_mask_logits: per row (outputs, N_b), the last output decides; None for pruners that do not score.
    image_token_bool_masks: per row (N_b,), True where kept. attention_mask: (B, R). position_ids: (A, B, R) or (B, R).
    """

    image_token_mask_logits: tuple[Tensor, ...] | None = None
    image_token_bool_masks: tuple[Tensor, ...] | None = None
    attention_mask: Tensor | None = None
    position_ids: Tensor | None = None


class DropIn(PrunedGeneration):
    """Mixin before a stock model class; see the module docstring."""

    family: ClassVar[type[Backbone]]

    def __init_subclass__(cls, **kwargs: Any) -> None:
        """Released weights carry older names, which transformers translates by the name of the class."""
        super().__init_subclass__(**kwargs)
        stock = cls.family.stock
        names = get_checkpoint_conversion_mapping(stock.__name__)
        if names is None:
            names = get_checkpoint_conversion_mapping(stock.config_class.model_type)
        register_checkpoint_conversion_mapping(cls.__name__, names or [], overwrite=True)

    @classmethod
    def from_pretrained(
        cls, pretrained_model_name_or_path: Any, *args: Any, output_loading_info: bool = False, **kwargs: Any
    ) -> Any:
        """As in the stock class, but weights that are missing are an error, not random numbers.

        The first argument may also be a name of the catalog. Raises `GlimpseError`, with the remedy, for a model that
        cannot be had or is another family's, and for devices and dtypes that do not exist.
        """
        check_places(kwargs)
        settings: dict[str, Any] = {}
        name = place = pretrained_model_name_or_path
        if place is not None and not STOCK_OPTIONS & set(kwargs):
            revision = kwargs.pop("revision", None)
            pinned = revision is not None and not hub.is_local(place)
            base, _ = catalog.resolve(f"{place}@{revision}" if pinned else place, None)
            place = catalog.fetch_base(base)
            family, settings = catalog.family_of(place)
            if family is not cls.family:
                raise GlimpseError(
                    f"{name} is a {settings['model_type']} model, but {cls.__name__} takes "
                    f"{' and '.join(cls.family.model_types)}: choose such a model, or the class for this one"
                )
        model, loaded = cls._opened(place, settings, *args, **kwargs)
        if name is not None:  # adapters note it as their base
            model.name_or_path = model.config._name_or_path = str(name)
        missing = sorted(loaded["missing_keys"])
        if missing:
            raise GlimpseError(
                f"{model.config._name_or_path} lacks {len(missing)} tensors of the base model, "
                f"{', '.join(missing[:3])}, ...: fetch it again"
            )
        return (model, loaded) if output_loading_info else model

    @classmethod
    def _opened(cls, place: Any, settings: dict[str, Any], *args: Any, **kwargs: Any) -> tuple[Any, dict[str, Any]]:
        """The model, and what transformers tells of it. settings: its config.json, where `place` is a folder."""
        return super().from_pretrained(place, *args, output_loading_info=True, **kwargs)

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self._new_modules: GlimpseModules | None = None  # a tuple, so that no submodule is registered
        self._make_readable()

    @property
    def glimpse_model(self) -> LoadedModel:
        """This model as the rest of the package sees it, to make pruners of: `RandomPruner(model.glimpse_model)`."""
        attn = {probed: name for name, probed in PROBED.items()}[self.config.text_config._attn_implementation]
        backbone, name = self.family(self), self.config._name_or_path
        model = LoadedModel(
            backbone=backbone, processor=None, name=name, device=backbone.device, dtype=self.dtype, attn=attn
        )
        return model if self._new_modules is None else with_modules(model, self._new_modules)

    def load_new_modules(self, place: str | Path) -> None:
        """Load the glimpse token and the VIP from a folder or a Hub name, in the published format or in ours.

        Raises `GlimpseError` for anything that cannot be found or does not fit this base model.
        """
        self._new_modules = checkpoint.load(catalog.fetch_glimpse(str(place)), self.family(self))

    def reset_image_tokens_cache(self) -> None:
        """Does nothing, since no call leaves anything behind; published code calls it between calls."""

    def generate(self, *args: Any, do_selection: bool | None = None, **kwargs: Any) -> Any:
        """The stock `generate`, pruned.

        do_selection: None prunes once glimpse modules are loaded. Settings of this call, each in our spelling or the
        published one: threshold (reduce_threshold), max_ratio (max_remain_ratio), min_tokens (min_remain_num), anchors
        (anchor_positions), or all as selection=Selection(...); pruner: any other method. use_ref_masks=True lets
        ref_token_masks decide: one mask per row or per picture.
        """
        pruner = self._pruner(do_selection, take(kwargs))
        return super().generate(*args, pruner=pruner, **self._published(kwargs))

    def _published(self, kwargs: dict[str, Any]) -> dict[str, Any]:
        """Arguments of the published class that the stock one names differently."""
        return kwargs

    def set_attn_implementation(self, *args: Any, **kwargs: Any) -> None:
        super().set_attn_implementation(*args, **kwargs)
        self._make_readable()

    def _make_readable(self) -> None:
        """Let the decoder's attention be read; it computes the same."""
        attn = self.config.text_config._attn_implementation
        if attn not in (*PROBED, *PROBED.values()):
            raise GlimpseError(
                f"attn_implementation is {attn!r}, whose attention cannot be read: choose {', '.join(PROBED)}"
            )
        super().set_attn_implementation({"text_config": PROBED.get(attn, attn)})

    def _pruner(self, do_selection: bool | None, given: dict[str, Any]) -> Pruner | None:
        model = self.glimpse_model
        if do_selection is False:
            return None
        if self._new_modules is None and given.get("pruner") is None:
            if do_selection:
                raise GlimpseError(
                    "do_selection is true, but no glimpse modules are loaded: call model.load_new_modules(FOLDER OR "
                    "HUB NAME) first"
                )
            return None
        return pruner_of(model, given)

    def _apply(self, fn: Callable[[Tensor], Tensor], *args: Any, **kwargs: Any) -> DropIn:
        for module in self._new_modules[1:] if self._new_modules else ():
            module._apply(fn)
        return super()._apply(fn, *args, **kwargs)


def selecting(stock: Callable[..., Any]) -> Callable[..., Any]:
    """The `forward` of a drop-in class: the stock one, unless pictures are given and shall be pruned."""
    names = list(inspect.signature(stock).parameters)[1:]

    @functools.wraps(stock)  # generate looks at the signature
    def forward(self: DropIn, *args: Any, do_selection: bool | None = None, **kwargs: Any) -> Any:
        kwargs |= dict(zip(names, args, strict=False))
        given = take(kwargs)
        kwargs = self._published(kwargs)
        video = kwargs.get("pixel_values_videos") is not None
        nothing = kwargs.get("pixel_values") is None and not video
        if nothing or (do_selection is None and kwargs.get("labels") is not None):
            return stock(self, **kwargs)
        pruner = self._pruner(do_selection, given)
        if pruner is not None and video:
            raise GlimpseError(NO_VIDEO)
        return stock(self, **kwargs) if pruner is None else _pruned(pruner, **kwargs)

    return forward


def _pruned(
    pruner: Pruner,
    input_ids: Tensor | None = None,
    attention_mask: Tensor | None = None,
    pixel_values: Tensor | None = None,
    image_grid_thw: Tensor | None = None,
    use_cache: bool | None = None,
    logits_to_keep: int = 0,
    return_dict: bool | None = None,
    mm_token_type_ids: Tensor | None = None,  # made anew
    position_ids: Tensor | None = None,  # made anew
    **others: Any,
) -> PrunedOutput | tuple[Any, ...]:
    """One pass over a prompt with pictures."""
    refused = sorted(name for name, value in others.items() if value is not None and value is not False)
    if refused or input_ids is None:
        raise GlimpseError(
            f"{', '.join(refused) or 'no input_ids'} was given, which does not go with pruning: leave it out, or pass "
            "do_selection=False"
        )
    backbone = pruner.model.backbone
    prompt = on_device(backbone, input_ids, attention_mask, pixel_values, image_grid_thw)
    result = pruner(prompt)
    prefix = finish(backbone, result.branch)
    cache: DynamicCache | None = None if use_cache is False else prefix.cache
    if cache is not None:
        mark(cache, prefix, prompt)
    padding = prefix.padding
    out = PrunedOutput(
        logits=backbone.logits(prefix.hidden[:, -logits_to_keep:]),
        past_key_values=cache,
        image_token_mask_logits=None if result.scores is None else result.scores.logits,
        image_token_bool_masks=result.kept,
        attention_mask=prefix.hidden.new_ones(prefix.hidden.shape[:2]).long() if padding is None else padding.long(),
        position_ids=prefix.positions,
    )
    return out.to_tuple() if return_dict is False else out


class Qwen2_5_VL_GP_ForConditionalGeneration(DropIn, Qwen25VL.stock):
    """Qwen2.5-VL with GlimpsePrune, under its published name."""

    family = Qwen25VL
    forward = selecting(Qwen25VL.stock.forward)
