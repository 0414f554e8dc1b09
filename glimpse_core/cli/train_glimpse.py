"""``python -m glimpse_core train glimpse``: train glimpse vectors and VIP on a frozen base, by the published recipe."""

from __future__ import annotations

import argparse
import math
from typing import TYPE_CHECKING

from glimpse_core.cli.train_glimpse_options import READS, add_options

if TYPE_CHECKING:
    from glimpse_core.costs.shape import Shape
    from glimpse_core.datasets.examples import Source
    from glimpse_core.training.glimpse.trainee import Settings
    from glimpse_core.types import GlimpseConfig

# Options that --init answers itself.
SHAPES = ("layer", "visual_layers", "vip_size", "vip_condition_size", "vip_heads")


def add_parser(subparsers: argparse._SubParsersAction) -> None:
    """Add the command `train glimpse` and its options."""
    parser = subparsers.add_parser(
        "glimpse",
        help="train glimpse and VIP on a frozen base model",
        description="Trains only the glimpse vectors with their projection and norm, and the VIP. Losses: next-token "
        "cross entropy through the glimpse (1.0), Dice (1.0) and BCE (0.1) against the evidence boxes; AdamW with "
        "warm-up and a cosine. On several GPUs: accelerate launch -m glimpse_core train glimpse ...",
    )
    add_options(parser)
    parser.set_defaults(run=run)


def run(args: argparse.Namespace) -> int:
    """Train glimpse modules, one set per K.

    Returns:
        The exit code: 0.

    Raises:
        GlimpseError: for options that contradict each other, data that cannot be read, and models that cannot load.
    """
    import torch

    from glimpse_core.glimpse.model import require_glimpse
    from glimpse_core.models import catalog
    from glimpse_core.models.devices import choose_device, choose_dtype
    from glimpse_core.training.glimpse.collate import FrozenImages
    from glimpse_core.training.glimpse.trainer import GlimpseTrainer
    from glimpse_core.training.process_group import join

    _check(args)
    if args.threads:
        torch.set_num_threads(args.threads)
    source = _source(args)
    process_group = join(args.device)
    device = process_group.device or choose_device(args.device)
    dtype = choose_dtype(args.dtype, device)
    configs = [] if args.init else _configs(args)
    base = require_glimpse(catalog.load(
        args.model, glimpse=args.init or configs[0], device=device, attn=args.attn, adapter=args.adapter,
        dtype=torch.float32 if device.type == "cpu" else dtype,
    ))  # fmt: skip
    configs = configs or [_continued(args, base.config)]
    # The demo base was trained without the line break that follows the end token in the chat format.
    ending = base.processor.ending.strip() if args.data == "world" and base.processor else None
    images = FrozenImages(base, source, configs[0].vision_layers, ending)
    settings = _settings(args, source, bf16=dtype == torch.bfloat16)
    trainer = GlimpseTrainer(args.out, base, configs, images, settings, process_group)
    if args.resume:
        trainer.resume()
    elif args.init:
        trainer.start_from(args.init)
    workers = args.workers if args.workers is not None else int(device.type == "cpu")
    trainer.train(workers, progress=lambda line: print(line, flush=True))
    if process_group.leads:
        print("written: " + ", ".join(str(trainee.folder) for trainee in trainer.trainees))
    return 0


def _check(args: argparse.Namespace) -> None:
    """Raise GlimpseError for options that contradict each other, or a folder that holds a run."""
    from glimpse_core.errors import GlimpseError
    from glimpse_core.training.glimpse.trainer import STATE

    if not args.resume and (args.out / STATE).exists():
        raise GlimpseError(
            f"{args.out} holds a run already. Expected a new folder: name one, or add --resume to continue."
        )
    given = [name for name in SHAPES if getattr(args, name) is not None]
    if args.init and given:
        options = ", ".join("--" + name.replace("_", "-") for name in given)
        raise GlimpseError(f"--init and {options} are given. Expected sizes from {args.init}: leave out {options}.")


def _settings(args: argparse.Namespace, source: Source, bf16: bool) -> Settings:
    from glimpse_core.training.glimpse.trainee import Settings
    from glimpse_core.training.losses import LossWeights

    return Settings(
        steps=_steps(args, source),
        minutes=args.minutes,
        batch=args.batch,
        learning_rate=args.lr,
        warmup=args.warmup,
        seed=args.seed,
        bf16=bf16,
        log_every=args.log_every,
        save_every=args.save_every,
        recompute=args.gradient_checkpointing,
        weights=LossWeights(
            dice=args.dice_weight, bce=args.bce_weight, rank=args.rank_weight, graded=args.graded_weight
        ),
    )


def _source(args: argparse.Namespace) -> Source:
    from glimpse_core.datasets.visual_cot import Draw, JsonlSource
    from glimpse_core.datasets.world_source import WorldSource
    from glimpse_core.errors import GlimpseError

    before = [kind for kind in args.types_first.split(",") if kind]
    if args.data == "world":
        return WorldSource(first=args.first_scene, per_image=args.questions, seed=args.seed, before=before)
    if before:
        raise GlimpseError(
            f"--types-first is given with --data {args.data}. Expected the world's questions: leave it out."
        )
    draw = Draw(args.samples, args.sample_seed, args.template, args.skip_missing)
    return JsonlSource(args.data, images=args.images, per_image=args.questions, seed=args.seed, draw=draw)


def _steps(args: argparse.Namespace, source: Source) -> int:
    from glimpse_core.errors import GlimpseError

    if source.count is None:
        if args.epochs is not None:
            raise GlimpseError("--epochs is given for the world, which has no end. Expected --steps or --minutes.")
        return args.steps or (500 if args.minutes is None else 1_000_000)
    return args.steps or max(1, math.ceil((args.epochs or 1) * source.count / args.batch))


def _configs(args: argparse.Namespace) -> list[GlimpseConfig]:
    """Return one config per K: the published one of the base model, changed by the arguments."""
    from dataclasses import replace

    from glimpse_core.errors import GlimpseError
    from glimpse_core.models.entries import entry_of, published_config

    shape, entry = _shape(args.model), entry_of(args.model)
    published = (entry and entry.published_config) or published_config(shape)
    layers = args.layer or (published.keep_layer,)
    impossible = [layer for layer in layers if not 0 <= layer < shape.text.layers]
    if impossible:
        raise GlimpseError(f"--layer is {impossible[0]}. Expected 0 to {shape.text.layers - 1}, as the base model has.")
    return [
        replace(
            published,
            keep_layer=layer,
            read_layers=args.selected_layers or (layer,),
            read_logits=READS.get(args.read, published.read_logits),
            vision_layers=args.visual_layers or published.vision_layers,
            glimpse_dropout=args.dropout,
            vip_size=args.vip_size or published.vip_size,
            vip_condition_size=args.vip_condition_size or published.vip_condition_size,
            vip_heads=args.vip_heads or published.vip_heads,
        )
        for layer in layers
    ]


def _continued(args: argparse.Namespace, trained: GlimpseConfig) -> GlimpseConfig:
    """Return the config of the modules that --init names, changed by the arguments that go with it."""
    from dataclasses import replace

    return replace(
        trained,
        glimpse_dropout=args.dropout,
        read_layers=args.selected_layers or trained.read_layers,
        read_logits=READS.get(args.read, trained.read_logits),
    )


def _shape(model: str) -> Shape:
    """Return the sizes of a base model, read without its weights."""
    from glimpse_core.costs.shape import Shape
    from glimpse_core.errors import GlimpseError
    from glimpse_core.models import catalog

    base, _ = catalog.resolve(model, None)
    folder = catalog.fetch_base(base)
    family, settings = catalog.family_of(folder)
    try:
        return Shape.from_config(family.describe(folder, settings))
    except (OSError, ValueError) as error:
        raise GlimpseError(
            f"The base model {base} cannot be read ({error}). Expected a folder that transformers loads: fetch it "
            "again."
        ) from error
