"""What a model runs on: device, dtype and attention function, and whether it fits into memory."""

from __future__ import annotations

import importlib.util

import psutil
import torch

from glimpse_core.engine.attention import PROBED
from glimpse_core.errors import GlimpseError

DTYPES = ("float32", "float16", "bfloat16")


def choose_device(device: str | torch.device) -> torch.device:
    """The device of a name that torch knows; "auto" is the first GPU that torch can use, else the CPU.

    Raises:
        GlimpseError: for a device that does not exist here.
    """
    if str(device) == "auto":
        device = "cuda" if torch.cuda.is_available() else "cpu"
    try:
        chosen = torch.device(device)
    except RuntimeError as error:
        raise GlimpseError(f"device is {device!r}. Expected one that torch knows: choose auto, cpu or cuda.") from error
    if chosen.type == "cuda" and not torch.cuda.is_available():
        raise GlimpseError(
            "device is cuda, and torch finds no GPU. Expected one: choose cpu, or install a torch build for this GPU."
        )
    if chosen.type == "cuda" and (chosen.index or 0) >= torch.cuda.device_count():
        raise GlimpseError(f"device is {chosen}. Expected cuda:0 to cuda:{torch.cuda.device_count() - 1}.")
    return chosen


def choose_dtype(dtype: str | torch.dtype, device: torch.device) -> torch.dtype:
    """The dtype of a name; "auto" is float32 on a CPU; on a GPU bfloat16, or float16 where bfloat16 is missing.

    Raises:
        GlimpseError: for another one than these three.
    """
    if dtype == "auto":
        if device.type != "cuda":
            return torch.float32
        return torch.bfloat16 if torch.cuda.is_bf16_supported() else torch.float16
    name = str(dtype).removeprefix("torch.")
    if name not in DTYPES:
        raise GlimpseError(f"dtype is {name!r}. Expected auto, {', '.join(DTYPES)}.")
    chosen: torch.dtype = getattr(torch, name)
    return chosen


def choose_attention(attn: str, device: torch.device, dtype: torch.dtype) -> str:
    """The attention function; "auto" is flash_attention_2 where it is installed and can run, else sdpa.

    Raises:
        GlimpseError: for one that cannot be read (`engine.attention`), and for flash_attention_2 where it cannot run.
    """
    flash = importlib.util.find_spec("flash_attn") is not None
    if attn == "auto":
        return "flash_attention_2" if flash and device.type == "cuda" and dtype != torch.float32 else "sdpa"
    if attn not in PROBED:
        raise GlimpseError(f"attn is {attn!r}. Expected auto, {', '.join(PROBED)}.")
    if attn == "flash_attention_2" and not (flash and device.type == "cuda" and dtype != torch.float32):
        raise GlimpseError(
            "attn is flash_attention_2. Expected the flash_attn package, a GPU and a 16-bit dtype for it: choose auto "
            "or sdpa."
        )
    return attn


def free_memory(device: torch.device) -> int:
    """Bytes that a model could still take on the device: of the GPU, or of main memory without swapping."""
    if device.type == "cuda":
        return torch.cuda.mem_get_info(device)[0]
    return psutil.virtual_memory().available


def weight_bytes(parameters: int, dtype: torch.dtype) -> int:
    """Bytes of that number of parameters."""
    return parameters * dtype.itemsize


def check_memory(parameters: int | None, dtype: torch.dtype, device: torch.device, base: str) -> None:
    """Raise a GlimpseError if the weights alone are larger than the free memory.

    Args:
        parameters: number of them; None: not known, so nothing is checked.
        dtype: of the weights.
        device: where they go.
        base: name of the model, for the message.
    """
    if parameters is None:
        return
    needed, free = weight_bytes(parameters, dtype), free_memory(device)
    if needed > free:
        raise GlimpseError(too_large(base, dtype, device, f"{needed / 1e9:.1f} GB for its weights", free))


def too_large(base: str, dtype: torch.dtype, device: torch.device, needed: str, free: int) -> str:
    """The message for a model that does not fit. needed: text such as "16.6 GB for its weights". free: bytes."""
    smaller = "a 16-bit dtype, " if dtype == torch.float32 else ""
    return (
        f"{base} needs {needed} in {str(dtype).removeprefix('torch.')}, and {free / 1e9:.1f} GB are free on {device}. "
        f"Expected it to fit: choose {smaller}a smaller model or another device, or close what else uses the memory."
    )
