"""Tasks, one per file. A new one is a class in a file of its own and one line in `TASKS`."""

from __future__ import annotations

from pathlib import Path

from glimpse_core.errors import GlimpseError
from glimpse_core.evaluation.tasks.base import FileTask, Item, Task
from glimpse_core.evaluation.tasks.docvqa import DocVqaTask
from glimpse_core.evaluation.tasks.gqa import GqaTask
from glimpse_core.evaluation.tasks.pope import PopeTask
from glimpse_core.evaluation.tasks.textvqa import TextVqaTask
from glimpse_core.evaluation.tasks.visual_cot import VisualCotTask
from glimpse_core.evaluation.tasks.world import WorldTask

__all__ = ["TASKS", "Item", "Task", "open_task"]

TASKS: dict[str, type[FileTask]] = {
    task.name: task for task in (VisualCotTask, GqaTask, TextVqaTask, PopeTask, DocVqaTask)
}


def open_task(spec: str, count: int | None = None, seed: int | None = None, by_group: bool = False) -> Task:
    """`world`, `NAME:PATH` of a local folder or file, or the path of a Visual-CoT .jsonl file.

    count: how many questions, drawn by `seed` (of the world: the first scene's). Raises GlimpseError.
    """
    if count is not None and count < 1:
        raise GlimpseError(f"the number of questions is {count}: wanted was at least 1")
    if spec == WorldTask.name:
        return WorldTask(count, seed, by_group)
    name, _, place = spec.partition(":")
    if name not in TASKS and spec.endswith(".jsonl"):
        name, place = VisualCotTask.name, spec
    if name not in TASKS or not place:
        known = ", ".join(f"{task}:PATH" for task in TASKS)
        raise GlimpseError(
            f"the task is {spec!r}: wanted was world, {known}, or a .jsonl file in the Visual-CoT layout"
        )
    if by_group:
        raise GlimpseError(f"{name} has no groups of question types to draw evenly from: leave the grouping out")
    return TASKS[name](Path(place), count, seed or 0)
