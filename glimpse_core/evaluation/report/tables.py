"""The tables of a report as plain cells of text, and as Markdown and CSV. Text of models and data sets is escaped."""

from __future__ import annotations

import csv
import io
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from typing import Any

from glimpse_core.evaluation.cells import REFERENCE, budget_text

Row = dict[str, Any]

INTERVAL_KIND = (
    "95% intervals (paired bootstrap over questions; of fewer than 40, and where nothing was lost or fixed, exact "
    "from Clopper-Pearson bounds)"
)


@dataclass(frozen=True)
class Table:
    """title: above it. note: what the numbers are. head and rows: cells of text; the first two columns are words."""

    title: str
    note: str
    head: tuple[str, ...]
    rows: tuple[tuple[str, ...], ...]


def overview(summary: dict[str, Any]) -> Table:
    """Methods down, budgets across: the share of the unpruned accuracy that is left."""
    budgets = list(dict.fromkeys(row["budget"] for row in summary["rows"] if row["budget"] is not None))
    if any(row["budget"] is None for row in summary["rows"]):
        budgets.append(None)
    found = {(row["method"], row["budget"]): row for row in summary["rows"]}
    lines = []
    for method in dict.fromkeys(row["method"] for row in summary["rows"]):
        rows = [found.get((method, budget)) for budget in budgets]
        title = next(row["title"] for row in rows if row)
        lines.append((title, method, *(share(row) if row else "" for row in rows)))
    head = ("method", "name", *("its own" if budget is None else budget_text(budget) for budget in budgets))
    note = f"Accuracy as a share of the unpruned accuracy, with {INTERVAL_KIND}."
    return Table("Accuracy left", note, head, tuple(lines))


COLUMNS: dict[str, Callable[[Row], str]] = {
    "method": lambda row: row["title"],
    "budget": lambda row: budget_text(row["budget"]),
    "accuracy": lambda row: percent(row["accuracy"]["value"]),
    "right": lambda row: interval(row["accuracy"]),
    "of unpruned": lambda row: share(row),
    "final KV": lambda row: percent(row["kv"]),
    "prefill tokens": lambda row: percent(row["prefill"]),
    "prefill FLOPs": lambda row: percent(row["flops"]),
    "with vision tower": lambda row: percent(row["flops_all"]),
    "first token": lambda row: _seconds(row),
    "peak memory": lambda row: _bytes(row),
    "evidence recall": lambda row: percent(row["recall"]),
    "against GlimpsePrune": lambda row: points(row.get("against")),
}
BRIEF = ("method", "budget", "right", "of unpruned", "final KV", "prefill FLOPs", "evidence recall")


def _cells(summary: dict[str, Any], names: Iterable[str]) -> tuple[tuple[str, ...], ...]:
    """One line per cell of the run, with these of `COLUMNS`."""
    return tuple(tuple(COLUMNS[name](row) for name in names) for row in summary["rows"])


def brief(summary: dict[str, Any]) -> Table:
    """One row per cell, the most important figures only."""
    note = f"Accuracy and its share of the unpruned accuracy: with {INTERVAL_KIND}."
    return Table("Benchmark", note, BRIEF, _cells(summary, BRIEF))


def costs(summary: dict[str, Any]) -> Table:
    """One row per cell: accuracy, the four budgets, evidence."""
    timing = summary["timing"]
    measured = (
        f"First token and peak memory: measured over {timing['questions']} questions on {timing['device']} "
        f"({timing['threads']} threads), nothing shared between methods; in brackets the share of the unpruned run, "
        "paired round by round."
        if timing
        else "First token and peak memory were not measured (`--timing N`)."
    )
    note = (
        "Final KV: visual tokens in the caches while answering, mean over layers. Prefill tokens: visual tokens read "
        "before the first token, mean over layers. Prefill FLOPs: of the decoder, text and selector "
        "included; then with the vision tower. "
        f"{measured} Against GlimpsePrune: difference in accuracy points at the same budget."
    )
    names = tuple(name for name in COLUMNS if name != "right")
    return Table("Four budgets", note, names, _cells(summary, names))


def groups(summary: dict[str, Any], part: str = "groups") -> Table:
    """One row per cell, one column per group (or type) of questions: accuracy, and its share of the unpruned one."""
    names = list(summary["rows"][0][part])
    lines = tuple(
        (row["title"], budget_text(row["budget"]), *(_part(row[part][name]) for name in names))
        for row in summary["rows"]
    )
    head = ("method", "budget", *(f"{name} ({summary['rows'][0][part][name]['count']})" for name in names))
    note = "Accuracy, and in brackets its share of the unpruned accuracy on the same questions."
    return Table("By group of questions" if part == "groups" else "By type of question", note, head, lines)


def overall(summary: dict[str, Any]) -> Table | None:
    """Figures that only all answers together have, such as F1; None where the metric has none."""
    names = list(summary["rows"][0].get("overall") or ())
    if not names:
        return None
    lines = tuple(
        (row["title"], budget_text(row["budget"]), *(percent(row["overall"][name]) for name in names))
        for row in summary["rows"]
    )
    return Table("Over all answers", "Yes is the positive class.", ("method", "budget", *names), lines)


def together(summaries: Sequence[dict[str, Any]]) -> Table:
    """Several runs: the share of the unpruned accuracy in each, and its mean over runs that have the cell."""
    labels = list(dict.fromkeys(row["label"] for summary in summaries for row in summary["rows"]))
    lines = []
    for label in labels:
        rows = [next((row for row in one["rows"] if row["label"] == label), None) for one in summaries]
        some = next(row for row in rows if row)
        shares = [row["share"]["value"] for row in rows if row and row["share"]["value"] is not None]
        average = sum(shares) / len(shares) if len(shares) == len(summaries) else None
        values = (percent(row["share"]["value"]) if row else "" for row in rows)
        lines.append((some["title"], budget_text(some["budget"]), *values, percent(average)))
    head = ("method", "budget", *(one["name"] for one in summaries), "mean")
    note = "Accuracy as a share of the same run's unpruned accuracy. The mean needs the cell in every run."
    return Table("All runs", note, head, tuple(lines))


def for_summary(summary: dict[str, Any]) -> list[Table]:
    """All tables of one run."""
    tables = [overview(summary), costs(summary), groups(summary)]
    if summary["header"]["groups"]:
        tables.append(groups(summary, "types"))
    return [table for table in (*tables, overall(summary)) if table]


# ------------------------------------------------------------------------------------------------ cells of text


def percent(share: float | None) -> str:
    """Write a share as percent with one decimal place, or a dash for None."""
    return "-" if share is None else f"{share:.1%}"


def origin(held_out: bool) -> str:
    """Where scenes come from, in words."""
    return "held out" if held_out else "for tuning, not held out"


def share(row: Row) -> str:
    """Write a row's accuracy as a share of the unpruned one, with the 95% interval where it is not the reference."""
    found = row["share"]
    if found["value"] is None or row["label"] == REFERENCE:
        return percent(found["value"])
    return interval(found)


def interval(found: dict[str, float]) -> str:
    """Write a share with its 95% interval."""
    return f"{percent(found['value'])} [{100 * found['low']:.1f}, {100 * found['high']:.1f}]"


def _part(part: dict[str, Any]) -> str:
    return f"{percent(part['accuracy'])} ({percent(part['share'])})"


def points(found: dict[str, Any] | None) -> str:
    """Write a difference in points with its 95% interval, or a dash for None."""
    if not found:
        return "-"
    return f"{100 * found['value']:+.1f} [{100 * found['low']:+.1f}, {100 * found['high']:+.1f}]"


def _seconds(row: Row) -> str:
    if not row["seconds"]:
        return "-"
    return f"{1000 * row['seconds']['median']:.0f} ms ({percent(row['seconds_share'])})"


def _bytes(row: Row) -> str:
    return f"{row['bytes'] / 2**20:.1f} MB ({percent(row['bytes_share'])})" if row["bytes"] else "-"


# ------------------------------------------------------------------------------------------------ formats


def markdown(table: Table) -> str:
    """A heading, the table, and the note."""
    rows = [tuple(map(plain, row)) for row in table.rows]
    lines = [f"### {plain(table.title)}", "", *lines_of(tuple(map(plain, table.head)), rows, 2), "", plain(table.note)]
    return "\n".join(lines) + "\n"


def lines_of(head: Sequence[str], rows: Iterable[Sequence[str]], words: int = 1) -> list[str]:
    """A Markdown table, line by line. words: how many of the first columns are words; numbers stand on the right."""
    aligned = "|" + " :--- |" * words + " ---: |" * (len(head) - words)
    return [f"| {' | '.join(head)} |", aligned, *(f"| {' | '.join(row)} |" for row in rows)]


def plain(text: str) -> str:
    """Text that Markdown takes for nothing but text, on one line. Brackets alone do no harm."""
    joined = " ".join(text.split())
    special = "\\|`*_#" + ("[]" if any(link in joined for link in ("](", "][", "]:")) else "")
    escaped = "".join(f"\\{letter}" if letter in special else letter for letter in joined)
    return escaped.replace("&", "&amp;").replace("<", "&lt;").replace(">", "&gt;")


FIELDS = ("kv", "prefill", "flops", "flops_all", "recall", "seconds_share", "bytes", "bytes_share")
INTERVALS = ("accuracy", "share", "difference", "against")


def csv_text(summaries: Sequence[dict[str, Any]]) -> str:
    """Every figure of every cell, one line per run and cell; numbers are shares of 1, seconds and bytes."""
    out = io.StringIO()
    head = [f"{name}{end}" for name in INTERVALS for end in ("", "_low", "_high")]
    writer = csv.writer(out, lineterminator="\n")
    writer.writerow(
        ["run", "label", "method", "budget", "count", *head, *FIELDS, "seconds", "kept", "kept_q10", "kept_q90"]
    )
    for summary in summaries:
        for row in summary["rows"]:
            intervals = [(row.get(name) or {}).get(end) for name in INTERVALS for end in ("value", "low", "high")]
            seconds = row["seconds"]["median"] if row["seconds"] else None
            kept = [row["kept"][name] for name in ("mean", "q10", "q90")]
            values = [*intervals, *(row[name] for name in FIELDS), seconds, *kept]
            first = [summary["name"], row["label"], row["method"], budget_text(row["budget"]), summary["count"]]
            writer.writerow([*first, *("" if value is None else round(value, 6) for value in values)])
    return out.getvalue()
