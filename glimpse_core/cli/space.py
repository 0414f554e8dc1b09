"""``python -m glimpse_core space``: write the Hugging Face Space as a folder that can be pushed."""

from __future__ import annotations

import argparse
from pathlib import Path


def add_parser(subparsers: argparse._SubParsersAction) -> None:
    """Add the command `space` and its options."""
    parser = subparsers.add_parser(
        "space",
        help="write the Hugging Face Space",
        description="Write a complete Space: README with checked front matter, requirements, app and assets.",
    )
    parser.add_argument("--out", type=Path, default=Path("dist/space"), help="folder to write (default dist/space)")
    parser.set_defaults(run=run)


def run(args: argparse.Namespace) -> int:
    """Write the Space and print its size.

    Returns:
        The exit code: 0.

    Raises:
        GlimpseError: where the Space cannot be written.
    """
    from glimpse_core.ui.space import build

    folder = build(args.out)
    size = sum(path.stat().st_size for path in folder.rglob("*") if path.is_file() and ".git" not in path.parts)
    print(f"{folder}: {size / 1e6:.1f} MB. Push it to a Space of yours: see README.md there.")
    return 0
