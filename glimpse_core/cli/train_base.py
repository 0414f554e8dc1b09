"""``python -m glimpse_core train base``: train the demo base model from scratch."""

import argparse
from pathlib import Path


def add_parser(subparsers: argparse._SubParsersAction) -> None:
    """Add the command `train base` and its options."""
    parser = subparsers.add_parser(
        "base",
        help="train the demo base model from scratch (no GPU needed)",
        description="Trains the demo base model as glimpse_core/training/demo_base/recipe.py says, on one CPU core, "
        "with a second process that draws the images. A run that was interrupted goes on where its last checkpoint "
        "was written, at most two minutes before.",
    )
    parser.add_argument("--out", type=Path, required=True, help="folder of the run; the model ends up in OUT/model")
    parser.add_argument("--resume", action="store_true", help="continue the run that OUT holds, if it holds one")
    parser.add_argument("--steps", type=int, help="stop after this many steps (0: only write the model)")
    parser.set_defaults(run=run)


def run(args: argparse.Namespace) -> int:
    """Train the demo base model.

    Returns:
        The exit code: 0.

    Raises:
        GlimpseError: for a folder that holds a run already.
    """
    from glimpse_core.errors import GlimpseError
    from glimpse_core.training.demo_base.recipe import BASE
    from glimpse_core.training.demo_base.trainer import BaseTrainer

    if not args.resume and (args.out / "training.pt").exists():
        raise GlimpseError(
            f"{args.out} holds a run already. Expected a new folder: name one, or add --resume to continue."
        )
    trainer = BaseTrainer(args.out, BASE)
    if args.resume:
        trainer.resume()
    trainer.train(args.steps)
    print(f"The model is in {args.out / 'model'}.")
    return 0
