"""Run the whole benchmark of one model and one prompt."""

from __future__ import annotations

import platform
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass, replace
from functools import partial
from typing import Any

import torch

from glimpse_core.bench.contenders import Bench, budget, own_pruner
from glimpse_core.bench.measure import Contender, Measured, Spread, measure
from glimpse_core.costs.schedule import schedule_cost
from glimpse_core.errors import GlimpseError
from glimpse_core.glimpse.model import GlimpseModel, LoadedModel
from glimpse_core.inference.band import budgets_of
from glimpse_core.pruners import BASELINE, PRUNERS, TRAINING_FREE, Method, NoPruner, build, card
from glimpse_core.storage.versions import __version__
from glimpse_core.types import Prompt, Selection

STOCK, KEEP_ALL, LOOKING, ONE_TRUNK, TWO_RUNS = (
    "plain generate", "keep-all, our path", "glimpse + VIP alone", "both answers, one trunk", "both answers, two runs"
)  # fmt: skip
WHOLE, BAND = "pruned answer to its end", "answers at all budgets to their ends"
SIDES = ("pruned", "full")
QUESTIONS = {side: (f"first question, {side}", f"next question, {side}") for side in SIDES}


@dataclass(frozen=True)
class Options:
    """What is timed, and how often.

    Attributes:
        keep: shares of the visual tokens for GlimpsePrune, or without its modules for attention at K; the first is also
            the budget of everything else.
        methods: names of `PRUNERS`, timed at every budget.
        steps: tokens to generate.
        rounds: repetitions that count.
        warmup: repetitions before them that do not.
        clock: "wall" or "cpu"; see `measure.clock`.
    """

    keep: tuple[float, ...] = (0.07, 0.111, 0.222)
    methods: tuple[str, ...] = ()
    steps: int = 8
    rounds: int = 9
    warmup: int = 2
    clock: str = "wall"


def benchmark(
    model: LoadedModel, prompt: Prompt, options: Options, progress: Callable[[str], None] = lambda line: None
) -> dict[str, Any]:
    """Time plain generation, our path and pruning methods on one prompt.

    Args:
        model: with or without glimpse modules.
        prompt: one row with images.
        options: what to time.
        progress: called with a line for every round, and for every method that is left out.

    Returns:
        Plain values: the model, the machine, the prompt, the options, "rows", one per contender, "band", what the
        answers at about twelve budgets cost against one pruned answer, and "next", for either side what the first token
        for another question about the same images costs against that for the first question.

    Raises:
        GlimpseError: for an impossible option.
    """
    if not all(0 < share <= 1 for share in options.keep) or not options.keep:
        raise GlimpseError(f"--keep is {list(options.keep)}. Expected shares above 0, at most 1.")
    if min(options.rounds, options.steps) < 1 or options.warmup < 0:
        raise GlimpseError(
            f"--rounds is {options.rounds}, --decode {options.steps}, --warmup {options.warmup}. Expected --rounds and "
            "--decode of at least 1, and --warmup of at least 0."
        )
    bench = Bench(model, prompt, options.steps, options.clock)
    timed = contenders(bench, options, progress)
    found = measure(timed, model.device, rounds=options.rounds, warmup=options.warmup, progress=progress)
    grids = [[grid.rows, grid.cols] for grid in prompt.grids]
    return {
        "model": model.name,
        "shape": {"layers": model.backbone.layers, "width": model.backbone.hidden_size} | _modules(model),
        "scores": model.scored_by,
        "machine": machine(model),
        "version": __version__,
        "prompt": {"tokens": prompt.input_ids.shape[1], "visual_tokens": bench.visual, "grids": grids},
        "options": asdict(options),
        "rows": rows(found),
        "band": {"budgets": len(budgets_of(bench.visual)), "ratio": asdict(band_ratio(found))},
        "next": {side: asdict(named_ratio(found, *QUESTIONS[side], "prefill")) for side in SIDES},
    }


def _modules(model: LoadedModel) -> dict[str, Any]:
    """The configuration of the glimpse modules; K alone where there are none."""
    return asdict(model.config) if isinstance(model, GlimpseModel) else {"keep_layer": model.keep_layer}


def contenders(bench: Bench, options: Options, progress: Callable[[str], None] = lambda line: None) -> list[Contender]:
    """Everything that is timed, plain `generate` first. Methods that the model cannot have are left out."""
    model, first = bench.model, budget(options.keep[0])
    own = "glimpse" if model.trained else TRAINING_FREE
    ours = [one_answer(bench, KEEP_ALL, NoPruner(model))]
    ours += [one_answer(bench, f"{own} at {share:.1%}", own_pruner(model, budget(share))) for share in options.keep]
    for name in options.methods:
        if name == own:  # there already
            continue
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
        Contender(f"{own} at {options.keep[0]:.1%}, in generate",
                  lambda: bench.dropped_in(own_pruner(model, first)), kept, ours[1].share),
        *([Contender(LOOKING, bench.looking)] if model.trained else []),
        Contender(ONE_TRUNK, lambda: bench.one_trunk(first), kept),
        Contender(TWO_RUNS, lambda: bench.two_runs(first), kept),
        Contender("again, other threshold", bench.again(other), int(options.keep[-1] * bench.visual)),
        Contender(WHOLE, lambda: bench.pruned_answer(first), kept),
        Contender(BAND, bench.band),
        *questions(bench, first, kept),
    ]  # fmt: skip


def questions(bench: Bench, selection: Selection, kept: int) -> list[Contender]:
    """The first token of the first and of the next question about the same images, pruned and full."""
    made = []
    for (first, later), chosen, left in zip(QUESTIONS.values(), (selection, None), (kept, bench.visual), strict=True):
        made.append(Contender(first, partial(bench.first_question, chosen), left))
        made.append(Contender(later, bench.next_question(chosen), left))
    return made


def known_methods(names: Sequence[str]) -> tuple[str, ...]:
    """The methods that `--methods` names.

    Args:
        names: of methods that take a budget, cascades as "a+b"; ("all",); or ("none",) or () for none.

    Raises:
        GlimpseError: for unknown names, and for methods without a budget.
    """
    if tuple(names) in ((BASELINE,), ()):
        return ()
    if tuple(names) == ("all",):  # the adaptive one is timed in any case
        cards = {name: card(name) for name in PRUNERS}
        return tuple(name for name, one in cards.items() if one.budgeted and one.self_contained and not one.adaptive)
    without = [name for name in names if not card(name).budgeted]
    if without:
        raise GlimpseError(
            f"--methods names {', '.join(without)}, which take no budget. Expected methods with one: leave them out."
        )
    return tuple(names)


@torch.inference_mode()
def one_answer(bench: Bench, name: str, pruner: Method) -> Contender:
    """Make a contender of a pruner and our own decoding.

    The pruner runs once here, to count what it keeps; shares of FLOPs are calculated.
    """
    model, prompt = bench.model, bench.prompt
    (plan,) = pruner(prompt).schedules
    shape = model.shape
    length = prompt.input_ids.shape[1]
    selector = pruner.selector_flops(shape, length, plan.total)
    costs = schedule_cost(shape, length, plan, selector=selector, grids=prompt.grids)
    return Contender(name, lambda: bench.ours(pruner), plan.final, costs.prefill_share, costs.decoder_prefill_share)


def rows(found: Sequence[Measured]) -> list[dict[str, Any]]:
    """One row per contender: seconds by stage and ratios, as median and quartiles.

    Ratios are those of the prefill and of a token to plain `generate`, and of the decoder's part of the prefill to our
    path keeping everything.
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
            "ratio": _spread(one.ratio(stock)),
            "flops_share": contender.share,
            "decoder_flops_share": contender.decoder_share,
            "peak_bytes": max(one.peaks, default=None),
        }
        for name, stage, reference in (("token_ratio", "token", stock), ("decoder_ratio", "decoder", everything)):
            row[name] = _spread(one.ratio(reference, stage))
        table.append(row)
    return table


def band_ratio(found: Sequence[Measured]) -> Spread:
    """The time of the answers at about twelve budgets over that of one pruned answer, both from the images on."""
    return named_ratio(found, WHOLE, BAND, "total")


def named_ratio(found: Sequence[Measured], reference: str, name: str, stage: str) -> Spread:
    """The time of a stage of one contender over that of another, by their names."""
    below, above = (next(one for one in found if one.contender.name == each) for each in (reference, name))
    ratio = above.ratio(below, stage)
    assert ratio is not None  # both have that stage
    return ratio


def _spread(ratio: Spread | None) -> dict[str, float] | None:
    return None if ratio is None else asdict(ratio)


def machine(model: LoadedModel) -> dict[str, Any]:
    """The device, threads, dtype, attention function and torch version that the times depend on."""
    cuda = model.device.type == "cuda"
    return {
        "device": torch.cuda.get_device_name(model.device) if cuda else f"CPU ({platform.machine()})",
        "threads": torch.get_num_threads(),
        "dtype": str(model.dtype).removeprefix("torch."),
        "attention": model.attn,
        "torch": torch.__version__,
    }
