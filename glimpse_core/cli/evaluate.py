"""``python -m glimpse_core evaluate``: score a model on the demo world, or compare pruning methods on any task."""

from __future__ import annotations

import argparse
from pathlib import Path

from glimpse_core.cli import evaluate_methods


def add_parser(subparsers: argparse._SubParsersAction) -> None:
    parser = subparsers.add_parser(
        "evaluate",
        help="score a model on held-out scenes",
        description="With --json: asks one question about each of COUNT scenes, every type in equal share, and answers "
        "it five times: with all visual tokens, pruned, with as many random tokens, with the evidence alone, and "
        "without it. With --out: compares pruning methods at given budgets on any task; `report` reads the result.",
    )
    parser.add_argument("--model", default="demo", help="catalog name, folder or Hub name (default demo)")
    parser.add_argument("--glimpse", type=Path, nargs="+", help="folders of glimpse modules (default: the model's "
                        "own); several only with --sweep")  # fmt: skip
    parser.add_argument("--seed", type=int, help="first scene (default 10000000; smaller ones are "
                        "training data, for tuning)")  # fmt: skip
    parser.add_argument("--count", type=int, help="number of questions (default 2000 scenes, or all of a file)")
    parser.add_argument("--json", type=Path, help="file for the result; a table (.md) and every question (.jsonl) "
                        "go beside it")  # fmt: skip
    parser.add_argument("--sweep", type=Path, help="folder for a table and a plot over the K of all --glimpse")
    parser.add_argument("--threshold", type=float, default=0.5, help="default 0.5")
    parser.add_argument("--max-ratio", type=float, help="cap on the kept share (default: none)")
    parser.add_argument("--min-tokens", type=int, default=1, help="default 1")
    parser.add_argument("--max-new-tokens", type=int, default=200, help="default 200")
    parser.add_argument("--workers", type=int, help="processes of one thread each (default 2, on a GPU 1)")
    parser.add_argument("--resume", action="store_true", help="take over the questions an interrupted run has answered")
    parser.add_argument("--dtype", default="auto", help="auto, float32, bfloat16 or float16")
    parser.add_argument("--device", default="auto")
    parser.add_argument("--attn", default="auto", help="sdpa, eager, flash_attention_2 or auto")
    evaluate_methods.add_options(parser)
    parser.set_defaults(run=run)


def run(args: argparse.Namespace) -> int:
    if evaluate_methods.asked(args):
        return evaluate_methods.run(args)
    from glimpse_core.errors import GlimpseError
    from glimpse_core.world import HELD_OUT

    args.seed = HELD_OUT if args.seed is None else args.seed
    args.count = 2000 if args.count is None else args.count
    args.workers = 2 if args.workers is None else args.workers
    glimpses = [str(folder) for folder in args.glimpse or ()] or [None]
    if args.count < 1:
        raise GlimpseError(f"--count is {args.count}: wanted was at least 1")
    if args.seed < 0:
        raise GlimpseError(f"--seed is {args.seed}: wanted was 0 or more ({HELD_OUT} and above are held out)")
    if len(glimpses) > 1 and not args.sweep:
        raise GlimpseError("several --glimpse folders were given: add --sweep FOLDER for their table, or give one")
    if not args.sweep and not args.json:
        raise GlimpseError("nothing says where the result goes: give --json FILE, --sweep FOLDER, or --out FOLDER")
    if args.sweep:
        from glimpse_core.evaluation import sweep

        names = [Path(glimpse).name if glimpse else "own" for glimpse in glimpses]
        if len(set(names)) < len(names):
            raise GlimpseError(f"the --glimpse folders {', '.join(names)} do not differ in name: rename one")
        files = [args.sweep / "runs" / f"{name}.json" for name in names]
        sweep.write(args.sweep, [_one(args, glimpse, file) for glimpse, file in zip(glimpses, files, strict=True)])
        print((args.sweep / "sweep.md").read_text())
    else:
        _one(args, glimpses[0], args.json)
        print(f"written: {args.json}")
    return 0


def _one(args: argparse.Namespace, glimpse: str | None, file: Path) -> dict:
    import json
    import time

    from glimpse_core.evaluation import tables
    from glimpse_core.evaluation.run import Run, outcomes, report
    from glimpse_core.types import Selection

    one = Run(
        model=args.model,
        seed=args.seed,
        count=args.count,
        glimpse=glimpse,
        selection=Selection(args.threshold, args.max_ratio, args.min_tokens),
        max_new_tokens=args.max_new_tokens,
        dtype=args.dtype,
        device=args.device,
        attn=args.attn,
    )
    model = one.load()
    began = time.perf_counter()
    found = outcomes(
        one,
        model,
        file.with_suffix(".jsonl"),
        workers=args.workers,
        resume=args.resume,
        tell=lambda line: print(line, flush=True),
    )
    result = report(one, model, found, time.perf_counter() - began, args.workers)
    file.write_text(json.dumps(result, indent=1) + "\n")
    file.with_suffix(".md").write_text(tables.markdown(result))
    print(tables.markdown(result), flush=True)
    return result
