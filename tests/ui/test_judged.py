"""The page's judgement of two answers is that of `evaluate`, question by question."""

from __future__ import annotations

import os
from collections import Counter

from glimpse_core import world
from glimpse_core.evaluation import engine, presets, store
from glimpse_core.glimpse.boxes import box_mask
from glimpse_core.types import Grid
from glimpse_core.ui.messages import Answer
from glimpse_core.ui.payloads import idle_answers
from glimpse_core.ui.view import judged

# Two hundred take a few minutes: GLIMPSE_QUESTIONS=200 asks them all.
COUNT = int(os.environ.get("GLIMPSE_QUESTIONS", "8"))


def answer(text: str) -> Answer:
    return {
        "pieces": [(text, False)],
        "state": "stop",
        "measured": {},
        "first": None,
        "speed": None,
        "tokens": 1,
        "length": 1,
    }


def test_verdicts_and_evidence_are_those_of_evaluate() -> None:
    """Same, broke, fixed or both wrong; and how many tokens of the evidence are kept."""
    loaded = presets.variants("demo", COUNT, world.HELD_OUT).load()
    page, evaluated = Counter[tuple[bool | None, ...]](), Counter[tuple[bool | None, ...]]()
    for index in range(COUNT):
        entry, item = engine.ask(loaded, index), loaded.task.item(index)
        cells = [entry["cells"][presets.VARIANTS[name].label] for name in ("full", "pruned")]
        full, kept = (answer(cell["answer"]) for cell in cells)
        (truth,) = entry["expected"]
        view = judged({**idle_answers(), "question": item.question, "truth": truth, "full": full, "kept": kept})
        page[view["full"]["right"], view["kept"]["right"]] += 1
        evaluated[tuple(cell["score"] == 1 for cell in cells)] += 1
        grid = Grid(*entry["grid"])
        evidence = box_mask(item.boxes, grid).numpy()
        mask = store.unpacked(cells[1]["mask"], grid.tokens)
        assert (int(evidence.sum()), int((evidence & mask).sum())) == (entry["evidence"], cells[1]["evidence_kept"])
    assert page == evaluated
    print(page)
