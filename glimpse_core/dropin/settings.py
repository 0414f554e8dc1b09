"""What a call may say about pruning, in the published spelling or in ours, and the pruner that it means.

A call's settings are taken out of its keyword arguments and never written to the model. What published scripts write
to `model.config` before a call is read as the default for its calls.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

import torch
from torch import Tensor

from glimpse_core.errors import GlimpseError
from glimpse_core.glimpse.model import GlimpseModel, LoadedModel, require_glimpse
from glimpse_core.glimpse.settings import FIXED_SHARE, check, read_selection
from glimpse_core.glimpse.settings import PUBLISHED as PUBLISHED_SELECTION
from glimpse_core.models.checkpoint_config import MASKS, PUBLISHED_FIELDS
from glimpse_core.models.devices import choose_device, choose_dtype
from glimpse_core.pruners import GlimpsePruner, Pruner, SharedWork
from glimpse_core.types import Prompt, Pruned, Selection, Vision

if TYPE_CHECKING:
    from transformers import PreTrainedConfig

FIELDS = (*PUBLISHED_SELECTION, *PUBLISHED_SELECTION.values(), FIXED_SHARE)  # ours and the published ones
OTHERS = ("pruner", "selection", "use_ref_masks", "ref_token_masks", "delay_selection")
FIXED = (*PUBLISHED_FIELDS.values(), *MASKS)


def check_device_and_dtype(kwargs: Mapping[str, Any]) -> None:
    """Raise a GlimpseError for a device or a dtype, in arguments of `from_pretrained`, that does not exist."""
    for name in ("dtype", "torch_dtype"):
        if isinstance(kwargs.get(name), (str, torch.dtype)):
            choose_dtype(kwargs[name], torch.device("cpu"))
    devices = kwargs.get("device_map")
    for device in devices.values() if isinstance(devices, Mapping) else [devices]:
        if isinstance(device, int) or "cuda" in str(device):
            choose_device(f"cuda:{device}" if isinstance(device, int) else str(device))


def take(kwargs: dict[str, Any]) -> dict[str, Any]:
    """Remove the settings of this file from a call's keyword arguments and return them."""
    return {name: kwargs.pop(name) for name in (*FIELDS, *OTHERS) if name in kwargs}


def pruner_of(model: LoadedModel, given: dict[str, Any]) -> Pruner:
    """The pruner that the settings of a call mean.

    Args:
        model: the drop-in model's `glimpse_model`.
        given: from `take`.

    Raises:
        GlimpseError: for settings that contradict each other.
    """
    if given.get("delay_selection"):
        raise GlimpseError(
            "delay_selection is true, which is not supported. Expected false: select any number of times after one "
            "prefill with glimpse_core.Session."
        )
    pruner: Pruner | None = given.get("pruner")
    if pruner is None:
        scoring = require_glimpse(model)
        chosen = selection_of(scoring.config.selection, model.backbone.hf.config, given)
        if given.get("use_ref_masks"):
            return _GivenMasks(scoring, chosen, tuple(given.get("ref_token_masks") or ()))
        return GlimpsePruner(scoring, chosen)
    extra = sorted(set(given) - {"pruner", "ref_token_masks", "delay_selection"})
    if extra:
        raise GlimpseError(
            f"pruner and {', '.join(extra)} were both given. Expected one of them, since a pruner has its own settings."
        )
    if pruner.model.backbone.hf is not model.backbone.hf:
        raise GlimpseError(
            "The pruner was made for another model. Expected one for this model: make it of its `glimpse_model`."
        )
    return pruner


def selection_of(default: Selection, config: PreTrainedConfig, given: dict[str, Any]) -> Selection:
    """Which tokens a call selects.

    Args:
        default: the checkpoint's settings.
        config: `model.config`, whose published fields override them.
        given: settings of the call, which override both.
    """
    written = vars(config)
    useless = [name for name in FIXED if written.get(name)]
    if useless:
        raise GlimpseError(
            f"model.config.{useless[0]} was set. Expected it in the config.json of the glimpse modules: change it "
            "there, or, for masks of your own, pass use_ref_masks=True and ref_token_masks to the call."
        )
    if given.get("selection") is not None:
        default = given["selection"]
        check(default)
    else:
        published = [name for name in (*PUBLISHED_SELECTION.values(), FIXED_SHARE) if name in written]
        default = read_selection(default, {name: written[name] for name in published})
    return read_selection(default, {name: value for name, value in given.items() if name in FIELDS})


@dataclass(frozen=True)
class _GivenMasks:
    """A pruner of the caller's masks (`use_ref_masks`), after threshold, cap and floor. One per row, or per image."""

    model: GlimpseModel
    selection: Selection
    masks: tuple[Tensor, ...]

    def __call__(self, prompt: Prompt, vision: Vision | None = None, shared: SharedWork | None = None) -> Pruned:
        backbone = self.model.backbone
        counts = backbone.tokens_per_row(prompt)
        flat = [torch.as_tensor(mask).flatten().to(prompt.input_ids.device) for mask in self.masks]
        if [len(mask) for mask in flat] == [grid.tokens for grid in prompt.grids]:
            flat = list(torch.cat(flat).split(counts))
        model = replace(self.model, config=replace(self.model.config, masks="reference"))
        return GlimpsePruner(model, self.selection, tuple(flat))(prompt, vision)
