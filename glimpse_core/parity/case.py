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

from glimpse_core.backbones.original_inputs import read_prompt
from glimpse_core.errors import GlimpseError
from glimpse_core.glimpse.model import GlimpseModel, require_glimpse
from glimpse_core.models import catalog
from glimpse_core.models.checkpoint_config import check, from_published
from glimpse_core.types import Prompt

BASES = ("base", "base_hf", "base_original")


@dataclass(frozen=True)
class Case:
    """A case in memory: the model it is about, its prompt and what is expected."""

    settings: Mapping[str, Any]
    model: GlimpseModel
    prompt: Prompt
    ids: Tensor  # (B, L) as the original writes them
    vocabulary: int | None  # of the original: what a conversion appended to the logits is left out
    labels: Tensor | None
    expected: Mapping[str, Tensor]
    grads: Mapping[str, Tensor] | None

    @property
    def rows(self) -> int:
        """B, the number of rows of the prompt."""
        return len(self.prompt.input_ids)

    @property
    def references(self) -> tuple[Tensor, ...] | None:
        """(N_b,) bool per row, if the case has reference masks."""
        names = [f"ref_mask_{row}" for row in range(self.rows)]
        return tuple(self.expected[name].flatten() for name in names) if {*names} <= {*self.expected} else None


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


def bases(folder: Path) -> list[str]:
    """The fields of case.json that name a base model: LLaVA's cases have it in two layouts, which must agree."""
    settings = _read_settings(folder)
    found = [name for name in BASES if name in settings and (folder / settings[name]).exists()]
    if not found:
        raise GlimpseError(
            f"{folder} names no base model that is there. Expected one of {', '.join(BASES)} in its case.json, with "
            "the path of a folder: add it."
        )
    return found


def _read_settings(folder: Path) -> dict[str, Any]:
    try:
        return json.loads((folder / "case.json").read_text())
    except (OSError, ValueError) as error:
        raise _no_case(folder, error) from error


def _no_case(folder: Path, error: Exception) -> GlimpseError:
    return GlimpseError(
        f"{folder} is not a golden case ({error}). Expected case.json, inputs.npz and expected.npz: give such a folder."
    )


def read_case(folder: Path, attn: str, base: str = "base") -> Case:
    """Load everything. Settings in case.json (`gp_config`, then `runtime_overrides`) override the checkpoint's."""
    settings = _read_settings(folder)
    try:
        inputs, expected = _read_npz(folder / "inputs.npz"), _read_npz(folder / "expected.npz")
    except (OSError, ValueError) as error:
        raise _no_case(folder, error) from error
    modules = folder / settings.get("new_modules", "new_modules")
    loaded = catalog.load(folder / settings[base], glimpse=modules, dtype="float32", device="cpu", attn=attn)
    model = require_glimpse(loaded)
    published = json.loads((modules / "config.json").read_text())
    published |= settings.get("gp_config", {}) | settings.get("runtime_overrides", {}) | _implied(expected, inputs)
    config = from_published(published)
    check(config, model.backbone)
    model.vip.config = config
    prompt, ids, labels = read_prompt(inputs, model.backbone)
    grads = _read_npz(folder / "grads.npz") if (folder / "grads.npz").exists() else None
    vocabulary = (published | (published.get("text_config") or {})).get("vocab_size")
    return Case(settings, replace(model, config=config), prompt, ids, vocabulary, labels, expected, grads)


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
