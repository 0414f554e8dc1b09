"""From a run's questions to the figures of its table: one row per cell. No model, no text.

Means are over questions. Intervals are 95% paired bootstrap intervals over questions, all cells with the same draws;
of few questions, and where no draw differs from another, exact ones (`evaluation.exact`).
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
from glimpse_core.evaluation import exact, statistics, store
from glimpse_core.evaluation.cells import ADAPTIVE, REFERENCE, Cell
from glimpse_core.evaluation.metrics import METRICS
from glimpse_core.evaluation.statistics import Interval
from glimpse_core.evaluation.store import Entry

FEW = 40  # questions below which a bootstrap is too narrow
TIMING = "timing.json"
SHARES = ("kv", "prefill", "flops", "flops_all")


def summarize(folder: Path) -> dict[str, Any]:
    """Summarize a run's folder, with the folder's name. Raises GlimpseError where there is no question."""
    header, entries = store.read(folder)
    timing = store.read_json(folder / TIMING)
    return {"name": folder.name, **summary(header, entries, timing)}


def summary(header: dict[str, Any], entries: Sequence[Entry], timing: dict[str, Any] | None = None) -> dict[str, Any]:
    """Summarize the questions of a run: header, counts, and one row of figures per cell.

    Args:
        header, entries: as `store.read` returns them.
        timing: what `timing.measure` returned, or None.

    Raises:
        GlimpseError: where there is no question.
    """
    if not entries:
        raise GlimpseError(
            "The run has no question that has been answered. Expected at least one: let it run, or resume it."
        )
    cells = cells_of(header)
    drawn = statistics.draws(len(entries))
    groups = _groups(header, entries)
    metric = header["metric"]["metric"]
    rows = [_row(cell, entries, groups, drawn, metric) | _measured(timing, cell.label) for cell in cells]
    by_label = {row["label"]: row for row in rows}
    for cell, row in zip(cells, rows, strict=True):
        rival = by_label.get(Cell(ADAPTIVE, cell.budget).label)
        if rival and rival is not row:
            own, other = (_scores(entries, label) for label in (row["label"], rival["label"]))
            row["against"] = asdict(_honest(statistics.difference(own, other, drawn), exact.difference, own, other))
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


def cells_of(header: dict[str, Any]) -> list[Cell]:
    """The cells that the run with this header compares."""
    return [Cell(**cell) for cell in header["plan"]["cells"]]


def mean(entries: Sequence[Entry], value: Callable[[Entry], float]) -> float | None:
    """The average over questions; None for none."""
    return statistics.average(map(value, entries))


def recall(entries: Sequence[Entry], label: str) -> float | None:
    """Share of the evidence tokens that a cell keeps, averaged over the questions that have some; None for none."""
    some = [entry for entry in entries if entry["evidence"]]
    return mean(some, lambda entry: entry["cells"][label]["evidence_kept"] / entry["evidence"])


def _groups(header: dict[str, Any], entries: Sequence[Entry]) -> dict[str, list[Entry]]:
    """The questions of each type, or of each group of types where the task has them."""
    group_of: dict[str, str] = {kind: name for name, kinds in header["groups"].items() for kind in kinds}
    found: dict[str, list[Entry]] = {name: [] for name in header["groups"]}
    for entry in entries:
        kind: str = entry["type"]
        found.setdefault(group_of.get(kind, kind), []).append(entry)
    return {name or "other": members for name, members in found.items() if members}


def _row(
    cell: Cell, entries: Sequence[Entry], groups: dict[str, list[Entry]], drawn: np.ndarray, metric: str
) -> dict[str, Any]:
    label = cell.label
    own, reference = _scores(entries, label), _scores(entries, REFERENCE)
    share, difference = statistics.ratio(own, reference, drawn), statistics.difference(own, reference, drawn)
    if label != REFERENCE:  # which is all of itself, however many questions there are
        share = _honest(share, exact.ratio, own, reference)
        difference = _honest(difference, exact.difference, own, reference)
    kept = sorted(entry["cells"][label]["kept"] / entry["visual"] for entry in entries)
    tails = {name: statistics.quantile(kept, share) for name, share in (("q10", 0.1), ("q90", 0.9))}
    types = dict.fromkeys(entry["type"] for entry in entries)
    row = {
        "label": label,
        "method": cell.method,
        "title": cell.title,
        "budget": cell.budget,
        "accuracy": asdict(_honest(statistics.mean(own, drawn), exact.mean, own)),
        "share": asdict(share),
        "difference": asdict(difference),
        **_spent(entries, label),
        "kept": {"mean": statistics.average(kept)} | tails,
        "recall": recall(entries, label),
        "groups": {name: _part(members, label) for name, members in groups.items()},
        "types": {kind: _part([entry for entry in entries if entry["type"] == kind], label) for kind in types},
    }
    if metric in METRICS:
        answers = [entry["cells"][label]["answer"] for entry in entries]
        row |= {"overall": METRICS[metric]().overall(answers, [entry["expected"] for entry in entries])}
    return row


def _honest(resampled: Interval, exactly: Callable[..., Interval], *scores: Sequence[float]) -> Interval:
    """The exact interval in place of a bootstrap of few questions, or of one whose draws are all the same."""
    certain = resampled.value is not None and resampled.low == resampled.high
    few = len(scores[0]) < FEW
    return exactly(*scores) if (few or certain) and exact.is_binary(*scores) else resampled


def _part(entries: Sequence[Entry], label: str) -> dict[str, Any]:
    """The figures of some of the questions."""
    own, full = math.fsum(_scores(entries, label)), math.fsum(_scores(entries, REFERENCE))
    return {
        "count": len(entries),
        "accuracy": own / len(entries),
        "share": own / full if full else None,
        "kv": _spent(entries, label)["kv"],
        "recall": recall(entries, label),
    }


def _spent(entries: Sequence[Entry], label: str) -> dict[str, float | None]:
    return {name: statistics.average(entry["cells"][label][name] for entry in entries) for name in SHARES}


def _measured(timing: dict[str, Any] | None, label: str) -> dict[str, Any]:
    """Seconds to the first token (quartiles) and peak bytes, each also as a share of the unpruned run's: of the seconds
    the median of the shares round by round.
    """
    cells = timing["cells"] if timing else {}
    if label not in cells:
        return {"seconds": None, "seconds_share": None, "bytes": None, "bytes_share": None}
    own = cells[label]
    return {
        "seconds": own["seconds"],
        "seconds_share": own["share"]["median"],
        "bytes": own["bytes"],
        "bytes_share": own["bytes"] / cells[REFERENCE]["bytes"],
    }


def _scores(entries: Sequence[Entry], label: str) -> list[float]:
    return [entry["cells"][label]["score"] for entry in entries]
