"""The repetition penalty that a model is published with: every way to an answer applies it as `generate` does."""

from __future__ import annotations

import shutil

import pytest
import torch

from glimpse_core.errors import GlimpseError
from glimpse_core.inference.branches import answer_branches
from glimpse_core.inference.decoding import answers
from glimpse_core.inference.generation import with_pruning
from glimpse_core.inference.sampling import penalized
from glimpse_core.inference.session import Session
from glimpse_core.models import catalog
from glimpse_core.pruners import GlimpsePruner, MaskPruner, NoPruner
from glimpse_core.types import Sampling
from tests.inference.test_batching import batch
from tests.support import tiny, tiny_llava
from tests.support.tiny import as_inputs

STEPS = 12
FAMILIES = [tiny, tiny_llava]


@pytest.fixture(params=[1.6, 0.7], ids=["penalty", "reward"])
def penalty(request):
    return request.param


def published_with(monkeypatch, model, penalty):
    monkeypatch.setattr(model.backbone.hf.generation_config, "repetition_penalty", penalty)


def said(hf, prompt, **options):
    """What the stock loop says in each row, without a stop token and what is behind it."""
    stop = hf.generation_config.eos_token_id
    ids = hf.generate(**as_inputs(prompt), max_new_tokens=STEPS, do_sample=False, pad_token_id=stop, **options)
    rows = ids[:, prompt.input_ids.shape[1] :].tolist()
    return [row[: row.index(stop)] if stop in row else row for row in rows]


@pytest.mark.parametrize("family", FAMILIES)
def test_both_answers_of_a_session_are_those_of_generate(family, penalty, monkeypatch):
    model = family.model()
    published_with(monkeypatch, model, penalty)
    prompt = tiny.prompt(model)
    session, (mask,) = Session(model, prompt), tiny.random_masks(model, prompt)
    ways = {None: model.backbone.hf, mask: with_pruning(model, MaskPruner(model, (mask,)))}
    for kept, hf in ways.items():
        heard = set()
        for own in (None, 1.0, 3.0):
            answer = session.answer(kept, Sampling(max_new_tokens=STEPS, repetition_penalty=own)).complete()
            options = {} if own is None else {"repetition_penalty": own}
            assert [answer.tokens] == said(hf, prompt, **options)
            heard.add(tuple(answer.tokens))
        assert len(heard) > 1, "a penalty without effect proves nothing"


@pytest.mark.parametrize("family", FAMILIES)
@pytest.mark.parametrize("make", [NoPruner, GlimpsePruner])
def test_rows_of_a_batch_are_penalized_for_what_they_said_themselves(family, make, monkeypatch):
    given = batch(family=family)
    model, pruner = given.model, make(given.model)
    published_with(monkeypatch, model, 1.6)
    with torch.no_grad():
        found = answers(model.backbone, given.together, pruner(given.together).branch, STEPS)
    assert found == said(with_pruning(model, pruner), given.together)
    for place in (0, 2, 3):  # row 1 has no picture
        alone = Session(model, given.rows[place])
        pruned = alone.prune(make(model))
        assert found[place] == alone.answer_of(pruned, Sampling(max_new_tokens=STEPS)).complete().tokens


def test_branches_in_step_are_penalized_one_by_one(monkeypatch):
    model = tiny.model()
    published_with(monkeypatch, model, 1.6)
    prompt = tiny.prompt(model)
    masks = [tiny.random_masks(model, prompt, seed=seed)[0] for seed in range(5)]
    with torch.inference_mode():
        branches = [MaskPruner(model, (mask,))(prompt).branch for mask in masks]
    session = Session(model, prompt)
    apart = [session.answer(mask, Sampling(max_new_tokens=STEPS)).complete().tokens for mask in masks]
    ends = [tokens[place] for place, tokens in zip((3, 5, 5), apart, strict=False)]
    monkeypatch.setattr(model.backbone.hf.generation_config, "eos_token_id", ends)
    apart = [session.answer(mask, Sampling(max_new_tokens=STEPS)).complete().tokens for mask in masks]
    assert len({len(tokens) for tokens in apart}) > 1  # some end early, and their rows go
    assert answer_branches(model.backbone, prompt, branches, STEPS) == apart


def test_folders_in_the_authors_layout(tmp_path):
    folder = shutil.copytree(tiny_llava.original_folder(), tmp_path / "base")
    (folder / "generation_config.json").write_text('{"repetition_penalty": 1.6}')
    model = catalog.load(folder, glimpse=tiny.CONFIG, device="cpu")
    assert (model.backbone.repetition_penalty, len(model.backbone.stop_tokens)) == (1.6, 1)
    session = Session.ask(model, [tiny.picture(120, 60)], "What?")
    answer = session.answer(None, Sampling(max_new_tokens=STEPS)).complete()
    prompt = model.processor.prompt(model.backbone, [tiny.picture(120, 60)], "What?")
    assert [answer.tokens] == said(model.backbone.hf, prompt)


@torch.no_grad()
def test_logits_against_the_definition(penalty):
    """Token by token: real tokens of the prompt and what was said; not the padding."""
    model = tiny.model()
    prompt = batch().together
    torch.manual_seed(0)
    logits, generated_ids = torch.randn(len(prompt.input_ids), 320), torch.randint(0, 320, (len(prompt.input_ids), 3))
    found = penalized(logits, penalty, prompt, generated_ids)
    for row, wanted in enumerate(logits.clone()):
        real = prompt.input_ids[row][prompt.attention_mask[row] == 1].tolist()
        for token in {*real, *generated_ids[row].tolist()}:
            wanted[token] = wanted[token] / penalty if wanted[token] > 0 else wanted[token] * penalty
        torch.testing.assert_close(found[row], wanted)
    assert penalized(logits, 1.0, prompt, generated_ids) is logits
    assert model.backbone.repetition_penalty == 1.0  # where the folder says nothing


@pytest.mark.parametrize("value", [0.0, -1.0, float("nan")])
def test_a_penalty_that_cannot_be(value):
    model = tiny.model()
    session = Session(model, tiny.prompt(model))
    with pytest.raises(GlimpseError, match="repetition_penalty is .*Expected 1"):
        session.answer(None, Sampling(repetition_penalty=value))
