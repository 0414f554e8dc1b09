"""Redundant slices of a video: of neighbors that look the same, one stands for all. An option of the released code."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

import torch
from torch import Tensor
from torch.nn import functional

from glimpse_core.errors import GlimpseError

PENALTY = 100.0  # off the logits of redundant slices: no threshold is passed, and ranks stay


@dataclass(frozen=True)
class SliceMerge:
    """When temporal slices count as the same. Defaults are those of the released code, where all of it is off.

    Attributes:
        min_ratio: least share of its tokens that a slice keeps, from 0 to 1; only such slices can be redundant.
        min_tokens: the same as a number.
        similarity: least cosine of two neighbors, from -1 to 1.
        pooling: what a slice looks like: the mean embedding of its kept tokens ("kept") or of all of them ("all"),
            published as "mask" and "full".
    """

    min_ratio: float = 0.5
    min_tokens: int = 4
    similarity: float = 0.97
    pooling: Literal["kept", "all"] = "kept"

    def __post_init__(self) -> None:
        for name, low in (("min_ratio", 0.0), ("similarity", -1.0)):
            value = getattr(self, name)
            if not low <= value <= 1:
                raise GlimpseError(f"{name} is {value!r}. Expected a number from {low:g} to 1.")
        if self.min_tokens < 0:
            raise GlimpseError(f"min_tokens is {self.min_tokens!r}. Expected 0, 1, 2, ...")
        if self.pooling not in ("kept", "all"):
            raise GlimpseError(f"pooling is {self.pooling!r}. Expected kept or all.")


def redundant(masks: Sequence[Tensor], embeds: Sequence[Tensor], rule: SliceMerge) -> list[bool]:
    """Find slices for which another one stands.

    Neighbors that both keep enough and look the same are connected; of all that are connected, the one that keeps most
    stays, of equals the earlier.

    Args:
        masks: per slice (n_s,) bool, what it would keep by itself.
        embeds: per slice (n_s, C), embeddings that enter the decoder.
        rule: what enough and the same are.

    Returns:
        Per slice whether it is redundant.
    """
    counts = [int(mask.sum()) for mask in masks]
    enough = [
        count >= rule.min_tokens and count / max(len(mask), 1) >= rule.min_ratio
        for count, mask in zip(counts, masks, strict=True)
    ]
    looks = [
        (own[mask] if rule.pooling == "kept" else own).float().sum(0) for own, mask in zip(embeds, masks, strict=True)
    ]
    units = [functional.normalize(look, dim=0, eps=1e-6) for look in looks]
    groups: list[list[int]] = []
    for number in range(len(masks)):
        before = number - 1
        same = number > 0 and enough[before] and enough[number]
        if same and float(units[before] @ units[number]) >= rule.similarity:
            groups[-1].append(number)
        else:
            groups.append([number])
    stay = {max(group, key=lambda number: (counts[number], -number)) for group in groups}
    return [number not in stay for number in range(len(masks))]


def without_redundant(logits: Tensor, lengths: Sequence[int], dropped: Sequence[bool]) -> Tensor:
    """Lower the logits (n,) of redundant slices, of `lengths` tokens each, so that no threshold is passed."""
    flags = torch.tensor(list(dropped), device=logits.device).repeat_interleave(
        torch.tensor(list(lengths), device=logits.device)
    )
    return torch.where(flags, logits - PENALTY, logits)
