"""``python -m glimpse_core evaluate``: score a model on the demo world, or compare pruning methods on any task."""

from __future__ import annotations

import argparse
from pathlib import Path
from typing import Any

from glimpse_core.cli import evaluate_methods
from glimpse_core.cli.options import add_adapter, add_keep_layer, add_placement
from glimpse_core.errors import GlimpseError
from glimpse_core.glimpse.settings import RULE
from glimpse_core.glimpse.settings.interfaces import add_options
from glimpse_core.types import Settings


def add_parser(subparsers: argparse._SubParsersAction) -> None:
    """Add the command `evaluate` and its options."""
    parser = subparsers.add_parser(
        "evaluate",
        help="score a model on held-out scenes",
        description="With --json: asks one question about each of COUNT scenes or pages, every type in equal share, "
        "and answers it five times: with all visual tokens, pruned, with as many random tokens, with the evidence "
        "alone, and without it. With --out: compares pruning methods at given budgets on any task; `report` reads the "
        "result.",
    )
    parser.add_argument("--model", default="demo", help="catalog name, folder or Hub name (default demo)")
    parser.add_argument("--glimpse", type=Path, nargs="+", help="folders of glimpse modules, or none, with --out only "
                        "(default: the model's own); several only with --sweep")  # fmt: skip
    add_keep_layer(parser)
    add_adapter(parser)
    parser.add_argument("--seed", type=int, help="first scene (default 10000000; smaller ones are "
                        "training data, for tuning)")  # fmt: skip
    parser.add_argument("--count", type=int, help="number of questions (default 2000 scenes, or all of a file)")
    parser.add_argument("--kind", choices=("scene", "page", "both"), help="what --json asks about (default scene; "
                        "both: a scene and a page in turn)")  # fmt: skip
    parser.add_argument("--budgets", metavar="11.1%,...", help="shares of the visual tokens. With --json: at each, the "
                        "predictor against plain attention. With --out, also `dynamic`, the default: as many tokens as "
                        "GlimpsePrune keeps")  # fmt: skip
    parser.add_argument("--json", type=Path, help="file for the result; a table (.md) and every question (.jsonl) "
                        "go beside it")  # fmt: skip
    parser.add_argument("--deletion", type=Path, metavar="JSON", help="instead of --json: whether words of the answers "
                        "change without the visual tokens that `ask --attribute` says they need (default 200 "
                        "questions)")  # fmt: skip
    parser.add_argument("--sweep", type=Path, help="folder for a table and a plot over the K of all --glimpse")
    add_options(parser, RULE, Settings())
    parser.add_argument("--max-new-tokens", type=int, default=200, help="default 200")
    parser.add_argument("--workers", type=int, help="processes of one thread each (default 2, on a GPU 1)")
    parser.add_argument("--resume", action="store_true", help="take over the questions an interrupted run has answered")
    add_placement(parser)
    evaluate_methods.add_options(parser)
    parser.set_defaults(run=run)


def run(args: argparse.Namespace) -> int:
    """Score a model in five variants, or compare methods where --out is given.

    Returns:
        The exit code: 0.

    Raises:
        GlimpseError: for what cannot be evaluated.
    """
    if evaluate_methods.asked(args):
        return evaluate_methods.run(args)
    glimpses = check(args)
    if args.deletion:
        deletion(args, glimpses[0], args.deletion)
        print(f"written: {args.deletion}")
        return 0
    if not args.sweep:
        variants(args, glimpses[0], args.json)
        print(f"written: {args.json}")
        return 0
    from glimpse_core.evaluation.report import sweep

    names = [Path(glimpse).name if glimpse else "own" for glimpse in glimpses]
    if len(set(names)) < len(names):
        raise GlimpseError(
            f"The --glimpse folders {', '.join(names)} do not differ in name. Expected different names: rename one."
        )
    files = [args.sweep / "runs" / f"{name}.json" for name in names]
    sweep.write(args.sweep, [variants(args, glimpse, file) for glimpse, file in zip(glimpses, files, strict=True)])
    print((args.sweep / "sweep.md").read_text())
    return 0


def check(args: argparse.Namespace) -> list[str | None]:
    """Return the glimpse modules to score, None for the model's own. Raises GlimpseError for impossible requests."""
    from glimpse_core.world import HELD_OUT

    glimpses: list[str | None] = [str(folder) for folder in args.glimpse or ()] or [None]
    if args.count is not None and args.count < 1:
        raise GlimpseError(f"--count is {args.count}. Expected at least 1.")
    if args.seed is not None and args.seed < 0:
        raise GlimpseError(f"--seed is {args.seed}. Expected 0 or more ({HELD_OUT} and above are held out).")
    if len(glimpses) > 1 and not args.sweep:
        raise GlimpseError(
            "Several --glimpse folders were given. Expected one without --sweep: add --sweep FOLDER, or give one."
        )
    if args.sweep and args.budgets:
        raise GlimpseError("--budgets was given with --sweep, whose table has no budgets. Expected --json FILE.")
    if args.deletion and (args.json or args.sweep or args.budgets):
        raise GlimpseError("--deletion was given with --json, --sweep or --budgets. Expected it alone: leave them out.")
    if not args.sweep and not args.json and not args.deletion:
        raise GlimpseError(
            "Nothing says where the result goes. Expected one of --json FILE, --deletion FILE, --sweep FOLDER and "
            "--out FOLDER: give it."
        )
    return glimpses


def variants(args: argparse.Namespace, glimpse: str | None, file: Path) -> dict[str, Any]:
    """Run the preset of five variants; write its JSON, a table and every question side by side."""
    import time

    from glimpse_core.evaluation import presets, store
    from glimpse_core.evaluation.cells import read_share
    from glimpse_core.evaluation.report.variants import markdown, result

    given = questions(args)
    given["budgets"] = tuple(read_share(text) for text in (args.budgets or "").split(",") if text.strip())
    loaded = presets.variants(args.model, **given, glimpse=glimpse, **evaluate_methods.decoding(args)).load()
    processes, lines, began = evaluate_methods.processes(args, loaded), file.with_suffix(".jsonl"), time.perf_counter()
    evaluate_methods.answer(loaded, lines, processes=processes, resume=args.resume)
    found = result(loaded, store.read_lines(lines)[1], time.perf_counter() - began, processes)
    write(file, found, markdown(found))
    return found


def deletion(args: argparse.Namespace, glimpse: str | None, file: Path) -> None:
    """Run the deletion test of word attribution; write its JSON, a table and every question side by side."""
    from glimpse_core.evaluation import deletion, store
    from glimpse_core.evaluation.report.deletion import markdown, result

    loaded = deletion.plan(args.model, **questions(args), glimpse=glimpse, **evaluate_methods.decoding(args)).load()
    lines = file.with_suffix(".jsonl")
    how = {"processes": evaluate_methods.processes(args, loaded), "resume": args.resume}
    evaluate_methods.answer(loaded, lines, do=deletion.ask, **how)
    found = result(loaded, store.read_lines(lines)[1], deletion.measure(loaded))
    write(file, found, markdown(found))


def questions(args: argparse.Namespace) -> dict[str, Any]:
    """Which questions of the demo world are asked, as far as the options say."""
    return {name: value for name in ("count", "seed", "kind") if (value := getattr(args, name)) is not None}


def write(file: Path, found: dict[str, Any], table: str) -> None:
    """Write a result and its table beside it, and print the table."""
    import json

    file.write_text(json.dumps(found, indent=1) + "\n")
    file.with_suffix(".md").write_text(table)
    print(table, flush=True)
