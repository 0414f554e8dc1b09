"""A run over held-out questions: five answers to each, in worker processes, with one line per question on disk.

The variants of a question: all visual tokens; those that the glimpse keeps; as many random ones; exactly those under
the evidence boxes; all but those. Every one is a real greedy decoding from the same trunk.

Question i of a run depends on the seed, the count and i alone, so that workers, order and interruptions change nothing.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import asdict, dataclass, field
from functools import partial
from pathlib import Path
from typing import Any

import torch

from glimpse_core import world
from glimpse_core.costs.cost import Shape, cost
from glimpse_core.engine.prefix import keep
from glimpse_core.errors import GlimpseError
from glimpse_core.evaluation import store, work
from glimpse_core.evaluation.fingerprint import fingerprint, versions
from glimpse_core.evaluation.scores import VARIANTS, Outcome, summary
from glimpse_core.glimpse.boxes import box_mask
from glimpse_core.glimpse.look import look
from glimpse_core.glimpse.model import GlimpseModel
from glimpse_core.glimpse.selection import select
from glimpse_core.inference.branches import answer_branches
from glimpse_core.models import catalog
from glimpse_core.pruners.random import random_mask
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
    trunk, scores = look(model, prompt, model.backbone.encode_images(prompt, model.config.vision_layers))
    kept = select(scores.logits[0][-1].float().cpu(), run.selection, grid).mask
    evidence = box_mask(question.boxes, grid)
    masks = {
        "full": torch.ones_like(kept),
        "pruned": kept,
        "random_same_budget": random_mask(grid.tokens, int(kept.sum()), run.seed + index),
        "oracle_boxes": evidence,
        "evidence_dropped": ~evidence,
    }
    branches = [keep(trunk, model.backbone.keep_mask(prompt, (masks[name],))) for name in VARIANTS]
    tokens = answer_branches(model.backbone, prompt, branches, run.max_new_tokens)
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
    lines = store.Lines(details, {"run": asdict(run), "weights": fingerprint(model)}, resume)
    done = {index: Outcome(**entry) for index, entry in lines.done.items()}
    missing = [index for index in range(run.count) if index not in done]
    began, told = time.perf_counter(), 0.0
    try:
        for number, outcome in enumerate(work.each(partial(_answer, run), missing, run.load, model, workers), 1):
            done[outcome.index] = outcome
            lines.add(asdict(outcome))
            seconds = time.perf_counter() - began
            if seconds - told > 10 or number == len(missing):
                told, left = seconds, seconds / number * (len(missing) - number)
                pace = f"{seconds / number:.2f} s each, {left / 60:.1f} min left"
                tell(f"{len(done)}/{run.count} questions, {pace}: {_so_far(done)}")
    finally:
        lines.close()
    return [done[index] for index in range(run.count)]


def _answer(run: Run, model: GlimpseModel, index: int) -> Outcome:
    return answer(model, run, index)


def _so_far(done: dict[int, Outcome]) -> str:
    shares = {name: sum(outcome.correct(name) for outcome in done.values()) / len(done) for name in ("full", "pruned")}
    kept = sum(outcome.kept_share for outcome in done.values()) / len(done)
    return ", ".join(f"{name} {share:.1%}" for name, share in shares.items()) + f", kept {kept:.1%}"


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
        "versions": versions(),
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
