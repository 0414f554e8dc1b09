"""The named models, and loading one of them, or any folder, into a `GlimpseModel`."""

from __future__ import annotations

import importlib.util
import math
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import torch
from huggingface_hub import snapshot_download
from huggingface_hub.errors import HfHubHTTPError, HFValidationError, LocalEntryNotFoundError
from safetensors import SafetensorError, safe_open
from transformers import AutoConfig, PreTrainedModel

from glimpse_core import checkpoint
from glimpse_core.attention import PROBED
from glimpse_core.backbone import FAMILIES
from glimpse_core.errors import GlimpseError
from glimpse_core.model import GlimpseModel
from glimpse_core.processor import Processor, is_available
from glimpse_core.types import GlimpseConfig

ASSETS = Path(__file__).resolve().parent.parent / "assets"
Progress = Callable[[str], None]


@dataclass(frozen=True)
class Entry:
    """One line of the catalog. base and glimpse: a local folder or a Hub name."""

    name: str
    title: str
    base: str
    glimpse: str
    published_parameters: int | None  # of the base model; None: counted in the local file
    note: str

    @property
    def parameters(self) -> int | None:
        """Of the base model; None if it is not known, because a local file is missing."""
        weights = Path(self.base) / "model.safetensors"
        if self.published_parameters is not None or not weights.exists():
            return self.published_parameters
        with safe_open(weights, framework="pt") as file:
            return sum(math.prod(file.get_slice(name).get_shape()) for name in file.keys())  # noqa: SIM118 - not a dict

    @property
    def is_download(self) -> bool:
        """Whether it comes from the Hub."""
        return not _looks_local(self.base)

    @property
    def is_local(self) -> bool:
        """Whether it can be loaded without a download."""
        return all(_find_local(place, "config.json") for place in (self.base, self.glimpse))


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
    )
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
    """Load a catalog name, a local folder or a Hub name of a Qwen2.5-VL model, with its glimpse modules.

    glimpse: a folder or Hub name in either format; a `GlimpseConfig` for untrained modules; None: what the catalog
    names, or the subfolder `glimpse` of a local base folder, or no modules at all. dtype: "auto" is float32 on a CPU
    and bfloat16 on a GPU. attn: "sdpa", "eager", "flash_attention_2", or "auto", the fastest that is installed.
    progress: called with each stage's name.

    Raises `GlimpseError` for anything that cannot be found, does not fit, or is not supported.
    """
    tell = progress or (lambda stage: None)
    base, glimpse = resolve(name, glimpse)
    place = choose_device(device)
    number = choose_dtype(dtype, place)
    attention = choose_attention(attn, place, number)
    tell("base model")
    hf = load_base(base, number, place, attention)
    backbone = FAMILIES[hf.config.model_type](hf)
    config = modules = vip = None
    if isinstance(glimpse, GlimpseConfig):
        config = glimpse
        modules, vip = checkpoint.create(config, backbone)
    elif glimpse is not None:
        tell("glimpse modules")
        config, modules, vip = checkpoint.load(fetch_glimpse(glimpse), backbone)
    tell("processor")
    processor = load_processor(base)
    return GlimpseModel(backbone, modules, vip, config, processor, str(name), place, number, attention)


def resolve(name: str | Path, glimpse: str | Path | GlimpseConfig | None) -> tuple[str, str | GlimpseConfig | None]:
    """Catalog names to places; a local base folder to its `glimpse` subfolder."""
    if str(name) in ENTRIES:
        entry = ENTRIES[str(name)]
        base, glimpse = entry.base, entry.glimpse if glimpse is None else glimpse
    else:
        base = str(name)
        if glimpse is None and (Path(base) / "glimpse" / "config.json").exists():
            glimpse = Path(base) / "glimpse"
    if _looks_local(base) and not (Path(base) / "config.json").exists():
        raise GlimpseError(
            f"{base} is not a model folder (it has no config.json): give one of {', '.join(ENTRIES)}, a "
            "folder, or a Hub name like owner/model"
        )
    return base, str(glimpse) if isinstance(glimpse, Path) else glimpse


def choose_device(device: str | torch.device) -> torch.device:
    """ "auto" is the first GPU that torch can use, else the CPU."""
    if str(device) == "auto":
        device = "cuda" if torch.cuda.is_available() else "cpu"
    try:
        place = torch.device(device)
    except RuntimeError as error:
        raise GlimpseError(f"device is {device!r}, which torch does not know: choose auto, cpu or cuda") from error
    if place.type == "cuda" and not torch.cuda.is_available():
        raise GlimpseError("device is cuda, but torch sees no GPU: choose cpu, or install a torch build for this GPU")
    return place


def choose_dtype(dtype: str | torch.dtype, device: torch.device) -> torch.dtype:
    """ "auto" is float32 on a CPU; on a GPU bfloat16, or float16 where bfloat16 is missing."""
    if isinstance(dtype, torch.dtype):
        return dtype
    if dtype == "auto":
        if device.type != "cuda":
            return torch.float32
        return torch.bfloat16 if torch.cuda.is_bf16_supported() else torch.float16
    if dtype not in ("float32", "float16", "bfloat16"):
        raise GlimpseError(f"dtype is {dtype!r}: choose auto, float32, float16 or bfloat16")
    return getattr(torch, dtype)


def choose_attention(attn: str, device: torch.device, dtype: torch.dtype) -> str:
    """ "auto" is flash_attention_2 where it is installed and can run, else sdpa."""
    flash = importlib.util.find_spec("flash_attn") is not None
    if attn == "auto":
        return "flash_attention_2" if flash and device.type == "cuda" and dtype != torch.float32 else "sdpa"
    if attn not in PROBED:
        raise GlimpseError(f"attn is {attn!r}: choose auto, {', '.join(PROBED)}")
    if attn == "flash_attention_2" and not (flash and device.type == "cuda" and dtype != torch.float32):
        raise GlimpseError(
            "attn is flash_attention_2, which needs the flash_attn package, a GPU and a 16-bit dtype: choose "
            "auto or sdpa"
        )
    return attn


def load_base(base: str, dtype: torch.dtype, device: torch.device, attn: str) -> PreTrainedModel:
    """The stock model, with attention that can be read, ready for inference. Its weights do not ask for gradients."""
    try:
        kind = AutoConfig.from_pretrained(base).model_type
        if kind not in FAMILIES:
            raise GlimpseError(
                f"{base} is a {kind} model, but only {', '.join(FAMILIES)} are supported: choose another"
            )
        hf, loaded = FAMILIES[kind].stock.from_pretrained(
            base,
            dtype=dtype,
            attn_implementation={"": attn, "text_config": PROBED[attn], "vision_config": attn},
            output_loading_info=True,
        )
    except (OSError, ValueError, RuntimeError, SafetensorError) as error:  # not found, no network, damaged, misshapen
        raise GlimpseError(f"the base model {base} cannot be loaded: {error}") from error
    if loaded["missing_keys"]:  # transformers would go on with random numbers in their place
        missing = sorted(loaded["missing_keys"])
        raise GlimpseError(
            f"the base model {base} lacks {len(missing)} tensors, {', '.join(missing[:3])}, ...: fetch it again"
        )
    return hf.to(device).eval().requires_grad_(False)


def load_processor(base: str) -> Processor | None:
    """None for a local folder without one: such a model takes ready-made prompts only."""
    if _looks_local(base) and not is_available(base):
        return None
    try:
        return Processor.load(base)
    except (OSError, ValueError) as error:
        raise GlimpseError(f"the tokenizer or image processor of {base} cannot be loaded: {error}") from error


def fetch_glimpse(place: str) -> Path:
    """The local folder of glimpse modules; a Hub name is downloaded (only the files that are read)."""
    if _looks_local(place):
        return Path(place)
    wanted = ["config.json", checkpoint.WEIGHTS, checkpoint.PUBLISHED_WEIGHTS]
    try:
        return Path(snapshot_download(place, allow_patterns=wanted))
    except (HfHubHTTPError, HFValidationError, LocalEntryNotFoundError, OSError) as error:
        raise GlimpseError(f"the glimpse modules {place} cannot be fetched from the Hub: {error}") from error


def _looks_local(place: str) -> bool:
    """An existing path, or something that cannot be a Hub name (owner/model)."""
    return Path(place).exists() or place.count("/") != 1 or place.startswith((".", "/", "~"))


def _find_local(place: str, file: str) -> bool:
    if _looks_local(place):
        return (Path(place) / file).exists()
    try:
        snapshot_download(place, allow_patterns=[file], local_files_only=True)
    except (HfHubHTTPError, LocalEntryNotFoundError, OSError):
        return False
    return True
