"""The deletion test of word attribution: does a word change without the visual tokens that it is said to need?

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
from glimpse_core.evaluation.report.tables import lines_of, origin, percent
from glimpse_core.evaluation.statistics import average, quantile
from glimpse_core.evaluation.store import Entry
from glimpse_core.evaluation.tasks.world import SCENE
from glimpse_core.inference.attribution import Attribution, without
from glimpse_core.inference.decoding import Answer
from glimpse_core.inference.forced import words_of
from glimpse_core.inference.session import Session
from glimpse_core.pruners.random import random_mask
from glimpse_core.storage.versions import versions
from glimpse_core.types import Sampling

COUNT = 200
DRAWS = 3  # of random tokens for every word
APART = 1_000_003  # between the seeds of two draws for one word; those of questions lie one apart
SIDES = ("pruned", "full")
GOALS = {"attributed": 0.80, "random": 1 / 3, "seconds": 2.0}  # random: of the attributed share


def plan(model: str, count: int = COUNT, seed: int = world.HELD_OUT, kind: str = SCENE, **settings: Any) -> Plan:
    """Plan the test on questions of the demo world; see `presets.variants` for the arguments."""
    cells = (presets.VARIANTS["full"], presets.VARIANTS["pruned"])
    return replace(presets.variants(model, count, seed, kind, **settings), cells=cells)


@torch.inference_mode()
def ask(loaded: Loaded, index: int) -> Entry:
    """Run the test on question `index` of a plan.

    Returns:
        The question, its number of visual tokens, and for either side of `SIDES` what `_side` says. "seconds" in it is
        measured, so that two runs differ there.
    """
    item = loaded.task.item(index)
    session = Session(loaded.model, loaded.prompt(item))
    masks = (session.select(loaded.plan.selection).mask, torch.ones(session.tokens, dtype=torch.bool))
    return {
        "index": index,
        "key": item.key,
        "type": item.type,
        "question": item.question,
        "visual": session.tokens,
        "sides": {name: _side(loaded, session, mask, index) for name, mask in zip(SIDES, masks, strict=True)},
    }


def _side(loaded: Loaded, session: Session, mask: Tensor, index: int) -> dict[str, Any]:
    """The answer from the tokens of a mask, how long its attribution took, and how its words do without theirs."""
    sampling = Sampling(max_new_tokens=loaded.plan.max_new_tokens)
    answer = session.answer(mask, sampling).complete()
    found, seconds = _timed(loaded, session, answer, mask)
    return {
        "kept": int(mask.sum()),
        "answer": answer.text,
        "words": len(found.words) if found else 0,
        "runs": found.runs if found else 0,
        "seconds": seconds,
        "depending": _words(loaded, session, answer, found, index) if found else [],
    }


def _timed(loaded: Loaded, session: Session, answer: Answer, mask: Tensor) -> tuple[Attribution | None, float]:
    """The attribution, and its seconds: of CPU time, all threads together; of wall time on a GPU."""
    if not answer.text.strip():
        return None, 0.0
    clock = time.process_time if loaded.model.device.type == "cpu" else time.perf_counter
    began = clock()
    found = session.attribute(answer, mask)  # ends with values on the CPU, so that a GPU has nothing left to do
    return found, round(clock() - began, 4)


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
            "scored": [bool(row[number]) for row in scored[place]],
            "decoded": [bool(row[number]) for row in decoded[place]],
        }
        for place, number in enumerate(numbers)
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


# ------------------------------------------------------------------------------------------------ what it comes to


def result(loaded: Loaded, entries: Sequence[Entry]) -> dict[str, Any]:
    """The figures of either side, and what is needed to repeat them.

    Args:
        loaded: of `plan`.
        entries: all of its questions.
    """
    settings = {name: getattr(loaded.plan, name) for name in ("model", "seed", "max_new_tokens", "device")}
    return {
        "count": len(entries),
        "held_out": loaded.task.origin()["held_out"],
        "settings": settings | {"draws": DRAWS, "dtype": str(loaded.model.dtype).removeprefix("torch.")},
        "threads": torch.get_num_threads(),
        "goals": GOALS,
        "sides": {name: summary([entry["sides"][name] for entry in entries]) for name in SIDES},
        "weights": loaded.header()["weights"],
        "versions": versions("torch", "transformers"),
    }


def summary(sides: Sequence[dict[str, Any]]) -> dict[str, Any]:
    """The figures of one side over all questions.

    Returns:
        Counts of words; of those that depend on visual tokens, the share that changes without the attributed tokens
        and without random ones, `scored` and `decoded`; quartiles of the number of tokens that a word needs; seconds
        of an attribution, and the share of attributions that take less than the goal.
    """
    words = [word for side in sides for word in side["depending"]]
    needs = sorted(word["needs"] for word in words if word["needs"])
    seconds = sorted(side["seconds"] for side in sides if side["words"])
    return {
        "words": sum(side["words"] for side in sides),
        "depending": len(words),
        "found": len(needs),
        **{way: _shares(words, way) for way in ("scored", "decoded")},
        "kept": average(side["kept"] for side in sides),
        "needs": _quantiles(needs, q25=0.25, median=0.5, q75=0.75),
        "runs": average(side["runs"] for side in sides),
        "seconds": _quantiles(seconds, median=0.5, q90=0.9, most=1.0),
        "in_time": average(float(value < GOALS["seconds"]) for value in seconds),
    }


def _shares(words: Sequence[dict[str, Any]], way: str) -> dict[str, float | None]:
    """The shares of words that change without the attributed tokens, and without random ones, mean over draws."""
    return {
        "attributed": average(float(word[way][0]) for word in words),
        "random": average(float(changed) for word in words for changed in word[way][1:]),
    }


def _quantiles(ordered: Sequence[float], **shares: float) -> dict[str, float | None]:
    return {name: quantile(ordered, share) if ordered else None for name, share in shares.items()}


def markdown(result: dict[str, Any]) -> str:
    """The figures as a Markdown table."""
    settings, goals = result["settings"], result["goals"]
    head = (
        "answer", "words", "depend on the image", "scored: attributed", "scored: random", "decoded: attributed",
        "decoded: random", "tokens needed (median)", "seconds (median)", "seconds (most)", "in time",
    )  # fmt: skip
    rows = [
        (
            name,
            f"{side['words']:,}",
            f"{side['depending']:,}",
            *(percent(side[way][kind]) for way in ("scored", "decoded") for kind in ("attributed", "random")),
            _plain(side["needs"]["median"]),
            _plain(side["seconds"]["median"], 2),
            _plain(side["seconds"]["most"], 2),
            percent(side["in_time"]),
        )
        for name, side in result["sides"].items()
    ]
    lines = [
        f"{result['count']} questions from seed {settings['seed']} ({origin(result['held_out'])}). Words that change "
        "without the tokens attributed to them, and without as many random ones. Goals: at least "
        f"{goals['attributed']:.0%} attributed, random at most a third of it, under {goals['seconds']:g} s.",
        "",
        *lines_of(head, rows),
    ]
    return "\n".join(lines) + "\n"


def _plain(value: float | None, digits: int = 0) -> str:
    return "-" if value is None else f"{value:.{digits}f}"
