"""The demo world: the same seed gives the same scene, boxes are where the things are, answers follow from the truth."""

import hashlib
import json

import numpy as np
import pytest

from glimpse_core.world import HELD_OUT, ONE_OBJECT_TYPES, TYPES, held_out, held_out_item, questions, scene
from glimpse_core.world.scene import SIDES
from glimpse_core.world.sprites import SPRITES, sprite
from glimpse_core.world.vocabulary import ALPHABET, COLORS, KINDS


def pixels(seed: int) -> np.ndarray:
    return np.asarray(scene(seed).image)


def test_a_seed_names_one_picture() -> None:
    assert np.array_equal(pixels(5), pixels(5))
    assert [q.to_dict() for q in questions(scene(5))] == [q.to_dict() for q in questions(scene(5))]
    digests = {hashlib.sha256(pixels(seed).tobytes()).hexdigest() for seed in range(20)}
    assert len(digests) == 20


def test_scenes_have_the_promised_sizes_and_numbers_of_things() -> None:
    scenes = [scene(seed) for seed in range(150)]
    assert {s.width for s in scenes} | {s.height for s in scenes} == set(SIDES)
    assert any(s.width > s.height for s in scenes) and any(s.width < s.height for s in scenes)
    counts = [len(s.things) for s in scenes]
    assert min(counts) >= 2 and max(counts) >= 13 and max(counts) <= 14
    lengths = {len(thing.label) for s in scenes for thing in s.things}
    assert lengths == {0, 1, 2, 3, 4}
    assert len({s.place for s in scenes}) == 6


@pytest.mark.parametrize("seed", range(12))
def test_boxes_are_inside_apart_and_ordered(seed: int) -> None:
    picture = scene(seed)
    for thing in picture.things:
        x1, y1, x2, y2 = thing.box
        assert 0 <= x1 < x2 <= picture.width and 0 <= y1 < y2 <= picture.height
        assert len(thing.letter_boxes) == len(thing.label) and set(thing.label) <= set(ALPHABET)
    centers = [thing.center[0] for thing in picture.things]
    assert centers == sorted(centers)
    for index, a in enumerate(picture.things):
        for b in picture.things[index + 1 :]:
            assert a.box[2] < b.box[0] or b.box[2] < a.box[0] or a.box[3] < b.box[1] or b.box[3] < a.box[1]


def test_a_thing_is_drawn_in_its_box_in_its_color() -> None:
    """The most colorful pixels of a box are nearer to the thing's color than to any other color of the world."""
    names, values = list(COLORS), np.array(list(COLORS.values()), float)
    right = total = 0
    for seed in range(25):
        picture = scene(seed)
        array = np.asarray(picture.image).astype(float)
        for thing in picture.things:
            x1, y1, x2, y2 = (round(edge) for edge in thing.body)
            inside = array[y1:y2, x1:x2].reshape(-1, 3)
            distance = np.linalg.norm(inside[:, None] - values, axis=-1)
            near = distance.min(1) < 40
            votes = np.bincount(distance.argmin(1)[near], minlength=len(names))
            right += names[int(votes.argmax())] == thing.color
            total += 1
    assert right / total > 0.93, (right, total)


@pytest.mark.parametrize("kind", KINDS)
def test_every_kind_has_a_sprite_that_fills_its_square(kind: str) -> None:
    assert set(SPRITES) == set(KINDS)
    alpha = np.asarray(sprite(kind, COLORS["red"], 60))[..., 3] > 128
    rows, columns = np.flatnonzero(alpha.any(1)), np.flatnonzero(alpha.any(0))
    assert np.ptp(rows) > 30 and np.ptp(columns) > 30


def test_answers_follow_from_the_truth() -> None:
    """Recompute answers from the list of things, with other code than the generator's."""
    seen = set()
    for seed in range(40):
        picture = scene(seed)
        for question in questions(picture):
            seen.add(question.type)
            kinds = [thing for thing in picture.things if f" {thing.kind}" in question.text]
            if question.type == "color":
                assert question.answer == f"It is {kinds[0].color}." and len(kinds) == 1
            if question.type == "read":
                assert question.answer == f"It says {kinds[0].label}."
                assert question.boxes == (picture.normalized(kinds[0].label_box),)
            if question.type == "scene":
                listed = question.answer.removeprefix("I see ").removesuffix(".").split(", ")
                assert [item.split()[1:] for item in listed] == [[t.color, t.kind] for t in picture.things]
            if question.type == "count":
                number = int(question.answer.rstrip(".").split()[-1])
                wanted = [c for c in COLORS if f" {c} things" in question.text]
                if wanted:
                    assert number == sum(t.color == wanted[0] for t in picture.things) == question.things
            if question.type == "exist":
                present = any(f" {t.kind}?" in question.text for t in picture.things)
                assert question.answer.endswith("yes." if present else "no.") and bool(question.boxes) == present
            if question.type == "relation":
                asked = next(d for d in ("left of", "right of", "above", "below") if d in question.text)
                assert question.answer.endswith("yes.") == (asked in question.answer)
            if question.type in ONE_OBJECT_TYPES:
                assert len(question.boxes) == 1 and question.things == 1
            assert all(0 <= x1 < x2 <= 1 and 0 <= y1 < y2 <= 1 for x1, y1, x2, y2 in question.boxes)
    assert seen == set(TYPES)


def test_held_out_scenes_start_at_ten_million_and_share_types_equally() -> None:
    with pytest.raises(ValueError, match="smaller seeds are training data"):
        next(held_out(HELD_OUT - 1, 5))
    items = list(held_out(HELD_OUT + 321, 30))
    assert all(picture.seed >= HELD_OUT for picture, _ in items)
    assert [question.type for _, question in items] == list(TYPES) * 3
    again = held_out_item(HELD_OUT + 321, 7, 30)
    assert again[1] == items[7][1]
    assert len({picture.seed for picture, _ in items}) == 30


def test_world_command_writes_picture_and_questions(tmp_path, capsys) -> None:
    from glimpse_core.__main__ import main

    assert main(["world", "--seed", "7", "--out", str(tmp_path)]) == 0
    record = json.loads((tmp_path / "scene_7.json").read_text())
    assert (tmp_path / "scene_7.png").exists() and record["questions"] and record["seed"] == 7
    assert str(tmp_path / "scene_7.png") in capsys.readouterr().out
