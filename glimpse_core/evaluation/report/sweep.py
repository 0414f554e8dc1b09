"""Several glimpses side by side, as in the paper's Table 6: where to drop the tokens (K) against accuracy and cost."""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from glimpse_core.evaluation.report.tables import lines_of, origin, percent
from glimpse_core.media import plots

COLUMNS = (
    ("K", lambda r: str(r["keep_layer"])),
    ("prefill FLOPs (decoder)", lambda r: percent(r["prefill_share"]["decoder"])),
    ("kept", lambda r: percent(r["kept_share"]["mean"])),
    ("kept, one object", lambda r: percent(r["one_object"]["kept_share"])),
    ("full", lambda r: percent(r["accuracy"]["full"])),
    ("pruned", lambda r: percent(r["accuracy"]["pruned"])),
    ("random, same budget", lambda r: percent(r["accuracy"]["random_same_budget"])),
    ("oracle boxes", lambda r: percent(r["accuracy"]["oracle_boxes"])),
    ("evidence dropped", lambda r: percent(r["accuracy"]["evidence_dropped"])),
    ("evidence recall", lambda r: percent(r["evidence_recall"])),
    ("rank correlation", lambda r: "-" if r["rank_correlation"] is None else f"{r['rank_correlation']:.3f}"),
)


def write(folder: Path, reports: Sequence[dict[str, Any]]) -> None:
    """sweep.md, sweep.json, sweep.png and sweep.svg from the reports of `evaluate`, one per K."""
    ordered = sorted(reports, key=lambda report: report["keep_layer"])
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "sweep.json").write_text(json.dumps(ordered, indent=1) + "\n")
    (folder / "sweep.md").write_text(markdown(ordered))
    points = [
        {
            "keep_layer": report["keep_layer"],
            "accuracy": report["accuracy"]["pruned"],
            "kept_share": report["kept_share"]["mean"],
            "prefill_share": report["prefill_share"]["decoder"],
        }
        for report in ordered
    ]
    figure = plots.sweep(points, ordered[0]["accuracy"]["full"])
    for kind in ("png", "svg"):
        plots.save(figure, folder / f"sweep.{kind}")


def markdown(reports: Sequence[dict[str, Any]]) -> str:
    """The table, with a line above it that says what was run."""
    first = reports[0]
    lines = [
        f"{first['count']} questions from scene {first['settings']['seed']} ({origin(first['held_out'])}), "
        f"threshold {first['settings']['selection']['threshold']:g}. "
        f"K is the 0-based layer after which tokens are dropped, of {first['layers']} layers.",
        "",
        *lines_of([name for name, _ in COLUMNS], [[show(report) for _, show in COLUMNS] for report in reports], 0),
    ]
    return "\n".join(lines) + "\n"
