"""Golden cases: numbers that the original implementation produced on small random models, compared with ours.

A case is a folder with `case.json`, `inputs.npz`, `expected.npz`, `new_modules/` and, for training cases,
`grads.npz`; its `case.json` names the folder of its base model. Whatever `expected.npz` holds and this package knows
is compared; what it does not know is listed as ignored. Ids, masks, positions and lengths must be equal; real numbers
within 1e-4 of their scale.
"""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path

import torch

from glimpse_core.glimpse.boxes import box_mask, box_tokens
from glimpse_core.parity.case import Case, Expected, bases, read_case
from glimpse_core.parity.inference import compare_pruned, compare_trunk, compare_unpruned, compare_vision
from glimpse_core.parity.result import Check, Result
from glimpse_core.parity.training import compare_training
from glimpse_core.types import Grid

__all__ = ["Check", "Result", "run_case"]

# How transformers 4 got at positions, which are compared themselves.
NEVER_COMPARED = ("rope_deltas",)


def run_case(folder: str | Path, attn: str = "sdpa") -> Result:
    """Run one folder. Raises `GlimpseError` for a folder that is no case, or about a model that is not supported."""
    folder = Path(folder)
    if (folder / "bbox_golden.json").exists():
        return run_boxes(folder)
    result = Result(folder.resolve().name)
    for number, base in enumerate(bases(folder)):
        own = compare(read_case(folder, attn, base))
        # The same checks again on the second layout of the base model, under its name.
        result.checks += own.checks if not number else [replace(one, name=f"{base}: {one.name}") for one in own.checks]
        result.ignored = own.ignored
    return result


def compare(case: Case) -> Result:
    """Everything that a case expects, on one base model."""
    result, expected = Result(""), Expected(case.expected)
    with torch.no_grad():
        compare_vision(case, expected, result)
    if case.labels is not None:
        compare_training(case, expected, result)
    else:
        with torch.no_grad():
            compare_trunk(case, expected, result)
            compare_unpruned(case, expected, result)
            compare_pruned(case, expected, result)
    result.ignored = [name for name in expected if name not in expected.used and name not in NEVER_COMPARED]
    return result


def run_boxes(folder: Path) -> Result:
    """The box rasterization: visit order and mask of every record."""
    result = Result(folder.resolve().name)
    for number, record in enumerate(json.loads((folder / "bbox_golden.json").read_text())):
        grid = Grid(*record["grid_hw"])
        result.equal(f"indices_in_order[{number}]", box_tokens(record["boxes"], grid), record["indices_in_order"])
        mask = box_mask(record["boxes"], grid).nonzero().flatten().tolist()
        result.equal(f"mask_indices[{number}]", mask, record["mask_indices"])
    return result
