"""The registry, and what every pruner keeps of a padded batch."""

from __future__ import annotations

import dataclasses

import pytest
import torch

from glimpse_core.errors import GlimpseError
from glimpse_core.pruners import PRUNERS, GlimpsePruner, InversePruner, MaskPruner, RandomPruner
from glimpse_core.types import Selection
from tests import tiny


@pytest.fixture(scope="module")
def prompt():
    return tiny.batch(tiny.model())


@torch.no_grad()
@pytest.mark.parametrize("name", [name for name in PRUNERS if name != "mask"])
def test_every_pruner(name, prompt):
    model = tiny.model()
    pruned = PRUNERS[name](model)(prompt)
    assert [mask.shape for mask in pruned.kept] == [(20,), (12,)]
    assert pruned.trunk.depth == pruned.branch.depth == model.keep_depth
    assert pruned.trunk.hidden.shape[1] == prompt.input_ids.shape[1]
    kept = model.backbone.keep_mask(prompt, pruned.kept).sum(1)
    assert pruned.branch.hidden.shape[1] == kept.max()


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
def test_the_inverse_of_anything(prompt):
    model = tiny.model()
    for of in (GlimpsePruner(model), RandomPruner(model)):
        kept, dropped = of(prompt).kept, InversePruner(model, of)(prompt).kept
        assert all(torch.equal(a, ~b) for a, b in zip(kept, dropped, strict=True))


@torch.no_grad()
def test_a_selection_of_ones_own(prompt):
    model = tiny.model()
    assert all(mask.all() for mask in GlimpsePruner(model, Selection(threshold=0))(prompt).kept)


@torch.no_grad()
def test_reference_masks(prompt):
    model = tiny.model(masks="reference", selection=Selection(min_tokens=0))
    masks = tiny.random_masks(model, prompt)
    pruned = GlimpsePruner(model, references=masks)(prompt)
    assert all(torch.equal(a, b) for a, b in zip(pruned.kept, masks, strict=True))
    assert torch.equal(pruned.branch.hidden, MaskPruner(model, masks)(prompt).branch.hidden)
    for wrong in (None, masks[:1], tuple(mask[:-1] for mask in masks)):
        with pytest.raises(GlimpseError, match=r"use_ref_masks.*\[20, 12\] visual tokens"):
            GlimpsePruner(model, references=wrong)(prompt)


@torch.no_grad()
def test_masks_must_fit(prompt):
    with pytest.raises(GlimpseError, match=r"\[20, 12\] visual tokens"):
        MaskPruner(tiny.model(), (torch.ones(20, dtype=torch.bool),))(prompt)
