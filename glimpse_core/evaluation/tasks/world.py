"""Freshly drawn scenes of the demo world. Those of seeds from `world.HELD_OUT` on were never trained on."""

from __future__ import annotations

from typing import Any

from glimpse_core import world
from glimpse_core.evaluation.tasks.base import Item, Task


class WorldTask(Task):
    """One question per scene. by_group: every group of `groups` in equal share, else every type."""

    name = "world"
    suffix = ""
    groups = {
        "one object": ("color", "name", "read", "describe"),
        "several objects": ("relation", "nearest", "count", "exist"),
        "whole scene": ("half", "scene"),
    }

    def __init__(self, count: int | None = None, seed: int | None = None, by_group: bool = False) -> None:
        self.count = 2000 if count is None else count
        self.seed = world.HELD_OUT if seed is None else seed
        self.order = self._even() if by_group else world.TYPES

    def _even(self) -> tuple[str, ...]:
        """Types in turn, one of each group at a time, until every type has come up equally often within its group."""
        longest = max(map(len, self.groups.values()))
        return tuple(types[turn % len(types)] for turn in range(longest) for types in self.groups.values())

    def __len__(self) -> int:
        return self.count

    def item(self, index: int) -> Item:
        scene, question = world.held_out_item(self.seed, index, self.count, self.order)
        boxes = tuple((left, top, right, bottom) for left, top, right, bottom in question.boxes)
        return Item(str(scene.seed), question.text, (question.answer,), scene.image, question.type, boxes)

    def origin(self) -> dict[str, Any]:
        held_out = self.seed >= world.HELD_OUT
        return {
            "task": self.name, "seed": self.seed, "count": self.count, "types": list(self.order), "held_out": held_out
        }  # fmt: skip
