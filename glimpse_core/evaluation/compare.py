"""A comparison: every question answered by every cell, one line each on disk, resumable and in shards.

Vision tower and trunk run once per question for all cells (`SharedWork`), and the answers are decoded in step.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import torch

from glimpse_core.costs.schedule import kv_share, prefill_share, schedule_cost
from glimpse_core.costs.shape import Shape
from glimpse_core.evaluation import store, work
from glimpse_core.evaluation.cells import Maker
from glimpse_core.evaluation.plan import Loaded, Plan
from glimpse_core.glimpse.boxes import box_mask
from glimpse_core.inference.branches import answer_branches
from glimpse_core.pruners import Method, SharedWork
from glimpse_core.types import Prompt, Pruned

Tell = Callable[[dict[str, Any], int, int], None]  # (entry, how many are done, of how many)


@torch.inference_mode()
def ask(loaded: Loaded, index: int) -> dict[str, Any]:
    """Question `index` of the plan, answered by every cell: one line of the results."""
    plan, model, item = loaded.plan, loaded.model, loaded.task.item(index)
    prompt = model.processor.prompt(model.backbone, [item.image()], item.question + loaded.suffix)
    length, visual = prompt.input_ids.shape[1], sum(grid.tokens for grid in prompt.grids)
    evidence = None if item.boxes is None else box_mask(item.boxes, prompt.grids[0])
    shape = Shape.from_config(model.backbone.hf.config, model.config)
    maker = Maker(model, plan.selection, plan.match, plan.policy)
    vision = model.backbone.encode_images(prompt, *loaded.vision_reads)
    shared = SharedWork(model, prompt, vision)
    branches, cells = [], {}
    dynamic = maker.dynamic(plan.cells, shared)
    for cell in plan.cells:
        pruner = maker.pruner(cell, item, index, dynamic)
        pruned = pruner(prompt, vision, shared)
        branches.append(pruned.branch)
        kept = pruned.kept[0].cpu()
        cells[cell.label] = spent(shape, prompt, pruner, pruned) | {
            "evidence_kept": None if evidence is None else int((kept & evidence).sum()),
            "mask": packed(kept),
        }
    del shared  # its prefixes are not needed while the answers are decoded
    answers = answer_branches(model.backbone, prompt, branches, plan.max_new_tokens, plan.together)
    for entry, tokens in zip(cells.values(), answers, strict=True):
        answer = model.processor.decode(tokens)
        entry |= {"answer": answer, "score": loaded.metric.score(item.question, answer, item.answers)}
    return {
        "index": index,
        "key": item.key,
        "type": item.type,
        "question": item.question,
        "expected": list(item.answers),
        "prompt_length": length,
        "visual": visual,
        "grid": [prompt.grids[0].rows, prompt.grids[0].cols],
        "evidence": None if evidence is None else int(evidence.sum()),
        "cells": cells,
    }


def spent(shape: Shape, prompt: Prompt, pruner: Method, pruned: Pruned) -> dict[str, float]:
    """Counts and shares of the unpruned run. kept: visual tokens behind the last drop. kv and prefill: of the visual
    tokens, mean over layers. flops: of the decoder's prefill, selector included; flops_all: with the vision tower.
    """
    (plan,) = pruned.schedules
    length = prompt.input_ids.shape[1]
    selector = pruner.selector_flops(shape, length, plan.total)
    costs = schedule_cost(shape, length, plan, selector=selector, grids=prompt.grids)
    shares = {
        "kv": kv_share(plan),
        "prefill": prefill_share(plan),
        "flops": costs.decoder_prefill_share,
        "flops_all": costs.prefill_share,
    }
    return {"kept": plan.final} | {name: round(share, 6) for name, share in shares.items()}


def packed(mask: torch.Tensor) -> str:
    """A mask (N,) bool as hexadecimal digits, eight tokens in two, the first token highest."""
    return np.packbits(mask.numpy()).tobytes().hex()


def unpacked(text: str, count: int) -> np.ndarray:
    """(count,) bool; see `packed`."""
    return np.unpackbits(np.frombuffer(bytes.fromhex(text), np.uint8), count=count).astype(bool)


def run(
    plan: Plan,
    folder: Path,
    *,
    shard: tuple[int, int] = (0, 1),
    workers: int = 1,
    resume: bool = False,
    tell: Tell = lambda entry, done, total: None,
) -> Loaded:
    """Answer the plan's questions, or those of one shard, into `folder`; merge the shards when all are there.

    resume: take over what an interrupted run with the same plan and weights has already written.
    """
    loaded = plan.load()
    for _ in entries(loaded, folder, shard=shard, workers=workers, resume=resume, tell=tell):
        pass
    if shard[1] > 1:
        store.merge(folder)
    return loaded


def entries(
    loaded: Loaded,
    folder: Path,
    *,
    shard: tuple[int, int] = (0, 1),
    workers: int = 1,
    resume: bool = False,
    tell: Tell = lambda entry, done, total: None,
) -> Iterator[dict[str, Any]]:
    """The same as a generator of what is new, for callers that want to stop in between: close it."""
    lines = store.Lines(store.shard_file(folder, shard), loaded.header(), resume)
    try:
        wanted = range(shard[0], len(loaded.task), shard[1])
        missing = [index for index in wanted if index not in lines.done]
        for entry in work.each(ask, missing, loaded.plan.load, loaded, workers):
            lines.add(entry)
            tell(entry, len(lines.done), len(wanted))
            yield entry
    finally:
        lines.close()
