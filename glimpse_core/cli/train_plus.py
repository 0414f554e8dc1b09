"""``python -m glimpse_core train plus``: train a LoRA adapter by rewards for answers from pruned prompts."""

from __future__ import annotations

import argparse
import json
import math
from pathlib import Path
from typing import TYPE_CHECKING, Any

from glimpse_core.errors import GlimpseError

if TYPE_CHECKING:
    from glimpse_core.datasets.examples import Source
    from glimpse_core.glimpse.model import LoadedModel
    from glimpse_core.training.plus.learner import Settings


def add_parser(subparsers: argparse._SubParsersAction) -> None:
    """Add the command `train plus` and its options."""
    parser = subparsers.add_parser(
        "plus",
        help="train a LoRA adapter by rewards for answers from pruned prompts (GlimpsePrune+)",
        description="Samples GROUP answers to each pruned prompt, which is run once for all of them, rewards them, and "
        "trains a LoRA adapter on the language model's linear layers. On several GPUs: accelerate launch -m "
        "glimpse_core train plus ...",
    )
    _add_data(parser.add_argument_group("model and data"))
    _add_rollouts(parser.add_argument_group("answers and rewards"))
    _add_training(parser.add_argument_group("how"))
    parser.set_defaults(run=run)


def _add_data(data: argparse._ArgumentGroup) -> None:
    data.add_argument("--model", default="demo", help="catalog name, folder or Hub name of the base (default demo)")
    data.add_argument("--glimpse", help="folder or Hub name of glimpse modules; default is the catalog's")
    data.add_argument("--data", default="world", help="'world' (default), or a JSONL file in the Visual-CoT layout")
    data.add_argument("--images", type=Path, help="folder of the JSONL's images (default: its own)")
    data.add_argument("--samples", type=int, help="number of questions to draw from the file (the paper: 1000 of each)")
    data.add_argument("--sample-seed", type=int, default=42, help="of that draw (default 42, as published)")
    data.add_argument("--skip-missing", action="store_true", help="leave out questions whose image is missing")
    data.add_argument("--template", default="{}", help="text around each question of the file, {} in its place")
    data.add_argument("--first-scene", type=int, default=5_000_000, help="seed of the first scene (default 5000000)")
    data.add_argument("--out", type=Path, required=True, help="folder of the run and of the adapter")
    data.add_argument("--resume", action="store_true", help="continue the run in OUT")


def _add_rollouts(what: argparse._ArgumentGroup) -> None:
    what.add_argument("--mask", choices=("boxes", "glimpse", "full"), default="boxes", help="visual tokens that are "
                      "kept: under the evidence boxes (default; the predictor's where a question has none), the "
                      "predictor's, or all")  # fmt: skip
    what.add_argument("--cap", type=float, default=0.111, help="largest share that the predictor keeps (default 0.111)")
    what.add_argument("--layer", type=int, help="K, from 0: tokens are dropped after this layer (default: that of the "
                      "glimpse modules, else two thirds of the layers)")  # fmt: skip
    what.add_argument("--logprobs", choices=("replay", "upstream"), default="replay", help="replay: the policy that "
                      "was sampled from (default); upstream: the published approximation, in which the first layers do "
                      "not see dropped tokens after an answer's first token")  # fmt: skip
    what.add_argument("--reward", default="exact", metavar="REWARD", help="exact (default), judge, or module:function, "
                      "a function of question, answer and reference answer")  # fmt: skip
    what.add_argument("--judge-url", metavar="URL", help="of an OpenAI-compatible API, such as "
                      "http://127.0.0.1:8000/v1")  # fmt: skip
    what.add_argument("--judge-model", metavar="NAME")
    what.add_argument("--judge-key-env", default="OPENAI_API_KEY", metavar="VARIABLE", help="where its key is (default "
                      "%(default)s)")  # fmt: skip
    what.add_argument("--group", type=int, default=4, help="answers sampled to each prompt (default 4)")
    what.add_argument("--max-new-tokens", type=int, default=128, help="most tokens of an answer (default 128)")
    what.add_argument("--kl-weight", type=float, default=0.04, help="of the divergence from the base (default 0.04)")


def _add_training(how: argparse._ArgumentGroup) -> None:
    length = how.add_mutually_exclusive_group()
    length.add_argument("--steps", type=int, help="optimizer steps (default 100 for the world, one epoch for a file)")
    length.add_argument("--epochs", type=float, help="length in passes over the file")
    how.add_argument("--batch", type=int, default=8, help="prompts per optimizer step, over all processes; gradients "
                     "are accumulated prompt by prompt (default 8)")  # fmt: skip
    how.add_argument("--lr", type=float, default=1e-4, help="peak learning rate (default 0.0001)")
    how.add_argument("--warmup", type=float, default=0.1, help="share of the run with a rising rate (default 0.1)")
    how.add_argument("--rank", type=int, default=32, help="of the adapter (default 32)")
    how.add_argument("--alpha", type=int, default=64, help="of the adapter (default 64)")
    how.add_argument("--dropout", type=float, default=0.05, help="of the adapter, not while answers are sampled "
                     "(default 0.05)")  # fmt: skip
    how.add_argument("--seed", type=int, default=0)
    how.add_argument("--dtype", choices=("auto", "float32", "bfloat16"), default="auto", help="of the base (auto: "
                     "float32 on a CPU, bfloat16 on a GPU); the adapter is float32")  # fmt: skip
    how.add_argument("--gradient-checkpointing", action="store_true", help="run the decoder's layers again in the "
                     "backward pass instead of holding their activations")  # fmt: skip
    how.add_argument("--device", default="auto")
    how.add_argument("--attn", default="auto", help="sdpa, eager, flash_attention_2 or auto")
    how.add_argument("--threads", type=int, help="number of torch threads (default: torch's)")
    how.add_argument("--log-every", type=int, default=10, help="number of steps between lines of the log (default 10)")
    how.add_argument("--save-every", type=int, default=50, help="number of steps between saves (default 50)")
    how.add_argument("--dump-step", type=Path, metavar="FILE", help="write prompts, masks, answers, rewards, "
                     "advantages, log-probabilities and loss of the first step as JSON (one process)")  # fmt: skip


def run(args: argparse.Namespace) -> int:
    """Train an adapter.

    Returns:
        The exit code: 0.

    Raises:
        GlimpseError: for options that contradict each other, data that cannot be read, and models that cannot load.
    """
    import torch

    from glimpse_core.models import adapter as adapters
    from glimpse_core.models import catalog
    from glimpse_core.models.devices import choose_device, choose_dtype
    from glimpse_core.training.plus.prompts import Prompts
    from glimpse_core.training.plus.rewards import read_reward
    from glimpse_core.training.plus.trainer import STATE, PlusTrainer, check
    from glimpse_core.training.process_group import join

    if not args.resume and (args.out / STATE).exists():
        raise GlimpseError(
            f"{args.out} holds a run already. Expected a new folder: name one, or add --resume to continue."
        )
    if args.threads:
        torch.set_num_threads(args.threads)
    reward = read_reward(args.reward, args.judge_url, args.judge_model, args.judge_key_env)
    source, process_group = _source(args), join(args.device)
    if args.dump_step and process_group.size > 1:
        raise GlimpseError(
            f"--dump-step is given for {process_group.size} processes. Expected one, which has all prompts of the step."
        )
    settings = _settings(args, source)
    check(settings, process_group)
    device = process_group.device or choose_device(args.device)
    dtype = choose_dtype(args.dtype, device)
    model = catalog.load(args.model, glimpse=args.glimpse, device=device, dtype=dtype, attn=args.attn)
    adapter = adapters.create(model.backbone, settings.sizes, settings.seed)
    cap = args.cap if args.cap < 1 else None
    prompts = Prompts(model, adapter, source, args.mask, _depth(args, model), cap)
    trainer = PlusTrainer(args.out, prompts, reward, settings, process_group)
    if args.resume:
        trainer.resume()
    dump = (lambda lessons: _dump(args.dump_step, settings, lessons)) if args.dump_step else None
    trainer.train(progress=lambda line: print(line, flush=True), dump=dump)
    if process_group.leads:
        print(f"written: {args.out}")
    return 0


def _depth(args: argparse.Namespace, model: LoadedModel) -> int:
    """Decoder layers that process every token: K + 1."""
    layers = model.backbone.layers
    if args.layer is None:
        return model.shared_depth
    if not 0 <= args.layer < layers:
        raise GlimpseError(f"--layer is {args.layer}. Expected 0 to {layers - 1}, as the base model has.")
    return int(args.layer) + 1


def _source(args: argparse.Namespace) -> Source:
    from glimpse_core.datasets.visual_cot import Draw, JsonlSource
    from glimpse_core.datasets.world_source import WorldSource

    if args.data == "world":
        return WorldSource(first=args.first_scene, per_image=1, seed=args.seed)
    draw = Draw(args.samples, args.sample_seed, args.template, args.skip_missing)
    return JsonlSource(args.data, images=args.images, per_image=1, seed=args.seed, draw=draw)


def _settings(args: argparse.Namespace, source: Source) -> Settings:
    from glimpse_core.models.adapter import LoraSizes
    from glimpse_core.training.plus.learner import Settings

    if source.count is None and args.epochs is not None:
        raise GlimpseError("--epochs is given for the world, which has no end. Expected --steps.")
    epoch = 100 if source.count is None else max(1, math.ceil((args.epochs or 1) * source.count / args.batch))
    return Settings(
        steps=epoch if args.steps is None else args.steps,
        batch=args.batch,
        group=args.group,
        limit=args.max_new_tokens,
        learning_rate=args.lr,
        warmup=args.warmup,
        kl_weight=args.kl_weight,
        logprobs=args.logprobs,
        sizes=LoraSizes(args.rank, args.alpha, args.dropout),
        seed=args.seed,
        recompute=args.gradient_checkpointing,
        log_every=args.log_every,
        save_every=args.save_every,
    )


def _dump(path: Path, settings: Settings, lessons: list[dict[str, Any]]) -> None:
    """Write the first step's prompts. The step's loss is the mean over the batch."""
    total = sum(lesson["loss"] for lesson in lessons) / settings.batch
    found = {"logprobs": settings.logprobs, "kl_weight": settings.kl_weight, "loss": total, "prompts": lessons}
    path.write_text(json.dumps(found) + "\n")
    print(f"written: {path}", flush=True)
