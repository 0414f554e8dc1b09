"""The deletion test of word attribution: does a word change without the visual tokens attributed to it?

Every question of a plan is answered from the tokens that GlimpsePrune keeps, and from all of them. The tokens of every
word are found (`Session.attribute`) and left out, against as many of the kept tokens drawn at random. A word counts as
changed in two ways:

* `scored`: after the words before it, greedy decoding would choose another token. The attribution looks for this, so
  it must hold wherever tokens were found; what it says is how often none were, and what random tokens do.
* `decoded`: the whole answer is decoded anew, and another word, or none, stands in its place. This is independent of
  how the tokens were found. An earlier word that changes can move or change it, too.

Words that stay the same without any visual token depend on none of them. They are counted, but have nothing to leave
out.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from dataclasses import replace
from typing import Any

import torch
from torch import Tensor

from glimpse_core import world
from glimpse_core.evaluation import presets
from glimpse_core.evaluation.plan import Loaded, Plan
from glimpse_core.evaluation.store import Entry
from glimpse_core.evaluation.tasks.world import SCENE
from glimpse_core.inference.attribution import Attribution, without
from glimpse_core.inference.decoding import Answer
from glimpse_core.inference.forced import words_of
from glimpse_core.inference.session import Session
from glimpse_core.pruners.random import random_mask
from glimpse_core.types import Sampling

COUNT, TIMED = 200, 50  # questions that are answered, and of these those whose attributions are timed
DRAWS = 3  # of random tokens for every word
APART = 1_000_003  # between the seeds of two draws for one word; those of questions lie one apart
SIDES = ("pruned", "full")


def plan(model: str, count: int = COUNT, seed: int = world.HELD_OUT, kind: str = SCENE, **settings: Any) -> Plan:
    """Plan the test on questions of the demo world; see `presets.variants` for the arguments."""
    cells = (presets.VARIANTS["full"], presets.VARIANTS["pruned"])
    return replace(presets.variants(model, count, seed, kind, **settings), cells=cells)


@torch.inference_mode()
def ask(loaded: Loaded, index: int) -> Entry:
    """Run the test on question `index` of a plan.

    Returns:
        The question, its number of visual tokens, and for either side of `SIDES` what `_side` says.
    """
    item = loaded.task.item(index)
    session = Session(loaded.model, loaded.prompt(item))
    return {
        "index": index,
        "key": item.key,
        "type": item.type,
        "question": item.question,
        "visual": session.tokens,
        "sides": {name: _side(loaded, session, mask, index) for name, mask in _masks(loaded, session).items()},
    }


def _masks(loaded: Loaded, session: Session) -> dict[str, Tensor]:
    """The tokens (N,) that the answers of either side are made from."""
    masks = (session.select(loaded.plan.selection).mask, torch.ones(session.tokens, dtype=torch.bool))
    return dict(zip(SIDES, masks, strict=True))


def _side(loaded: Loaded, session: Session, mask: Tensor, index: int) -> dict[str, Any]:
    """The answer from the tokens of a mask, and how its words do without theirs."""
    sampling = Sampling(max_new_tokens=loaded.plan.max_new_tokens)
    answer = session.answer(mask, sampling).complete()
    found = session.attribute(answer, mask) if answer.text.strip() else None
    return {
        "kept": int(mask.sum()),
        "answer": answer.text,
        "words": len(found.words) if found else 0,
        "runs": found.runs if found else 0,
        "depending": _words(loaded, session, answer, found, index) if found else [],
    }


def _words(loaded: Loaded, session: Session, answer: Answer, found: Attribution, index: int) -> list[dict[str, Any]]:
    """Of every word that depends on visual tokens: how many it needs, and whether it changes without them."""
    kept = found.kept
    numbers = [number for number, depends in enumerate(found.depends) if depends]
    first = loaded.plan.first_draw + index
    removed = [
        [without(kept, found.needed[number]), *_drawn(kept, len(found.needed[number]), first + APART * number)]
        for number in numbers
    ]
    scored = _changed(removed, lambda masks: _scored(session, answer, found, masks))
    decoded = _changed([masks[:2] for masks in removed], lambda masks: _decoded(loaded, session, found, masks))
    return [
        {
            "word": found.words[number].text,
            "needs": len(found.needed[number]),
            "scored": [bool(row[number]) for row in scored[at]],
            "decoded": [bool(row[number]) for row in decoded[at]],
        }
        for at, number in enumerate(numbers)
    ]


def _drawn(kept: Tensor, count: int, seed: int) -> list[Tensor]:
    """Masks (N,) without `count` random ones of the kept tokens, one per draw."""
    places = kept.nonzero().flatten()
    draws = (random_mask(len(places), count, seed + APART**2 * draw) for draw in range(DRAWS))
    return [without(kept, places[draw].tolist()) for draw in draws]


def _changed(
    removed: Sequence[Sequence[Tensor]], changed: Callable[[list[Tensor]], list[list[bool]]]
) -> list[list[list[bool]]]:
    """Whether each word changes (W,), for each of a word's masks; equal masks are run once."""
    different = {tuple(mask.tolist()): mask for masks in removed for mask in masks}
    found = dict(zip(different, changed([*different.values()]), strict=True)) if different else {}
    return [[found[tuple(mask.tolist())] for mask in masks] for masks in removed]


def _scored(session: Session, answer: Answer, found: Attribution, masks: list[Tensor]) -> list[list[bool]]:
    """Whether greedy decoding would choose another token in each word (W,), from each mask."""
    stays = session.score(answer.tokens, masks, penalty=answer.penalty).unchanged(found.words)
    return [[not same for same in row] for row in stays.tolist()]


def _decoded(loaded: Loaded, session: Session, found: Attribution, masks: list[Tensor]) -> list[list[bool]]:
    """Whether another word stands in the place of each word (W,), in the answer that is decoded from each mask."""
    sampling, decode = Sampling(max_new_tokens=loaded.plan.max_new_tokens), loaded.model.require_processor().decode
    rows = []
    for mask in masks:
        texts = [word.text for word in words_of(session.answer(mask, sampling).complete().tokens, decode)]
        rows.append([texts[place : place + 1] != [word.text] for place, word in enumerate(found.words)])
    return rows


def measure(loaded: Loaded, questions: int = TIMED) -> dict[str, Any]:
    """Time the attributions of the first questions of a plan, on one thread.

    Apart from a question's results, since times never repeat exactly.

    Returns:
        The number of questions, and by side of `SIDES` the seconds of each: CPU time, or wall time on a GPU.
    """
    clock = time.process_time if loaded.model.device.type == "cpu" else time.perf_counter
    sampling = Sampling(max_new_tokens=loaded.plan.max_new_tokens)
    seconds: dict[str, list[float]] = {name: [] for name in SIDES}
    threads, questions = torch.get_num_threads(), min(questions, len(loaded.task))
    torch.set_num_threads(1)
    try:
        for index in range(questions):
            session = Session(loaded.model, loaded.prompt(loaded.task.item(index)))
            for name, mask in _masks(loaded, session).items():
                answer = session.answer(mask, sampling).complete()
                began = clock()
                if answer.text.strip():
                    session.attribute(answer, mask)  # ends with values on the CPU: a GPU has nothing left to do
                    seconds[name].append(round(clock() - began, 4))
    finally:
        torch.set_num_threads(threads)
    return {"questions": questions, "seconds": seconds}
