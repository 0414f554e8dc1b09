"""Redundant slices of a video: the rule against loops, the pruner on a video with twins, and mistakes."""

from __future__ import annotations

import json
from dataclasses import replace

import pytest
import torch

from glimpse_core.errors import GlimpseError
from glimpse_core.glimpse import slices
from glimpse_core.glimpse.slices import SliceMerge, redundant, without_redundant
from glimpse_core.models import checkpoint_config
from glimpse_core.pruners import GlimpsePruner
from glimpse_core.types import Selection
from tests.media.test_video import COLS, ROWS, clip
from tests.support import tiny


def slow(masks, embeds, rule):
    """The released rule in loops: which slices lose their tokens."""
    counts = [sum(mask) for mask in masks]
    looks = []
    for mask, rows in zip(masks, embeds, strict=True):
        taken = [row for keep, row in zip(mask, rows, strict=True) if keep or rule.pooling == "all"]
        looks.append([sum(column) for column in zip(*taken, strict=True)] if taken else [0.0] * len(rows[0]))
    lost, group = [], [0]
    for number in range(1, len(masks) + 1):
        joined = number < len(masks)
        for one in (number - 1, number) if joined else ():
            joined = joined and counts[one] >= rule.min_tokens and counts[one] >= rule.min_ratio * len(masks[one])
        if joined:
            a, b = looks[number - 1], looks[number]
            lengths = sum(x * x for x in a) ** 0.5 * sum(x * x for x in b) ** 0.5
            joined = sum(x * y for x, y in zip(a, b, strict=True)) / lengths >= rule.similarity
        if joined:
            group.append(number)
            continue
        best = max(counts[one] for one in group)
        first = next(one for one in group if counts[one] == best)
        lost += [one for one in group if one != first]
        group = [number]
    return [number in lost for number in range(len(masks))]


def check_the_rule(rule, seed):
    random = torch.Generator().manual_seed(seed)
    masks = [torch.rand(8, generator=random) < 0.7 for _ in range(9)]
    scene = torch.randn(1, 6, generator=random)
    embeds = [scene + 0.5 * torch.randn(8, 6, generator=random) for _ in range(9)]
    found = redundant(masks, embeds, rule)
    assert found == slow([mask.tolist() for mask in masks], [rows.tolist() for rows in embeds], rule)
    return found


RULES = [SliceMerge(), SliceMerge(0.0, 0, 0.9, "all"), SliceMerge(0.7, 2, 0.95), SliceMerge(0.0, 7, -1.0)]


@pytest.mark.parametrize("rule", RULES, ids=str)
def test_the_rule_is_that_of_the_loops(rule):
    found = [check_the_rule(rule, seed) for seed in range(12)]
    assert 0 < sum(map(sum, found)) < 12 * 9, "rules that never or always apply prove nothing"


def test_of_equals_the_earlier_stays_and_small_slices_do_not_count():
    whole, embeds = torch.ones(6, dtype=torch.bool), torch.ones(6, 3)
    few = torch.tensor([1, 1, 1, 0, 0, 0], dtype=torch.bool)
    assert redundant([whole] * 3, [embeds] * 3, SliceMerge()) == [False, True, True]
    assert redundant([whole, few, whole], [embeds] * 3, SliceMerge()) == [False] * 3, "3 tokens are too few"
    most = torch.tensor([1, 1, 1, 1, 0, 0], dtype=torch.bool)
    assert redundant([most, whole, most], [embeds] * 3, SliceMerge()) == [True, False, True]
    assert redundant([], [], SliceMerge()) == [] and redundant([whole], [embeds], SliceMerge()) == [False]
    lowered = without_redundant(torch.zeros(5), [2, 3], [False, True])
    assert lowered.tolist() == [0, 0, -100, -100, -100]


def twins(model):
    """Four slices, of which the first three have the same patches."""
    prompt = clip(model, slices=4)
    pixels = prompt.pixel_values.view(4, -1, prompt.pixel_values.shape[-1]).clone()
    pixels[1:3] = pixels[0]
    return replace(prompt, pixel_values=pixels.flatten(0, 1))


def kept_of(model, prompt, **given):
    with torch.no_grad():
        return GlimpsePruner(model, Selection(threshold=0.0), **given)(prompt).kept[0].view(4, ROWS * COLS).sum(1)


def check_twins():
    model = tiny.model()
    prompt = twins(model)
    size = ROWS * COLS
    assert kept_of(model, prompt).tolist() == [size] * 4
    assert kept_of(model, prompt, slices=SliceMerge()).tolist() == [size, 0, 0, size]
    # Of different tokens of twins the means differ; of all of them they do not.
    capped = kept_of(model, prompt, slices=SliceMerge(pooling="all"), ratio=0.5)
    assert capped.sum() == 2 * size and sorted(capped.tolist())[:2] == [0, 0] and capped[3] > 0
    assert kept_of(model, prompt, slices=SliceMerge(), ratio=0.2).sum() == int(0.2 * 4 * size), "too few to compare"
    exact = kept_of(model, prompt, slices=SliceMerge(pooling="all"), count=2 * size, exact=True)
    assert exact.sum() == 2 * size and sorted(exact.tolist())[:2] == [0, 0]


def test_one_of_three_twins_stays():
    check_twins()


@torch.no_grad()
def test_images_and_given_masks_are_left_alone():
    model = tiny.model()
    pictures = tiny.prompt(model, (112, 84), (112, 84))
    both = [GlimpsePruner(model, slices=rule)(pictures).kept[0] for rule in (None, SliceMerge(0.0, 0, -1.0))]
    assert torch.equal(*both)
    zero = tiny.model(masks="zero", selection=Selection(min_tokens=0))
    assert not GlimpsePruner(zero, slices=SliceMerge())(twins(zero)).kept[0].any()


@pytest.mark.parametrize("given", [{"min_ratio": 1.5}, {"similarity": -2.0}, {"min_tokens": -1}, {"pooling": "mask"}])
def test_impossible_rules(given):
    (name,) = given
    with pytest.raises(GlimpseError, match=f"{name} is .*Expected"):
        SliceMerge(**given)


def test_published_settings_are_known_while_the_merge_is_off():
    rule = {"frame_redundancy_pooling_mode": "mask", "frame_redundancy_min_keep_ratio": 0.5,
            "frame_redundancy_min_keep_tokens": 4, "frame_redundancy_similarity_threshold": 0.97}  # fmt: skip
    published = json.loads((tiny.published_folder() / "config.json").read_text())
    off = published | rule | {"enable_frame_redundancy_merge": False}
    assert checkpoint_config.from_published(off) == checkpoint_config.from_published(published)
    with pytest.raises(GlimpseError, match="enable_frame_redundancy_merge is True. Expected false.*slices=SliceMerge"):
        checkpoint_config.from_published(off | {"enable_frame_redundancy_merge": True})


def latest_stays(patch):
    right = slices.redundant
    patch.setattr(slices, "redundant", lambda masks, embeds, rule: right(masks[::-1], embeds[::-1], rule)[::-1])


def likeness_ignored(patch):
    right = slices.redundant
    patch.setattr(slices, "redundant", lambda masks, embeds, rule: right(masks, embeds, replace(rule, similarity=-1.0)))


def penalty_forgotten(patch):
    patch.setattr(slices, "PENALTY", 0.0)


def check_rules():
    for rule in RULES:
        for seed in range(12):
            random = torch.Generator().manual_seed(seed)
            masks = [torch.rand(8, generator=random) < 0.7 for _ in range(9)]
            embeds = [torch.randn(8, 6, generator=random) + 1 for _ in range(9)]
            expected = slow([mask.tolist() for mask in masks], [rows.tolist() for rows in embeds], rule)
            assert slices.redundant(masks, embeds, rule) == expected


@pytest.mark.parametrize(
    ("mistake", "check"),
    [(latest_stays, check_rules), (likeness_ignored, check_rules), (penalty_forgotten, check_twins)],
)
def test_mistakes_are_noticed(mistake, check, monkeypatch):
    check()
    mistake(monkeypatch)
    with pytest.raises(AssertionError):
        check()
