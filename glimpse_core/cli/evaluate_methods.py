"""``python -m glimpse_core evaluate --out DIR``: compare pruning methods on a task, resumable and in shards."""

from __future__ import annotations

import argparse
import json
import os
import sys
from pathlib import Path
from typing import Any

from glimpse_core.errors import GlimpseError

ALL = "all"
ONLY_HERE = {
    "task": "world", "methods": None, "by_group": False, "metric": None, "judge_url": None,
    "judge_model": None, "suffix": None, "shard": None, "timing": None, "horizon": None,
}  # fmt: skip


def add_options(parser: argparse.ArgumentParser) -> None:
    """Add the options of a comparison to those of `evaluate`."""
    group = parser.add_argument_group("comparing methods")
    add = group.add_argument
    add("--out", type=Path, metavar="DIR", help="folder for questions.jsonl, summary.json and timing.json")
    add("--task", default="world", metavar="TASK", help="world, world:page, world:both, a .jsonl file in the "
        "Visual-CoT layout, or NAME:PATH with NAME visual-cot, gqa, textvqa, pope or docvqa "
        "(default world)")  # fmt: skip
    add(
        "--methods",
        metavar="A,B+C,...",
        help="all, or pruners, cascades such as divprune:50%%+glimpse, inverse:METHOD, visionselector:FOLDER of its "
        "weights; `none` always runs (default glimpse, without glimpse modules attention)",
    )
    add("--horizon", metavar="0,4,8,...", help="also random tokens, and none at all, from each of these layers on; the "
        "report draws accuracy over the layer")  # fmt: skip
    add("--by-group", action="store_true", help="groups of types in equal share, not types (world)")
    add("--match", default="final", choices=("final", "kv", "prefill"), help="what a budget is the share of")
    add("--policy", default="published", choices=("published", "common"), help="caches and positions as the authors' "
        "code has them, or the same for all")  # fmt: skip
    add("--metric", help="exact, relaxed, anls, vqa, yes_no or judge (default: the task's)")
    add("--judge-url", metavar="URL", help="of an OpenAI-compatible API, such as http://127.0.0.1:8000/v1")
    add("--judge-model", metavar="NAME")
    add("--judge-key-env", default="OPENAI_API_KEY", metavar="VARIABLE", help="where its key is (default %(default)s)")
    add("--suffix", help="text after every question (default: the task's)")
    add("--shard", metavar="K/N", help="only every Nth question, from the Kth (0-based); merged when all N are there")
    add("--timing", type=int, metavar="N", help="also measure time and memory of every method alone, on N questions")
    add("--together", type=int, default=64, metavar="ROWS", help="answers decoded in step, fewer for less memory")


def asked(args: argparse.Namespace) -> bool:
    """Whether a comparison is wanted. Raises GlimpseError for options that do not go together."""
    given = [name for name, usual in ONLY_HERE.items() if getattr(args, name) != usual]
    if args.out is None:
        if given:
            names = ", ".join("--" + name.replace("_", "-") for name in given)
            raise GlimpseError(
                f"{names} was given without --out. Expected it for a comparison of methods: give --out FOLDER as well."
            )
        return False
    if args.kind:
        raise GlimpseError("--kind belongs to --json. Expected --task world, world:page or world:both with --out.")
    if args.json or args.sweep or args.deletion:
        raise GlimpseError(
            "--out was given together with --json, --deletion or --sweep. Expected one of them: leave out the others."
        )
    if args.glimpse and len(args.glimpse) > 1:
        raise GlimpseError(
            "Several --glimpse folders were given with --out. Expected one: compare them one by one, or use --sweep."
        )
    return True


def run(args: argparse.Namespace) -> int:
    """Answer all questions of a comparison, or of one shard, and write summary and timing.

    Returns:
        The exit code: 0.

    Raises:
        GlimpseError: for what cannot be compared, and for results that exist already where --resume is not given.
    """
    os.environ.setdefault("KINETO_LOG_LEVEL", "99")  # before torch is imported: its profiler tells every start and stop
    from glimpse_core.evaluation import store

    plan, shard = plan_of(args), read_shard(args.shard)
    target = store.shard_file(args.out, shard)
    if target.exists() and not args.resume:
        raise GlimpseError(
            f"{target} exists already. Expected a new file: add --resume to go on with it, or choose another folder."
        )
    loaded = plan.load()
    answer(loaded, target, shard=shard, processes=processes(args, loaded), resume=args.resume)
    if args.timing:
        measured(loaded, args.timing, args.out)
    if shard[1] > 1 and store.merge(args.out) is None:
        print(f"written: {target} (shard {args.shard}; the summary comes with the last shard)")
        return 0
    return finish(args.out)


def answer(loaded: Any, path: Path, **how: Any) -> None:
    """Answer all questions of a plan into a file, with a progress bar. how: see `engine.entries`."""
    from glimpse_core.evaluation import engine

    bar = Bar()
    try:
        for _ in engine.entries(loaded, path, progress=bar.show, **how):
            pass
    except KeyboardInterrupt:
        bar.close()
        print(f"stopped; what is done is in {path}: the same command with --resume goes on", file=sys.stderr)
        raise
    finally:
        bar.close()


def processes(args: argparse.Namespace, loaded: Any) -> int:
    """How many worker processes: as asked, else two on a CPU and one on a GPU."""
    return args.workers or (2 if loaded.model.device.type == "cpu" else 1)


def decoding(args: argparse.Namespace) -> dict[str, Any]:
    """The fields of a plan that every evaluation takes from the command line."""
    from glimpse_core.glimpse.settings import RULE
    from glimpse_core.glimpse.settings.interfaces import from_options
    from glimpse_core.types import Settings

    return {
        "selection": from_options(args, Settings(), RULE).selection,
        "max_new_tokens": args.max_new_tokens,
        "dtype": args.dtype,
        "device": args.device,
        "attn": args.attn,
        "adapter": args.adapter,
        "merge": not args.no_merge,
        "keep_layer": args.keep_layer,
    }


def plan_of(args: argparse.Namespace) -> Any:
    """The comparison that the command line describes. Raises GlimpseError for what cannot be compared."""
    from glimpse_core.evaluation.cells import budget_text, grid_of, horizon, read_budget, usual
    from glimpse_core.evaluation.plan import Plan
    from glimpse_core.models import catalog

    glimpse = str(args.glimpse[0]) if args.glimpse else None
    trained = catalog.resolve(args.model, glimpse)[1] is not None
    method, budget = usual(trained)
    methods = [name.strip() for name in (args.methods or method).split(",") if name.strip()]
    methods = [name for method in methods for name in (everything(trained) if method == ALL else [method])]
    methods += horizon(read_layers(args.horizon))
    budgets = [read_budget(text) for text in (args.budgets or budget_text(budget)).split(",") if text.strip()]
    judge = None
    if args.judge_url or args.judge_model:
        if not (args.judge_url and args.judge_model):
            raise GlimpseError("One of --judge-url and --judge-model was given. Expected both: give the other, too.")
        judge = (args.judge_url, args.judge_model, args.judge_key_env)
    return Plan(
        model=args.model,
        task=args.task,
        cells=grid_of(methods, budgets),
        count=args.count,
        seed=args.seed,
        by_group=args.by_group,
        glimpse=glimpse,
        match=args.match,
        policy=args.policy,
        metric=args.metric or ("judge" if judge else None),
        judge=judge,
        suffix=args.suffix,
        together=args.together,
        **decoding(args),
    )


def everything(trained: bool = True) -> list[str]:
    """Every pruner that needs neither masks nor weights of the caller; questions bring their boxes.

    Args:
        trained: whether the model has glimpse modules; without, those that need them are left out.
    """
    from glimpse_core.pruners import PRUNERS, card

    return [name for name in PRUNERS if card(name).fits(trained)]


def read_layers(text: str | None) -> list[int]:
    """ "0,4,8" -> [0, 4, 8]; None -> []"""
    parts = [part.strip() for part in (text or "").split(",") if part.strip()]
    if not all(part.isdecimal() for part in parts):
        raise GlimpseError(f"--horizon is {text!r}. Expected layers, counted from 0, such as 0,4,8.")
    return [int(part) for part in parts]


def read_shard(text: str | None) -> tuple[int, int]:
    """ "0/2" -> (0, 2)"""
    if text is None:
        return 0, 1
    which, _, many = text.partition("/")
    if not (which.isdecimal() and many.isdecimal() and int(which) < int(many)):
        raise GlimpseError(f"--shard is {text!r}. Expected K/N with K from 0 to N - 1, such as 0/2.")
    return int(which), int(many)


def measured(loaded: Any, questions: int, folder: Path) -> None:
    """Time every method alone and write `timing.json`.

    Args:
        loaded: the comparison, an `evaluation.plan.Loaded`.
        questions: how many questions each method answers.
        folder: of the comparison.
    """
    from glimpse_core.evaluation.report.rows import TIMING
    from glimpse_core.evaluation.timing import measure

    timing = measure(loaded, questions, lambda done, total: print(f"timing: round {done} of {total}", file=sys.stderr))
    (folder / TIMING).write_text(json.dumps(timing, indent=1) + "\n")


def finish(folder: Path) -> int:
    """Write the summary and print its first table."""
    from glimpse_core.evaluation.report import heading, public, tables
    from glimpse_core.evaluation.report.rows import summarize

    summary = summarize(folder.resolve())
    (folder / "summary.json").write_text(json.dumps(public(summary), indent=1) + "\n")
    print(heading(summary) + "\n")
    print(tables.markdown(tables.overview(summary)))
    print(f"written: {folder}; tables and curves: python -m glimpse_core report {folder}")
    return 0


class Bar:
    """Progress with a time estimate, on stderr."""

    def __init__(self) -> None:
        self.bar: Any = None

    def show(self, entry: dict[str, Any], done: int, total: int) -> None:
        """Count one more question.

        Args:
            entry: of the question; not shown.
            done: questions answered so far.
            total: questions of the shard.
        """
        from tqdm import tqdm

        if self.bar is None:
            quiet = {} if sys.stderr.isatty() else {"mininterval": 10, "maxinterval": 10}
            self.bar = tqdm(total=total, initial=done - 1, unit="question", **quiet)
        self.bar.update()

    def close(self) -> None:
        """End the bar's line, if it was begun. May be called again."""
        if self.bar is not None:
            self.bar.close()
            self.bar = None
