"""What would be loaded, from where, and whether it can be: everything that can be found out without loading weights.

Nothing is downloaded. Every finding is a plain value, every problem a sentence with its remedy.
"""

from __future__ import annotations

import platform
from collections.abc import Callable
from pathlib import Path
from typing import Any

import psutil
import torch
from accelerate import init_empty_weights
from huggingface_hub import constants, get_token

from glimpse_core.backbones import Backbone
from glimpse_core.costs.cost import kv_bytes
from glimpse_core.costs.shape import Shape
from glimpse_core.errors import GlimpseError
from glimpse_core.models import catalog, checkpoint, entries
from glimpse_core.models.devices import (
    check_memory,
    choose_attention,
    choose_device,
    choose_dtype,
    free_memory,
    weight_bytes,
)
from glimpse_core.storage import hub
from glimpse_core.storage.versions import versions

PACKAGES = (
    "torch", "transformers", "huggingface_hub", "accelerate", "safetensors", "gradio", "flash_attn", "torchvision",
)  # fmt: skip


def examine(
    name: str, glimpse: str | None = None, device: str = "auto", dtype: str = "auto", attn: str = "auto"
) -> dict[str, Any]:
    """All findings for a model that `catalog.load` would be given. `problems` is empty if it should load."""
    problems: list[str] = []

    def tried(work: Callable[[], Any]) -> Any:
        try:
            return work()
        except GlimpseError as error:
            problems.append(str(error))
            return None

    report = {
        "versions": versions(*PACKAGES) | {"cuda": torch.version.cuda},
        "hub": hub_settings(),
        "device": tried(lambda: machine(device, dtype, attn)),
    }
    places = tried(lambda: catalog.resolve(name, glimpse))
    base, modules = places or (None, None)
    report["base"] = base and tried(lambda: base_model(name, base, report["device"]))
    backbone = report["base"] and report["base"].pop("backbone")
    if report["base"] and report["device"]:
        number, place = getattr(torch, report["device"]["dtype"]), torch.device(report["device"]["name"])
        tried(lambda: check_memory(report["base"]["parameters"], number, place, base))
    report["glimpse"] = modules and tried(lambda: glimpse_modules(modules))
    if report["glimpse"] and report["glimpse"]["folder"] and backbone:
        report["glimpse"] |= tried(lambda: fitting(Path(report["glimpse"]["folder"]), backbone)) or {"fits": False}
    problems += [
        f"{part['place']} is not in the cache, and offline mode is on: unset HF_HUB_OFFLINE for the first download, or "
        "give the folder of a copy"
        for part in (report["base"], report["glimpse"])
        if part and part["from"] == "download" and report["hub"]["offline"]
    ]
    if report["base"] and report["base"]["processor"] is False:
        problems.append(
            f"{base} has no tokenizer or no settings for pictures, so nothing can be asked: add tokenizer.json, "
            "tokenizer_config.json and preprocessor_config.json, as the released folders have them"
        )
    return report | {"problems": problems, "ok": not problems}


def hub_settings() -> dict[str, Any]:
    """Where downloads go and whether they are possible. Of the token only that there is one."""
    return {
        "endpoint": constants.ENDPOINT,
        "cache": constants.HF_HUB_CACHE,
        "offline": bool(constants.HF_HUB_OFFLINE),
        "token": get_token() is not None,
    }


def machine(device: str, dtype: str, attn: str) -> dict[str, Any]:
    """The device, number type and attention function that would be used, and the memory there, in bytes."""
    place = choose_device(device)
    number = choose_dtype(dtype, place)
    gpu = place.type == "cuda"
    return {
        "name": str(place),
        "title": torch.cuda.get_device_name(place) if gpu else platform.processor() or platform.machine(),
        "dtype": str(number).removeprefix("torch."),
        "attn": choose_attention(attn, place, number),
        "free": free_memory(place),
        "total": torch.cuda.mem_get_info(place)[1] if gpu else psutil.virtual_memory().total,
    }


def base_model(name: str, base: str, device: dict[str, Any] | None) -> dict[str, Any]:
    """Where the base model is, what it is and how much memory it takes. `backbone` has sizes, but no memory."""
    folder, entry = hub.cached(base, ["config.json"]), entries.entry_of(name)
    weights = None if folder is None else hub.parameters(folder)
    found: dict[str, Any] = {
        "place": base,
        "from": source(base, folder if weights else None),
        "folder": None if folder is None else str(folder),
        "model_type": None,
        "parameters": weights or (entry and entry.published_parameters),
        "processor": None,
        "backbone": None,
    }
    if folder is not None:
        if hub.is_local(base):
            hub.weight_files(folder)
        family, settings = catalog.family_of(folder)
        backbone = hollow(family, folder, settings)
        found |= {
            "model_type": settings["model_type"],
            "layers": backbone.layers,
            "parameters": sum(parameter.numel() for parameter in backbone.hf.parameters()),
            "processor": catalog.load_processor(folder) is not None if weights else None,
            "backbone": backbone,
        }
    if device and found["parameters"]:
        found["weight_bytes"] = weight_bytes(found["parameters"], getattr(torch, device["dtype"]))
        if found["backbone"]:
            shape = Shape.from_config(found["backbone"].hf.config)
            found["cache_bytes_per_1000_tokens"] = kv_bytes(shape, 1000, device["dtype"])
    return found


def hollow(family: type[Backbone], folder: Path, settings: dict[str, Any]) -> Backbone:
    """The base model without memory for its weights: every size is right, and nothing can be run."""
    try:
        config = family.describe(folder, settings)
        with init_empty_weights(include_buffers=True):
            return family(family.stock(config))
    except (OSError, ValueError, RuntimeError, TypeError, KeyError) as error:
        raise GlimpseError(
            f"{folder / 'config.json'} cannot be understood: {hub.first_line(error)}. Fetch it again"
        ) from error


def glimpse_modules(place: str) -> dict[str, Any]:
    """Where the glimpse modules are."""
    folder = next(filter(None, (entries.cached_glimpse(name) for name in entries.spellings(place))), None)
    if folder is None and hub.is_local(place):
        folder = hub.fetch(place, "glimpse modules")  # says that it does not exist, if so
    return {"place": place, "from": source(place, folder), "folder": folder and str(folder)}


def fitting(folder: Path, backbone: Backbone) -> dict[str, Any]:
    """What the glimpse modules in a folder are. Raises a `GlimpseError` if they do not fit the base model."""
    config, tensors = checkpoint.read(folder, backbone)
    parameters = sum(tensor.numel() for tensor in tensors.values())
    return {"keep_layer": config.keep_layer, "parameters": parameters, "fits": True}


def source(place: str, folder: Path | None) -> str:
    """ "folder", "cache", or "download": what loading would use."""
    if hub.is_local(place):
        return "folder"
    return "download" if folder is None else "cache"
