"""What the browser is sent: plain JSON values for the canvas, the answers and the figures. No component, no HTML, no
model run.
"""

from __future__ import annotations

import base64
from itertools import count
from typing import Any

import numpy as np
from PIL import Image

from glimpse_core.glimpse.settings import to_json
from glimpse_core.types import Settings
from glimpse_core.ui import texts
from glimpse_core.ui.messages import Answers, Canvas, Inside, Linked, Picture, Selected
from glimpse_core.ui.pictures import data_url

_serial = count(1)  # makes every payload new, also when the same picture is chosen again


def floats(values: Any) -> str:
    """A float tensor or array as base64 of little-endian float32: exact, and a quarter of the size of decimal text."""
    return base64.b64encode(np.asarray(values, dtype="<f4").tobytes()).decode("ascii")


def octets(values: Any) -> str:
    """A tensor or array of 0..255 as base64."""
    return base64.b64encode(np.asarray(values).astype(np.uint8).tobytes()).decode("ascii")


def kept_payload(settings: Settings, mask: Any) -> Selected:
    """Settings as `settings.js` reads them. mask (N,): sent where the browser cannot work it out (a control)."""
    return {"settings": to_json(settings), "mask": octets(mask) if settings.edits.control and mask is not None else ""}


def pictures_payload(images: list[Image.Image], alts: list[str]) -> Canvas:
    """The canvas before a question: pictures only, no grid and no scores yet."""
    pictures: list[Picture] = [
        {"src": data_url(image), "alt": alt, "rows": 0, "cols": 0, "width": image.width, "height": image.height}
        for image, alt in zip(images, alts, strict=True)
    ]
    return {"serial": next(_serial), "pictures": pictures, "probabilities": "", "logits": "", "answered": None}


def cleared_payload() -> Canvas:
    """The canvas while the model looks: the pictures stay, the scores of the last question go."""
    return {"serial": next(_serial), "clear": True}


def answered_payload(settings: Settings, mask: Any) -> Canvas:
    """For a canvas that has its scores: which tokens the answer has that runs now."""
    return {"serial": next(_serial), "answered": kept_payload(settings, mask)}


def linked_payload(settings: Settings, question: str, mask: Any) -> Canvas:
    """What a link asks for. mask (N,): where the canvas has the scores of its question; None where it has not."""
    linked: Linked = {**kept_payload(settings, mask), "question": question, "ready": mask is not None}
    return {"serial": next(_serial), "linked": linked}


def scores_payload(session: Any, images: list[Image.Image], alts: list[str], settings: Settings, mask: Any) -> Canvas:
    """The canvas after the glimpse: each picture at the pixels that the model sees, and all scores in raster order.

    `frame` says which part of the token grid the picture covers; padding is not sent.
    """
    pictures: list[Picture] = [
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
    scores: Canvas = {"probabilities": floats(session.probabilities), "logits": floats(session.logits)}
    return {"pictures": pictures, **scores, **answered_payload(settings, mask)}


def stored_payload(canvas: Canvas, images: list[Image.Image], alts: list[str]) -> Canvas:
    """A stored canvas with its pictures put back in."""
    pictures: list[Picture] = [
        {**item, "src": data_url(image, (item["width"], item["height"])), "alt": alt}
        for item, image, alt in zip(canvas["pictures"], images, alts, strict=True)
    ]
    return {**canvas, "pictures": pictures, "serial": next(_serial)}


def idle_answers() -> Answers:
    """The answers panel before the first question."""
    return {"question": "", "truth": None, "full": None, "kept": None, "verdict": None, "note": texts.ANSWERS_IDLE}


def idle_inside() -> Inside:
    """The figures before the first question."""
    return {"question": "", "note": texts.INSIDE_IDLE}
