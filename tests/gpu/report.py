"""What a GPU makes of models of the published sizes, with random weights in bfloat16: equality, times and memory.

    python -m tests.gpu.report --out runs/gpu                        # 3B, 7B and LLaVA-7B shapes; needs CUDA
    python -m tests.gpu.report --shapes qwen2.5-vl-7b --tokens 4000

Writes report.md and report.json. Times need no trained weights; equality is between two ways through the same weights.
"""

from __future__ import annotations

import argparse
import importlib.util
import json
import sys
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import torch

from glimpse_core.bench.contenders import budget
from glimpse_core.bench.run import Options, benchmark
from glimpse_core.bench.shapes import random_model, synthetic_prompt
from glimpse_core.bench.tables import markdown
from glimpse_core.glimpse.look import look
from glimpse_core.glimpse.model import GlimpseModel
from glimpse_core.inference.decoding import finish
from glimpse_core.parity import inference as parity
from glimpse_core.pruners import GlimpsePruner, NoPruner, Pruner
from glimpse_core.types import Prompt

SHAPES = ("qwen2.5-vl-3b", "qwen2.5-vl-7b", "llava-1.5-7b")
TOKENS = (1000, 4000, 8000)
KEEP = (0.222, 0.111, 0.04)


@dataclass(frozen=True)
class Plan:
    """shapes: names or files of `bench.shapes`. tokens: visual tokens of the prompts. keep: shares beside 100%."""

    shapes: tuple[str, ...] = SHAPES
    tokens: tuple[int, ...] = TOKENS
    keep: tuple[float, ...] = KEEP
    rounds: int = 5
    steps: int = 16
    device: str = "cuda"
    dtype: str = "bfloat16"


def report(plan: Plan, progress: Callable[[str], None] = print) -> dict[str, Any]:
    """Everything, shape by shape. Only one model is in memory at a time."""
    found: dict[str, Any] = {"date": datetime.now(UTC).date().isoformat(), "shapes": {}}
    for name in plan.shapes:
        progress(f"{name}: equality")
        model = random_model(name, device=plan.device, dtype=plan.dtype, attn="sdpa")
        prompt = synthetic_prompt(model, plan.tokens[0])
        part: dict[str, Any] = {"keep_all": keep_all(model, prompt, plan.steps), "times": []}
        own = readings(model, prompt, plan.keep[0])
        for tokens in plan.tokens:
            progress(f"{name}: times at {tokens} visual tokens")
            options = Options(plan.keep, (), plan.steps, plan.rounds, warmup=1)
            part["times"].append(benchmark(model, synthetic_prompt(model, tokens), options, progress))
        del model
        part["attention"] = attention_parity(name, plan, own, prompt)
        found["shapes"][name] = part
    return found


@torch.inference_mode()
def greedy(model: GlimpseModel, prompt: Prompt, pruner: Pruner, steps: int) -> tuple[list[int], torch.Tensor]:
    """Ids, and the first token's logits (vocabulary,)."""
    ids, logits, _, _ = parity.greedy(model.backbone, finish(model.backbone, pruner(prompt).branch), steps)
    return ids[0].tolist(), logits[0, 0].float().cpu()


def keep_all(model: GlimpseModel, prompt: Prompt, steps: int) -> dict[str, Any]:
    """Our path without pruning beside the stock model's `generate`: ids that agree, and the first logits' distance."""
    names = ("input_ids", "attention_mask", "pixel_values", "image_grid_thw")
    inputs = {name: getattr(prompt, name) for name in names if getattr(prompt, name) is not None}
    if "image_grid_thw" in inputs:
        inputs["mm_token_type_ids"] = prompt.mm_token_type_ids
    out = model.backbone.hf.generate(
        **inputs, max_new_tokens=steps, min_new_tokens=steps, do_sample=False, output_logits=True,
        return_dict_in_generate=True,
    )  # fmt: skip
    theirs = out.sequences[0, prompt.input_ids.shape[1] :].tolist()
    ours, logits = greedy(model, prompt, NoPruner(model), steps)
    same = next((place for place, pair in enumerate(zip(ours, theirs, strict=True)) if pair[0] != pair[1]), steps)
    wanted = out.logits[0][0].float().cpu()
    return {"steps": steps, "equal_steps": same, "logits": _distance(logits, wanted)}


@torch.inference_mode()
def readings(model: GlimpseModel, prompt: Prompt, keep: float) -> dict[str, torch.Tensor]:
    """What attention implementations should agree about: mask logits, kept tokens, first logits, full and pruned."""
    vision = model.backbone.encode_images(prompt, model.config.vision_layers)
    _, scores = look(model, prompt, vision)
    pruner = GlimpsePruner(model, budget(keep))
    return {
        "mask logits": scores.logits[0][-1].float().cpu(),
        "kept": pruner(prompt, vision).kept[0].cpu(),
        "logits, full": greedy(model, prompt, NoPruner(model), 1)[1],
        "logits, pruned": greedy(model, prompt, pruner, 1)[1],
    }


def attention_parity(name: str, plan: Plan, own: dict[str, torch.Tensor], prompt: Prompt) -> dict[str, Any]:
    """The same weights with every other attention implementation that can run here, beside sdpa."""
    found: dict[str, Any] = {}
    flash = importlib.util.find_spec("flash_attn") is not None and plan.device == "cuda"
    for attn in ("eager", *(["flash_attention_2"] if flash else [])):
        model = random_model(name, device=plan.device, dtype=plan.dtype, attn=attn)
        theirs = readings(model, prompt, plan.keep[0])
        del model
        agree = float((own["kept"] == theirs["kept"]).float().mean())
        found[attn] = {"kept tokens that agree": agree} | {
            key: _distance(theirs[key], own[key]) for key in own if key != "kept"
        }
    if not flash:
        found["flash_attention_2"] = "not importable here, so not compared"
    return found


def _distance(ours: torch.Tensor, wanted: torch.Tensor) -> dict[str, float]:
    return {"largest difference": float((ours - wanted).abs().max()), "scale": float(wanted.abs().max())}


def as_markdown(found: dict[str, Any]) -> str:
    """The report as text: for every shape the equalities, then one table per number of visual tokens."""
    lines = [f"Measured on {found['date']}.", ""]
    for name, part in found["shapes"].items():
        same = part["keep_all"]
        lines += [
            f"## {name}", "",
            f"Keep-all and plain `generate` give the same {same['equal_steps']} of {same['steps']} tokens; first "
            f"logits differ by {same['logits']['largest difference']:.2g} of {same['logits']['scale']:.2g}.", "",
        ]  # fmt: skip
        for attn, other in part["attention"].items():
            lines.append(f"- {attn} beside sdpa: {other if isinstance(other, str) else _agreement(other)}")
        for times in part["times"]:
            lines += ["", markdown(times)]
    return "\n".join(lines)


def _agreement(other: dict[str, Any]) -> str:
    parts = [f"{key} {value['largest difference']:.2g} of {value['scale']:.2g}" for key, value in other.items()
             if isinstance(value, dict)]  # fmt: skip
    return f"{other['kept tokens that agree']:.1%} of the keep decisions agree; largest differences: {', '.join(parts)}"


def main(argv: Sequence[str] | None = None) -> int:
    parser = argparse.ArgumentParser(prog="python -m tests.gpu.report", description=__doc__.split("\n")[0])
    parser.add_argument("--shapes", nargs="+", default=SHAPES)
    parser.add_argument("--tokens", nargs="+", type=int, default=TOKENS)
    parser.add_argument("--keep", nargs="+", type=float, default=KEEP)
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--device", default="cuda", help="cpu is for a dry run of tiny shapes")
    parser.add_argument("--dtype", default="bfloat16")
    parser.add_argument("--out", type=Path, default=Path("runs/gpu"))
    args = parser.parse_args(argv)
    if args.device == "cuda" and not torch.cuda.is_available():
        print("error: torch sees no GPU, and this report is about one", file=sys.stderr)
        return 2
    plan = Plan(tuple(args.shapes), tuple(args.tokens), tuple(args.keep), args.rounds, device=args.device,
                dtype=args.dtype)  # fmt: skip
    found = report(plan, progress=lambda line: print(line, file=sys.stderr, flush=True))
    args.out.mkdir(parents=True, exist_ok=True)
    (args.out / "report.json").write_text(json.dumps(found, indent=1) + "\n")
    (args.out / "report.md").write_text(as_markdown(found))
    print(as_markdown(found))
    return 0


if __name__ == "__main__":
    sys.exit(main())
