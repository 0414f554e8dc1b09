"""The published model classes: the stock class of transformers, plus `load_new_modules` and per-call selection.

    model = Qwen2_5_VL_GP_ForConditionalGeneration.from_pretrained(BASE, dtype="bfloat16", device_map="auto")
    model.load_new_modules(GLIMPSE)                                      # a folder or a Hub name
    model.generate(**inputs, max_new_tokens=64, do_selection=True)       # prunes
    model.generate(**inputs, max_new_tokens=64, do_selection=True, threshold=0.3, max_ratio=0.111, min_tokens=1)
    model(**inputs, do_selection=True).image_token_bool_masks            # per row: what would be kept

B rows, R tokens of the longest row after pruning, N_b visual tokens of row b.

The glimpse modules are not submodules: `save_pretrained`, adapters and quantization see the stock model only, while
`.to` and similar methods move both. No call leaves any of its settings or of its pruning on the model.
"""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any, ClassVar

from torch import Tensor
from transformers.conversion_mapping import (
    get_checkpoint_conversion_mapping,
    register_checkpoint_conversion_mapping,
)

from glimpse_core.backbones import Backbone
from glimpse_core.dropin.settings import check_device_and_dtype, pruner_of, take
from glimpse_core.engine.attention import PROBED
from glimpse_core.errors import GlimpseError
from glimpse_core.glimpse.model import GlimpseModules, LoadedModel, with_modules
from glimpse_core.inference.generation import PrunedGeneration
from glimpse_core.models import adapter as adapters
from glimpse_core.models import catalog, checkpoint
from glimpse_core.pruners import Pruner
from glimpse_core.storage import hub

# With these, transformers finds the files by itself.
STOCK_OPTIONS = {"cache_dir", "force_download", "local_files_only", "proxies", "subfolder", "token"}


class DropIn(PrunedGeneration):
    """Mixin before a stock model class that adds glimpse modules and pruning; see the module docstring.

    A subclass names its `family` of backbones and has `selecting(stock.forward)` as its `forward`.
    """

    family: ClassVar[type[Backbone]]

    def __init_subclass__(cls, **kwargs: Any) -> None:
        """Released weights carry older names, which transformers translates by the name of the class."""
        super().__init_subclass__(**kwargs)
        stock = cls.family.stock
        names = get_checkpoint_conversion_mapping(stock.__name__)
        if names is None:
            names = get_checkpoint_conversion_mapping(cls.family.model_types[0])
        register_checkpoint_conversion_mapping(cls.__name__, names or [], overwrite=True)

    @classmethod
    def from_pretrained(
        cls, pretrained_model_name_or_path: Any, *args: Any, output_loading_info: bool = False, **kwargs: Any
    ) -> Any:
        """Load a base model as the stock class does, but weights that are missing are an error, not random numbers.

        Args:
            pretrained_model_name_or_path: a folder, a Hub name, or a name of the catalog.
            output_loading_info: return what transformers reports as well.
            args, kwargs: of the stock method.

        Raises:
            GlimpseError: for a model that cannot be had or belongs to another family, and for devices and dtypes that
                do not exist.
        """
        check_device_and_dtype(kwargs)
        settings: dict[str, Any] = {}
        name = source = pretrained_model_name_or_path
        if source is not None and not STOCK_OPTIONS & set(kwargs):
            revision = kwargs.pop("revision", None)
            pinned = revision is not None and not hub.is_local(source)
            base, _ = catalog.resolve(f"{source}@{revision}" if pinned else source, None)
            source = catalog.fetch_base(base)
            family, settings = catalog.family_of(source)
            if family is not cls.family:
                raise GlimpseError(
                    f"{name} is a {settings['model_type']} model. Expected {' or '.join(cls.family.model_types)} for "
                    f"{cls.__name__}: choose such a model, or the class for this one."
                )
        model, loaded = cls._opened(source, settings, *args, **kwargs)
        if name is not None:  # adapters note it as their base
            model.name_or_path = model.config._name_or_path = str(name)
        missing = sorted(loaded["missing_keys"])
        if missing:
            raise GlimpseError(
                f"{model.config._name_or_path} lacks {len(missing)} tensors of the base model, "
                f"{', '.join(missing[:3])}, ... Expected all of them: fetch it again."
            )
        return (model, loaded) if output_loading_info else model

    @classmethod
    def _opened(cls, source: Any, settings: dict[str, Any], *args: Any, **kwargs: Any) -> tuple[Any, dict[str, Any]]:
        """The model, and what transformers reports of it. settings: its config.json, where `source` is a folder."""
        opened: Any = super().from_pretrained(source, *args, output_loading_info=True, **kwargs)
        model, loaded = opened
        return model, loaded

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self._new_modules: GlimpseModules | None = None  # a tuple, so that no submodule is registered
        self._make_readable()

    @property
    def glimpse_model(self) -> LoadedModel:
        """This model as the rest of the package takes it, for pruners: `RandomPruner(model.glimpse_model)`."""
        attn = {probed: name for name, probed in PROBED.items()}[self.config.text_config._attn_implementation]
        backbone, name = self.family(self), self.config._name_or_path
        model = LoadedModel(
            backbone=backbone, processor=None, name=name, device=backbone.device, dtype=self.dtype, attn=attn
        )
        return model if self._new_modules is None else with_modules(model, self._new_modules)

    def load_new_modules(self, source: str | Path) -> None:
        """Load the glimpse token and the VIP.

        Args:
            source: a folder or a Hub name, in the published format or ours.

        Raises:
            GlimpseError: for anything that cannot be found or does not fit this base model.
        """
        self._new_modules = checkpoint.load(catalog.fetch_glimpse(str(source)), self.family(self))

    def merge_adapter(self, source: str | Path) -> None:
        """Add a LoRA adapter (GlimpsePrune+) to the weights; `load_new_modules` takes the modules of the same folder.

        Args:
            source: a folder or a Hub name.

        Raises:
            GlimpseError: for anything that cannot be found or does not fit this base model.
        """
        adapters.load(adapters.fetch(str(source)), self.family(self))

    def reset_image_tokens_cache(self) -> None:
        """Do nothing, since no call leaves anything on the model. Published code calls it between calls."""

    def generate(self, *args: Any, do_selection: bool | None = None, **kwargs: Any) -> Any:
        """Generate as the stock class does, with visual tokens pruned.

        Args:
            do_selection: prune. None prunes once glimpse modules are loaded.
            args: of the stock `generate`.
            kwargs: likewise, and settings of this call, each in our spelling or the published one: threshold
                (reduce_threshold), max_ratio (max_remain_ratio), min_tokens (min_remain_num), anchors
                (anchor_positions), or all as selection=Selection(...); pruner=, any other method; use_ref_masks=True
                lets ref_token_masks decide, one mask per row or per image.

        Raises:
            GlimpseError: for settings that contradict each other, and for what cannot be pruned
                (`inference.generation`).
        """
        pruner = self._pruner(do_selection, take(kwargs))
        return super().generate(*args, pruner=pruner, **self._published(kwargs))

    def _published(self, kwargs: dict[str, Any]) -> dict[str, Any]:
        """Arguments of the published class that the stock one names differently."""
        return kwargs

    def set_attn_implementation(self, *args: Any, **kwargs: Any) -> None:
        """Set the attention function as the stock class does, and keep the decoder's readable.

        Raises:
            GlimpseError: for one that cannot be read.
        """
        super().set_attn_implementation(*args, **kwargs)
        self._make_readable()

    def _make_readable(self) -> None:
        """Give the decoder its readable attention function, which computes the same."""
        attn = self.config.text_config._attn_implementation
        if attn not in (*PROBED, *PROBED.values()):
            raise GlimpseError(
                f"attn_implementation is {attn!r}. Expected one that can be read: choose {', '.join(PROBED)}."
            )
        super().set_attn_implementation({"text_config": PROBED.get(attn, attn)})

    def _pruner(self, do_selection: bool | None, given: dict[str, Any]) -> Pruner | None:
        model = self.glimpse_model
        if do_selection is False:
            return None
        if self._new_modules is None and given.get("pruner") is None:
            if do_selection:
                raise GlimpseError(
                    "do_selection is true, and no glimpse modules are loaded. Expected them: call "
                    "model.load_new_modules(FOLDER OR HUB NAME) first."
                )
            return None
        return pruner_of(model, given)

    def _apply(self, fn: Callable[[Tensor], Tensor], *args: Any, **kwargs: Any) -> DropIn:
        for module in self._new_modules[1:] if self._new_modules else ():
            module._apply(fn)
        return super()._apply(fn, *args, **kwargs)
