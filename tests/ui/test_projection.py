"""The page's projection: equal to `cost` on the catalog's shapes, tokens as the processor makes them, checks."""

from __future__ import annotations

import json

import pytest
from PIL import Image

from glimpse_core.costs.cost import cost
from glimpse_core.costs.projection import TEXT_TOKENS
from glimpse_core.errors import GlimpseError
from glimpse_core.models.catalog import load_processor
from glimpse_core.models.entries import ENTRIES
from glimpse_core.storage.assets import ASSETS
from glimpse_core.types import Grid
from glimpse_core.ui.projection import grid_of, known_models, project


@pytest.mark.parametrize("name", list(ENTRIES))
def test_every_model_of_the_catalog_costs_what_cost_says(name: str) -> None:
    value = project({"model": name, "width": 900, "height": 500, "length": 20, "percent": 12.5})
    assert json.loads(json.dumps(value)) == value
    grid, shape = Grid(*value["grid"]), known_models()[name].shape
    kept = round(grid.tokens * 0.125)
    expected = cost(shape, grid.tokens + TEXT_TOKENS, grid.tokens, kept, grids=[grid])
    assert (value["visual_tokens"], value["kept"], value["keep_layer"]) == (grid.tokens, kept, expected.keep_layer)
    assert value["kv_bytes"] == {"full": expected.kv_bytes, "kept": expected.kept_kv_bytes}
    assert value["prefill"] == {"full": expected.full.prefill, "kept": expected.pruned.prefill}
    assert [line["name"] for line in value["models"]] == list(ENTRIES)
    config = ENTRIES[name].published_config
    assert shape.glimpse is not None and (config is None or shape.glimpse == config)


def test_pictures_have_as_many_tokens_as_the_processor_makes() -> None:
    processor, demo = load_processor(ASSETS / "demo"), known_models()["demo"]
    for width, height in [(560, 560), (100, 30), (30, 100), (8, 8), (1234, 777), (3000, 2000), (28 * 90, 28)]:
        made = processor.pixels([Image.new("RGB", (width, height))])["image_grid_thw"].tolist()  # type: ignore[union-attr]
        grid = grid_of(demo, width, height)
        assert made == [[1, 2 * grid.rows, 2 * grid.cols]], (width, height)
    qwen, llava = known_models()["qwen2.5-vl-7b"], known_models()["llava-1.5-7b"]
    assert grid_of(qwen, 1920, 1080) == Grid(39, 69)
    assert grid_of(known_models()["qwen3-vl-8b"], 1920, 1080) == Grid(34, 60)
    assert grid_of(llava, 1920, 1080) == grid_of(llava, 100, 100) == Grid(24, 24)


def test_the_layer_that_is_asked_for_is_used() -> None:
    early, late = (project({"model": "qwen2.5-vl-7b", "keep_layer": layer}) for layer in (0, 27))
    assert (early["keep_layer"], late["keep_layer"]) == (0, 27)
    assert early["prefill"]["kept"] < late["prefill"]["kept"]
    assert project({})["request"]["model"] == "qwen2.5-vl-3b" and project({})["keep_layer"] == 23


@pytest.mark.parametrize(
    ("given", "said"),
    [
        (None, "The request is a NoneType"),
        ([], "The request is a list"),
        ({"model": "gpt"}, "The model is 'gpt'. Expected one of demo, qwen"),
        ({"model": ["demo"]}, "The model is "),
        ({"model": None}, "The model is 'None'"),
        ({"wide": 3}, "The request has wide. Expected model, width"),
        ({"width": 0}, "width is 0. Expected an integer from 8 to 20,000"),
        ({"width": "100"}, "width is 100. Expected"),
        ({"width": 100.5}, "width is 100.5. Expected an integer"),
        ({"width": True}, "width is True"),
        ({"height": float("nan")}, "height is nan"),
        ({"height": float("inf")}, "height is inf"),
        ({"width": 9000, "height": 8}, "The picture has 9000 x 8 pixels"),
        ({"length": 0}, "length is 0. Expected an integer from 1 to 2,048"),
        ({"percent": 0}, "percent is 0. Expected a number above 0"),
        ({"percent": float("nan")}, "percent is nan"),
        ({"percent": "x" * 500}, "percent is x{40}\\. Expected"),
        ({"keep_layer": -1}, "keep_layer is -1. Expected an integer from 0 to 35"),
        ({"keep_layer": 36}, "keep_layer is 36"),
    ],
)
def test_what_cannot_be_calculated_is_said(given: object, said: str) -> None:
    with pytest.raises(GlimpseError, match="^" + said):
        project(given)
