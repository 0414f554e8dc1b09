"""Loading a named model, a folder or a Hub name . `entries.py` has the names."""

from __future__ import annotations

import json
from pathlib import Path
from pickle import UnpicklingError
from typing import Any

import torch
from huggingface_hub.errors import RepositoryNotFoundError
from safetensors import SafetensorError

from glimpse_core.backbones import FAMILIES, Backbone, processors
from glimpse_core.backbones.processors import Processor
from glimpse_core.engine.attention import PROBED
from glimpse_core.errors import GlimpseError
from glimpse_core.glimpse.model import GlimpseModules, LoadedModel, with_modules
from glimpse_core.models import checkpoint
from glimpse_core.models.devices import (
    check_memory,
    choose_attention,
    choose_device,
    choose_dtype,
    free_memory,
    too_large,
)
from glimpse_core.models.entries import BASE_NEEDED, ENTRIES, GLIMPSE_FILES, cached_glimpse, entry_of, spellings
from glimpse_core.storage import hub
from glimpse_core.storage.hub import Progress
from glimpse_core.types import GlimpseConfig


def load(
    name: str | Path,
    *,
    glimpse: str | Path | GlimpseConfig | None = None,
    dtype: str | torch.dtype = "auto",
    device: str | torch.device = "auto",
    attn: str = "auto",
    progress: Progress | None = None,
) -> LoadedModel:
    """Load a catalog name, a local folder or a Hub name of a base model, with its glimpse modules.

    Hub names may carry a branch, tag or commit: `owner/model@revision`. glimpse: a folder or Hub name in either format;
    a `GlimpseConfig` for untrained modules; None: what the catalog names, or the subfolder `glimpse` of a local base
    folder, or no modules at all. dtype: "auto" is float32 on a CPU and bfloat16 on a GPU. attn: "sdpa", "eager",
    "flash_attention_2", or "auto", the fastest that is installed. progress: called with each stage's name, and with the
    share of a download, which is also drawn as a bar on stderr.

    Raises `GlimpseError` for anything that cannot be found, does not fit, or is not supported.
    """
    report = progress or (lambda stage: None)
    base, glimpse = resolve(name, glimpse)
    place = choose_device(device)
    number = choose_dtype(dtype, place)
    attention = choose_attention(attn, place, number)
    entry = entry_of(name)
    check_memory(entry and entry.published_parameters, number, place, base)  # before gigabytes are downloaded
    report("base model")
    folder = fetch_base(base, progress)
    backbone = load_base(folder, number, place, attention)
    modules = None
    if isinstance(glimpse, GlimpseConfig):
        modules = GlimpseModules(glimpse, *checkpoint.create(glimpse, backbone))
    elif glimpse is not None:
        report("glimpse modules")
        modules = checkpoint.load(fetch_glimpse(glimpse, progress), backbone)
    report("processor")
    model = LoadedModel(
        backbone=backbone,
        processor=load_processor(folder),
        name=str(name),
        device=place,
        dtype=number,
        attn=attention,
    )
    return model if modules is None else with_modules(model, modules)


def resolve(name: str | Path, glimpse: str | Path | GlimpseConfig | None) -> tuple[str, str | GlimpseConfig | None]:
    """Catalog names to places; a local base folder to its `glimpse` subfolder."""
    entry, base = entry_of(name), str(name)
    if entry is not None:
        pinned = base.startswith(f"{entry.base}@")  # a revision of the base itself
        base, glimpse = base if pinned else entry.base, entry.glimpse if glimpse is None else glimpse
    elif glimpse is None and (Path(base).expanduser() / "glimpse" / "config.json").exists():
        glimpse = Path(base).expanduser() / "glimpse"
    if hub.is_local(base) and not (Path(base).expanduser() / "config.json").exists():
        raise GlimpseError(
            f"{base} is not a model folder (it has no config.json): give one of {', '.join(ENTRIES)}, a "
            "folder, or a Hub name like owner/model"
        )
    return base, str(glimpse) if isinstance(glimpse, Path) else glimpse


def fetch_base(base: str, progress: Progress | None = None) -> Path:
    """The local folder of a base model, downloaded if needed."""
    return hub.fetch(base, "base model", needed=BASE_NEEDED, progress=progress)


def fetch_glimpse(place: str, progress: Progress | None = None) -> Path:
    """The local folder of glimpse modules; a Hub name is downloaded (only the files that are read)."""
    *others, last = spellings(place)
    for name in (*others, last):
        folder = cached_glimpse(name)
        if folder is not None:
            return folder
    for name in others:
        try:
            return hub.fetch(name, "glimpse modules", GLIMPSE_FILES, progress=progress)
        except GlimpseError as error:
            if not isinstance(error.__cause__, RepositoryNotFoundError):
                raise
    return hub.fetch(last, "glimpse modules", GLIMPSE_FILES, progress=progress)


def load_base(folder: Path, dtype: torch.dtype, device: torch.device, attn: str) -> Backbone:
    """The base model of a local folder, with attention that can be read, ready for inference, without gradients."""
    family, settings = family_of(folder)
    stored = 4 if "32" in str(settings.get("dtype") or settings.get("torch_dtype")) else 2
    check_memory(hub.parameters(folder, stored), dtype, device, str(folder))
    try:
        hf, loaded = family.open(
            folder,
            settings,
            dtype=dtype,
            attn_implementation={"": attn, "text_config": PROBED[attn], "vision_config": attn},
        )
        hf = hf.to(device)
    except (torch.OutOfMemoryError, MemoryError) as error:
        free = free_memory(device)
        raise GlimpseError(too_large(str(folder), dtype, device, "more memory than there is", free)) from error
    except KeyError as error:
        raise GlimpseError(f"{folder / 'config.json'} lacks {error}: fetch it again") from error
    except (OSError, ValueError, RuntimeError, SafetensorError, UnpicklingError) as error:  # damaged or misshapen
        raise GlimpseError(
            f"the base model {folder} cannot be loaded: {hub.first_line(error)}. Fetch it again"
        ) from error
    if loaded["missing_keys"]:  # transformers would go on with random numbers in their place
        missing = sorted(loaded["missing_keys"])
        raise GlimpseError(
            f"the base model {folder} lacks {len(missing)} tensors, {', '.join(missing[:3])}, ...: fetch it again"
        )
    return family(hf.eval().requires_grad_(False))


def family_of(folder: Path) -> tuple[type[Backbone], dict[str, Any]]:
    """The class that runs the base model in a local folder, and its config.json."""
    try:
        settings = json.loads((folder / "config.json").read_text())
        kind = settings["model_type"]
    except FileNotFoundError as error:
        raise GlimpseError(f"{folder} is not a model folder: it has no config.json") from error
    except (ValueError, KeyError, TypeError) as error:
        raise GlimpseError(f"{folder / 'config.json'} does not describe a model ({error}): fetch it again") from error
    if kind not in FAMILIES:
        raise GlimpseError(
            f"{folder} is a {kind} model, but only {', '.join(FAMILIES)} are supported: choose one of "
            f"{', '.join(ENTRIES)}"
        )
    return FAMILIES[kind], settings


def load_processor(folder: Path) -> Processor | None:
    """None for a folder without one: such a model takes ready-made prompts only."""
    try:
        return processors.load(folder)
    except (OSError, ValueError) as error:
        raise GlimpseError(
            f"the tokenizer or image processor of {folder} cannot be loaded: {hub.first_line(error)}"
        ) from error
