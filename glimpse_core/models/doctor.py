"""Examine a model without loading its weights: what would be loaded, from where, and whether it can be.

Nothing is downloaded. Every finding is a plain value, every problem a sentence with its remedy.
"""

from __future__ import annotations

import platform
from collections.abc import Callable
from pathlib import Path
from typing import Any, TypeVar

import psutil
import torch
from accelerate import init_empty_weights
from huggingface_hub import constants, get_token

from glimpse_core.backbones import Backbone
from glimpse_core.costs.kv_cache import kv_bytes
from glimpse_core.costs.shape import Shape
from glimpse_core.errors import GlimpseError
from glimpse_core.models import adapter as adapters
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
from glimpse_core.storage.hub_errors import first_line
from glimpse_core.storage.versions import versions

PACKAGES = (
    "torch", "transformers", "huggingface_hub", "accelerate", "safetensors", "gradio", "flash_attn", "torchvision",
    "peft",
)  # fmt: skip
Result = TypeVar("Result")


def examine(
    name: str,
    glimpse: str | None = None,
    device: str = "auto",
    dtype: str = "auto",
    attn: str = "auto",
    adapter: str | None = None,
) -> dict[str, Any]:
    """Examine a model without loading it.

    Args:
        name, glimpse, device, dtype, attn, adapter: as `catalog.load` takes them.

    Returns:
        Plain values: "versions", "hub", "device", "base", "glimpse" and "adapter" (None where they could not be found
        out, or where there is none),
        "problems", sentences with their remedies, and "ok", whether it should load.
    """
    problems: list[str] = []

    def tried(work: Callable[[], Result]) -> Result | None:
        try:
            return work()
        except GlimpseError as error:
            problems.append(str(error))
            return None

    hub_now, found_device = hub_settings(), tried(lambda: machine(device, dtype, attn))
    base, modules = tried(lambda: catalog.resolve(name, glimpse)) or (None, None)
    found_base = None if base is None else tried(lambda: base_model(name, base, found_device))
    backbone: Backbone | None = found_base.pop("backbone") if found_base else None
    if found_base and found_device:
        dtype_, device_ = getattr(torch, found_device["dtype"]), torch.device(found_device["name"])
        tried(lambda: check_memory(found_base["parameters"], dtype_, device_, str(base)))
    found_glimpse = tried(lambda: glimpse_modules(str(modules))) if modules else None
    if found_glimpse and found_glimpse["folder"] and backbone:
        found_glimpse |= tried(lambda: fitting(Path(found_glimpse["folder"]), backbone)) or {"fits": False}
    place = catalog.adapter_of(name, adapter)
    found_adapter = tried(lambda: adapter_files(place, backbone)) if place else None
    problems += missing_files(hub_now["offline"], found_base, found_glimpse, found_adapter)
    return {
        "versions": versions(*PACKAGES) | {"cuda": torch.version.cuda},
        "hub": hub_now,
        "device": found_device,
        "base": found_base,
        "glimpse": found_glimpse,
        "adapter": found_adapter,
        "problems": problems,
        "ok": not problems,
    }


def missing_files(
    offline: bool, base: dict[str, Any] | None, glimpse: dict[str, Any] | None, adapter: dict[str, Any] | None
) -> list[str]:
    """A sentence for every part that cannot be downloaded, and for a base model without a processor."""
    problems = [
        f"{part['place']} is not in the cache, and offline mode is on. Expected a copy or a connection: unset "
        "HF_HUB_OFFLINE for the first download, or give the folder of a copy."
        for part in (base, glimpse, adapter)
        if part and part["from"] == "download" and offline
    ]
    if base and base["processor"] is False:
        problems.append(
            f"{base['place']} has no tokenizer or no settings for images, so no question can be asked. Expected "
            "tokenizer.json, tokenizer_config.json and preprocessor_config.json: add them as the released folders have "
            "them."
        )
    return problems


def hub_settings() -> dict[str, Any]:
    """Where downloads go and whether they are possible. Of the token only whether there is one."""
    return {
        "endpoint": constants.ENDPOINT,
        "cache": constants.HF_HUB_CACHE,
        "offline": bool(constants.HF_HUB_OFFLINE),
        "token": get_token() is not None,
    }


def machine(device: str, dtype: str, attn: str) -> dict[str, Any]:
    """The device, dtype and attention function that would be used, and the memory there, in bytes."""
    chosen = choose_device(device)
    chosen_dtype = choose_dtype(dtype, chosen)
    gpu = chosen.type == "cuda"
    return {
        "name": str(chosen),
        "title": torch.cuda.get_device_name(chosen) if gpu else platform.processor() or platform.machine(),
        "dtype": str(chosen_dtype).removeprefix("torch."),
        "attn": choose_attention(attn, chosen, chosen_dtype),
        "free": free_memory(chosen),
        "total": torch.cuda.mem_get_info(chosen)[1] if gpu else psutil.virtual_memory().total,
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
    """The base model without memory for its weights: every size is right, and nothing can be run.

    Raises:
        GlimpseError: for a config.json that describes no model of this family.
    """
    try:
        config = family.describe(folder, settings)
        with init_empty_weights(include_buffers=True):
            return family(family.stock(config))
    except (OSError, ValueError, RuntimeError, TypeError, KeyError) as error:
        raise GlimpseError(
            f"{folder / 'config.json'} describes no model: {first_line(error)}. Expected that of the released "
            "folder: fetch it again."
        ) from error


def glimpse_modules(location: str) -> dict[str, Any]:
    """Where the glimpse modules of a folder or Hub name are. Raises GlimpseError for a folder that does not exist."""
    folder = next(filter(None, (entries.cached_glimpse(name) for name in entries.spellings(location))), None)
    if folder is None and hub.is_local(location):
        folder = hub.fetch(location, "glimpse modules")  # says that it does not exist, if so
    return {"place": location, "from": source(location, folder), "folder": folder and str(folder)}


def fitting(folder: Path, backbone: Backbone) -> dict[str, Any]:
    """What the glimpse modules in a folder are. Raises GlimpseError if they do not fit the base model."""
    config, tensors = checkpoint.read(folder, backbone)
    parameters = sum(tensor.numel() for tensor in tensors.values())
    return {"keep_layer": config.keep_layer, "parameters": parameters, "fits": True}


def adapter_files(location: str, backbone: Backbone | None) -> dict[str, Any]:
    """Where an adapter is, and what it is. Raises GlimpseError if it is not there or does not fit the base model."""
    folder = adapters.fetch(location) if hub.is_local(location) else adapters.cached(location)
    found: dict[str, Any] = {"place": location, "from": source(location, folder), "folder": folder and str(folder)}
    if folder is not None and backbone is not None:
        settings, tensors = adapters.read(folder, backbone)
        found |= {"rank": settings["r"], "parameters": sum(tensor.numel() for tensor in tensors.values())}
    return found


def source(location: str, folder: Path | None) -> str:
    """What loading would use: "folder", "cache", or "download". folder: where a Hub name is cached, if it is."""
    if hub.is_local(location):
        return "folder"
    return "download" if folder is None else "cache"
