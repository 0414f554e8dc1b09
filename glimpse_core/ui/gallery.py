"""The pictures of a question, named by plain strings: a bundled example, or the path of an upload."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from pathlib import Path

from PIL import Image

from glimpse_core.errors import GlimpseError
from glimpse_core.types import Settings
from glimpse_core.ui import payloads, texts
from glimpse_core.ui.examples import Example
from glimpse_core.ui.messages import Answers, Canvas, Inside
from glimpse_core.ui.pictures import open_picture
from glimpse_core.ui.results import Result, kept_of

MAX_PICTURES = 4
EXAMPLE = "example:"  # how a bundled picture is named; anything else is the path of an upload


@dataclass(frozen=True)
class Shown:
    """What the page shows for chosen pictures before anything has run. result: of an example that has a stored one."""

    canvas: Canvas
    answers: Answers
    inside: Inside
    result: Result | None = None


class Gallery:
    """results: stored results by the file name of an example's picture."""

    def __init__(self, examples: tuple[Example, ...], results: Mapping[str, Result] | None = None) -> None:
        self.examples = examples
        self.results = results or {}

    def show(self, sources: list[str]) -> Shown:
        """Pictures with their stored result, if they have one. Raises GlimpseError for one that cannot be used."""
        images, alts = self.images(sources), self.alts(sources)
        result = self.result(sources)
        if result is None:
            empty = payloads.idle_answers()
            return Shown(payloads.pictures_payload(images, alts), empty, payloads.idle_inside())
        return Shown(payloads.stored_payload(result.canvas, images, alts), result.answers, result.inside, result)

    def open(self, sources: list[str], question: str | None, settings: Settings) -> Shown:
        """As `show`, with settings that a link asks for. question: the link's; None is the first suggestion."""
        shown, asked = self.show(sources), question or next(iter(self.questions(sources)), "")
        ready = shown.result is not None and shown.result.question == asked
        mask = kept_of(shown.result, settings).mask if shown.result and ready else None
        return replace(shown, canvas={**shown.canvas, **payloads.linked_payload(settings, asked, mask)})

    def result(self, sources: list[str]) -> Result | None:
        """The stored result of these pictures, if there is one."""
        example = self._only(sources)
        return self.results.get(example.path.name) if example else None

    def questions(self, sources: list[str]) -> list[str]:
        """Questions to suggest for these pictures."""
        example = self._only(sources)
        return [question for question, _ in example.questions] if example else []

    def truth(self, sources: list[str], question: str) -> str | None:
        """The true answer, where it is known."""
        example = self._only(sources)
        return example.truth(question) if example else None

    def images(self, sources: list[str]) -> list[Image.Image]:
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

    def alts(self, sources: list[str]) -> list[str]:
        """What is in each picture, in words."""
        found = [self._example(source) for source in sources]
        return [example.alt if example else "Your picture." for example in found]

    def _only(self, sources: list[str]) -> Example | None:
        return self._example(sources[0]) if len(sources) == 1 else None

    def _example(self, source: str) -> Example | None:
        number = source.removeprefix(EXAMPLE)
        digits = number.isascii() and number.isdecimal()
        known = source.startswith(EXAMPLE) and digits and int(number) < len(self.examples)
        return self.examples[int(number)] if known else None
