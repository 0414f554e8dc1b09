"""``python -m glimpse_core parity``: compare the engine with numbers of the original code."""

from __future__ import annotations

import argparse
import dataclasses
import json
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from glimpse_core.parity.result import Result


def add_parser(subparsers: argparse._SubParsersAction) -> None:
    """Add the command `parity` and its options."""
    parser = subparsers.add_parser(
        "parity",
        help="compare the engine with golden cases",
        description="Run golden cases made by the original code, in float32 on the CPU. Exit code 1 if one differs.",
    )
    parser.add_argument(
        "cases", nargs="+", type=Path, metavar="CASE_DIR", help="folder with case.json or bbox_golden.json"
    )
    parser.add_argument("--attn", default="sdpa", choices=("sdpa", "eager"), help="attention function (default sdpa)")
    parser.add_argument("--json", action="store_true", help="print every check as JSON instead of one line per case")
    parser.set_defaults(run=run)


def run(args: argparse.Namespace) -> int:
    """Run golden cases and print what differs.

    Returns:
        The exit code: 0 where all cases agree, else 1.

    Raises:
        GlimpseError: for a folder that is no case.
    """
    from glimpse_core.parity import run_case

    results = []
    for folder in args.cases:
        result = run_case(folder, attn=args.attn)
        results.append(result)
        if not args.json:
            print("\n".join(lines(result)), flush=True)
    if args.json:
        print(json.dumps([{**dataclasses.asdict(result), "ok": result.ok} for result in results], indent=1))
    else:
        print(f"{sum(result.ok for result in results)} of {len(results)} cases agree ({args.attn})")
    return 0 if all(result.ok for result in results) else 1


def lines(result: Result) -> list[str]:
    """Return a line about a case, and one for each check that failed."""
    worst = max(result.checks, key=lambda check: check.difference / check.tolerance if check.tolerance else 0)
    summary = (
        f"{'ok  ' if result.ok else 'FAIL'} {result.case:24} {len(result.checks):3} checks, "
        f"worst difference {worst.difference:.1e} of {worst.tolerance:.1e} allowed ({worst.name})"
    )
    return [summary, *(f"     {check.name}: {check.message}" for check in result.checks if not check.ok)]
