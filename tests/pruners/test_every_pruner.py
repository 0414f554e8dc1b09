"""What every method promises: exact counts, rows by themselves, odd pictures, videos, no work twice."""

from __future__ import annotations

import pytest
import torch

from glimpse_core import pruners
from glimpse_core.costs.schedule import final_share, kv_share, prefill_share
from glimpse_core.errors import GlimpseError
from glimpse_core.inference.batching import join
from glimpse_core.inference.decoding import finish
from glimpse_core.pruners import PRUNERS
from tests.glimpse.test_oracle import MODELS
from tests.media.test_video import clip
from tests.support import scorers, tiny

GIVEN = {"mask", "boxes"}  # useless without what they are given
LOOKING = {"glimpse", "glimpse_attention"}  # their first layers run on the glimpse token, too
COARSE = {"pool", "downsample"}  # keep a grid, so not any count
BUDGETED = [name for name in PRUNERS if pruners.card(name).budgeted]
PAIRS = [(family, name) for family in MODELS for name in PRUNERS if (family, name) != ("llava", "downsample")]
every = pytest.mark.parametrize(("family", "name"), [pair for pair in PAIRS if pair[1] not in GIVEN])
budgeted = pytest.mark.parametrize(("family", "name"), [pair for pair in PAIRS if pair[1] in BUDGETED])
FULL = {"visionzip": {"contextual": 0.0}}
OPTIONS = {
    "glimpse": {"exact": True},
    "cdpruner": {"relevance": "embeddings"},
    "visionselector": {"weights": scorers.scorer()},
}


def made(model, name, **given):
    options = {} if name == "glimpse" and "ratio" not in given and "count" not in given else OPTIONS.get(name, {})
    return pruners.build(name, model, **options, **given)


@torch.no_grad()
@every
def test_every_pruner(family, name):
    """A padded batch, with the policy that works for batches."""
    model = MODELS[family]()
    prompt = tiny.batch(model)
    totals = model.backbone.tokens_per_row(prompt)
    pruned = made(model, name, policy="common")(prompt)
    assert [len(mask) for mask in pruned.kept] == totals
    if not PRUNERS[name].blind:
        assert pruned.trunk.hidden.shape[1] == prompt.input_ids.shape[1]
        assert pruned.trunk.depth <= pruned.branch.depth
    left = [plan.final for plan in pruned.schedules]
    assert left == [int(mask.sum()) for mask in pruned.kept]
    words = prompt.attention_mask.sum(1) - torch.tensor(totals)
    assert pruned.branch.hidden.shape[1] == (words + torch.tensor(left)).max()


@torch.no_grad()
@budgeted
@pytest.mark.parametrize("count", [1, 7, 1000])
def test_counts_are_exact(family, name, count):
    """As the authors do it: unequal caches, renumbered positions, added class tokens."""
    model = MODELS[family]()
    prompt = tiny.prompt(model)
    (total,) = model.backbone.tokens_per_row(prompt)
    pruned = made(model, name, count=count)(prompt)
    (plan,) = pruned.schedules
    assert plan.final == min(count - (count == 7 and name in COARSE), total)
    words = prompt.input_ids.shape[1] - total
    branch = finish(model.backbone, pruned.branch)
    assert [layer.get_seq_length() for layer in branch.cache.layers] == [words + left for left in plan.cached]
    assert [length - words for length in branch.processed] == [
        left + (name in LOOKING and layer < model.keep_depth) for layer, left in enumerate(plan.alive)
    ]


@torch.no_grad()
@budgeted
def test_all_tokens_are_the_whole_picture(family, name):
    """With a budget of everything nothing changes."""
    model = MODELS[family]()
    prompt = tiny.prompt(model)
    pruned = made(model, name, ratio=1.0, policy="common", **FULL.get(name, {}))(prompt)
    whole = finish(model.backbone, pruners.build("none", model)(prompt).branch)
    torch.testing.assert_close(finish(model.backbone, pruned.branch).hidden, whole.hidden, atol=1e-3, rtol=1e-3)
    assert all(mask.all() for mask in pruned.kept)


@torch.no_grad()
@budgeted
def test_the_same_call_gives_the_same_answer(family, name):
    model = MODELS[family]()
    prompt = tiny.batch(model)
    once, again = (made(model, name, ratio=0.4, policy="common")(prompt) for _ in range(2))
    assert all(torch.equal(a, b) for a, b in zip(once.kept, again.kept, strict=True))
    assert torch.equal(once.branch.hidden, again.branch.hidden)


@torch.no_grad()
@budgeted
def test_rows_do_not_see_each_other(family, name):
    """A row of a batch keeps what it keeps alone (random draws differ by row)."""
    model = MODELS[family]()
    together = made(model, name, ratio=0.4, policy="common")(tiny.batch(model))
    for row, (size, question) in enumerate([((140, 112), "Why so?"), ((84, 112), "And what is this thing here?")]):
        if row and name.startswith("random"):
            continue
        alone = made(model, name, ratio=0.4, policy="common")(_row(model, size, question, row))
        assert torch.equal(together.kept[row], alone.kept[0])


def _row(model, size, question, row):
    given = tiny.prompt(model, size, question=question)
    start = int((tiny.batch(model).attention_mask[row] == 0).sum())
    ids = tiny.batch(model).input_ids[row, start:]
    assert torch.equal(given.input_ids[0], ids)
    return given


@torch.no_grad()
@pytest.mark.parametrize("name", BUDGETED)
@pytest.mark.parametrize("sizes", [[(280, 28)], [(28, 140)], [(28, 28)], [(112, 84), (84, 140)]], ids=str)
def test_odd_pictures(name, sizes):
    """One row, one column, a single token, two pictures."""
    model = tiny.model()
    prompt = tiny.prompt(model, *sizes)
    total = model.backbone.tokens_per_row(prompt)[0]
    pruned = made(model, name, ratio=0.3)(prompt)
    assert pruned.schedules[0].final == max(round(0.3 * total), 1)


@torch.no_grad()
@pytest.mark.parametrize("name", BUDGETED)
def test_the_plan_is_what_happens(name):
    model = tiny.model()
    pruner = made(model, name, ratio=0.3)
    (plan,) = pruner(tiny.prompt(model)).schedules
    expected = [20] * tiny.LAYERS
    for drop in pruner.plan(20):
        expected[drop.depth :] = [drop.left] * (tiny.LAYERS - drop.depth)
    assert list(plan.alive) == expected


@torch.no_grad()
@pytest.mark.parametrize("name", BUDGETED)
@pytest.mark.parametrize(("match", "share"), [("kv", kv_share), ("prefill", prefill_share), ("final", final_share)])
def test_budgets_are_matched(name, match, share):
    model = tiny.model()
    pruner = made(model, name, ratio=0.8, match=match)
    (plan,) = pruner(tiny.prompt(model, (224, 196))).schedules
    assert share(plan) == pytest.approx(0.8, abs=0.06 if name in COARSE else 1 / plan.total)


@torch.no_grad()
@every
def test_rows_without_a_picture(family, name):
    """A text among pictures stays whole, and its neighbor keeps what it keeps alone."""
    model = MODELS[family]()
    text = tiny.prompt(model)
    words = text.input_ids[:, ~model.backbone.visual(text)[0]]
    picture = tiny.prompt(model, question="Which one?")
    together = join(model.backbone, [picture, model.backbone.prompt(words, None)])
    pruned = made(model, name, policy="common")(together)
    alone = made(model, name, policy="common")(picture)
    assert torch.equal(pruned.kept[0], alone.kept[0]) and len(pruned.kept[1]) == 0
    branch = finish(model.backbone, pruned.branch)
    whole = finish(model.backbone, model.backbone.start(model.backbone.prompt(words, None), None))
    own = branch.hidden[1] if branch.padding is None else branch.hidden[1][branch.padding[1]]
    torch.testing.assert_close(own, whole.hidden[0], atol=1e-4, rtol=1e-4)


@torch.no_grad()
@pytest.mark.parametrize("name", [name for name in PRUNERS if name not in GIVEN | {"downsample"}])
def test_a_video(name):
    """Every temporal slice is a picture."""
    model = tiny.model()
    (plan,) = made(model, name, policy="common", **({"count": 9} if name in BUDGETED else {}))(clip(model)).schedules
    assert plan.total == 72
    assert plan.final == (9 if name in BUDGETED else plan.final)


@torch.no_grad()
def test_no_smaller_video():
    model = tiny.model()
    with pytest.raises(GlimpseError, match="has a video"):
        pruners.build("downsample", model)(clip(model))


@torch.no_grad()
@every
def test_no_layer_runs_twice(family, name):
    """Alone, every method runs each layer once, and the vision tower once or not at all."""
    model = MODELS[family]()
    prompt = tiny.prompt(model)
    runs: list[int] = []
    tower = model.backbone.hf.model.vision_tower if family == "llava" else model.backbone.hf.model.visual
    hooks = [
        layer.mlp.register_forward_hook(lambda *_, index=index: runs.append(index))
        for index, layer in enumerate(model.backbone.text.layers)
    ]
    hooks.append(tower.register_forward_hook(lambda *_: runs.append(-1)))
    finish(model.backbone, made(model, name)(prompt).branch)
    for hook in hooks:
        hook.remove()
    twice = model.keep_depth if name == "inverse" else 0  # it asks another pruner first
    assert sorted(runs) == sorted([*range(tiny.LAYERS), *range(twice), *([] if name == "text_only" else [-1])])
