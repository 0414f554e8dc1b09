"""Which handler answers to which component."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import closing
from dataclasses import fields
from typing import Any

import gradio as gr

from glimpse_core.errors import GlimpseError
from glimpse_core.ui import gpu
from glimpse_core.ui.flow import Flow
from glimpse_core.ui.gallery import EXAMPLE
from glimpse_core.ui.layout import Parts, badge_value
from glimpse_core.ui.view import View, buttons, new_epoch, status

MODEL = {"concurrency_id": "model", "concurrency_limit": 20}  # they stand in the flow's own line, which can be left
QUIET = {"show_progress": "hidden", "api_visibility": "private"}
RESELECT = "(...values) => { if (window.glimpse) window.glimpse.settings(...values); }"
# Enter is ignored while a question is being answered.
SENT = """() => {
    if (document.querySelector('#glimpse-go').disabled) return;
    document.dispatchEvent(new CustomEvent('glimpse-say', { detail: 'Waiting for the model…' }));
}"""
STOPPING = "() => document.dispatchEvent(new CustomEvent('glimpse-say', { detail: 'Stopping…' }))"


def with_hand(control: str) -> str:
    """JavaScript that puts what was painted in the place of the last input. control: as in `inputs.Hand`."""
    return f"""(...values) => {{
        document.dispatchEvent(new CustomEvent('glimpse-say', {{ detail: 'Waiting for the model…' }}));
        return [...values.slice(0, -1), window.glimpse.hand({control})];
    }}"""


def outputs_of(parts: Parts) -> list[Any]:
    """The components of one `View`, in its order."""
    return [getattr(parts, field.name) for field in fields(View)]


def wire(page: gr.Blocks, parts: Parts, flow: Flow) -> None:
    """Bind everything, while `page` is open."""
    _wire_asking(parts, flow)
    _wire_choosing(parts, flow)
    _wire_state(page, parts, flow)


def _wire_asking(parts: Parts, flow: Flow) -> None:
    run = gpu.runner(flow)

    def run_ask(request: gr.Request, *values: Any) -> Iterator[list[Any]]:
        yield from rows(run.ask(request.session_hash, *values))

    def run_again(request: gr.Request, *values: Any) -> Iterator[list[Any]]:
        yield from rows(run.again(request.session_hash, *values))

    def run_stop(request: gr.Request) -> None:
        flow.stop(request.session_hash)

    def pick(sources: list[str], event: gr.EventData, request: gr.Request) -> str:
        flow.stop(request.session_hash)  # whatever runs gives way to this question
        suggestions, number = flow.gallery.questions(sources), event._data.get("index")
        return suggestions[number] if isinstance(number, int) and 0 <= number < len(suggestions) else gr.skip()

    asked = [parts.pictures, parts.question, *parts.settings]
    outputs = outputs_of(parts)
    # First, because the browser begins with one listener only when those before it have been answered.
    gr.on([parts.ask.click, parts.question.submit], None, None, None, js=SENT, **QUIET)
    gr.on([parts.ask.click, parts.question.submit], run_ask, asked, outputs, **QUIET, **MODEL)
    picked = parts.chips.pick(pick, [parts.pictures], [parts.question], queue=False, **QUIET)
    picked.then(run_ask, asked, outputs, **QUIET, **MODEL)
    for button, control in ((parts.again, "undefined"), (parts.random, "'random'"), (parts.inverse, "'inverse'")):
        button.click(run_again, [*asked, parts.hand], outputs, js=with_hand(control), **QUIET, **MODEL)
    parts.stop.click(run_stop, None, None, queue=False, js=STOPPING, **QUIET)


def turn_of(parts: Parts) -> list[Any]:
    """What changes when a visitor turns to other pictures: the outputs of `presenter`."""
    return [parts.pictures, parts.strip, parts.question, parts.chips, *outputs_of(parts)]


def presenter(flow: Flow) -> Callable[[list[str], int | None, str | None], list[Any]]:
    """(sources, number of the example or None, visitor's key) -> values for `turn_of`."""

    def present(sources: list[str], chosen: int | None, key: str | None) -> list[Any]:
        try:
            shown = flow.gallery.show(sources)
        except GlimpseError as error:
            return [*[gr.skip()] * 4, *View(status=status(str(error), "error")).row(new_epoch())]
        flow.forget(key)
        suggestions = flow.gallery.questions(sources)
        view = View(
            canvas=shown.canvas,
            answers=shown.answers,
            inside=shown.inside,
            status=status(),
            **buttons(False, shown.result is not None),
        )
        text = suggestions[0] if suggestions else gr.skip()
        return [sources, {"chosen": chosen}, text, suggestions, *view.row(new_epoch())]

    return present


def _wire_choosing(parts: Parts, flow: Flow) -> None:
    turn, present = turn_of(parts), presenter(flow)

    def choose(event: gr.EventData, request: gr.Request) -> list[Any]:
        number = event._data.get("index")
        if not isinstance(number, int) or not 0 <= number < len(flow.gallery.examples):
            return [gr.skip()] * len(turn)
        return present([f"{EXAMPLE}{number}"], number, request.session_hash)

    def receive(files: list[str] | None, request: gr.Request) -> list[Any]:
        return present(list(files or []), None, request.session_hash)

    parts.strip.choose(choose, None, turn, queue=False, **QUIET)
    # By default Gradio drops an upload that comes while it still tells of the one before.
    parts.upload.upload(receive, [parts.upload], turn, queue=False, trigger_mode="multiple", **QUIET)


def _wire_state(page: gr.Blocks, parts: Parts, flow: Flow) -> None:
    rule = [parts.threshold, parts.share, parts.floor, parts.anchors]
    for control in rule:  # by default Gradio drops a move while it still tells of the one before
        control.change(None, rule, None, js=RESELECT, trigger_mode="multiple", **QUIET)

    def tick() -> list[Any]:
        state = badge_value(flow)
        return [state, gr.Timer(active=state["state"] == "loading")]

    def leave(request: gr.Request) -> None:
        flow.visitors.drop(request.session_hash)

    gr.on([parts.timer.tick, page.load], tick, None, [parts.badge, parts.timer], queue=False, **QUIET)
    page.unload(leave)


def rows(views: Iterator[View]) -> Iterator[list[Any]]:
    """The updates as Gradio wants them; closing this closes the work, too."""
    epoch = new_epoch()
    with closing(views):
        for view in views:
            yield view.row(epoch)
