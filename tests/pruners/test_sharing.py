"""Shared work gives the numbers of separate work, is done once, and leaks neither between scopes nor threads."""

import threading

import pytest
import torch

from glimpse_core.inference.decoding import finish
from glimpse_core.pruners import GlimpsePruner, GridPruner, NoPruner, RandomPruner, build
from glimpse_core.pruners.base import plain
from glimpse_core.pruners.sharing import once, sharing
from tests.support import tiny


def test_once_only_inside_a_scope_and_only_for_the_same_objects():
    calls = []
    work = lambda: calls.append(1) or len(calls)  # noqa: E731
    first, second = object(), object()
    assert [once("a", (first,), work) for _ in range(2)] == [1, 2]
    with sharing():
        assert [once("a", (first,), work) for _ in range(3)] == [3, 3, 3]
        assert once("a", (second,), work) == 4
        assert once("b", (first,), work) == 5
        with sharing():
            assert once("a", (first,), work) == 6
        assert once("a", (first,), work) == 3
        other = []
        thread = threading.Thread(target=lambda: other.append(once("a", (first,), work)))
        thread.start()
        thread.join()
        assert other == [7], "another thread has no scope"
    assert once("a", (first,), work) == 8


@pytest.mark.parametrize("attn", ["sdpa", "eager"])
@torch.inference_mode()
def test_pruners_that_share_equal_pruners_that_do_not(attn):
    model = tiny.model(attn)
    prompt = tiny.prompt(model)
    vision = model.backbone.see(prompt, model.config.vision_layers)
    late = dict(ratio=0.3, depth=None)
    pruners = [GlimpsePruner(model), NoPruner(model), RandomPruner(model, **late), GridPruner(model, **late)] * 2
    apart = [finish(model.backbone, pruner(prompt, vision).branch) for pruner in pruners]
    layers = model.backbone.text.layers
    runs = []
    hook = layers[0].register_forward_hook(lambda *_: runs.append(1))
    with sharing():
        results = [pruner(prompt, vision) for pruner in pruners]
        plain(model, prompt, vision, 1)
        together = [finish(model.backbone, result.branch) for result in results]
        trunks = [finish(model.backbone, result.trunk) for result in results]
    hook.remove()
    assert len(runs) == 3, "one glimpse trunk, one plain trunk, and the plain prompt at a depth not passed through"
    for one, other in zip(apart, together, strict=True):
        assert torch.equal(one.hidden, other.hidden) and one.ran == other.ran
        for a, b in zip(one.cache.layers, other.cache.layers, strict=True):
            assert torch.equal(a.keys, b.keys) and torch.equal(a.values, b.values)
    assert all(torch.equal(trunks[i].hidden, trunks[i + 4].hidden) for i in range(4))


@torch.inference_mode()
def test_a_prefix_knows_how_many_tokens_each_layer_has_read():
    model = tiny.model()
    prompt = tiny.prompt(model)
    vision = model.backbone.see(prompt, model.config.vision_layers)
    length = prompt.input_ids.shape[1]
    glimpse = GlimpsePruner(model)(prompt, vision)
    short = length - int((~glimpse.kept[0]).sum())
    assert finish(model.backbone, glimpse.branch).ran == (length + 1,) * 3 + (short,) * 2
    assert finish(model.backbone, NoPruner(model)(prompt, vision).branch).ran == (length,) * 5


@torch.inference_mode()
def test_cascades_share_what_comes_before_their_last_step():
    model = tiny.model()
    prompt = tiny.prompt(model)
    vision = model.backbone.see(prompt, model.config.vision_layers)
    last = [("glimpse", {"ratio": 0.3}), ("glimpse", {"ratio": 0.1}), ("fastv", {"ratio": 0.2})]
    half = {"options": {"divprune": {"ratio": 0.5}}}
    pruners = [build(f"divprune+{name}", model, **budget, **half) for name, budget in last]
    pruners.append(build("divprune+glimpse", model, ratio=0.3, options={"divprune": {"ratio": 0.4}}))
    pruners.append(build("grid+glimpse", model, ratio=0.3, options={"grid": {"ratio": 0.5}}))
    apart = [pruner(prompt, vision) for pruner in pruners]
    runs = []
    hook = model.backbone.text.layers[0].register_forward_hook(lambda *_: runs.append(1))
    with sharing():
        together = [pruner(prompt, vision) for pruner in pruners]
    hook.remove()
    assert len(runs) == 4, "one glimpse for both caps, FastV's own first layers, and two other first steps"
    for one, other in zip(apart, together, strict=True):
        for own, shared in ((one.branch, other.branch), (one.trunk, other.trunk)):
            assert torch.equal(finish(model.backbone, own).hidden, finish(model.backbone, shared).hidden)
        assert torch.equal(one.kept[0], other.kept[0]) and one.schedules == other.schedules
