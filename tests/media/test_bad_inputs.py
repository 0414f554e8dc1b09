"""Everything that cannot be used is refused in words, by the handlers that the page and the API share."""

from __future__ import annotations

from pathlib import Path

import pytest

from glimpse_core.ui.inputs import read_question
from tests.support.bad_inputs import CONTROLS, PICTURES, QUESTIONS, TOLD, write
from tests.ui.test_ui import ASK, make_flow


def refused(views: list, message: str) -> None:
    assert views[-1].status["kind"] == "error"
    assert message in views[-1].status["text"]
    assert views[-1].status["running"] is False


def test_the_table_is_long_enough() -> None:
    assert len(PICTURES) + len(QUESTIONS) + len(CONTROLS) + len(TOLD) >= 60


def test_every_bad_picture_is_refused(tmp_path: Path) -> None:
    pages, model = make_flow()
    for name, (_, message) in PICTURES.items():
        refused(list(pages.ask("me", [str(write(tmp_path, name))], *ASK[1:])), message)
    assert model.sessions == []
    assert list(pages.ask("me", *ASK))[-1].status["text"] == ""  # alive


def test_every_bad_question_and_setting_is_refused() -> None:
    pages, model = make_flow()
    for question, message in QUESTIONS:
        refused(list(pages.ask("me", ASK[0], question, ASK[2])), message)
    assert model.sessions == []
    for name, value, message in CONTROLS:
        refused(list(pages.again("me", *ASK[:2], ASK[2] | {name: value})), message)
    for told, message in TOLD:
        refused(list(pages.again("me", *ASK, told)), message)
    assert all(session.masks == [] for session in model.sessions)


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
