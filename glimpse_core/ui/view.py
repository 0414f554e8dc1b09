"""One update of the page, and what the answers are when both are there, or never will be."""

from __future__ import annotations

from dataclasses import dataclass, fields
from typing import cast

from glimpse_core.ui import compare, payloads, texts
from glimpse_core.ui.messages import Answer, Answers, Canvas, Inside, Kind, Message, Status


@dataclass
class View:
    """One update of the page; what is None stays as it is."""

    canvas: Canvas | None = None
    answers: Answers | None = None
    inside: Inside | None = None
    status: Status | None = None
    familiar: bool | None = None

    def message(self) -> Message:
        """The update as it goes to the browser."""
        parts = {field.name: getattr(self, field.name) for field in fields(self)}
        return cast(Message, {name: value for name, value in parts.items() if value is not None})


def status(text: str = "", kind: Kind = "info") -> Status:
    """The line under the question. kind: info, busy or error."""
    return {"text": text, "kind": kind}


def text_of(answer: Answer) -> str:
    """The plain text of one answer's payload."""
    return "".join(piece for piece, _ in answer["pieces"])


def judged(view: Answers) -> Answers:
    """Both answers are there: mark the words that differ, and say whether any do and which answer is the true one."""
    first, second = view["full"], view["kept"]
    assert first is not None and second is not None
    left, right = text_of(first), text_of(second)
    full, kept = compare.mark(left, right)
    same = compare.same(left, right)
    return {
        **view,
        "full": {**first, "pieces": full, "right": compare.right(left, view["truth"])},
        "kept": {**second, "pieces": kept, "right": compare.right(right, view["truth"])},
        "verdict": {"same": same, "text": texts.verdict(same, finished=True)},
    }


def closed(view: Answers) -> Answers:
    """The answers as they stood, with nothing running any more."""
    if not view["kept"] and not view["full"]:
        return {**payloads.idle_answers(), "question": view["question"], "truth": view["truth"]}
    full, kept = _stopped(view["full"]), _stopped(view["kept"])
    ended: Answers = {**view, "full": full, "kept": kept}
    if any(answer and answer["state"] == "cancelled" for answer in (full, kept)):
        ended["verdict"] = {"same": None, "text": texts.verdict(False, finished=False)}
        return ended
    return judged(ended) if full and kept else ended


def _stopped(answer: Answer | None) -> Answer | None:
    """An answer that does not run any more."""
    return {**answer, "state": "cancelled"} if answer and answer["state"] == "running" else answer
