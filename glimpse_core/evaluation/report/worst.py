"""The questions on which one cell lost or gained most against the unpruned run, with its kept tokens on the image."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from PIL import Image

from glimpse_core.errors import GlimpseError
from glimpse_core.evaluation.cells import ADAPTIVE, DYNAMIC, REFERENCE, Cell
from glimpse_core.evaluation.report.rows import cells_of
from glimpse_core.evaluation.store import Entry, unpacked
from glimpse_core.evaluation.tasks import Task, open_task
from glimpse_core.media.overlay import overlay
from glimpse_core.types import Grid


@dataclass(frozen=True)
class Case:
    """One question that was lost or gained. image: with the kept tokens; None where the task's files are gone."""

    entry: Entry
    label: str
    image: Image.Image | None

    @property
    def own(self) -> dict[str, Any]:
        """What the cell answered: its part of the entry."""
        return self.entry["cells"][self.label]

    @property
    def full(self) -> dict[str, Any]:
        """What the unpruned run answered: its part of the entry."""
        return self.entry["cells"][REFERENCE]

    @property
    def kept(self) -> str:
        """How many tokens the cell kept, and how many of them cover the evidence, in words."""
        evidence = self.entry["evidence"]
        seen = f", {self.own['evidence_kept']} of {evidence} evidence tokens" if evidence else ""
        return f"{self.own['kept']} of {self.entry['visual']} tokens{seen}"


def focus(header: dict[str, Any], named: str | None = None) -> str | None:
    """Return the label of the cell whose worst cases are shown: the one named, else GlimpsePrune's, else the first that
    prunes. Raises GlimpseError for a cell that the run does not have.
    """
    labels = [cell.label for cell in cells_of(header)]
    if named is not None:
        if named not in labels:
            raise GlimpseError(f"The cell is {named!r}. Expected one of {', '.join(labels)}.")
        return named
    preferred = [Cell(ADAPTIVE, DYNAMIC).label, *(label for label in labels if label.startswith(f"{ADAPTIVE}@"))]
    others = [label for label in labels if label != REFERENCE]
    return next((label for label in [*preferred, *others] if label in labels), None)


def worst(
    header: dict[str, Any],
    entries: Sequence[Entry],
    label: str,
    count: int,
    task: Task | None = None,
    *,
    gained: bool = False,
) -> list[Case]:
    """Find the questions on which a cell lost against the unpruned answer, the greatest loss and the least evidence
    first.

    Args:
        header, entries: as `store.read` returns them.
        label: of the cell.
        count: how many, at most.
        task: where the images come from; None opens what the header names.
        gained: find those on which it gained instead, the greatest gain first.
    """
    sign = -1 if gained else 1

    def rank(entry: Entry) -> tuple[float, float, int]:
        own = entry["cells"][label]
        seen = own["evidence_kept"] / entry["evidence"] if entry["evidence"] else 1.0
        return sign * change(entry, label), seen, entry["index"]

    found = [entry for entry in sorted(entries, key=rank) if rank(entry)[0] < 0][:count]
    task = task or (_task(header) if found else None)
    return [Case(entry, label, _kept_image(task, entry, label)) for entry in found]


def change(entry: Entry, label: str) -> float:
    """Return the score of a cell on a question, less that of the unpruned run."""
    score: float = entry["cells"][label]["score"] - entry["cells"][REFERENCE]["score"]
    return score


def _task(header: dict[str, Any]) -> Task | None:
    plan = header["plan"]
    try:
        task = open_task(plan["task"], plan["count"], plan["seed"], plan["by_group"])
    except GlimpseError:
        return None
    return task if task.origin() == header["task"] else None


def _kept_image(task: Task | None, entry: Entry, label: str) -> Image.Image | None:
    if task is None:
        return None
    try:
        image = task.item(entry["index"]).image()
    except GlimpseError:
        return None
    grid = Grid(*entry["grid"])
    return overlay(image, None, unpacked(entry["cells"][label]["mask"], grid.tokens), grid, "kept")
