"""Pruned decoding against the slow oracle, and keep-all against the stock model."""

from __future__ import annotations

from dataclasses import replace

import pytest
import torch

from glimpse_core.inference.decoding import finish
from glimpse_core.parity.inference import greedy
from glimpse_core.pruners import GlimpsePruner, MaskPruner, NoPruner
from tests.support import oracle, tiny, tiny_llava, tiny_qwen3
from tests.support.tiny import as_inputs

STEPS = 6
MODELS = {"qwen": tiny.model, "qwen3": tiny_qwen3.model, "llava": tiny_llava.model}
families = pytest.mark.parametrize("family", MODELS)
GREEDY = dict(
    max_new_tokens=STEPS, do_sample=False, eos_token_id=None, return_dict_in_generate=True, output_logits=True
)


def prompts(model):
    return {
        "one": tiny.prompt(model),
        "two pictures": tiny.prompt(model, (112, 84), (84, 140)),
        "batch": tiny.batch(model),
    }


def at_depth(model, layer):
    return replace(model, config=replace(model.config, keep_layer=layer))


def check_against_oracle(model, prompt, pruned):
    """The engine's answer from a pruned branch is the oracle's, token by token."""
    backbone = model.backbone
    ids, logits, _, _ = greedy(backbone, finish(backbone, pruned.branch), STEPS)
    kept = backbone.keep_mask(prompt, pruned.kept)
    expected, wanted = oracle.answer(backbone.hf, prompt, kept, model.keep_depth, STEPS)
    assert torch.equal(ids, expected)
    assert (logits - wanted).abs().max() < 1e-4 * wanted.abs().max()


@torch.no_grad()
@families
@pytest.mark.parametrize("kind", ["one", "two pictures", "batch"])
@pytest.mark.parametrize("attn", ["sdpa", "eager"])
@pytest.mark.parametrize("layer", [0, 1, 2, tiny.LAYERS - 1])  # between and after the layers of DeepStack
def test_random_masks(family, attn, kind, layer):
    model = at_depth(MODELS[family](attn), layer)
    prompt = prompts(model)[kind]
    pruned = MaskPruner(model, tiny.random_masks(model, prompt))(prompt)
    check_against_oracle(model, prompt, pruned)


@torch.no_grad()
@families
@pytest.mark.parametrize("kind", ["one", "batch"])
@pytest.mark.parametrize("attn", ["sdpa", "eager"])
def test_glimpse_leaves_no_trace(family, attn, kind):
    """GlimpsePrune's own mask, its trunk having carried the glimpse token, against an oracle that never saw one."""
    model = MODELS[family](attn)
    prompt = prompts(model)[kind]
    pruned = GlimpsePruner(model)(prompt)
    assert all(0 < mask.sum() < len(mask) for mask in pruned.kept), "a mask that drops nothing tests nothing"
    check_against_oracle(model, prompt, pruned)


@torch.no_grad()
@families
@pytest.mark.parametrize("kind", ["one", "two pictures", "batch"])
@pytest.mark.parametrize("attn", ["sdpa", "eager"])
def test_keep_all_is_the_stock_model_exactly(family, attn, kind):
    model = MODELS[family](attn)
    prompt = prompts(model)[kind]
    stock = model.backbone.hf.generate(**as_inputs(prompt), **GREEDY)
    exact = torch.stack(stock.logits, 1)
    everything = tuple(torch.ones(count, dtype=torch.bool) for count in model.backbone.tokens_per_row(prompt))
    for pruner in (NoPruner(model), MaskPruner(model, everything)):
        ids, logits, _, _ = greedy(model.backbone, finish(model.backbone, pruner(prompt).branch), exact.shape[1])
        assert torch.equal(ids, stock.sequences[:, prompt.input_ids.shape[1] :])
        assert torch.equal(logits, exact)


@torch.no_grad()
@families
def test_padding_of_a_row_does_not_change_its_answer(family):
    model = MODELS[family]()
    prompt = tiny.batch(model)
    together = GlimpsePruner(model)(prompt)
    for row, (size, question) in enumerate([((140, 112), "Why so?"), ((84, 112), "And what is this thing here?")]):
        alone = GlimpsePruner(model)(tiny.prompt(model, size, question=question))
        assert torch.equal(together.kept[row], alone.kept[0])
        torch.testing.assert_close(together.scores.logits[row], alone.scores.logits[0], atol=1e-4, rtol=1e-4)


@torch.no_grad()
@pytest.mark.parametrize(
    "changes",
    [
        dict(read_layers=(2, 0)),
        dict(read_layers=(0,), keep_layer=3),
        dict(keep_layer=1000, read_layers=(4, 1)),
        dict(glimpse_layers=(0, 2)),
        dict(glimpse_length=3, glimpse_norm="layernorm"),
        dict(read_logits=False),
        dict(vip_type="v2", vip_global=False),
        dict(vip_global=False, deep_supervision=True, attention_supervision=True),
        dict(masks="zero"),
    ],
    ids=str,
)
def test_every_kind_of_glimpse_leaves_no_trace(changes):
    model = tiny.model(**changes)
    prompt = tiny.batch(model)
    check_against_oracle(model, prompt, GlimpsePruner(model)(prompt))
