"""Training-free scores: a model without glimpse modules ranks its visual tokens by the last token's attention at K."""

from __future__ import annotations

import functools

import pytest
import torch
from transformers import AutoModelForImageTextToText

from glimpse_core.engine.attention import Probe
from glimpse_core.errors import GlimpseError
from glimpse_core.glimpse import last_token
from glimpse_core.glimpse import model as models
from glimpse_core.glimpse.model import LoadedModel
from glimpse_core.inference import prefill, scored
from glimpse_core.inference.session import Session
from glimpse_core.models import catalog
from glimpse_core.pruners import build
from glimpse_core.types import ManualEdits, Sampling, Selection, Settings
from tests.inference.test_next_question import Ran
from tests.support import tiny, tiny_llava, tiny_qwen3
from tests.support.slow import Slow
from tests.support.slow_methods import stage, top
from tests.support.tiny import as_inputs

FAMILIES = {"qwen": tiny, "qwen3": tiny_qwen3, "llava": tiny_llava}
SIZES = {"one": [(140, 112)], "two": [(112, 84), (84, 140)]}
STEPS = 4
FOUR = Sampling(max_new_tokens=STEPS)
families = pytest.mark.parametrize("family", FAMILIES)


@functools.cache
def plain(family: str, keep_layer: int | None = None, attn: str = "sdpa") -> LoadedModel:
    return catalog.load(FAMILIES[family].base_folder(), keep_layer=keep_layer, attn=attn, device="cpu")


@functools.cache
def eager(family: str):
    """The stock model, which never heard of ours."""
    folder = FAMILIES[family].base_folder()
    return AutoModelForImageTextToText.from_pretrained(folder, attn_implementation="eager", dtype=torch.float32).eval()


def pictures(kind: str):
    return [tiny.picture(*size, seed=seed) for seed, size in enumerate(SIZES[kind])]


@torch.no_grad()
def stock_attention(family: str, prompt, layer: int) -> torch.Tensor:
    """(N,): the last row of the stock model's own attention matrices, averaged over heads."""
    hf = eager(family)
    weights = hf(**as_inputs(prompt), output_attentions=True, use_cache=False).attentions[layer]
    return weights[0, :, -1].mean(0)[prompt.input_ids[0] == hf.config.image_token_id]


def check_scores(family: str, kind: str, layer: int | None, attn: str = "sdpa") -> None:
    """Scores are the stock model's attention, and every budget keeps what they, and the pruner, rank highest."""
    model = plain(family, layer, attn)
    session = Session.ask(model, pictures(kind), "What is it?")
    expected = stock_attention(family, session._prompt, model.keep_layer)
    assert expected.max() > 2 * expected.min(), "equal scores test nothing"
    torch.testing.assert_close(session.probabilities, expected / expected.max(), atol=1e-5, rtol=1e-4)
    shares = session.attention.exp()
    assert shares.shape == (model.backbone.heads, session.tokens)
    torch.testing.assert_close(shares.mean(0), expected, atol=1e-5, rtol=1e-4)
    with torch.no_grad():
        for count in range(1, session.tokens + 1):
            mask = session.choose(Settings(budget=count)).mask
            assert mask.nonzero().flatten().tolist() == top(expected, count)
            assert torch.equal(mask, build("attention", model, count=count)(session._prompt).kept[0])


@families
@pytest.mark.parametrize("kind", SIZES)
@pytest.mark.parametrize("layer", [0, 2, None, tiny.LAYERS - 1])  # Qwen3-VL: between and after those of DeepStack
def test_scores_are_the_stock_models_attention(family, kind, layer):
    check_scores(family, kind, layer)


@families
def test_scores_with_another_attention_function(family):
    check_scores(family, "one", 2, "eager")


@pytest.mark.parametrize("layers", [5, 8, 28, 32, 36, 40, 64, 80])
def test_k_is_where_the_released_modules_have_it(layers):
    published = {28: 18, 32: 21, 36: 23, 40: 26, 64: 42, 80: 53, 8: 5, 5: 3}
    assert models.published_layer(layers) == published[layers]


@torch.no_grad()
def check_answers(family: str, layer: int) -> None:
    """Pruned and full answers against the slow oracle: whole sequences, one mask per layer, no cache."""
    model = plain(family, layer)
    session = Session.ask(model, pictures("one"), "What is it?")
    slow = Slow(model, session._prompt)
    masks = {count: session.choose(Settings(budget=count)).mask for count in (1, 4, 9)}
    for mask in (*masks.values(), session.select().mask):
        kept = mask.nonzero().flatten().tolist()
        expected, _ = slow.answer([stage(slow, kept, layer + 1)], STEPS)
        assert session.answer(mask, FOUR).complete().tokens == expected[: answered(expected, model)]
    expected, _ = slow.answer([], STEPS)
    assert session.answer(None, FOUR).complete().tokens == expected[: answered(expected, model)]
    band = session.band([1, 4, 9], max_new_tokens=STEPS).complete()
    for found in band.answers:
        assert torch.equal(found.mask, masks[found.budget])
        assert list(found.tokens) == session.answer(found.mask, FOUR).complete().tokens


def answered(expected: list[int], model: LoadedModel) -> int:
    """How many of the oracle's tokens come before the stop token, which it does not know."""
    stop = model.backbone.hf.generation_config.eos_token_id
    return next((place for place, token in enumerate(expected) if token == stop), len(expected))


@families
@pytest.mark.parametrize("layer", [0, 2, tiny.LAYERS - 1])
def test_answers_are_the_oracles(family, layer):
    check_answers(family, layer)


@families
def test_everything_comes_from_one_prefill(family):
    model = plain(family)
    with Ran(model) as ran:
        session = Session.ask(model, pictures("one"), "What is it?")
        length, depth = session.prompt_length, model.keep_depth
        assert ran.vision == 1 and ran.tokens == [length] * depth + [0] * (tiny.LAYERS - depth)
        session.select()
        for count in (1, 5):
            session.answer(session.choose(Settings(budget=count)).mask, Sampling(max_new_tokens=1)).complete()
        session.band([2, 3], max_new_tokens=1).complete()
        assert ran.vision == 1 and ran.tokens[:depth] == [length] * depth
    assert session.counters == {"vision": 1, "trunk": 1, "branch": 4, "answers": 4}


@families
@pytest.mark.parametrize("layer", [0, None])  # Qwen3-VL: while DeepStack features are still to be added, and after
def test_the_next_question_is_as_if_it_were_asked_anew(family, layer):
    model = plain(family, layer)
    before = Session.ask(model, pictures("two"), "What is it?")
    before.answer(None, FOUR).complete()
    found, fresh = before.next("And where?"), Session.ask(model, pictures("two"), "And where?")
    assert found.reused > found.tokens
    torch.testing.assert_close(found.probabilities, fresh.probabilities, atol=1e-5, rtol=1e-4)
    torch.testing.assert_close(found.attention, fresh.attention, atol=1e-4, rtol=1e-4)
    assert (found.probabilities - before.probabilities).abs().max() > 0.05, "the question must matter"
    for mask in (None, fresh.select().mask):
        assert found.answer(mask, FOUR).complete().tokens == fresh.answer(mask, FOUR).complete().tokens


@torch.no_grad()
def test_controls_turn_around_what_a_session_keeps():
    session = Session.ask(plain("qwen"), pictures("one"), "What is it?")
    assert torch.equal(build("inverse", session.model)(session._prompt).kept[0], ~session.select().mask)
    for name in ("random_at_k", "inverse", "none"):
        assert build(name, session.model)(session._prompt).trunk.depth == session.model.keep_depth


def test_padding_changes_nothing():
    model = plain("qwen")
    prompt, pad = tiny.prompt(model), torch.nn.functional.pad
    padded = model.backbone.prompt(
        pad(prompt.input_ids, (3, 0), value=5),
        prompt.pixel_values,
        prompt.image_grid_thw,
        pad(prompt.attention_mask, (3, 0), value=0),
    )
    whole, alone = Session(model, padded), Session(model, prompt)
    torch.testing.assert_close(whole.probabilities, alone.probabilities, atol=1e-5, rtol=1e-4)
    torch.testing.assert_close(whole.attention, alone.attention, atol=1e-4, rtol=1e-4)


def test_words_are_attributed():
    session = Session.ask(plain("qwen"), pictures("one"), "What is it?")
    mask = session.choose(Settings(budget=6)).mask
    found = session.attribute(session.answer(mask, FOUR).complete(), mask)
    assert len(found.words) and torch.equal(found.kept, mask)


# The rule -------------------------------------------------------------------------------------------------------


def test_a_share_by_rank_is_the_rule():
    session = Session.ask(plain("qwen"), pictures("one"), "What is it?")
    assert session.select().mask.sum() == int(0.111 * session.tokens) == 2
    half = session.select(Selection(0.0, 0.5))
    assert torch.equal(half.mask, session.choose(Settings(budget=10)).mask)
    assert session.choose(Settings(Selection(0.0, 0.1, min_tokens=5))).mask.sum() == 5
    edited = session.choose(Settings(budget=3, edits=ManualEdits(painted=(19,), erased=(0,))))
    assert edited.mask[19] and not edited.mask[0]


@pytest.mark.parametrize("threshold", [0.01, 0.5, 1.0])
def test_a_threshold_is_refused(threshold):
    session = Session.ask(plain("qwen"), pictures("one"), "What is it?")
    rule = Selection(threshold)
    said = f"Threshold is {threshold:g}, and .* has no glimpse modules: its scores are attention at layer 3.*budget"
    for wrong in (lambda: session.select(rule), lambda: session.choose(Settings(rule))):
        with pytest.raises(GlimpseError, match=said):
            wrong()
    assert session.choose(Settings(rule, budget=4)).mask.sum() == 4  # a budget leaves the threshold without effect
    with pytest.raises(GlimpseError, match="has no glimpse modules. Expected trained ones"):
        _ = session.logits


def test_scores_that_vanish_keep_their_order():
    attention = torch.tensor([0.0, 1e-30, 0.5, 1e-38])
    found = last_token.relative(attention)
    assert found[2] == 1 and (found > 0).all()
    assert found.argsort(descending=True, stable=True).tolist() == [2, 1, 3, 0]
    assert (last_token.relative(torch.zeros(3)) > 0).all()


# Loading --------------------------------------------------------------------------------------------------------


def test_modules_that_there_are_can_be_left_out():
    folder = tiny.published_folder()
    model = catalog.load(tiny.base_folder(), glimpse=folder, device="cpu")
    assert model.trained and model.keep_layer == 2
    assert catalog.resolve("demo", None)[1] and catalog.resolve("demo", "none")[1] is None
    assert catalog.resolve("Qwen/Qwen2.5-VL-7B-Instruct@main", "none")[1] is None
    without = catalog.load(tiny.base_folder(), glimpse="none", device="cpu")
    assert not without.trained and without.keep_layer == 3


@pytest.mark.parametrize(
    ("options", "said"),
    [
        (dict(keep_layer=5), "keep_layer is 5. Expected a layer of this model, from 0 to 4."),
        (dict(keep_layer=-1), "keep_layer is -1. Expected a layer"),
        (dict(keep_layer=True), "keep_layer is True. Expected a layer"),
        (dict(keep_layer=1, glimpse=tiny.CONFIG), "were trained for layer 2. Expected none beside modules"),
    ],
)
def test_impossible_layers_are_explained(options, said):
    with pytest.raises(GlimpseError, match=said):
        catalog.load(tiny.base_folder(), device="cpu", **options)


def test_a_model_whose_attention_is_not_recorded_is_explained():
    model = plain("qwen")
    with pytest.raises(GlimpseError, match="The attention of layer 3 was not recorded"):
        last_token.attention(model, tiny.prompt(model), Probe(frozenset()), None)


# Mistakes that must be noticed ------------------------------------------------------------------------------------


def layer_too_early(patch):
    patch.setattr(prefill.last_token, "probe_of", lambda model: Probe(frozenset({0})))
    patch.setattr(models.LoadedModel, "keep_layer", property(lambda self: 0))


def one_head_only(patch):
    patch.setattr(last_token, "attention", headed(lambda logits: logits[:, :1]))


def mean_before_softmax(patch):
    patch.setattr(last_token, "attention", headed(lambda logits: logits.mean(1, keepdim=True)))


def headed(change):
    right = last_token.attention

    def attention(model, prompt, probe, padding):
        probe.logits[model.keep_layer] = change(probe.logits[model.keep_layer])
        return right(model, prompt, probe, padding)

    return attention


def another_query(patch):
    right = Probe.read
    patch.setattr(Probe, "read", lambda self, m, q, k: right(self, m, q[:, :, :-1] if q.shape[2] > 1 else q, k))


def scale_forgotten(patch):
    right = Probe.read
    patch.setattr(Probe, "read", lambda self, m, q, k: right(self, m, q * q.shape[-1] ** 0.5, k))


def upside_down(patch):
    patch.setattr(last_token, "relative", lambda attention: 1 - attention / attention.max())


def dropped_one_layer_late(patch):
    right = models.LoadedModel.keep_depth
    patch.setattr(models.LoadedModel, "keep_depth", property(lambda self: right.fget(self) + 1))


def tokens_in_another_order(patch):
    right = scored.choose_ranked
    patch.setattr(scored, "choose_ranked", lambda relevance, *rest: right(relevance.flip(0), *rest))


@pytest.mark.parametrize(
    "mistake",
    [
        layer_too_early, one_head_only, mean_before_softmax, another_query, scale_forgotten, upside_down,
        dropped_one_layer_late, tokens_in_another_order,
    ],
)  # fmt: skip
def test_mistakes_are_noticed(mistake, monkeypatch):
    def check():
        session = Session.ask(plain("qwen", 2), pictures("one"), "What is it?")
        expected = stock_attention("qwen", session._prompt, 2)
        torch.testing.assert_close(session.probabilities, expected / expected.max(), atol=1e-5, rtol=1e-4)
        assert session.choose(Settings(budget=4)).mask.nonzero().flatten().tolist() == top(expected, 4)
        check_answers("qwen", 2)

    with monkeypatch.context() as patch:
        mistake(patch)
        with pytest.raises(AssertionError):
            check()
    check()
