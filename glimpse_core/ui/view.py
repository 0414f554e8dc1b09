"""One update of the page, and what the answers panel shows when both answers are there, or never will be."""

from __future__ import annotations

import json
from dataclasses import dataclass, fields
from itertools import count
from typing import Any

import gradio as gr

from glimpse_core.ui import compare, payloads, texts
from glimpse_core.ui.messages import Answer, Answers, Canvas, Inside, Kind, Status

_serial = count(1)


@dataclass
class View:
    """One update of the page; what is left out stays as it is. The names and their order are those of `Parts`."""

    canvas: Canvas | None = None
    answers: Answers | None = None
    inside: Inside | None = None
    status: Status | None = None

    def row(self, epoch: int) -> list[Any]:
        """One update per output component, marked with the epoch.

        As text: of two dicts in a row Gradio sends the difference, and its browser side changes the first one in place,
        which may then still wait there to be shown.
        """
        values = [getattr(self, field.name) for field in fields(self)]
        return [gr.skip() if value is None else _text({**value, "epoch": epoch}) for value in values]


def _text(value: dict[str, Any]) -> str:
    return json.dumps(value).replace("<", "\\u003c")  # Gradio warns of a "<script" in what might be HTML


def new_epoch() -> int:
    """A number for an action of a visitor; whatever begins later has a higher one."""
    return next(_serial)


def status(text: str = "", kind: Kind = "info", *, running: bool | None = None, again: bool | None = None) -> Status:
    """The line under the question, and which buttons can be pressed: asking.js. kind: info, busy or error.

    running: a question is being answered. again: there are scores to choose other tokens from. None leaves it as it
    was. Never equal to the one before, so it is always drawn.
    """
    return {"text": text, "kind": kind, "running": running, "again": again, "serial": next(_serial)}


def text_of(answer: Answer) -> str:
    """The plain text of one answer's payload."""
    return "".join(piece for piece, _ in answer["pieces"])


def judged(view: Answers) -> Answers:
    """Both answers are there: mark the words that differ and say whether any do."""
    first, second = view["full"], view["kept"]
    assert first is not None and second is not None
    left, right = text_of(first), text_of(second)
    full, kept = compare.mark(left, right)
    same = compare.same(left, right)
    return {
        **view,
        "full": {**first, "pieces": full},
        "kept": {**second, "pieces": kept},
        "verdict": {"same": same, "text": texts.verdict(same, finished=True)},
    }


def closed(view: Answers) -> Answers:
    """The answers as they stood, with nothing running any more."""
    if not view["kept"] and not view["full"]:
        return {**payloads.idle_answers(), "question": view["question"], "truth": view["truth"], "note": ""}
    full, kept = _stopped(view["full"]), _stopped(view["kept"])
    ended: Answers = {**view, "full": full, "kept": kept}
    if any(answer and answer["state"] == "cancelled" for answer in (full, kept)):
        ended["verdict"] = {"same": None, "text": texts.verdict(False, finished=False)}
    return ended


def _stopped(answer: Answer | None) -> Answer | None:
    """An answer that does not run any more."""
    return {**answer, "state": "cancelled"} if answer and answer["state"] == "running" else answer
