"""Reading questions: the layout, its tolerances, and errors that name file and line."""

import json
import random
from types import SimpleNamespace

import numpy as np
import pytest
from PIL import Image

from glimpse_core.datasets.visual_cot import Draw, JsonlSource, read_jsonl
from glimpse_core.datasets.world_source import WorldSource, varied
from glimpse_core.errors import GlimpseError

LINE = {"image": "a.png", "question": "what?", "answer": "that", "bboxs": [[10, 5, 30, 10]]}


@pytest.fixture
def folder(tmp_path):
    Image.new("RGB", (100, 50), "red").save(tmp_path / "a.png")
    (tmp_path / "cot" / "docvqa").mkdir(parents=True)
    Image.new("L", (10, 10)).save(tmp_path / "cot" / "docvqa" / "b.png")
    return tmp_path


def write(folder, *lines):
    path = folder / "data.jsonl"
    path.write_text("\n".join(line if isinstance(line, str) else json.dumps(line) for line in lines))
    return path


@pytest.mark.parametrize(
    ("change", "boxes"),
    [
        ({}, ((0.1, 0.1, 0.3, 0.2),)),
        ({"width": 200, "height": 100}, ((0.05, 0.05, 0.15, 0.1),)),
        ({"bboxs": [0.1, 0.2, 0.3, 0.4]}, ((0.1, 0.2, 0.3, 0.4),)),
        ({"bboxs": [[-5, 0, 130, 20]]}, ((0.0, 0.0, 1.0, 0.4),)),
        ({"bboxs": []}, ()),
    ],
)
def test_boxes_become_normalized(folder, change, boxes):
    (record,) = read_jsonl(write(folder, LINE | change))
    assert [pytest.approx(box) for box in boxes] == list(record.example.boxes)


def test_other_names_blank_lines_and_published_folders(folder):
    second = {"image": "b.png", "dataset": "docvqa", "question": " q ", "answer": "\u2028 a", "boxes": [[0, 0, 5, 5]]}
    first, last = read_jsonl(write(folder, LINE, "", second, ""))
    assert (first.line, last.line) == (1, 3)
    assert last.image == folder / "cot" / "docvqa" / "b.png"
    assert last.example.question == "q"


@pytest.mark.parametrize(
    ("line", "message"),
    [
        ("{not json", "line 2: not JSON"),
        ("[1]", "line 2: .* Expected a JSON object"),
        (LINE | {"question": ""}, "line 2: 'question' is ''. Expected a text"),
        (LINE | {"answer": 3}, "line 2: 'answer' is 3. Expected a text"),
        (LINE | {"image": "missing.png"}, "line 2: no image at .*missing.png"),
        ({k: v for k, v in LINE.items() if k != "bboxs"}, "line 2: no boxes"),
        (LINE | {"bboxs": [[1, 2, 3]]}, "line 2: 'bboxs' is .*. Expected a list of boxes"),
        (LINE | {"bboxs": "1,2,3,4"}, "line 2: 'bboxs' is .*. Expected a list of boxes"),
        (LINE | {"bboxs": [[1, 2, 3, "4"]]}, "line 2: 'bboxs' is .*. Expected numbers only"),
        (LINE | {"bboxs": [[30, 5, 10, 10]]}, "line 2: box .* ends before it begins"),
        (LINE | {"bboxs": [[300, 5, 310, 10]]}, "line 2: box .* is outside"),
    ],
)
def test_errors_name_the_line(folder, line, message):
    with pytest.raises(GlimpseError, match=message):
        read_jsonl(write(folder, LINE, line))


def test_empty_and_missing_files_are_refused(folder):
    with pytest.raises(GlimpseError, match="holds no question"):
        read_jsonl(write(folder, ""))
    with pytest.raises(GlimpseError, match="training data .* cannot be read"):
        read_jsonl(folder / "nowhere.jsonl")


def test_drawing_takes_the_same_lines_for_the_same_seed(folder):
    path = write(folder, *[LINE | {"question": f"q{number}?"} for number in range(50)])
    first, again, other = (read_jsonl(path, draw=Draw(20, seed)) for seed in (42, 42, 43))
    assert first == again != other
    wanted = np.random.default_rng(42).permutation(50)[:20]  # how the `datasets` library shuffles
    assert [record.line for record in first] == sorted(wanted + 1)
    assert len(read_jsonl(path, draw=Draw(500))) == 50


def test_missing_pictures_are_left_out_after_drawing_if_wanted(folder):
    path = write(folder, *[LINE | {"image": "a.png" if number % 2 else "gone.png"} for number in range(10)])
    with pytest.raises(GlimpseError, match="line 1: no image at"):
        read_jsonl(path)
    assert [record.line for record in read_jsonl(path, draw=Draw(skip_missing=True))] == [2, 4, 6, 8, 10]
    drawn = read_jsonl(path, draw=Draw(6, skip_missing=True))
    assert [record.line for record in drawn] == sorted(
        index + 1 for index in np.random.default_rng(42).permutation(10)[:6] if index % 2
    )
    with pytest.raises(GlimpseError, match="bboxs"):  # other faults stay errors
        read_jsonl(write(folder, LINE | {"bboxs": "none"}), draw=Draw(skip_missing=True))


def test_a_template_stands_around_the_question(folder):
    (record,) = read_jsonl(write(folder, LINE), draw=Draw(template="{} One word."))
    assert record.example.question == "what? One word."
    with pytest.raises(GlimpseError, match="The template is 'One word.'"):
        read_jsonl(write(folder, LINE), draw=Draw(template="One word."))


def test_a_source_keeps_questions_of_a_picture_together_and_shuffles_by_epoch(folder):
    lines = [LINE | {"question": f"q{i}"} for i in range(5)]
    lines.append({"image": "cot/docvqa/b.png", "question": "other", "answer": "x", "bboxs": []})
    source = JsonlSource(write(folder, *lines), per_image=2, seed=1)
    assert source.count == 4
    epochs = [[tuple(e.question for e in source.read(i).examples) for i in range(n, n + 4)] for n in (0, 4, 8, 12)]
    assert all(sorted(sum(epoch, ())) == ["other", "q0", "q1", "q2", "q3", "q4"] for epoch in epochs)
    assert len(set(map(tuple, epochs))) > 1
    assert source.read(0).image.mode == "RGB"
    again = JsonlSource(folder / "data.jsonl", per_image=2, seed=1)
    assert again.read(7).examples == source.read(7).examples


def test_questions_are_varied():
    questions = [SimpleNamespace(type=kind) for kind in "aaaaabbc"]
    chosen = varied(questions, 4, random.Random(0))
    assert sorted(question.type for question in chosen[:3]) == ["a", "b", "c"]
    assert len(varied(questions, 100, random.Random(0))) == 8
    assert varied([], 3, random.Random(0)) == []


def test_named_types_come_before_the_others_and_then_every_other_type():
    questions = [SimpleNamespace(type=kind) for kind in "aaaaabbbcd"]
    for seed in range(20):
        chosen = varied(questions, 7, random.Random(seed), before="bbc")
        assert sorted(question.type for question in chosen[:3]) == ["b", "b", "c"]
        assert sorted(question.type for question in chosen[3:5]) == ["a", "d"]
        assert sorted(question.type for question in chosen[5:]) in (["a", "a"], ["a", "b"])
        everything = varied(questions, 100, random.Random(seed), before="bbbbz")
        assert sorted(map(id, everything)) == sorted(map(id, questions))
    source = WorldSource(per_image=3, before=("half", "count", "count"))
    assert sorted(example.type for example in source.read(4).examples) == ["count", "count", "half"]
    with pytest.raises(GlimpseError, match="The type of question is 'colour'. Expected some of color, "):
        WorldSource(before=("colour",))


def test_held_out_scenes_are_never_trained_on():
    with pytest.raises(GlimpseError, match="held out"):
        WorldSource(first=9_999_999).read(1)
