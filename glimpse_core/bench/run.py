"""The whole benchmark of one model and one prompt, as a plain dictionary."""

from __future__ import annotations

import platform
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass, replace

import torch

from glimpse_core.bench.contenders import Bench, budget
from glimpse_core.bench.measure import Contender, Measured, Spread, measure
from glimpse_core.costs.schedule import schedule_cost
from glimpse_core.errors import GlimpseError
from glimpse_core.glimpse.model import LoadedModel, require_glimpse
from glimpse_core.pruners import BASELINE, PRUNERS, GlimpsePruner, Method, NoPruner, build, card
from glimpse_core.storage.versions import __version__
from glimpse_core.types import Prompt

STOCK, KEEP_ALL, LOOKING, ONE_TRUNK, TWO_RUNS = (
    "plain generate", "keep-all, our path", "glimpse + VIP alone", "both answers, one trunk", "both answers, two runs"
)  # fmt: skip


@dataclass(frozen=True)
class Options:
    """keep: shares of the visual tokens for GlimpsePrune; the first is also the budget of everything else.

    methods: names of the registry, timed at every budget. steps: tokens to generate. clock: "wall" or "cpu".
    """

    keep: tuple[float, ...] = (0.07, 0.111, 0.222)
    methods: tuple[str, ...] = ()
    steps: int = 8
    rounds: int = 9
    warmup: int = 2
    clock: str = "wall"


def benchmark(
    model: LoadedModel, prompt: Prompt, options: Options, progress: Callable[[str], None] = lambda line: None
) -> dict:
    """Time everything. Raises `GlimpseError` for a model without glimpse modules or an impossible option."""
    model = require_glimpse(model)
    if not all(0 < share <= 1 for share in options.keep) or not options.keep:
        raise GlimpseError(f"--keep is {list(options.keep)}. Expected shares above 0, at most 1")
    if min(options.rounds, options.steps) < 1 or options.warmup < 0:
        raise GlimpseError("--rounds and --decode must be at least 1, --warmup at least 0")
    bench = Bench(model, prompt, options.steps, options.clock)
    timed = contenders(bench, options, progress)
    found = measure(timed, model.device, rounds=options.rounds, warmup=options.warmup, progress=progress)
    grids = [[grid.rows, grid.cols] for grid in prompt.grids]
    return {
        "model": model.name,
        "shape": {"layers": model.backbone.layers, "width": model.backbone.hidden_size} | asdict(model.config),
        "machine": machine(model),
        "version": __version__,
        "prompt": {"tokens": prompt.input_ids.shape[1], "visual_tokens": bench.visual, "grids": grids},
        "options": asdict(options),
        "rows": rows(found),
    }


def contenders(bench: Bench, options: Options, progress: Callable[[str], None] = lambda line: None) -> list[Contender]:
    """Everything that is timed, plain `generate` first. Methods that this model cannot have are named and left out."""
    model, first = bench.model, budget(options.keep[0])
    ours = [one_answer(bench, KEEP_ALL, NoPruner(model))]
    ours += [
        one_answer(bench, f"glimpse at {share:.1%}", GlimpsePruner(model, budget(share))) for share in options.keep
    ]
    for name in options.methods:
        try:
            ours += [
                one_answer(bench, f"{name} at {share:.1%}", build(name, model, ratio=share)) for share in options.keep
            ]
        except GlimpseError as error:
            progress(f"left out: {error}")
    other = replace(first, max_ratio=options.keep[-1])
    kept = int(options.keep[0] * bench.visual)
    return [
        Contender(STOCK, bench.stock, bench.visual, 1.0),
        *ours,
        Contender("keep-all, in generate", lambda: bench.dropped_in(NoPruner(model)), bench.visual, 1.0),
        Contender(f"glimpse at {options.keep[0]:.1%}, in generate",
                  lambda: bench.dropped_in(GlimpsePruner(model, first)), kept, ours[1].share),
        Contender(LOOKING, bench.looking),
        Contender(ONE_TRUNK, lambda: bench.one_trunk(first), kept),
        Contender(TWO_RUNS, lambda: bench.two_runs(first), kept),
        Contender("again, other threshold", bench.again(other), int(options.keep[-1] * bench.visual)),
    ]  # fmt: skip


def known_methods(names: Sequence[str]) -> tuple[str, ...]:
    """Names of the registry that take a budget, cascades as "a+b"; "all" of the registry, or "none"."""
    if tuple(names) in ((BASELINE,), ()):
        return ()
    timed_anyway = [name for name in PRUNERS if card(name).adaptive]
    budgeted = [name for name in PRUNERS if card(name).budgeted and name not in timed_anyway]
    wanted = budgeted if tuple(names) == ("all",) else names
    without = [name for name in wanted if not card(name).budgeted]
    if without:
        raise GlimpseError(f"--methods names {', '.join(without)}, which take no budget: leave them out")
    return tuple(wanted)


@torch.inference_mode()
def one_answer(bench: Bench, name: str, pruner: Method) -> Contender:
    """A pruner through our own decoding. It runs once here, to count what it keeps; the share is arithmetic."""
    model, prompt = bench.model, bench.prompt
    (plan,) = pruner(prompt).schedules
    shape = model.shape
    length = prompt.input_ids.shape[1]
    selector = pruner.selector_flops(shape, length, plan.total)
    costs = schedule_cost(shape, length, plan, selector=selector, grids=prompt.grids)
    return Contender(name, lambda: bench.ours(pruner), plan.final, costs.prefill_share, costs.decoder_prefill_share)


def rows(found: Sequence[Measured]) -> list[dict]:
    """One per contender: seconds by stage and ratios as median and quartiles: of the prefill and of a token to plain
    `generate`, of the decoder's part of the prefill to our path keeping everything.
    """
    stock = found[0]
    (everything,) = (one for one in found if one.contender.name == KEEP_ALL)
    table = []
    for one in found:
        contender = one.contender
        stages = sorted({stage for stages in one.stages for stage in stages})
        row = {
            "name": contender.name,
            "kept": contender.kept,
            "seconds": {stage: asdict(Spread.of(one.seconds(stage))) for stage in stages},
            "ratio": asdict(one.ratio(stock)),
            "flops_share": contender.share,
            "decoder_flops_share": contender.decoder_share,
            "peak_bytes": max(one.peaks, default=None),
        }
        for name, stage, reference in (("token_ratio", "token", stock), ("decoder_ratio", "decoder", everything)):
            ratio = one.ratio(reference, stage)
            row[name] = None if ratio is None else asdict(ratio)
        table.append(row)
    return table


def machine(model: LoadedModel) -> dict:
    """What the times depend on, besides the model."""
    cuda = model.device.type == "cuda"
    return {
        "device": torch.cuda.get_device_name(model.device) if cuda else f"CPU ({platform.machine()})",
        "threads": torch.get_num_threads(),
        "dtype": str(model.dtype).removeprefix("torch."),
        "attention": model.attn,
        "torch": torch.__version__,
    }
