"""The projection of the page's costs: what a question would cost on a model of the catalog, without loading it."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass
from functools import cache
from math import isqrt
from pathlib import Path
from typing import Any

from transformers.models.qwen2_vl.image_processing_pil_qwen2_vl import smart_resize

from glimpse_core.bench.shapes import SHAPES
from glimpse_core.costs import projection
from glimpse_core.costs.shape import Shape
from glimpse_core.errors import GlimpseError
from glimpse_core.models import checkpoint_config
from glimpse_core.models.entries import ENTRIES, Entry
from glimpse_core.types import Grid
from glimpse_core.ui.pictures import MAX_ASPECT, MIN_SIDE

# Of the published preprocessor_config.json: the smallest and the largest image in pixels, by pixels on each side of one
# visual token (28 for Qwen2.5-VL, 32 for Qwen3-VL).
PUBLISHED_PIXELS = {28: (3_136, 12_845_056), 32: (65_536, 16_777_216)}
MAX_SIDE = 20_000  # pixels
MAX_ANSWER = 2_048  # tokens
DEFAULTS: dict[str, Any] = {"width": 1920, "height": 1080, "length": 128, "percent": 10, "keep_layer": None}


@dataclass(frozen=True)
class Known:
    """A model of the catalog whose costs can be calculated.

    Attributes:
        shape: with the config of its glimpse modules.
        pixels: the smallest and the largest image that its processor makes; None where every image has one size.
    """

    entry: Entry
    shape: Shape
    pixels: tuple[int, int] | None


@cache
def known_models() -> dict[str, Known]:
    """By name, the catalog's models with sizes that are published or on this machine."""
    found = {}
    for name, entry in ENTRIES.items():
        # An adapter changes no size: its entry has those of the entry with the same base.
        same = [other for other in ENTRIES if other in SHAPES and ENTRIES[other].base == entry.base]
        if same:
            sizes = SHAPES[name if name in same else same[0]]
            shape = Shape.from_config(sizes.base, sizes.glimpse)
            found[name] = Known(entry, shape, None if shape.vision.image_tokens else PUBLISHED_PIXELS[_cell(shape)])
        elif (Path(entry.base) / "config.json").is_file():
            found[name] = _local(entry)
    return found


def _local(entry: Entry) -> Known:
    base, glimpse = Path(entry.base), Path(str(entry.glimpse))
    config = checkpoint_config.from_ours(_read(glimpse / "config.json"))
    shape = Shape.from_config(_read(base / "config.json"), config)
    sizes = _read(base / "preprocessor_config.json")
    return Known(entry, shape, (sizes["min_pixels"], sizes["max_pixels"]))


def _read(path: Path) -> dict[str, Any]:
    values: dict[str, Any] = json.loads(path.read_text(encoding="utf-8"))
    return values


def project(request: Any) -> dict[str, Any]:
    """Calculate the costs of a question on a model of the catalog.

    Args:
        request: model (a name of the catalog), width and height of the image in pixels, length of the answer in
            tokens, percent of the visual tokens that are kept, keep_layer (the layer K, from 0; None is the published
            one). What is left out has the values of `DEFAULTS`; the model is then the first that is not the demo.

    Returns:
        JSON values: `models` for the menu; `request` with every value as used; the token grid; and the costs of
        `Projection.to_dict`.

    Raises:
        GlimpseError: names the first value that cannot be.
    """
    if not isinstance(request, Mapping):
        raise GlimpseError(f"The request is a {type(request).__name__}. Expected an object of named values.")
    unknown = sorted(set(request) - {"model", "visitor", *DEFAULTS})
    if unknown:
        raise GlimpseError(
            f"The request has {', '.join(str(name)[:40] for name in unknown)}. Expected model, {', '.join(DEFAULTS)}."
        )
    given = {"model": _usual_model()} | DEFAULTS | dict(request)  # the page sends its visitor with every request
    model = _model(given["model"])
    width, height = (_whole(given[name], name, MIN_SIDE, MAX_SIDE) for name in ("width", "height"))
    length = _whole(given["length"], "length", 1, MAX_ANSWER)
    percent = _percent(given["percent"])
    layers = model.shape.text.layers
    keep_layer = None if given["keep_layer"] is None else _whole(given["keep_layer"], "keep_layer", 0, layers - 1)
    grid = grid_of(model, width, height)
    result = projection.project(model.shape, [grid], percent / 100, length, keep_layer)
    return {
        "models": [_line(one) for one in known_models().values()],
        "request": {
            "model": model.entry.name,
            "width": width,
            "height": height,
            "length": length,
            "percent": percent,
            "keep_layer": keep_layer,
        },
        "grid": [grid.rows, grid.cols],
        "text_tokens": projection.TEXT_TOKENS,
        **result.to_dict(),
    }


def grid_of(model: Known, width: int, height: int) -> Grid:
    """Return the token grid of an image of `width` x `height` pixels. Raises GlimpseError for one that is too long."""
    if max(width, height) > MAX_ASPECT * min(width, height):
        raise GlimpseError(
            f"The picture has {width} x {height} pixels. Expected one side at most {MAX_ASPECT} times the other."
        )
    if model.pixels is None:
        side = round((model.shape.vision.image_tokens or 0) ** 0.5)
        return Grid(side, side)
    low, high = model.pixels
    cell = _cell(model.shape)
    rows, cols = smart_resize(height, width, factor=cell, min_pixels=low, max_pixels=high)
    return Grid(rows // cell, cols // cell)


def _cell(shape: Shape) -> int:
    """Pixels on each side of one visual token of a Qwen model, whose patches have two frames of three colors."""
    return shape.vision.merge * isqrt(shape.vision.patch_values // 6)


def _usual_model() -> str:
    return next((name for name, model in known_models().items() if model.entry.is_download), next(iter(known_models())))


def _model(name: Any) -> Known:
    models = known_models()
    if not isinstance(name, str) or name not in models:
        raise GlimpseError(f"The model is {str(name)[:40]!r}. Expected one of {', '.join(models)}.")
    return models[name]


def _whole(value: Any, name: str, low: int, high: int) -> int:
    if isinstance(value, bool) or not isinstance(value, (int, float)) or value != value or not low <= value <= high:
        raise GlimpseError(f"{name} is {str(value)[:40]}. Expected an integer from {low:,} to {high:,}.")
    if value != int(value):
        raise GlimpseError(f"{name} is {value}. Expected an integer from {low:,} to {high:,}.")
    return int(value)


def _percent(value: Any) -> float:
    if isinstance(value, bool) or not isinstance(value, (int, float)) or not 0 < value <= 100:
        raise GlimpseError(f"percent is {str(value)[:40]}. Expected a number above 0 and at most 100.")
    return value


def _line(model: Known) -> dict[str, Any]:
    text, glimpse = model.shape.text, model.shape.glimpse
    return {
        "name": model.entry.name,
        "title": model.entry.title,
        "layers": text.layers,
        "keep_layer": glimpse.keep_layer if glimpse else text.layers - 1,
        "fixed": model.pixels is None,
    }
