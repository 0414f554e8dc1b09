"""Stored results of the bundled examples: what a live run sent to the page, so that it opens with something to see.

A stored result belongs to one model: `load_results` gives none for any other. `make_examples.py` writes them.
"""

from __future__ import annotations

import base64
import json
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch

from glimpse_core.inference.choice import choose
from glimpse_core.types import Grid, Kept, Settings
from glimpse_core.ui.examples import FOLDER
from glimpse_core.ui.messages import Answers, Band, Canvas, Inside

RESULTS = "results.json"


@dataclass(frozen=True)
class Result:
    """One example's question with what the page was sent of it, but for the addresses of its pictures."""

    question: str
    canvas: Canvas
    answers: Answers
    inside: Inside
    record: dict[str, Any]  # what can be saved (record.py)
    band: Band | None = None
    familiar: bool | None = None


def grids_of(canvas: Canvas) -> list[Grid]:
    """The token grids of the pictures on a stage."""
    found = []
    for picture in canvas["pictures"]:
        left, top, right, bottom = picture.get("frame", (0.0, 0.0, 1.0, 1.0))
        found.append(Grid(picture["rows"], picture["cols"], (left, top, right, bottom)))
    return found


def kept_of(result: Result, settings: Settings) -> Kept:
    """Which tokens other settings keep of a stored result's scores. Raises GlimpseError for edits outside the image."""
    logits = np.frombuffer(base64.b64decode(result.canvas["logits"]), dtype="<f4")
    return choose(torch.tensor(logits), grids_of(result.canvas), settings)


def load_results(model: str, folder: Path = FOLDER) -> dict[str, Result]:
    """Stored results by the picture's file name; none where they are missing or were made with another model."""
    file = folder / RESULTS
    if not file.is_file():
        return {}
    stored = json.loads(file.read_text(encoding="utf-8"))
    if stored["model"] != model:
        return {}
    return {name: Result(**entry) for name, entry in stored["results"].items()}
