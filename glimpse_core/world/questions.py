"""The questions that a scene can be asked, by type.

Every answer begins with a word that needs no image, so that the words that count are written after pruning.
This file knows nothing of pixels, models or tokens.
"""

import random
from collections import Counter
from collections.abc import Callable, Iterator

from glimpse_core.world.question import Part, Question, compose
from glimpse_core.world.scene import HELD_OUT, Scene, Thing
from glimpse_core.world.scene import scene as draw_scene
from glimpse_core.world.vocabulary import COLORS, KINDS, article, plural


def _unique_kinds(scene: Scene) -> list[Thing]:
    kinds = Counter(thing.kind for thing in scene.things)
    return [thing for thing in scene.things if kinds[thing.kind] == 1]


def _listing(things: list[Thing]) -> list[Part]:
    """Return spans such as "a red boat, a blue star": each item is read from its own object."""
    spans: list[Part] = []
    for index, thing in enumerate(things):
        comma = ", " if index else ""
        spans.append((f"{comma}{article(thing.color)} {thing.color} {thing.kind}", [thing.body]))
    return spans


def _letters(thing: Thing) -> list[Part]:
    """Return the spans of a label: each letter is read from its own block."""
    return [(letter, [box]) for letter, box in zip(thing.label, thing.letter_boxes, strict=True)]


def _color(scene: Scene, rng: random.Random) -> Iterator[Question]:
    for thing in _unique_kinds(scene):
        texts = (
            f"What color is the {thing.kind}?",
            f"Which color does the {thing.kind} have?",
            f"Tell me the color of the {thing.kind}.",
        )
        yield compose(scene, "color", texts, [("It is ", []), (thing.color, [thing.body]), (".", [])], rng)


def _name(scene: Scene, rng: random.Random) -> Iterator[Question]:
    colors = Counter(thing.color for thing in scene.things)
    for thing in scene.things:
        if colors[thing.color] == 1:
            texts = (
                f"What is the {thing.color} thing?",
                f"Which object is {thing.color}?",
                f"Name the {thing.color} thing.",
            )
            yield compose(scene, "name", texts, [("It is a ", []), (thing.kind, [thing.body]), (".", [])], rng)


def _read(scene: Scene, rng: random.Random) -> Iterator[Question]:
    for thing in _unique_kinds(scene):
        if thing.label:
            texts = (
                f"What does the {thing.kind} say?",
                f"Which letters are under the {thing.kind}?",
                f"Read the label of the {thing.kind}.",
            )
            spans = [("It says ", []), *_letters(thing), (".", [])]
            yield compose(scene, "read", texts, spans, rng, evidence=thing.label_box)


def _describe(scene: Scene, rng: random.Random) -> Iterator[Question]:
    for thing in _unique_kinds(scene):
        texts = (
            f"Describe the {thing.kind}.",
            f"What can you tell me about the {thing.kind}?",
            f"How does the {thing.kind} look?",
        )
        spans: list[Part] = [("The ", []), (thing.kind, [thing.body]), (" is ", []), (thing.color, [thing.body])]
        if thing.label_box is not None:
            spans += [(" and says ", [thing.label_box]), *_letters(thing), (".", [])]
        else:
            spans.append((" and has no label.", [thing.body]))
        yield compose(scene, "describe", texts, spans, rng, evidence=thing.box)


_OPPOSITE = {"left of": "right of", "right of": "left of", "above": "below", "below": "above"}


def _direction(a: Thing, b: Thing) -> str | None:
    """Return where `a` is, seen from `b`; None if two directions could be meant."""
    dx, dy = a.center[0] - b.center[0], a.center[1] - b.center[1]
    if abs(dx) > 1.3 * abs(dy) and abs(dx) > 40:
        return "right of" if dx > 0 else "left of"
    if abs(dy) > 1.3 * abs(dx) and abs(dy) > 40:
        return "below" if dy > 0 else "above"
    return None


def _relation(scene: Scene, rng: random.Random) -> Iterator[Question]:
    unique = _unique_kinds(scene)
    pairs = [(a, b) for a in unique for b in unique if a is not b and _direction(a, b)]
    for a, b in rng.sample(pairs, min(4, len(pairs))):
        true = _direction(a, b) or ""
        asked = true if rng.random() < 0.5 else _OPPOSITE[true]
        both = [a.body, b.body]
        texts = (f"Is the {a.kind} {asked} the {b.kind}?", f"Does the {a.kind} stand {asked} the {b.kind}?")
        spans = [
            (f"The {a.kind} is ", []),
            (true, both),
            (f" the {b.kind}: ", []),
            ("yes" if asked == true else "no", both),
        ]
        yield compose(scene, "relation", texts, [*spans, (".", [])], rng)


def _nearest(scene: Scene, rng: random.Random) -> Iterator[Question]:
    for thing in _unique_kinds(scene):
        others = sorted(
            (_distance(other, thing), index) for index, other in enumerate(scene.things) if other is not thing
        )
        if len(others) > 1 and others[1][0] > 1.35 * others[0][0]:
            near = scene.things[others[0][1]]
            texts = (
                f"What is closest to the {thing.kind}?",
                f"What stands nearest to the {thing.kind}?",
                f"Which object is next to the {thing.kind}?",
            )
            spans = [("Closest is ", []), (f"{article(near.color)} {near.color} {near.kind}", [near.body, thing.body])]
            yield compose(scene, "nearest", texts, [*spans, (".", [])], rng)


def _distance(a: Thing, b: Thing) -> float:
    """Return the distance of two sprites' centers in pixels."""
    return ((a.center[0] - b.center[0]) ** 2 + (a.center[1] - b.center[1]) ** 2) ** 0.5


def _count(scene: Scene, rng: random.Random) -> Iterator[Question]:
    kinds, colors = (Counter(getattr(thing, field) for thing in scene.things) for field in ("kind", "color"))
    missing = rng.choice(KINDS)
    for kind in sorted({*kinds, missing}):
        found = [thing for thing in scene.things if thing.kind == kind]
        texts = (f"How many {plural(kind)} are there?", f"Count the {plural(kind)}.")
        yield compose(scene, "count", texts, _counted(found, "color"), rng)
    missing = rng.choice(list(COLORS))
    for color in sorted({*colors, missing}):
        found = [thing for thing in scene.things if thing.color == color]
        texts = (f"How many {color} things are there?", f"Count the {color} things.")
        yield compose(scene, "count", texts, _counted(found, "kind"), rng)


def _counted(found: list[Thing], field: str) -> list[Part]:
    """Return spans that count one by one, left to right: "I see red, blue: 2." or "I see none: 0." """
    if not found:
        return [("I see none: 0.", [])]
    spans: list[Part] = [("I see ", [])]
    for index, thing in enumerate(found):
        spans.append(((", " if index else "") + getattr(thing, field), [thing.body]))
    return [*spans, (f": {len(found)}.", [thing.body for thing in found])]


def _exist(scene: Scene, rng: random.Random) -> Iterator[Question]:
    kinds = {thing.kind for thing in scene.things}
    absent = [kind for kind in KINDS if kind not in kinds]
    asked = _unique_kinds(scene)
    rng.shuffle(asked)
    rng.shuffle(absent)
    for thing in asked[:3]:
        found = f"{article(thing.color)} {thing.color} {thing.kind}: yes"
        spans = [("There is ", []), (found, [thing.body]), (".", [])]
        yield compose(scene, "exist", _exist_texts(thing.kind), spans, rng)
    for kind in absent[:3]:
        yield compose(scene, "exist", _exist_texts(kind), [(f"There is no {kind}: no.", [])], rng)


def _exist_texts(kind: str) -> tuple[str, ...]:
    return f"Is there {article(kind)} {kind}?", f"Do you see {article(kind)} {kind}?"


def _half(scene: Scene, rng: random.Random) -> Iterator[Question]:
    for side in ("left", "right", "top", "bottom"):
        axis, extent = (0, scene.width) if side in ("left", "right") else (1, scene.height)
        if any(abs(thing.center[axis] - extent / 2) < 0.07 * extent for thing in scene.things):
            continue  # an object is on the line
        found = [t for t in scene.things if (t.center[axis] < extent / 2) == (side in ("left", "top"))]
        texts = (f"What is on the {side} half?", f"What do you see in the {side} half?")
        if 0 < len(found) <= 6:
            yield compose(scene, "half", texts, [("I see ", []), *_listing(found), (".", [])], rng)


def _scene(scene: Scene, rng: random.Random) -> Iterator[Question]:
    texts = ("Describe the scene.", "Describe the picture.", "What do you see in the picture?")
    yield compose(scene, "scene", texts, [("I see ", []), *_listing(list(scene.things)), (".", [])], rng)


MAKERS: dict[str, Callable[[Scene, random.Random], Iterator[Question]]] = {
    "color": _color,
    "name": _name,
    "read": _read,
    "describe": _describe,
    "relation": _relation,
    "nearest": _nearest,
    "count": _count,
    "exist": _exist,
    "half": _half,
    "scene": _scene,
}
TYPES: tuple[str, ...] = tuple(MAKERS)
ONE_OBJECT_TYPES: frozenset[str] = frozenset({"color", "name", "read", "describe"})


def questions(scene: Scene) -> list[Question]:
    """Return every question that a scene can be asked, in a fixed order for a given seed."""
    rng = random.Random(f"glimpse-questions-{scene.seed}")
    return [question for make in MAKERS.values() for question in make(scene, rng)]


def held_out(seed: int = HELD_OUT, count: int = 2000) -> Iterator[tuple[Scene, Question]]:
    """Yield `count` held-out scenes with one question each, every type in equal share.

    Raises:
        ValueError: `seed` is below `HELD_OUT`, so the scenes could have been trained on.
    """
    if seed < HELD_OUT:
        raise ValueError(f"The seed is {seed}. Expected {HELD_OUT} or more: smaller seeds are training data.")
    for index in range(count):
        yield held_out_item(seed, index, count)


def held_out_item(seed: int, index: int, count: int, order: tuple[str, ...] = tuple(MAKERS)) -> tuple[Scene, Question]:
    """Return item `index` of `held_out(seed, count)` without drawing the others.

    A scene that has no question of the type in turn (no label to read, say) is replaced by that of the next free seed.

    Args:
        seed: of the first scene.
        index: number of the item, from 0.
        count: number of items.
        order: types of questions, which take turns.
    """
    kind = order[index % len(order)]
    attempt = 0
    while True:
        scene = draw_scene(seed + index + attempt * count)
        fitting = [question for question in questions(scene) if question.type == kind]
        if fitting:
            return scene, random.Random(f"glimpse-pick-{scene.seed}").choice(fitting)
        attempt += 1
