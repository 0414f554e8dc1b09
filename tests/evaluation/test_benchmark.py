"""The page's benchmark: a generator that tells, stops between questions and leaves files; foreign files are checked."""

import json
import threading
from dataclasses import replace

import pytest

from glimpse_core.errors import GlimpseError
from glimpse_core.evaluation.benchmark import benchmark, gather, world_task
from glimpse_core.models import catalog
from tests.evaluation.test_tasks import picture

pytestmark = pytest.mark.usefixtures("small_scenes")

LABELS = ("none", "random@30%")


@pytest.fixture(scope="module")
def model(folder):
    return catalog.load(str(folder), device="cpu")


def test_it_tells_after_every_question_and_leaves_files(model, tmp_path):
    told = list(
        benchmark(model, world_task(3, 10_000_000), ["random", "glimpse"], [0.3], tmp_path / "run", max_new_tokens=3)
    )
    assert [(now.done, now.total, now.finished) for now in told] == [(1, 3, False), (2, 3, False), (3, 3, True)]
    assert "about" in told[0].sentence() and told[-1].sentence() == "All 3 questions answered."
    assert [row[0] for row in told[0].table().rows] == ["all tokens", "random", "GlimpsePrune"]
    assert {path.suffix for path in told[-1].files} == {".csv", ".json", ".jsonl", ".html", ".png"} or not told[
        -1
    ].curve()
    assert all(path.stat().st_size > 50 for path in told[-1].files)
    assert (tmp_path / "run" / "questions.jsonl").read_text().count("\n") == 4
    changes = told[-1].changes
    assert changes is not None and told[0].changes is None
    assert changes.titles == {"random@30%": "random (30%)", "glimpse@30%": "GlimpsePrune (30%)"}
    assert changes.heading("glimpse@30%") == "GlimpsePrune (30%) lost no question against all tokens"
    assert changes.sentence() == "GlimpsePrune (30%) lost none and gained none of 3 questions against all tokens."


def test_lost_and_gained_questions_are_those_whose_score_changed(model, tmp_path):
    (*_, last) = benchmark(model, world_task(4, 10_000_000), ["random"], [0.3], tmp_path / "run", max_new_tokens=2)
    scores = [(1, 1), (1, 0), (0, 1), (1, 0.5)]
    entries = [
        {
            **entry,
            "cells": {name: entry["cells"][name] | {"score": score} for name, score in zip(LABELS, pair, strict=True)},
        }
        for entry, pair in zip(last.changes.entries, scores, strict=True)
    ]
    changes = replace(last.changes, entries=entries)
    lost, gained = changes.cases("random@30%"), changes.cases("random@30%", gained=True)
    assert [case.entry["index"] for case in lost] == [1, 3] and [case.entry["index"] for case in gained] == [2]
    assert all(case.image is not None for case in (*lost, *gained))
    assert changes.heading("random@30%") == "Where random (30%) lost against all tokens"
    assert changes.heading("random@30%", gained=True) == "Where random (30%) gained against all tokens"
    assert changes.sentence() == "random (30%) lost 2 and gained 1 of 4 questions against all tokens."
    assert len(changes.cases("random@30%", most=1)) == 1
    assert changes.first == ("random@30%", False)
    assert replace(changes, entries=entries[2:3]).first == ("random@30%", True)
    assert replace(changes, entries=entries[:1]).first is None
    many = replace(changes, entries=[entries[1] | {"index": index} for index in range(9)])
    assert many.heading("random@30%") == "Where random (30%) lost against all tokens, 6 of 9"


def test_stop_ends_behind_the_question_that_is_answered(model, tmp_path):
    stop = threading.Event()
    run = benchmark(model, world_task(9, 10_000_000), ["random"], [0.3], tmp_path, max_new_tokens=2, stop=stop)
    assert not next(run).finished
    stop.set()
    last = list(run)
    assert [(now.done, now.stopped) for now in last] == [(2, True)]
    assert last[0].files and "Stopped after 2 of 9" in last[0].sentence()


def test_closing_it_is_enough(model, tmp_path):
    run = benchmark(model, world_task(9, 10_000_000), ["random"], [0.3], tmp_path, max_new_tokens=2)
    next(run)
    run.close()
    assert (tmp_path / "questions.jsonl").read_text().count("\n") == 2


def test_files_that_were_sent(model, tmp_path):
    picture(tmp_path / "sent" / "a.png", size=(168, 140))
    lines = tmp_path / "sent" / "mine.jsonl"
    line = {"image": "a.png", "question": "What?", "answer": "x", "bboxs": [[0, 0, 80, 70]]}
    lines.write_text(json.dumps(line) + "\n" + json.dumps(line | {"question": "Where?"}))
    files = [lines, tmp_path / "sent" / "a.png"]
    told = list(benchmark(model, gather(files, tmp_path / "in"), ["boxes"], [], tmp_path / "out", max_new_tokens=2))
    assert told[-1].done == 2 and [row["label"] for row in told[-1].summary["rows"]] == ["none", "boxes"]
    picture(tmp_path / "secret.png")
    lines.write_text(json.dumps(line | {"image": "../secret.png"}))
    with pytest.raises(GlimpseError, match="names an image that was not sent"):
        gather(files, tmp_path / "in")
    with pytest.raises(GlimpseError, match="0 .jsonl files were given"):
        gather(files[1:], tmp_path / "in")


def test_too_much_for_a_page_is_refused(model, tmp_path):
    with pytest.raises(GlimpseError, match="too many for a page"):
        next(benchmark(model, world_task(501, 10_000_000), ["random"], [0.3], tmp_path))
    with pytest.raises(GlimpseError, match="There is no pruner called"):
        next(benchmark(model, world_task(5, 10_000_000), ["nonsense"], [0.3], tmp_path))
