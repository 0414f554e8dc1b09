"""``python -m glimpse_core train``: train the demo base, glimpse modules on a frozen base, or an adapter by rewards."""

import argparse
import importlib

# Modules of this package, each with add_parser(subparsers) and run(args).
KINDS = ("train_base", "train_glimpse", "train_plus", "train_familiarity")


def add_parser(subparsers: argparse._SubParsersAction) -> None:
    """Add the command `train`, with one subcommand per entry of `KINDS`."""
    parser = subparsers.add_parser("train", help="train the demo base, glimpse and VIP on a frozen base, or an adapter")
    kinds = parser.add_subparsers(title="what to train", required=True, metavar="{base,glimpse,plus,familiarity}")
    for name in KINDS:
        importlib.import_module(f"glimpse_core.cli.{name}").add_parser(kinds)
