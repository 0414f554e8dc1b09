"""Glimpse modules on disk: the published folders in, our own format in and out.

Published: `config.json` (the full model config, glimpse settings among them) and `new_modules_gp.pt`. Ours: `config.json` (a
`GlimpseConfig`) and `glimpse.safetensors`. Both give the same modules. A file is read strictly: every tensor that is missing,
unexpected or misshapen is named, and a setting that cannot be honored is refused by its name.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import asdict, fields
from pathlib import Path
from typing import Any

import torch
from safetensors import SafetensorError
from safetensors.torch import load_file, save_file
from torch import Tensor, nn

from glimpse_core.backbone import Qwen25VL
from glimpse_core.errors import GlimpseError
from glimpse_core.glimpse import Glimpse
from glimpse_core.select import check as check_selection
from glimpse_core.types import GlimpseConfig, Selection
from glimpse_core.vip import VIP

FORMAT = "glimpse"  # the value of "format" in our config.json
WEIGHTS, PUBLISHED_WEIGHTS = "glimpse.safetensors", "new_modules_gp.pt"

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
PUBLISHED_SELECTION = {
    "threshold": "reduce_threshold",
    "max_ratio": "max_remain_ratio",
    "min_tokens": "min_remain_num",
    "anchors": "anchor_positions",
}
_VIP_TYPES = {"AttnFuserV1": "v1", "AttnFuserV2": "v2"}

# our parameter prefix -> published prefix, nested state dicts flattened with dots
PUBLISHED_NAMES = {
    "glimpse.embeddings": "learnable_embeddings",
    "glimpse.proj.": "le_proj.",
    "glimpse.norm.": "le_norm.",
    "vip.attention_in.": "attn_fuser.attn_in_proj.",
    "vip.condition_in.": "attn_fuser.cond_in_projs.",
    "vip.layers.": "attn_fuser.layers.",
    "vip.outputs.": "attn_fuser.attn_out_projs.",
}


def published_name(name: str) -> str:
    """Our name of a parameter ("glimpse.proj.weight") -> the published one ("le_proj.weight")."""
    for ours, theirs in PUBLISHED_NAMES.items():
        if name.startswith(ours):
            return theirs + name.removeprefix(ours)
    raise KeyError(name)


def our_name(name: str) -> str:
    """The inverse of `published_name`. An unknown name is given back as it is."""
    for ours, theirs in PUBLISHED_NAMES.items():
        if name.startswith(theirs):
            return ours + name.removeprefix(theirs)
    return name


# -------------------------------------------------------------------------------------------------- configs


def from_published(settings: Mapping[str, Any]) -> GlimpseConfig:
    """A published config.json (or its glimpse part) -> GlimpseConfig. Refuses by name what it cannot honor."""
    missing = [name for name in PUBLISHED_FIELDS.values() if name not in settings]
    if missing:
        raise GlimpseError(f"the glimpse config lacks {', '.join(missing)}: it must be the config.json written beside {PUBLISHED_WEIGHTS}")
    values = {ours: settings[theirs] for ours, theirs in PUBLISHED_FIELDS.items()}
    if values["vip_type"] not in _VIP_TYPES:
        raise GlimpseError(f"attn_fuse_type is {values['vip_type']!r}, but only {', '.join(_VIP_TYPES)} are known")
    values["vip_type"] = _VIP_TYPES[values["vip_type"]]
    chosen = {ours: settings[theirs] for ours, theirs in PUBLISHED_SELECTION.items() if theirs in settings}
    reference, zero = settings.get("use_ref_masks", False), settings.get("use_zero_masks", False)
    if reference and zero:
        raise GlimpseError("use_ref_masks and use_zero_masks are both true, but only one can decide: set one of them to false")
    values["masks"] = "reference" if reference else "zero" if zero else "vip"
    return _build(values, chosen)


def from_ours(settings: Mapping[str, Any]) -> GlimpseConfig:
    """Our config.json -> GlimpseConfig."""
    known = {field.name for field in fields(GlimpseConfig)}
    values = {name: value for name, value in settings.items() if name != "format"}
    unknown = sorted(set(values) - known)
    if unknown:
        raise GlimpseError(f"the glimpse config has unknown fields {', '.join(unknown)}: this version of glimpse_core is too old, or they are misspelt")
    chosen = values.pop("selection", {})
    missing = [name for name in ("keep_layer", "read_layers", "glimpse_layers", "vision_layers") if name not in values]
    if missing:
        raise GlimpseError(f"the glimpse config lacks {', '.join(missing)}: add them, or write the folder with checkpoint.save")
    return _build(values, chosen)


def _build(values: dict[str, Any], chosen: Mapping[str, Any]) -> GlimpseConfig:
    for name in ("read_layers", "glimpse_layers", "vision_layers"):
        value = values[name]
        if not isinstance(value, (list, tuple)) or not all(isinstance(item, int) for item in value):
            raise GlimpseError(f"{_both(name)} is {value!r}, but a list of layer numbers is needed")
        values[name] = tuple(value)
    try:
        chosen = dict(chosen)
        chosen["anchors"] = tuple(chosen.get("anchors") or ())
        selection = Selection(**chosen)
        check_selection(selection)
    except (TypeError, GlimpseError) as error:
        names = ", ".join(PUBLISHED_SELECTION.values())
        raise GlimpseError(f"the selection settings of the glimpse config are wrong: {error} (published names: {names})") from error
    return GlimpseConfig(**values, selection=selection)


def check(config: GlimpseConfig, backbone: Qwen25VL) -> None:
    """Raise a `GlimpseError` naming the first setting that is not possible, or not on this base model."""

    def refuse(name: str, wanted: str) -> None:
        raise GlimpseError(f"{_both(name)} is {getattr(config, name)!r}, but {wanted}")

    for name in ("keep_layer", "glimpse_length", "vip_size", "vip_condition_size", "vip_heads"):
        value = getattr(config, name)
        if not isinstance(value, int) or isinstance(value, bool) or value < (name != "keep_layer"):
            refuse(name, "a positive number is needed")
    for name in ("read_logits", "vip_global", "deep_supervision", "attention_supervision"):
        if not isinstance(getattr(config, name), bool):
            refuse(name, "true or false is needed")
    if config.glimpse_norm not in ("rmsnorm", "layernorm"):
        refuse("glimpse_norm", "only rmsnorm and layernorm are known")
    if config.vip_type not in ("v1", "v2"):
        refuse("vip_type", "only v1 and v2 are known")
    if config.masks not in ("vip", "reference", "zero"):
        refuse("masks", "only vip, reference and zero are known")
    if not isinstance(config.glimpse_dropout, (int, float)) or not 0 <= config.glimpse_dropout < 1:
        refuse("glimpse_dropout", "a probability below 1 is needed")
    if 0 not in config.glimpse_layers:
        refuse("glimpse_layers", "layer 0 must be in it, since there the token enters")
    if min(config.glimpse_layers) < 0 or len(set(config.glimpse_layers)) < len(config.glimpse_layers):
        refuse("glimpse_layers", "every layer may be named once, counted from 0")
    if not config.read_layers or min(config.read_layers) < 0 or max(config.read_layers) >= backbone.layers:
        refuse("read_layers", f"the base model has layers 0 to {backbone.layers - 1} and at least one must be read")
    if max(config.read_layers) > config.keep_layer:
        refuse("read_layers", f"no layer behind {_both('keep_layer')} = {config.keep_layer} can be read: the token is gone by then")
    if not config.vision_layers or min(config.vision_layers) < 0 or max(config.vision_layers) >= backbone.vision_depth:
        refuse("vision_layers", f"the vision tower has blocks 0 to {backbone.vision_depth - 1} and at least one is needed")


def check_base(settings: Mapping[str, Any], backbone: Qwen25VL) -> None:
    """Compare the base model that a published config describes with the one at hand."""
    own = {
        "hidden_size": backbone.hidden_size,
        "num_hidden_layers": backbone.layers,
        "num_attention_heads": backbone.heads,
        "image_token_id": backbone.image_token,
    }
    flat = {**settings, **(settings.get("text_config") or {})}
    for name, value in own.items():
        if name in flat and flat[name] != value:
            raise GlimpseError(f"the glimpse modules were made for a base model with {name} {flat[name]}, but this one has {value}: load the base they belong to")
    kind = settings.get("model_type", "qwen2_5_vl_gp")
    if kind not in ("qwen2_5_vl_gp", "qwen2_5_vl"):
        raise GlimpseError(f"model_type is {kind!r}, but only Qwen2.5-VL glimpse modules (qwen2_5_vl_gp) are supported so far")


def _both(name: str) -> str:
    theirs = PUBLISHED_FIELDS.get(name)
    return f"{name} ({theirs})" if theirs and theirs != name else name


# -------------------------------------------------------------------------------------------------- weights


def create(config: GlimpseConfig, backbone: Qwen25VL) -> tuple[Glimpse, VIP]:
    """Untrained modules that fit the base model, on its device, in float32."""
    check(config, backbone)
    glimpse = Glimpse(config, backbone.hidden_size, backbone.norm_eps)
    vip = VIP(config, backbone.heads, backbone.vision_size)
    return glimpse.to(backbone.hf.device), vip.to(backbone.hf.device)


def load(folder: str | Path, backbone: Qwen25VL) -> tuple[GlimpseConfig, Glimpse, VIP]:
    """Read a folder in either format onto the backbone's device and dtype, ready for inference."""
    path = Path(folder)
    settings = _read_json(path / "config.json")
    if settings.get("format") == FORMAT or (path / WEIGHTS).exists():
        config, tensors = from_ours(settings), _read_safetensors(path / WEIGHTS)
    else:
        check_base(settings, backbone)
        config, tensors = from_published(settings), _read_published(path / PUBLISHED_WEIGHTS)
    if config.vip_type == "v2":  # published v2 files carry condition layers that nothing uses
        tensors = {name: tensor for name, tensor in tensors.items() if not name.startswith("vip.condition_in.")}
    glimpse, vip = create(config, backbone)
    fill(nn.ModuleDict({"glimpse": glimpse, "vip": vip}), tensors, path)
    place = {"device": backbone.hf.device, "dtype": backbone.hf.dtype}
    return config, glimpse.to(**place).eval().requires_grad_(False), vip.to(**place).eval().requires_grad_(False)


def fill(modules: nn.Module, tensors: Mapping[str, Tensor], source: Path) -> None:
    """Copy tensors into modules; a `GlimpseError` lists everything that does not fit."""
    own = modules.state_dict()
    wrong = [f"missing {name} {tuple(own[name].shape)}" for name in own if name not in tensors]
    wrong += [f"unexpected {name} {tuple(tensors[name].shape)}" for name in tensors if name not in own]
    wrong += [
        f"{name} is {tuple(tensors[name].shape)}, wanted {tuple(own[name].shape)}"
        for name in own
        if name in tensors and tensors[name].shape != own[name].shape
    ]
    if wrong:
        shown = "; ".join(wrong[:8]) + (f"; and {len(wrong) - 8} more" if len(wrong) > 8 else "")
        raise GlimpseError(f"the glimpse weights in {source} do not fit their config.json and this base model: {shown}")
    modules.load_state_dict(tensors)


def save(folder: str | Path, config: GlimpseConfig, glimpse: Glimpse, vip: VIP) -> None:
    """Write our format: config.json and glimpse.safetensors."""
    path = Path(folder)
    path.mkdir(parents=True, exist_ok=True)
    settings = {"format": FORMAT, **asdict(config)}
    (path / "config.json").write_text(json.dumps(settings, indent=2) + "\n")
    state = nn.ModuleDict({"glimpse": glimpse, "vip": vip}).state_dict()
    save_file({name: tensor.detach().cpu().contiguous() for name, tensor in state.items()}, path / WEIGHTS)


def _read_json(path: Path) -> dict[str, Any]:
    try:
        return json.loads(path.read_text())
    except FileNotFoundError as error:
        raise GlimpseError(f"{path} does not exist, but a glimpse folder needs config.json beside its weights") from error
    except ValueError as error:
        raise GlimpseError(f"{path} is not valid JSON ({error}): fetch it again") from error


def _read_safetensors(path: Path) -> dict[str, Tensor]:
    try:
        return load_file(path)
    except FileNotFoundError as error:
        raise GlimpseError(f"{path} does not exist: a glimpse folder holds {WEIGHTS} or the published {PUBLISHED_WEIGHTS}") from error
    except SafetensorError as error:
        raise GlimpseError(f"{path} is damaged ({error}): fetch it again") from error


def _read_published(path: Path) -> dict[str, Tensor]:
    """The published file holds state dicts inside a dict; nothing in it is executed."""
    try:
        content = torch.load(path, map_location="cpu", weights_only=True)
    except FileNotFoundError as error:
        raise GlimpseError(f"{path} does not exist: a glimpse folder holds {PUBLISHED_WEIGHTS} or {WEIGHTS}") from error
    except Exception as error:  # damaged, or holding more than tensors: torch has no common class for these
        raise GlimpseError(f"{path} cannot be read as plain tensors ({type(error).__name__}: {str(error).splitlines()[0]}): fetch it again") from error
    flat: dict[str, Tensor] = {}
    for name, value in content.items():
        flat.update({f"{name}.{key}": tensor for key, tensor in value.items()} if isinstance(value, Mapping) else {name: value})
    return {our_name(name): tensor for name, tensor in flat.items()}
