"""The result of a benchmark as Markdown."""

from __future__ import annotations

from typing import Any


def markdown(result: dict[str, Any]) -> str:
    """A line about the run, and one row per contender. Times in milliseconds, spread as first to third quartile."""
    place, prompt, options = result["machine"], result["prompt"], result["options"]
    kind = result.get("scores", {}).get("kind")  # results of earlier versions do not say it
    shape = result["shape"]
    head = (
        f"{result['model']}: {shape['layers']} layers of {shape['width']}, K = {shape['keep_layer']}"
        f"{', scores by attention (no glimpse modules)' if kind == 'attention' else ''}; "
        f"{prompt['tokens']:,} prompt tokens, {prompt['visual_tokens']:,} of them visual. {place['device']}, "
        f"{place['threads']} threads, {place['dtype']}, {place['attention']}, torch {place['torch']}. "
        f"{options['rounds']} rounds after {options['warmup']} of warm-up; "
        f"{'CPU time of the process' if options['clock'] == 'cpu' else 'wall time'}."
    )
    lines = [
        head,
        "",
        "| | kept | first token, ms | x plain | quartiles | FLOPs share | decoder x keep-all | FLOPs share "
        "| per token, ms | x plain | peak |",
        "| :--- |" + " ---: |" * 10,
    ]
    band = ["", _band(result["band"])] if "band" in result else []  # results of earlier versions have none
    later = ["", _next(result["next"])] if "next" in result else []
    return "\n".join([*lines, *map(_row, result["rows"]), *band, *later]) + "\n"


def _band(band: dict[str, Any]) -> str:
    ratio = band["ratio"]
    return (
        f"Answers at {band['budgets']} budgets take {ratio['median']:.2f} times as long as one pruned answer "
        f"(quartiles {ratio['low']:.2f} to {ratio['high']:.2f}), images and prompt included."
    )


def _next(sides: dict[str, Any]) -> str:
    ratios = " and ".join(
        f"{ratio['median']:.2f} (quartiles {ratio['low']:.2f} to {ratio['high']:.2f}) of the {side} one"
        for side, ratio in sides.items()
    )
    return f"The first token for another question about the same images takes {ratios} for the first question."


def _row(row: dict[str, Any]) -> str:
    seconds, ratio = row["seconds"], row["ratio"]
    token, token_ratio = seconds.get("token"), row["token_ratio"]
    cells = [
        row["name"],
        "" if row["kept"] is None else f"{row['kept']:,}",
        f"{1e3 * seconds['prefill']['median']:,.1f}",
        f"{ratio['median']:.3f}",
        f"{ratio['low']:.3f} to {ratio['high']:.3f}",
        _number(row["flops_share"]),
        "" if row["decoder_ratio"] is None else _number(row["decoder_ratio"]["median"]),
        _number(row["decoder_flops_share"]),
        "" if token is None else f"{1e3 * token['median']:,.2f}",
        "" if token_ratio is None else f"{token_ratio['median']:.2f}",
        "" if row["peak_bytes"] is None else f"{row['peak_bytes'] / 2**30:.2f} GiB",
    ]
    return "| " + " | ".join(cells) + " |"


def _number(value: float | None) -> str:
    return "" if value is None else f"{value:.3f}"
