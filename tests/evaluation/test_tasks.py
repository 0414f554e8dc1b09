"""Every task on a tiny folder in its public layout, made here; and what is said about folders that are not right."""

import json

import pytest
from PIL import Image

from glimpse_core import world
from glimpse_core.errors import GlimpseError
from glimpse_core.evaluation.tasks import TASKS, open_task
from glimpse_core.evaluation.tasks.base import BRIEF


def picture(path, color="red", size=(40, 20)):
    path.parent.mkdir(parents=True, exist_ok=True)
    Image.new("RGB", size, color).save(path)


def write(path, value):
    path.parent.mkdir(parents=True, exist_ok=True)
    lines = isinstance(value, list)
    path.write_text("\n".join(map(json.dumps, value)) if lines else json.dumps(value))


def gqa(folder, graphs=True):
    picture(folder / "images" / "11.jpg")
    question = {"imageId": "11", "answer": "red", "types": {"structural": "query", "semantic": "attr"}}
    annotations = {"question": {"4": "a", "7": "b"}, "answer": {}, "fullAnswer": {"2": "a"}}
    questions = {
        "q1": question | {"question": "What color is it?", "annotations": annotations},
        "q2": question | {"question": "Is it red?", "answer": "yes", "types": {"structural": "verify"}},
    }
    write(folder / "testdev_balanced_questions.json", questions)
    write(folder / "val_all_questions.json", {"bad": {}})  # another split, which must not be read
    objects = {"a": {"x": 10, "y": 5, "w": 20, "h": 10}, "b": {"x": 30, "y": 0, "w": 20, "h": 5}, "c": {}}
    if graphs:
        write(folder / "val_sceneGraphs.json", {"11": {"width": 40, "height": 20, "objects": objects}})


def textvqa(folder):
    picture(folder / "train_images" / "abc.jpg")
    entry = {"question_id": 34602, "image_id": "abc", "question": "what brand?", "answers": ["nokia"] * 8 + ["nok"] * 2}
    write(folder / "TextVQA_0.5.1_val.json", {"dataset_type": "val", "data": [entry]})


def pope(folder):
    picture(folder / "val2014" / "COCO_val2014_000000310196.jpg")
    line = {"question_id": 1, "image": "COCO_val2014_000000310196.jpg", "text": "Is there a snowboard in the image?"}
    write(folder / "coco_pope_random.json", [line | {"label": "yes"}, line | {"question_id": 2, "label": "no"}])
    write(folder / "coco_pope_adversarial.json", [line | {"label": "no"}])


def docvqa(folder):
    picture(folder / "documents" / "xnbl0037_1.png")
    entry = {"questionId": 337, "question": "what is the date?", "question_types": ["handwritten", "form"],
             "image": "documents/xnbl0037_1.png", "docId": 279, "answers": ["1/8/93", "1/8/1993"]}  # fmt: skip
    write(folder / "val_v1.0_withQT.json", {"dataset_name": "SP-DocVQA", "dataset_split": "val", "data": [entry]})


def visual_cot(folder):
    picture(folder / "cot" / "flickr30k" / "7.jpg")
    line = {
        "image": "7.jpg",
        "dataset": "flickr30k",
        "question": "Who?",
        "answer": "A man.",
        "bboxs": [[10, 5, 30, 15]],
    }
    write(folder / "flickr30k_cot_val.jsonl", [line, line | {"question": "Where?", "bboxs": []}])


MAKERS = {"gqa": gqa, "textvqa": textvqa, "pope": pope, "docvqa": docvqa, "visual-cot": visual_cot}
FIRST = {
    "gqa": ("q1", "What color is it?", ("red",), "query", ((0.25, 0.25, 0.75, 0.75), (0.75, 0.0, 1.0, 0.25))),
    "textvqa": ("34602", "what brand?", ("nokia",) * 8 + ("nok",) * 2, "", None),
    "pope": ("adversarial:1", "Is there a snowboard in the image?", ("no",), "adversarial", None),
    "docvqa": ("337", "what is the date?", ("1/8/93", "1/8/1993"), "handwritten", None),
    "visual-cot": ("flickr30k_cot_val:1", "Who?", ("A man.",), "flickr30k", ((0.25, 0.25, 0.75, 0.75),)),
}
METRIC = {"gqa": "relaxed", "textvqa": "vqa", "pope": "yes_no", "docvqa": "anls", "visual-cot": "exact"}


@pytest.mark.parametrize("name", TASKS)
def test_the_public_layout_is_read(name, tmp_path):
    MAKERS[name](tmp_path)
    task = open_task(f"{name}:{tmp_path}")
    item = task.item(0)
    assert (item.key, item.question, item.answers, item.type, item.boxes) == FIRST[name]
    assert item.image().size == (40, 20) and item.image().mode == "RGB"
    assert len(task) == {"gqa": 2, "textvqa": 1, "pope": 3, "docvqa": 1, "visual-cot": 2}[name]
    assert task.metric == METRIC[name] and task.suffix == ("" if name == "visual-cot" else BRIEF)
    assert str(tmp_path) not in json.dumps(task.origin())


def test_gqa_without_scene_graphs_knows_no_evidence(tmp_path):
    gqa(tmp_path, graphs=False)
    assert [open_task(f"gqa:{tmp_path}").item(i).boxes for i in (0, 1)] == [None, None]


def test_a_sample_is_the_same_for_the_same_seed_and_content(tmp_path):
    lines = [{"image": "a.png", "question": f"Number {n}?", "answer": "x", "bboxs": []} for n in range(40)]
    picture(tmp_path / "a.png")
    write(tmp_path / "a.jsonl", lines)
    spec = str(tmp_path / "a.jsonl")
    keys = [[task.item(i).key for i in range(10)] for task in (open_task(spec, 10, seed) for seed in (1, 1, 2))]
    assert keys[0] == keys[1] != keys[2] and len(set(keys[0])) == 10
    before = open_task(spec, 10, 1).origin()
    write(tmp_path / "a.jsonl", [*lines[:-1], lines[-1] | {"answer": "y"}])
    assert open_task(spec, 10, 1).origin() != before, "other questions under the same name are another task"


def test_the_world_by_type_and_by_group():
    by_type = open_task("world", 30, 10_000_000)
    assert [by_type.item(i).type for i in range(10)] == list(world.TYPES)
    scene, question = world.held_out_item(10_000_000, 3, 30)
    item = by_type.item(3)
    assert (item.question, item.answers) == (question.text, (question.answer,))
    assert item.image().tobytes() == scene.image.tobytes()
    even = open_task("world", 24, 10_000_000, by_group=True)
    group_of = {kind: name for name, kinds in even.groups.items() for kind in kinds}
    assert set(group_of) == set(world.TYPES)
    types = [even.item(i).type for i in range(24)]
    assert [group_of[kind] for kind in types] == list(even.groups) * 8
    assert all(types.count(kind) == 8 / len(kinds) for kinds in even.groups.values() for kind in kinds)


def test_scenes_and_pages_take_turns():
    pages, both = open_task("world:page", 12, 10_000_000), open_task("world:both", 13, 10_000_000)
    assert [pages.item(i).type for i in range(12)] == list(world.PAGE_TYPES)
    scenes = open_task("world", 7, 10_000_000)
    assert [both.item(i) for i in range(0, 13, 2)] == [scenes.item(i) for i in range(7)], "those of an own task"
    half = open_task("world:page", 6, 10_000_000)
    for i in range(6):
        one, other = both.item(2 * i + 1), half.item(i)
        assert one == other and one.image().tobytes() == other.image().tobytes()
    page, question = world.page_item(10_000_000, 3, 12)
    item = pages.item(3)
    assert (item.question, item.answers, item.boxes) == (question.text, (question.answer,), question.boxes)
    assert item.image().tobytes() == page.image.tobytes()
    assert len({both.item(i).key for i in range(13)}) == 13
    even = open_task("world:page", 12, 10_000_000, by_group=True)
    group_of = {kind: name for name, kinds in even.groups.items() for kind in kinds}
    assert set(group_of) == set(world.PAGE_TYPES)
    assert [group_of[even.item(i).type] for i in range(12)] == list(even.groups) * 4
    assert scenes.origin() == {
        "task": "world", "seed": 10_000_000, "count": 7, "types": list(world.TYPES), "held_out": True
    }, "as results have it that are older than pages"  # fmt: skip
    assert both.origin()["kind"] == "both" and both.origin()["types"] == [*world.TYPES, *world.PAGE_TYPES]


@pytest.mark.parametrize(
    ("spec", "message"),
    [
        ("world:books", "The kind is 'books'. Expected one of scene, page, both"),
        ("gqa", "Expected world, "),
        ("unknown:x", "The task is 'unknown:x'"),
        ("gqa:nowhere", "nowhere does not exist"),
        ("pope:{}", r"has no coco_pope_\*.json\*"),
    ],
)
def test_wrong_tasks_are_explained(spec, message, tmp_path):
    with pytest.raises(GlimpseError, match=message):
        open_task(spec.format(tmp_path))


def broken(name, folder):
    """The layout with one thing wrong, and what must be said about it."""
    MAKERS[name](folder)
    if name == "gqa":
        (folder / "images" / "11.jpg").unlink()
        return "Question q1: no image at"
    if name == "textvqa":
        write(folder / "TextVQA_0.5.1_val.json", {"data": [{"question_id": 5, "image_id": "abc", "question": None}]})
        return "question 5: 'question' is None. Expected a str."
    if name == "pope":
        (folder / "coco_pope_random.json").write_text(
            '{"question_id": 1, "image": "a", "text": "?", "label": "maybe"}\n'
        )
        return "coco_pope_random.json, line 1: label is 'maybe'"
    if name == "docvqa":
        (folder / "val_v1.0_withQT.json").write_text("{")
        return "is not JSON"
    (folder / "second.jsonl").write_text((folder / "flickr30k_cot_val.jsonl").read_text().replace("Who?", ""))
    return "second.jsonl, line 1: 'question'"


@pytest.mark.parametrize("name", TASKS)
def test_wrong_folders_are_explained(name, tmp_path):
    message = broken(name, tmp_path)
    with pytest.raises(GlimpseError) as error:
        open_task(f"{name}:{tmp_path}")
    assert message in str(error.value)


def test_a_damaged_picture_names_its_question(tmp_path):
    textvqa(tmp_path)
    (tmp_path / "train_images" / "abc.jpg").write_text("no picture")
    with pytest.raises(GlimpseError, match="Question 34602: the image .* cannot be read"):
        open_task(f"textvqa:{tmp_path}").item(0).image()
