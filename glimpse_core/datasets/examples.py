"""Images with questions by index: the interface that training reads from.

A source returns images by index and has no state, so a run can be resumed, and worker processes can read from it.
Questions about one image stay together, because the trainer encodes the image only once.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Protocol

from PIL import Image

from glimpse_core.types import Box


@dataclass(frozen=True)
class Example:
    """One question and its answer.

    boxes: the evidence, normalized to 0..1. type: type of the question; known for the demo world only.
    """

    question: str
    answer: str
    boxes: tuple[Box, ...]
    type: str = ""


@dataclass(frozen=True)
class ImageExamples:
    """One RGB image and questions about it."""

    image: Image.Image
    examples: tuple[Example, ...]


class Source(Protocol):
    """Images with questions, by index.

    count: length of one epoch, None for an endless source; indices may exceed it. identity: JSON values that are equal
    for two sources if and only if their images and questions are; a resumed run compares them.
    """

    count: int | None
    identity: dict[str, Any]

    def read(self, index: int) -> ImageExamples:
        """Return one image with its questions.

        Args:
            index: from 0; beyond `count` it goes on with the next epoch.

        Raises:
            GlimpseError: where the entry cannot be read or may not be used.
        """
