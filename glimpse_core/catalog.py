"""The named models, and loading one of them, or any folder, into a `GlimpseModel`."""

from __future__ import annotations

import json
from dataclasses import dataclass
from pathlib import Path
from pickle import UnpicklingError
from typing import Any

import torch
from huggingface_hub.errors import RepositoryNotFoundError
from safetensors import SafetensorError

from glimpse_core import checkpoint, hub
from glimpse_core import processor as processors
from glimpse_core.attention import PROBED
from glimpse_core.backbone import FAMILIES, Backbone
from glimpse_core.device import check_memory, choose_attention, choose_device, choose_dtype, free_memory, too_large
from glimpse_core.errors import GlimpseError
from glimpse_core.hub import Progress
from glimpse_core.model import GlimpseModel
from glimpse_core.processor import Processor
from glimpse_core.types import GlimpseConfig

# A cache may hold the weights alone, from a program that needed no pictures.
BASE_NEEDED = ("*.safetensors", "tokenizer.json", "tokenizer_config.json", "preprocessor_config.json")
GLIMPSE_FILES = ("config.json", checkpoint.WEIGHTS, checkpoint.PUBLISHED_WEIGHTS)
ASSETS = Path(__file__).resolve().parent.parent / "assets"


@dataclass(frozen=True)
class Entry:
    """One line of the catalog. base and glimpse: a local folder or a Hub name. aliases: other names of the base."""

    name: str
    title: str
    base: str
    glimpse: str
    published_parameters: int | None  # of the base model; None: counted in the local file
    note: str
    aliases: tuple[str, ...] = ()

    @property
    def parameters(self) -> int | None:
        """Of the base model; None if it is not known, because a local file is missing."""
        return self.published_parameters or hub.parameters(Path(self.base))

    @property
    def is_download(self) -> bool:
        """Whether it comes from the Hub."""
        return not hub.is_local(self.base)

    @property
    def is_local(self) -> bool:
        """Whether it can be loaded without a download."""
        base = hub.cached(self.base, ["config.json", *BASE_NEEDED])
        return base is not None and cached_glimpse(self.glimpse) is not None


ENTRIES = {
    entry.name: entry
    for entry in (
        Entry(
            "demo",
            "Demo model, trained here",
            str(ASSETS / "demo"),
            str(ASSETS / "demo" / "glimpse"),
            None,
            "knows the drawn scenes of this repository only; runs on any CPU",
        ),
        Entry(
            "qwen2.5-vl-3b",
            "Qwen2.5-VL 3B Instruct",
            "Qwen/Qwen2.5-VL-3B-Instruct",
            "ashun989/GlimpsePrune_Qwen2.5-VL-3B-Instruct",
            3_754_622_976,
            "about 8 GB of GPU memory for the weights in bfloat16",
        ),
        Entry(
            "qwen2.5-vl-7b",
            "Qwen2.5-VL 7B Instruct",
            "Qwen/Qwen2.5-VL-7B-Instruct",
            "ashun989/GlimpsePrune_Qwen2.5-VL-7B-Instruct",
            8_292_166_656,
            "about 17 GB of GPU memory for the weights in bfloat16",
        ),
        Entry(
            "llava-1.5-7b",
            "LLaVA-1.5 7B",
            "llava-hf/llava-1.5-7b-hf",
            "ashun989/GlimpsePrune_LLaVA-1.5-7B",
            7_063_427_072,
            "about 14 GB of GPU memory for the weights in bfloat16",
            ("liuhaotian/llava-v1.5-7b",),
        ),
        Entry(
            "llava-1.5-13b",
            "LLaVA-1.5 13B",
            "llava-hf/llava-1.5-13b-hf",
            "ashun989/GlimpsePrune_LLaVA-1.5-13B",
            13_351_494_656,
            "about 27 GB of GPU memory for the weights in bfloat16",
            ("liuhaotian/llava-v1.5-13b",),
        ),
    )
}
# The authors' table spells some names with an underscore, their pages with a hyphen: the second is tried as well.
OTHER_SPELLINGS = {
    f"ashun989/GlimpsePrune_LLaVA-1.5-{size}": (f"ashun989/GlimpsePrune-LLaVA-1.5-{size}",) for size in ("7B", "13B")
}


def load(
    name: str | Path,
    *,
    glimpse: str | Path | GlimpseConfig | None = None,
    dtype: str | torch.dtype = "auto",
    device: str | torch.device = "auto",
    attn: str = "auto",
    progress: Progress | None = None,
) -> GlimpseModel:
    """Load a catalog name, a local folder or a Hub name of a base model, with its glimpse modules.

    Hub names may carry a branch, tag or commit: `owner/model@revision`. glimpse: a folder or Hub name in either format;
    a `GlimpseConfig` for untrained modules; None: what the catalog names, or the subfolder `glimpse` of a local base
    folder, or no modules at all. dtype: "auto" is float32 on a CPU and bfloat16 on a GPU. attn: "sdpa", "eager",
    "flash_attention_2", or "auto", the fastest that is installed. progress: called with each stage's name, and with the
    share of a download, which is also drawn as a bar on stderr.

    Raises `GlimpseError` for anything that cannot be found, does not fit, or is not supported.
    """
    tell = progress or (lambda stage: None)
    base, glimpse = resolve(name, glimpse)
    place = choose_device(device)
    number = choose_dtype(dtype, place)
    attention = choose_attention(attn, place, number)
    entry = entry_of(name)
    check_memory(entry and entry.published_parameters, number, place, base)  # before gigabytes are downloaded
    tell("base model")
    folder = fetch_base(base, progress)
    backbone = load_base(folder, number, place, attention)
    config = modules = vip = None
    if isinstance(glimpse, GlimpseConfig):
        config = glimpse
        modules, vip = checkpoint.create(config, backbone)
    elif glimpse is not None:
        tell("glimpse modules")
        config, modules, vip = checkpoint.load(fetch_glimpse(glimpse, progress), backbone)
    tell("processor")
    processor = load_processor(folder)
    return GlimpseModel(backbone, modules, vip, config, processor, str(name), place, number, attention)


def entry_of(name: str | Path) -> Entry | None:
    """The catalog's line for a name, for the Hub name of a base model, or for another name of the same weights."""
    plain = str(name).partition("@")[0]
    for entry in ENTRIES.values():
        if str(name) == entry.name or (plain in (entry.base, *entry.aliases) and not Path(str(name)).exists()):
            return entry
    return None


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


def fetch_base(base: str, tell: Progress | None = None) -> Path:
    """The local folder of a base model, downloaded if needed."""
    return hub.fetch(base, "base model", needed=BASE_NEEDED, tell=tell)


def fetch_glimpse(place: str, tell: Progress | None = None) -> Path:
    """The local folder of glimpse modules; a Hub name is downloaded (only the files that are read)."""
    *others, last = spellings(place)
    for name in (*others, last):
        folder = cached_glimpse(name)
        if folder is not None:
            return folder
    for name in others:
        try:
            return hub.fetch(name, "glimpse modules", GLIMPSE_FILES, tell=tell)
        except GlimpseError as error:
            if not isinstance(error.__cause__, RepositoryNotFoundError):
                raise
    return hub.fetch(last, "glimpse modules", GLIMPSE_FILES, tell=tell)


def spellings(place: str) -> tuple[str, ...]:
    """A place, and other names under which the same modules may be found."""
    return (*OTHER_SPELLINGS.get(place, ()), place)


def cached_glimpse(place: str) -> Path | None:
    """The local folder of glimpse modules without any download, if it is complete."""
    return hub.cached(place, ["config.json", f"{checkpoint.WEIGHTS}|{checkpoint.PUBLISHED_WEIGHTS}"])


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
