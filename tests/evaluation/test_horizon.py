"""The horizon: which cells belong to it, its table against counts by hand, and a whole small run with its report."""

import json
import re

import pytest

from glimpse_core.__main__ import main
from glimpse_core.errors import GlimpseError
from glimpse_core.evaluation import store
from glimpse_core.evaluation.cells import Cell, grid_of
from glimpse_core.evaluation.report import horizon, rows
from glimpse_core.evaluation.tasks import open_task

pytestmark = pytest.mark.usefixtures("small_scenes")

CELLS = grid_of(["random:k0", "random:k4", "drop_all:k0", "drop_all:k4", "drop_all:k8", "fastv", "boxes:k2"], [0.25])
RIGHT = {"none": 40, "random:k0@25%": 10, "random:k4@25%": 30, "drop_all:k0": 0, "drop_all:k4": 20, "drop_all:k8": 38,
         "fastv@25%": 35, "boxes:k2": 40}  # fmt: skip


def entry(index):
    figures = {"kept": 1, "kv": 0.25, "prefill": 0.25, "flops": 0.25, "flops_all": 0.25, "evidence_kept": 0}
    cells = {
        label: figures | {"mask": "80", "answer": "red", "score": int(index < right)} for label, right in RIGHT.items()
    }
    return {"index": index, "key": str(index), "type": "color", "question": "What?", "expected": ["red"], "visual": 4,
            "prompt_length": 9, "grid": [2, 2], "evidence": None, "cells": cells}  # fmt: skip


@pytest.fixture
def summary():
    plan = {
        "task": "world", "count": 50, "seed": 9_000_000, "by_group": False, "model": "demo", "glimpse": None,
        "cells": [{"method": cell.method, "budget": cell.budget} for cell in CELLS], "match": "final",
        "policy": "published", "selection": {"threshold": 0.5},
    }  # fmt: skip
    header = {
        "plan": plan, "task": open_task("world", 50, 9_000_000).origin(), "metric": {"metric": "exact"},
        "groups": {}, "weights": "abc", "keep_layer": 4, "layers": 8,
    }  # fmt: skip
    return rows.summary(header, [entry(index) for index in range(50)])


def test_lines_are_the_controls_at_several_layers(summary):
    found = {line.title: list(line.rows) for line in horizon.lines(summary)}
    assert found == {"random (25%)": [0, 4], "drop everything": [0, 4, 8]}, "one layer alone is no line"
    labels = horizon.labels(horizon.lines(summary))
    assert labels == {label for label in RIGHT if ":k" in label} - {"boxes:k2"}


def test_the_table_has_the_figures_counted_by_hand(summary):
    table = horizon.table(summary)
    assert table.head == ("layers", "random (25%)", "drop everything")
    assert [row[0] for row in table.rows] == ["0", "4", "8"]
    found = [[re.match(r"([\d.]+%) \(([+-][\d.]+) ", cell) for cell in row[1:] if cell] for row in table.rows]
    assert [[match.groups() for match in row] for row in found] == [
        [("20.0%", "-60.0"), ("0.0%", "-80.0")], [("60.0%", "-20.0"), ("40.0%", "-40.0")], [("76.0%", "-4.0")]
    ]  # fmt: skip
    assert "random (25%): none; drop everything: 8" in table.note, "2 of 50 lost may be chance, 10 of 50 are not"


def test_the_edge_is_the_first_of_those_that_cost_nothing():
    def line(*highs):
        return horizon.Line("x", {depth: {"difference": {"high": high}} for depth, high in enumerate(highs)})

    assert line(-0.1, 0.0, 0.1).edge == 1 and line(0.1, -0.1, 0.0).edge == 2
    assert line(-0.1, -0.2).edge is None and line(0.0, 0.0).edge == 0


def test_a_run_without_a_horizon_has_no_table(summary):
    few = [row for row in summary["rows"] if Cell(row["method"]).steps[-1].depth is None]
    assert horizon.table(summary | {"rows": few}) is None and horizon.figure(summary | {"rows": few}) is None


def test_a_whole_run_with_its_report(folder, tmp_path, capsys):
    out = tmp_path / "run"
    options = ["--seed", "9000000", "--count", "4", "--workers", "1", "--max-new-tokens", "2", "--budgets", "25%"]
    given = ["evaluate", "--model", str(folder), "--out", str(out), "--methods", "divprune:50%+random:k3"]
    assert main([*given, *options, "--horizon", "0,2"]) == 0
    header, entries = store.read(out)
    assert list(entries[0]["cells"]) == [
        "none", "divprune:50%+random:k3@25%", "random:k0@25%", "random:k2@25%", "drop_all:k0", "drop_all:k2"
    ]  # fmt: skip
    cells = entries[0]["cells"]
    assert cells["drop_all:k0"]["kept"] == cells["drop_all:k2"]["kept"] == 0
    assert 0 == cells["drop_all:k0"]["prefill"] < cells["drop_all:k2"]["prefill"] < 1
    assert cells["random:k0@25%"]["prefill"] < cells["random:k2@25%"]["prefill"]
    assert main(["report", str(out)]) == 0
    text = (out / "report" / "report.md").read_text()
    assert "### Horizon" in text and "![accuracy over depth](accuracy_over_depth.png)" in text
    assert (out / "report" / "accuracy_over_depth.svg").stat().st_size > 500
    assert [row["label"] for row in json.loads((out / "report" / "summary.json").read_text())[0]["rows"]] == list(cells)


@pytest.mark.parametrize(
    ("options", "message"),
    [
        (["--out", "x", "--horizon", "a,2"], "Expected layers, counted from 0"),
        (["--json", "x.json", "--horizon", "0,2"], "--horizon was given without --out"),
    ],
)
def test_impossible_horizons_are_explained(folder, options, message, capsys):
    assert main(["evaluate", "--model", str(folder), *options]) == 2
    assert message in capsys.readouterr().err


def test_a_layer_that_the_model_does_not_have(folder, tmp_path, capsys):
    options = ["--count", "1", "--workers", "1", "--horizon", "99"]
    assert main(["evaluate", "--model", str(folder), "--out", str(tmp_path / "y"), *options]) == 2
    assert "depth is 99. Expected a layer of this model" in capsys.readouterr().err
    with pytest.raises(GlimpseError, match="There is no pruner"):
        grid_of(["drop_most:k2"], [0.1])
