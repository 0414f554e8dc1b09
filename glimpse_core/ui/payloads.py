"""What the browser is sent: plain JSON values for the canvas and the answers. No component, no HTML, no model run."""

from __future__ import annotations

import base64
from itertools import count
from typing import Any

import numpy as np
from PIL import Image

from glimpse_core.cost import Costs, cost
from glimpse_core.shape import Shape
from glimpse_core.types import Selection
from glimpse_core.ui import texts
from glimpse_core.ui.pictures import data_url
from glimpse_core.ui.units import bytes_text, flops_text, seconds_text

_serial = count(1)  # makes every payload new, also when the same picture is chosen again


def floats(values: Any) -> str:
    """A float tensor or array as base64 of little-endian float32: exact, and a quarter of the size of decimal text."""
    return base64.b64encode(np.asarray(values, dtype="<f4").tobytes()).decode("ascii")


def settings_payload(selection: Selection) -> dict[str, Any]:
    """The selection in the names that `select.js` uses."""
    return {"threshold": selection.threshold, "ratio": selection.max_ratio, "floor": selection.min_tokens}


def pictures_payload(images: list[Image.Image], alts: list[str]) -> dict[str, Any]:
    """The canvas before a question: pictures only, no grid and no scores yet."""
    pictures = [
        {"src": data_url(image), "alt": alt, "rows": 0, "cols": 0, "width": image.width, "height": image.height}
        for image, alt in zip(images, alts, strict=True)
    ]
    return {"serial": next(_serial), "pictures": pictures, "probabilities": "", "logits": "", "settings": None}


def scores_payload(session: Any, images: list[Image.Image], alts: list[str], selection: Selection) -> dict[str, Any]:
    """The canvas after the glimpse: each picture scaled to exactly its token grid, and all scores in raster order."""
    pictures = [
        {
            "src": data_url(image, size),
            "alt": alt,
            "rows": grid.rows,
            "cols": grid.cols,
            "width": size[0],
            "height": size[1],
            "original": list(image.size),
            "frame": list(grid.frame),
        }
        for image, alt, grid, size in zip(images, alts, session.grids, session.sizes, strict=True)
    ]
    return {
        "serial": next(_serial),
        "pictures": pictures,
        "probabilities": floats(session.probabilities),
        "logits": floats(session.logits),
        "settings": settings_payload(selection),
    }


def idle_answers() -> dict[str, Any]:
    """The answers panel before the first question."""
    return {"question": "", "truth": None, "full": None, "kept": None, "verdict": None, "note": texts.ANSWERS_IDLE}


def costs_of(model: Any, session: Any, kept: int) -> Costs:
    """The arithmetic for one question on one model."""
    shape = Shape.from_config(model.backbone.hf.config, model.config)
    return cost(
        shape,
        session.prompt_length,
        len(session.probabilities),
        kept,
        grids=session.grids,
        dtype=model.dtype,
    )


def figures(costs: Costs, session: Any, answer: Any, pruned: bool) -> list[dict[str, str]]:
    """The numbers under one answer, each with how it was come by: counted, calculated or measured."""
    tokens = costs.kept_tokens if pruned else costs.visual_tokens
    share = f"{100 * tokens / costs.visual_tokens:.1f}%" if pruned and costs.visual_tokens else ""
    flops = costs.pruned if pruned else costs.full
    seconds = first_token_seconds(session, answer, pruned)
    return [
        _figure("Visual tokens", f"{tokens:,}", "counted", share),
        _figure("Prompt length", f"{costs.kept_length if pruned else costs.prompt_length:,} tokens", "counted"),
        _figure("KV cache", bytes_text(costs.kept_kv_bytes if pruned else costs.kv_bytes), "calculated"),
        _figure("Prefill compute", flops_text(flops.prefill), "calculated"),
        _figure("Time to first token", seconds_text(seconds, "–" if answer.finished else "…"), "measured"),
    ]


def first_token_seconds(session: Any, answer: Any, pruned: bool) -> float | None:
    """Measured time from the prepared prompt to the first token, or None while there is none.

    Both answers continue from one trunk, so its time counts for both, although a plain run would not carry the
    glimpse token. Glimpse and VIP count only for the pruned answer.
    """
    tokens = answer.timings.get("tokens") or []
    if not tokens:
        return None
    stages = ("vision", "trunk", "glimpse_vip") if pruned else ("vision", "trunk")
    return sum(session.timings.get(stage, 0.0) for stage in stages) + tokens[0]


def _figure(label: str, value: str, kind: str, note: str = "") -> dict[str, str]:
    return {"label": label, "value": value, "kind": kind, "note": note}
