"""Load a model: a name of the catalog (`entries.py`), a local folder, or a Hub name."""

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
from glimpse_core.glimpse import familiarity
from glimpse_core.glimpse.model import GlimpseModules, LoadedModel, with_modules
from glimpse_core.models import adapter as adapters
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
from glimpse_core.storage.hub_errors import first_line
from glimpse_core.types import GlimpseConfig

NO_MODULES = "none"  # as `glimpse`: leave out modules that there are; a folder of that name is ./none


def load(
    name: str | Path,
    *,
    glimpse: str | Path | GlimpseConfig | None = None,
    keep_layer: int | None = None,
    dtype: str | torch.dtype = "auto",
    device: str | torch.device = "auto",
    attn: str = "auto",
    adapter: str | Path | None = None,
    merge: bool = True,
    progress: Progress | None = None,
) -> LoadedModel:
    """Load a base model with its glimpse modules, and with an adapter if it has one.

    Args:
        name: of the catalog, a local folder, or a Hub name, which may carry a branch, tag or commit:
            `owner/model@revision`.
        glimpse: a folder or Hub name of glimpse modules, in the published format or ours; a `GlimpseConfig` for
            untrained modules; "none" for no modules, also where there are some; None: what the catalog names, or the
            subfolder `glimpse` of a local base folder, or no modules at all.
        keep_layer: without modules, the decoder layer K, from 0, whose attention scores the visual tokens and after
            which they are dropped; None: where the released modules have it, at two thirds of the decoder.
        dtype: "float32", "float16", "bfloat16" or torch's; "auto" is float32 on a CPU and bfloat16 on a GPU.
        device: "cpu", "cuda", "cuda:1" or torch's; "auto" is the first GPU, else the CPU.
        attn: "sdpa", "eager", "flash_attention_2", or "auto", the fastest that is installed.
        adapter: a folder or Hub name of a LoRA adapter (GlimpsePrune+), which may be the folder of the glimpse modules
            as well; None: what the catalog names, if anything.
        merge: add the adapter to the weights. False: it stays apart in the layers.
        progress: called with each stage's name, and with the share of a download, which is also drawn as a bar on
            stderr.

    Returns:
        A `GlimpseModel`, or a `LoadedModel` without glimpse modules, whose scores are attention (`require_glimpse`
        tells them apart).

    Raises:
        GlimpseError: for anything that cannot be found, does not fit, or is not supported.
    """
    report = progress or (lambda stage: None)
    base, glimpse = resolve(name, glimpse)
    device = choose_device(device)
    dtype = choose_dtype(dtype, device)
    attn = choose_attention(attn, device, dtype)
    entry = entry_of(name)
    check_memory(entry.published_parameters if entry else None, dtype, device, base)  # before gigabytes are downloaded
    report("base model")
    folder = fetch_base(base, progress)
    backbone = load_base(folder, dtype, device, attn)
    place = adapter_of(name, adapter)
    if place is not None:
        report("adapter")
        backbone = adapters.load(adapters.fetch(place, progress), backbone, merge)
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
        device=device,
        dtype=dtype,
        attn=attn,
        world=familiarity.load(folder),
        adapter=place,
        merged=merge,
        attention_layer=_checked_layer(keep_layer, backbone.layers, modules),
    )
    return model if modules is None else with_modules(model, modules)


def _checked_layer(keep_layer: int | None, layers: int, modules: GlimpseModules | None) -> int | None:
    """The same layer. Raises GlimpseError for one that the model does not have, or that its modules decide."""
    if keep_layer is None:
        return None
    if modules is not None:
        raise GlimpseError(
            f"keep_layer is {keep_layer}, and the glimpse modules were trained for layer {modules.config.keep_layer}. "
            f'Expected none beside modules: leave it out, or choose glimpse="{NO_MODULES}".'
        )
    if isinstance(keep_layer, bool) or not isinstance(keep_layer, int) or not 0 <= keep_layer < layers:
        raise GlimpseError(f"keep_layer is {keep_layer!r}. Expected a layer of this model, from 0 to {layers - 1}.")
    return keep_layer


def resolve(name: str | Path, glimpse: str | Path | GlimpseConfig | None) -> tuple[str, str | GlimpseConfig | None]:
    """Find out where the files of a model are, without looking at them.

    Args:
        name, glimpse: as in `load`.

    Returns:
        Folder or Hub name of the base model; that of its glimpse modules, or their config, or None for no modules.
    """
    entry, base = entry_of(name), str(name)
    if entry is not None:
        pinned = base.startswith(f"{entry.base}@")  # a revision of the base itself
        base, glimpse = base if pinned else entry.base, entry.glimpse if glimpse is None else glimpse
    elif glimpse is None and (Path(base).expanduser() / "glimpse" / "config.json").exists():
        glimpse = Path(base).expanduser() / "glimpse"
    if hub.is_local(base) and not (Path(base).expanduser() / "config.json").exists():
        raise GlimpseError(
            f"{base} has no config.json. Expected a model folder: give one, or a Hub name like owner/model, or one of "
            f"{', '.join(ENTRIES)}."
        )
    if glimpse == NO_MODULES:
        return base, None
    return base, str(glimpse) if isinstance(glimpse, Path) else glimpse


def adapter_of(name: str | Path, adapter: str | Path | None) -> str | None:
    """Folder or Hub name of the adapter that goes with a model; None: it has none. Arguments as in `load`."""
    if adapter is not None:
        return str(adapter)
    entry = entry_of(name)
    return entry.adapter if entry else None


def fetch_base(base: str, progress: Progress | None = None) -> Path:
    """The local folder of a base model, downloaded if needed. Raises GlimpseError if it cannot be had."""
    return hub.fetch(base, "base model", needed=BASE_NEEDED, progress=progress)


def fetch_glimpse(source: str, progress: Progress | None = None) -> Path:
    """The local folder of glimpse modules; of a Hub name only the files that are read are downloaded, if needed."""
    *others, last = spellings(source)
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
    """Load the base model of a local folder, ready for inference, without gradients.

    Args:
        folder: with config.json and weights.
        dtype: of the weights.
        device: where they go.
        attn: a key of `PROBED`; the decoder gets its readable form, which computes the same.

    Raises:
        GlimpseError: for a folder that is incomplete, damaged or not supported, and for a lack of memory.
    """
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
        hf.to(device)  # type: ignore[arg-type]  # a decorator of transformers hides the signature
    except (torch.OutOfMemoryError, MemoryError) as error:
        free = free_memory(device)
        raise GlimpseError(too_large(str(folder), dtype, device, "more memory than there is", free)) from error
    except KeyError as error:
        raise GlimpseError(f"{folder / 'config.json'} lacks {error}. Expected all fields: fetch it again.") from error
    except (OSError, ValueError, RuntimeError, SafetensorError, UnpicklingError) as error:  # damaged or misshapen
        raise GlimpseError(
            f"The base model {folder} cannot be loaded: {first_line(error)}. Expected complete weights that fit "
            "its config.json: fetch it again."
        ) from error
    if loaded["missing_keys"]:  # transformers fills them with random numbers
        missing = sorted(loaded["missing_keys"])
        raise GlimpseError(
            f"The base model {folder} lacks {len(missing)} tensors, {', '.join(missing[:3])}, ... Expected all of "
            "them: fetch it again."
        )
    backbone = family(hf.eval().requires_grad_(False))
    backbone.batch_windows()
    return backbone


def family_of(folder: Path) -> tuple[type[Backbone], dict[str, Any]]:
    """The class that runs the base model in a local folder, and the folder's config.json.

    Raises:
        GlimpseError: for a folder without a config.json, or of a family that is not supported.
    """
    try:
        settings = json.loads((folder / "config.json").read_text())
        kind = settings["model_type"]
    except FileNotFoundError as error:
        raise GlimpseError(f"{folder} has no config.json. Expected a model folder: name another.") from error
    except (ValueError, KeyError, TypeError) as error:
        raise GlimpseError(
            f"{folder / 'config.json'} does not describe a model ({error}). Expected one with a model_type: fetch it "
            "again."
        ) from error
    if kind not in FAMILIES:
        raise GlimpseError(
            f"{folder} is a {kind} model. Expected one of {', '.join(FAMILIES)}: choose another, such as one of "
            f"{', '.join(ENTRIES)}."
        )
    return FAMILIES[kind], settings


def load_processor(folder: Path) -> Processor | None:
    """The processor of a local folder, or None if it has none. Raises GlimpseError for one that is damaged."""
    try:
        return processors.load(folder)
    except (OSError, ValueError) as error:
        raise GlimpseError(
            f"The tokenizer or image processor of {folder} cannot be loaded: {first_line(error)}. Expected those "
            "of the released folder: fetch them again."
        ) from error
