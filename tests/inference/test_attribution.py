"""Attribution: answers scored under masks as a slow oracle scores them, and what is made of it."""

from __future__ import annotations

import threading
from dataclasses import replace

import pytest
import torch

from glimpse_core.errors import Cancelled, GlimpseError
from glimpse_core.inference import forced
from glimpse_core.inference.attribution import complete, groups_of, nearby, only, steps, without
from glimpse_core.inference.forced import ROWS, Forced, Word, words_of
from glimpse_core.inference.rows import ROOM
from glimpse_core.inference.sampling import penalized
from glimpse_core.inference.session import Session
from glimpse_core.types import Grid, Sampling
from tests.support import oracle, tiny, tiny_llava

FAMILIES = {"qwen": tiny, "llava": tiny_llava}
both = pytest.mark.parametrize("family", FAMILIES)
SIX = Sampling(max_new_tokens=6)


def session_of(family: str, *sizes: tuple[int, int]) -> Session:
    """Of a model without a processor, for which every token is a word."""
    model = FAMILIES[family].model()
    return Session(replace(model, processor=None), tiny.prompt(model, *sizes))


def slowly(session: Session, masks, tokens, penalty: float = 1.0) -> torch.Tensor:
    """(R, T) log-probabilities: every prompt run anew for every token, without a cache, with one mask per layer."""
    model, prompt, rows = session.model, session._prompt, []
    given = torch.tensor([[*tokens]])
    for mask in masks:
        kept, said = model.backbone.keep_mask(prompt, (mask,)), iter(tokens)
        _, logits = oracle.answer(
            model.backbone.hf,
            prompt,
            kept,
            model.keep_depth,
            len(tokens),
            lambda _, said=said: torch.tensor([[next(said)]]),
        )
        steps = [penalized(logits[:, step], penalty, prompt, given[:, :step]) for step in range(len(tokens))]
        rows.append([float(found.log_softmax(-1)[0, token]) for found, token in zip(steps, tokens, strict=True)])
    return torch.tensor(rows)


def masks_of(session: Session) -> list[torch.Tensor]:
    """Masks of many sizes, all and none among them, several of one size."""
    sizes = (0, 1, 4, 4, 4, session.tokens // 2, session.tokens - 1, session.tokens - 1, session.tokens)
    return [session.random(size, seed) for seed, size in enumerate(sizes)]


@both
@pytest.mark.parametrize("penalty", [1.0, 1.3])
@pytest.mark.parametrize("sizes", [((140, 112),), ((112, 84), (84, 140))], ids=["one", "two"])
def test_scores_are_those_of_the_slow_oracle(family, sizes, penalty) -> None:
    session = session_of(family, *sizes)
    masks, tokens = masks_of(session), session.answer(session.random(5), SIX).complete().tokens
    found = session.score(tokens, masks, penalty=penalty).log_probabilities
    expected = slowly(session, masks, tokens, penalty)
    assert torch.allclose(found, expected, atol=2e-4)
    assert (expected.std(0) > 0.01).all(), "masks without effect prove nothing"


@both
def test_an_answer_longer_than_the_room_of_a_cache_is_scored(family) -> None:
    session = session_of(family, (112, 84))
    mask = session.random(4)
    tokens = session.answer(mask, Sampling(max_new_tokens=ROOM + 3)).complete().tokens
    assert len(tokens) == ROOM + 3
    found = session.score(tokens, [mask, session.random(3)]).log_probabilities
    assert torch.allclose(found, slowly(session, [mask, session.random(3)], tokens), atol=5e-4)


@both
def test_an_answer_is_the_likeliest_under_its_own_mask(family) -> None:
    session = session_of(family)
    for mask in (session.random(6), torch.ones(session.tokens, dtype=torch.bool)):
        answer = session.answer(mask, SIX).complete()
        assert session.score(answer.tokens, [mask]).likeliest.all()
    assert not session.score(answer.tokens, [session.random(1)]).likeliest.all()
    one = session.score(answer.tokens[:1], [mask]).log_probabilities
    assert torch.allclose(one, slowly(session, [mask], answer.tokens[:1]), atol=2e-4)


MUTATIONS = {
    "one token late": ("feed", lambda real: lambda backbone, rows, ids: real(backbone, rows, ids.roll(1, 1))),
    "positions stand still": (
        "feed",
        lambda real: lambda backbone, rows, ids: real(backbone, replace(rows, positions=rows.positions - 1), ids),
    ),
    "the first layers' caches whole": ("stack", lambda real: lambda prefixes: real([*prefixes][::-1])),
}


@both
@pytest.mark.parametrize("mistake", MUTATIONS)
def test_mistakes_are_noticed(family, mistake, monkeypatch) -> None:
    session = session_of(family)
    masks, tokens = masks_of(session), session.answer(None, SIX).complete().tokens
    name, change = MUTATIONS[mistake]
    monkeypatch.setattr(forced, name, change(getattr(forced, name)))
    found = session.score(tokens, masks).log_probabilities
    assert not torch.allclose(found, slowly(session, masks, tokens), atol=2e-3)


@both
@pytest.mark.parametrize("full", [True, False])
def test_drops_gains_and_needs_are_what_the_oracle_says(family, full) -> None:
    session = session_of(family)
    mask = None if full else session.random(7, seed=2)
    answer = session.answer(mask, Sampling(max_new_tokens=3)).complete()
    before = dict(session.counters)
    found = session.attribute(answer, mask)
    assert session.counters["trunk"] == before["trunk"] and session.counters["branch"] - before["branch"] == found.runs
    kept = torch.ones(session.tokens, dtype=torch.bool) if full else mask
    assert [word.text for word in found.words] == [str(token) for token in answer.tokens]
    whole, nothing = slowly(session, [kept, torch.zeros_like(kept)], answer.tokens)
    assert torch.allclose(found.log_probabilities, whole, atol=2e-4)
    for token in found.alone.nonzero().flatten().tolist():
        lacking, alone = slowly(session, [without(kept, [token]), only(kept, [token])], answer.tokens)
        assert torch.allclose(found.drops[:, token], whole - lacking, atol=5e-4)
        assert torch.allclose(found.gains[:, token], alone - nothing, atol=5e-4)
    assert found.alone.any() and not (found.alone & ~kept).any()
    assert (found.drops[:, ~kept] == 0).all() and (found.gains[:, ~kept] == 0).all()
    assert any(found.needed)
    for number, needed in enumerate(found.needed):
        assert set(needed) <= set(kept.nonzero().flatten().tolist())
        if needed:
            assert not session.score(answer.tokens, [without(kept, needed)]).likeliest[0, number]
            assert number in found.carried_by(needed[0])
    made = found.to_dict()
    assert made["kept"] == kept.nonzero().flatten().tolist() and len(made["words"][0]["drops"]) == len(made["kept"])
    assert [word["needs"] for word in made["words"]] == [list(needed) for needed in found.needed]
    (bare,) = session.score(answer.tokens, [torch.zeros_like(kept)]).likeliest.tolist()
    assert [word["depends"] for word in made["words"]] == [not same for same in bare] == list(found.depends)


@both
def test_it_says_after_some_prompts_how_many_it_has_scored(family) -> None:
    session = session_of(family)
    answer = session.answer(None, SIX).complete()
    seen = [0, *session.attribution_steps(answer, None)]
    assert seen[-1] == session.attribute(answer, None).runs
    assert all(0 < after - before <= ROWS for before, after in zip(seen, seen[1:], strict=False))


def planted(holders: dict[int, set[int]], tokens: int = 144):
    """Scores of an answer of three one-token words: a word needs any one of the tokens that hold it."""

    def score(masks) -> Forced:
        kept = [set(mask.nonzero().flatten().tolist()) for mask in masks]
        known = torch.tensor([[not holders[word] or bool(holders[word] & here) for word in range(3)] for here in kept])
        return Forced(torch.where(known, -0.1, -9.0), known)

    words = tuple(Word(text, place, place + 1) for place, text in enumerate("abc"))
    return complete(steps(score, torch.ones(tokens, dtype=torch.bool), [Grid(12, tokens // 12)], words))


def test_planted_evidence_is_found_alone_shared_and_absent() -> None:
    shared = {37, 38, 49, 50}  # each of them says it: no single one is missed
    found = planted({0: {100}, 1: shared, 2: set()})
    assert found.needed[0] == (100,) and found.carried_by(100) == (0,)
    assert shared <= set(found.needed[1]) and len(found.needed[1]) <= 6 and found.needed[2] == ()
    assert found.drops[0, 100] == pytest.approx(8.9) and found.gains[0, 100] == pytest.approx(8.9)
    assert (found.drops[1] == 0).all() and found.runs < 144


def test_a_word_that_no_visual_token_changes_costs_nothing_more() -> None:
    assert planted({0: set(), 1: set(), 2: set()}).runs == 2


def test_words_are_split_at_white_space() -> None:
    pieces = ["It", " is", " a", "b", "\ufffd", "c. ", "No"]
    words = words_of([0, 1, 2, 3, 5, 6], lambda ids: "".join(pieces[index] for index in ids))
    assert [(word.text, word.start, word.stop) for word in words] == [
        ("It", 0, 1), ("is", 1, 2), ("abc.", 2, 5), ("No", 5, 6),
    ]  # fmt: skip
    cut = words_of([0, 4, 4], lambda ids: "".join(pieces[index] for index in ids))  # ends within a character
    assert [(word.text, word.start, word.stop) for word in cut] == [("It", 0, 1)]
    assert words_of([], lambda ids: "") == ()


def test_groups_are_even_and_neighbors_stay_together() -> None:
    assert groups_of([1, 2, 3, 4, 5, 6, 7], 3) == [[1, 2], [3, 4, 5], [6, 7]] and groups_of([4], 3) == [[4]]
    assert groups_of([], 3) == []
    order = nearby(torch.ones(32, dtype=torch.bool), [Grid(4, 4), Grid(4, 4)])
    assert order[:4] == [0, 1, 4, 5] and order[16:20] == [16, 17, 20, 21] and sorted(order) == list(range(32))


def test_it_can_be_stopped_and_refuses_what_cannot_be() -> None:
    session, cancel = session_of("qwen"), threading.Event()
    answer = session.answer(None, SIX)
    with pytest.raises(GlimpseError, match="The answer has no words"):
        session.attribute(answer, None)
    answer.complete()
    with pytest.raises(GlimpseError, match="The mask is"):
        session.attribute(answer, torch.ones(3, dtype=torch.bool))
    cancel.set()
    with pytest.raises(Cancelled):
        session.attribute(answer, None, cancel)
