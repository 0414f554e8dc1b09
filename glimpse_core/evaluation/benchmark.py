"""A comparison as a page runs it: on a model that is loaded, question by question, with what is known so far.

`benchmark` is a generator: it yields after every question, may be stopped between two, and leaves files behind.
Questions are scenes of the demo world, or a JSONL file in the Visual-CoT layout with its images (`gather`). Nothing
here knows a page.
"""

from __future__ import annotations

import shutil
import threading
import time
from collections.abc import Generator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from matplotlib.figure import Figure

from glimpse_core.errors import GlimpseError
from glimpse_core.evaluation import engine, store
from glimpse_core.evaluation.cells import ADAPTIVE, DYNAMIC, Cell, budget_text, grid_of
from glimpse_core.evaluation.plan import Loaded, Plan
from glimpse_core.evaluation.report import Report, figures, tables
from glimpse_core.evaluation.report.rows import cells_of, summary
from glimpse_core.evaluation.report.worst import Case, focus, worst
from glimpse_core.evaluation.tasks import FileTask, Task, open_file
from glimpse_core.evaluation.tasks.world import WorldTask
from glimpse_core.glimpse.model import GlimpseModel
from glimpse_core.types import Selection

MOST_QUESTIONS = 500
MOST_CELLS = 40


@dataclass(frozen=True)
class Progress:
    """What is known after `done` of `total` questions. seconds_left: an estimate, 0 at the end.

    stopped: somebody ended it early. summary: as in reports. cases: what the method `focus` lost against all tokens,
    the worst first; only in the last one, as `files`.
    """

    done: int
    total: int
    seconds_left: float
    summary: dict[str, Any]
    stopped: bool = False
    focus: str = ""
    cases: tuple[Case, ...] = ()
    files: tuple[Path, ...] = ()

    @property
    def finished(self) -> bool:
        """Whether no question follows, because all are answered or somebody ended the run."""
        return self.stopped or self.done == self.total

    def table(self) -> tables.Table:
        """Return the scores so far, one row per cell."""
        return tables.brief(self.summary)

    def curve(self, axis: str = "kv") -> Figure | None:
        """Accuracy left over the KV cache ("kv") or over the prefill's FLOPs ("flops"); None if there is none yet."""
        return figures.curves(self.summary).get(f"accuracy_over_{axis}")

    def sentence(self) -> str:
        """How far the run is, as a sentence."""
        if self.stopped:
            return f"Stopped after {self.done} of {self.total} questions."
        if self.finished:
            return f"All {self.total} questions answered."
        return f"{self.done} of {self.total} questions, about {self.seconds_left:.0f} s left."

    def losses(self) -> str:
        """The heading of the cases; without any, what is shown instead."""
        if self.cases:
            return f"Where {self.focus} lost against all tokens, worst first"
        return f"{self.focus or 'No method'} lost no question against all tokens"


def benchmark(
    model: GlimpseModel,
    task: Task,
    methods: Sequence[str],
    budgets: Sequence[float | str],
    folder: Path,
    *,
    selection: Selection | None = None,
    max_new_tokens: int = 100,
    stop: threading.Event | None = None,
) -> Generator[Progress, None, None]:
    """Compare methods at budgets on the questions of a task.

    Args:
        methods: empty compares the adaptive method.
        budgets: empty means the dynamic one.
        folder: must be new; all files go into it.
        selection: of the adaptive method at the dynamic budget.
        stop: set it from anywhere to end after the question that is being answered; closing the generator does, too.

    Yields:
        What is known after every question; the last one has cases and files.

    Raises:
        GlimpseError: before the first question, for what cannot be compared.
    """
    cells = grid_of(methods or [ADAPTIVE], budgets or [DYNAMIC])
    loaded = _loaded(model, task, cells, selection or Selection(), max_new_tokens)
    header, found, began = loaded.header(), [], time.perf_counter()
    running = engine.entries(loaded, store.shard_file(folder, (0, 1)))
    try:
        for entry in running:
            found.append(entry)
            stopped = stop is not None and stop.is_set() and len(found) < len(task)
            spent = time.perf_counter() - began
            left = spent / len(found) * (len(task) - len(found))
            now = Progress(len(found), len(task), 0.0 if stopped else left, summary(header, found), stopped)
            if now.finished:
                break
            yield now
    finally:
        running.close()
    yield _with_files(now, task, header, found, folder)


def _loaded(
    model: GlimpseModel, task: Task, cells: tuple[Cell, ...], selection: Selection, max_new_tokens: int
) -> Loaded:
    if len(task) > MOST_QUESTIONS or len(cells) > MOST_CELLS:
        raise GlimpseError(
            f"{len(task)} questions in {len(cells)} cells are too many for a page. Expected at most {MOST_QUESTIONS} "
            f"and {MOST_CELLS}: use `python -m glimpse_core evaluate --out` instead."
        )
    origin = task.origin()
    plan = Plan(
        model.name, origin["task"], cells, len(task), origin["seed"], selection=selection, max_new_tokens=max_new_tokens
    )  # fmt: skip
    return plan.on(model, task)


def _with_files(now: Progress, task: Task, header: dict, found: list[dict], folder: Path) -> Progress:
    label = focus(header)
    cases = tuple(worst(header, found, label, 6, task)) if label else ()
    title = next((f"{cell.title} ({budget_text(cell.budget)})" for cell in cells_of(header) if cell.label == label), "")
    summaries = [now.summary | {"name": "benchmark"}]
    files = Report(summaries, [label], [list(cases)]).write(folder / "report")
    chosen = [path for path in files if path.suffix in (".csv", ".html", ".json") or path.name.endswith("over_kv.png")]
    return Progress(
        now.done, now.total, 0.0, now.summary, now.stopped, title, cases, (*chosen, folder / "questions.jsonl")
    )


def world_task(count: int, seed: int) -> Task:
    """Make a task of drawn scenes, groups of types in turn. seed: of the first scene."""
    return WorldTask(count, seed, by_group=True)


def gather(files: Sequence[Path], folder: Path, count: int | None = None, seed: int = 0) -> FileTask:
    """Make a task of files that somebody sent: one .jsonl in the Visual-CoT layout, and the images it names beside it.

    They are copied into `folder`. Raises GlimpseError for lines that name an image elsewhere.
    """
    lines = [path for path in files if path.suffix.lower() == ".jsonl"]
    if len(lines) != 1:
        raise GlimpseError(f"{len(lines)} .jsonl files were given. Expected exactly one, and the images it names.")
    folder.mkdir(parents=True, exist_ok=True)
    for path in files:
        shutil.copyfile(path, folder / path.name)
    task = open_file(str(folder / lines[0].name), count, seed)
    root = folder.resolve()
    for item in task.items:
        assert isinstance(item.source, Path)  # as all items of files have it
        if not item.source.resolve().is_relative_to(root):
            raise GlimpseError(
                f"Question {item.key} names an image that was not sent. Expected a name without folders: change it."
            )
    return task
