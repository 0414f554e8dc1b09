"""Glimpse settings on disk: the published field names in, our own in and out, and what a base model makes possible.

A setting that cannot be honored is refused by its name, in both spellings. This file reads no weights.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import fields
from typing import Any

from glimpse_core.backbones import Backbone
from glimpse_core.errors import GlimpseError
from glimpse_core.glimpse.settings import FIXED_SHARE, read_selection
from glimpse_core.glimpse.settings import PUBLISHED as PUBLISHED_SELECTION
from glimpse_core.models.base_fields import BASE_FIELDS
from glimpse_core.types import GlimpseConfig, Selection

# GlimpseConfig field -> published field
PUBLISHED_FIELDS = {
    "keep_layer": "reduce_layer",
    "read_layers": "selected_layers",
    "glimpse_layers": "le_layers",
    "vision_layers": "selected_visual_layers",
    "glimpse_length": "le_length",
    "glimpse_norm": "le_norm_type",
    "glimpse_dropout": "le_dropout_prob",
    "read_logits": "use_attention_logits",
    "vip_type": "attn_fuse_type",
    "vip_size": "attn_fuse_size",
    "vip_condition_size": "visual_cond_size",
    "vip_heads": "attn_fuse_num_heads",
    "vip_activation": "attn_fuse_hidden_act",
    "vip_global": "attn_fuse_global",
    "deep_supervision": "deep_supervision",
    "attention_supervision": "ori_attn_supervision",
}
# Fields that older checkpoints may lack, with the value that was meant.
PUBLISHED_DEFAULTS = {"le_length": 1, "le_norm_type": "rmsnorm", "le_dropout_prob": 0.0}
# LLaVA's code has no windows, and so no setting for them.
PUBLISHED_DEFAULTS_OF = {"llava_llama_gp": {"attn_fuse_global": True}}
HARMLESS = ("attn_fuse_use_flash_attn",)  # how the predictor's attention is computed; no number depends on it
MASKS = ("use_ref_masks", "use_zero_masks")
SLICES = "enable_frame_redundancy_merge"
SLICE_RULE = (  # without effect where the merge is off
    "frame_redundancy_pooling_mode",
    "frame_redundancy_min_keep_ratio",
    "frame_redundancy_min_keep_tokens",
    "frame_redundancy_similarity_threshold",
)
KNOWN = frozenset(
    (
        *PUBLISHED_FIELDS.values(),
        *PUBLISHED_SELECTION.values(),
        FIXED_SHARE,
        *MASKS,
        *SLICE_RULE,
        *HARMLESS,
        *BASE_FIELDS,
    )
)
_VIP_TYPES = {"AttnFuserV1": "v1", "AttnFuserV2": "v2"}


def from_published(settings: Mapping[str, Any]) -> GlimpseConfig:
    """Read a published config.json, or its glimpse part.

    Raises:
        GlimpseError: naming a setting that is missing, unknown or not supported.
    """
    defaults = PUBLISHED_DEFAULTS | PUBLISHED_DEFAULTS_OF.get(str(settings.get("model_type")), {})
    settings = defaults | dict(settings)
    _check_known(settings)
    missing = [name for name in PUBLISHED_FIELDS.values() if name not in settings]
    if missing:
        raise GlimpseError(
            f"The glimpse config lacks {', '.join(missing)}. Expected the config.json beside the published weights: "
            "take that one."
        )
    values = {ours: settings[theirs] for ours, theirs in PUBLISHED_FIELDS.items()}
    if values["vip_type"] not in _VIP_TYPES:
        raise GlimpseError(f"attn_fuse_type is {values['vip_type']!r}. Expected one of {', '.join(_VIP_TYPES)}.")
    values["vip_type"] = _VIP_TYPES[values["vip_type"]]
    chosen = {name: settings[name] for name in (*PUBLISHED_SELECTION.values(), FIXED_SHARE) if name in settings}
    reference, zero = (settings.get(name, False) for name in MASKS)
    if reference and zero:
        raise GlimpseError(
            "use_ref_masks and use_zero_masks are both true. Expected at most one: set one of them to false."
        )
    if reference and settings.get(FIXED_SHARE) is not None:
        raise GlimpseError(
            f"{FIXED_SHARE} is {settings[FIXED_SHARE]!r} and use_ref_masks is true. Expected one of them, since given "
            "masks have no order: set the first to null or the second to false."
        )
    values["masks"] = "reference" if reference else "zero" if zero else "vip"
    return _build(values, chosen)


def _check_known(settings: Mapping[str, Any]) -> None:
    """Raise a GlimpseError for a published field that could change a number in a way that this version does not know.

    Fields that are off (null, false, empty) and those of the base model, which has a config of its own, cannot.
    """
    if settings.get(SLICES):
        raise GlimpseError(
            f"{SLICES} is {settings[SLICES]!r}. Expected false, since here it is an option of a call: set it to that, "
            "and pass slices=SliceMerge() to GlimpsePruner for videos."
        )
    for name in sorted(settings.keys() - KNOWN):
        if settings[name] not in (None, False, "", [], {}):
            raise GlimpseError(
                f"The glimpse config has an unknown field {name}, {settings[name]!r}. Expected null or false, since it "
                "could change what is kept: set it to that, or install a later version of glimpse_core."
            )


def from_ours(settings: Mapping[str, Any]) -> GlimpseConfig:
    """Read our config.json. Raises GlimpseError naming a field that is missing or unknown."""
    known = {field.name for field in fields(GlimpseConfig)}
    values = {name: value for name, value in settings.items() if name not in ("format", "base")}
    unknown = sorted(set(values) - known)
    if unknown:
        raise GlimpseError(
            f"The glimpse config has unknown fields {', '.join(unknown)}. Expected those of this version of "
            "glimpse_core: correct their spelling, or install a later version."
        )
    chosen = values.pop("selection", {})
    missing = [name for name in ("keep_layer", "read_layers", "glimpse_layers", "vision_layers") if name not in values]
    if missing:
        raise GlimpseError(
            f"The glimpse config lacks {', '.join(missing)}. Expected all of them: add them, or write the folder with "
            "checkpoint.save."
        )
    return _build(values, chosen)


def _build(values: dict[str, Any], chosen: Mapping[str, Any]) -> GlimpseConfig:
    for name in ("read_layers", "glimpse_layers", "vision_layers"):
        value = values[name]
        if not isinstance(value, (list, tuple)) or not all(isinstance(item, int) for item in value):
            raise GlimpseError(f"{_both(name)} is {value!r}. Expected a list of layer numbers.")
        values[name] = tuple(value)
    try:
        selection = read_selection(Selection(), chosen)
    except GlimpseError as error:
        names = ", ".join(PUBLISHED_SELECTION.values())
        raise GlimpseError(
            f"The selection settings of the glimpse config cannot be read: {error} Their published names are {names}."
        ) from error
    return GlimpseConfig(**values, selection=selection)


def check(config: GlimpseConfig, backbone: Backbone) -> None:
    """Raise a GlimpseError naming the first setting that is not possible, or not on this base model."""

    def refuse(name: str, expected: str) -> None:
        raise GlimpseError(f"{_both(name)} is {getattr(config, name)!r}. Expected {expected}.")

    for name in ("keep_layer", "glimpse_length", "vip_size", "vip_condition_size", "vip_heads"):
        value = getattr(config, name)
        if not isinstance(value, int) or isinstance(value, bool) or value < (name != "keep_layer"):
            refuse(name, "a positive number")
    for name in ("read_logits", "vip_global", "deep_supervision", "attention_supervision"):
        if not isinstance(getattr(config, name), bool):
            refuse(name, "true or false")
    if config.glimpse_norm not in ("rmsnorm", "layernorm"):
        refuse("glimpse_norm", "rmsnorm or layernorm")
    if config.vip_type not in ("v1", "v2"):
        refuse("vip_type", "v1 or v2")
    if config.masks not in ("vip", "reference", "zero"):
        refuse("masks", "vip, reference or zero")
    if not isinstance(config.glimpse_dropout, (int, float)) or not 0 <= config.glimpse_dropout < 1:
        refuse("glimpse_dropout", "a probability below 1")
    if 0 not in config.glimpse_layers:
        refuse("glimpse_layers", "layer 0 among them, since there the token enters")
    if min(config.glimpse_layers) < 0 or len(set(config.glimpse_layers)) < len(config.glimpse_layers):
        refuse("glimpse_layers", "layers counted from 0, each of them once")
    if not config.read_layers or min(config.read_layers) < 0 or max(config.read_layers) >= backbone.layers:
        refuse("read_layers", f"at least one of the base model's layers 0 to {backbone.layers - 1}")
    if max(config.read_layers) > config.keep_layer:
        refuse(
            "read_layers",
            f"none after {_both('keep_layer')} = {config.keep_layer}, since the glimpse token is gone by then",
        )
    if not config.vision_layers or min(config.vision_layers) < 0 or max(config.vision_layers) >= backbone.vision_depth:
        refuse("vision_layers", f"at least one of the vision tower's layers 0 to {backbone.vision_depth - 1}")


def described(backbone: Backbone) -> dict[str, Any]:
    """The settings by which base models are told apart, under their published names."""
    return {
        "model_type": backbone.published_types[0],
        "hidden_size": backbone.hidden_size,
        "num_hidden_layers": backbone.layers,
        "num_attention_heads": backbone.heads,
        "image_token_id": backbone.image_token,
    }


def check_base(settings: Mapping[str, Any], backbone: Backbone) -> None:
    """Raise a GlimpseError where a published config describes another base model than this one."""
    kind, expected = settings.get("model_type"), backbone.published_types
    if kind is not None and kind not in expected:
        raise GlimpseError(
            f"The glimpse modules were made for another base model (model_type {kind!r}). Expected {expected[0]}: load "
            "the base model they belong to."
        )
    flat = {**settings, **(settings.get("text_config") or {})}
    for name, value in described(backbone).items():
        if name != "model_type" and name in flat and flat[name] != value:
            raise GlimpseError(
                f"The glimpse modules were made for a base model with {name} {flat[name]}. Expected {value}, as this "
                "one has: load the base model they belong to."
            )


def _both(name: str) -> str:
    """A field's name, and the published one where it differs."""
    theirs = PUBLISHED_FIELDS.get(name)
    return f"{name} ({theirs})" if theirs and theirs != name else name
