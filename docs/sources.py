"""Read the measurements in `assets` that the documentation quotes. No number is typed into the documentation by hand.

`demo`, `words`, `sweep`, `bench` and `comparison` load one file each, once per process.
"""

from __future__ import annotations

import csv
import json
from functools import cache
from pathlib import Path
from typing import Any

ROOT = Path(__file__).resolve().parent.parent
ASSETS = ROOT / "assets"


def _json(*parts: str) -> Any:
    return json.loads(ASSETS.joinpath(*parts).read_text(encoding="utf-8"))


@cache
def demo() -> dict[str, Any]:
    """Scores of the demo model on the held-out questions (`evaluate --json`)."""
    return _json("results", "demo.json")


@cache
def words() -> dict[str, Any]:
    """The deletion test of word attribution (`evaluate --deletion`)."""
    return _json("results", "words.json")


@cache
def sweep() -> dict[int, dict[str, Any]]:
    """The sweep over K: one report of `evaluate` for each K."""
    return {report["keep_layer"]: report for report in _json("sweep", "sweep.json")}


@cache
def bench() -> dict[str, Any]:
    """Times of the `small` shape (`bench --json`)."""
    return _json("results", "bench-small.json")


@cache
def contenders() -> dict[str, dict[str, Any]]:
    """The rows of `bench`, by name."""
    return {row["name"]: row for row in bench()["rows"]}


@cache
def comparison() -> dict[str, dict[str, Any]]:
    """The comparison of methods (`report`), one row per method and budget, by label. Numbers are floats."""
    with (ASSETS / "table" / "report.csv").open(encoding="utf-8", newline="") as file:
        return {row["label"]: {name: _number(value) for name, value in row.items()} for row in csv.DictReader(file)}


@cache
def accuracy_left() -> dict[str, list[str]]:
    """The table "Accuracy left" of the comparison's report: title and one cell per budget, by method.

    `report.csv` has the same numbers, rounded once more than the report.
    """
    section = (ASSETS / "table" / "report.md").read_text(encoding="utf-8").split("### Accuracy left\n")[1]
    lines = [line for line in section.split("\n###")[0].splitlines() if line.startswith("|")]
    cells = [[cell.strip() for cell in line.strip("|").split("|")] for line in lines]
    return {name.replace("\\", ""): [title, *shares] for title, name, *shares in (cells[0], *cells[2:])}


def _number(value: str) -> float | str | None:
    if value == "":
        return None
    try:
        return float(value)
    except ValueError:
        return value
