"""The bundled pictures with their questions and true answers, stored in `assets/examples`."""

from __future__ import annotations

import json
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path

from glimpse_core.storage.assets import ASSETS
from glimpse_core.ui.pictures import data_url, open_picture

FOLDER = ASSETS / "examples"
THUMBNAIL = 168  # pixels, the longer side; shown at half of that or less


@dataclass(frozen=True)
class Example:
    """One picture. `questions` are (question, true answer) pairs; `alt` says in words what is in the picture."""

    path: Path
    alt: str
    questions: tuple[tuple[str, str], ...]

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
        )
        for entry in entries
    )
