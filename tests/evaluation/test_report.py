"""Reports: figures against counts by hand, everything written, and no text of others taken for markup."""

import csv
import io
import json
import re
import xml.etree.ElementTree as ET
from dataclasses import asdict
from html.parser import HTMLParser

import pytest

from glimpse_core.__main__ import main
from glimpse_core.errors import GlimpseError
from glimpse_core.evaluation import statistics, store
from glimpse_core.evaluation.report import Report, tables
from glimpse_core.evaluation.report.rows import summarize
from glimpse_core.evaluation.tasks import open_task

EVIL = '<script>alert(1)</script> | **x** [a](javascript:b) "&amp;'
CELLS = [("none", None), ("glimpse", "dynamic"), ("random", "dynamic"), ("random", 0.5)]


def cell(score, kept, answer="red", evidence_kept=1):
    share = kept / 4
    return {
        "kept": kept,
        "kv": share,
        "prefill": (1 + share) / 2,
        "flops": 0.5 + share / 2,
        "flops_all": 0.75 + share / 4,
        "evidence_kept": evidence_kept,
        "mask": f"{(0b1111 << 8 - kept) & 0xFF:02x}",
        "answer": answer,
        "score": score,
    }


def entry(index, kind, scores, evidence=2):
    kept = (4, 1, 1, 2)
    seen = (evidence, 1, 0, 1) if evidence else (0,) * 4
    cells = {}
    for (method, budget), score, tokens, found in zip(CELLS, scores, kept, seen, strict=True):
        label = method if budget is None else f"{method}@{'50%' if budget == 0.5 else budget}"
        cells[label] = cell(score, tokens, EVIL if not score else "red", found)
    return {"index": index, "key": str(index), "type": kind, "question": EVIL, "expected": [EVIL], "prompt_length": 9,
            "visual": 4, "grid": [2, 2], "evidence": evidence, "cells": cells}  # fmt: skip


ENTRIES = [
    entry(0, "color", (1, 1, 0, 1)),
    entry(1, "color", (1, 0, 0, 0)),
    entry(2, "scene", (1, 1, 1, 0)),
    entry(3, "scene", (0, 1, 0, 0), evidence=0),
]


def write_run(folder, entries=ENTRIES, **changes):
    plan = {
        "task": "world", "count": 4, "seed": 9_000_000, "by_group": False, "model": "/home/somebody/demo",
        "glimpse": None, "cells": [{"method": method, "budget": budget} for method, budget in CELLS],
        "match": "final", "policy": "published", "selection": {"threshold": 0.5},
    }  # fmt: skip
    header = {
        "plan": plan, "task": open_task("world", 4, 9_000_000).origin(), "metric": {"metric": "exact"},
        "groups": {"one": ["color"], "all": ["scene"]}, "weights": "abc", "keep_layer": 4, "layers": 8,
    }  # fmt: skip
    folder.mkdir(parents=True)
    store.write(folder / "questions.jsonl", header | changes, entries)
    return folder


def test_figures_are_those_counted_by_hand(tmp_path):
    folder = write_run(tmp_path / "run")
    timing = {"questions": 1, "device": "cpu", "threads": 1, "cells": {
        label: {"seconds": {"median": seconds}, "share": {"median": share}, "bytes": size}
        for label, seconds, share, size in (("none", 0.2, 1.0, 800), ("glimpse@dynamic", 0.1, 0.5, 600))
    }}  # fmt: skip
    (folder / "timing.json").write_text(json.dumps(timing))
    found = summarize(folder)
    none, glimpse, random, half = found["rows"]
    assert [row["accuracy"]["value"] for row in found["rows"]] == [0.75, 0.75, 0.25, 0.25]
    assert random["share"]["value"] == pytest.approx(1 / 3) and random["difference"]["value"] == -0.5
    assert random["against"]["value"] == -0.5 and "against" not in half, "GlimpsePrune did not run at 50%"
    assert none["share"] == {"value": 1.0, "low": 1.0, "high": 1.0}
    assert glimpse["recall"] == 0.5 and none["recall"] == 1.0 and random["recall"] == 0.0
    assert (glimpse["kv"], glimpse["prefill"], glimpse["flops"], glimpse["flops_all"]) == (0.25, 0.625, 0.625, 0.8125)
    assert glimpse["groups"]["one"] == {"count": 2, "accuracy": 0.5, "share": 0.5, "kv": 0.25, "recall": 0.5}
    assert glimpse["types"]["scene"]["share"] == 2.0, "it may be better than all tokens"
    assert glimpse["seconds_share"] == 0.5 and glimpse["bytes_share"] == 0.75 and random["seconds"] is None
    assert found["evidence"] == 0.5 and found["count"] == found["planned"] == 4


class Parser(HTMLParser):
    """Tags and text of a page."""

    def __init__(self):
        super().__init__()
        self.tags, self.text, self.sources = [], "", []

    def handle_starttag(self, tag, attributes):
        self.tags.append(tag)
        self.sources += [value for name, value in attributes if name in ("src", "href", "xlink:href")]

    def handle_data(self, data):
        self.text += data


def test_everything_is_written_and_escaped(tmp_path, capsys):
    folder = write_run(tmp_path / EVIL[1:7])
    assert main(["report", str(folder), "--worst", "3"]) == 0
    out = folder / "report"
    names = {path.name for path in out.iterdir()}
    assert names == {"report.md", "report.csv", "report.html", "summary.json", "worst_1.png"} | {
        f"accuracy_over_{axis}.{kind}" for axis in ("kv", "flops") for kind in ("png", "svg")
    }
    page = (out / "report.html").read_text()
    parser = Parser()
    parser.feed(page)
    assert "script" not in parser.tags and EVIL in parser.text
    assert all(source.startswith(("data:image/png;base64,", "#")) for source in parser.sources), (
        "the page needs no other file"
    )
    assert not re.search(r"url\((?!#)|@import", page)
    assert parser.tags.count("img") == 1 and parser.tags.count("svg") == 2
    text = (out / "report.md").read_text()
    assert "<script" not in text and not re.search(r"(?<!\\)\]\(javascript", text) and "GlimpsePrune" in text
    table = text[text.index("### Four budgets") : text.index("Final KV")].strip().splitlines()[2:]
    assert len({len(re.findall(r"(?<!\\)\|", line)) for line in table}) == 1, "no cell breaks its row"
    rows = list(csv.DictReader(io.StringIO((out / "report.csv").read_text())))
    assert [row["label"] for row in rows] == ["none", "glimpse@dynamic", "random@dynamic", "random@50%"]
    assert float(rows[2]["accuracy"]) == 0.25 and float(rows[2]["flops"]) == 0.625 and rows[3]["against"] == ""
    for axis in ("kv", "flops"):
        ET.parse(out / f"accuracy_over_{axis}.svg")
    saved = (out / "summary.json").read_text()
    assert "somebody" not in saved and '"model": "demo"' in saved
    assert "worst_1.png" in capsys.readouterr().out


def test_the_worst_case_is_the_one_that_lost_most(tmp_path):
    folder = write_run(tmp_path / "run")
    report = Report.of([folder], "random@dynamic")
    assert [case.entry["index"] for case in report.cases[0]] == [0, 1]
    assert report.cases[0][0].image.size[0] > 100
    assert [case.entry["index"] for case in Report.of([folder]).cases[0]] == [1], "GlimpsePrune's, by default"
    with pytest.raises(GlimpseError, match="cell is 'fastv@1%'"):
        Report.of([folder], "fastv@1%")


def test_several_runs_are_averaged_over_runs(tmp_path):
    folders = [write_run(tmp_path / "one"), write_run(tmp_path / "two", ENTRIES[:2])]
    table = tables.together([summarize(folder) for folder in folders])
    assert table.head == ("method", "budget", "one", "two", "mean")
    assert table.rows[1] == ("GlimpsePrune", "dynamic", "100.0%", "50.0%", "75.0%")
    report = Report.of(folders)
    names = {path.name for path in report.write(tmp_path / "out")}
    assert {"one_accuracy_over_kv.png", "two_accuracy_over_kv.png", "report.html"} <= names
    assert "2 of 4 (not finished) questions" in report.markdown()
    with pytest.raises(GlimpseError, match="same name"):
        Report.of([tmp_path / "one", write_run(tmp_path / "x" / "one")])


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (None, "no questions.jsonl"),
        ("", "damaged"),
        ("{}\n{\n", "damaged"),
        ("HEADER", "no question that has been answered"),
    ],
)
def test_what_is_no_run_is_explained(content, message, tmp_path, capsys):
    folder = write_run(tmp_path / "run", [])
    if content is None:
        (folder / "questions.jsonl").unlink()
    elif content != "HEADER":
        (folder / "questions.jsonl").write_text(content)
    assert main(["report", str(folder)]) == 2
    assert message in capsys.readouterr().err


def test_pictures_that_are_gone_are_left_out(tmp_path):
    folder = write_run(tmp_path / "run", task={"task": "world", "seed": 1, "count": 4})
    case = Report.of([folder]).cases[0][0]
    assert case.image is None
    assert "not there any more" in Report.of([folder]).html()


def test_few_questions_have_exact_intervals_and_many_the_bootstrap(tmp_path):
    """8 of 8 right is no certainty; 60 questions with losses keep the intervals that they always had."""
    right = [entry(index, "color", (1, 1, 1, 1)) for index in range(8)]
    found = summarize(write_run(tmp_path / "eight", right))
    none, glimpse, *_ = found["rows"]
    assert none["share"] == {"value": 1.0, "low": 1.0, "high": 1.0}
    assert glimpse["share"]["low"] == pytest.approx(0.6306, abs=1e-4) == glimpse["accuracy"]["low"]
    assert glimpse["difference"]["low"] < -0.3 and found["rows"][2]["against"]["low"] < -0.3
    assert tables.brief(found).rows[1][2:4] == ("100.0% [63.1, 100.0]",) * 2
    assert tables.brief(found).rows[0][2:4] == ("100.0% [63.1, 100.0]", "100.0%")
    one_lost = summarize(write_run(tmp_path / "seven", [entry(7, "color", (1, 0, 1, 1)), *right[:7]]))["rows"][1]
    assert (one_lost["share"]["low"], one_lost["share"]["high"]) == pytest.approx((0.4735, 0.9968), abs=1e-4)
    many = [entry(index, "color", (1, index % 3 > 0, 1, index % 2)) for index in range(60)]
    rows = summarize(write_run(tmp_path / "sixty", many))["rows"]
    drawn = statistics.draws(60)
    scores = [float(index % 3 > 0) for index in range(60)]
    assert rows[1]["share"] == asdict(statistics.ratio(scores, [1.0] * 60, drawn))
    assert rows[1]["accuracy"] == asdict(statistics.mean(scores, drawn))
    assert rows[2]["share"]["low"] == pytest.approx(0.9404, abs=1e-4)  # nothing was lost: 60 of 60
    assert "right" not in tables.costs(summarize(tmp_path / "sixty")).head
