"""The projection against `cost` itself, and against a slow sum of decoding steps."""

from __future__ import annotations

import pytest

from glimpse_core.bench.shapes import SHAPES
from glimpse_core.costs import flops
from glimpse_core.costs.cost import cost, decode_flops
from glimpse_core.costs.kv_cache import kv_bytes
from glimpse_core.costs.projection import TEXT_TOKENS, project
from glimpse_core.costs.shape import Shape
from glimpse_core.errors import GlimpseError
from glimpse_core.types import Grid


def shape_of(name: str) -> Shape:
    return Shape.from_config(SHAPES[name].base, SHAPES[name].glimpse)


@pytest.mark.parametrize("name", ["qwen2.5-vl-3b", "qwen2.5-vl-7b", "llava-1.5-7b", "small"])
@pytest.mark.parametrize("share", [0.0, 0.04, 0.5, 1.0])
@pytest.mark.parametrize("keep_layer", [None, 0, 5])
def test_the_projection_is_what_cost_says(name: str, share: float, keep_layer: int | None) -> None:
    shape, grids = shape_of(name), [Grid(24, 24)]
    visual, kept = 576, max(1, round(share * 576))
    expected = cost(shape, visual + TEXT_TOKENS, visual, kept, keep_layer, grids=grids)
    made = project(shape, grids, share, 7, keep_layer)
    assert made.costs == expected
    values = made.to_dict()
    assert (values["visual_tokens"], values["kept"]) == (visual, kept)
    assert values["kv_bytes"] == {"full": expected.kv_bytes, "kept": expected.kept_kv_bytes}
    assert values["prefill"] == {"full": expected.full.prefill, "kept": expected.pruned.prefill}
    assert values["decode"] == {"full": expected.full.decode, "kept": expected.pruned.decode}


def test_an_answer_is_the_prefill_and_one_step_for_each_further_token() -> None:
    shape = shape_of("small")
    made = project(shape, [Grid(6, 4)], 0.25, 5, text_tokens=10)
    assert made.costs.kept_length == 16

    def slow(start: int) -> int:
        steps = [flops.decoder_layer(shape.text, 1, keys) for keys in range(start + 1, start + 5)]  # 4 after the first
        return shape.text.layers * sum(steps) + 4 * flops.output_matrix(shape.text)

    assert made.full_answer == made.costs.full.prefill + slow(34)
    assert made.kept_answer == made.costs.pruned.prefill + slow(16)
    assert made.full_end_bytes == kv_bytes(shape, 34 + 4) and made.kept_end_bytes == kv_bytes(shape, 16 + 4)
    one = project(shape, [Grid(6, 4)], 0.25, 1, text_tokens=10)
    assert one.full_answer == one.costs.full.prefill and decode_flops(shape, 34, 0) == 0


def test_what_cannot_be_projected_is_refused() -> None:
    shape = shape_of("small")
    for share in (-0.1, 1.1, float("nan")):
        with pytest.raises(GlimpseError, match="kept_share is"):
            project(shape, [Grid(2, 2)], share, 5)
    with pytest.raises(GlimpseError, match="answer_tokens is 0"):
        project(shape, [Grid(2, 2)], 0.5, 0)
