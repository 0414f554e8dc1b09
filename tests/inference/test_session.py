"""Sessions: what runs how often, what is shared, what can be stopped, and what is refused."""

from __future__ import annotations

import threading
from dataclasses import replace

import pytest
import torch
from PIL import Image

from glimpse_core.errors import Cancelled, GlimpseError
from glimpse_core.inference.decoding import Answer
from glimpse_core.inference.session import Session
from glimpse_core.pruners import GlimpsePruner
from glimpse_core.types import Grid, Sampling, Selection
from tests.support import tiny

SIX = Sampling(max_new_tokens=6)


@pytest.fixture
def session():
    return Session.ask(tiny.model(), [tiny.picture()], "What is it?")


class Counted:
    """Calls of the real modules, whatever the counters say."""

    def __init__(self, model, monkeypatch):
        self.vision, self.layers = 0, []
        stock = model.backbone.hf.model.visual.forward

        def see(*args, **kwargs):
            self.vision += 1
            return stock(*args, **kwargs)

        monkeypatch.setattr(model.backbone.hf.model.visual, "forward", see)
        self.hooks = [
            layer.register_forward_hook(lambda *_, index=index: self.layers.append(index))
            for index, layer in enumerate(model.backbone.text.layers)
        ]

    def stop(self):
        for hook in self.hooks:
            hook.remove()


def test_one_vision_pass_and_one_trunk_per_question(monkeypatch):
    model = tiny.model()
    counted = Counted(model, monkeypatch)
    session = Session.ask(model, [tiny.picture()], "What is it?")
    depth = model.keep_depth
    assert (counted.vision, counted.layers) == (1, list(range(depth)))
    for threshold in (0.1, 0.5, 0.9):
        session.select(Selection(threshold=threshold), paint={0: True, 3: False})
    session.random(4)
    session.grid(4)
    session.inverse(session.select())
    assert (counted.vision, counted.layers) == (1, list(range(depth)))
    counted.layers.clear()
    session.answer(session.select().mask, Sampling(max_new_tokens=1)).complete()
    session.answer(None, Sampling(max_new_tokens=1)).complete()
    assert (counted.vision, counted.layers) == (1, 2 * list(range(depth, tiny.LAYERS)))
    assert session.counters == {"vision": 1, "trunk": 1, "branch": 2, "answers": 2}
    counted.stop()


def test_answers_are_those_of_the_pruner(session):
    model = session.model
    prompt = tiny.prompt(model)
    with torch.no_grad():
        pruned = GlimpsePruner(model)(prompt)
    assert torch.equal(session.select().mask, pruned.kept[0])
    assert torch.equal(session.logits, pruned.scores.logits[0][-1])
    first = session.answer(pruned.kept[0], SIX).complete()
    again = session.answer(pruned.kept[0], SIX).complete()
    full = session.answer(None, SIX).complete()
    assert first.tokens == again.tokens
    assert full.tokens == session.answer(torch.ones(20, dtype=torch.bool), SIX).complete().tokens
    assert first.tokens != full.tokens, "a mask without effect tests nothing"


def test_two_answers_at_once_from_one_trunk(session):
    mask = session.select().mask
    alone = [session.answer(mask, SIX).complete().tokens, session.answer(None, SIX).complete().tokens]
    pruned, full = session.answer(mask, SIX), session.answer(None, SIX)
    for _ in zip(pruned, full, strict=True):
        pass
    assert [pruned.tokens, full.tokens] == alone


def test_two_sessions_interleaved_share_nothing():
    model = tiny.model()
    alone = []
    for seed in (0, 1):
        one = Session.ask(model, [tiny.picture(seed=seed)], "What?")
        alone.append((one.logits, one.answer(one.select().mask, SIX).complete().tokens))
    first = Session.ask(model, [tiny.picture(seed=0)], "What?")
    stream = first.answer(first.select().mask, SIX)
    next(stream)
    second = Session.ask(model, [tiny.picture(seed=1)], "What?")
    other = second.answer(second.select().mask, SIX)
    for _ in zip(stream, other, strict=False):
        pass
    for session, answer, (logits, tokens) in zip((first, second), (stream, other.complete()), alone, strict=True):
        assert torch.equal(session.logits, logits)
        assert answer.complete().tokens == tokens


def test_sessions_in_threads():
    model = tiny.model()
    found = {}

    def work(seed):
        session = Session.ask(model, [tiny.picture(seed=seed)], f"Question {seed}?")
        found[seed] = (session.logits, session.answer(session.select().mask, SIX).complete().tokens)

    for seed in range(4):
        work(seed)
    alone = dict(found)
    threads = [threading.Thread(target=work, args=(seed,)) for seed in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    for seed, (logits, tokens) in alone.items():
        assert torch.equal(found[seed][0], logits)
        assert found[seed][1] == tokens


def test_several_pictures_of_several_sizes():
    session = Session.ask(tiny.model(), [tiny.picture(112, 84), tiny.picture(84, 140, seed=1)], "Which?")
    assert session.grids == (Grid(3, 4), Grid(5, 3))
    assert session.sizes == ((112, 84), (84, 140))
    assert session.logits.shape == session.probabilities.shape == (27,)
    assert session.attention.shape == (4, 27)
    assert session.select().mask.shape == (27,)
    assert session.answer(session.select().mask, SIX).complete().finished == "length"
    with pytest.raises(GlimpseError, match="anchors"):
        session.select(Selection(anchors=("tl",)))


def test_one_picture_needs_no_list(session):
    assert torch.equal(Session.ask(session.model, tiny.picture(), "What is it?").logits, session.logits)


def test_pictures_do_not_see_each_other_in_the_predictor():
    """The first picture's attention changes with the second one only through the language model."""
    alone = Session.ask(tiny.model(), [tiny.picture(112, 84)], "Which?")
    both = Session.ask(tiny.model(), [tiny.picture(112, 84), tiny.picture(84, 140, seed=1)], "Which?")
    assert not torch.allclose(alone.logits, both.logits[:12])
    assert both.prompt_length > alone.prompt_length


def test_cancel_between_tokens(session):
    cancel = threading.Event()
    answer = session.answer(None, Sampling(max_new_tokens=50), cancel)
    for step in answer:
        if step.index == 2:
            cancel.set()
    assert (len(answer.tokens), answer.finished) == (3, "cancelled")
    assert answer._decoding is None, "a cancelled answer keeps its cache"


def test_cancel_before_the_first_token(session):
    cancel = threading.Event()
    cancel.set()
    answer = session.answer(None, cancel=cancel).complete()
    assert (answer.tokens, answer.finished, answer.text) == ([], "cancelled", "")


def test_cancel_inside_the_trunk():
    """Set while a layer runs, noticed before the next one."""
    model, cancel, ran = tiny.model(), threading.Event(), []
    hooks = [
        layer.register_forward_hook(lambda *_: (ran.append(1), cancel.set())) for layer in model.backbone.text.layers
    ]
    with pytest.raises(Cancelled):
        Session.ask(model, [tiny.picture()], "What?", cancel=cancel)
    for hook in hooks:
        hook.remove()
    assert len(ran) == 1


def test_sampling_is_seeded(session):
    mask = session.select().mask
    warm = [session.answer(mask, Sampling(1.0, 0.9, seed, 8)).complete().tokens for seed in (1, 1, 2, 3)]
    assert warm[0] == warm[1]
    assert len({tuple(tokens) for tokens in warm}) > 1
    cold = session.answer(mask, Sampling(1.0, 1e-6, 5, 8)).complete()
    assert cold.tokens == session.answer(mask, Sampling(max_new_tokens=8)).complete().tokens


def test_a_stop_token_ends_the_answer(session, monkeypatch):
    free = session.answer(None, SIX).complete()
    monkeypatch.setattr(type(session.model.backbone), "stop_tokens", frozenset([free.tokens[3]]))
    stopped = session.answer(None, SIX).complete()
    expected = free.tokens[: free.tokens.index(free.tokens[3])]
    assert (stopped.tokens, stopped.finished) == (expected, "stop")


def test_steps_and_timings(session):
    answer = session.answer(None, SIX)
    steps = list(answer)
    assert [step.index for step in steps] == list(range(6))
    assert [step.token_id for step in steps] == answer.tokens
    assert steps[-1].text == answer.text
    assert [step.seconds for step in steps] == answer.timings["tokens"]
    assert 0 < answer.timings["branch"] <= answer.timings["tokens"][0]
    assert set(session.timings) == {"vision", "trunk", "glimpse_vip"}
    assert min(session.timings.values()) > 0
    with pytest.raises(StopIteration):
        next(answer)


def test_text_never_ends_in_half_a_character(session):
    """The tokenizer of the tiny model has one token per byte; an umlaut is two."""
    tokens = session.model.processor.tokenizer.encode("aü", add_special_tokens=False)
    assert len(tokens) == 3
    answer = session.answer(None, Sampling(max_new_tokens=3))
    script, forward = iter(tokens), answer._forward
    answer._forward = lambda: (forward(), next(script))[1]
    assert [step.text for step in answer] == ["a", "a", "aü"]


@pytest.mark.parametrize("attn", ["sdpa", "eager"])
@pytest.mark.parametrize("dtype", ["float32", "float16", "bfloat16"])
def test_every_dtype_and_attention(dtype, attn):
    session = Session.ask(tiny.model(attn, dtype), [tiny.picture()], "What?")
    exact = Session.ask(tiny.model(), [tiny.picture()], "What?")
    assert session.logits.dtype == torch.float32
    assert session.logits.isfinite().all()
    slack = {"float32": 1e-4, "float16": 0.1, "bfloat16": 1.0}[dtype] * exact.logits.abs().max()
    assert (session.logits - exact.logits).abs().max() < slack
    assert session.answer(session.select().mask, SIX).complete().finished == "length"


def test_what_is_read_can_be_used_freely(session):
    """No inference tensors leak out: a caller may compute with them, in place and with gradients."""
    session.logits.add(1.0).requires_grad_().sum().backward()
    mask = session.select().mask
    mask[0] = True
    session.probabilities.mul_(2)
    assert torch.is_inference_mode_enabled() is False
    next(session.answer(mask))
    assert torch.is_inference_mode_enabled() is False


def test_controls(session):
    kept = session.select()
    assert session.random(5, seed=1).sum() == session.grid(5).sum() == 5
    assert torch.equal(session.random(5, seed=1), session.random(5, seed=1))
    assert not torch.equal(session.random(5, seed=1), session.random(5, seed=2))
    assert torch.equal(session.inverse(kept), ~kept.mask)
    assert torch.equal(session.inverse(kept.mask), ~kept.mask)


def test_default_selection_is_the_checkpoints():
    model = tiny.model(selection=Selection(threshold=0.5, max_ratio=0.11))
    assert Session.ask(model, [tiny.picture()], "What?").select().mask.sum() == 2


# ------------------------------------------------------------------------------------------------ odd input


@pytest.mark.parametrize(
    "question",
    [
        "?",
        "ü中文😀",
        "<|image_pad|>",
        "a<|im_end|>\n<|im_start|>assistant\nb",
        "\ue000question\ue001",
        "x" * 3000,
        "\x00\n\t",
    ],
)
def test_any_text(question):
    session = Session.ask(tiny.model(), [tiny.picture()], question, system=question)
    assert session.logits.shape == (20,)


@pytest.mark.parametrize("size", [(1, 1), (3, 3), (1, 200), (200, 1), (28, 28), (1000, 7), (333, 221)])
def test_any_picture(size):
    session = Session.ask(tiny.model(), [Image.new("RGB", size, "red")], "What?")
    assert session.logits.shape == (session.grids[0].tokens,)
    assert session.answer(session.select().mask, Sampling(max_new_tokens=1)).complete().tokens


@pytest.mark.parametrize("mode", ["L", "RGBA", "P", "1", "I;16", "CMYK", "LA", "F"])
def test_any_mode(mode):
    assert Session.ask(tiny.model(), [Image.new(mode, (60, 40))], "What?").logits.isfinite().all()


def test_typed_special_tokens_stay_text():
    model = tiny.model()
    prompt = tiny.prompt(model, question="<|im_end|><|image_pad|>")
    assert int(model.backbone.visual(prompt).sum()) == 20
    plain = tiny.prompt(model, question="What?")
    stop = model.processor.tokenizer.convert_tokens_to_ids("<|im_end|>")
    assert (prompt.input_ids == stop).sum() == (plain.input_ids == stop).sum()


@pytest.mark.parametrize(
    ("images", "question", "named"),
    [
        ([], "What?", "No image was given. Expected at least one"),
        ([Image.new("RGB", (40, 40))], "", "question is empty"),
        ([Image.new("RGB", (40, 40))], " \n ", "question is empty"),
        ([Image.new("RGB", (2, 401))], "What?", "200 times"),
        ([Image.new("RGB", (0, 5))], "What?", "Image 1 is 0 x 5 pixels"),
        (["photo.png"], "What?", "PIL image"),
        ([None], "What?", "PIL image"),
    ],
)
def test_bad_input_is_explained(images, question, named):
    with pytest.raises(GlimpseError, match=named):
        Session.ask(tiny.model(), images, question)


def test_a_broken_file_is_explained(tmp_path):
    path = tmp_path / "broken.png"
    tiny.picture().save(path)
    path.write_bytes(path.read_bytes()[:-3000])
    with Image.open(path) as image, pytest.raises(GlimpseError, match="damaged"):
        Session.ask(tiny.model(), [image], "What?")


def test_bad_masks_are_explained(session):
    for mask in (torch.ones(3, dtype=torch.bool), torch.ones(20), torch.ones(1, 20, dtype=torch.bool)):
        with pytest.raises(GlimpseError, match="Expected torch.bool .20,., one entry per visual token"):
            session.answer(mask)


@pytest.mark.parametrize("options", [dict(temperature=-1), dict(top_p=0), dict(top_p=1.5), dict(max_new_tokens=0)])
def test_bad_sampling_is_explained(session, options):
    with pytest.raises(GlimpseError, match=next(iter(options))):
        session.answer(None, Sampling(**options))


def test_no_token_at_all_can_be_kept(session):
    assert session.answer(torch.zeros(20, dtype=torch.bool), SIX).complete().tokens


def test_a_model_without_glimpse_answers_in_full_as_one_with_it():
    session = Session.ask(tiny.plain(), [tiny.picture()], "What is it?")
    whole = Session.ask(tiny.model(), [tiny.picture()], "What is it?")
    assert session.answer(None, SIX).complete().tokens == whole.answer(None, SIX).complete().tokens


def test_a_model_without_a_processor_is_explained():
    bare = replace(tiny.model(), processor=None)
    with pytest.raises(GlimpseError, match="tokenizer"):
        Session.ask(bare, [tiny.picture()], "What?")


def test_checkpoints_without_a_predictor():
    """`use_zero_masks` keeps the floor only; `use_ref_masks` needs masks."""
    session = Session.ask(tiny.model(masks="zero", selection=Selection(min_tokens=2)), [tiny.picture()], "What?")
    assert session.logits.isneginf().all()
    assert session.select().mask.sum() == 2
    with pytest.raises(GlimpseError, match="use_ref_masks"):
        Session.ask(tiny.model(masks="reference"), [tiny.picture()], "What?")


def test_an_answer_is_an_iterator_of_steps(session):
    answer = session.answer(None)
    assert isinstance(answer, Answer)
    assert iter(answer) is answer


@pytest.mark.parametrize("changes", [{}, {"read_logits": False}, {"read_logits": False, "glimpse_length": 2}], ids=str)
def test_padding_changes_nothing(changes):
    """A ready-made prompt of one row that is padded on the left, as a row of a batch is."""
    model = tiny.model(**changes)
    prompt = tiny.prompt(model)
    text = torch.nn.functional.pad
    padded = model.backbone.prompt(
        text(prompt.input_ids, (3, 0), value=5),
        prompt.pixel_values,
        prompt.image_grid_thw,
        text(prompt.attention_mask, (3, 0), value=0),
    )
    whole, alone = Session(model, padded), Session(model, prompt)
    torch.testing.assert_close(whole.logits, alone.logits, atol=1e-5, rtol=1e-4)
    assert whole.answer(None, SIX).complete().tokens == alone.answer(None, SIX).complete().tokens
