"""The result of `evaluate` as people read it: a Markdown table by type of question, with what was run above it."""

from __future__ import annotations

from typing import Any

ACCURACIES = (
    ("all tokens", "full"),
    ("pruned", "pruned"),
    ("random, same budget", "random_same_budget"),
    ("evidence only", "oracle_boxes"),
    ("without evidence", "evidence_dropped"),
)
SHARES = (("kept", "kept_share"), ("evidence", "evidence_share"), ("recall", "evidence_recall"))


def markdown(report: dict[str, Any]) -> str:
    """Accuracies, shares of the visual tokens and evidence recall: by type, for one object, and for all questions."""
    everything = {
        "count": report["count"],
        **report["accuracy"],
        "kept_share": report["kept_share"]["mean"],
        "evidence_share": report["evidence_share"],
        "evidence_recall": report["evidence_recall"],
    }
    rows = {**report["by_type"], "**one object**": report["one_object"], "**all**": everything}
    columns = (*ACCURACIES, *SHARES)
    lines = [
        heading(report),
        "",
        "| questions | count | " + " | ".join(name for name, _ in columns) + " |",
        "| :--- |" + " ---: |" * (len(columns) + 1),
    ]
    for name, row in rows.items():
        lines.append(f"| {name} | {row['count']} | " + " | ".join(percent(row[field]) for _, field in columns) + " |")
    kept, correlation = report["kept_share"], report["rank_correlation"]
    quartiles = ", ".join(percent(kept[name]) for name in ("q25", "median", "q75"))
    lines += [
        "",
        f"Kept share of the visual tokens, quartiles: {quartiles}. "
        f"Rank correlation of evidence and kept tokens: {'-' if correlation is None else f'{correlation:.3f}'}. "
        f"Prefill FLOPs of the decoder: {percent(report['prefill_share']['decoder'])} of the unpruned ones.",
    ]
    return "\n".join(lines) + "\n"


def heading(report: dict[str, Any]) -> str:
    """One sentence on what was run."""
    run = report["settings"]
    origin = "held out" if report["held_out"] else "for tuning, not held out"
    return (
        f"{report['count']} questions from scene {run['seed']} ({origin}), "
        f"threshold {run['selection']['threshold']:g}, "
        f"tokens dropped behind layer {report['keep_layer']} of 0 to {report['layers'] - 1}."
    )


def percent(share: float | None) -> str:
    return "-" if share is None else f"{share:.1%}"
