"""The row of buttons that save what is on the page, and the link that brings it back: events, without layout."""

from __future__ import annotations

from collections.abc import Callable
from itertools import count
from typing import Any

import gradio as gr

from glimpse_core.errors import GlimpseError
from glimpse_core.ui import texts
from glimpse_core.ui.export import export
from glimpse_core.ui.flow import Flow
from glimpse_core.ui.gallery import EXAMPLE
from glimpse_core.ui.links import Link, read_link
from glimpse_core.ui.view import new_epoch, status

QUIET = {"show_progress": "hidden", "api_visibility": "private", "queue": False, "trigger_mode": "multiple"}

_serial = count(1)


def wire(
    demo: gr.Blocks,
    flow: Flow,
    panel: gr.HTML,
    present: Callable[[list[str], int | None, str | None], list[Any]],
    turn: list[Any],
    asked: list[Any],
    line: gr.HTML,
) -> None:
    """Let the panel save and link, and let a link restore the page when it is opened.

    present, turn: the page's own way to other pictures, and its outputs. asked: pictures, question, threshold,
    share, floor, length. line: the status line, one of `turn`.
    """

    def save(sources: list[str], event: gr.EventData, request: gr.Request) -> dict[str, Any]:
        visitor = flow.visitors.get(request.session_hash)
        stored = None if visitor.view else flow.gallery.result(sources)  # what is shown before anything has run
        record, shown = (stored.record, sources) if stored else (visitor.record, visitor.sources)
        try:
            file = export(event._data.get("kind"), record, lambda: flow.gallery.images(shown))
        except GlimpseError as error:
            return {"serial": next(_serial), "note": str(error)}
        return {"serial": next(_serial), "file": file}

    def link(sources: list[str], text: str, threshold: Any, share: Any, floor: Any, length: Any) -> dict[str, Any]:
        number = sources[0].removeprefix(EXAMPLE) if len(sources) == 1 and sources[0].startswith(EXAMPLE) else None
        made = Link(None if number is None else int(number), text.strip(), threshold, share, floor, length)
        note = texts.LINK_WITHOUT_PICTURES if number is None and sources else ""
        return {"serial": next(_serial), "link": made.query(), "note": note}

    def restore(request: gr.Request) -> list[Any]:
        found, problems = read_link(dict(request.query_params), len(flow.gallery.examples))
        values = [found.threshold, found.share, found.floor, found.length]
        sliders = [gr.skip() if value is None else value for value in values]
        row = [gr.skip()] * len(turn)
        if found.example is not None:
            row = present([f"{EXAMPLE}{found.example}"], found.example, request.session_hash)
        if found.question is not None:
            row[turn.index(asked[1])] = found.question
        if problems:
            row[turn.index(line)] = {**status(" ".join(problems), "error"), "epoch": new_epoch()}
        return [*row, *sliders]

    panel.save(save, asked[:1], [panel], **QUIET)
    panel.link(link, asked, [panel], **QUIET)
    demo.load(restore, None, [*turn, *asked[2:]], **QUIET)
