"""The registry and the one way in; the controls; GlimpsePrune's budgets."""

from __future__ import annotations

import dataclasses
from pathlib import Path

import pytest
import torch

from glimpse_core import pruners
from glimpse_core.errors import GlimpseError
from glimpse_core.glimpse.look import trunk
from glimpse_core.inference.decoding import Answer
from glimpse_core.inference.session import Session
from glimpse_core.pruners import PRUNERS, GlimpsePruner, InversePruner, MaskPruner, RandomPruner
from glimpse_core.types import Sampling, Selection
from tests.glimpse.test_oracle import MODELS
from tests.pruners.test_every_pruner import made
from tests.support import tiny, tiny_llava


@pytest.fixture(scope="module")
def prompt():
    return tiny.batch(tiny.model())


@torch.no_grad()
def test_what_a_base_model_cannot_do_is_said():
    model = tiny_llava.model()
    with pytest.raises(GlimpseError, match="one input size.*use pool"):
        pruners.build("downsample", model)(tiny.prompt(model))
    with pytest.raises(GlimpseError, match="Expected clip=FOLDER"):
        pruners.build("cdpruner", model)
    with pytest.raises(GlimpseError, match="not trained with a text tower"):
        pruners.build("cdpruner", tiny.model(), relevance="clip")


@pytest.mark.parametrize("pruner", PRUNERS.values())
def test_pruners_are_frozen_dataclasses(pruner):
    with pytest.raises(dataclasses.FrozenInstanceError):
        pruner(tiny.model()).model = None


@torch.no_grad()
def test_shares(prompt):
    model = tiny.model()
    for name in ("random", "grid"):
        assert [int(mask.sum()) for mask in PRUNERS[name](model, ratio=0.25)(prompt).kept] == [5, 3]
    first, second = RandomPruner(model, seed=1)(prompt), RandomPruner(model, seed=2)(prompt)
    assert not torch.equal(first.kept[0], second.kept[0])


@torch.no_grad()
def test_where_the_controls_drop(prompt):
    model = tiny.model()
    for name, depth in [
        ("random", 0),
        ("grid", 0),
        ("text_only", 0),
        ("random_at_k", 3),
        ("drop_all", 3),
        ("attention", 3),
    ]:
        pruned = pruners.build(name, model)(prompt, model.backbone.encode_images(prompt))
        assert pruned.branch.depth == pruned.trunk.depth == depth
    for name in ("grid", "random", "drop_all"):
        assert pruners.build(name, model, depth=2)(prompt).branch.depth == 2


@torch.no_grad()
def test_text_only(prompt):
    model = tiny.model()
    pruned = pruners.build("text_only", model)(prompt)
    assert not any(mask.any() for mask in pruned.kept)
    text = tiny.prompt(model)
    alone = pruners.build("text_only", model)(text).branch
    assert torch.equal(alone.hidden, model.backbone.embed(text.input_ids)[~model.backbone.visual(text)][None])


@torch.no_grad()
def test_boxes():
    """Each image has its own boxes."""
    model = tiny.model()
    prompt = tiny.prompt(model, (112, 84), (84, 140))  # 3 x 4 and 5 x 3 tokens
    boxes = (((0.0, 0.0, 0.3, 0.3),), ((0.9, 0.9, 1.0, 1.0), (0.0, 0.9, 0.1, 1.0)))
    (kept,) = pruners.build("boxes", model, boxes=boxes)(prompt).kept
    assert kept.nonzero()[:, 0].tolist() == [0, 1, 12 + 12, 12 + 14]
    with pytest.raises(
        GlimpseError, match="Boxes were given for 0 images. Expected one tuple of boxes for each of the 2 images"
    ):
        pruners.build("boxes", model)(prompt)


@torch.no_grad()
def test_the_inverse_of_anything(prompt):
    model = tiny.model()
    for of in (GlimpsePruner(model), RandomPruner(model)):
        kept, dropped = of(prompt).kept, InversePruner(model, of=of)(prompt).kept
        assert all(torch.equal(a, ~b) for a, b in zip(kept, dropped, strict=True))


@torch.no_grad()
def test_a_selection_of_ones_own(prompt):
    model = tiny.model()
    assert all(mask.all() for mask in GlimpsePruner(model, Selection(threshold=0))(prompt).kept)
    with pytest.raises(GlimpseError, match="there is no budget. Expected one"):
        GlimpsePruner(model, exact=True)(prompt)


@torch.no_grad()
def test_a_cap_stays_dynamic_and_an_exact_budget_does_not():
    model, prompt = tiny.model(), tiny.prompt(tiny.model())
    free = GlimpsePruner(model)(prompt)
    passed = int(free.kept[0].sum())
    assert 2 < passed < 18
    kept = {ratio: int(GlimpsePruner(model, ratio=ratio)(prompt).kept[0].sum()) for ratio in (0.1, 1.0)}
    assert kept == {0.1: 2, 1.0: passed}
    capped = GlimpsePruner(model, Selection(max_ratio=0.199))(prompt).kept[0]
    assert torch.equal(GlimpsePruner(model, ratio=0.199)(prompt).kept[0], capped)
    best = GlimpsePruner(model, count=18, exact=True)(prompt).kept[0]
    assert best.sum() == 18
    assert free.scores.logits[0][-1][best].min() >= free.scores.logits[0][-1][~best].max()


@torch.no_grad()
def test_reference_masks(prompt):
    model = tiny.model(masks="reference", selection=Selection(min_tokens=0))
    masks = tiny.random_masks(model, prompt)
    pruned = GlimpsePruner(model, references=masks)(prompt)
    assert all(torch.equal(a, b) for a, b in zip(pruned.kept, masks, strict=True))
    assert torch.equal(pruned.branch.hidden, MaskPruner(model, masks=masks)(prompt).branch.hidden)
    for wrong in (None, masks[:1], tuple(mask[:-1] for mask in masks)):
        with pytest.raises(GlimpseError, match=r"use_ref_masks.*\[20, 12\] visual tokens"):
            GlimpsePruner(model, references=wrong)(prompt)


@torch.no_grad()
def test_masks_must_fit(prompt):
    with pytest.raises(GlimpseError, match=r"\[20, 12\] visual tokens"):
        MaskPruner(tiny.model(), masks=(torch.ones(20, dtype=torch.bool),))(prompt)


def test_a_budget_out_of_reach():
    with pytest.raises(
        GlimpseError, match=r"The prefill share is 10.0%. Expected 60.0% to 100.0%, which random_at_k can reach"
    ):
        pruners.build("random_at_k", tiny.model(), ratio=0.1, match="prefill")


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (dict(name="fastw"), "There is no pruner called 'fastw'. Expected one of glimpse, .* Did you mean fastv?"),
        (dict(name="random", sed=3), "random has no option sed"),
        (dict(name="random", ratio=1.5), "ratio is 1.5"),
        (dict(name="random", ratio=float("nan")), "ratio is nan"),
        (dict(name="random", count=-1), "count is -1"),
        (dict(name="random", count=1, ratio=0.1), "Both ratio .0.1. and count .1. were given. Expected one of them"),
        (dict(name="none", ratio=0.1), "A budget was given for none, which has none"),
        (dict(name="random", count=3, match="kv"), 'match is "kv", but count is given, .* Expected a ratio'),
        (dict(name="random", ratio=0.1, match="all"), "match is 'all'"),
        (dict(name="random", policy="mine"), "policy is 'mine'"),
        (dict(name="random", options={"grid": {}}), "Options are given for grid. Expected steps of random only"),
        (dict(name="fastv", layer=0), "layer is 0. Expected a layer of this model: choose from 1 to 5"),
        (dict(name="fastv", layer=6), "layer is 6. Expected a layer of this model: choose from 1 to 5"),
    ],
    ids=lambda value: value if isinstance(value, str) else "",
)
def test_what_cannot_be_built_says_why(call, message):
    with pytest.raises(GlimpseError, match=message):
        pruners.build(model=tiny.model(), **call)


@torch.no_grad()
def test_a_batch_needs_equal_caches(prompt):
    with pytest.raises(
        GlimpseError, match="unequal length, and the batch has several rows or padding. Expected a single row"
    ):
        pruners.build("fastv", tiny.model())(prompt)


@torch.no_grad()
@pytest.mark.parametrize("family", MODELS)
def test_a_session_answers_for_any_method(family):
    """From what it has seen, without seeing again; as the method does alone; as often as one likes."""
    model = MODELS[family]()
    prompt = tiny.prompt(model)
    session = Session(model, prompt)
    for name in ("fastv", "divprune", "pyramiddrop", "glimpse"):
        pruner = made(model, name, count=5)
        pruned = session.prune(pruner)
        said = [session.answer_of(pruned, Sampling(max_new_tokens=4)).complete().tokens for _ in range(2)]
        branch = lambda p=pruner: p(prompt).branch  # noqa: E731
        alone = Answer(model.backbone, prompt, branch, str, Sampling(max_new_tokens=4)).complete()
        assert said == [alone.tokens] * 2
    assert session.counters["vision"] == 1


@torch.no_grad()
def test_glimpse_under_another_policy():
    model = tiny.model()
    prompt = tiny.prompt(model)
    pruned = GlimpsePruner(model, count=5, exact=True, cache="untouched")(prompt)
    (plan,) = pruned.schedules
    assert plan.alive == plan.cached == (20, 20, 20, 5, 5)
    assert [layer.get_seq_length() for layer in pruned.branch.cache.layers[:3]] == [prompt.input_ids.shape[1]] * 3


def test_the_documentation_names_every_method_and_its_default_policy():
    section = Path("docs/methods.md").read_text()
    lines = {line.split("|")[1].strip(" `"): line for line in section.splitlines() if line.startswith("| `")}
    for name in PRUNERS:
        card = pruners.card(name)
        if card.control:
            assert f"`{name}`" in section
            continue
        cells = [cell.strip() for cell in lines[name].split("|")[2:-1]]
        defaults = {field.name: field.default for field in dataclasses.fields(PRUNERS[name])}
        assert cells[0] == card.label
        assert cells[3] == ("yes" if card.merges else "no")
        assert (cells[2] == "no") == (not card.question)
        assert cells[4] == {"pruned": "pruned", "untouched": "whole", None: "-"}[defaults.get("cache")]
        assert cells[5] == {"original": "original", "published": "renumbered / original"}[defaults["positions"]]


@torch.no_grad()
@pytest.mark.parametrize("changes", [{}, {"read_layers": (2, 0)}, {"read_logits": False}], ids=str)
def test_glimpse_attention(changes):
    model = tiny.model(**changes)
    prompt = tiny.prompt(model, (112, 84), (84, 140))
    kept = pruners.build("glimpse_attention", model, count=6)(prompt).kept[0]
    _, probe = trunk(model, prompt, model.backbone.encode_images(prompt, model.config.vision_layers))
    total = torch.zeros(27)
    for layer in model.config.read_layers:
        for head in probe.logits[layer][0]:
            weights = head[:-1][model.backbone.visual(prompt)[0]].exp()
            total += weights / weights.sum()
    assert kept.nonzero()[:, 0].tolist() == sorted(total.argsort(descending=True)[:6].tolist())


def test_methods_declare_what_callers_must_know():
    """By their fields: who draws, who must be given something, who decides without a budget, who keeps everything."""
    own = {name: {field.name for field in dataclasses.fields(kind)} for name, kind in pruners.PRUNERS.items()}
    cards = {name: pruners.card(name) for name in pruners.PRUNERS}
    assert {name for name, card in cards.items() if card.seeded} == {name for name in own if "seed" in own[name]}
    given = {"boxes": "boxes", "mask": "masks", "method": "of", "weights": "weights"}
    for need, field in given.items():
        assert {name for name, card in cards.items() if need in card.needs} == {
            name for name in own if field in own[name]
        }
    assert {need for card in cards.values() for need in card.needs} == set(given)
    assert {name for name, card in cards.items() if card.adaptive} == {name for name in own if "selection" in own[name]}
    assert {name for name, card in cards.items() if card.budgeted} == {
        name for name in own if {"ratio", "count"} <= own[name]
    }
    assert [name for name, card in cards.items() if card.baseline] == [pruners.BASELINE] == ["none"]


def test_a_cascade_declares_what_its_steps_do():
    card = pruners.card("boxes+inverse+random")
    assert card.needs == ("boxes", "method") and card.seeded and card.budgeted and not card.adaptive
    assert pruners.card("divprune+glimpse").adaptive and not pruners.card("random+glimpse").seeded
