"""Time to the first token and peak memory of every cell, measured alone: nothing is shared between methods here.

From pictures and text that are ready (the processor's output) to the logits of the first token: vision tower, selector,
decoder. Cells take turns, a round per question, after one round of warm-up, and are compared with the unpruned run of
the same round, so that a machine that slows down slows all of them. Memory is what is allocated beyond the weights at
the worst moment: on a GPU by torch's own count, on a CPU summed up from the profiler's records. Results are no part of
the file of questions: they never repeat exactly.
"""

from __future__ import annotations

import statistics
import time
from collections.abc import Callable
from typing import Any

import torch
from torch.profiler import ProfilerActivity, profile

from glimpse_core.evaluation.cells import REFERENCE, Cell, Maker
from glimpse_core.evaluation.plan import Loaded
from glimpse_core.evaluation.tasks import Item
from glimpse_core.inference.decoding import finish, next_logits
from glimpse_core.pruners import SharedWork
from glimpse_core.types import Prompt


@torch.inference_mode()
def measure(loaded: Loaded, questions: int, tell: Callable[[int, int], None] = lambda done, total: None) -> dict:
    """Label -> {"seconds": medians and quartiles over questions, "share": the same of the ratios to the unpruned run of
    each round, "bytes": peak of the first question}."""
    plan, model = loaded.plan, loaded.model
    maker = Maker(model, plan.selection, plan.match, plan.policy)
    questions = min(questions, len(loaded.task))
    seconds: dict[str, list[float]] = {cell.label: [] for cell in plan.cells}
    peaks: dict[str, int] = {}
    for turn in range(-1, questions):  # the first round warms up, and is where memory is counted
        index = max(turn, 0)
        item = loaded.task.item(index)
        prompt = model.processor.prompt(model.backbone, [item.image()], item.question + loaded.suffix)
        vision = model.backbone.encode_images(prompt, model.config.vision_layers)
        dynamic = maker.dynamic(plan.cells, SharedWork(model, prompt, vision))
        for cell in plan.cells:
            work = _first_token(loaded, maker, cell, item, prompt, index, dynamic)
            if turn < 0:
                peaks[cell.label] = peak_bytes(work, model.device)
            else:
                seconds[cell.label].append(_timed(work, model.device))
        tell(turn + 2, questions + 1)
    return {
        "questions": questions,
        "device": model.device.type,
        "threads": torch.get_num_threads(),
        "cells": {
            label: {
                "seconds": _spread(found),
                "share": _spread([own / full for own, full in zip(found, seconds[REFERENCE], strict=True)]),
                "bytes": peaks[label],
            }
            for label, found in seconds.items()
        },
    }


def _first_token(
    loaded: Loaded, maker: Maker, cell: Cell, item: Item, prompt: Prompt, index: int, dynamic: int | None
) -> Callable[[], Any]:
    model = loaded.model

    def work() -> Any:
        pruned = maker.pruner(cell, item, index, dynamic)(prompt)
        return next_logits(model.backbone, finish(model.backbone, pruned.branch))

    return work


def _timed(work: Callable[[], Any], device: torch.device) -> float:
    _wait(device)
    began = time.perf_counter()
    work()
    _wait(device)
    return time.perf_counter() - began


def _wait(device: torch.device) -> None:
    if device.type == "cuda":
        torch.cuda.synchronize(device)


def peak_bytes(work: Callable[[], Any], device: torch.device) -> int:
    """Most bytes of tensors that `work` held at once, beyond what was there before."""
    if device.type == "cuda":
        torch.cuda.synchronize(device)
        torch.cuda.reset_peak_memory_stats(device)
        before = torch.cuda.memory_allocated(device)
        work()
        torch.cuda.synchronize(device)
        return torch.cuda.max_memory_allocated(device) - before
    with profile(activities=[ProfilerActivity.CPU], profile_memory=True) as recorded:
        work()
    events = recorded.profiler.kineto_results.events()
    held = most = 0
    for _, size in sorted((event.start_ns(), event.nbytes()) for event in events if event.name() == "[memory]"):
        held += size
        most = max(most, held)
    return most


def _spread(values: list[float]) -> dict[str, float]:
    """Median and quartiles."""
    low, middle, high = (values[0],) * 3 if len(values) < 2 else statistics.quantiles(values, n=4, method="inclusive")
    return {"median": middle, "q25": low, "q75": high}
