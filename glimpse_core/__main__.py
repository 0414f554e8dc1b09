"""`glimpse COMMAND`, also as `python -m glimpse_core COMMAND`. Each command is a module of `glimpse_core/cli`.

A command's module is imported when the command is used, and torch only when it runs.
Exit codes: 0 done; 1 done with a negative outcome (a golden case differs); 2 the request cannot be carried out, with
the reason on stderr; 130 interrupted.
"""

from __future__ import annotations

import argparse
import importlib
import sys
from pathlib import Path

from glimpse_core.errors import GlimpseError
from glimpse_core.storage.versions import __version__

COMMANDS = {
    "demo": "serve the page",
    "ask": "answer a question about images, pruned and unpruned",
    "parity": "compare the engine with golden cases of the original code",
    "models": "list the known models and what is available locally",
    "doctor": "check what would be loaded, from where, and what prevents it",
    "world": "write demo scenes and their questions",
    "train": "train the demo base, or glimpse modules on a frozen base",
    "evaluate": "score a model on held-out scenes, or compare pruning methods on a task",
    "report": "tables, curves and worst cases of comparisons",
    "bench": "time plain, pruned and paired answers",
    "space": "write the Hugging Face Space as a folder",
}


def parser_for(command: str | None) -> argparse.ArgumentParser:
    """Return the parser with the one command's own options; without a command, an overview of all."""
    parser = argparse.ArgumentParser(
        prog=program(),
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


def program() -> str:
    """Return how this program was called, for its help: `glimpse` for the installed script."""
    return "glimpse" if Path(sys.argv[0]).stem == "glimpse" else "python -m glimpse_core"


def main(argv: list[str] | None = None) -> int:
    """Run a command and return its exit code. argv: words after the program's name; None: those of this process."""
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
