"""Images with questions by index: what training and evaluation read, wherever it comes from.

A source gives images by index and has no state, so that a run can be resumed and read by worker processes. Questions
about one image stay together, because the trainer pays for the image only once.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Protocol

from PIL import Image

from glimpse_core.types import Box


@dataclass(frozen=True)
class Example:
    """One question. `boxes` are normalized to 0..1 and mark the evidence; `type` is only known for the demo world."""

    question: str
    answer: str
    boxes: tuple[Box, ...]
    type: str = ""


@dataclass(frozen=True)
class ImageExamples:
    """One picture, in RGB, and questions about it."""

    image: Image.Image
    examples: tuple[Example, ...]


class Source(Protocol):
    """Pictures by index. `count` is the length of one epoch, None for an endless source; indices may exceed it.

    identity: JSON values that are the same where every picture and question is: what a resumed run compares.
    """

    count: int | None
    identity: dict[str, Any]

    def read(self, index: int) -> ImageExamples: ...
