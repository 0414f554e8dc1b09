"""Paired timing: every contender once per round, in an order that turns from round to round.

A machine gets faster and slower while one measures. So contenders are compared within a round, as ratios, and the
median over rounds is what counts; the quartiles say how far it can be trusted.
"""

from __future__ import annotations

import gc
import statistics
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field

import torch

Stages = dict[str, float]  # stage -> seconds


@dataclass(frozen=True)
class Spread:
    """Median and quartiles of some repetitions."""

    median: float
    low: float
    high: float

    @classmethod
    def of(cls, values: Sequence[float]) -> Spread:
        """Summarize repetitions.

        Args:
            values: at least one; of a single one, median and quartiles are that one.
        """
        if len(values) == 1:
            return cls(values[0], values[0], values[0])
        low, median, high = statistics.quantiles(values, n=4, method="inclusive")
        return cls(median, low, high)


@dataclass(frozen=True)
class Contender:
    """Something to time. `run` returns seconds by stage; "prefill" is the time to the first token's logits.

    kept: visual tokens that are left. share, decoder_share: what the cost arithmetic says of its prefill, with and
    without the vision tower, as a share of the full one's FLOPs; None: not calculated.
    """

    name: str
    run: Callable[[], Stages]
    kept: int | None = None
    share: float | None = None
    decoder_share: float | None = None


@dataclass
class Measured:
    """One contender's repetitions: seconds by stage, and peak bytes (GPU only)."""

    contender: Contender
    stages: list[Stages] = field(default_factory=list)
    peaks: list[int] = field(default_factory=list)

    def seconds(self, stage: str) -> list[float]:
        """Return the seconds of a stage, round by round; empty where the contender has no such stage."""
        return [found[stage] for found in self.stages if stage in found]

    def ratio(self, reference: Measured, stage: str = "prefill") -> Spread | None:
        """This over the reference's same stage, round by round."""
        pairs = zip(self.seconds(stage), reference.seconds(stage), strict=False)
        ratios = [ours / theirs for ours, theirs in pairs]
        return Spread.of(ratios) if ratios else None


def clock(device: torch.device, kind: str = "wall") -> Callable[[], float]:
    """Seconds, with a GPU's queue emptied first. kind: "wall", or "cpu", the CPU time that this process has used.

    CPU time says more on a machine that is busy with other things; several threads add up in it.
    """
    tick = {"wall": time.perf_counter, "cpu": time.process_time}[kind]

    def now() -> float:
        if device.type == "cuda":
            torch.cuda.synchronize(device)
        return tick()

    return now


def measure(
    contenders: Sequence[Contender],
    device: torch.device,
    *,
    rounds: int = 9,
    warmup: int = 2,
    progress: Callable[[str], None] = lambda line: None,
) -> list[Measured]:
    """`warmup` rounds that do not count, then `rounds`. Every other round runs backwards, and each starts elsewhere."""
    found = [Measured(contender) for contender in contenders]
    gc.collect()
    gc.freeze()  # what was there before need not be looked through each time
    try:
        _rounds(found, device, rounds, warmup, progress)
    finally:
        gc.unfreeze()
    return found


def _rounds(
    found: list[Measured], device: torch.device, rounds: int, warmup: int, progress: Callable[[str], None]
) -> None:
    for turn in range(-warmup, rounds):
        began = time.perf_counter()
        start = turn % len(found)
        order = found[start:] + found[:start]
        for one in order if turn % 2 else order[::-1]:
            gc.collect()
            if device.type == "cuda":
                torch.cuda.empty_cache()
                torch.cuda.reset_peak_memory_stats(device)
            stages = one.contender.run()
            if turn >= 0:
                one.stages.append(stages)
                if device.type == "cuda":
                    one.peaks.append(torch.cuda.max_memory_allocated(device))
        progress(f"{'warm-up' if turn < 0 else f'round {turn + 1} of {rounds}'}: {time.perf_counter() - began:.1f} s")
