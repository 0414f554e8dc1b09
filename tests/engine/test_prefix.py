"""The verbs on a prefix: what they change, and what they leave alone."""

from __future__ import annotations

import pytest
import torch

from glimpse_core.engine.prefix import advance, drop_last, fork, keep
from tests.support import tiny


@pytest.fixture
def prefix():
    model = tiny.model()
    prompt = tiny.prompt(model)
    with torch.no_grad():
        start = model.backbone.start(prompt, model.backbone.encode_images(prompt))
        return advance(model.backbone.text, start, 2)


@pytest.fixture
def kept(prefix):
    mask = torch.ones(1, prefix.hidden.shape[1], dtype=torch.bool)
    mask[0, 30:40] = False
    return mask


def lengths(prefix):
    return [layer.get_seq_length() for layer in prefix.cache.layers]


def snapshot(prefix):
    return [prefix.hidden.clone(), prefix.positions.clone(), *(layer.keys.clone() for layer in prefix.cache.layers[:2])]


def unchanged(prefix, before):
    return all(torch.equal(a, b) for a, b in zip(snapshot(prefix), before, strict=True))


@torch.no_grad()
def test_verbs_leave_their_argument_usable(prefix, kept):
    before, text = snapshot(prefix), tiny.model().backbone.text
    for branch in (keep(prefix, kept), drop_last(prefix, 3), fork(prefix)):
        advance(text, branch, tiny.LAYERS)
        assert unchanged(prefix, before)
        assert lengths(prefix)[2:] == [0, 0, 0]


def test_a_fork_copies_no_tensor(prefix):
    branch = fork(prefix)
    for mine, theirs in zip(prefix.cache.layers[:2], branch.cache.layers[:2], strict=True):
        assert mine is not theirs
        assert mine.keys is theirs.keys


@torch.no_grad()
def test_advance_in_steps_equals_advance_at_once(prefix):
    text = tiny.model().backbone.text
    steps = advance(text, advance(text, fork(prefix), 4), tiny.LAYERS)
    assert torch.equal(steps.hidden, advance(text, fork(prefix), tiny.LAYERS).hidden)
    assert advance(text, prefix, 1) is prefix


def test_keep_shortens_everything_and_keeps_positions(prefix, kept):
    branch = keep(prefix, kept)
    length = int(kept.sum())
    assert branch.hidden.shape[1] == branch.positions.shape[-1] == length
    assert lengths(branch) == [length, length, 0, 0, 0]
    assert branch.padding is None
    assert torch.equal(branch.positions, prefix.positions[:, kept].view(3, 1, -1))
    assert torch.equal(branch.cache.layers[0].keys, prefix.cache.layers[0].keys[:, :, kept[0]])


def test_keep_can_leave_the_shallow_caches(prefix, kept):
    assert lengths(keep(prefix, kept, cache="untouched"))[:2] == lengths(prefix)[:2]


def test_keep_can_renumber(prefix, kept):
    renumbered = keep(prefix, kept, positions="renumbered").positions
    assert torch.equal(renumbered, torch.arange(int(kept.sum())).expand(3, 1, -1))


@torch.no_grad()
def test_rows_that_keep_fewer_are_padded_on_the_left():
    model = tiny.model()
    prompt = tiny.batch(model)
    prefix = advance(model.backbone.text, model.backbone.start(prompt, model.backbone.encode_images(prompt)), 1)
    kept = model.backbone.keep_mask(prompt, (torch.zeros(20, dtype=torch.bool), torch.ones(12, dtype=torch.bool)))
    branch = keep(prefix, kept)
    assert branch.padding.sum(1).tolist() == kept.sum(1).tolist()
    for row in range(2):
        assert torch.equal(branch.hidden[row, branch.padding[row]], prefix.hidden[row, kept[row]])
        assert branch.padding[row].int().diff().min() >= 0


@pytest.mark.parametrize("shape", [(1, 5), (2, 84), (84,)])
def test_keep_wants_one_flag_per_token(prefix, shape):
    with pytest.raises(ValueError, match="bool mask of shape"):
        keep(prefix, torch.ones(shape, dtype=torch.bool))


def test_one_padding_cannot_describe_two_lengths(prefix):
    with pytest.raises(ValueError, match="single row"):
        model = tiny.model()
        prompt = tiny.batch(model)
        start = model.backbone.start(prompt, model.backbone.encode_images(prompt))
        keep(start, prompt.attention_mask.bool(), cache="untouched")


def test_drop_last_forgets(prefix):
    short = drop_last(prefix, 2)
    assert lengths(short)[:2] == [length - 2 for length in lengths(prefix)[:2]]
    assert short.hidden.shape[1] == short.positions.shape[-1] == prefix.hidden.shape[1] - 2
    assert drop_last(prefix, 0) is prefix
