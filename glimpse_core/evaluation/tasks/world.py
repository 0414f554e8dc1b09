"""Freshly drawn scenes and pages of the demo world. Those of seeds from `world.HELD_OUT` on were never trained on."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from glimpse_core import world
from glimpse_core.errors import GlimpseError
from glimpse_core.evaluation.tasks.base import Item, Task

SCENE, PAGE, BOTH = "scene", "page", "both"
KINDS: dict[str, tuple[str, ...]] = {SCENE: (SCENE,), PAGE: (PAGE,), BOTH: (SCENE, PAGE)}
TYPES: dict[str, tuple[str, ...]] = {SCENE: world.TYPES, PAGE: world.PAGE_TYPES}
GROUPS: dict[str, dict[str, tuple[str, ...]]] = {
    SCENE: {
        "one object": ("color", "name", "read", "describe"),
        "several objects": ("relation", "nearest", "count", "exist"),
        "whole scene": ("half", "scene"),
    },
    PAGE: {
        "look-up": world.LOOK_UP_TYPES,
        "several cells": ("row", "column", "sum", "extreme", "listed"),
        "whole page": ("table", "tally", "about"),
    },
}


class WorldTask(Task):
    """One question per scene or page.

    The kinds take turns, and within a kind the types of questions do: every type of it comes in equal share.
    """

    name = "world"
    suffix = ""

    def __init__(
        self, count: int | None = None, seed: int | None = None, by_group: bool = False, kind: str = SCENE
    ) -> None:
        """Describe the questions; each is drawn when it is asked for.

        Args:
            count: number of questions; None is 2,000.
            seed: of the first scene and of the first page; None is the first one held out.
            by_group: every group of `GROUPS` in equal share, instead of every type.
            kind: a key of `KINDS`.

        Raises:
            GlimpseError: for an unknown kind.
        """
        if kind not in KINDS:
            raise GlimpseError(f"The kind is {kind!r}. Expected one of {', '.join(KINDS)}.")
        self.count = 2000 if count is None else count
        self.seed = world.HELD_OUT if seed is None else seed
        self.kind = kind
        self.groups = {name: types for one in KINDS[kind] for name, types in GROUPS[one].items()}
        self.orders = {one: in_turn(GROUPS[one]) if by_group else TYPES[one] for one in KINDS[kind]}

    def __len__(self) -> int:
        return self.count

    def item(self, index: int) -> Item:
        """Draw the image of a question and choose the question. See `Task.item`."""
        kinds = KINDS[self.kind]
        kind, number = kinds[index % len(kinds)], index // len(kinds)
        count = len(range(index % len(kinds), self.count, len(kinds)))  # questions of this kind
        image: world.Scene | world.Page
        if kind == SCENE:
            image, question = world.held_out_item(self.seed, number, count, self.orders[kind])
        else:
            image, question = world.page_item(self.seed, number, count, self.orders[kind])
        boxes = tuple((left, top, right, bottom) for left, top, right, bottom in question.boxes)
        key = str(image.seed) if kind == SCENE else f"{kind}:{image.seed}"
        return Item(key, question.text, (question.answer,), image.image, question.type, boxes)

    def origin(self) -> dict[str, Any]:
        own = {} if self.kind == SCENE else {"kind": self.kind}  # results that are older have scenes only
        return {
            "task": self.name,
            **own,
            "seed": self.seed,
            "count": self.count,
            "types": [kind for order in self.orders.values() for kind in order],
            "held_out": self.seed >= world.HELD_OUT,
        }


def in_turn(groups: Mapping[str, Sequence[str]]) -> tuple[str, ...]:
    """Return types in turn, one of each group at a time, so that all types of a group come up equally often."""
    longest = max(map(len, groups.values()))
    return tuple(types[turn % len(types)] for turn in range(longest) for types in groups.values())
