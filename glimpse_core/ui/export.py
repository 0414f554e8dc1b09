"""A record as a file: JSON, or one HTML page that needs nothing else, not even a network.

Every text, the user's and the model's, goes through the template's escaping; pictures are data URLs. The page's own
policy (in its head) forbids scripts and requests, so that a report stays what it is wherever it is opened.
"""

from __future__ import annotations

import base64
from collections.abc import Callable, Sequence
from functools import cache
from pathlib import Path
from typing import Any

import jinja2
import numpy as np
from PIL import Image

from glimpse_core.errors import GlimpseError
from glimpse_core.glimpse.settings import listing
from glimpse_core.media.page_views import PageView, draw, ramp
from glimpse_core.types import Grid
from glimpse_core.ui import compare, texts
from glimpse_core.ui.pictures import data_url
from glimpse_core.ui.record import Record, settings_of, text, upgrade
from glimpse_core.ui.truth import truth_note
from glimpse_core.ui.units import bytes_text, flops_text, seconds_text

TEMPLATE = Path(__file__).with_name("report.html")
VIEWS: tuple[tuple[str, PageView], ...] = (
    ("Picture", "picture"),
    ("Relevance", "heat"),
    ("Kept tokens", "kept"),
    ("Kept tokens alone", "kept_only"),
)
NAMES = {"full": "All tokens", "kept": "Kept tokens"}
STATES = {"stop": "", "length": "cut at the length limit", "cancelled": "stopped"}
SIDE = 900  # pixels, the longer side of a report's pictures


def export(kind: Any, value: Record | None, images: Callable[[], Sequence[Image.Image]]) -> dict[str, str]:
    """The file of a kind ("json" or "html"): its name, type and text. Raises GlimpseError where there is none.

    images: opens the record's pictures, where the file needs them.
    """
    if value is None:
        raise GlimpseError(texts.NOTHING_TO_SAVE)
    value = upgrade(value)
    if kind == "json":
        return {"name": "glimpse-record.json", "type": "application/json", "text": text(value)}
    if kind == "html":
        return {"name": "glimpse-report.html", "type": "text/html", "text": report(value, images())}
    raise GlimpseError(f'The kind of file is "{str(kind)[:40]}". Expected json or html.')


def report(value: Record, images: Sequence[Image.Image]) -> str:
    """The record, of any version, and its pictures as one HTML page. images: in the order of the record, upright."""
    value = upgrade(value)
    if len(images) != len(value["pictures"]):
        raise GlimpseError(f"{len(images)} pictures were given. Expected {len(value['pictures'])}, as in the record.")
    flops = value["costs"]["flops"]
    saved = 1 - flops["pruned"]["prefill"] / flops["full"]["prefill"]
    heat = "Relevance" if _trained(value) else "Attention"
    return _template().render(
        record=value,
        ramp=[f"rgb({red} {green} {blue} / {alpha})" for red, green, blue, alpha in ramp()],
        truth_note=truth_note(value["truth"]),
        summary=_summary(value),
        cards=_cards(value),
        verdict=texts.verdict(bool(value["same"]), finished=value["same"] is not None),
        pictures=[_picture(picture, image, heat) for picture, image in zip(value["pictures"], images, strict=True)],
        rows=_rows(value),
        note=texts.faster(value["costs"]["layers"], value["costs"]["keep_layer"], saved, _trained(value)),
        ends=("irrelevant 0", "1 relevant") if _trained(value) else ("attention 0", "1 most"),
        facts=_facts(value),
        data=base64.b64encode(text(value).encode()).decode("ascii"),
    )


@cache
def _template() -> jinja2.Template:
    environment = jinja2.Environment(autoescape=True, trim_blocks=True, undefined=jinja2.StrictUndefined)
    return environment.from_string(TEMPLATE.read_text(encoding="utf-8"))


def _trained(value: Record) -> bool:
    """Whether a predictor scored the tokens, as in all records that do not say it."""
    return "scores" not in value or value["scores"]["kind"] == "predictor"


def _summary(value: Record) -> str:
    tokens = value["tokens"]
    share = 100 * tokens["kept"] / tokens["total"]
    return f"{tokens['kept']:,} of {tokens['total']:,} visual tokens kept ({share:.1f}%): {value['rule']}."


def _cards(value: Record) -> list[dict[str, Any]]:
    answers = value["answers"]
    pieces = {name: [(answer["text"], False)] for name, answer in answers.items() if answer}
    if value["same"] is not None:
        pieces["full"], pieces["kept"] = compare.mark(answers["full"]["text"], answers["kept"]["text"])
    return [
        {"title": NAMES[name], "pieces": pieces[name], "state": STATES[answers[name]["finished"]]} for name in pieces
    ]


def _picture(picture: dict[str, Any], image: Image.Image, heat: str = "Relevance") -> dict[str, Any]:
    """All views of one picture, at the size the model sees it, no larger than a report needs. heat: what it shows."""
    grid = Grid(picture["rows"], picture["cols"], tuple(picture["frame"]))
    kept = np.array(picture["kept"], dtype=bool)
    shrink = min(1.0, SIDE / max(picture["size"]))
    size = tuple(max(1, round(side * shrink)) for side in picture["size"])
    seen = image.resize(size, Image.Resampling.LANCZOS)
    counted = f"{int(kept.sum())} of {grid.tokens} tokens kept"
    views = [
        {
            "name": name,
            "src": data_url(draw(seen, picture["probabilities"], kept, grid, view)),
            "alt": f"{name}: {picture['alt']} {counted}, on {grid.rows} rows by {grid.cols} columns.",
        }
        for name, view in ((heat if view == "heat" else name, view) for name, view in VIEWS)
    ]
    return {"alt": picture["alt"], "caption": counted, "views": views}


def _rows(value: Record) -> list[dict[str, str]]:
    costs, answers = value["costs"], value["answers"]
    tokens, prompt, cache_, flops = (costs[name] for name in ("visual_tokens", "prompt_length", "kv_bytes", "flops"))

    def row(label: str, full: str, kept: str, kind: str) -> dict[str, str]:
        return {"label": label, "full": full, "kept": kept, "kind": kind}

    def seconds(of: Any) -> tuple[str, str]:
        full, kept = (
            seconds_text(of(answers[name]["seconds"]) if answers[name] else None) for name in ("full", "kept")
        )
        return full, kept

    def pace(given: dict[str, Any]) -> float | None:
        steps = given["steps"][1:]
        return sum(steps) / len(steps) if steps else None

    return [
        row("Visual tokens", f"{tokens['before']:,}", f"{tokens['after']:,}", "counted"),
        row("Prompt length", f"{prompt['before']:,}", f"{prompt['after']:,}", "counted"),
        row("KV cache", bytes_text(cache_["before"]), bytes_text(cache_["after"]), "calculated"),
        row(
            "Prefill compute",
            flops_text(flops["full"]["prefill"]),
            flops_text(flops["pruned"]["prefill"]),
            "calculated",
        ),
        row("Time to first token", *seconds(lambda given: given["first_token"]), "measured"),
        row("Each further token", *seconds(pace), "measured"),
    ]


def _penalty(sampling: dict[str, Any]) -> str:
    penalty = sampling.get("repetition_penalty", 1)  # records of before do not say it
    return "" if penalty == 1 else f", repetition penalty {penalty:g}"


def _reused(tokens: dict[str, int]) -> list[tuple[str, str]]:
    """What the question before had run; records of before do not say it."""
    found = tokens.get("reused", 0)
    return [("Taken over", f"{found:,} of {tokens['prompt']:,} prompt tokens from the question before")] * bool(found)


def _facts(value: Record) -> list[tuple[str, str]]:
    model, sampling = value["model"], value["sampling"]
    return [
        ("Model", f"{model['name']} on {model['device']}, {model['dtype']}, {model['attention']} attention"),
        *([("Scores", value["scores"]["meaning"])] if "scores" in value else []),
        ("Tokens leave", f"after layer {model['keep_layer']} of 0 to {model['layers'] - 1}"),
        *listing(settings_of(value)),
        ("Decoding", f"{'greedy' if not sampling['temperature'] else 'sampled'}, at most "
         f"{sampling['max_new_tokens']} tokens{_penalty(sampling)}"),
        ("Stages, measured", ", ".join(f"{name} {seconds_text(took)}" for name, took in value["timings"].items())),
        *_reused(value["tokens"]),
        ("Versions", ", ".join(f"{name} {number}" for name, number in value["versions"].items())),
    ]  # fmt: skip
