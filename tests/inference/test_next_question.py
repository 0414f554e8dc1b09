"""The next question about the same images: as a fresh session's in every number, with nothing run again."""

from __future__ import annotations

import gc
import threading
import weakref
from dataclasses import replace

import pytest
import torch
from hypothesis import Phase, given, settings
from hypothesis import strategies as st

from glimpse_core.engine import prefix as verbs
from glimpse_core.errors import Cancelled, GlimpseError
from glimpse_core.inference import reuse
from glimpse_core.inference.session import Session
from glimpse_core.pruners import build
from glimpse_core.types import Sampling, Selection
from tests.support import tiny, tiny_llava, tiny_qwen3

FAMILIES = {"qwen": tiny, "qwen3": tiny_qwen3, "llava": tiny_llava}
both = pytest.mark.parametrize("family", FAMILIES)
SIX = Sampling(max_new_tokens=6)
SAMPLED = Sampling(temperature=0.8, top_p=0.9, seed=3, max_new_tokens=6)
SIZES = {"one": [(140, 112)], "two": [(112, 84), (84, 140)], "three": [(56, 56), (84, 56), (112, 112)]}


def pictures(kind: str):
    return [tiny.picture(*size, seed=seed) for seed, size in enumerate(SIZES[kind])]


class Ran:
    """Tokens that the real layers, and images that the real tower, have run."""

    def __init__(self, model) -> None:
        self.tokens = [0] * tiny.LAYERS
        self.vision = 0
        tower = getattr(model.backbone.hf.model, "visual", None) or model.backbone.hf.model.vision_tower
        self.hooks = [tower.register_forward_hook(self.see)]
        for index, layer in enumerate(model.backbone.text.layers):
            self.hooks.append(layer.register_forward_hook(lambda _, args, out, index=index: self.run(index, args)))

    def see(self, *_) -> None:
        self.vision += 1

    def run(self, index: int, args) -> None:
        self.tokens[index] += args[0].shape[1]

    def __enter__(self):
        return self

    def __exit__(self, *_) -> None:
        for hook in self.hooks:
            hook.remove()


def check_equal(found: Session, fresh: Session, sampling: Sampling = SIX) -> None:
    """Scores, masks and answers of both are equal."""
    assert found.prompt_length == fresh.prompt_length and found.grids == fresh.grids and found.sizes == fresh.sizes
    assert torch.allclose(found.logits, fresh.logits, atol=2e-4)
    assert torch.allclose(found.attention, fresh.attention, atol=2e-4)
    close = (fresh.probabilities - 0.5).abs() < 1e-4
    assert (found.select(Selection()).mask == fresh.select(Selection()).mask)[~close].all()
    for mask in (fresh.random(5, seed=1), None, fresh.select(Selection()).mask):
        one, other = found.answer(mask, sampling), fresh.answer(mask, sampling)
        steps = list(zip(one, other, strict=True))
        assert [step.token_id for step, _ in steps] == [step.token_id for _, step in steps] and steps
        assert (one.text, one.finished) == (other.text, other.finished)


def first_logits(session: Session, mask) -> torch.Tensor:
    """(vocabulary,): what the first token is chosen from."""
    answer = session.answer(mask, Sampling(max_new_tokens=2))
    next(answer)
    return answer._decoding.logits[0]


@given(
    family=st.sampled_from(sorted(FAMILIES)),
    kind=st.sampled_from(sorted(SIZES)),
    first=st.text(min_size=1, max_size=30).filter(str.strip),
    second=st.text(min_size=1, max_size=60).filter(str.strip),
    answered=st.sets(st.sampled_from(["pruned", "full"])),
    sampled=st.booleans(),
    layer=st.sampled_from([0, 2, tiny.LAYERS - 1]),
)
@settings(max_examples=10, phases=[Phase.explicit, Phase.generate])
def test_any_next_question_is_as_if_it_were_asked_anew(family, kind, first, second, answered, sampled, layer) -> None:
    model = FAMILIES[family].model(keep_layer=layer, read_layers=(layer,))
    before = Session.ask(model, pictures(kind), first)
    for name in sorted(answered):
        before.answer(None if name == "full" else before.random(4), SIX).complete()
    found, fresh = before.next(second), Session.ask(model, pictures(kind), second)
    check_equal(found, fresh, SAMPLED if sampled else SIX)
    assert found.reused > found.tokens


@both
def test_first_logits_are_those_of_a_fresh_session_to_float_tolerance(family) -> None:
    model = FAMILIES[family].model()
    before = Session.ask(model, pictures("two"), "What is it?")
    before.answer(None, SIX).complete()
    found, fresh = before.next("And how many of them?"), Session.ask(model, pictures("two"), "And how many of them?")
    for mask in (None, fresh.random(5)):
        one, other = first_logits(found, mask), first_logits(fresh, mask)
        assert torch.allclose(one, other, atol=1e-4 * float(other.abs().max()))


@both
@pytest.mark.parametrize("full", [True, False], ids=["after a full answer", "without one"])
def test_only_the_new_words_run(family, full) -> None:
    model = FAMILIES[family].model()
    before = Session.ask(model, pictures("one"), "What is it?")
    before.answer(None if full else before.random(4), SIX).complete()
    depth, glimpse, counters = model.keep_depth, model.config.glimpse_length, dict(before.counters)
    with Ran(model) as ran:
        found = before.next("Where?")
        words = found.prompt_length - found.reused
        assert ran.vision == 0 and ran.tokens == [words + glimpse] * depth + [0] * (tiny.LAYERS - depth)
        found.answer(None, Sampling(max_new_tokens=1)).complete()
    later = words if full else found.prompt_length
    assert ran.tokens == [words + glimpse] * depth + [later] * (tiny.LAYERS - depth)
    assert found.counters == {"vision": 0, "trunk": 1, "branch": 1, "answers": 1} and before.counters == counters
    assert found.timings["vision"] == 0 and found._trunk.processed == (words + glimpse,) * depth


@both
def test_a_chain_of_questions_takes_over_what_the_first_has_run(family) -> None:
    model = FAMILIES[family].model()
    first = Session.ask(model, pictures("two"), "What is it?")
    first.answer(None, SIX).complete()
    third = first.next("A longer question than the first one?").next("Third?")
    with Ran(model) as ran:
        first_logits(third, None)
    assert ran.tokens[-1] == third.prompt_length - third.reused, "the first session's full answer serves the third"
    check_equal(third, Session.ask(model, pictures("two"), "Third?"))
    check_equal(first, Session.ask(model, pictures("two"), "What is it?"))


@both
def test_the_earlier_session_goes_on_meanwhile(family) -> None:
    model = FAMILIES[family].model()
    before = Session.ask(model, pictures("one"), "What is it?")
    alone = before.answer(None, SIX).complete().tokens
    stream = before.answer(None, SIX)
    next(stream)
    found = before.next("Where is it?")
    other = found.answer(None, SIX)
    for _ in zip(stream, other, strict=False):
        pass
    assert stream.complete().tokens == alone
    assert (
        other.complete().tokens
        == Session.ask(model, pictures("one"), "Where is it?").answer(None, SIX).complete().tokens
    )


def test_other_methods_and_bands_work_on_the_next_question() -> None:
    model = tiny.model()
    found = Session.ask(model, pictures("one"), "What is it?").next("Where?")
    fresh = Session.ask(model, pictures("one"), "Where?")
    for session in (found, fresh):
        session.kept = session.prune(build("fastv", model, ratio=0.3))
    assert torch.equal(found.kept.kept[0], fresh.kept.kept[0])
    assert found.answer_of(found.kept, SIX).complete().tokens == fresh.answer_of(fresh.kept, SIX).complete().tokens
    one, other = (session.band(max_new_tokens=4).complete().answers for session in (found, fresh))
    assert [answer.tokens for answer in one] == [answer.tokens for answer in other]


@both
def test_another_system_prompt_runs_the_layers_again_and_the_tower_not(family) -> None:
    model = FAMILIES[family].model()
    before = Session.ask(model, pictures("one"), "What is it?", system="Be brief.")
    assert before.next("Where?").reused > 0, "the system prompt is remembered"
    with Ran(model) as ran:
        found = before.next("Where?", system="Be verbose.")
    assert found.reused == 0 and ran.vision == 0 and found.counters["vision"] == 0
    assert ran.tokens[0] == found.prompt_length + model.config.glimpse_length
    check_equal(found, Session.ask(model, pictures("one"), "Where?", system="Be verbose."))


def moved(model, prompt):
    """The prompt with the words after the image put before it."""
    visual = model.backbone.visual(prompt)[0]
    ids, end = prompt.input_ids[0], int(visual.nonzero().max()) + 1
    ids = torch.cat([ids[end:], ids[:end], ids[-1:]])
    return model.backbone.prompt(ids[None], prompt.pixel_values, prompt.image_grid_thw)


@both
def test_a_question_before_the_image_other_images_and_padding_run_afresh(family) -> None:
    model = FAMILIES[family].model()
    early, other = (moved(model, tiny.prompt(model, question=text)) for text in ("What is it?", "Where?"))
    before = Session(model, early)
    found = Session(model, other, earlier=before)
    assert found.reused == 0 and found.counters["vision"] == 0
    check_equal(found, Session(model, other))

    new = Session(model, tiny.prompt(model, (112, 140)), earlier=before)  # as many tokens, another image
    assert new.reused == 0 and new.counters["vision"] == 1 and new.tokens == before.tokens

    plain = tiny.prompt(model)
    ids = torch.cat([plain.input_ids[:, :1], plain.input_ids], dim=1)
    mask = torch.ones_like(ids)
    mask[:, 0] = 0
    padded = model.backbone.prompt(ids, plain.pixel_values, plain.image_grid_thw, mask)
    padded = replace(padded, grids=plain.grids)
    for one, two in ((padded, plain), (plain, padded), (padded, padded)):
        found = Session(model, two, earlier=Session(model, one))
        assert found.reused == 0 and found.counters["vision"] == 0
        check_equal(found, Session(model, two))


def test_another_model_shares_nothing() -> None:
    model, other = tiny.model(), tiny.model(keep_layer=3)
    found = Session(other, tiny.prompt(other), earlier=Session(model, tiny.prompt(model)))
    assert found.reused == 0 and found.counters["vision"] == 1


def test_a_model_without_modules_takes_over_what_a_full_answer_has_run() -> None:
    model = tiny.plain()
    before = Session.ask(model, pictures("one"), "What is it?")
    before.answer(None, SIX).complete()
    with Ran(model) as ran:
        answer = before.next("Where?").answer(None, SIX).complete()
    assert ran.vision == 0 and max(ran.tokens) < before.prompt_length
    assert answer.tokens == Session.ask(model, pictures("one"), "Where?").answer(None, SIX).complete().tokens


def test_what_it_holds_is_counted_in_bytes() -> None:
    model = tiny.model()
    session = Session.ask(model, pictures("one"), "What is it?")
    length, backbone, depth = session.prompt_length, model.backbone, model.keep_depth
    config = backbone.text_config
    token = 2 * 4 * config.num_key_value_heads * config.hidden_size // config.num_attention_heads  # keys and values
    vision = 4 * session.tokens * (backbone.hidden_size + len(model.config.vision_layers) * backbone.vision_size)
    pixels = session._prompt.pixel_values.nbytes
    most = pixels + vision + (length + 1) * (depth * token + 4 * backbone.hidden_size + 3 * 8)
    assert most - depth * token - 4 * backbone.hidden_size - 24 - 1 < session.held_bytes <= most
    before = session.held_bytes
    session.answer(session.random(4), SIX).complete()
    assert session.held_bytes == before
    session.answer(None, SIX).complete()
    assert session.held_bytes == before + length * (tiny.LAYERS - depth) * token
    assert session.next("Where?").held_bytes < 1.2 * session.held_bytes


def test_an_earlier_session_is_let_go() -> None:
    model = tiny.model()
    before = Session.ask(model, pictures("one"), "What is it?")
    before.answer(None, SIX).complete()
    trunk = weakref.ref(before._trunk.hidden)
    found = before.next("Where?")
    del before
    gc.collect()
    assert trunk() is None and found.reused


def test_it_can_be_stopped_and_refuses_blank_questions() -> None:
    before = Session.ask(tiny.model(), pictures("one"), "What is it?")
    cancel = threading.Event()
    cancel.set()
    with pytest.raises(Cancelled):
        before.next("Where?", cancel=cancel)
    with pytest.raises(GlimpseError, match="The question is empty"):
        before.next(" ")


def mistaken_resume(change):
    real = verbs.resume
    return lambda prefix, layers, count: change(real(prefix, layers, count), prefix, count)


MUTATIONS = {
    "positions from 0": mistaken_resume(lambda made, prefix, count: replace(made, positions=made.positions - count)),
    "one token too late": lambda prefix, layers, count: replace(
        verbs.resume(prefix, layers, count),
        hidden=prefix.hidden[:, count + 1 :],
        positions=prefix.positions[..., count + 1 :],
    ),
    "an image token missing": lambda prefix, layers, count: replace(
        verbs.resume(prefix, layers, count - 3),
        hidden=prefix.hidden[:, count:],
        positions=prefix.positions[..., count:],
    ),
}


@both
@pytest.mark.parametrize("mistake", MUTATIONS)
def test_mistakes_are_noticed(family, mistake, monkeypatch) -> None:
    model = FAMILIES[family].model()
    before, fresh = (Session.ask(model, pictures("one"), text) for text in ("What is it?", "Where?"))
    with monkeypatch.context() as patch:
        patch.setattr(reuse, "resume", MUTATIONS[mistake])
        with pytest.raises((AssertionError, RuntimeError, IndexError)):
            check_equal(before.next("Where?"), fresh)
    check_equal(before.next("Where?"), fresh)
