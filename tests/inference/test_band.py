"""The band: every answer is the one that its budget gives alone, streamed, stoppable, from one shared prefill."""

from __future__ import annotations

import threading

import pytest
from hypothesis import given
from hypothesis import strategies as st

from glimpse_core.errors import GlimpseError
from glimpse_core.inference.band import budgets_of, check_budgets
from glimpse_core.inference.session import Session
from glimpse_core.types import ManualEdits, Sampling, Selection, Settings
from tests.support import tiny, tiny_llava

both = pytest.mark.parametrize("family", [tiny, tiny_llava], ids=["qwen", "llava"])


def session_of(family, *sizes) -> Session:
    model = family.model()
    return Session(model, tiny.prompt(model, *sizes))


@given(st.integers(1, 20_000), st.integers(2, 40))
def test_budgets_go_from_one_token_to_all_in_even_steps(total: int, count: int) -> None:
    found = budgets_of(total, count)
    assert found[0] == 1 and found[-1] == total and list(found) == sorted(set(found)) and len(found) <= count
    factor = total ** (1 / (count - 1))
    assert all(after <= factor * 1.5 * before + 1 for before, after in zip(found, found[1:], strict=False))


def test_a_band_of_twelve_on_a_large_image() -> None:
    assert budgets_of(784) == (1, 2, 3, 6, 11, 21, 38, 69, 127, 233, 428, 784)


@both
def test_every_answer_is_that_of_its_budget_alone(family) -> None:
    session = session_of(family)
    total, limit = session.tokens, 9
    before = dict(session.counters)
    band = session.band(max_new_tokens=limit).complete()
    assert [answer.budget for answer in band.answers] == list(budgets_of(total)) and band.runs == len(band.answers)
    ran = {name: session.counters[name] - before[name] for name in before}
    assert ran == {"vision": 0, "trunk": 0, "branch": len(band.answers), "answers": len(band.answers)}
    for found in band.answers:
        mask = session.choose(Settings(budget=found.budget)).mask
        assert int(mask.sum()) == found.budget and (found.mask == mask).all()
        alone = session.answer(mask, Sampling(max_new_tokens=limit)).complete()
        assert (list(found.tokens), found.text, found.finished) == (alone.tokens, alone.text, alone.finished)
    assert len({answer.tokens for answer in band.answers}) > 2, "budgets that all say the same prove nothing"


def test_an_answer_that_ends_early_leaves_the_others_going(monkeypatch) -> None:
    session = session_of(tiny)
    endless = [answer.tokens for answer in session.band(max_new_tokens=12).complete().answers]
    stop = next(tokens[3] for tokens in endless if any(tokens[3] not in other for other in endless))
    monkeypatch.setattr(session.model.backbone.hf.generation_config, "eos_token_id", stop)  # the model is shared
    band = session.band(max_new_tokens=12).complete()
    assert {answer.finished for answer in band.answers} == {"stop", "length"}
    for found, tokens in zip(band.answers, endless, strict=True):
        expected = tokens[: tokens.index(stop)] if stop in tokens else tokens
        assert found.tokens == expected and (found.finished == "stop") == (stop in tokens)


def test_manual_edits_hold_at_every_budget_and_equal_masks_run_once() -> None:
    session = session_of(tiny)
    last = session.tokens - 1
    settings = Settings(Selection(), edits=ManualEdits(painted=(last,), erased=tuple(range(last))))
    band = session.band((1, 2, 3), settings, max_new_tokens=3).complete()
    assert all(answer.mask.nonzero().flatten().tolist() == [last] for answer in band.answers)
    assert band.runs == 1 and len({answer.tokens for answer in band.answers}) == 1


def test_it_streams_and_can_be_stopped() -> None:
    session, cancel = session_of(tiny), threading.Event()
    band = session.band((1, session.tokens), max_new_tokens=50, cancel=cancel)
    assert [answer.tokens for answer in band.answers] == [(), ()]
    first, second = next(band), next(band)
    assert [len(answers[0].tokens) for answers in (first, second)] == [1, 2]
    cancel.set()
    assert list(band) == []
    assert [answer.finished for answer in band.answers] == ["cancelled", "cancelled"]
    assert band.answers[0].tokens[:2] == second[0].tokens
    stopped = session.band((1,), cancel=cancel)
    assert list(stopped) == [] and stopped.answers[0].finished == "cancelled" and stopped.runs == 0


@pytest.mark.parametrize("budgets", [(), (0,), (3, 9999), (True,)])
def test_impossible_budgets_are_explained(budgets: tuple[int, ...]) -> None:
    session = session_of(tiny)
    with pytest.raises(GlimpseError, match=f"Expected integers from 1 to {session.tokens}"):
        session.band(budgets)
    assert check_budgets((3, 1, 3), 4) == (1, 3)
    with pytest.raises(GlimpseError, match="max_new_tokens"):
        session.band((1,), max_new_tokens=0)
