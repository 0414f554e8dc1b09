"""Readable numbers: bytes, FLOPs and seconds with a unit."""

from __future__ import annotations


def bytes_text(size: float) -> str:
    """Such as 1.5 MiB."""
    return _scaled(size, 1024, ("B", "KiB", "MiB", "GiB", "TiB"))


def flops_text(flops: float) -> str:
    """Such as 12.4 GFLOPs."""
    return _scaled(flops, 1000, ("FLOPs", "KFLOPs", "MFLOPs", "GFLOPs", "TFLOPs", "PFLOPs"))


def seconds_text(value: float | None, missing: str = "–") -> str:
    """Such as 340 ms or 1.25 s; `missing` where there is no value."""
    if value is None:
        return missing
    return f"{1000 * value:.0f} ms" if value < 1 else f"{value:.2f} s"


def _scaled(value: float, step: int, units: tuple[str, ...]) -> str:
    index = 0
    while value >= step and index < len(units) - 1:
        value /= step
        index += 1
    return f"{value:.0f} {units[index]}" if index == 0 or value >= 100 else f"{value:.1f} {units[index]}"
