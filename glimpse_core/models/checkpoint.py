"""Glimpse modules on disk: the published folders in, our own format in and out.

Published: `config.json` (the full model config, glimpse settings among them) and `new_modules_gp.pt`. Ours:
`config.json` (a `GlimpseConfig`, and which kind of base model it is for) and `glimpse.safetensors`. Both give the same
modules. A file is read strictly: every tensor that is missing, unexpected or misshapen is named, and a setting that
cannot be honored is refused by its name.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import asdict
from pathlib import Path
from typing import Any

import torch
from safetensors import SafetensorError
from safetensors.torch import load_file, save_file
from torch import Tensor, nn

from glimpse_core.backbones import Backbone
from glimpse_core.errors import GlimpseError
from glimpse_core.glimpse.model import GlimpseModules
from glimpse_core.glimpse.token import Glimpse
from glimpse_core.glimpse.vip import VIP
from glimpse_core.models.checkpoint_config import check, check_base, described, from_ours, from_published
from glimpse_core.types import GlimpseConfig

FORMAT = "glimpse"  # the value of "format" in our config.json
WEIGHTS, PUBLISHED_WEIGHTS = "glimpse.safetensors", "new_modules_gp.pt"

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


def create(config: GlimpseConfig, backbone: Backbone) -> tuple[Glimpse, VIP]:
    """Make untrained modules that fit a base model, on its device, in float32.

    Raises:
        GlimpseError: for settings that are not possible, or not on this base model.
    """
    check(config, backbone)
    glimpse = Glimpse(config, backbone.hidden_size, backbone.norm_eps)
    vip = VIP(config, backbone.heads, backbone.vision_size)
    return glimpse.to(backbone.device), vip.to(backbone.device)


def load(folder: str | Path, backbone: Backbone) -> GlimpseModules:
    """Read the modules of a folder, in either format, onto the backbone's device and dtype, ready for inference.

    Raises:
        GlimpseError: for a folder that is incomplete, damaged, or for another base model.
    """
    config, tensors = read(folder, backbone)
    glimpse, vip = create(config, backbone)
    nn.ModuleDict({"glimpse": glimpse, "vip": vip}).load_state_dict(tensors)
    for module in (glimpse, vip):
        module.to(device=backbone.device, dtype=backbone.hf.dtype).eval().requires_grad_(False)
    return GlimpseModules(config, glimpse, vip)


def read(folder: str | Path, backbone: Backbone) -> tuple[GlimpseConfig, dict[str, Tensor]]:
    """Read config and weights of a folder in either format.

    Args:
        folder: of glimpse modules.
        backbone: of the base model; only its sizes matter, so its weights may be on torch's device "meta".

    Returns:
        The config, and the tensors by our parameter names.

    Raises:
        GlimpseError: listing every tensor that does not fit the base model.
    """
    path = Path(folder)
    settings = _read_json(path / "config.json")
    if settings.get("format") == FORMAT or (path / WEIGHTS).exists():
        check_base(settings.get("base") or {}, backbone)
        config, tensors = from_ours(settings), _read_safetensors(path / WEIGHTS)
    else:
        check_base(settings, backbone)
        config, tensors = from_published(settings), _read_published(path / PUBLISHED_WEIGHTS)
    if config.vip_type == "v2":  # published v2 files carry condition layers that nothing uses
        tensors = {name: tensor for name, tensor in tensors.items() if not name.startswith("vip.condition_in.")}
    glimpse, vip = create(config, backbone)
    own = nn.ModuleDict({"glimpse": glimpse, "vip": vip}).state_dict()
    wrong = [f"missing {name} {tuple(own[name].shape)}" for name in own if name not in tensors]
    wrong += [f"unexpected {name} {tuple(tensors[name].shape)}" for name in tensors if name not in own]
    wrong += [
        f"{name} is {tuple(tensors[name].shape)}, expected {tuple(own[name].shape)}"
        for name in own
        if name in tensors and tensors[name].shape != own[name].shape
    ]
    if wrong:
        shown = "; ".join(wrong[:8]) + (f"; and {len(wrong) - 8} more" if len(wrong) > 8 else "")
        raise GlimpseError(
            f"The glimpse weights in {path} have: {shown}. Expected the tensors of their config.json for this base "
            "model: load the base model they belong to, or fetch them again."
        )
    return config, tensors


def save(
    folder: str | Path, config: GlimpseConfig, glimpse: Glimpse, vip: VIP, backbone: Backbone | None = None
) -> None:
    """Write a folder in our format: config.json and glimpse.safetensors.

    Args:
        folder: created if needed.
        config, glimpse, vip: the modules.
        backbone: of the base model they belong to, which is noted, so that others refuse them.
    """
    path = Path(folder)
    path.mkdir(parents=True, exist_ok=True)
    base = {} if backbone is None else {"base": described(backbone)}
    settings = {"format": FORMAT, **base, **asdict(config)}
    (path / "config.json").write_text(json.dumps(settings, indent=2) + "\n")
    state = nn.ModuleDict({"glimpse": glimpse, "vip": vip}).state_dict()
    save_file({name: tensor.detach().cpu().contiguous() for name, tensor in state.items()}, path / WEIGHTS)


def _read_json(path: Path) -> dict[str, Any]:
    try:
        content: dict[str, Any] = json.loads(path.read_text())
    except FileNotFoundError as error:
        raise GlimpseError(
            f"{path} does not exist. Expected config.json beside the weights of a glimpse folder: add it."
        ) from error
    except ValueError as error:
        raise GlimpseError(f"{path} does not parse ({error}). Expected valid JSON: fetch it again.") from error
    return content


def _read_safetensors(path: Path) -> dict[str, Tensor]:
    try:
        return load_file(path)
    except FileNotFoundError as error:
        raise GlimpseError(
            f"{path} does not exist. Expected {WEIGHTS} or the published {PUBLISHED_WEIGHTS} in a glimpse folder."
        ) from error
    except SafetensorError as error:
        raise GlimpseError(f"{path} is damaged ({error}). Expected safetensors: fetch it again.") from error


def _read_published(path: Path) -> dict[str, Tensor]:
    """The published file holds state dicts inside a dict; nothing in it is executed."""
    try:
        content = torch.load(path, map_location="cpu", weights_only=True)
    except FileNotFoundError as error:
        raise GlimpseError(
            f"{path} does not exist. Expected {PUBLISHED_WEIGHTS} or our {WEIGHTS} in a glimpse folder."
        ) from error
    except Exception as error:  # damaged, or holding more than tensors: torch has no common class for these
        raise GlimpseError(
            f"{path} cannot be read ({type(error).__name__}: {str(error).splitlines()[0]}). Expected plain tensors: "
            "fetch it again."
        ) from error
    flat: dict[str, Tensor] = {}
    for name, value in content.items():
        flat.update(
            {f"{name}.{key}": tensor for key, tensor in value.items()} if isinstance(value, Mapping) else {name: value}
        )
    return {our_name(name): tensor for name, tensor in flat.items()}
