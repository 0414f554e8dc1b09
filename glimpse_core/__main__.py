"""``python -m glimpse_core COMMAND``. Every command is a module of `glimpse_core/cli`, imported when asked for.

Exit codes: 0 done; 1 done, and the outcome is negative (a golden case differs); 2 the request cannot be carried out,
with the reason on stderr; 130 interrupted.
"""

from __future__ import annotations

import argparse
import importlib
import sys

from glimpse_core import __version__
from glimpse_core.errors import GlimpseError

COMMANDS = {
    "ask": "answer a question about pictures, pruned and unpruned",
    "parity": "compare the engine with golden cases of the original code",
    "models": "list the known models and what is available locally",
    "doctor": "say what would be loaded, from where, and what stands in the way",
    "world": "write demo scenes and their questions",
    "train": "train the demo base, or glimpse modules on a frozen base",
    "evaluate": "score a model on held-out scenes, or compare pruning methods on a task",
    "report": "tables, curves and worst cases of comparisons",
    "bench": "time plain, pruned and paired answers",
    "space": "write the Hugging Face Space as a folder",
}


def parser_for(command: str | None) -> argparse.ArgumentParser:
    """The parser with the one command's own options; without a command, an overview of all."""
    parser = argparse.ArgumentParser(
        prog="python -m glimpse_core",
        description="GlimpsePrune: look once, keep what the question needs.",
        epilog="commands:\n" + "\n".join(f"  {name:10}{summary}" for name, summary in COMMANDS.items()),
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("--version", action="version", version=f"glimpse_core {__version__}")
    subparsers = parser.add_subparsers(dest="command", required=True, metavar="COMMAND", help=argparse.SUPPRESS)
    if command in COMMANDS:
        importlib.import_module(f"glimpse_core.cli.{command}").add_parser(subparsers)
    else:
        for name in COMMANDS:
            subparsers.add_parser(name)
    return parser


def main(argv: list[str] | None = None) -> int:
    argv = sys.argv[1:] if argv is None else argv
    command = next((word for word in argv if not word.startswith("-")), None)
    try:
        args = parser_for(command).parse_args(argv)
        return args.run(args)
    except GlimpseError as error:
        print(f"error: {error}", file=sys.stderr)
        return 2
    except KeyboardInterrupt:
        return 130


if __name__ == "__main__":
    sys.exit(main())
