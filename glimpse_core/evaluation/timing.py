"""Time to the first token and peak memory of every cell, measured alone: nothing is shared between methods here.

From images and text that are ready (the processor's output) to the logits of the first token: vision tower, selector,
decoder. Cells take turns, a round per question, after one round of warm-up, and are compared with the unpruned run of
the same round, so that a machine that slows down slows all of them. Memory is what is allocated beyond the weights at
the worst moment: on a GPU by torch's own count, on a CPU summed up from the profiler's records. Results are no part of
the file of questions: they never repeat exactly.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import Any

import torch
from torch.profiler import ProfilerActivity, profile

from glimpse_core.evaluation.cells import REFERENCE, Cell
from glimpse_core.evaluation.plan import Loaded
from glimpse_core.evaluation.statistics import spread
from glimpse_core.inference.decoding import finish, next_logits
from glimpse_core.pruners import SharedWork

Work = Callable[[], Any]


@torch.inference_mode()
def measure(
    loaded: Loaded, questions: int, progress: Callable[[int, int], None] = lambda done, total: None
) -> dict[str, Any]:
    """Time the first token of every cell on the first questions of a plan.

    Args:
        questions: how many, at most.
        progress: called after every round with how many are done, of how many.

    Returns:
        Counts, the device, and per cell's label "seconds": median and quartiles over questions, "share": the same of
        the ratios to the unpruned run of each round, "bytes": peak of the first question.
    """
    questions, device = min(questions, len(loaded.task)), loaded.model.device
    seconds: dict[str, list[float]] = {cell.label: [] for cell in loaded.plan.cells}
    peaks: dict[str, int] = {}
    for turn in range(-1, questions):  # the first round warms up, and is where memory is counted
        for label, work in _first_tokens(loaded, max(turn, 0)).items():
            if turn < 0:
                peaks[label] = peak_bytes(work, device)
            else:
                seconds[label].append(_timed(work, device))
        progress(turn + 2, questions + 1)
    return {
        "questions": questions,
        "device": device.type,
        "threads": torch.get_num_threads(),
        "cells": {
            label: {
                "seconds": _quartiles(found),
                "share": _quartiles([own / full for own, full in zip(found, seconds[REFERENCE], strict=True)]),
                "bytes": peaks[label],
            }
            for label, found in seconds.items()
        },
    }


def _first_tokens(loaded: Loaded, index: int) -> dict[str, Work]:
    """What is timed for question `index`, by the cells' labels."""
    model, maker, item = loaded.model, loaded.maker, loaded.task.item(index)
    prompt = loaded.prompt(item)
    vision = model.backbone.encode_images(prompt, loaded.vision_reads[0])
    dynamic = maker.dynamic(loaded.plan.cells, SharedWork(model, prompt, vision))

    def work_of(cell: Cell) -> Work:
        return lambda: next_logits(
            model.backbone, finish(model.backbone, maker.pruner(cell, item, index, dynamic)(prompt).branch)
        )

    return {cell.label: work_of(cell) for cell in loaded.plan.cells}


def _timed(work: Work, device: torch.device) -> float:
    _wait(device)
    began = time.perf_counter()
    work()
    _wait(device)
    return time.perf_counter() - began


def _wait(device: torch.device) -> None:
    if device.type == "cuda":
        torch.cuda.synchronize(device)


def peak_bytes(work: Work, device: torch.device) -> int:
    """Return the most bytes of tensors that `work` held at once, beyond what was there before."""
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


def _quartiles(values: list[float]) -> dict[str, float | None]:
    found = spread(values)
    return {name: found[name] for name in ("median", "q25", "q75")}
