"""The horizon: accuracy over the layer before which controls drop visual tokens, so how late these still matter.

If dropping everything after k layers costs nothing, no choice among the tokens can be better than another there.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from matplotlib.figure import Figure

from glimpse_core.evaluation.cells import REFERENCE, Cell, budget_text
from glimpse_core.evaluation.report import tables
from glimpse_core.media import plots

Row = dict[str, Any]


@dataclass(frozen=True)
class Line:
    """One control at one budget. rows: by the number of layers that see every token, ascending."""

    title: str
    rows: dict[int, Row]

    @property
    def edge(self) -> int | None:
        """The fewest layers from which on no tested drop is known to cost accuracy: the interval of its difference
        from the unpruned run has 0 in it. None where the deepest one costs some.
        """
        found = None
        for depth, row in sorted(self.rows.items(), reverse=True):
            if row["difference"]["high"] < 0:
                break
            found = depth
        return found


def lines(summary: dict[str, Any]) -> list[Line]:
    """The controls that ran at several layers; none in a run without them."""
    found: dict[tuple[str, str], dict[int, Row]] = {}
    for row in summary["rows"]:
        *before, last = Cell(row["method"]).steps
        if last.depth is not None:
            title = " + ".join([*(step.title for step in before), last.card.label])
            found.setdefault((title, budget_text(row["budget"])), {})[last.depth] = row
    named = {f"{title} ({budget})" if budget != "-" else title: rows for (title, budget), rows in found.items()}
    return [Line(title, dict(sorted(rows.items()))) for title, rows in named.items() if len(rows) > 1]


def labels(found: list[Line]) -> set[str]:
    """The cells that these lines consist of."""
    return {row["label"] for line in found for row in line.rows.values()}


def table(summary: dict[str, Any]) -> tables.Table | None:
    """Layers down, controls across; None in a run without a horizon."""
    found = lines(summary)
    if not found:
        return None
    depths = sorted({depth for line in found for depth in line.rows})
    cells = [
        (str(depth), *(_accuracy(line.rows[depth]) if depth in line.rows else "" for line in found)) for depth in depths
    ]
    full = next(row for row in summary["rows"] if row["label"] == REFERENCE)
    edges = [f"{line.title}: {'none' if line.edge is None else line.edge}" for line in found]
    note = (
        "Layers that see every visual token; then accuracy, and in brackets its difference from the unpruned run's "
        f"{tables.percent(full['accuracy']['value'])} in points, with {tables.INTERVAL_KIND}. Fewest layers from which "
        f"on no tested drop is known to cost accuracy: {'; '.join(edges)}."
    )
    return tables.Table("Horizon", note, ("layers", *(line.title for line in found)), tuple(cells))


def figure(summary: dict[str, Any]) -> Figure | None:
    """Accuracy over the layers that see every token, one line per control; None in a run without a horizon."""
    found = lines(summary)
    if not found:
        return None
    full = next(row for row in summary["rows"] if row["label"] == REFERENCE)
    series = {
        line.title: [(float(depth), row["accuracy"]["value"]) for depth, row in line.rows.items()] for line in found
    }
    return plots.accuracy_over_depth(series, full["accuracy"]["value"])


def _accuracy(row: Row) -> str:
    return f"{tables.percent(row['accuracy']['value'])} ({tables.points(row['difference'])})"
