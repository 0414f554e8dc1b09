"""Which handler answers to which component."""

from __future__ import annotations

import json
from collections.abc import Callable, Generator, Iterator, Sequence
from contextlib import closing
from dataclasses import fields
from typing import Any

import gradio as gr

from glimpse_core.errors import GlimpseError
from glimpse_core.glimpse.settings import LENGTH
from glimpse_core.ui import gpu
from glimpse_core.ui.flow import Flow
from glimpse_core.ui.gallery import EXAMPLE
from glimpse_core.ui.layout import Parts, badge_value
from glimpse_core.ui.links import Link
from glimpse_core.ui.view import View, new_epoch, status

# The flow has a queue of its own, which can be left.
MODEL: dict[str, Any] = {"concurrency_id": "model", "concurrency_limit": 20}
QUIET: dict[str, Any] = {"show_progress": "hidden", "api_visibility": "private"}
# Controls of these names have changed. They may before the canvas is there: it looks for what it has missed.
RESELECT = """(...values) => {
    window.glimpseControls = Object.fromEntries(%s.map((name, index) => [name, values[index]]));
    if (window.glimpse) window.glimpse.controls(window.glimpseControls);
}"""
# By default Gradio drops events that come while it still closes the one before.
MANY: dict[str, Any] = {"trigger_mode": "multiple"}
# What the status line says, and the first of the suggested questions. The question is not one of the outputs: asking.js
# writes it into its box, unless the visitor has typed another one by then.
TURNED = """(status, questions) => {
    const detail = { status, suggested: (questions || [])[0] };
    document.dispatchEvent(new CustomEvent('glimpse-turned', { detail }));
}"""
REFUSED = "() => document.dispatchEvent(new CustomEvent('glimpse-turned', { detail: { status: { kind: 'error' } } }))"
SETTLED = "() => document.dispatchEvent(new CustomEvent('glimpse-settled'))"


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

    def run_ask(event: gr.EventData, request: gr.Request, *values: Any) -> Iterator[list[Any]]:
        yield from rows(run.ask(request.session_hash, *asked_of(parts, values), told_of(event)))

    def run_again(event: gr.EventData, request: gr.Request, *values: Any) -> Iterator[list[Any]]:
        yield from rows(run.again(request.session_hash, *asked_of(parts, values), told_of(event)))

    def run_stop(request: gr.Request) -> None:
        flow.stop(request.session_hash)

    for trigger, handler in ((parts.status.ask, run_ask), (parts.status.again, run_again)):  # see asking.js
        sent = trigger(handler, inputs_of(parts), outputs_of(parts), **MANY, **QUIET, **MODEL)
        for closed in (sent.then, sent.failure):
            closed(None, None, None, js=SETTLED, **QUIET)
    parts.status.nudge(lambda: None, None, None, concurrency_limit=None, **MANY, **QUIET)
    parts.stop.click(run_stop, None, None, queue=False, **MANY, **QUIET)


def inputs_of(parts: Parts) -> list[Any]:
    """The components that say what is asked."""
    return [parts.pictures, parts.question, *parts.controls.values()]


def asked_of(parts: Parts, values: Sequence[Any]) -> tuple[list[str], str, dict[str, Any]]:
    """Sources, question and controls by field name, from the values of `inputs_of`."""
    sources, question, *controls = values
    return sources, question, dict(zip(parts.controls, controls, strict=True))


def told_of(event: gr.EventData) -> Any:
    """The settings that the browser sent with an event, in JSON; None for none."""
    return event._data.get("told") if isinstance(event._data, dict) else None


def turn_of(parts: Parts) -> list[Any]:
    """What changes when a visitor turns to other pictures: the outputs of `presenter`."""
    return [parts.pictures, parts.strip, parts.chips, *outputs_of(parts)]


def presenter(flow: Flow) -> Callable[..., list[Any]]:
    """(sources, number of the example or None, visitor's key, link that is opened) -> values for `turn_of`."""

    def present(sources: list[str], chosen: int | None, key: str | None, link: Link | None = None) -> list[Any]:
        try:
            shown = flow.gallery.open(sources, link.question, link.settings) if link else flow.gallery.show(sources)
        except GlimpseError as error:
            return [*[gr.skip()] * 3, *View(status=status(str(error), "error")).row(new_epoch())]
        flow.forget(key)
        view = View(
            canvas=shown.canvas,
            answers=shown.answers,
            inside=shown.inside,
            status=status(running=False, again=shown.result is not None),
        )
        return [sources, {"chosen": chosen}, flow.gallery.questions(sources), *view.row(new_epoch())]

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

    chosen = parts.strip.choose(choose, None, turn, queue=False, **MANY, **QUIET)
    received = parts.upload.upload(receive, [parts.upload], turn, queue=False, **MANY, **QUIET)
    for turned in (chosen, received):
        turned.then(None, [parts.status, parts.chips], None, js=TURNED, **QUIET)
        turned.failure(None, None, None, js=REFUSED, **QUIET)


def _wire_state(page: gr.Blocks, parts: Parts, flow: Flow) -> None:
    rule = {name: control for name, control in parts.controls.items() if name != LENGTH.name}
    for control in rule.values():
        control.change(None, list(rule.values()), None, js=RESELECT % json.dumps(list(rule)), **MANY, **QUIET)

    def tick() -> list[Any]:
        state = badge_value(flow)
        return [state, gr.Timer(active=state["state"] == "loading")]

    def leave(request: gr.Request) -> None:
        flow.visitors.drop(request.session_hash)

    gr.on([parts.timer.tick, page.load], tick, None, [parts.badge, parts.timer], queue=False, **QUIET)
    page.unload(leave)


def rows(views: Generator[View, None, None]) -> Iterator[list[Any]]:
    """The updates as Gradio wants them; closing this closes the work, too."""
    epoch = new_epoch()
    with closing(views):
        for view in views:
            yield view.row(epoch)
    yield View().row(epoch)  # Gradio repeats the last one as it closes the event, when a later one may be shown
