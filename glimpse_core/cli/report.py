"""``python -m glimpse_core report RUN...``: tables, curves and worst cases of what `evaluate --out` left."""

from __future__ import annotations

import argparse
from pathlib import Path


def add_parser(subparsers: argparse._SubParsersAction) -> None:
    """Add the command `report` and its options."""
    parser = subparsers.add_parser(
        "report",
        help="tables, curves and worst cases of comparisons",
        description="Reads one or several --out folders of `evaluate`, finished or not, and writes report.md, "
        "report.csv, report.html (one file, needs nothing else), summary.json, and the curves as PNG and SVG.",
    )
    parser.add_argument("runs", type=Path, nargs="+", metavar="RUN", help="folders written by evaluate --out")
    parser.add_argument("--out", type=Path, help="where to (default: `report` in the first RUN)")
    parser.add_argument("--cell", metavar="METHOD@BUDGET", help="whose worst cases (default: GlimpsePrune's)")
    parser.add_argument("--worst", type=int, default=6, metavar="N", help="how many of them (default 6)")
    parser.set_defaults(run=run)


def run(args: argparse.Namespace) -> int:
    """Write the report of one or several runs, and print it.

    Returns:
        The exit code: 0.

    Raises:
        GlimpseError: for folders without results, and a cell that the runs do not have.
    """
    from glimpse_core.evaluation.report import Report

    report = Report.of(args.runs, args.cell, max(args.worst, 0))
    folder = args.out or args.runs[0] / "report"
    files = report.write(folder)
    print(report.markdown())
    print(f"written: {len(files)} files in {folder}")
    return 0
