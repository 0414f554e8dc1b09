"""What a task is: questions about images by index, with the accepted answers and, if known, the evidence.

A task knows files and formats; it does not know models, methods or scores. Opening one reads the annotations and checks
that they are what they claim to be; images are opened one by one, when a question is asked.
"""

from __future__ import annotations

import hashlib
import json
import random
from abc import ABC, abstractmethod
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from types import MappingProxyType
from typing import Any, ClassVar, TypeVar

from PIL import Image, ImageOps

from glimpse_core.errors import GlimpseError
from glimpse_core.types import Box

BRIEF = "\nAnswer the question using a single word or phrase."
Value = TypeVar("Value")


@dataclass(frozen=True)
class Item:
    """One question.

    Attributes:
        key: names it within the task.
        answers: accepted ones; the metric decides what several of them mean.
        source: the image, or the file that holds it.
        type: the group that it is reported in.
        boxes: the evidence, normalized to 0..1; None where the task does not know it.
    """

    key: str
    question: str
    answers: tuple[str, ...]
    source: Path | Image.Image = field(repr=False, compare=False)
    type: str = ""
    boxes: tuple[Box, ...] | None = None

    def image(self) -> Image.Image:
        """Return the image, upright, in RGB. Raises GlimpseError if it cannot be read."""
        if isinstance(self.source, Image.Image):
            return self.source
        try:
            with Image.open(self.source) as file:
                return ImageOps.exif_transpose(file).convert("RGB")
        except (OSError, SyntaxError, ValueError) as error:
            raise GlimpseError(
                f"Question {self.key}: the image {self.source} cannot be read ({error}). Expected an image file: "
                "fetch it again."
            ) from error


class Task(ABC):
    """Questions by index.

    Attributes:
        metric: scores them unless another one is asked for.
        suffix: text after each question.
        groups: report groups of several types each, by name.
    """

    name: ClassVar[str]
    metric: ClassVar[str] = "exact"
    suffix: ClassVar[str] = BRIEF
    groups: Mapping[str, tuple[str, ...]] = MappingProxyType({})

    @abstractmethod
    def __len__(self) -> int:
        """Return the number of questions."""

    @abstractmethod
    def item(self, index: int) -> Item:
        """Return one question.

        Args:
            index: from 0 to the number of questions, exclusive.
        """

    @abstractmethod
    def origin(self) -> dict[str, Any]:
        """Describe the questions completely, but not where their files are: the same for the same questions."""


class FileTask(Task):
    """A task of a local folder or file: `read` gives every question, of which `count` are drawn by `seed`."""

    def __init__(self, path: Path, count: int | None = None, seed: int = 0) -> None:
        """Read all annotations. Raises GlimpseError for files that are missing or not as the task lays them out."""
        self.path, self.seed = path, seed
        if not path.exists():
            raise GlimpseError(f"{path} does not exist. Expected the folder or file of the {self.name} questions.")
        self._digest = hashlib.sha256()
        items = list(self.read())
        if not items:
            raise GlimpseError(
                f"{path} holds no {self.name} question. Expected at least one: give another folder or file."
            )
        if len({item.key for item in items}) < len(items):
            raise GlimpseError(f"{path} has several questions with the same id. Expected one for each.")
        self.total = len(items)
        if count is not None and count < len(items):
            items = random.Random(f"glimpse-sample/{seed}").sample(items, count)
        self.items = items

    @abstractmethod
    def read(self) -> Iterable[Item]:
        """Read all questions, in the order of the files, which are opened by `text` or `json`."""

    def __len__(self) -> int:
        return len(self.items)

    def item(self, index: int) -> Item:
        """See `Task.item`. Of a sample, the order is that of the draw."""
        return self.items[index]

    def origin(self) -> dict[str, Any]:
        """See `Task.origin`: a hash of the files' content, and how many questions were drawn by which seed."""
        content = self._digest.hexdigest()[:16]
        return {"task": self.name, "content": content, "total": self.total, "count": len(self), "seed": self.seed}

    # ---------------------------------------------------------------------------------------- for the readers

    def text(self, path: Path) -> str:
        """Return a file's text; its content counts for `origin`."""
        try:
            data = path.read_bytes()
            self._digest.update(data)
            return data.decode("utf-8")
        except (OSError, UnicodeDecodeError) as error:
            raise GlimpseError(f"{path} cannot be read ({error}). Expected UTF-8 text: fetch it again.") from error

    def json(self, path: Path) -> Any:
        """Return a JSON file's value; its content counts for `origin`."""
        try:
            return json.loads(self.text(path))
        except json.JSONDecodeError as error:
            raise GlimpseError(
                f"{path} is not JSON ({error}). Expected {self.name} as published: fetch it again."
            ) from error

    def find(self, *patterns: str) -> list[Path]:
        """List the task's files: `path` itself if it is a file, else those of the first pattern that has any."""
        if self.path.is_file():
            return [self.path]
        for pattern in patterns:
            if found := sorted(self.path.glob(pattern)):
                return found
        raise GlimpseError(f"{self.path} has no {' or '.join(patterns)}. Expected {self.name} as published.")

    def image_file(self, key: str, *names: str) -> Path:
        """Return the first of `names`, below the task's folder, that exists. key: the question that asks for it."""
        root = self.path.parent if self.path.is_file() else self.path
        for name in names:
            if (root / name).is_file():
                return root / name
        places = " or ".join(str(root / name) for name in names)
        raise GlimpseError(f"Question {key}: no image at {places}. Expected {self.name} as published: add the images.")


def value(entry: Any, name: str, kind: type[Value], where: str) -> Value:
    """Return `entry[name]`. Numbers may stand for texts (ids). Raises GlimpseError unless it is of this kind."""
    found = entry.get(name) if isinstance(entry, dict) else None
    if kind is str and isinstance(found, int) and not isinstance(found, bool):
        found = str(found)
    if not isinstance(found, kind):
        raise GlimpseError(f"{where}: {name!r} is {found!r}. Expected a {kind.__name__}.")
    return found
