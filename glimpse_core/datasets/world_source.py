"""The demo world as a source of training images and questions."""

from __future__ import annotations

import random
from collections.abc import Sequence
from typing import Any

from glimpse_core import world
from glimpse_core.datasets.examples import Example, ImageExamples
from glimpse_core.errors import GlimpseError


class WorldSource:
    """Scenes of the demo world, drawn when they are read. Entry i has seed `first + i`; held-out scenes are refused."""

    count: int | None = None

    def __init__(self, *, first: int = 5_000_000, per_image: int = 8, seed: int = 0, before: Sequence[str] = ()):
        """Draw from scene `first` on.

        Args:
            first: seed of the first scene.
            per_image: maximum number of questions per image.
            seed: of the choice of questions.
            before: types of questions that are asked before all others, as in `varied`.

        Raises:
            GlimpseError: for an unknown type of question.
        """
        unknown = [kind for kind in before if kind not in world.TYPES]
        if unknown:
            raise GlimpseError(f"The type of question is {unknown[0]!r}. Expected some of {', '.join(world.TYPES)}.")
        self.first, self.per_image, self.seed, self.before = first, per_image, seed, tuple(before)
        self.identity = {"first": first, "per_picture": per_image, "seed": seed, "before": list(before)}

    def read(self, index: int) -> ImageExamples:
        """Draw one scene and choose its questions.

        Args:
            index: from 0; the scene has seed `first + index`.

        Raises:
            GlimpseError: for a held-out scene.
        """
        scene_seed = self.first + index
        if scene_seed >= world.HELD_OUT:
            raise GlimpseError(
                f"The scene seed is {scene_seed}, which is held out. Expected seeds below {world.HELD_OUT} for "
                "training: choose a smaller one."
            )
        scene = world.scene(scene_seed)
        rng = random.Random(f"{self.seed}/{scene_seed}")
        chosen = varied(world.questions(scene), self.per_image, rng, self.before)
        examples = tuple(Example(q.text, q.answer, tuple(map(tuple, q.boxes)), q.type) for q in chosen)
        return ImageExamples(scene.image.convert("RGB"), examples)


def varied(questions: Sequence[Any], count: int, rng: random.Random, before: Sequence[str] = ()) -> list[Any]:
    """Choose questions of as many types as possible: one of each type before a second of any.

    Args:
        questions: anything with a `.type`.
        count: maximum number of questions.
        rng: draws the order.
        before: types that come before all others; a type named twice contributes two questions there.
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
