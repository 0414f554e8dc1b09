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

from glimpse_core.glimpse.settings import describe, from_json, to_json
from glimpse_core.inference.choice import choose
from glimpse_core.types import Grid, Kept, Settings
from glimpse_core.ui.examples import FOLDER
from glimpse_core.ui.messages import Answers, Canvas, Inside
from glimpse_core.ui.record import upgrade

RESULTS = "results.json"


@dataclass(frozen=True)
class Result:
    """One example's question with the payloads of canvas (without its pictures), answers and inside."""

    question: str
    canvas: Canvas
    answers: Answers
    inside: Inside
    record: dict[str, Any]  # what can be saved (record.py)


def kept_of(result: Result, settings: Settings) -> Kept:
    """Which tokens other settings keep of a stored result's scores. Raises GlimpseError for edits outside the image."""
    logits = np.frombuffer(base64.b64decode(result.canvas["logits"]), dtype="<f4")
    grids = [Grid(picture["rows"], picture["cols"]) for picture in result.canvas["pictures"]]
    return choose(torch.tensor(logits), grids, settings)


def load_results(model: str, folder: Path = FOLDER) -> dict[str, Result]:
    """Stored results by the picture's file name; none where they are missing or were made with another model."""
    file = folder / RESULTS
    if not file.is_file():
        return {}
    stored = json.loads(file.read_text(encoding="utf-8"))
    if stored["model"] != model:
        return {}
    return {name: Result(**_upgraded(entry)) for name, entry in stored["results"].items()}


def _upgraded(entry: dict[str, Any]) -> dict[str, Any]:
    """A stored result of any version as one of this version: earlier ones kept manual edits apart from the settings."""
    answered, answers = entry["canvas"]["answered"], dict(entry["answers"])
    mask = answered.get("mask", "")
    if "hand" in answered:
        edits = dict(answered["hand"])
        mask = edits.pop("mask")
        answered = {"settings": answered["settings"] | edits}
        del answers["settings"], answers["hand"]
    settings = from_json(answered["settings"])
    canvas = entry["canvas"] | {"answered": {"settings": to_json(settings), "mask": mask}}
    return entry | {
        "canvas": canvas,
        "answers": answers | {"rule": describe(settings)},
        "record": upgrade(entry["record"]),
    }
