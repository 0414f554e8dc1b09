"""The curves of a report: accuracy left over the KV cache and over the prefill's FLOPs, one line per method; and, of
controls at several layers, accuracy over the layer.
"""

from __future__ import annotations

from typing import Any

from matplotlib.figure import Figure

from glimpse_core.evaluation.cells import REFERENCE, Cell
from glimpse_core.evaluation.report import horizon
from glimpse_core.media import plots

AXES = {"kv": "visual tokens in the KV cache while answering", "flops": "prefill FLOPs of decoder and selector"}
LEFT = "share of the unpruned accuracy"


def curves(summary: dict[str, Any]) -> dict[str, Figure]:
    """By name, one per axis; none where nothing was pruned or the unpruned run has nothing right."""
    rows = [row for row in summary["rows"] if row["label"] != REFERENCE and row["share"]["value"] is not None]
    rows = [row for row in rows if Cell(row["method"]).draw == 1]  # others would lie on the first
    apart = horizon.labels(horizon.lines(summary))
    rows = [row for row in rows if row["label"] not in apart]
    over_depth = horizon.figure(summary)
    figures = {} if over_depth is None else {"accuracy_over_depth": over_depth}
    if not rows:
        return figures
    for axis, label in AXES.items():
        series: dict[str, list[tuple[float, float]]] = {}
        for row in rows:
            series.setdefault(row["title"], []).append((row[axis], row["share"]["value"]))
        figures[f"accuracy_over_{axis}"] = plots.accuracy_over_kept(series, 1.0, xlabel=label, ylabel=LEFT)
    return figures
