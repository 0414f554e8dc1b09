"""What the browser is sent: plain JSON values for the stage and the answers. No component, no HTML, no model run."""

from __future__ import annotations

import base64
from collections.abc import Sequence
from typing import Any

import numpy as np
from PIL import Image

from glimpse_core.glimpse.settings import to_json
from glimpse_core.types import Settings
from glimpse_core.ui.messages import Answers, Canvas, Picture, Selected


def floats(values: Any) -> str:
    """A float tensor or array as base64 of little-endian float32: exact, and a quarter of the size of decimal text."""
    return base64.b64encode(np.asarray(values, dtype="<f4").tobytes()).decode("ascii")


def octets(values: Any) -> str:
    """A tensor or array of 0..255 as base64."""
    return base64.b64encode(np.asarray(values).astype(np.uint8).tobytes()).decode("ascii")


def kept_payload(settings: Settings, mask: Any) -> Selected:
    """Settings in JSON. mask (N,): sent where the browser cannot work it out (a control)."""
    return {"settings": to_json(settings), "mask": octets(mask) if settings.edits.control and mask is not None else ""}


def pictures_payload(images: Sequence[Image.Image], alts: Sequence[str], addresses: Sequence[str]) -> Canvas:
    """The stage before a question: pictures only, no grid and no scores yet."""
    pictures: list[Picture] = [
        {"src": address, "alt": alt, "rows": 0, "cols": 0, "width": image.width, "height": image.height}
        for image, alt, address in zip(images, alts, addresses, strict=True)
    ]
    return {"pictures": pictures}


def cleared_payload() -> Canvas:
    """The stage while the model looks: the pictures stay, the scores of the last question go."""
    return {"clear": True}


def answered_payload(settings: Settings, mask: Any) -> Canvas:
    """For a stage that has its scores: which tokens the answer has that runs now."""
    return {"answered": kept_payload(settings, mask)}


def scores_payload(
    session: Any, images: Sequence[Image.Image], alts: Sequence[str], settings: Settings, mask: Any
) -> Canvas:
    """The stage after the glimpse: each picture's grid at the pixels that the model sees, and all scores.

    `frame` says which part of the token grid the picture covers. The pictures themselves are on the page by then.
    """
    pictures: list[Picture] = [
        {
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
    scores: Canvas = {"probabilities": floats(session.probabilities)}
    if session.model.trained:
        scores["logits"] = floats(session.logits)
    else:
        scores["attention_layer"] = session.model.keep_layer
    return {"pictures": pictures, **scores, **answered_payload(settings, mask)}


def evidence_payload(mask: Any) -> Canvas:
    """Which tokens the true answer follows from. mask: (N,) bool; None: not known."""
    return {"evidence": "" if mask is None else octets(mask)}


def stored_payload(canvas: Canvas, alts: Sequence[str], addresses: Sequence[str]) -> Canvas:
    """A stored stage with its pictures' addresses put back in."""
    pictures: list[Picture] = [
        {**item, "src": address, "alt": alt}
        for item, address, alt in zip(canvas["pictures"], addresses, alts, strict=True)
    ]
    return {**canvas, "pictures": pictures}


def idle_answers() -> Answers:
    """The answers before the first question."""
    return {"question": "", "truth": None, "full": None, "kept": None, "verdict": None}
