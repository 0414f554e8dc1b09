"""One picture and question under several pruning methods at one budget: plain values, without components.

Counts come from each method's schedule, so methods that drop at several layers, or that merge tokens, are counted by
the same rule. A method that cannot do what was asked says why, and the others go on.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Iterator, Sequence
from typing import Any

import numpy as np
from PIL import Image

from glimpse_core import pruners, sheets
from glimpse_core.errors import Cancelled, GlimpseError
from glimpse_core.render import overlay, split
from glimpse_core.schedule import kv_share, prefill_share
from glimpse_core.types import Grid, Sampling
from glimpse_core.ui import compare

NOT_OFFERED = ("none", "mask", "boxes", "inverse")  # always there; need a mask, boxes or another method
SIDE = 560  # pixels, the longer side of a small multiple

Trial = dict[str, Any]


def offered() -> list[tuple[str, str]]:
    """(label, name) of every method that can be tried with nothing but a budget."""
    return [(pruners.card(name).label, name) for name in pruners.PRUNERS if name not in NOT_OFFERED]


def check(names: Any, percent: Any) -> None:
    """Raise a GlimpseError if these methods, or this budget, cannot be tried."""
    known = [name for _, name in offered()]
    wrong = [str(name)[:40] for name in names or () if name not in known]
    if wrong:
        raise GlimpseError(f"{', '.join(wrong)} cannot be tried here; wanted were some of {', '.join(known)}.")
    if not names:
        raise GlimpseError("No method was chosen: tick at least one.")
    if isinstance(percent, bool) or not isinstance(percent, (int, float)) or not 1 <= percent <= 100:
        raise GlimpseError(f"The budget is {str(percent)[:40]!r}; wanted was a percentage from 1 to 100.")


def trials(
    session: Any,
    images: Sequence[Image.Image],
    names: Sequence[str],
    percent: float,
    sampling: Sampling,
    cancel: threading.Event | None = None,
) -> Iterator[Trial]:
    """All tokens first, then each method with `percent` of the visual tokens, as it is done. Raises Cancelled."""
    grids, total = session.grids, sum(grid.tokens for grid in session.grids)
    everything = np.ones(total, dtype=bool)
    answer, seconds = _answered(session.answer(None, sampling, cancel), cancel)
    full = answer.text
    yield _trial("none", answer, seconds, None, full) | {
        "kept": total,
        "total": total,
        "kv": 1.0,
        "prefill": 1.0,
        "src": drawn(images, grids, everything, "picture"),
    }
    for name in names:
        began = time.perf_counter()
        try:
            budget = {"ratio": percent / 100} if pruners.card(name).budgeted else {}
            pruned = session.prune(pruners.build(name, session.model, **budget))
            choosing = time.perf_counter() - began
            answer, seconds = _answered(session.answer_of(pruned, sampling, cancel), cancel)
        except Cancelled:
            raise
        except GlimpseError as error:
            yield _described(name) | {"error": str(error)}
            continue
        plan, mask = pruned.schedules[0], pruned.kept[0].cpu().numpy()
        yield _trial(name, answer, seconds, choosing, full) | {
            "kept": plan.final,
            "total": total,
            "kv": kv_share(plan),
            "prefill": prefill_share(plan),
            "mask": mask.astype(int).tolist(),
            "src": drawn(images, grids, mask, "kept"),
        }


def drawn(images: Sequence[Image.Image], grids: Sequence[Grid], mask: Any, view: Any) -> str:
    """The pictures side by side with one mask, as a data URL."""
    from glimpse_core.ui.pictures import data_url

    return data_url(_sheet(images, grids, mask, view))


def sheet(images: Sequence[Image.Image], grids: Sequence[Grid], done: Sequence[Trial]) -> Image.Image:
    """All small multiples in one picture, each with its method and count."""
    panels = [
        (f"{trial['label']}: {trial['kept']}", _sheet(images, grids, trial["mask"], "kept"))
        for trial in done
        if "mask" in trial
    ]
    if not panels:
        raise GlimpseError("No method has kept anything yet.")
    return sheets.side_by_side(panels, height=280, columns=min(4, len(panels)))


def _sheet(images: Sequence[Image.Image], grids: Sequence[Grid], mask: Any, view: Any) -> Image.Image:
    parts = split(np.asarray(mask).astype(bool), grids)
    small = []
    for image, grid, part in zip(images, grids, parts, strict=True):
        copy = image.copy()
        copy.thumbnail((SIDE, SIDE), Image.Resampling.LANCZOS)
        small.append(overlay(copy, None, part, grid, view))
    if len(small) == 1:
        return small[0]
    return sheets.side_by_side([(str(place), image) for place, image in enumerate(small, 1)], height=SIDE // 2)


def _answered(answer: Any, cancel: threading.Event | None) -> tuple[Any, float | None]:
    """The whole answer and the measured seconds of its first step."""
    for _ in answer:
        pass
    if cancel is not None and cancel.is_set():
        raise Cancelled("Stopped.")
    steps = answer.timings["tokens"]
    return answer, steps[0] if steps else None


def _described(name: str) -> Trial:
    card = pruners.card(name)
    return {"name": name, "label": card.label, "where": card.where, "question": card.question, "control": card.control}


def _trial(name: str, answer: Any, first: float | None, choosing: float | None, full: str) -> Trial:
    return _described(name) | {
        "text": answer.text,
        "finished": answer.finished,
        "same": compare.same(answer.text, full),
        "choosing": choosing,
        "first": first,
    }
