"""The Benchmark tab: methods and budgets are chosen, questions run one by one, and the table grows while they do.

All of the work is `evaluation.benchmark`; here are the components and what goes into them. Each question stands in the
page's queue by itself, so that other visitors' questions come in between. Nothing of what is shown is HTML.

A finished run stays on the server for a while (`finished.py`); the browser remembers its name, and a reload shows it.
"""

from __future__ import annotations

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
from glimpse_core.ui.benchmark_cases import GAINED, LOST, OPEN_SCRIPT, CaseParts, chosen, picked
from glimpse_core.ui.benchmark_cases import build as build_cases
from glimpse_core.ui.finished import Finished
from glimpse_core.ui.flow import Flow
from glimpse_core.ui.runs import Runs, free_at_the_end
from glimpse_core.world import HELD_OUT

SCENES, FILES = "Drawn scenes, never trained on", "My questions"
BUDGETS = ["5%", "11.1%", "22.2%", "33.3%", DYNAMIC]
USUAL = ["glimpse", "attention", "fastv", "random_at_k", "boxes"]
MOST = 200
PRIVATE: dict[str, Any] = {"api_visibility": "private"}
STORED = "glimpse-benchmark"  # under which the browser remembers the last finished run
GONE = "This run is no longer on the server: run it again. (Results are kept for an hour.)"


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
    note: gr.Markdown
    ended: gr.Column
    outcome: gr.Markdown
    curve: gr.Image
    side: gr.Column
    cases: CaseParts
    downloads: gr.File
    last: gr.BrowserState

    @property
    def options(self) -> list[Any]:
        return [self.source, self.files, self.methods, self.budgets, self.count]

    @property
    def outputs(self) -> list[Any]:
        """In the order of `shown`."""
        return [self.status, self.running, self.table, self.note, *self.ending, self.run, self.stop, self.last]

    @property
    def ending(self) -> list[Any]:
        """What is there at the end only, in the order of `ending`."""
        return [
            self.ended, self.outcome, self.curve, self.side, self.cases.cell, self.cases.kind, *self.cases.shown,
            self.downloads,
        ]  # fmt: skip


def add(page: gr.Blocks, flow: Flow) -> None:
    """Build the tab's content and bind it, inside an open tab of `page`."""
    parts, runs, finished = build(flow.trained), Runs(), Finished()

    def start(request: gr.Request, *options: Any) -> Iterator[list[Any]]:
        with closing(run(flow, runs, finished, request.session_hash, *options)) as updates:
            yield from updates

    def filtered(name: Any, cell: Any, kind: Any) -> list[Any]:
        kept = finished.get(name)
        return chosen(kept.changes, cell, kind) if kept else [GONE, *chosen(None, cell, kind)[1:]]

    def pick(name: Any, cell: Any, kind: Any, event: gr.SelectData) -> tuple[Any, Any, gr.Button]:
        kept = finished.get(name)
        found = picked(kept.changes, cell, kind, event.index) if kept else None
        return *(found or (None, None)), gr.Button(interactive=found is not None)

    def reopen(name: Any) -> list[Any]:
        kept = finished.get(name)
        skipped = {parts.run: gr.skip(), parts.stop: gr.skip()}  # they are as they are on a new page
        updates = dict(zip(parts.outputs, shown(kept, name), strict=True)) if kept else {}
        return [(updates | skipped).get(part, gr.skip()) for part in parts.outputs]

    def halt(request: gr.Request) -> None:
        runs.stop(request.session_hash)

    parts.source.change(lambda source: gr.File(visible=source == FILES), parts.source, parts.files, **PRIVATE)
    ran = parts.run.click(start, parts.options, parts.outputs, concurrency_limit=4, show_progress="hidden", **PRIVATE)
    free_at_the_end(ran, parts.run, parts.stop, **PRIVATE)
    parts.stop.click(halt, None, None, queue=False, show_progress="hidden", **PRIVATE)
    cases = parts.cases
    which = [parts.last, cases.cell, cases.kind]
    for control in (cases.cell, cases.kind):  # by hand: `input` and not `change`, which our own updates fire, too
        control.input(filtered, which, cases.shown, **PRIVATE)
    cases.gallery.select(pick, which, [cases.image, cases.query, cases.go], show_progress="hidden", **PRIVATE)
    cases.go.click(None, [cases.image, cases.query], None, js=OPEN_SCRIPT, **PRIVATE)
    page.load(reopen, parts.last, parts.outputs, queue=False, show_progress="hidden", **PRIVATE)
    page.unload(halt)


def choices(trained: bool) -> tuple[list[tuple[str, str]], list[str], list[str]]:
    """Methods as (label, name), those that are chosen at first, and budgets.

    trained: whether the model has glimpse modules; without, what needs them is left out.
    """
    cards = {name: pruners.card(name) for name in pruners.PRUNERS}  # all tokens are always there; there are no masks
    names = [(card.label, name) for name, card in cards.items() if not card.baseline and card.fits(trained)]
    known = [name for _, name in names]
    budgets = BUDGETS if trained else [budget for budget in BUDGETS if budget != DYNAMIC]
    return names, [name for name in USUAL if name in known], budgets


def build(trained: bool = True) -> Parts:
    names, usual, shares = choices(trained)
    gr.Markdown(texts.BENCHMARK + (texts.BENCHMARK_DYNAMIC if trained else ""))
    with gr.Row(equal_height=False):
        with gr.Column(scale=3, min_width=300):
            methods = gr.CheckboxGroup(names, value=usual, label="Methods, beside all tokens")
        with gr.Column(scale=2, min_width=280):
            first = [budget for budget in shares if budget in ("11.1%", DYNAMIC)]
            budgets = gr.CheckboxGroup(shares, value=first, label="Budgets (share of the visual tokens)")
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
        note = gr.Markdown(elem_id="benchmark-note")
    last = gr.BrowserState(None, storage_key=STORED, secret=STORED)
    return Parts(
        source, files, methods, budgets, count, go, stop, status, running, table, note, **_ending(), last=last
    )  # fmt: skip


def _ending() -> dict[str, Any]:
    """The components of `Parts.ending`. Labels of images lie over them in Gradio: so headings stand above."""
    with gr.Column(visible=False) as ended:
        outcome = gr.Markdown(elem_id="benchmark-outcome")
        with gr.Row(equal_height=False):
            with gr.Column(min_width=300):
                gr.Markdown("#### Share of the unpruned accuracy, over the tokens in the cache")
                curve = gr.Image(show_label=False, buttons=[], type="pil", interactive=False, elem_id="benchmark-curve")
            with gr.Column(min_width=300, visible=False, elem_id="benchmark-changes") as side:
                cases = build_cases()
        downloads = gr.File(label="Download", file_count="multiple", interactive=False, elem_id="benchmark-files")
    return {
        "ended": ended, "outcome": outcome, "curve": curve, "side": side, "cases": cases, "downloads": downloads,
    }  # fmt: skip


def run(
    flow: Flow,
    runs: Runs,
    finished: Finished,
    key: str | None,
    source: str,
    files: list[str] | None,
    methods: list[str],
    budgets: list[str],
    count: float,
) -> Generator[list[Any], None, None]:
    """Updates of `Parts.outputs`, until all questions are answered or somebody stops."""
    yield _empty("Waiting for the model…", True)
    try:
        with runs.one(key) as stop, finished.folder() as folder:
            model = flow.holder.wait(stop)
            shares = [read_budget(text) for text in budgets]
            task = _task(source, files, int(min(max(count, 1), MOST)), folder.path / "sent")
            steps = running.benchmark(model, task, methods, shares, folder.path / "run", stop=stop)
            with closing(steps):
                while (now := _turn(flow, steps, stop)) is not None and not runs.replaced(key, stop):
                    yield shown(now, folder.keep(now) if now.finished else None)
    except Cancelled:
        if not runs.replaced(key, stop):  # else the later run reports
            yield _empty("Stopped before the first question.", False)
    except GlimpseError as error:
        yield _empty(str(error), False)


def _empty(status: str, busy: bool) -> list[Any]:
    """One update without a result. The remembered run stays: a reload shows it until there is another."""
    nothing = [_visible(False), "", None, _visible(False), gr.skip(), LOST, *chosen(None, None, LOST), None]
    return [status, _visible(False), None, "", *nothing, *_buttons(busy), gr.skip()]


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


def shown(now: running.Progress, name: str | None) -> list[Any]:
    """One update. name: under which the finished run can be found again; None while it runs."""
    table = now.table()
    rows = {"headers": list(table.head), "data": [list(row) for row in table.rows]}
    last = gr.skip() if name is None else name
    return [now.sentence(), _visible(True), rows, table.note, *ending(now), *_buttons(not now.finished), last]


def ending(now: running.Progress) -> list[Any]:
    """What is there at the end only."""
    if now.changes is None:
        return [gr.skip()] * 10
    curve, titles, first = now.curve(), now.changes.titles, now.changes.first
    label, gained = first or (now.changes.focus, False)
    kind = GAINED if gained else LOST
    return [
        _visible(True),
        now.changes.sentence(),
        plots.image(curve) if curve else None,
        _visible(first is not None),  # without any change the curve has the whole width
        gr.Dropdown([(title, label) for label, title in titles.items()], value=label),
        kind,
        *chosen(now.changes, label, kind),
        [str(path) for path in now.files],
    ]


def _visible(visible: bool) -> gr.Column:
    return gr.Column(visible=visible)


def _buttons(busy: bool) -> list[Any]:
    return [gr.Button(interactive=False), gr.Button(interactive=busy)]  # Run comes back when the event is closed
