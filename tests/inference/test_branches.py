"""Many branches of one prompt answered together: each gives what it gives alone, whatever was pruned where."""

from __future__ import annotations

from dataclasses import replace

import pytest
import torch

from glimpse_core import pruners
from glimpse_core.engine.prefix import fork
from glimpse_core.inference import decoding
from glimpse_core.inference.branches import answer_branches, distinct, finish_all
from glimpse_core.inference.decoding import Answer, begin, finish, greedy
from glimpse_core.inference.rows import ROOM, lengths, stack
from glimpse_core.inference.session import Session
from glimpse_core.types import Sampling
from tests.inference.test_batching import batch
from tests.support import tiny, tiny_llava

both = pytest.mark.parametrize("family", [tiny, tiny_llava], ids=["qwen", "llava"])


def branches_of(model, prompt, built):
    with torch.inference_mode():
        return [pruner(prompt).branch for pruner in built]


@torch.inference_mode()
def alone(model, branches, limit):
    """The definition, for each by itself: a token goes through all layers, one position after the one before it."""
    answers = []
    for branch in branches:
        prefix, tokens = finish(model.backbone, fork(branch)), []
        while len(tokens) < limit:
            token = int(model.backbone.next_logits(prefix.hidden).argmax())
            if token in model.backbone.stop_tokens:
                break
            tokens.append(token)
            following = {"hidden": model.backbone.embed(torch.tensor([[token]])), "depth": 0, "processed": ()}
            following["positions"] = prefix.positions[..., -1:] + 1
            prefix = finish(model.backbone, replace(prefix, **following))
        answers.append(tokens)
    return answers


@both
def test_rows_of_unequal_caches_decode_as_alone(family):
    """FastV leaves the first caches whole, so that no two layers of these rows hold the same."""
    model = family.model()
    prompt = tiny.prompt(model)
    built = [pruners.build("fastv", model, ratio=ratio, layer=layer) for ratio in (0.1, 0.4) for layer in (1, 3)]
    built += [pruners.build("none", model), pruners.build("random", model, ratio=0.2)]
    branches = branches_of(model, prompt, built)
    with torch.inference_mode():
        finished = [finish(model.backbone, fork(branch)) for branch in branches]
    assert len({size for branch in finished for size in lengths(branch)}) >= 4
    limit = ROOM + 8  # the caches have to make room more than once
    apart = alone(model, branches, limit)
    assert answer_branches(model.backbone, prompt, branches, limit) == apart
    assert answer_branches(model.backbone, prompt, branches, limit, most=2) == apart
    assert answer_branches(model.backbone, prompt, finished, limit) == apart
    sampling = Sampling(max_new_tokens=limit)
    streams = [Answer(model.backbone, prompt, lambda b=branch: fork(b), str, sampling) for branch in branches]
    assert [stream.complete().tokens for stream in streams] == apart
    assert len({tuple(tokens) for tokens in apart}) > 1


@pytest.mark.parametrize("names", [["pyramiddrop"], ["pyramiddrop", "vscan", "none"]], ids="+".join)
def test_positions_that_layers_count_differently(names):
    """With one position axis PyramidDrop and VScan renumber what is left, but not in the layers before."""
    model = tiny_llava.model()
    prompt = tiny.prompt(model)
    budgets = [{} if name == "none" else {"ratio": 0.2} for name in names]
    branches = branches_of(
        model, prompt, [pruners.build(name, model, **own) for name, own in zip(names, budgets, strict=True)]
    )
    assert any(any(branch.shifts) for branch in branches)
    assert answer_branches(model.backbone, prompt, branches, 30) == alone(model, branches, 30)


def test_branches_that_count_differently_are_not_the_same():
    model = tiny_llava.model()
    prompt = tiny.prompt(model)
    (branch,) = branches_of(model, prompt, [pruners.build("pyramiddrop", model, ratio=0.2)])
    other = replace(branch, shifts=tuple(shift + 1 for shift in branch.shifts))
    assert distinct([branch, other, branch])[1] == [0, 1, 0]
    with torch.inference_mode():
        found = finish_all(model.backbone, [fork(branch), fork(other)])
        assert [one.shifts for one in found] == [branch.shifts, other.shifts]
    apart = alone(model, [branch, other], 20)
    assert apart[0] != apart[1] and answer_branches(model.backbone, prompt, [branch, other], 20) == apart


def test_branches_in_one_batch_equal_branches_alone_and_equal_ones_run_once():
    model = tiny.model()
    prompt = tiny.prompt(model)
    names = ("random", "grid", "random_at_k", "fastv", "divprune", "none")
    built = [pruners.build(name, model, **({} if name == "none" else {"ratio": 0.3})) for name in names]
    built += [pruners.build("random", model, ratio=0.3, seed=seed) for seed in (0, 1)]
    with torch.inference_mode():
        different, places = distinct(branches_of(model, prompt, built))
        assert places == [0, 1, 2, 3, 4, 5, 0, 6]
        runs = []
        hook = model.backbone.text.layers[-1].register_forward_hook(lambda *_: runs.append(1))
        found = finish_all(model.backbone, [fork(branch) for branch in different])
        hook.remove()
        assert len(runs) == 4, "before the decoder, at K, FastV, and all tokens"
        for branch, one in zip(different, found, strict=True):
            expected = finish(model.backbone, fork(branch))
            assert torch.allclose(one.hidden, expected.hidden, atol=1e-5) and one.processed == expected.processed
            assert torch.equal(one.positions, expected.positions) and lengths(one) == lengths(expected)
            for a, b in zip(one.cache.layers, expected.cache.layers, strict=True):
                assert torch.allclose(a.keys, b.keys, atol=1e-5) and torch.allclose(a.values, b.values, atol=1e-5)


@both
def test_rows_that_end_leave_and_the_others_go_on(family, monkeypatch):
    """Of branches and of padded batches, with a repetition penalty, which reads the prompt of the own row."""
    given = batch(family=family)
    model, limit = given.model, 12
    monkeypatch.setattr(model.backbone.hf.generation_config, "repetition_penalty", 1.6)
    with torch.inference_mode():
        together = finish(model.backbone, pruners.build("glimpse", model)(given.together).branch)
    assert together.padding is not None
    free = greedy(model.backbone, begin([together], given.together), limit)
    ends = [free[row][place] for row, place in ((0, 4), (1, 2), (2, 7))]
    monkeypatch.setattr(model.backbone.hf.generation_config, "eos_token_id", ends)
    cut = [row[: min([row.index(end) for end in ends if end in row], default=limit)] for row in free]
    assert len({len(row) for row in cut}) > 2
    widths, right = [], decoding.feed
    monkeypatch.setattr(decoding, "feed", lambda *given: widths.append(len(given[-1])) or right(*given))
    assert greedy(model.backbone, begin([together], given.together), limit) == cut
    assert widths[0] == 4 and widths[-1] <= 2, "rows that have ended are not run any more"


def test_the_prefixes_stay_as_they_are():
    """One may be answered several times, alone and beside others."""
    model = tiny.model()
    prompt = tiny.prompt(model)
    with torch.inference_mode():
        one, other = (
            finish(model.backbone, pruners.build(name, model)(prompt).branch) for name in ("glimpse", "fastv")
        )
    before = [lengths(one), lengths(other)]
    first = answer_branches(model.backbone, prompt, [one], 5)
    assert answer_branches(model.backbone, prompt, [one, other], 5)[0] == first[0]
    assert answer_branches(model.backbone, prompt, [one], 5) == first
    assert [lengths(one), lengths(other)] == before


def test_layers_that_hold_the_same_share_a_mask():
    """One call of `advance` runs as many layers as possible."""
    model = tiny.model()
    prompt = tiny.prompt(model)
    built = [pruners.build("none", model), pruners.build("random", model, ratio=0.2)]
    with torch.inference_mode():
        finished = [finish(model.backbone, branch) for branch in branches_of(model, prompt, built)]
        finished.append(finish(model.backbone, pruners.build("fastv", model, ratio=0.2, layer=2)(prompt).branch))
        assert [segment.stop for segment in stack(finished[:2]).segments] == [5]
        assert [(segment.stop, segment.padding) for segment in stack(finished[2:]).segments] == [(5, None)]
        assert [segment.stop for segment in stack(finished).segments] == [2, 5]
        alike = stack([finished[0], finished[0]])
        assert [(segment.stop, segment.padding, segment.shift) for segment in alike.segments] == [(5, None, None)]


def test_answers_stop_at_the_stop_token(monkeypatch):
    model = tiny.model()
    session = Session.ask(model, [tiny.picture()], "What?")
    prompt = tiny.prompt(model, question="What?")
    branches = branches_of(model, prompt, [pruners.build("none", model), pruners.build("random", model, ratio=0.3)])
    free = answer_branches(model.backbone, prompt, branches, 8)
    assert free[0] == session.answer(None, Sampling(max_new_tokens=8)).complete().tokens
    ending = free[0][3]
    monkeypatch.setattr(type(model.backbone), "stop_tokens", frozenset([ending]))
    cut = [tokens[: tokens.index(ending)] if ending in tokens else tokens for tokens in free]
    assert answer_branches(model.backbone, prompt, branches, 8) == cut
