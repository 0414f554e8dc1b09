"""The deletion test of word attribution as figures (the JSON of `evaluate --deletion`) and as a Markdown table."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from glimpse_core.evaluation.deletion import DRAWS, SIDES
from glimpse_core.evaluation.plan import Loaded
from glimpse_core.evaluation.report.tables import lines_of, origin, percent
from glimpse_core.evaluation.statistics import average, quantile
from glimpse_core.evaluation.store import Entry
from glimpse_core.storage.versions import versions

GOALS = {"attributed": 0.80, "random": 1 / 3, "seconds": 2.0}  # random: of the attributed share


def result(loaded: Loaded, entries: Sequence[Entry], timing: dict[str, Any]) -> dict[str, Any]:
    """The figures of either side, and what is needed to repeat them.

    Args:
        loaded: of `deletion.plan`.
        entries: all of its questions.
        timing: what `deletion.measure` returned.
    """
    settings = {name: getattr(loaded.plan, name) for name in ("model", "seed", "max_new_tokens", "device")}
    return {
        "count": len(entries),
        "held_out": loaded.task.origin()["held_out"],
        "settings": settings | {"draws": DRAWS, "dtype": str(loaded.model.dtype).removeprefix("torch.")},
        "goals": GOALS,
        "timed": timing["questions"],
        "sides": {
            name: summary([entry["sides"][name] for entry in entries]) | spent(timing["seconds"][name])
            for name in SIDES
        },
        "weights": loaded.header()["weights"],
        "versions": versions("torch", "transformers"),
    }


def summary(sides: Sequence[dict[str, Any]]) -> dict[str, Any]:
    """The figures of one side over all questions.

    Returns:
        Counts of words, of those that depend on visual tokens, of those for which some were found, and of those that
        need all kept tokens, where as many random ones are the same. Of the words that depend on visual tokens, the
        share that changes without the attributed tokens and without random ones, `scored` and `decoded`. Quartiles of
        the number of tokens that a word needs. Prompts scored for an attribution.
    """
    words = [word for side in sides for word in side["depending"]]
    needs = sorted(word["needs"] for word in words if word["needs"])
    return {
        "words": sum(side["words"] for side in sides),
        "depending": len(words),
        "found": len(needs),
        "all_kept": sum(word["needs"] == side["kept"] for side in sides for word in side["depending"]),
        **{way: _shares(words, way) for way in ("scored", "decoded")},
        "kept": average(side["kept"] for side in sides),
        "needs": _quantiles(needs, q25=0.25, median=0.5, q75=0.75),
        "runs": average(side["runs"] for side in sides),
    }


def spent(seconds: Sequence[float]) -> dict[str, Any]:
    """Quantiles of the seconds of an attribution, and the share of attributions that take less than the goal."""
    return {
        "seconds": _quantiles(sorted(seconds), median=0.5, q90=0.9, most=1.0),
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
        f"{goals['attributed']:.0%} attributed, random at most a third of it, under {goals['seconds']:g} s (timed on "
        f"{result['timed']} of them).",
        "",
        *lines_of(head, rows),
    ]
    return "\n".join(lines) + "\n"


def _plain(value: float | None, digits: int = 0) -> str:
    return "-" if value is None else f"{value:.{digits}f}"
