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
from glimpse_core.evaluation.tasks.world import SCENE, WorldTask

__all__ = ["TASKS", "FileTask", "Item", "Task", "open_task"]

TASKS: dict[str, type[FileTask]] = {
    task.name: task for task in (VisualCotTask, GqaTask, TextVqaTask, PopeTask, DocVqaTask)
}


def open_task(spec: str, count: int | None = None, seed: int | None = None, by_group: bool = False) -> Task:
    """Open a task.

    Args:
        spec: `world` or `world:KIND`, KIND being scene, page or both; or what `open_file` takes.
        count: number of questions, at most; None: all, of the world 2000.
        seed: of the draw of questions; of the world: the first scene's.
        by_group: groups of types in equal share, not types (the world only).

    Raises:
        GlimpseError: for unknown tasks and for files that are not laid out as published.
    """
    if count is not None and count < 1:
        raise GlimpseError(f"The number of questions is {count}. Expected at least 1.")
    name, _, kind = spec.partition(":")
    if name == WorldTask.name:
        return WorldTask(count, seed, by_group, kind or SCENE)
    if by_group:
        raise GlimpseError(
            f"{spec} has no groups of question types. Expected the world for an even draw: leave --by-group out."
        )
    return open_file(spec, count, seed)


def open_file(spec: str, count: int | None = None, seed: int | None = None) -> FileTask:
    """Open `NAME:PATH` of a local folder or file, or the path of a Visual-CoT .jsonl file; see `open_task`."""
    name, _, path = spec.partition(":")
    if name not in TASKS and spec.endswith(".jsonl"):
        name, path = VisualCotTask.name, spec
    if name not in TASKS or not path:
        known = ", ".join(f"{task}:PATH" for task in TASKS)
        raise GlimpseError(f"The task is {spec!r}. Expected world, {known}, or a .jsonl file in the Visual-CoT layout.")
    return TASKS[name](Path(path), count, seed or 0)
