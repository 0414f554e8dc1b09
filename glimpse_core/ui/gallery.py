"""The pictures of a question, named by plain strings: a bundled example, or the path of an upload."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path

from PIL import Image
from torch import Tensor

from glimpse_core.errors import GlimpseError
from glimpse_core.glimpse.boxes import box_mask
from glimpse_core.types import Grid
from glimpse_core.ui import payloads, texts
from glimpse_core.ui.examples import Example
from glimpse_core.ui.messages import Shown
from glimpse_core.ui.pictures import address_of, open_picture
from glimpse_core.ui.results import Result, grids_of

MAX_PICTURES = 4
EXAMPLE = "example:"  # how a bundled picture is named; anything else is the path of an upload


class Gallery:
    """results: stored results by the file name of an example's picture."""

    def __init__(self, examples: tuple[Example, ...], results: Mapping[str, Result] | None = None) -> None:
        self.examples = examples
        self.results = results or {}

    def show(self, sources: Sequence[str]) -> Shown:
        """Pictures with their stored result, if they have one. Raises GlimpseError for one that cannot be used."""
        images, alts, addresses = self.images(sources), self.alts(sources), self.addresses(sources)
        questions, result = self.questions(sources), self.result(sources)
        if result is None:
            return {"questions": questions, "canvas": payloads.pictures_payload(images, alts, addresses)}
        return {
            "questions": questions,
            "canvas": {
                **payloads.stored_payload(result.canvas, alts, addresses),
                **payloads.evidence_payload(self.evidence(sources, result.question, grids_of(result.canvas))),
            },
            "answers": result.answers,
            "inside": result.inside,
            "band": result.band,
            "familiar": result.familiar,
        }

    def result(self, sources: Sequence[str]) -> Result | None:
        """The stored result of these pictures, if there is one."""
        example = self._only(sources)
        return self.results.get(example.path.name) if example else None

    def questions(self, sources: Sequence[str]) -> list[str]:
        """Questions to suggest for these pictures."""
        example = self._only(sources)
        return [question for question, _ in example.questions] if example else []

    def truth(self, sources: Sequence[str], question: str) -> str | None:
        """The true answer, where it is known."""
        example = self._only(sources)
        return example.truth(question) if example else None

    def evidence(self, sources: Sequence[str], question: str, grids: Sequence[Grid]) -> Tensor | None:
        """Which visual tokens the true answer to a question follows from; None where that is not known.

        Returns:
            (N,) bool in raster order, by the rule of `glimpse.boxes`, as in `evaluate`.
        """
        example = self._only(sources)
        boxes = example.evidence.get(question) if example else None
        return box_mask(boxes, grids[0]) if boxes and len(grids) == 1 else None

    def images(self, sources: Sequence[str]) -> list[Image.Image]:
        """The pictures, upright and RGB."""
        if not sources:
            raise GlimpseError(texts.NO_PICTURE)
        if len(sources) > MAX_PICTURES:
            raise GlimpseError(f"{len(sources)} pictures were given. Expected at most {MAX_PICTURES}.")
        return [open_picture(self.path(source)) for source in sources]

    def path(self, source: str) -> Path | str:
        """Where a picture lies."""
        example = self._example(source)
        return example.path if example else source

    def addresses(self, sources: Sequence[str]) -> list[str]:
        """Where a browser gets each picture, relative to the page."""
        return [address_of(self.path(source)) for source in sources]

    def alts(self, sources: Sequence[str]) -> list[str]:
        """What is in each picture, in words."""
        found = [self._example(source) for source in sources]
        return [example.alt if example else "Your picture." for example in found]

    def _only(self, sources: Sequence[str]) -> Example | None:
        return self._example(sources[0]) if len(sources) == 1 else None

    def _example(self, source: str) -> Example | None:
        number = source.removeprefix(EXAMPLE)
        digits = number.isascii() and number.isdecimal()
        known = source.startswith(EXAMPLE) and digits and int(number) < len(self.examples)
        return self.examples[int(number)] if known else None
