"""Values from the browser, checked. They can be anything; what passes is safe to hand to the engine."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from glimpse_core.errors import GlimpseError
from glimpse_core.glimpse.settings import ANCHORS, DEFAULT_LENGTH, LENGTH, from_json
from glimpse_core.types import Sampling, Settings
from glimpse_core.ui import texts

MAX_QUESTION = 2000  # characters


@dataclass(frozen=True)
class AskOptions:
    """How a question is answered: which tokens are kept, and how the answer is decoded."""

    settings: Settings
    sampling: Sampling


def read_options(
    settings: Any = None, length: Any = DEFAULT_LENGTH, images: int = 1, base: Settings | None = None
) -> AskOptions:
    """The options that the page asks with.

    Args:
        settings: in JSON, as the browser has them; None for the defaults.
        length: most tokens of an answer.
        images: how many the question is about.
        base: the defaults of the page; None: those of the settings' table.

    Raises:
        GlimpseError: names the first value that cannot be.
    """
    read = (base or Settings()) if settings is None else from_json(settings)
    check_images(read, images)
    return AskOptions(read, read_sampling(length))


def check_images(settings: Settings, images: int) -> None:
    """Raise a GlimpseError for anchors where there is more than one image."""
    if settings.selection.anchors and images > 1:
        corners = ", ".join(ANCHORS.choices[name] for name in settings.selection.anchors)
        raise GlimpseError(
            f"Anchors are {corners}, for {images} pictures. Expected none with more than one picture: clear "
            "“Always keep these corners” or ask about one picture."
        )


def read_sampling(length: Any) -> Sampling:
    """Greedy decoding of at most `length` tokens."""
    return Sampling(max_new_tokens=LENGTH.from_control(length))


def read_question(question: Any) -> str:
    """The question without surrounding space. Raises GlimpseError if there is none or too much of it."""
    text = question.strip() if isinstance(question, str) else ""
    text = text.encode("utf-8", "replace").decode("utf-8")  # half a character cannot be tokenized
    if not text:
        raise GlimpseError(texts.NO_QUESTION)
    if len(text) > MAX_QUESTION:
        raise GlimpseError(
            f"The question has {len(text):,} characters. Expected at most {MAX_QUESTION:,}. Please shorten it."
        )
    return text
