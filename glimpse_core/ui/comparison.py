"""One picture and question under several pruning methods at one budget: plain values, without components.

Counts come from each method's schedule, so methods that drop at several layers, or that merge tokens, are counted by
the same rule. A method that cannot do what was asked says why, and the others go on.
"""

from __future__ import annotations

import base64
import threading
import time
from collections.abc import Iterator, Sequence
from typing import Any

import numpy as np

from glimpse_core import pruners
from glimpse_core.costs.schedule import kv_share, prefill_share
from glimpse_core.errors import Cancelled, GlimpseError
from glimpse_core.types import Sampling
from glimpse_core.ui import compare

MethodResult = dict[str, Any]


def offered(trained: bool = True) -> list[tuple[str, str]]:
    """(label, name) of every method that can be tried with nothing but a budget.

    trained: whether the model has glimpse modules; without, methods that need them are left out.
    """
    cards = {name: pruners.card(name) for name in pruners.PRUNERS}
    return [(card.label, name) for name, card in cards.items() if _offered(card) and (trained or not card.modules)]


def _offered(card: pruners.Card) -> bool:
    return not card.needs and not card.baseline  # which is always there


def check(names: Any, percent: Any) -> None:
    """Raise a GlimpseError if these methods, or this budget, cannot be tried."""
    if names is not None and not isinstance(names, (list, tuple)):
        raise GlimpseError(f"The methods are {str(names)[:40]}. Expected a list of names.")
    known = [name for _, name in offered()]
    wrong = [str(name)[:40] for name in names or () if name not in known]
    if wrong:
        raise GlimpseError(f"{', '.join(wrong)} cannot be tried here; expected some of {', '.join(known)}.")
    if not names:
        raise GlimpseError("No method was chosen: tick at least one.")
    if isinstance(percent, bool) or not isinstance(percent, (int, float)) or not 1 <= percent <= 100:
        raise GlimpseError(f"The budget is {str(percent)[:40]!r}; expected a percentage from 1 to 100.")


def run_methods(
    session: Any,
    names: Sequence[str],
    percent: float,
    sampling: Sampling,
    cancel: threading.Event | None = None,
    truth: str | None = None,
) -> Iterator[MethodResult]:
    """All tokens first, then each method with `percent` of the visual tokens, as it is done. Raises Cancelled.

    Every one of them runs alone, vision tower and all, so that the seconds to the "first" token can be compared. A
    result's mask is base64 of one bit per visual token, images in prompt order, tokens in raster order. The layers that
    the session has not run yet run once before, so that the first method is not the one that pays for cold weights.
    """
    warm_up = session.answer(None, Sampling(max_new_tokens=1), cancel)
    _answered(warm_up, cancel)
    total = sum(grid.tokens for grid in session.grids)
    full: str | None = None
    for name in (pruners.BASELINE, *names):
        try:
            share = percent / 100 if pruners.card(name).budgeted else None
            pruner = pruners.build(name, session.model, ratio=share)
            began = time.perf_counter()
            pruned = session.prune(pruner, alone=True)
            chosen = time.perf_counter() - began  # on a GPU it may still run; the first token waits for it
            answer, step = _answered(session.answer_of(pruned, sampling, cancel), cancel)
        except Cancelled:
            raise
        except GlimpseError as error:
            if full is None:
                raise
            yield _described(name, session) | {"error": str(error)}
            continue
        full = answer.text if full is None else full
        plan, mask = pruned.schedules[0], pruned.kept[0].cpu().numpy()
        yield _described(name, session) | {
            "text": answer.text,
            "finished": answer.finished,
            "same": compare.same(answer.text, full),
            "right": None if truth is None else compare.same(answer.text, truth),
            "first": None if step is None else chosen + step,
            "kept": plan.final,
            "total": total,
            "kv": kv_share(plan),
            "prefill": prefill_share(plan),
            "mask": bits(mask),
        }


def bits(mask: Any) -> str:
    """Write a mask (N,) as base64 of one bit per token, the first token highest."""
    return base64.b64encode(np.packbits(np.asarray(mask).astype(bool)).tobytes()).decode("ascii")


def _answered(answer: Any, cancel: threading.Event | None) -> tuple[Any, float | None]:
    """The whole answer and the measured seconds of its first step."""
    for _ in answer:
        pass
    if cancel is not None and cancel.is_set():
        raise Cancelled("Stopped.")
    steps = answer.timings["tokens"]
    return answer, steps[0] if steps else None


def _described(name: str, session: Any) -> MethodResult:
    card = pruners.card(name)
    where = card.where.replace("layer K", f"layer {session.model.keep_layer}")
    return {"name": name, "label": card.label, "where": where, "question": card.question, "control": card.control}
