"""``python -m glimpse_core train base``: train the demo base model from scratch."""

import argparse
from pathlib import Path


def add_parser(subparsers: argparse._SubParsersAction) -> None:
    """Add the command `train base` and its options."""
    parser = subparsers.add_parser("base", help="train the demo base model from scratch (no GPU needed)")
    parser.add_argument("--out", type=Path, required=True, help="folder of the run; the model ends up in OUT/model")
    parser.add_argument("--steps", type=int, default=6000, help="length of the schedule in steps (default 6000)")
    parser.add_argument("--minutes", type=float, help="let the schedule follow the clock instead of the step count")
    parser.add_argument("--budget", type=int, default=4400, help="visual and text tokens per step (default 4400)")
    parser.add_argument("--lr", type=float, default=1.5e-3, help="peak learning rate (default 0.0015)")
    parser.add_argument("--vision-rate", type=float, default=1.0, help="share of it for the vision tower (default 1)")
    parser.add_argument("--threads", type=int, default=2, help="torch threads (default 2)")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--init", type=Path, help="begin with the weights of this demo model or run")
    parser.add_argument("--resume", action="store_true", help="continue the run that OUT holds")
    parser.set_defaults(run=run)


def run(args: argparse.Namespace) -> int:
    """Train the demo base model.

    Returns:
        The exit code: 0.

    Raises:
        GlimpseError: for a folder that holds a run already, or no run to resume.
    """
    from glimpse_core.errors import GlimpseError
    from glimpse_core.training.demo_base.trainer import BaseSettings, BaseTrainer

    settings = BaseSettings(
        steps=args.steps,
        minutes=args.minutes,
        budget=args.budget,
        learning_rate=args.lr,
        vision_rate=args.vision_rate,
        threads=args.threads,
        seed=args.seed,
    )
    if not args.resume and (args.out / "training.pt").exists():
        raise GlimpseError(
            f"{args.out} holds a run already. Expected a new folder: name one, or add --resume to continue."
        )
    trainer = BaseTrainer(args.out, settings)
    if args.resume and not trainer.resume():
        raise GlimpseError(
            f"--resume is given, but {args.out} holds no run. Expected one: leave the option out to start it."
        )
    if args.init and not args.resume:
        trainer.start_from(args.init)
    trainer.train()
    print(f"The model is in {args.out / 'model'}.")
    return 0
