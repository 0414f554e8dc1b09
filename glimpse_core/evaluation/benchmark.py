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
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from matplotlib.figure import Figure

from glimpse_core.errors import GlimpseError
from glimpse_core.evaluation import engine, store
from glimpse_core.evaluation.cells import REFERENCE, Cell, budget_text, grid_of, usual
from glimpse_core.evaluation.plan import Loaded, Plan
from glimpse_core.evaluation.report import Report, figures, tables
from glimpse_core.evaluation.report.rows import cells_of, summary
from glimpse_core.evaluation.report.worst import Case, change, focus, worst
from glimpse_core.evaluation.tasks import FileTask, Task, open_file
from glimpse_core.evaluation.tasks.world import WorldTask
from glimpse_core.glimpse.model import LoadedModel
from glimpse_core.types import Selection

MOST_QUESTIONS = 500
MOST_CELLS = 40
MOST_CASES = 6  # lost or gained questions that are shown of a cell


@dataclass(frozen=True)
class Changes:
    """The questions that the cells of a finished run lost or gained against all tokens. focus: label of the cell that
    is looked at first; None where nothing was pruned.
    """

    header: dict[str, Any]
    entries: Sequence[store.Entry]
    task: Task
    focus: str | None

    @property
    def titles(self) -> dict[str, str]:
        """By label, the names of the cells that prune, with their budgets."""
        cells = [cell for cell in cells_of(self.header) if cell.label != REFERENCE]
        return {cell.label: _title(cell) for cell in cells}

    def count(self, label: str, gained: bool = False) -> int:
        """Return how many questions a cell lost, or gained."""
        found = [change(entry, label) for entry in self.entries]
        return sum(1 for value in found if (value > 0 if gained else value < 0))

    @property
    def first(self) -> tuple[str, bool] | None:
        """Return the cell, and whether its gains are meant, that is worth looking at: the one in focus if anything
        changed there. None where no cell lost or gained a question.
        """
        labels = sorted(self.titles, key=lambda label: label != self.focus)
        looks = [(label, gained) for label in labels for gained in (False, True)]
        return next((look for look in looks if self.count(*look)), None)

    def cases(self, label: str, gained: bool = False, most: int = MOST_CASES) -> list[Case]:
        """Return the questions that a cell lost, or gained, those that changed most first."""
        return worst(self.header, self.entries, label, most, self.task, gained=gained)

    def heading(self, label: str, gained: bool = False) -> str:
        """The heading of these cases; without any, what is shown instead."""
        title, count, verb = self.titles[label], self.count(label, gained), "gained" if gained else "lost"
        if not count:
            return f"{title} {verb} no question against all tokens"
        shown = f", {MOST_CASES} of {count}" if count > MOST_CASES else ""
        return f"Where {title} {verb} against all tokens{shown}"

    def sentence(self) -> str:
        """What became of the questions under the cell in focus, in one line; empty where nothing was pruned."""
        if self.focus is None:
            return ""
        lost, gained = self.count(self.focus), self.count(self.focus, True)
        of = f"of {len(self.entries)} question{'s' * (len(self.entries) != 1)}"
        return f"{self.titles[self.focus]} lost {lost or 'none'} and gained {gained or 'none'} {of} against all tokens."


@dataclass(frozen=True)
class Progress:
    """What is known after `done` of `total` questions. seconds_left: an estimate, 0 at the end.

    stopped: somebody ended it early. summary: as in reports. changes: what was lost and gained against all tokens; only
    in the last one, as `files`.
    """

    done: int
    total: int
    seconds_left: float
    summary: dict[str, Any]
    stopped: bool = False
    changes: Changes | None = None
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


def _title(cell: Cell) -> str:
    return cell.title if cell.budget is None else f"{cell.title} ({budget_text(cell.budget)})"


def benchmark(
    model: LoadedModel,
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
        methods: empty compares the one that chooses as a session does; see `cells.usual`.
        budgets: empty means the dynamic one, or a share where there is no predictor to say it.
        folder: must be new; all files go into it.
        selection: of the adaptive method at the dynamic budget.
        stop: set it from anywhere to end after the question that is being answered; closing the generator does, too.

    Yields:
        What is known after every question; the last one has changes and files.

    Raises:
        GlimpseError: before the first question, for what cannot be compared.
    """
    method, budget = usual(model.trained)
    cells = grid_of(methods or [method], budgets or [budget])
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
    model: LoadedModel, task: Task, cells: tuple[Cell, ...], selection: Selection, max_new_tokens: int
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
    changes = Changes(header, found, task, focus(header))
    cases = changes.cases(changes.focus) if changes.focus else []
    summaries = [now.summary | {"name": "benchmark"}]
    files = Report(summaries, [changes.focus], [cases]).write(folder / "report")
    chosen = [path for path in files if path.suffix in (".csv", ".html", ".json") or path.name.endswith("over_kv.png")]
    return replace(now, seconds_left=0.0, changes=changes, files=(*chosen, folder / "questions.jsonl"))


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
