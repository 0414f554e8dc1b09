"""Pruning inside the stock `generate`."""

from __future__ import annotations

from dataclasses import dataclass

import pytest
import torch
from transformers import DynamicCache

from glimpse_core.engine.prefix import keep
from glimpse_core.errors import GlimpseError
from glimpse_core.glimpse.model import GlimpseModel
from glimpse_core.inference import generation as generate
from glimpse_core.inference.decoding import finish
from glimpse_core.inference.generation import PrunedGeneration, with_pruning
from glimpse_core.parity.inference import greedy
from glimpse_core.pruners import GlimpsePruner, MaskPruner, NoPruner
from glimpse_core.types import Pruned
from tests.glimpse.test_oracle import MODELS
from tests.support import tiny
from tests.support.tiny import as_inputs

STEPS = 6
OPTIONS = dict(max_new_tokens=STEPS, eos_token_id=None, return_dict_in_generate=True, output_logits=True)


@pytest.mark.parametrize("family", MODELS)
@pytest.mark.parametrize("attn", ["sdpa", "eager"])
@pytest.mark.parametrize("kind", ["one", "batch"])
def test_generate_prunes_like_the_engine(family, attn, kind):
    model = MODELS[family](attn)
    prompt = tiny.batch(model) if kind == "batch" else tiny.prompt(model)
    out = with_pruning(model).generate(**as_inputs(prompt), **OPTIONS, do_sample=False)
    with torch.no_grad():
        pruned = GlimpsePruner(model)(prompt)
        ids, logits, _, _ = greedy(model.backbone, finish(model.backbone, pruned.branch), STEPS)
    assert torch.equal(out.sequences[:, prompt.input_ids.shape[1] :], ids)
    assert torch.equal(torch.stack(out.logits, 1), logits)
    kept = model.backbone.keep_mask(prompt, pruned.kept).sum(1).max()
    assert {layer.get_seq_length() for layer in out.past_key_values.layers} == {int(kept) + STEPS - 1}


@pytest.mark.parametrize("family", MODELS)
@pytest.mark.parametrize("options", [dict(do_sample=False), dict(do_sample=True, top_p=0.9), dict(num_beams=3)])
@pytest.mark.parametrize("kind", ["one", "batch"])
def test_keep_all_equals_the_stock_class(family, kind, options):
    model = MODELS[family]()
    prompt = tiny.batch(model) if kind == "batch" else tiny.prompt(model)
    outs = []
    for hf in (model.backbone.hf, with_pruning(model, NoPruner(model))):
        torch.manual_seed(3)
        outs.append(hf.generate(**as_inputs(prompt), **OPTIONS, **options))
    assert torch.equal(outs[0].sequences, outs[1].sequences)
    torch.testing.assert_close(torch.stack(outs[0].logits), torch.stack(outs[1].logits), atol=1e-5, rtol=1e-5)


def test_beams_of_a_batch_prune_every_row_by_its_own_mask():
    model = tiny.model()
    prompt = tiny.batch(model)
    masks = tiny.random_masks(model, prompt)
    together = with_pruning(model, MaskPruner(model, masks)).generate(**as_inputs(prompt), **OPTIONS, num_beams=2)
    first = tiny.prompt(model, (140, 112), question="Why so?")
    alone = with_pruning(model, MaskPruner(model, masks[:1])).generate(**as_inputs(first), **OPTIONS, num_beams=2)
    assert torch.equal(together.sequences[0, -STEPS:], alone.sequences[0, -STEPS:])


def test_a_row_without_a_picture_beside_one_with():
    """The text row is only padded; the other is pruned as if alone."""
    model = tiny.model()
    one = tiny.prompt(model)
    inputs, length = as_inputs(one), one.input_ids.shape[1]
    text = torch.zeros(1, length, dtype=torch.long)
    text[0, -5:] = torch.arange(5, 10)
    zeros = torch.zeros_like(text)
    inputs |= {
        "input_ids": torch.cat([one.input_ids, text]),
        "attention_mask": torch.cat([one.attention_mask, (text > 0).long()]),
        "mm_token_type_ids": torch.cat([one.mm_token_type_ids, zeros.int()]),
    }
    pruned = with_pruning(model)
    both = pruned.generate(**inputs, **OPTIONS, do_sample=False)
    first = pruned.generate(**as_inputs(one), **OPTIONS, do_sample=False)
    second = pruned.generate(text[:, -5:], **OPTIONS, do_sample=False)
    assert torch.equal(both.sequences[0, length:], first.sequences[0, length:])
    assert torch.equal(both.sequences[1, length:], second.sequences[0, 5:])


def test_the_base_model_stays_stock_and_nothing_survives_a_call():
    model = tiny.model()
    prompt = tiny.prompt(model)
    before = model.backbone.hf.generate(**as_inputs(prompt), **OPTIONS, do_sample=False)
    pruned = with_pruning(model)
    state = set(vars(pruned))
    first = pruned.generate(**as_inputs(prompt), **OPTIONS, do_sample=False)
    again = pruned.generate(**as_inputs(prompt), **OPTIONS, do_sample=False)
    after = model.backbone.hf.generate(**as_inputs(prompt), **OPTIONS, do_sample=False)
    assert set(vars(pruned)) == state
    assert torch.equal(first.sequences, again.sequences)
    assert torch.equal(before.sequences, after.sequences)
    assert not torch.equal(first.logits[0], before.logits[0]), "the pruned model did not prune"


def test_text_only_prompts_are_left_to_the_stock_model():
    model = tiny.model()
    ids = torch.tensor([[5, 6, 7, 8]])
    options = dict(max_new_tokens=3, eos_token_id=None, do_sample=False)
    assert torch.equal(with_pruning(model).generate(ids, **options), model.backbone.hf.generate(ids, **options))


def test_a_given_cache_is_filled():
    model = tiny.model()
    prompt = tiny.prompt(model)
    cache = DynamicCache(config=model.backbone.hf.config)
    out = with_pruning(model).generate(**as_inputs(prompt), **OPTIONS, do_sample=False, past_key_values=cache)
    assert out.past_key_values is cache
    assert cache.get_seq_length() < prompt.input_ids.shape[1]


@pytest.mark.parametrize(
    ("options", "named"),
    [
        (dict(prompt_lookup_num_tokens=3), "prompt_lookup_num_tokens"),
        (dict(cache_implementation="static"), "cache_implementation"),
        (dict(use_cache=False), "use_cache"),
        (dict(prefill_chunk_size=8), "prefill_chunk_size"),
    ],
)
def test_what_would_not_prune_is_refused(options, named):
    model = tiny.model()
    prompt = tiny.prompt(model)
    with pytest.raises(GlimpseError, match=named):
        with_pruning(model).generate(**as_inputs(prompt), max_new_tokens=3, **options)


def test_an_assistant_model_is_refused():
    model = tiny.model()
    with pytest.raises(GlimpseError, match="assistant_model"):
        with_pruning(model).generate(
            **as_inputs(tiny.prompt(model)), assistant_model=model.backbone.hf, max_new_tokens=3
        )


def test_a_filled_cache_is_refused():
    model = tiny.model()
    prompt = tiny.prompt(model)
    cache = model.backbone.hf.generate(torch.tensor([[5, 6, 7]]), max_new_tokens=2, return_dict_in_generate=True)
    with pytest.raises(GlimpseError, match="first turn"):
        with_pruning(model).generate(**as_inputs(prompt), past_key_values=cache.past_key_values, max_new_tokens=3)


def padding_not_handed_to_the_loop(model_kwargs):
    model_kwargs["attention_mask"] = None


def one_position_handed_to_the_loop(model_kwargs):
    model_kwargs["position_ids"] = torch.full_like(model_kwargs["position_ids"], 40)


@pytest.mark.parametrize("mistake", [padding_not_handed_to_the_loop, one_position_handed_to_the_loop])
def test_mistakes_in_what_the_loop_gets_are_noticed(mistake, monkeypatch):
    right = PrunedGeneration._prefill

    def prefill(self, input_ids, config, model_kwargs, **rest):
        out = right(self, input_ids, config, model_kwargs, **rest)
        mistake(model_kwargs)
        return out

    monkeypatch.setattr(PrunedGeneration, "_prefill", prefill)
    with pytest.raises(AssertionError):
        test_generate_prunes_like_the_engine("qwen", "sdpa", "batch")


@pytest.mark.parametrize("options", [dict(num_beams=2), dict(do_sample=True, num_return_sequences=2)])
def test_copies_that_are_not_made_are_noticed(options, monkeypatch):
    monkeypatch.setattr(generate, "_repeat", lambda prefix, copies: prefix)
    model = tiny.model()
    with pytest.raises((AssertionError, RuntimeError, IndexError)):
        test_keep_all_equals_the_stock_class("qwen", "batch", options)
    with pytest.raises((AssertionError, RuntimeError, IndexError)):
        with_pruning(model).generate(**as_inputs(tiny.batch(model)), **OPTIONS, **options)


@dataclass(frozen=True)
class EarlyCachesWhole:
    """As FastV leaves them: the caches of the layers already run keep every token."""

    model: GlimpseModel

    def __call__(self, prompt, vision=None):
        masks = tiny.random_masks(self.model, prompt)
        trunk = NoPruner(self.model)(prompt, vision).trunk
        kept = self.model.backbone.keep_mask(prompt, masks)
        return Pruned(trunk, keep(trunk, kept, cache="untouched"), masks, None)


def test_caches_of_unequal_length_decode_where_no_mask_is_needed():
    model = tiny.model()
    prompt, pruner = tiny.prompt(model), EarlyCachesWhole(model)
    ids = with_pruning(model, pruner).generate(**as_inputs(prompt), **OPTIONS, do_sample=False).sequences
    with torch.no_grad():
        wanted, *_ = greedy(model.backbone, finish(model.backbone, pruner(prompt).branch), STEPS)
    assert torch.equal(ids[:, -STEPS:], wanted)
    eager = tiny.model("eager")
    with pytest.raises(GlimpseError, match="eager"):
        with_pruning(eager, EarlyCachesWhole(eager)).generate(**as_inputs(prompt), max_new_tokens=3)


def test_videos_are_refused():
    model = tiny.model()
    inputs = as_inputs(tiny.prompt(model)) | {"pixel_values_videos": torch.zeros(4, 1176)}
    with pytest.raises(GlimpseError, match="video"):
        with_pruning(model).generate(**inputs, max_new_tokens=3)
