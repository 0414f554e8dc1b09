"""From a run's questions to the figures of its table: one row per cell. No model, no text.

Means are over questions. Intervals are 95% paired bootstrap intervals over questions, all cells with the same draws.
`share` is accuracy over that of the unpruned run; `against` is accuracy minus GlimpsePrune's at the same budget.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any

import numpy as np

from glimpse_core.errors import GlimpseError
from glimpse_core.evaluation import statistics, store
from glimpse_core.evaluation.cells import GLIMPSE, REFERENCE, Cell
from glimpse_core.evaluation.metrics import METRICS
from glimpse_core.evaluation.scores import quantile

Entry = dict[str, Any]
TIMING = "timing.json"
SHARES = ("kv", "prefill", "flops", "flops_all")


def summarize(folder: Path) -> dict[str, Any]:
    """The summary of a run's folder. Raises GlimpseError where there is no question."""
    header, entries = store.read(folder)
    timing = store.read_json(folder / TIMING)
    return {"name": folder.name, **summary(header, entries, timing)}


def summary(header: dict[str, Any], entries: Sequence[Entry], timing: dict[str, Any] | None = None) -> dict[str, Any]:
    """Header, counts, and one row per cell. timing: what `measure` gave, or None."""
    if not entries:
        raise GlimpseError("there is nothing to report: no question has been answered yet")
    cells = [Cell(**cell) for cell in header["plan"]["cells"]]
    drawn = statistics.draws(len(entries))
    groups = _groups(header, entries)
    measured = timing["cells"] if timing else {}
    rows = [_row(cell, entries, groups, drawn, header["metric"]["metric"], measured) for cell in cells]
    by_label = {row["label"]: row for row in rows}
    for cell, row in zip(cells, rows, strict=True):
        rival = by_label.get(Cell(GLIMPSE, cell.budget).label)
        if rival and rival is not row:
            row["against"] = asdict(
                statistics.difference(_scores(entries, row["label"]), _scores(entries, rival["label"]), drawn)
            )
    return {
        "header": header,
        "count": len(entries),
        "planned": header["task"]["count"],
        "groups": {name: len(members) for name, members in groups.items()},
        "visual": mean(entries, lambda entry: entry["visual"]),
        "evidence": mean([e for e in entries if e["evidence"]], lambda entry: entry["evidence"] / entry["visual"]),
        "rows": rows,
        "timing": {name: value for name, value in timing.items() if name != "cells"} if timing else None,
    }


def _groups(header: dict[str, Any], entries: Sequence[Entry]) -> dict[str, list[int]]:
    """Places of the questions of each type, or of each group of types where the task has them."""
    group_of = {kind: name for name, kinds in header["groups"].items() for kind in kinds}
    found: dict[str, list[int]] = {name: [] for name in header["groups"]}
    for place, entry in enumerate(entries):
        found.setdefault(group_of.get(entry["type"], entry["type"]), []).append(place)
    return {name or "other": places for name, places in found.items() if places}


def _row(
    cell: Cell, entries: Sequence[Entry], groups: dict[str, list[int]], drawn: np.ndarray, metric: str, measured: dict
) -> dict[str, Any]:
    label = cell.label
    own, reference = _scores(entries, label), _scores(entries, REFERENCE)
    answers = [entry["cells"][label]["answer"] for entry in entries]
    kept = sorted(entry["cells"][label]["kept"] / entry["visual"] for entry in entries)
    row = {
        "label": label,
        "method": cell.method,
        "title": cell.title,
        "budget": cell.budget,
        "accuracy": asdict(statistics.mean(own, drawn)),
        "share": asdict(statistics.ratio(own, reference, drawn)),
        "difference": asdict(statistics.difference(own, reference, drawn)),
        **_spent(entries, label),
        "kept": {"mean": math.fsum(kept) / len(kept), "q10": quantile(kept, 0.1), "q90": quantile(kept, 0.9)},
        "recall": _recall(entries, label),
        "groups": {name: _part([entries[place] for place in places], label) for name, places in groups.items()},
        "types": {kind: _part([e for e in entries if e["type"] == kind], label) for kind in _types(entries)},
    }
    if metric in METRICS:
        row |= {"overall": METRICS[metric]().overall(answers, [entry["expected"] for entry in entries])}
    return row | _measured(measured, label)


def _types(entries: Sequence[Entry]) -> list[str]:
    return list(dict.fromkeys(entry["type"] for entry in entries))


def _part(entries: Sequence[Entry], label: str) -> dict[str, Any]:
    """The figures of some of the questions."""
    full = math.fsum(_scores(entries, REFERENCE))
    return {
        "count": len(entries),
        "accuracy": math.fsum(_scores(entries, label)) / len(entries),
        "share": math.fsum(_scores(entries, label)) / full if full else None,
        "kv": _spent(entries, label)["kv"],
        "recall": _recall(entries, label),
    }


def _spent(entries: Sequence[Entry], label: str) -> dict[str, float]:
    return {name: mean(entries, lambda e, n=name: e["cells"][label][n]) for name in SHARES}


def _recall(entries: Sequence[Entry], label: str) -> float | None:
    """Share of the evidence tokens that are kept, over the questions that have some."""
    some = [entry for entry in entries if entry["evidence"]]
    return mean(some, lambda entry: entry["cells"][label]["evidence_kept"] / entry["evidence"])


def _measured(measured: dict[str, Any], label: str) -> dict[str, Any]:
    """Seconds to the first token (quartiles) and peak bytes, each also as a share of the unpruned run's: of the seconds
    the median of the shares round by round.
    """
    if label not in measured:
        return {"seconds": None, "seconds_share": None, "bytes": None, "bytes_share": None}
    own, full = measured[label], measured[REFERENCE]
    return {
        "seconds": own["seconds"],
        "seconds_share": own["share"]["median"],
        "bytes": own["bytes"],
        "bytes_share": own["bytes"] / full["bytes"],
    }


def _scores(entries: Sequence[Entry], label: str) -> list[float]:
    return [entry["cells"][label]["score"] for entry in entries]


def mean(entries: Sequence[Entry], value: Callable[[Entry], float]) -> float | None:
    return math.fsum(map(value, entries)) / len(entries) if entries else None
