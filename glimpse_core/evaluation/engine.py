"""Every question of a plan answered by every cell: one line each on disk, resumable and in shards.

Vision tower and first layers run once per question for all cells (`SharedWork`), and the answers are decoded in step.
"""

from __future__ import annotations

from collections.abc import Callable, Generator
from pathlib import Path

import torch
from torch import Tensor

from glimpse_core.costs.schedule import kv_share, prefill_share, schedule_cost
from glimpse_core.costs.shape import Shape
from glimpse_core.evaluation import store, workers
from glimpse_core.evaluation.plan import Loaded
from glimpse_core.evaluation.store import Entry, packed
from glimpse_core.evaluation.tasks import Item
from glimpse_core.glimpse.boxes import box_mask
from glimpse_core.inference.branches import answer_branches
from glimpse_core.pruners import Method, SharedWork
from glimpse_core.types import Prefix, Prompt, Pruned

Progress = Callable[[Entry, int, int], None]  # (entry, how many are done, of how many)


@torch.inference_mode()
def ask(loaded: Loaded, index: int) -> Entry:
    """Answer question `index` of the plan in every cell.

    Returns:
        One line of the results: the question, counts of tokens, and per cell's label what `spent` gives, the mask of
        kept tokens, how many of them are evidence, the answer and its score. Counts of evidence are None where the task
        does not know it.

    Raises:
        GlimpseError: for a question that cannot be asked, such as one without the boxes that a cell needs.
    """
    plan, model, item = loaded.plan, loaded.model, loaded.task.item(index)
    prompt = loaded.prompt(item)
    evidence = None if item.boxes is None else box_mask(item.boxes, prompt.grids[0])
    cells, branches = _pruned(loaded, item, index, prompt, evidence)
    answers = answer_branches(model.backbone, prompt, branches, plan.max_new_tokens, plan.together)
    for entry, generated_ids in zip(cells.values(), answers, strict=True):
        answer = model.require_processor().decode(generated_ids)
        entry |= {"answer": answer, "score": loaded.metric.score(item.question, answer, item.answers)}
    return {
        "index": index,
        "key": item.key,
        "type": item.type,
        "question": item.question,
        "expected": list(item.answers),
        "prompt_length": prompt.input_ids.shape[1],
        "visual": sum(grid.tokens for grid in prompt.grids),
        "grid": [prompt.grids[0].rows, prompt.grids[0].cols],
        "evidence": None if evidence is None else int(evidence.sum()),
        "cells": cells,
    }


def _pruned(
    loaded: Loaded, item: Item, index: int, prompt: Prompt, evidence: Tensor | None
) -> tuple[dict[str, Entry], list[Prefix]]:
    """Figures by the cells' labels, and the branches that the cells' answers come from."""
    model, maker, cells = loaded.model, loaded.maker, loaded.plan.cells
    shared = SharedWork(model, prompt, model.backbone.encode_images(prompt, *loaded.vision_reads))
    dynamic = maker.dynamic(cells, shared)
    entries, branches = {}, []
    for cell in cells:
        pruner = maker.pruner(cell, item, index, dynamic)
        pruned = pruner(prompt, shared=shared)
        branches.append(pruned.branch)
        kept = pruned.kept[0].cpu()
        entries[cell.label] = spent(model.shape, prompt, pruner, pruned) | {
            "evidence_kept": None if evidence is None else int((kept & evidence).sum()),
            "mask": packed(kept),
        }
    return entries, branches


def spent(shape: Shape, prompt: Prompt, pruner: Method, pruned: Pruned) -> dict[str, float]:
    """Compute what a cell spent on a question.

    Returns:
        kept: visual tokens left after the last drop. As shares of the unpruned run, rounded to 6 digits: kv and
        prefill, of the visual tokens in the caches and read in the prefill, mean over layers; flops, of the decoder's
        prefill, selector included; flops_all, the same with the vision tower.
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


def entries(
    loaded: Loaded,
    path: Path,
    *,
    shard: tuple[int, int] = (0, 1),
    processes: int = 1,
    resume: bool = False,
    progress: Progress = lambda entry, done, total: None,
    do: Callable[[Loaded, int], Entry] | None = None,
) -> Generator[Entry, None, None]:
    """Answer the plan's questions, or those of one shard, and write each to a file as soon as it is known.

    Args:
        path: JSON lines; see `store`.
        shard: (which, of how many).
        processes: workers; several load the model each.
        resume: go on after what an interrupted run with the same plan and weights has written.
        progress: called after every new question.
        do: makes the entry of a question; None: `ask`.

    Yields:
        What is new, in order. Close the generator to stop between two questions.

    Raises:
        GlimpseError: for a question that cannot be asked, and for a file that belongs to another run.
    """
    lines = store.Lines(path, loaded.header(), resume)
    try:
        asked = range(shard[0], len(loaded.task), shard[1])
        missing = [index for index in asked if index not in lines.done]
        for entry in workers.each(do or ask, missing, loaded.plan.load, loaded, processes):
            lines.add(entry)
            progress(entry, len(lines.done), len(asked))
            yield entry
    finally:
        lines.close()
