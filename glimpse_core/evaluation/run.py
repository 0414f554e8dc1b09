"""A run over held-out questions: five answers to each, in worker processes, with one line per question on disk.

The variants of a question: all visual tokens; those that the glimpse keeps; as many random ones; exactly those under
the evidence boxes; all but those. Every one is a real greedy decoding from the same trunk.

Question i of a run depends on the seed, the count and i alone, so that workers, order and interruptions change nothing.
"""

from __future__ import annotations

import hashlib
import json
import multiprocessing
import platform
import time
from collections.abc import Callable, Iterator
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

import torch
import transformers

import glimpse_core
from glimpse_core import catalog, world
from glimpse_core.boxes import box_mask
from glimpse_core.cost import Shape, cost
from glimpse_core.errors import GlimpseError
from glimpse_core.evaluation.greedy import greedy
from glimpse_core.evaluation.scores import VARIANTS, Outcome, summary
from glimpse_core.glimpse import look
from glimpse_core.model import GlimpseModel
from glimpse_core.pruners.random import random_mask
from glimpse_core.select import select
from glimpse_core.types import Selection


@dataclass(frozen=True)
class Run:
    """What is evaluated, completely. seed: of the first scene; scenes below `world.HELD_OUT` are for tuning only."""

    model: str
    seed: int
    count: int
    glimpse: str | None = None
    selection: Selection = field(default_factory=Selection)
    max_new_tokens: int = 200
    dtype: str = "auto"
    device: str = "auto"
    attn: str = "auto"

    def load(self) -> GlimpseModel:
        """The model. Raises GlimpseError where it has no glimpse or cannot read pictures."""
        model = catalog.load(self.model, glimpse=self.glimpse, dtype=self.dtype, device=self.device, attn=self.attn)
        if model.glimpse is None or model.processor is None:
            lacking = "glimpse modules" if model.glimpse is None else "tokenizer and picture processor"
            raise GlimpseError(f"{self.model} has no {lacking}: name a folder that has, or pass --glimpse DIR")
        return model


@torch.inference_mode()
def answer(model: GlimpseModel, run: Run, index: int) -> Outcome:
    """Ask question `index` of the run in every variant."""
    scene, question = world.held_out_item(run.seed, index, run.count)
    prompt = model.processor.prompt(model.backbone, [scene.image], question.text)
    (grid,) = prompt.grids
    trunk, scores = look(model, prompt, model.backbone.see(prompt, model.config.vision_layers))
    kept = select(scores.logits[0][-1].float().cpu(), run.selection, grid).mask
    evidence = box_mask(question.boxes, grid)
    masks = {
        "full": torch.ones_like(kept),
        "pruned": kept,
        "random_same_budget": random_mask(grid.tokens, int(kept.sum()), run.seed + index),
        "oracle_boxes": evidence,
        "evidence_dropped": ~evidence,
    }
    tokens = greedy(model.backbone, trunk, prompt, [masks[name] for name in VARIANTS], run.max_new_tokens)
    return Outcome(
        index=index,
        seed=scene.seed,
        type=question.type,
        question=question.text,
        expected=question.answer,
        prompt_length=prompt.input_ids.shape[1],
        visual=grid.tokens,
        evidence=int(evidence.sum()),
        kept=int(kept.sum()),
        evidence_kept=int((kept & evidence).sum()),
        answers=dict(zip(VARIANTS, map(model.processor.decode, tokens), strict=True)),
    )


def outcomes(
    run: Run,
    model: GlimpseModel,
    details: Path,
    *,
    workers: int = 1,
    resume: bool = False,
    tell: Callable[[str], None] = print,
) -> list[Outcome]:
    """All outcomes of a run, in order. Each is written to `details` (JSON lines) as soon as it is known.

    model: what `run.load()` gives; with several workers, each loads its own. resume: take over what an interrupted run
    with the same settings and weights has already written there.
    """
    header = json.dumps({"run": asdict(run), "weights": fingerprint(model)})
    done = _written(details, header) if resume else {}
    details.parent.mkdir(parents=True, exist_ok=True)
    if not done:
        details.write_text(header + "\n")
    missing = [index for index in range(run.count) if index not in done]
    began, told = time.perf_counter(), 0.0
    with details.open("a") as file:
        for number, outcome in enumerate(_answered(run, model, missing, workers), 1):
            done[outcome.index] = outcome
            file.write(json.dumps(asdict(outcome)) + "\n")
            seconds = time.perf_counter() - began
            if seconds - told > 10 or number == len(missing):
                file.flush()
                told, left = seconds, seconds / number * (len(missing) - number)
                pace = f"{seconds / number:.2f} s each, {left / 60:.1f} min left"
                tell(f"{len(done)}/{run.count} questions, {pace}: {_so_far(done)}")
    return [done[index] for index in range(run.count)]


def _so_far(done: dict[int, Outcome]) -> str:
    shares = {name: sum(outcome.correct(name) for outcome in done.values()) / len(done) for name in ("full", "pruned")}
    kept = sum(outcome.kept_share for outcome in done.values()) / len(done)
    return ", ".join(f"{name} {share:.1%}" for name, share in shares.items()) + f", kept {kept:.1%}"


def _written(details: Path, header: str) -> dict[int, Outcome]:
    """Outcomes that an earlier run left; a last line cut short is ignored and mended away."""
    if not details.exists():
        return {}
    lines = details.read_text().split("\n")
    whole = lines[: len(lines) - 1]
    if not whole or whole[0] != header:
        raise GlimpseError(f"{details} belongs to a run with other settings or weights: leave --resume out")
    details.write_text("\n".join(whole) + "\n")
    found = [Outcome(**json.loads(line)) for line in whole[1:]]
    return {outcome.index: outcome for outcome in found}


def _answered(run: Run, model: GlimpseModel, indices: list[int], workers: int) -> Iterator[Outcome]:
    """Outcomes as they come: in this process, or from `workers` processes of one thread each."""
    if workers <= 1 or len(indices) < 2:
        yield from (answer(model, run, index) for index in indices)
        return
    with multiprocessing.get_context("spawn").Pool(workers, _start_worker, (run,)) as pool:
        yield from pool.imap_unordered(_work, indices)


_worker: tuple[GlimpseModel, Run] | None = None  # of a worker process, set once when it starts


def _start_worker(run: Run) -> None:
    global _worker
    torch.set_num_threads(1)
    _worker = run.load(), run


def _work(index: int) -> Outcome:
    return answer(*_worker, index)


def fingerprint(model: GlimpseModel) -> str:
    """Tells weights apart: a hash of evenly spaced values of every tensor, base and glimpse modules."""
    digest = hashlib.sha256()
    for module in (model.backbone.hf, model.glimpse, model.vip):
        for name, tensor in module.state_dict().items():
            digest.update(name.encode())
            digest.update(tensor.flatten()[:: tensor.numel() // 4096 + 1].float().cpu().numpy().tobytes())
    return digest.hexdigest()[:16]


def report(run: Run, model: GlimpseModel, found: list[Outcome], seconds: float, workers: int) -> dict[str, Any]:
    """The JSON of `evaluate`: the scores, and what is needed to repeat and to judge them."""
    used = {"workers": workers, "dtype": str(model.dtype).removeprefix("torch."), "attn": model.attn}
    return {
        **summary(found, world.ONE_OBJECT_TYPES),
        "prefill_share": prefill_share(model, found),
        "keep_layer": model.config.keep_layer,
        "layers": model.backbone.layers,
        "held_out": run.seed >= world.HELD_OUT,
        "one_object_types": sorted(world.ONE_OBJECT_TYPES),
        "settings": asdict(run) | used,
        "weights": fingerprint(model),
        "glimpse_config": asdict(model.config),
        "versions": {
            "glimpse_core": glimpse_core.__version__,
            "torch": torch.__version__,
            "transformers": transformers.__version__,
            "python": platform.python_version(),
        },
        "seconds": {"total": round(seconds, 1), "per_question": round(seconds / len(found), 4)},
    }


def prefill_share(model: GlimpseModel, found: list[Outcome]) -> dict[str, float]:
    """Pruned over unpruned FLOPs before the first token, averaged over questions: decoder alone, and with the tower."""
    shape = Shape.from_config(model.backbone.hf.config, model.config)
    shares = {"decoder": 0.0, "total": 0.0}
    for outcome in found:
        costs = cost(shape, outcome.prompt_length, outcome.visual, outcome.kept)
        shares["decoder"] += costs.pruned.decoder_prefill / costs.full.decoder_prefill / len(found)
        shares["total"] += costs.pruned.prefill / costs.full.prefill / len(found)
    return shares
