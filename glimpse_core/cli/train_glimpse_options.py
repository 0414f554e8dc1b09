"""The options of ``python -m glimpse_core train glimpse``."""

from __future__ import annotations

import argparse
from pathlib import Path

READS = {"logits": True, "log-probabilities": False}  # --read, as `GlimpseConfig.read_logits`


def add_options(parser: argparse.ArgumentParser) -> None:
    """Add all options, in groups: data, what is trained, how."""
    _add_data(parser)
    _add_modules(parser)
    _add_training(parser)


def _layers(text: str) -> tuple[int, ...]:
    return tuple(int(part) for part in text.split(","))


def _add_data(parser: argparse.ArgumentParser) -> None:
    data = parser.add_argument_group("model and data")
    data.add_argument("--model", default="demo", help="catalog name, folder or Hub name of the base (default demo)")
    data.add_argument("--adapter", help="folder or Hub name of a LoRA adapter that is merged into the base first: the "
                      "second stage of GlimpsePrune+")  # fmt: skip
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


def _add_modules(parser: argparse.ArgumentParser) -> None:
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


def _add_training(parser: argparse.ArgumentParser) -> None:
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
