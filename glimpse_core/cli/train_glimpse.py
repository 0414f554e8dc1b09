"""``python -m glimpse_core train glimpse``: train glimpse vectors and VIP on a frozen base, by the published recipe."""

from __future__ import annotations

import argparse
import math
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from glimpse_core.costs.shape import Shape
    from glimpse_core.datasets.examples import Source
    from glimpse_core.training.glimpse.trainee import Settings
    from glimpse_core.types import GlimpseConfig

READS = {"logits": True, "log-probabilities": False}  # --read, as `GlimpseConfig.read_logits`
# Options that --init answers itself.
SHAPES = ("layer", "visual_layers", "vip_size", "vip_condition_size", "vip_heads")


def _layers(text: str) -> tuple[int, ...]:
    return tuple(int(part) for part in text.split(","))


def add_parser(subparsers: argparse._SubParsersAction) -> None:
    parser = subparsers.add_parser(
        "glimpse",
        help="train glimpse and VIP on a frozen base model",
        description="Trains only the glimpse vectors with their projection and norm, and the VIP. Losses: next-token "
        "cross entropy through the glimpse (1.0), Dice (1.0) and BCE (0.1) against the evidence boxes; AdamW with "
        "warm-up and a cosine. On several GPUs: accelerate launch -m glimpse_core train glimpse ...",
    )
    data = parser.add_argument_group("model and data")
    data.add_argument("--model", default="demo", help="catalog name, folder or Hub name of the base (default demo)")
    data.add_argument("--data", default="world", help="'world' (default), or a JSONL file in the Visual-CoT layout")
    data.add_argument("--images", type=Path, help="folder of the JSONL's images (default: its own)")
    data.add_argument("--questions", type=int, default=8, help="maximum number of questions per image (default 8)")
    data.add_argument("--types-first", default="", metavar="TYPE,...", help="types of the world's questions that are "
                      "asked before all others; twice for two questions")  # fmt: skip
    data.add_argument("--samples", type=int, help="number of questions to draw from the file (the paper: 20000)")
    data.add_argument("--sample-seed", type=int, default=42, help="of that draw (default 42, as published)")
    data.add_argument("--skip-missing", action="store_true", help="leave out questions whose image is missing")
    data.add_argument("--template", default="{}", help="text around each question of the file, {} in its place")
    data.add_argument("--first-scene", type=int, default=5_000_000, help="seed of the first scene (default 5000000)")
    data.add_argument("--out", type=Path, required=True, help="folder of the run and of the result")
    data.add_argument("--resume", action="store_true", help="continue the run in OUT")

    shape = parser.add_argument_group("what is trained")
    shape.add_argument("--layer", type=_layers, help="K, from 0: tokens are dropped after this layer (default: two "
                       "thirds of the layers); several, as in 3,4,5, are trained together in OUT/layer-K")  # fmt: skip
    shape.add_argument("--init", type=Path, help="begin with the modules of this folder, published or trained here; K, "
                       "all sizes and, without --selected-layers, the layers read are taken from it")  # fmt: skip
    shape.add_argument("--selected-layers", type=_layers, help="layers whose glimpse attention is read (default: K)")
    shape.add_argument("--read", choices=("auto", *READS), default="auto", help="of the glimpse token's attention "
                       "(auto: as published, log-probabilities for LLaVA; with --init, as its modules do)")  # fmt: skip
    shape.add_argument("--visual-layers", type=_layers, help="vision blocks that the VIP reads (default: four, spread)")
    shape.add_argument("--vip-size", type=int, help="default 256; 64 for small base models")
    shape.add_argument("--vip-condition-size", type=int, help="default 512; 64 for small base models")
    shape.add_argument("--vip-heads", type=int, help="default 4")
    shape.add_argument("--dropout", type=float, default=0.1, help="of the glimpse vectors (default 0.1)")

    how = parser.add_argument_group("how")
    length = how.add_mutually_exclusive_group()
    length.add_argument("--steps", type=int, help="optimizer steps (default 500 for the world, one epoch for a file)")
    length.add_argument("--epochs", type=float, help="length in passes over the file")
    how.add_argument("--minutes", type=float, help="let the schedule follow the clock; --steps is then a limit")
    how.add_argument("--batch", type=int, default=8, help="images per optimizer step, over all processes; gradients "
                     "are accumulated image by image (default 8; the paper: 16)")  # fmt: skip
    how.add_argument("--lr", type=float, default=1e-4, help="peak learning rate (default 0.0001; the demo takes 0.001)")
    how.add_argument("--warmup", type=float, default=0.1, help="share of the run with a rising rate (default 0.1)")
    how.add_argument("--dice-weight", type=float, default=1.0, help="of the Dice loss (default 1, as published)")
    how.add_argument("--bce-weight", type=float, default=0.1, help="of the BCE loss (default 0.1, as published)")
    how.add_argument("--rank-weight", type=float, default=0.0, help="of a loss on the order of the scores, for budgets "
                     "smaller or larger than the evidence: the middle of a box first, then its edges, then what is "
                     "around it (default 0: not published)")  # fmt: skip
    how.add_argument("--graded-weight", type=float, default=0.0, help="of a BCE loss whose targets fall from 1 in the "
                     "middle of a box to 0 some tokens outside of it (default 0: not published)")  # fmt: skip
    how.add_argument("--seed", type=int, default=0)
    how.add_argument("--dtype", choices=("auto", "float32", "bfloat16"), default="auto",
                     help="of the VIP's matrix products, and of the base on a GPU (auto: float32 on a CPU, where "
                     "bfloat16 is twice as fast); trained weights are float32")  # fmt: skip
    how.add_argument("--gradient-checkpointing", action="store_true", help="run the decoder's layers again in the "
                     "backward pass instead of holding their activations")  # fmt: skip
    how.add_argument("--device", default="auto")
    how.add_argument("--attn", default="auto", help="sdpa, eager, flash_attention_2 or auto")
    how.add_argument("--workers", type=int, help="number of processes that run the base (default: 1 on a CPU, else 0)")
    how.add_argument("--threads", type=int, help="number of torch threads of the main process (default: torch's)")
    how.add_argument("--log-every", type=int, default=10, help="number of steps between lines of the log (default 10)")
    how.add_argument("--save-every", type=int, default=100, help="number of steps between saves (default 100)")
    parser.set_defaults(run=run)


def run(args: argparse.Namespace) -> int:
    from dataclasses import replace

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
        args.model, glimpse=args.init or configs[0], device=device, attn=args.attn,
        dtype=torch.float32 if device.type == "cpu" else dtype,
    ))  # fmt: skip
    if args.init:
        read = args.selected_layers or base.config.read_layers
        reads = READS.get(args.read, base.config.read_logits)
        configs = [replace(base.config, glimpse_dropout=args.dropout, read_layers=read, read_logits=reads)]
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
        raise GlimpseError(f"{args.out} holds a run already. Add --resume to continue it, or name another folder.")
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
        raise GlimpseError(f"The base model {base} cannot be read: {error}.") from error
