"""The five variants of the preset as figures (the JSON of `evaluate --json`) and as a Markdown table.

What is counted, and how the awkward cases are treated:

* Accuracy is the mean score by exact match of the whole answer, white space at both ends aside.
* `kept_share` is kept / visual tokens of a question; `evidence_share` the same for the tokens under the evidence boxes.
* `evidence_recall` is the share of evidence tokens that are kept, averaged over the questions that have evidence.
* A question without evidence ("is there a star?" where there is none) has nothing to drop: its `evidence_dropped`
  answer is the full one. It stays in `accuracy`, which makes the fall smaller than it would be without such questions;
  `with_evidence` gives the same five accuracies over the others alone. Its `oracle_boxes` answer is given with no
  visual token left.
* `rank_correlation` is Spearman's, over all questions, between the numbers of evidence tokens and of kept tokens.
* Where scenes and pages take turns, `scenes` and `pages` have the same figures of either half. What `one_object` says
  of scenes, it says in `pages` of look-ups: questions that one cell answers.
* `budgets` has, per budget that was asked for, the accuracy of each method at exactly that many tokens, and the
  predictor's lead over every other one: mean difference question by question, with a bootstrap interval.
"""

from __future__ import annotations

from collections.abc import Collection, Sequence
from dataclasses import asdict
from typing import Any

import numpy as np

from glimpse_core import world
from glimpse_core.costs.cost import cost
from glimpse_core.costs.shape import Shape
from glimpse_core.evaluation import statistics
from glimpse_core.evaluation.cells import Cell, budget_text
from glimpse_core.evaluation.plan import Loaded
from glimpse_core.evaluation.presets import RANKINGS, VARIANTS
from glimpse_core.evaluation.report.rows import mean, recall
from glimpse_core.evaluation.report.tables import lines_of, origin, percent
from glimpse_core.evaluation.statistics import average, spearman, spread
from glimpse_core.evaluation.store import Entry
from glimpse_core.glimpse.model import require_glimpse
from glimpse_core.storage.versions import versions

PRUNED, FULL = VARIANTS["pruned"].label, VARIANTS["full"].label


def result(loaded: Loaded, entries: Sequence[Entry], seconds: float, workers: int) -> dict[str, Any]:
    """The JSON of `evaluate --json`: the figures, and what is needed to repeat and to judge them.

    Args:
        loaded: a plan of `presets.variants`.
        entries: all of its questions.
        seconds: spent on all of them, by this many workers.
    """
    plan, model = asdict(loaded.plan), require_glimpse(loaded.model)  # the preset prunes with them
    asked = ("model", "seed", "count", "glimpse", "selection", "max_new_tokens", "dtype", "device", "attn")
    used = {"workers": workers, "dtype": str(model.dtype).removeprefix("torch."), "attn": model.attn}
    parts, focus = halves(entries), world.ONE_OBJECT_TYPES | set(world.LOOK_UP_TYPES)
    budgets = budget_rows(loaded.plan.cells, entries)
    return {
        **summary(entries, focus),
        **({name: part_of(model.shape, half, focus) for name, half in parts.items()} if len(parts) > 1 else {}),
        **({"budgets": budgets} if budgets else {}),
        "prefill_share": prefill_share(model.shape, entries),
        "keep_layer": model.config.keep_layer,
        "layers": model.backbone.layers,
        "held_out": loaded.task.origin()["held_out"],
        "one_object_types": sorted(focus & set(loaded.task.origin()["types"])),
        "settings": {name: plan[name] for name in asked} | used,
        "weights": loaded.header()["weights"],
        "glimpse_config": asdict(model.config),
        "versions": versions("torch", "transformers"),
        "seconds": {"total": round(seconds, 1), "per_question": round(seconds / len(entries), 4)},
    }


def halves(entries: Sequence[Entry]) -> dict[str, list[Entry]]:
    """The questions about scenes and those about pages, if any."""
    found = {
        "scenes": [entry for entry in entries if entry["type"] in world.TYPES],
        "pages": [entry for entry in entries if entry["type"] in world.PAGE_TYPES],
    }
    return {name: half for name, half in found.items() if half}


def part_of(shape: Shape, entries: Sequence[Entry], focus: Collection[str]) -> dict[str, Any]:
    """The figures of some of the questions."""
    return {**summary(entries, focus), "prefill_share": prefill_share(shape, entries)}


def budget_rows(cells: Sequence[Cell], entries: Sequence[Entry]) -> list[dict[str, Any]]:
    """The methods of `presets.RANKINGS` at each budget: accuracies and the predictor's lead, for each half and all."""
    budgets = dict.fromkeys(cell.budget for cell in cells if isinstance(cell.budget, float))
    parts = {"all": list(entries), **halves(entries)}
    drawn = {name: statistics.draws(len(part)) for name, part in parts.items()} if budgets else {}
    return [
        {"budget": budget} | {name: _at(budget, part, drawn[name]) for name, part in parts.items()}
        for budget in budgets
    ]


def _at(budget: float, entries: Sequence[Entry], drawn: np.ndarray) -> dict[str, Any]:
    own, *others = ([entry["cells"][Cell(name, budget).label]["score"] for entry in entries] for name in RANKINGS)
    leads = [asdict(statistics.difference(own, other, drawn)) for other in others]
    return {
        "accuracy": {name: average(scores) for name, scores in zip(RANKINGS, (own, *others), strict=True)},
        "lead": dict(zip(RANKINGS[1:], leads, strict=True)),
    }


def prefill_share(shape: Shape, entries: Sequence[Entry]) -> dict[str, float]:
    """Pruned over unpruned FLOPs before the first token, averaged over questions: decoder alone, and with the tower."""
    shares = {"decoder": 0.0, "total": 0.0}
    for entry in entries:
        costs = cost(shape, entry["prompt_length"], entry["visual"], entry["cells"][PRUNED]["kept"])
        shares["decoder"] += costs.pruned.decoder_prefill / costs.full.decoder_prefill / len(entries)
        shares["total"] += costs.pruned.prefill / costs.full.prefill / len(entries)
    return shares


def summary(entries: Sequence[Entry], one_object_types: Collection[str]) -> dict[str, Any]:
    """Everything that is reported about the questions. Raises ValueError for none."""
    if not entries:
        raise ValueError("There is nothing to summarize. Expected at least one question.")
    with_evidence = [entry for entry in entries if entry["evidence"]]
    one_object = [entry for entry in entries if entry["type"] in one_object_types]
    kinds = sorted({entry["type"] for entry in entries})
    kept = [entry["cells"][PRUNED]["kept"] for entry in entries]
    return {
        "count": len(entries),
        "accuracy": accuracies(entries),
        "kept_share": kept_shares(entries),
        "evidence_share": mean(entries, evidence_share),
        "evidence_recall": recall(entries, PRUNED),
        "rank_correlation": spearman([entry["evidence"] for entry in entries], kept),
        "agreement_with_full": mean(entries, _agrees),
        "with_evidence": {"count": len(with_evidence)} | accuracies(with_evidence),
        "one_object": group(one_object),
        "by_type": {kind: group([entry for entry in entries if entry["type"] == kind]) for kind in kinds},
    }


def group(entries: Sequence[Entry]) -> dict[str, Any]:
    """One row of the table: accuracies of all variants, shares and recall of these questions."""
    shares = kept_shares(entries)
    return {
        "count": len(entries),
        **accuracies(entries),
        "kept_share": shares["mean"],
        "kept_share_quartiles": [shares["q25"], shares["median"], shares["q75"]],
        "evidence_share": mean(entries, evidence_share),
        "evidence_recall": recall(entries, PRUNED),
    }


def accuracies(entries: Sequence[Entry]) -> dict[str, float | None]:
    """Mean scores by name of the variant."""
    return {name: average(entry["cells"][cell.label]["score"] for entry in entries) for name, cell in VARIANTS.items()}


def kept_shares(entries: Sequence[Entry]) -> dict[str, float | None]:
    """Return mean and quartiles of the shares of visual tokens that the pruned variant keeps."""
    return spread(entry["cells"][PRUNED]["kept"] / entry["visual"] for entry in entries)


def evidence_share(entry: Entry) -> float:
    """Return the share of the visual tokens that cover the evidence of a question."""
    return entry["evidence"] / entry["visual"]


def _agrees(entry: Entry) -> bool:
    cells = entry["cells"]
    return cells[PRUNED]["answer"].strip() == cells[FULL]["answer"].strip()


# ------------------------------------------------------------------------------------------------ the table

COLUMNS = (
    ("all tokens", "full"),
    ("pruned", "pruned"),
    ("random, same budget", "random_same_budget"),
    ("evidence only", "oracle_boxes"),
    ("without evidence", "evidence_dropped"),
    ("kept", "kept_share"),
    ("evidence", "evidence_share"),
    ("recall", "evidence_recall"),
)


def markdown(result: dict[str, Any]) -> str:
    """Accuracies, shares of the visual tokens and evidence recall: by type, for one object, and for all questions; then
    the table of the budgets, if there were any.
    """
    rows = {**result["by_type"], "**one object**": result["one_object"]}
    rows |= {f"**{name}**": _whole(result[name]) for name in ("scenes", "pages") if name in result}
    rows["**all**"] = _whole(result)
    kept, correlation = result["kept_share"], result["rank_correlation"]
    quartiles = ", ".join(percent(kept[name]) for name in ("q25", "median", "q75"))
    lines = [
        heading(result),
        "",
        *lines_of(
            ("questions", "count", *(title for title, _ in COLUMNS)),
            [(name, str(row["count"]), *(percent(row[field]) for _, field in COLUMNS)) for name, row in rows.items()],
        ),
        "",
        f"Kept share of the visual tokens, quartiles: {quartiles}. "
        f"Rank correlation of evidence and kept tokens: {'-' if correlation is None else f'{correlation:.3f}'}. "
        f"Prefill FLOPs of the decoder: {percent(result['prefill_share']['decoder'])} of the unpruned ones.",
        *_budget_lines(result.get("budgets", ())),
    ]
    return "\n".join(lines) + "\n"


def _whole(part: dict[str, Any]) -> dict[str, Any]:
    """The row of all questions of a part."""
    return {
        "count": part["count"],
        **part["accuracy"],
        "kept_share": part["kept_share"]["mean"],
        "evidence_share": part["evidence_share"],
        "evidence_recall": part["evidence_recall"],
    }


def _budget_lines(budgets: Sequence[dict[str, Any]]) -> list[str]:
    if not budgets:
        return []
    titles = [Cell(name).title for name in RANKINGS]
    head = ("budget", "questions", *titles, *(f"lead over {title}" for title in titles[1:]))
    rows = [
        (
            budget_text(row["budget"]),
            name,
            *map(percent, part["accuracy"].values()),
            *(_points(lead) for lead in part["lead"].values()),
        )
        for row in budgets
        for name, part in row.items()
        if name != "budget"
    ]
    note = "The same number of tokens for every method. In brackets the 95% interval of the difference, in points."
    return ["", note, "", *lines_of(head, rows, 2)]


def _points(lead: dict[str, float]) -> str:
    value, low, high = (100 * lead[name] for name in ("value", "low", "high"))
    return f"{value:+.1f} [{low:+.1f}, {high:+.1f}]"


def heading(result: dict[str, Any]) -> str:
    """One sentence on what was run."""
    settings = result["settings"]
    first = "scene and page" if "scenes" in result else "seed"
    first = "scene" if not set(result["by_type"]) & set(world.PAGE_TYPES) else first
    return (
        f"{result['count']} questions from {first} {settings['seed']} ({origin(result['held_out'])}), "
        f"threshold {settings['selection']['threshold']:g}, "
        f"tokens dropped after layer {result['keep_layer']} of 0 to {result['layers'] - 1}."
    )
