"""From settings to the tokens that an answer goes on with: rule, budget, anchors, edits, control, in this order."""

from __future__ import annotations

import pytest
import torch
from hypothesis import given

from glimpse_core.errors import GlimpseError
from glimpse_core.glimpse.selection import ERASED, PAINTED, REASONS, paint, select
from glimpse_core.glimpse.settings import CONTROL, with_values
from glimpse_core.inference.choice import CONTROLS, choose
from glimpse_core.pruners.random import random_mask
from glimpse_core.types import Grid, ManualEdits, Selection, Settings
from tests.support.some_settings import some_settings

GRID = Grid(4, 6)
LOGITS = torch.linspace(-3, 3, 24)[torch.randperm(24, generator=torch.Generator().manual_seed(1))]


@given(some_settings(24))
def test_each_step_follows_the_one_before(settings: Settings) -> None:
    kept = choose(LOGITS, [GRID], settings)
    ruled = select(LOGITS, settings.selection, GRID, budget=settings.budget)
    edited = paint(ruled, settings.edits.strokes).mask
    count = int(edited.sum())
    expected = {"": edited, "inverse": ~edited, "random": random_mask(24, count, settings.edits.seed)}
    assert torch.equal(kept.mask, expected[settings.edits.control])
    if settings.edits.control:
        assert kept.reason.tolist() == [PAINTED if on else ERASED for on in kept.mask]
    assert all(
        ("kept" in REASONS[code] or code == PAINTED) == bool(on)
        for code, on in zip(kept.reason, kept.mask, strict=True)
    )


def test_every_control_is_known_to_the_engine() -> None:
    assert set(CONTROLS) == set(CONTROL.choices)


def test_another_seed_draws_other_tokens_of_the_same_number() -> None:
    random = with_values(Settings(), {"budget": 9, "control": "random"})
    drawn = [choose(LOGITS, [GRID], with_values(random, {"seed": seed})).mask for seed in (0, 1, 0)]
    assert [int(mask.sum()) for mask in drawn] == [9, 9, 9]
    assert torch.equal(drawn[0], drawn[2]) and not torch.equal(drawn[0], drawn[1])


def test_several_images_share_a_budget_and_have_no_anchors() -> None:
    grids = [Grid(2, 6), Grid(2, 6)]
    assert choose(LOGITS, grids, Settings(budget=7)).mask.sum() == 7
    with pytest.raises(GlimpseError, match="several"):
        choose(LOGITS, grids, Settings(Selection(anchors=("tl",))))


def test_edits_outside_the_image_are_refused() -> None:
    with pytest.raises(GlimpseError, match=r"\[24\]"):
        choose(LOGITS, [GRID], Settings(edits=ManualEdits((24,))))
