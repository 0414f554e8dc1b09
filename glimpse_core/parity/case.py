"""Reading a case: the model it is about, its inputs and what is expected."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor

from glimpse_core import catalog
from glimpse_core.errors import GlimpseError
from glimpse_core.model import GlimpseModel
from glimpse_core.settings import check, from_published
from glimpse_core.types import Prompt


@dataclass(frozen=True)
class Case:
    """A case in memory: the model it is about, its prompt and what is expected."""

    settings: Mapping[str, Any]
    model: GlimpseModel
    prompt: Prompt
    labels: Tensor | None
    expected: Mapping[str, Tensor]
    grads: Mapping[str, Tensor] | None

    @property
    def rows(self) -> int:
        return len(self.prompt.input_ids)

    @property
    def references(self) -> tuple[Tensor, ...] | None:
        """(N_b,) bool per row, if the case has reference masks."""
        masks = [self.expected.get(f"ref_mask_{row}") for row in range(self.rows)]
        return None if any(mask is None for mask in masks) else tuple(mask.flatten() for mask in masks)


class Expected(Mapping[str, Tensor]):
    """The expected tensors, noting which ones were looked at."""

    def __init__(self, tensors: Mapping[str, Tensor]) -> None:
        self.tensors, self.used = tensors, set[str]()

    def __getitem__(self, name: str) -> Tensor:
        self.used.add(name)
        return self.tensors[name]

    def __contains__(self, name: object) -> bool:
        return name in self.tensors

    def __iter__(self) -> Iterator[str]:
        return iter(self.tensors)

    def __len__(self) -> int:
        return len(self.tensors)


def read_case(folder: Path, attn: str) -> Case:
    """Load everything. Settings in case.json (`gp_config`, then `runtime_overrides`) override the checkpoint's."""
    try:
        settings = json.loads((folder / "case.json").read_text())
        inputs, expected = _read_npz(folder / "inputs.npz"), _read_npz(folder / "expected.npz")
    except (OSError, ValueError) as error:
        raise GlimpseError(
            f"{folder} is not a golden case: {error}. A case has case.json, inputs.npz and expected.npz"
        ) from error
    if "base" not in settings:
        raise GlimpseError(
            f'{folder} is not a Qwen2.5-VL case (its case.json has no "base"), and other models are not '
            "supported so far"
        )
    modules = folder / settings.get("new_modules", "new_modules")
    model = catalog.load(folder / settings["base"], glimpse=modules, dtype="float32", device="cpu", attn=attn)
    published = json.loads((modules / "config.json").read_text())
    published |= settings.get("gp_config", {}) | settings.get("runtime_overrides", {}) | _implied(expected, inputs)
    config = from_published(published)
    check(config, model.backbone)
    model.vip.config = config
    prompt = model.backbone.prompt(
        inputs["input_ids"], inputs.get("pixel_values"), inputs.get("image_grid_thw"), inputs.get("attention_mask")
    )
    grads = _read_npz(folder / "grads.npz") if (folder / "grads.npz").exists() else None
    return Case(settings, replace(model, config=config), prompt, inputs.get("labels"), expected, grads)


def _implied(expected: Mapping[str, Tensor], inputs: Mapping[str, Tensor]) -> dict[str, bool]:
    """Cases made with given masks set the flag at run time and leave it out of the files: infinite logits show it."""
    logits = expected.get("mask_logits_0")
    if logits is None or "labels" in inputs or not bool(logits.isinf().all()):
        return {}
    reference = "ref_mask_0" in expected and "attn_map" not in expected
    return {"use_ref_masks": reference, "use_zero_masks": not reference}


def _read_npz(path: Path) -> dict[str, Tensor]:
    with np.load(path) as archive:
        return {name: torch.from_numpy(archive[name]) for name in archive.files}
