"""Everything that cannot be used is refused in words, by the handlers that the page and the API share."""

from __future__ import annotations

from pathlib import Path

import pytest

from glimpse_core.errors import GlimpseError
from glimpse_core.ui.inputs import read_options, read_question
from tests.support.bad_inputs import LENGTHS, NOT_HERE, PICTURES, QUESTIONS, SETTINGS, write
from tests.ui.test_ui import ASK, make_flow


def refused(views: list, message: str) -> None:
    """The last update names what is wrong, and says of no answer that it runs."""
    last = views[-1]
    assert last.status["kind"] == "error"
    assert message in last.status["text"]
    answers = last.answers or {"full": None, "kept": None}
    assert not [side for side in ("full", "kept") if answers[side] and answers[side]["state"] == "running"]


def test_the_table_is_long_enough() -> None:
    assert len(PICTURES) >= 25 and len(QUESTIONS) >= 9
    assert len(SETTINGS) + len(NOT_HERE) + len(LENGTHS) >= 35


def test_every_bad_picture_is_refused(tmp_path: Path) -> None:
    pages, model = make_flow()
    for name, (_, message) in PICTURES.items():
        refused(list(pages.ask("me", [str(write(tmp_path, name))], *ASK[1:])), message)
    assert model.sessions == []
    assert list(pages.ask("me", *ASK))[-1].status == {"text": "", "kind": "info"}  # alive


def test_every_bad_question_and_setting_is_refused() -> None:
    """By both handlers, and before the model is used; by the second one also beside answers that are there."""
    pages, model = make_flow()
    bad = [((ASK[0], question, *ASK[2:]), message) for question, message in QUESTIONS]
    bad += [((*ASK[:2], settings, ASK[3]), message) for settings, message in SETTINGS]
    bad += [((*ASK[:3], length), message) for length, message in LENGTHS]
    for given, message in bad:
        refused(list(pages.ask("me", *given)), message)
        refused(list(pages.again("me", *given)), message)
    assert model.sessions == []
    list(pages.ask("me", *ASK))
    (session,) = model.sessions
    answered = len(session.masks)
    assert answered == 2  # pruned and full
    for given, message in [*bad, *(((*ASK[:2], settings, ASK[3]), message) for settings, message in NOT_HERE)]:
        refused(list(pages.again("me", *given)), message)
    assert model.sessions == [session] and len(session.masks) == answered


def test_corners_of_several_pictures_are_refused() -> None:
    with pytest.raises(GlimpseError, match="Anchors are top left, for 2 pictures"):
        read_options({"anchors": ["tl"]}, images=2)
    assert read_options({"anchors": ["tl"]}, images=1).settings.selection.anchors == ("tl",)


ODD = [
    "?",
    "\U0001f441 \U0001f3f3",
    "\u0645\u0627 \u0647\u0630\u0627\u061f",
    "\u202eleft",
    "a\0b",
    "half \ud83d",
    "<|image_pad|>" * 9,
]


@pytest.mark.parametrize("question", ODD, ids=range(len(ODD)))
def test_odd_questions_are_taken(question: str) -> None:
    read_question(question).encode("utf-8")
