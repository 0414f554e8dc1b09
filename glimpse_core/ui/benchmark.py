"""The Benchmark tab: methods and budgets are chosen, questions run one by one, and the table grows while they do.

All of the work is `evaluation.benchmark`; here are the components and what goes into them. Each question stands in the
page's line by itself, so that other visitors' questions come in between. Nothing of what is shown is HTML.
"""

from __future__ import annotations

import tempfile
import threading
from collections.abc import Generator, Iterator
from contextlib import closing
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import gradio as gr

from glimpse_core import pruners
from glimpse_core.errors import Cancelled, GlimpseError
from glimpse_core.evaluation import benchmark as running
from glimpse_core.evaluation.cells import DYNAMIC, read_budget
from glimpse_core.media import plots
from glimpse_core.ui import texts
from glimpse_core.ui.flow import Flow
from glimpse_core.ui.runs import Runs, free_at_the_end
from glimpse_core.world import HELD_OUT

SCENES, FILES = "Drawn scenes, never trained on", "My questions"
BUDGETS = ["5%", "11.1%", "22.2%", "33.3%", DYNAMIC]
USUAL = ["glimpse", "fastv", "random_at_k", "boxes"]
MOST = 200
PRIVATE: dict[str, Any] = {"api_visibility": "private"}


@dataclass
class Parts:
    source: gr.Radio
    files: gr.File
    methods: gr.CheckboxGroup
    budgets: gr.CheckboxGroup
    count: gr.Slider
    run: gr.Button
    stop: gr.Button
    status: gr.Textbox
    running: gr.Column
    table: gr.Dataframe
    ended: gr.Column
    curve: gr.Image
    losses: gr.Markdown
    cases: gr.Gallery
    downloads: gr.File

    @property
    def options(self) -> list[Any]:
        return [self.source, self.files, self.methods, self.budgets, self.count]

    @property
    def outputs(self) -> list[Any]:
        """In the order of `shown`."""
        return [
            self.status, self.running, self.table, self.ended, self.curve, self.losses, self.cases, self.downloads,
            self.run, self.stop,
        ]  # fmt: skip


def add(page: gr.Blocks, flow: Flow) -> None:
    """Build the tab's content and bind it, inside an open tab of `page`."""
    parts, runs = build(), Runs()

    def start(request: gr.Request, *options: Any) -> Iterator[list[Any]]:
        with closing(run(flow, runs, request.session_hash, *options)) as updates:
            yield from updates

    def halt(request: gr.Request) -> None:
        runs.stop(request.session_hash)

    parts.source.change(lambda source: gr.File(visible=source == FILES), parts.source, parts.files, **PRIVATE)
    ran = parts.run.click(start, parts.options, parts.outputs, concurrency_limit=4, show_progress="hidden", **PRIVATE)
    free_at_the_end(ran, parts.run, parts.stop, **PRIVATE)
    parts.stop.click(halt, None, None, queue=False, show_progress="hidden", **PRIVATE)
    page.unload(halt)


def build() -> Parts:
    cards = {name: pruners.card(name) for name in pruners.PRUNERS}  # all tokens are always there; there are no masks
    names = [(card.label, name) for name, card in cards.items() if not card.baseline and "mask" not in card.needs]
    gr.Markdown(texts.BENCHMARK)
    with gr.Row(equal_height=False):
        with gr.Column(scale=3, min_width=300):
            methods = gr.CheckboxGroup(names, value=USUAL, label="Methods, beside all tokens")
        with gr.Column(scale=2, min_width=280):
            budgets = gr.CheckboxGroup(BUDGETS, value=["11.1%", DYNAMIC], label="Budgets (share of the visual tokens)")
            count = gr.Slider(1, MOST, value=24, step=1, label="Questions")
            source = gr.Radio([SCENES, FILES], value=SCENES, label="Where they come from")
            files = gr.File(
                label="One .jsonl in the Visual-CoT layout, and its images",
                file_count="multiple",
                file_types=[".jsonl", "image"],
                visible=False,
            )
    with gr.Row():
        go = gr.Button("Run", variant="primary", elem_id="benchmark-run")
        stop = gr.Button("Stop", interactive=False, elem_id="benchmark-stop")
    status = gr.Textbox(label="Progress", interactive=False, elem_id="benchmark-status")
    with gr.Column(visible=False) as running:
        table = gr.Dataframe(label="Table", show_label=False, interactive=False, wrap=True, elem_id="benchmark-table")
    # Labels of images lie over them in Gradio, here over the points at 100%: so headings stand above.
    with gr.Column(visible=False) as ended:
        with gr.Row(equal_height=False):
            with gr.Column(min_width=300):
                gr.Markdown("#### Share of the unpruned accuracy, over the tokens in the cache")
                curve = gr.Image(show_label=False, buttons=[], type="pil", interactive=False, elem_id="benchmark-curve")
            with gr.Column(min_width=300):
                losses = gr.Markdown(elem_id="benchmark-losses")
                cases = gr.Gallery(show_label=False, columns=2, elem_id="benchmark-cases")
        downloads = gr.File(label="Download", file_count="multiple", interactive=False, elem_id="benchmark-files")
    return Parts(
        source, files, methods, budgets, count, go, stop, status, running, table, ended, curve, losses, cases, downloads
    )  # fmt: skip


def run(
    flow: Flow,
    runs: Runs,
    key: str | None,
    source: str,
    files: list[str] | None,
    methods: list[str],
    budgets: list[str],
    count: float,
) -> Generator[list[Any], None, None]:
    """Updates of `Parts.outputs`, until all questions are answered or somebody stops."""
    empty = [_visible(False), None, _visible(False), None, None, None, None]
    yield ["Waiting for the model…", *empty, *_buttons(True)]
    try:
        with runs.one(key) as stop, tempfile.TemporaryDirectory() as temporary:
            folder = Path(temporary)
            model = flow.holder.wait(stop)
            shares = [read_budget(text) for text in budgets]
            task = _task(source, files, int(min(max(count, 1), MOST)), folder / "sent")
            steps = running.benchmark(model, task, methods, shares, folder / "run", stop=stop)
            with closing(steps):
                while (now := _turn(flow, steps, stop)) is not None and not runs.replaced(key, stop):
                    yield shown(now)
    except Cancelled:
        if not runs.replaced(key, stop):  # else the later run reports
            yield ["Stopped before the first question.", *empty, *_buttons(False)]
    except GlimpseError as error:
        yield [str(error), *empty, *_buttons(False)]


def _turn(flow: Flow, steps: Iterator[running.Progress], stop: threading.Event) -> running.Progress | None:
    """The next question, once it is this visitor's turn."""
    with flow.queue.ticket() as ticket:
        while ticket.ahead(0.2):
            if stop.is_set():
                break  # the generator ends by itself with what it has
        return next(steps, None)


def _task(source: str, files: list[str] | None, count: int, folder: Path) -> Any:
    if source == SCENES:
        return running.world_task(count, HELD_OUT)
    if not files:
        raise GlimpseError("No file was given: add one .jsonl file and the images that it names.")
    return running.gather([Path(path) for path in files], folder, count)


def shown(now: running.Progress) -> list[Any]:
    """One update."""
    table = now.table()
    rows = {"headers": list(table.head), "data": [list(row) for row in table.rows]}
    if not now.finished:
        ending = [gr.skip()] * 5
    else:
        curve, images = now.curve(), [(case.image, caption(case)) for case in now.cases if case.image]
        ending = [
            _visible(True),
            plots.image(curve) if curve else None,
            f"#### {now.losses()}",
            gr.Gallery(images, visible=bool(images)),
            [str(path) for path in now.files],
        ]
    return [now.sentence(), _visible(True), rows, *ending, *_buttons(not now.finished)]


def caption(case: Any) -> str:
    return f"{case.entry['question']} All tokens: {case.full['answer']} Kept {case.kept}: {case.own['answer']}"


def _visible(visible: bool) -> gr.Column:
    return gr.Column(visible=visible)


def _buttons(busy: bool) -> list[Any]:
    return [gr.Button(interactive=False), gr.Button(interactive=busy)]  # Run comes back when the event is closed
