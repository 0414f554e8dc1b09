"""One update of the page, and what the answers panel shows when both answers are there, or never will be."""

from __future__ import annotations

from dataclasses import dataclass, fields
from itertools import count
from typing import Any

import gradio as gr

from glimpse_core.ui import compare, payloads, texts

_serial = count(1)


@dataclass
class View:
    """One update of the page; what is left out stays as it is. The names and their order are those of `Parts`."""

    canvas: Any = None
    answers: Any = None
    inside: Any = None
    status: Any = None
    ask: Any = None
    stop: Any = None
    again: Any = None
    random: Any = None
    inverse: Any = None

    def row(self, epoch: int) -> list[Any]:
        """One update per output component; those of our panels are marked with the epoch."""
        values = {field.name: getattr(self, field.name) for field in fields(self)}
        for name in ("canvas", "answers", "inside", "status"):
            if values[name] is not None:
                values[name] = {**values[name], "epoch": epoch}
        return [gr.skip() if value is None else value for value in values.values()]


def new_epoch() -> int:
    """A number for an action of a visitor; whatever begins later has a higher one."""
    return next(_serial)


def status(text: str = "", kind: str = "info") -> dict[str, Any]:
    """The line under the question. kind: info, busy or error. Never equal to the one before, so it is always drawn."""
    return {"text": text, "kind": kind, "serial": next(_serial)}


def buttons(running: bool, again: bool | None) -> dict[str, Any]:
    """Which buttons can be pressed. again: there are scores to choose other tokens from; None leaves it as it was."""
    more = None if again is None else gr.update(interactive=again and not running)
    return {
        "ask": gr.update(interactive=not running),
        "stop": gr.update(interactive=running),
        **dict.fromkeys(("again", "random", "inverse"), more),
    }


def text_of(answer: dict[str, Any]) -> str:
    """The plain text of one answer's payload."""
    return "".join(piece for piece, _ in answer["pieces"])


def judged(view: dict[str, Any]) -> dict[str, Any]:
    """Both answers are there: mark the words that differ and say whether any do."""
    left, right = text_of(view["full"]), text_of(view["kept"])
    full, kept = compare.mark(left, right)
    same = compare.same(left, right)
    return {
        **view,
        "full": {**view["full"], "pieces": [list(piece) for piece in full]},
        "kept": {**view["kept"], "pieces": [list(piece) for piece in kept]},
        "verdict": {"same": same, "text": texts.verdict(same, finished=True)},
    }


def closed(view: dict[str, Any]) -> dict[str, Any]:
    """The answers as they stood, with nothing running any more."""
    if not view.get("kept") and not view.get("full"):
        return payloads.idle_answers() | {"question": view.get("question", ""), "note": ""}
    ended = dict(view)
    for name in ("full", "kept"):
        if ended.get(name) and ended[name]["state"] in ("running", "cancelled"):
            ended[name] = {**ended[name], "state": "cancelled"}
            ended["verdict"] = {"same": None, "text": texts.verdict(False, finished=False)}
    return ended
