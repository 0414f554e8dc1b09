"""The numbers that the documentation quotes within a sentence, by name: `<!--= demo.full -->97.1%<!--/-->`."""

from __future__ import annotations

import math
from collections.abc import Callable
from functools import cache

from docs.sources import bench, comparison, contenders, demo, sweep, words


@cache
def figures() -> dict[str, str]:
    """Every figure as it is printed."""
    return {f"{part}.{name}": text for part, make in PARTS.items() for name, text in make().items()}


def percent(share: float, digits: int = 1) -> str:
    """0.0717 -> 7.2%"""
    return f"{share:.{digits}%}"


def _demo() -> dict[str, str]:
    report, accuracy = demo(), demo()["accuracy"]
    differ = round((1 - report["agreement_with_full"]) * report["count"])
    return {
        "count": f"{report['count']:,}",
        "full": percent(accuracy["full"]),
        "pruned": percent(accuracy["pruned"]),
        "share": percent(accuracy["pruned"] / accuracy["full"]),
        "random": percent(accuracy["random_same_budget"]),
        "evidence": percent(accuracy["oracle_boxes"]),
        "without": percent(accuracy["evidence_dropped"]),
        "dropped": percent(1 - report["kept_share"]["mean"]),
        "kept": percent(report["kept_share"]["mean"]),
        "dropped_one": percent(1 - report["one_object"]["kept_share"]),
        "half": percent(report["by_type"]["half"]["full"]),
        "nearest": percent(report["by_type"]["nearest"]["full"]),
        "correlation": f"{report['rank_correlation']:.2f}",
        "prefill": percent(report["prefill_share"]["decoder"]),
        "differ": f"{differ:,}",
        # 95% interval of the difference of two paired proportions: 1.96 standard errors.
        "uncertainty": f"{100 * 1.96 * math.sqrt(differ) / report['count']:.1f}",
        "quartiles": ", ".join(percent(report["kept_share"][name]) for name in ("q25", "median", "q75")),
        "keep_layer": str(report["keep_layer"]),
        "last_layer": str(report["layers"] - 1),
        "first_kept_layer": str(report["keep_layer"] + 1),
    }


def _words() -> dict[str, str]:
    report = words()
    found = {"count": str(report["count"]), "timed": str(report["timed"])}
    for name, side in report["sides"].items():
        found |= {
            name: percent(side["scored"]["attributed"]),
            f"{name}_random": percent(side["scored"]["random"]),
            f"{name}_all": percent(side["all_kept"] / side["depending"], 0),
            f"{name}_seconds": f"{side['seconds']['median']:.1f}",
            f"{name}_in_time": percent(side["in_time"], 0),
        }
    return found


def _sweep() -> dict[str, str]:
    reports = sweep()
    first = next(iter(reports.values()))
    found = {"count": str(first["count"]), "layers": str(first["layers"])}
    for layer, report in reports.items():
        found |= {
            f"k{layer}.pruned": percent(report["accuracy"]["pruned"]),
            f"k{layer}.prefill": percent(report["prefill_share"]["decoder"]),
        }
    return found


def _table() -> dict[str, str]:
    rows = comparison()
    found = {"count": f"{rows['none']['count']:,.0f}", "full": percent(rows["none"]["accuracy"])}
    for label, row in rows.items():
        name = label.replace("%", "").replace("+", "-").replace(":", "-")
        low, high = (100 * row[f"share_{end}"] for end in ("low", "high"))
        found |= {
            f"{name}.share": percent(row["share"]),
            f"{name}.range": f"{low:.1f} to {high:.1f}",
            f"{name}.kept": percent(row["kept"]),
            f"{name}.flops": percent(row["flops"]),
            f"{name}.time": _change(row["seconds_share"]),
        }
        if row["against"] is not None:
            low, high = (100 * row[f"against_{end}"] for end in ("low", "high"))
            found[f"{name}.against"] = f"{100 * row['against']:.1f}"
            found[f"{name}.against_range"] = f"{low:.1f} to {high:.1f}"
    return found


def _change(share: float) -> str:
    """1.09 -> 9% more; 0.75 -> 25% less"""
    return f"{abs(share - 1):.0%} {'more' if share > 1 else 'less'}"


def _bench() -> dict[str, str]:
    result, rows = bench(), contenders()
    prompt = result["prompt"]
    pruned, kept = rows["glimpse at 7.0%"], rows["keep-all, our path"]
    vision, total = kept["seconds"]["vision"]["median"], kept["seconds"]["prefill"]["median"]
    decoder = pruned["decoder_flops_share"]
    return {
        "visual_tokens": f"{prompt['visual_tokens']:,}",
        "layers": str(result["shape"]["layers"]),
        "width": str(result["shape"]["width"]),
        "keep_layer": str(result["shape"]["keep_layer"]),
        "vip": str(result["shape"]["vip_size"]),
        "vision_layers": str(len(result["shape"]["vision_layers"])),
        "rounds": str(result["options"]["rounds"]),
        "pruned": f"{pruned['ratio']['median']:.3f}",
        "flops": f"{pruned['flops_share']:.3f}",
        "above_flops": f"{pruned['ratio']['median'] / pruned['flops_share'] - 1:.0%}",
        "vision_time": f"{vision / total:.0%}",
        # What is in the prefill's share but not in the decoder's: the vision tower and one row of the output matrix.
        "vision_flops": f"{(pruned['flops_share'] - decoder) / (1 - decoder):.0%}",
        "again": f"{rows['again, other threshold']['ratio']['median']:.0%}",
    }


PARTS: dict[str, Callable[[], dict[str, str]]] = {
    "demo": _demo, "words": _words, "sweep": _sweep, "table": _table, "bench": _bench,
}  # fmt: skip
