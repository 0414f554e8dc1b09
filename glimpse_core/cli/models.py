"""``python -m glimpse_core models``: list the known models, their sizes, and whether they are on this machine."""

from __future__ import annotations

import argparse
import json


def add_parser(subparsers: argparse._SubParsersAction) -> None:
    """Add the command `models` and its options."""
    parser = subparsers.add_parser("models", help="list the known models", description="List the catalog.")
    parser.add_argument("--json", action="store_true", help="print the list as JSON")
    parser.set_defaults(run=run)


def run(args: argparse.Namespace) -> int:
    """Print the catalog.

    Returns:
        The exit code: 0.
    """
    from glimpse_core.models.entries import list_models

    rows = [
        {
            "name": entry.name,
            "title": entry.title,
            "parameters": entry.parameters,
            "state": "on this machine" if entry.is_local else "to be downloaded" if entry.is_download else "missing",
            "base": entry.base,
            "glimpse": entry.glimpse,
            "note": entry.note,
        }
        for entry in list_models()
    ]
    if args.json:
        print(json.dumps(rows, indent=1))
        return 0
    for row in rows:
        count = row["parameters"]
        size = f"{count / 1e6:,.1f} M" if isinstance(count, int) and count else "?"
        print(f"{row['name']:16} {size:>10} parameters, {row['state']:16} {row['title']}: {row['note']}")
    return 0
