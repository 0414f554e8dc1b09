"""Scenes of the demo world as a source of training questions."""

from __future__ import annotations

import random
from collections.abc import Sequence
from typing import Any

from glimpse_core import world
from glimpse_core.datasets.examples import Example, ImageExamples
from glimpse_core.errors import GlimpseError


class WorldSource:
    """Freshly drawn scenes of the demo world; picture i is the scene of seed `first + i`, never a held-out one."""

    count: int | None = None

    def __init__(self, *, first: int = 5_000_000, per_image: int = 8, seed: int = 0, before: Sequence[str] = ()):
        """before: types asked before the others, as in `varied`."""
        unknown = [kind for kind in before if kind not in world.TYPES]
        if unknown:
            raise GlimpseError(f"{unknown[0]!r} is no type of question: wanted were some of {', '.join(world.TYPES)}")
        self.first, self.per_image, self.seed, self.before = first, per_image, seed, tuple(before)
        self.identity = {"first": first, "per_picture": per_image, "seed": seed, "before": list(before)}

    def read(self, index: int) -> ImageExamples:
        scene_seed = self.first + index
        if scene_seed >= world.HELD_OUT:
            raise GlimpseError(f"scene seed {scene_seed} is held out: train on seeds below {world.HELD_OUT}")
        scene = world.scene(scene_seed)
        rng = random.Random(f"{self.seed}/{scene_seed}")
        chosen = varied(world.questions(scene), self.per_image, rng, self.before)
        examples = tuple(Example(q.text, q.answer, tuple(map(tuple, q.boxes)), q.type) for q in chosen)
        return ImageExamples(scene.image.convert("RGB"), examples)


def varied(questions: Sequence[Any], count: int, rng: random.Random, before: Sequence[str] = ()) -> list[Any]:
    """At most `count` questions, as many different `.type`s as possible: one of each before a second of any.

    before: types whose turn comes before that of all others; one named twice has two of its questions there.
    """
    by_type: dict[str, list[Any]] = {}
    for question in rng.sample(list(questions), len(questions)):
        by_type.setdefault(question.type, []).append(question)
    named = {kind: group[: before.count(kind)] for kind, group in by_type.items()}
    rounds = [
        [group[turn] for kind, group in by_type.items() if len(named[kind]) <= turn < len(group)]
        for turn in range(max(map(len, by_type.values()), default=0))
    ]
    return [question for turn in [*named.values(), *rounds] for question in turn][:count]
