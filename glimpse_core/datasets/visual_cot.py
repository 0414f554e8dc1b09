"""Read questions from a JSONL file in the Visual-CoT layout.

One line of the file is one question:
    {"image": "a.jpg", "question": "...", "answer": "...", "bboxs": [[x1, y1, x2, y2], ...]}
`boxes` and `bboxes` are accepted for `bboxs`, and one box need not be wrapped in a list. Boxes are in pixels of the
stored image; if all numbers are from 0 to 1, they are normalized. With `width` and `height` given, the image is not
opened for its size. `dataset`, as published, names a folder below the image root. An empty list means that no part of
the image answers the question.
"""

from __future__ import annotations

import hashlib
import json
import random
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image

from glimpse_core.datasets.examples import Example, ImageExamples
from glimpse_core.errors import GlimpseError
from glimpse_core.types import Box

BOX_FIELDS = ("bboxs", "bboxes", "boxes")


@dataclass(frozen=True)
class Record:
    """One valid line of a JSONL file. The image is opened only when it is needed."""

    line: int
    image: Path
    example: Example


@dataclass(frozen=True)
class Draw:
    """Which lines of a file are used, and how their questions are asked.

    count: number of lines drawn at random, the same ones for the same seed; None: all lines. They are the first `count`
    of numpy's permutation, which is how the `datasets` library shuffles and how the published run chose its 20,000
    (seed 42). template: text around the question, with "{}" in its place. skip_missing: leave out lines whose image
    does not exist, after drawing, as in the published run; otherwise they are an error.
    """

    count: int | None = None
    seed: int = 42
    template: str = "{}"
    skip_missing: bool = False


class JsonlSource:
    """Images of a JSONL file with their questions, in an order that is shuffled anew in each epoch.

    Args:
        path, images, draw: as for `read_jsonl`.
        per_image: maximum number of questions; an image with more is several entries of this source.
        seed: of the order.

    Raises:
        GlimpseError: for the first line that cannot be used, which it names.
    """

    def __init__(
        self,
        path: str | Path,
        *,
        images: str | Path | None = None,
        per_image: int = 8,
        seed: int = 0,
        draw: Draw | None = None,
    ):
        self.path, self.seed = Path(path), seed
        by_image: dict[Path, list[Record]] = {}
        for record in read_jsonl(path, images=images, draw=draw):
            by_image.setdefault(record.image, []).append(record)
        self.groups = [
            tuple(records[start : start + per_image])
            for records in by_image.values()
            for start in range(0, len(records), per_image)
        ]
        self.count: int | None = len(self.groups)
        asked = repr([[(record.line, record.example) for record in group] for group in self.groups])
        self.identity = {"questions": hashlib.sha256(asked.encode()).hexdigest(), "seed": seed}

    def read(self, index: int) -> ImageExamples:
        """Return one image with its questions. Index // count is the epoch, whose order is drawn by it.

        Args:
            index: from 0.

        Raises:
            GlimpseError: where the image cannot be opened.
        """
        epoch, place = divmod(index, len(self.groups))
        order = list(range(len(self.groups)))
        random.Random(f"{self.seed}/{epoch}").shuffle(order)
        group = self.groups[order[place]]
        try:
            image = Image.open(group[0].image).convert("RGB")
        except OSError as error:
            raise GlimpseError(
                f"{self.path}, line {group[0].line}: {group[0].image} cannot be read ({error}). Expected an image "
                "file: replace it, or leave the line out."
            ) from error
        return ImageExamples(image, tuple(record.example for record in group))


def read_jsonl(path: str | Path, *, images: str | Path | None = None, draw: Draw | None = None) -> list[Record]:
    """Read the questions of a file. Blank lines are skipped.

    Args:
        path: the JSONL file.
        images: folder in which images are looked for, as `image`, `dataset/image` and `cot/dataset/image`; None: the
            folder of the file. Images must exist, but are opened only if a size is needed.
        draw: which lines to use; None: all.

    Returns:
        The records in the order of the file.

    Raises:
        GlimpseError: for the first line that cannot be used, which it names, and for a file without questions.
    """
    path, draw = Path(path), draw or Draw()
    if "{}" not in draw.template:
        raise GlimpseError(f'The template is {draw.template!r}. Expected a text with "{{}}" in place of the question.')
    if draw.count is not None and draw.count < 1:
        raise GlimpseError(f"The number of questions to draw is {draw.count}. Expected at least 1.")
    try:
        text = path.read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError) as error:
        raise GlimpseError(
            f"The training data {path} cannot be read ({error}). Expected a JSONL file: give its path."
        ) from error
    lines = [(number, line) for number, line in enumerate(text.split("\n"), 1) if line.strip()]
    if draw.count is not None:
        chosen = np.random.default_rng(draw.seed).permutation(len(lines))[: draw.count]
        lines = [lines[index] for index in sorted(chosen)]
    records = list(_records(lines, path, Path(images) if images else path.parent, draw))
    if not records:
        raise GlimpseError(
            f"{path} holds no question with an image. Expected lines of JSON with image, question, answer and bboxs."
        )
    return records


class _NoImage(ValueError):
    pass


def _records(lines: Sequence[tuple[int, str]], path: Path, root: Path, draw: Draw) -> Iterator[Record]:
    for number, line in lines:
        try:
            yield _record(json.loads(line), number, root, draw.template)
        except json.JSONDecodeError as error:
            raise GlimpseError(
                f"{path}, line {number}: not JSON ({error}). Expected one object per line: correct it."
            ) from error
        except _NoImage as error:
            if not draw.skip_missing:
                raise GlimpseError(f"{path}, line {number}: {error}") from error
        except ValueError as error:
            raise GlimpseError(f"{path}, line {number}: {error}") from error


def _record(entry: Any, line: int, root: Path, template: str) -> Record:
    if not isinstance(entry, dict):
        raise ValueError(f"the line is a {type(entry).__name__}. Expected a JSON object: correct it.")
    texts = {name: _text(entry, name) for name in ("image", "question", "answer")}
    image = _image_path(root, texts["image"], entry.get("dataset"))
    boxes = _boxes(entry, image)
    kind = entry.get("type")
    question = template.replace("{}", texts["question"].strip())
    example = Example(question, texts["answer"].strip(), boxes, kind if isinstance(kind, str) else "")
    return Record(line, image, example)


def _text(entry: dict[str, Any], name: str) -> str:
    value = entry.get(name)
    if not isinstance(value, str) or not value.strip():
        raise ValueError(f"{name!r} is {value!r}. Expected a text that is not empty: add it.")
    return value


def _image_path(root: Path, name: str, dataset: Any) -> Path:
    candidates = [root / name]
    if isinstance(dataset, str) and dataset:
        candidates += [root / dataset / name, root / "cot" / dataset / name]
    for candidate in candidates:
        if candidate.is_file():
            return candidate
    places = " or ".join(map(str, candidates))
    raise _NoImage(f"no image at {places}. Expected one: give the folder of the images, or leave the line out.")


def _boxes(entry: dict[str, Any], image: Path) -> tuple[Box, ...]:
    field = next((name for name in BOX_FIELDS if name in entry), None)
    if field is None:
        raise ValueError(
            f"no boxes. Expected one of {', '.join(BOX_FIELDS)}: add it, as an empty list if nothing is evidence."
        )
    value = entry[field]
    boxes = [value] if isinstance(value, list) and value and not isinstance(value[0], list) else value
    if not isinstance(boxes, list) or not all(isinstance(box, list) and len(box) == 4 for box in boxes):
        raise ValueError(f"{field!r} is {value!r}. Expected a list of boxes [x1, y1, x2, y2]: correct it.")
    numbers = [number for box in boxes for number in box]
    if not all(isinstance(number, int | float) and not isinstance(number, bool) for number in numbers):
        raise ValueError(f"{field!r} is {value!r}. Expected numbers only: correct it.")
    width, height = (1.0, 1.0) if all(0 <= number <= 1 for number in numbers) else _size(entry, image)
    return tuple(_normalized(box, width, height) for box in boxes)


def _size(entry: dict[str, Any], image: Path) -> tuple[float, float]:
    width, height = entry.get("width"), entry.get("height")
    if isinstance(width, int | float) and isinstance(height, int | float) and min(width, height) > 0:
        return width, height
    try:
        with Image.open(image) as opened:
            return opened.size
    except OSError as error:
        raise ValueError(
            f"{image} cannot be read ({error}). Expected an image file: replace it, or give width and height."
        ) from error


def _normalized(box: Sequence[float], width: float, height: float) -> Box:
    """Return the box normalized to 0..1 and clipped to the image; some published boxes exceed it."""
    x1, y1, x2, y2 = box[0] / width, box[1] / height, box[2] / width, box[3] / height
    if not (x1 <= x2 and y1 <= y2):
        raise ValueError(f"box {list(box)} ends before it begins. Expected x1 <= x2 and y1 <= y2: correct it.")
    if x1 >= 1 or y1 >= 1 or x2 < 0 or y2 < 0:
        raise ValueError(
            f"box {list(box)} is outside of the image. Expected one within {width:g} x {height:g} pixels: correct it."
        )
    return max(x1, 0.0), max(y1, 0.0), min(x2, 1.0), min(y2, 1.0)
