"""Schedules: the arithmetic by hand, and that the engine really works on as many tokens as they say."""

from __future__ import annotations

import pytest
import torch

from glimpse_core import pruners
from glimpse_core.costs import flops
from glimpse_core.costs.cost import cost
from glimpse_core.costs.schedule import Drop, final_share, kv_share, prefill_share, schedule, schedule_cost
from glimpse_core.costs.shape import Shape
from glimpse_core.errors import GlimpseError
from glimpse_core.inference.decoding import Answer, finish
from glimpse_core.inference.generation import with_pruning
from glimpse_core.types import Sampling
from tests.glimpse.test_oracle import MODELS
from tests.support import tiny


def test_a_pyramid_by_hand():
    plan = schedule(8, 100, [Drop(2, 50, "untouched"), Drop(4, 25, "untouched"), Drop(6, 10, "untouched")])
    assert plan.alive == plan.cached == (100, 100, 50, 50, 25, 25, 10, 10)
    assert final_share(plan) == 0.1
    assert kv_share(plan) == prefill_share(plan) == 370 / 800
    pruned = schedule(8, 100, [Drop(2, 50), Drop(4, 10)])
    assert pruned.alive == (100, 100, 50, 50, 10, 10, 10, 10) and pruned.cached == (10,) * 8
    assert prefill_share(pruned) == 340 / 800 and kv_share(pruned) == 0.1
    behind = schedule(8, 100, [Drop(8, 30)])
    assert behind.alive == (100,) * 8 and behind.cached == (30,) * 8 and final_share(behind) == 0.3
    assert kv_share(schedule(3, 0, [])) == prefill_share(schedule(3, 0, [])) == final_share(schedule(3, 0, [])) == 1


def test_the_published_averages():
    """The layer averages that the papers' budgets stand for."""
    fastv = schedule(32, 576, [Drop(2, 30, "untouched")])
    assert sum(fastv.alive) / 32 == pytest.approx(64, abs=0.2)
    vscan = schedule(32, 576, [Drop(0, 96), Drop(16, 32, "untouched")])
    assert sum(vscan.alive) / 32 == 64
    qwen = schedule(28, 1000, [Drop(0, 167), Drop(14, 56, "untouched")])
    assert kv_share(qwen) == pytest.approx(0.111, abs=0.001)
    glimpse = schedule(28, 1000, [Drop(19, 111)])
    assert kv_share(glimpse) == 0.111 and prefill_share(glimpse) == pytest.approx(0.714, abs=0.001)


@pytest.mark.parametrize("attention", ["full", "causal"])
def test_costs_agree_with_those_of_glimpseprune(attention):
    """Where both can count it: without scoring, tokens dropped behind layer K from all caches."""
    shape = Shape.from_config(tiny.model().backbone.hf.config)
    for keep_layer in (-1, 2, 4):
        plan = schedule(shape.text.layers, 100, [Drop(keep_layer + 1, 20)])
        known = cost(shape, 130, 100, 20, keep_layer, attention=attention, glimpse=False)
        found = schedule_cost(shape, 130, plan, attention=attention)
        assert found.decoder_prefill == known.pruned.decoder_prefill
        assert found.prefill == known.pruned.prefill
        assert found.decode == known.pruned.decode
        assert found.kv_bytes == known.kept_kv_bytes
        assert (found.full_decoder_prefill, found.full_prefill) == (known.full.decoder_prefill, known.full.prefill)
        assert (found.full_decode, found.full_kv_bytes) == (known.full.decode, known.kv_bytes)


def test_costs_with_a_selector():
    model = tiny.model()
    shape = Shape.from_config(model.backbone.hf.config, model.config)
    known = cost(shape, 130, 100, 20)
    pruner = pruners.build("glimpse", model, ratio=0.2)
    plan = schedule(shape.text.layers, 100, pruner.plan(100))
    found = schedule_cost(shape, 130, plan, selector=pruner.selector_flops(shape, 130, 100))
    assert found.decoder_prefill == known.pruned.decoder_prefill
    assert found.selector > 0


def test_costs_of_unequal_caches_and_of_a_smaller_picture():
    shape = Shape.from_config(tiny.model().backbone.hf.config)
    text = shape.text
    plan = schedule(5, 100, [Drop(2, 20, "untouched")], seen=20)
    found = schedule_cost(shape, 130, plan, dtype="float32")
    layers = [130, 130, 50, 50, 50]
    assert found.decoder_prefill == sum(flops.decoder_layer(text, length, length**2) for length in layers)
    assert found.decode == sum(flops.decoder_layer(text, 1, length + 1) for length in layers) + flops.output_matrix(
        text
    )
    assert found.kv_bytes == 2 * text.kv_heads * text.head_width * 4 * sum(layers)
    assert found.prefill - found.decoder_prefill - flops.output_matrix(text) == flops.vision_tower(
        shape.vision, 20, None
    )
    assert 0 < found.prefill_share < found.decoder_prefill_share < 1


def test_a_schedule_of_another_model():
    shape = Shape.from_config(tiny.model().backbone.hf.config)
    with pytest.raises(GlimpseError, match="4 layers and 100 visual tokens"):
        schedule_cost(shape, 130, schedule(4, 100, []))


@pytest.mark.parametrize("name", [name for name in pruners.PRUNERS if pruners.card(name).budgeted])
def test_choosing_has_a_price_but_a_small_one(name):
    """At the shape of Qwen2.5-VL-7B, 1,600 visual tokens: below 3% of the prefill; nothing where none is multiplied."""
    shape = Shape.from_config(_QWEN_7B)
    pruner = pruners.build(name, tiny.model(), ratio=0.1)
    price = pruner.selector_flops(shape, 1650, 1600)
    whole = schedule_cost(shape, 1650, schedule(28, 1600, [])).full_decoder_prefill
    if name in ("random", "random_at_k", "grid", "pool", "downsample", "v2drop"):
        assert price == 0
    elif name == "glimpse":
        assert price > 0
    else:
        assert 0 < price < 0.03 * whole


_QWEN_7B = {
    "text_config": dict(
        hidden_size=3584, intermediate_size=18944, num_hidden_layers=28, num_attention_heads=28, num_key_value_heads=4,
        vocab_size=152064,
    ),
    "vision_config": dict(
        depth=32, hidden_size=1280, intermediate_size=3420, num_heads=16, out_hidden_size=3584, patch_size=14,
    ),
}  # fmt: skip


@torch.no_grad()
@pytest.mark.parametrize("family", MODELS)
@pytest.mark.parametrize(
    "name",
    ["fastv", "pyramiddrop", "vscan", "visionzip", "ivcprune", "hawk", "v2drop", "drop_all", "divprune+glimpse"],
)
def test_generate_answers_like_the_engine(family, name):
    """The drop-in for every kind of method: early caches whole, before the decoder, merged, in a row."""
    model = MODELS[family]()
    options = {"divprune": {"ratio": 0.5}} if "+" in name else {}
    own = {"positions": "original"} if name in ("pyramiddrop", "vscan") else {}
    budget = {"ratio": 0.3} if pruners.card(name).budgeted else {}
    pruner = pruners.build(name, model, options=options, **budget, **own)
    prompt = tiny.prompt(model)
    pruned = pruner(prompt)
    answer = Answer(model.backbone, prompt, lambda: pruned.branch, str, Sampling(max_new_tokens=5)).complete()
    ids = with_pruning(model, pruner).generate(**tiny.as_inputs(prompt), max_new_tokens=5, do_sample=False)
    told = ids[0, prompt.input_ids.shape[1] :].tolist()
    assert told[: len(answer.tokens)] == answer.tokens
    whole = finish(model.backbone, pruners.build("none", model)(prompt).branch)
    torch.testing.assert_close(finish(model.backbone, pruned.trunk).hidden, whole.hidden, atol=1e-4, rtol=1e-4)


@torch.no_grad()
def test_generate_cannot_follow_renumbered_layers():
    model = MODELS["llava"]()
    prompt = tiny.prompt(model)
    view = with_pruning(model, pruners.build("pyramiddrop", model, ratio=0.3))
    with pytest.raises(GlimpseError, match="renumbers positions after the first layers"):
        view.generate(**tiny.as_inputs(prompt), max_new_tokens=2)
