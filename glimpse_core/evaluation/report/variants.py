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
"""

from __future__ import annotations

from collections.abc import Collection, Sequence
from dataclasses import asdict
from typing import Any

from glimpse_core import world
from glimpse_core.costs.cost import cost
from glimpse_core.costs.shape import Shape
from glimpse_core.evaluation.plan import Loaded
from glimpse_core.evaluation.presets import VARIANTS
from glimpse_core.evaluation.report.rows import mean, recall
from glimpse_core.evaluation.report.tables import lines_of, origin, percent
from glimpse_core.evaluation.statistics import average, spearman, spread
from glimpse_core.evaluation.store import Entry
from glimpse_core.storage.versions import versions

PRUNED, FULL = VARIANTS["pruned"].label, VARIANTS["full"].label


def result(loaded: Loaded, entries: Sequence[Entry], seconds: float, workers: int) -> dict[str, Any]:
    """The JSON of `evaluate --json`: the figures, and what is needed to repeat and to judge them.

    Args:
        loaded: a plan of `presets.variants`.
        entries: all of its questions.
        seconds: spent on all of them, by this many workers.
    """
    plan, model = asdict(loaded.plan), loaded.model
    asked = ("model", "seed", "count", "glimpse", "selection", "max_new_tokens", "dtype", "device", "attn")
    used = {"workers": workers, "dtype": str(model.dtype).removeprefix("torch."), "attn": model.attn}
    return {
        **summary(entries, world.ONE_OBJECT_TYPES),
        "prefill_share": prefill_share(model.shape, entries),
        "keep_layer": model.config.keep_layer,
        "layers": model.backbone.layers,
        "held_out": loaded.task.origin()["held_out"],
        "one_object_types": sorted(world.ONE_OBJECT_TYPES),
        "settings": {name: plan[name] for name in asked} | used,
        "weights": loaded.header()["weights"],
        "glimpse_config": asdict(model.config),
        "versions": versions("torch", "transformers"),
        "seconds": {"total": round(seconds, 1), "per_question": round(seconds / len(entries), 4)},
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
    return spread(entry["cells"][PRUNED]["kept"] / entry["visual"] for entry in entries)


def evidence_share(entry: Entry) -> float:
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
    """Accuracies, shares of the visual tokens and evidence recall: by type, for one object, and for all questions."""
    everything = {
        "count": result["count"],
        **result["accuracy"],
        "kept_share": result["kept_share"]["mean"],
        "evidence_share": result["evidence_share"],
        "evidence_recall": result["evidence_recall"],
    }
    rows = {**result["by_type"], "**one object**": result["one_object"], "**all**": everything}
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
    ]
    return "\n".join(lines) + "\n"


def heading(result: dict[str, Any]) -> str:
    """One sentence on what was run."""
    settings = result["settings"]
    return (
        f"{result['count']} questions from scene {settings['seed']} ({origin(result['held_out'])}), "
        f"threshold {settings['selection']['threshold']:g}, "
        f"tokens dropped after layer {result['keep_layer']} of 0 to {result['layers'] - 1}."
    )
