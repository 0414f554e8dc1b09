"""The Methods tab: the Ask tab's picture and question under several methods at one budget, as small multiples."""

from __future__ import annotations

import json
from collections.abc import Generator, Iterator
from contextlib import closing
from itertools import count
from typing import Any

import gradio as gr

from glimpse_core.errors import Cancelled, GlimpseError
from glimpse_core.types import Grid
from glimpse_core.ui import comparison, texts
from glimpse_core.ui.component import component
from glimpse_core.ui.flow import Flow, failure, log
from glimpse_core.ui.gpu import LIMIT, borrow
from glimpse_core.ui.inputs import read_question, read_sampling
from glimpse_core.ui.pictures import data_url
from glimpse_core.ui.runs import Runs, free_at_the_end

USUAL = ["glimpse", "random", "grid", "fastv", "divprune", "visionzip"]
PRIVATE: dict[str, Any] = {"api_visibility": "private", "show_progress": "hidden"}

_serial = count(1)


class Trying:
    """The work of the tab for any visitor; `runs` knows which of it is to stop."""

    def __init__(self, flow: Flow) -> None:
        self.flow, self.runs = flow, Runs()
        self._there = borrow(self._work, lambda *_: LIMIT)

    def run(
        self, key: str | None, sources: list[str], question: str, names: list[str], percent: float, length: float
    ) -> Generator[dict[str, Any], None, None]:
        """What the panel shows, from the first word to the last."""
        done: list[comparison.MethodResult] = []
        yield _shown(done, texts.LOOKING, True)
        try:
            text, sampling = read_question(question), read_sampling(length)
            comparison.check(names, percent)
            names = [name for _, name in comparison.offered() if name in names]  # not in the order of the clicks
            with (
                self.runs.one(key) as stop,
                closing(self._there(key, sources, text, names, percent, sampling.max_new_tokens)) as steps,
            ):
                for result in steps:
                    done.append(result)
                    if stop.is_set():
                        raise Cancelled(texts.STOPPED)
                    yield _shown(done, f"{len(done)} of {len(names) + 1} done…", True)
            yield _shown(done, "All done.", False) | self._files(sources, text, percent, done)
        except Cancelled:
            if not self.runs.replaced(key, stop):  # else the later run reports
                yield _shown(done, f"Stopped after {len(done)} of {len(names) + 1}.", False)
        except GlimpseError as error:
            yield _shown(done, str(error), False, "error")
        except Exception as error:
            log.exception("the methods tab failed")
            yield _shown(done, failure(error), False, "error")

    def _work(
        self, key: str | None, sources: list[str], question: str, names: list[str], percent: float, length: int
    ) -> Iterator[comparison.MethodResult]:
        stop = self.runs.stops.get(key or "")
        images, model = self.flow.gallery.images(sources), self.flow.holder.wait(stop)
        with self.flow.queue.ticket() as ticket:
            while ticket.ahead(0.2):
                if stop is not None and stop.is_set():
                    raise Cancelled(texts.STOPPED)
            session = self.flow.start(model, images, question, cancel=stop)
        steps = comparison.run_methods(session, images, names, percent, read_sampling(length), stop)
        while True:
            with self.flow.queue.ticket() as ticket:  # other visitors come in between two methods
                while ticket.ahead(0.2):
                    if stop is not None and stop.is_set():
                        raise Cancelled(texts.STOPPED)
                result = next(steps, None)
            if result is None:
                return
            yield result | {"grids": [[grid.rows, grid.cols, grid.frame] for grid in session.grids]}

    def _files(
        self, sources: list[str], question: str, percent: float, done: list[comparison.MethodResult]
    ) -> dict[str, Any]:
        """What can be saved at the end: everything as JSON, the small multiples as one picture."""
        plain = [{name: value for name, value in result.items() if name != "src"} for result in done]
        value = {"question": question, "percent": percent, "methods": plain}
        try:
            grids = [Grid(*grid) for grid in done[0]["grids"]]
            picture = data_url(comparison.sheet(self.flow.gallery.images(sources), grids, done))
        except GlimpseError:
            picture = None
        return {"json": json.dumps(value, ensure_ascii=False), "picture": picture}


def add(page: gr.Blocks, flow: Flow, pictures: gr.State, question: gr.Textbox, length: gr.Slider) -> None:
    """Build the tab's content and bind it, inside an open tab of `page`. The inputs are the Ask tab's own."""
    trying = Trying(flow)
    gr.Markdown(texts.METHODS)
    with gr.Row(equal_height=False):
        names = gr.CheckboxGroup(
            comparison.offered(), value=USUAL, label="Methods, beside all tokens", scale=3, elem_id="methods-names"
        )
        with gr.Column(scale=2, min_width=280):
            percent = gr.Slider(1, 100, value=11, step=1, label="Budget (% of the visual tokens)")
            with gr.Row():
                go = gr.Button("Compare", variant="primary", elem_id="methods-run")
                stop = gr.Button("Stop", interactive=False, elem_id="methods-stop")
    panel = component("methods", _shown([], "", False))

    def start(request: gr.Request, *options: Any) -> Iterator[list[Any]]:
        with closing(trying.run(request.session_hash, *options)) as updates:
            for value in updates:
                yield [value, gr.Button(interactive=False), gr.Button(interactive=value["busy"])]

    def halt(request: gr.Request) -> None:
        trying.runs.stop(request.session_hash)

    inputs = [pictures, question, names, percent, length]
    ran = go.click(start, inputs, [panel, go, stop], concurrency_limit=4, **PRIVATE)
    free_at_the_end(ran, go, stop, **PRIVATE)
    stop.click(halt, None, None, queue=False, **PRIVATE)
    page.unload(halt)


def _shown(done: list[comparison.MethodResult], message: str, busy: bool, kind: str = "info") -> dict[str, Any]:
    return {"serial": next(_serial), "results": list(done), "message": message, "busy": busy, "kind": kind}
