"""The row of buttons that save what is on the page, and the link that brings it back: events, without layout."""

from __future__ import annotations

from dataclasses import replace
from itertools import count
from typing import Any

import gradio as gr

from glimpse_core.errors import GlimpseError
from glimpse_core.glimpse.settings import LENGTH, changed, value_of
from glimpse_core.glimpse.settings.codec import BY_NAME
from glimpse_core.glimpse.settings.interfaces import slider
from glimpse_core.types import ManualEdits
from glimpse_core.ui import texts
from glimpse_core.ui.events import asked_of, inputs_of, presenter, told_of, turn_of
from glimpse_core.ui.export import export
from glimpse_core.ui.flow import Flow
from glimpse_core.ui.gallery import EXAMPLE
from glimpse_core.ui.inputs import read_options
from glimpse_core.ui.layout import Parts
from glimpse_core.ui.links import Link, read_link
from glimpse_core.ui.view import new_epoch, status

OPENED = "() => document.dispatchEvent(new CustomEvent('glimpse-opened'))"  # see asking.js
QUIET: dict[str, Any] = {
    "show_progress": "hidden",
    "api_visibility": "private",
    "queue": False,
    "trigger_mode": "multiple",
}

_serial = count(1)


def wire(page: gr.Blocks, flow: Flow, parts: Parts) -> None:
    """Let the panel save and link, and let a link restore the page when it is opened."""
    present, turn = presenter(flow), turn_of(parts)

    def save(sources: list[str], event: gr.EventData, request: gr.Request) -> dict[str, Any]:
        visitor = flow.visitors.get(request.session_hash)
        stored = None if visitor.view else flow.gallery.result(sources)  # what is shown before anything has run
        record, shown = (stored.record, sources) if stored else (visitor.record, visitor.sources)
        try:
            file = export(event._data.get("kind"), record, lambda: flow.gallery.images(shown))
        except GlimpseError as error:
            return {"serial": next(_serial), "note": str(error)}
        return {"serial": next(_serial), "file": file}

    def link(event: gr.EventData, *values: Any) -> dict[str, Any]:
        try:
            query, note = link_of(*asked_of(parts, values), told_of(event))
        except GlimpseError as error:
            return {"serial": next(_serial), "note": str(error)}
        return {"serial": next(_serial), "link": query, "note": note}

    def restore(request: gr.Request) -> list[Any]:
        found, problems = read_link(dict(request.query_params), len(flow.gallery.examples))
        row, question = [gr.skip()] * len(turn), found.question
        if found.example is not None:
            sources = [f"{EXAMPLE}{found.example}"]
            row = present(sources, found.example, request.session_hash, found)
            question = question or next(iter(flow.gallery.questions(sources)), None)
        if problems:
            row[turn.index(parts.status)] = {**status(" ".join(problems), "error"), "epoch": new_epoch()}
        asked = gr.skip() if question is None else question
        return [*row, asked, *(update_of(found, name) for name in parts.controls)]

    panel = parts.export
    panel.save(save, [parts.pictures], [panel], **QUIET)
    panel.link(link, inputs_of(parts), [panel], **QUIET)
    opened = page.load(restore, None, [*turn, parts.question, *parts.controls.values()], **QUIET)
    for closed in (opened.then, opened.failure):
        closed(None, None, None, js=OPENED, **QUIET)


def link_of(sources: list[str], question: str, controls: dict[str, Any], told: Any) -> tuple[str, str]:
    """The link to what is on the page, as a query string, and a note on what it leaves out. Raises GlimpseError.

    Tokens are painted on one picture, so a link without the picture has none of them.
    """
    options = read_options(controls, told, len(sources))
    number = sources[0].removeprefix(EXAMPLE) if len(sources) == 1 and sources[0].startswith(EXAMPLE) else None
    settings = options.settings if number is not None else replace(options.settings, edits=ManualEdits())
    length = options.sampling.max_new_tokens
    made = Link(None if number is None else int(number), question.strip(), settings, length)
    return made.query(), texts.LINK_WITHOUT_PICTURES if number is None and sources else ""


def update_of(link: Link, name: str) -> Any:
    """What a control of the page is set to for a link; nothing where the link says nothing."""
    field = LENGTH if name == LENGTH.name else BY_NAME[name]
    given = link.length is not None if field is LENGTH else field in changed(link.settings)
    if not given:
        return gr.skip()
    value = link.length if field is LENGTH else value_of(link.settings, field)
    return gr.update(**slider(field, value)) if field.control else gr.update(value=field.to_control(value))
