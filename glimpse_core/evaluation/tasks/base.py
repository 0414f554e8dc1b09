"""What a task is: questions about pictures by index, with what is accepted as an answer and, if known, the evidence.

A task knows files and formats; it does not know models, methods or scores. Opening one reads the annotations and checks
that they are what they claim to be; pictures are opened one by one, when a question is asked.
"""

from __future__ import annotations

import hashlib
import json
import random
from abc import ABC, abstractmethod
from collections.abc import Iterable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, ClassVar

from PIL import Image, ImageOps

from glimpse_core.errors import GlimpseError
from glimpse_core.types import Box

BRIEF = "\nAnswer the question using a single word or phrase."


@dataclass(frozen=True)
class Item:
    """One question.

    key: names it within the task. answers: what people said; the metric decides what to make of several. boxes: the
    evidence, normalized to 0..1; None where the task does not know it. type: the group it is reported in.
    """

    key: str
    question: str
    answers: tuple[str, ...]
    type: str = ""
    boxes: tuple[Box, ...] | None = None
    picture: Path | None = None
    drawn: Image.Image | None = field(default=None, repr=False, compare=False)

    def image(self) -> Image.Image:
        """The picture, upright, in RGB. Raises GlimpseError if it cannot be read."""
        if self.drawn is not None:
            return self.drawn
        try:
            with Image.open(self.picture) as file:
                return ImageOps.exif_transpose(file).convert("RGB")
        except (OSError, SyntaxError, ValueError) as error:
            raise GlimpseError(f"question {self.key}: cannot read the picture {self.picture}: {error}") from error


class Task(ABC):
    """Questions by index. `metric` scores them unless another one is asked for; `suffix` goes behind each question."""

    name: ClassVar[str]
    metric: ClassVar[str] = "exact"
    suffix: ClassVar[str] = BRIEF
    groups: ClassVar[dict[str, tuple[str, ...]]] = {}  # report groups of several types each, by name

    @abstractmethod
    def __len__(self) -> int: ...

    @abstractmethod
    def item(self, index: int) -> Item: ...

    @abstractmethod
    def origin(self) -> dict[str, Any]:
        """What the questions are, completely and without the place where they lie: the same for the same questions."""


class FileTask(Task):
    """A task of a local folder or file: `read` gives every question, of which `count` are drawn by `seed`."""

    def __init__(self, path: Path, count: int | None = None, seed: int = 0) -> None:
        self.path, self.seed = path, seed
        if not path.exists():
            raise GlimpseError(f"{path} does not exist: give the folder or file of the {self.name} questions")
        self._digest = hashlib.sha256()
        items = list(self.read())
        if not items:
            raise GlimpseError(f"{path} holds no {self.name} question")
        if len({item.key for item in items}) < len(items):
            raise GlimpseError(f"{path} has several questions with the same id: each needs its own")
        self.total = len(items)
        if count is not None and count < len(items):
            items = random.Random(f"glimpse-sample/{seed}").sample(items, count)
        self.items = items

    @abstractmethod
    def read(self) -> Iterable[Item]:
        """All questions, in the order of the files, which are read with `text`."""

    def __len__(self) -> int:
        return len(self.items)

    def item(self, index: int) -> Item:
        return self.items[index]

    def origin(self) -> dict[str, Any]:
        content = self._digest.hexdigest()[:16]
        return {"task": self.name, "content": content, "total": self.total, "count": len(self), "seed": self.seed}

    # ---------------------------------------------------------------------------------------- for the readers

    def text(self, path: Path) -> str:
        """A file's text; its content counts for `origin`."""
        try:
            data = path.read_bytes()
            self._digest.update(data)
            return data.decode("utf-8")
        except (OSError, UnicodeDecodeError) as error:
            raise GlimpseError(f"cannot read {path}: {error}") from error

    def json(self, path: Path) -> Any:
        try:
            return json.loads(self.text(path))
        except json.JSONDecodeError as error:
            raise GlimpseError(f"{path} is not JSON: {error}") from error

    def find(self, *patterns: str) -> list[Path]:
        """The task's files: `path` itself if it is a file, else those of the first pattern that has any."""
        if self.path.is_file():
            return [self.path]
        for pattern in patterns:
            if found := sorted(self.path.glob(pattern)):
                return found
        raise GlimpseError(f"{self.path} has no {' or '.join(patterns)}: that is how {self.name} folders are laid out")

    def place(self, key: str, *names: str) -> Path:
        """The first of `names`, below the task's folder, that exists."""
        root = self.path.parent if self.path.is_file() else self.path
        for name in names:
            if (root / name).is_file():
                return root / name
        raise GlimpseError(f"question {key}: no picture at {' or '.join(str(root / name) for name in names)}")


def value(entry: Any, field_name: str, kind: type, where: str) -> Any:
    """`entry[field_name]`, of the kind wanted, or GlimpseError. Numbers may stand for texts (ids)."""
    found = entry.get(field_name) if isinstance(entry, dict) else None
    if kind is str and isinstance(found, int) and not isinstance(found, bool):
        return str(found)
    if not isinstance(found, kind):
        raise GlimpseError(f"{where}: {field_name!r} must be a {kind.__name__}, got {found!r}")
    return found
