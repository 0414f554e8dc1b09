"""The bundled pictures with their questions and true answers, stored in `assets/examples`."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path

from glimpse_core.storage.assets import ASSETS
from glimpse_core.types import Box
from glimpse_core.ui.pictures import data_url, open_picture

FOLDER = ASSETS / "examples"
THUMBNAIL = 168  # pixels, the longer side; shown at half of that or less


@dataclass(frozen=True)
class Example:
    """One picture.

    Attributes:
        path: of its file.
        alt: what is in it, in words.
        questions: (question, true answer) pairs.
        evidence: by question, boxes (x1, y1, x2, y2) from 0 to 1 around what the true answer follows from.
    """

    path: Path
    alt: str
    questions: tuple[tuple[str, str], ...]
    evidence: Mapping[str, tuple[Box, ...]] = field(default_factory=dict)

    @cached_property
    def thumbnail(self) -> str:
        """A small data URL."""
        return data_url(open_picture(self.path), limit=THUMBNAIL)

    def truth(self, question: str) -> str | None:
        """The true answer, where the question is one of this picture's own."""
        return dict(self.questions).get(question)


def load_examples(folder: Path = FOLDER) -> tuple[Example, ...]:
    """The examples of a folder; none if it has no index."""
    index = folder / "examples.json"
    if not index.is_file():
        return ()
    entries = json.loads(index.read_text(encoding="utf-8"))
    return tuple(
        Example(
            path=folder / entry["file"],
            alt=entry["alt"],
            questions=tuple((item["question"], item["answer"]) for item in entry["questions"]),
            evidence={item["question"]: tuple(map(tuple, item["evidence"])) for item in entry["questions"]},
        )
        for entry in entries
    )
