"""``python -m glimpse_core bench``: time plain answers, pruned answers, and both from one shared prefill."""

from __future__ import annotations

import argparse
from pathlib import Path
from typing import TYPE_CHECKING

from glimpse_core.cli.ask import open_image
from glimpse_core.cli.options import add_glimpse, add_placement
from glimpse_core.errors import GlimpseError

if TYPE_CHECKING:
    from glimpse_core.glimpse.model import LoadedModel
    from glimpse_core.types import Prompt


def _shares(text: str) -> tuple[float, ...]:
    return tuple(float(part) for part in text.split(","))


def _names(text: str) -> tuple[str, ...]:
    return tuple(part for part in text.split(",") if part)


def add_parser(subparsers: argparse._SubParsersAction) -> None:
    """Add the command `bench` and its options."""
    parser = subparsers.add_parser(
        "bench",
        help="time plain, pruned and paired answers",
        description="Times the same prompt about random pixels in several ways, each once per round, and compares "
        "them within the round: plain generate, our path keeping everything, GlimpsePrune and other methods at given "
        "budgets, both answers from one shared prefill against two runs, another threshold in an open session, "
        "the answers at about twelve budgets, and another question about the same images. "
        "Weights may be random, since time depends on sizes only.",
    )
    what = parser.add_argument_group("what is timed")
    model = what.add_mutually_exclusive_group()
    model.add_argument("--model", default="demo", help="catalog name, folder or Hub name (default demo)")
    model.add_argument("--shape", help="random weights instead: small, qwen2.5-vl-3b, qwen2.5-vl-7b, llava-1.5-7b, "
                       "llava-1.5-13b, or a JSON file with \"base\" and \"glimpse\"")  # fmt: skip
    add_glimpse(what)
    what.add_argument("--image", type=Path, action="append", help="image to ask about, instead of random pixels "
                      "(several: give it again); needs --question")  # fmt: skip
    what.add_argument("--question", help="question about --image")
    what.add_argument("--tokens", type=int, default=576, help="approximate number of visual tokens (default 576)")
    what.add_argument("--text-tokens", type=int, default=48, help="number of text tokens (default 48)")
    what.add_argument("--keep", type=_shares, default=(0.07, 0.111, 0.222), help="shares of visual tokens to "
                      "keep, such as 0.07,0.222 (default 0.07,0.111,0.222)")  # fmt: skip
    what.add_argument("--methods", type=_names, default=("all",), help="all (default), none, or names of other methods")
    how = parser.add_argument_group("how")
    how.add_argument("--decode", type=int, default=8, help="number of tokens to generate (default 8)")
    how.add_argument("--rounds", type=int, default=9, help="number of rounds (default 9)")
    how.add_argument("--warmup", type=int, default=2, help="number of rounds before the timed ones (default 2)")
    how.add_argument("--clock", choices=("wall", "cpu"), default="wall", help="wall time (default), or CPU time, for "
                     "a machine that runs other programs, too")  # fmt: skip
    how.add_argument("--threads", type=int, help="number of torch threads (default: torch's)")
    add_placement(how)
    parser.add_argument("--json", type=Path, help="file for the result; a table is written beside it (.md)")
    parser.set_defaults(run=run)


def _prompt(model: LoadedModel, args: argparse.Namespace) -> Prompt:
    """The prompt that is timed. Raises GlimpseError for --image without --question, or the other way around."""
    from glimpse_core.bench.shapes import synthetic_prompt

    if not args.image and not args.question:
        return synthetic_prompt(model, args.tokens, args.text_tokens)
    if not args.image or not args.question:
        missing = "--question" if args.image else "--image"
        raise GlimpseError(f"{missing} is missing. Expected --image and --question together, or neither.")
    images = [open_image(path) for path in args.image]
    return model.require_processor().prompt(model.backbone, images, args.question, None)


def run(args: argparse.Namespace) -> int:
    """Time everything and print a table; with --json, write the result and the table, too.

    Returns:
        The exit code: 0.

    Raises:
        GlimpseError: for options that make no sense, and models that cannot load.
    """
    import json
    import sys

    import torch

    from glimpse_core.bench.run import Options, benchmark, known_methods
    from glimpse_core.bench.shapes import random_model
    from glimpse_core.bench.tables import markdown
    from glimpse_core.models import catalog

    if args.tokens < 1:
        raise GlimpseError(f"--tokens is {args.tokens}. Expected at least 1.")
    if args.threads:
        torch.set_num_threads(args.threads)
    how = {"device": args.device, "dtype": args.dtype, "attn": args.attn}
    own = {"glimpse": args.glimpse, "keep_layer": args.keep_layer}
    if args.shape and any(value is not None for value in own.values()):
        raise GlimpseError("--glimpse or --keep-layer was given with --shape. Expected them with --model only.")
    model = random_model(args.shape, **how) if args.shape else catalog.load(args.model, **own, **how)
    options = Options(args.keep, known_methods(args.methods), args.decode, args.rounds, args.warmup, args.clock)
    prompt = _prompt(model, args)
    result = benchmark(model, prompt, options, progress=lambda line: print(line, file=sys.stderr, flush=True))
    table = markdown(result)
    if args.json:
        args.json.parent.mkdir(parents=True, exist_ok=True)
        args.json.write_text(json.dumps(result, indent=1) + "\n")
        args.json.with_suffix(".md").write_text(table)
    print(table, end="")
    return 0
