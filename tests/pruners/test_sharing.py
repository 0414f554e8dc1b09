"""Shared work gives the numbers of separate work, is done once, and leaks neither between questions nor tokens."""

import threading
from dataclasses import replace

import pytest
import torch

from glimpse_core.inference.decoding import finish
from glimpse_core.inference.session import Session
from glimpse_core.pruners import (
    GlimpsePruner,
    GridPruner,
    InversePruner,
    NoPruner,
    RandomPruner,
    SharedWork,
    build,
)
from glimpse_core.pruners.sharing import Results
from glimpse_core.pruners.state import advance, begin, embeds_per_row, replace_embeddings
from glimpse_core.types import Sampling, Selection
from tests.support import tiny


def test_a_result_is_made_once_for_its_name_and_again_by_others():
    calls = []
    work = lambda: calls.append(1) or len(calls)  # noqa: E731
    results = Results()
    assert [results.once("a", work) for _ in range(3)] == [1, 1, 1]
    assert results.once("b", work) == 2
    assert Results().once("a", work) == 3
    assert results.once("a", work) == 1

    def failing():
        raise RuntimeError

    with pytest.raises(RuntimeError):
        results.once("c", failing)
    assert results.once("c", lambda: results.once("d", work)) == 4, "one result may be made of another"


def test_threads_wait_for_each_other():
    results, calls, begun, go_on, found = Results(), [], threading.Event(), threading.Event(), []

    def work():
        begun.set()
        assert go_on.wait(10)
        calls.append(1)
        return len(calls)

    threads = [threading.Thread(target=lambda: found.append(results.once("a", work))) for _ in range(4)]
    threads[0].start()
    assert begun.wait(10)
    for thread in threads[1:]:
        thread.start()
    go_on.set()
    for thread in threads:
        thread.join()
    assert found == [1, 1, 1, 1]


@torch.inference_mode()
def test_work_of_another_question_is_refused():
    model = tiny.model()
    prompt, other = tiny.prompt(model), tiny.prompt(model)
    vision, second = (model.backbone.encode_images(prompt, model.config.vision_layers) for _ in range(2))
    shared = SharedWork(model, prompt, vision)
    pruner = NoPruner(model)
    assert torch.equal(pruner(prompt, shared=shared).branch.hidden, pruner(prompt, vision, shared).branch.hidden)
    for given in ((other, vision), (prompt, second), (other, None)):
        with pytest.raises(ValueError, match="belongs to another"):
            pruner(*given, shared)
    with pytest.raises(ValueError, match="belongs to another"):
        NoPruner(replace(model, name="other"))(prompt, vision, shared)


@torch.inference_mode()
def test_without_vision_only_methods_that_never_look_share():
    model = tiny.model()
    prompt = tiny.prompt(model)
    shared = SharedWork(model, prompt, None)
    blind = build("text_only", model)(prompt, shared=shared)
    assert blind.trunk is None and not blind.kept[0].any()
    with_vision, alone = NoPruner(model)(prompt, shared=shared), NoPruner(model)(prompt)
    assert torch.equal(with_vision.branch.hidden, alone.branch.hidden)


@pytest.mark.parametrize("attn", ["sdpa", "eager"])
@torch.inference_mode()
def test_pruners_that_share_equal_pruners_that_do_not(attn):
    model = tiny.model(attn)
    prompt = tiny.prompt(model)
    vision = model.backbone.encode_images(prompt, model.config.vision_layers)
    late = dict(ratio=0.3, depth=None)
    pruners = [GlimpsePruner(model), NoPruner(model), RandomPruner(model, **late), GridPruner(model, **late)] * 2
    apart = [finish(model.backbone, pruner(prompt, vision).branch) for pruner in pruners]
    layers = model.backbone.text.layers
    runs = []
    hook = layers[0].register_forward_hook(lambda *_: runs.append(1))
    shared = SharedWork(model, prompt, vision)
    results = [pruner(prompt, vision, shared) for pruner in pruners]
    advance(begin(shared), 1)
    together = [finish(model.backbone, result.branch) for result in results]
    trunks = [finish(model.backbone, result.trunk) for result in results]
    hook.remove()
    assert len(runs) == 3, "one glimpse trunk, one plain trunk, and the plain prompt at a depth not passed through"
    for one, other in zip(apart, together, strict=True):
        assert torch.equal(one.hidden, other.hidden) and one.processed == other.processed
        for a, b in zip(one.cache.layers, other.cache.layers, strict=True):
            assert torch.equal(a.keys, b.keys) and torch.equal(a.values, b.values)
    assert all(torch.equal(trunks[i].hidden, trunks[i + 4].hidden) for i in range(4))


@torch.inference_mode()
def test_a_prefix_knows_how_many_tokens_each_layer_has_read():
    model = tiny.model()
    prompt = tiny.prompt(model)
    vision = model.backbone.encode_images(prompt, model.config.vision_layers)
    length = prompt.input_ids.shape[1]
    glimpse = GlimpsePruner(model)(prompt, vision)
    short = length - int((~glimpse.kept[0]).sum())
    assert finish(model.backbone, glimpse.branch).processed == (length + 1,) * 3 + (short,) * 2
    assert finish(model.backbone, NoPruner(model)(prompt, vision).branch).processed == (length,) * 5


@torch.inference_mode()
def test_cascades_share_what_comes_before_their_last_step():
    model = tiny.model()
    prompt = tiny.prompt(model)
    vision = model.backbone.encode_images(prompt, model.config.vision_layers)
    last = [("glimpse", {"ratio": 0.3}), ("glimpse", {"ratio": 0.1}), ("fastv", {"ratio": 0.2})]
    half = {"options": {"divprune": {"ratio": 0.5}}}
    pruners = [build(f"divprune+{name}", model, **budget, **half) for name, budget in last]
    pruners.append(build("divprune+glimpse", model, ratio=0.3, options={"divprune": {"ratio": 0.4}}))
    pruners.append(build("grid+glimpse", model, ratio=0.3, options={"grid": {"ratio": 0.5}}))
    apart = [pruner(prompt, vision) for pruner in pruners]
    runs = []
    hook = model.backbone.text.layers[0].register_forward_hook(lambda *_: runs.append(1))
    shared = SharedWork(model, prompt, vision)
    together = [pruner(prompt, vision, shared) for pruner in pruners]
    hook.remove()
    assert len(runs) == 4, "one glimpse for both caps, FastV's own first layers, and two other first steps"
    for one, other in zip(apart, together, strict=True):
        for own, shared in ((one.branch, other.branch), (one.trunk, other.trunk)):
            assert torch.equal(finish(model.backbone, own).hidden, finish(model.backbone, shared).hidden)
        assert torch.equal(one.kept[0], other.kept[0]) and one.schedules == other.schedules


@torch.inference_mode()
def test_a_method_inside_another_shares_the_whole_prompt_and_not_what_is_left():
    """The inverse as a second step asks GlimpsePrune about all tokens, after others have gone."""
    model = tiny.model()
    prompt = tiny.prompt(model)
    vision = model.backbone.encode_images(prompt, model.config.vision_layers)
    half = {"options": {"divprune": {"ratio": 0.5}}}
    pruners = [build("divprune+inverse", model, **half), InversePruner(model), build("divprune+glimpse", model, **half)]
    for order in (pruners, pruners[::-1]):
        shared, runs = SharedWork(model, prompt, vision), []
        hook = model.backbone.text.layers[0].register_forward_hook(lambda *_, runs=runs: runs.append(1))
        together = [pruner(prompt, vision, shared) for pruner in order]
        hook.remove()
        assert len(runs) == 4, "GlimpsePrune once on all and once on half, the prompt and the half without a glimpse"
        for pruner, found in zip(order, together, strict=True):
            alone = pruner(prompt, vision)
            assert torch.equal(alone.kept[0], found.kept[0]) and alone.schedules == found.schedules
            ends = [finish(model.backbone, branch).hidden for branch in (alone.branch, found.branch)]
            assert torch.equal(*ends)


@torch.inference_mode()
def test_other_embeddings_are_other_tokens():
    model = tiny.model()
    prompt = tiny.prompt(model)
    shared = SharedWork(model, prompt, model.backbone.encode_images(prompt))
    own = advance(begin(shared), 2).prefix.hidden
    zeros = [torch.zeros_like(embeds) for embeds in embeds_per_row(begin(shared))]
    other = advance(replace_embeddings(begin(shared), zeros), 2).prefix.hidden
    assert not torch.equal(own, other)
    assert torch.equal(own, advance(begin(shared), 2).prefix.hidden)


@torch.inference_mode()
def test_methods_that_go_on_from_the_same_tokens_share_their_layers():
    model = tiny.model()
    prompt = tiny.prompt(model)
    vision = model.backbone.encode_images(prompt, model.config.vision_layers)
    half = {"options": {"divprune": {"ratio": 0.5}}}
    pruners = [build("divprune+fastv", model, ratio=ratio, **half) for ratio in (0.1, 0.2, 0.3)]
    apart = [pruner(prompt, vision) for pruner in pruners]
    shared, runs = SharedWork(model, prompt, vision), []
    hook = model.backbone.text.layers[0].register_forward_hook(lambda *_: runs.append(1))
    together = [pruner(prompt, vision, shared) for pruner in pruners]
    hook.remove()
    assert len(runs) == 1
    for one, other in zip(apart, together, strict=True):
        assert torch.equal(one.kept[0], other.kept[0]) and one.schedules == other.schedules
        ends = [finish(model.backbone, result.branch).hidden for result in (one, other)]
        assert torch.equal(*ends)


@torch.inference_mode()
def test_pixels_are_not_taken_for_those_of_a_smaller_picture():
    model = tiny.model()
    prompt = tiny.prompt(model)
    vision = model.backbone.encode_images(prompt, model.config.vision_layers)
    half = {"ratio": 0.5}
    pruners = [
        build("downsample+fastv", model, ratio=0.1, options={"downsample": half}),
        build("pool+fastv", model, ratio=0.1, options={"pool": half}),
        build("fastv", model, ratio=0.1),
        GlimpsePruner(model, Selection(0.0)),
    ]
    shared = SharedWork(model, prompt, vision)
    for pruner in (*pruners, *pruners[::-1]):
        alone, found = pruner(prompt, vision), pruner(prompt, vision, shared)
        ends = [finish(model.backbone, result.branch).hidden for result in (alone, found)]
        assert torch.equal(alone.kept[0], found.kept[0]) and torch.equal(*ends)


def test_a_session_shares_unless_a_method_is_to_work_alone():
    model = tiny.model()
    session = Session(model, tiny.prompt(model))
    layer, tower = model.backbone.text.layers[0], model.backbone.hf.model.visual
    runs, seen = [], []
    hooks = [
        layer.register_forward_hook(lambda *_: runs.append(1)),
        tower.register_forward_hook(lambda *_: seen.append(1)),
    ]
    names = ["fastv", "attention", "none", "visionzip"] * 2
    together = [session.prune(build(name, model)) for name in names]
    assert (len(runs), len(seen)) == (1, 1), "the plain prompt, and what VisionZip reads inside the tower"
    apart = [session.prune(build(name, model), alone=True) for name in names]
    assert (len(runs), len(seen)) == (1 + 6, 1 + 8), "VisionZip drops before the first layer, and runs none"
    other = session.prune(build("none", replace(model, name="other")))
    assert (len(runs), len(seen)) == (1 + 6 + 1, 1 + 8), "a pruner of another model shares what was seen, no more"
    for hook in hooks:
        hook.remove()
    assert torch.equal(other.branch.hidden, together[2].branch.hidden)
    for one, two in zip(apart, together, strict=True):
        assert torch.equal(one.kept[0], two.kept[0]) and one.schedules == two.schedules
        answers = [session.answer_of(pruned, Sampling(max_new_tokens=2)).complete().tokens for pruned in (one, two)]
        assert answers[0] == answers[1]
