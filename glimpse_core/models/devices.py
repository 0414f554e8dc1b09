"""What a model runs on: device, number type and attention function, and whether it fits into memory."""

from __future__ import annotations

import importlib.util

import psutil
import torch

from glimpse_core.engine.attention import PROBED
from glimpse_core.errors import GlimpseError

DTYPES = ("float32", "float16", "bfloat16")


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
    if place.type == "cuda" and (place.index or 0) >= torch.cuda.device_count():
        raise GlimpseError(f"device is {place}, but torch sees {torch.cuda.device_count()} GPUs: count from cuda:0")
    return place


def choose_dtype(dtype: str | torch.dtype, device: torch.device) -> torch.dtype:
    """ "auto" is float32 on a CPU; on a GPU bfloat16, or float16 where bfloat16 is missing."""
    if dtype == "auto":
        if device.type != "cuda":
            return torch.float32
        return torch.bfloat16 if torch.cuda.is_bf16_supported() else torch.float16
    name = str(dtype).removeprefix("torch.")
    if name not in DTYPES:
        raise GlimpseError(f"dtype is {name!r}: choose auto, float32, float16 or bfloat16")
    return getattr(torch, name)


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


def free_memory(device: torch.device) -> int:
    """Bytes that a model could still take on the device: of the GPU, or of main memory without swapping."""
    if device.type == "cuda":
        return torch.cuda.mem_get_info(device)[0]
    return psutil.virtual_memory().available


def weight_bytes(parameters: int, dtype: torch.dtype) -> int:
    return parameters * dtype.itemsize


def check_memory(parameters: int | None, dtype: torch.dtype, device: torch.device, base: str) -> None:
    """Raise a `GlimpseError` if the weights alone are larger than what is free. parameters None: nothing is known."""
    if parameters is None:
        return
    needed, free = weight_bytes(parameters, dtype), free_memory(device)
    if needed > free:
        raise GlimpseError(too_large(base, dtype, device, f"{needed / 1e9:.1f} GB for its weights", free))


def too_large(base: str, dtype: torch.dtype, device: torch.device, needed: str, free: int) -> str:
    """The message for a model that does not fit."""
    smaller = "a 16-bit dtype, " if dtype == torch.float32 else ""
    return (
        f"{base} needs {needed} in {str(dtype).removeprefix('torch.')}, but {free / 1e9:.1f} GB are free on {device}: "
        f"choose {smaller}a smaller model or another device, or close what else uses the memory"
    )
