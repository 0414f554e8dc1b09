"""Where two answers part: the probabilities on both sides are those of a slow oracle."""

from __future__ import annotations

from dataclasses import replace

import pytest
import torch

from glimpse_core.inference import decoding
from glimpse_core.inference.candidates import CANDIDATES
from glimpse_core.inference.divergence import divergence
from glimpse_core.inference.sampling import penalized
from glimpse_core.inference.session import Session
from glimpse_core.types import Sampling
from tests.support import oracle, tiny, tiny_llava

FAMILIES = {"qwen": tiny, "llava": tiny_llava}
PENALTIES = (1.0, 1.3)


def session_of(family: str) -> Session:
    """Of a model without a processor, whose text is its ids."""
    model = FAMILIES[family].model()
    return Session(replace(model, processor=None), tiny.prompt(model))


def slowly(session: Session, kept: torch.Tensor, tokens: list[int], position: int, penalty: float) -> torch.Tensor:
    """(vocabulary,) probabilities of the token at a position, by running the whole prompt for every token."""
    backbone, prompt, given = session.model.backbone, session._prompt, iter([*tokens[:position], 0])
    _, logits = oracle.answer(
        backbone.hf,
        prompt,
        backbone.keep_mask(prompt, (kept,)),
        session.model.keep_depth,
        position + 1,
        lambda _: torch.tensor([[next(given)]]),
    )
    return penalized(logits[:, position], penalty, prompt, torch.tensor([tokens[:position]])).softmax(-1)[0]


def parted(session: Session, penalty: float) -> tuple[torch.Tensor, decoding.Answer, decoding.Answer]:
    """A mask whose answer parts from the full one after the first token, or else anywhere, and both answers."""
    sampling = Sampling(max_new_tokens=8, repetition_penalty=penalty)
    full = session.answer(None, sampling).complete()
    found = []
    for seed in range(12):
        mask = session.random(session.tokens // 2, seed)
        kept = session.answer(mask, sampling).complete()
        if where := session.divergence(full, kept):
            found.append((where.position, mask, kept))
    _, mask, kept = max(found, key=lambda one: one[0])
    return mask, full, kept


def check(session: Session, mask: torch.Tensor, full: decoding.Answer, kept: decoding.Answer, penalty: float) -> None:
    where = session.divergence(full, kept)
    assert where is not None and full.tokens[: where.position] == kept.tokens[: where.position]
    assert where.full[0].token_id == full.chosen[where.position] != kept.chosen[where.position]
    assert where.kept[0].token_id == kept.chosen[where.position]
    everything = torch.ones_like(mask)
    for side, tokens, answer in ((where.full, everything, full), (where.kept, mask, kept)):
        expected = slowly(session, tokens, answer.tokens, where.position, penalty)
        best = expected.topk(CANDIDATES)
        assert [one.token_id for one in side] == best.indices.tolist()
        assert torch.allclose(torch.tensor([one.probability for one in side]), best.values, atol=2e-4)


@pytest.mark.parametrize("penalty", PENALTIES)
@pytest.mark.parametrize("family", FAMILIES)
def test_candidates_are_those_of_the_slow_oracle(family: str, penalty: float) -> None:
    session = session_of(family)
    check(session, *parted(session, penalty), penalty)


def test_a_step_late_is_noticed(monkeypatch: pytest.MonkeyPatch) -> None:
    session = session_of("qwen")
    mask, full, kept = parted(session, 1.0)
    late = [full.candidates[0], *full.candidates[:-1]]
    monkeypatch.setattr(full, "candidates", late if session.divergence(full, kept).position else late[::-1])
    with pytest.raises(AssertionError):
        check(session, mask, full, kept, 1.0)


def test_equal_answers_part_nowhere_and_a_cut_one_not_behind_its_end() -> None:
    session = session_of("qwen")
    full = session.answer(None, Sampling(max_new_tokens=5)).complete()
    everything = torch.ones(session.tokens, dtype=torch.bool)
    assert session.divergence(full, session.answer(everything, Sampling(max_new_tokens=5)).complete()) is None
    assert session.divergence(full, session.answer(everything, Sampling(max_new_tokens=2)).complete()) is None
    unread = session.answer(everything)
    assert session.divergence(full, unread) is None


def test_an_end_is_a_token_like_any_other(monkeypatch: pytest.MonkeyPatch) -> None:
    session = session_of("qwen")
    mask, full, kept = parted(session, 1.0)
    where = session.divergence(full, kept)
    ends = kept.chosen[where.position]
    monkeypatch.setattr(type(session.model.backbone), "stop_tokens", frozenset([ends]))
    if ends in kept.tokens[: where.position]:
        pytest.fail("choose another seed: the token stands earlier in the answer")
    ended = session.answer(mask, Sampling(max_new_tokens=8)).complete()
    assert ended.finished == "stop" and ended.chosen == [*kept.tokens[: where.position], ends]
    again = session.divergence(session.answer(None, Sampling(max_new_tokens=8)).complete(), ended)
    assert again.position == where.position
    assert (again.kept[0].stop, again.kept[0].text) == (True, "")
    assert not again.full[0].stop and again.full[0].text.strip() == str(full.tokens[where.position])
    assert again.to_dict()["kept"][0] == {
        "token_id": ends,
        "probability": again.kept[0].probability,
        "text": "",
        "stop": True,
    }


def test_the_text_before_is_what_both_say() -> None:
    class Stand:
        def __init__(self, tokens: list[int], candidates: list) -> None:
            self.tokens = self.chosen = tokens
            self.candidates = candidates

    def decode(tokens: list[int]) -> str:
        return "".join("abcd"[token] for token in tokens)

    one = [()] * 2 + [(decoding.Candidate(2, 0.75), decoding.Candidate(3, 0.25))]
    other = [()] * 2 + [(decoding.Candidate(3, 0.5),)]
    where = divergence(Stand([0, 1, 2], one), Stand([0, 1, 3], other), decode, frozenset([3]))
    assert (where.position, where.shared) == (2, "ab")
    assert [(token.text, token.stop) for token in (*where.full, *where.kept)] == [("c", False), ("", True), ("", True)]
