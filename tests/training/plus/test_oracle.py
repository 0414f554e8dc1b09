"""Log-probabilities of GlimpsePrune+ against the slow oracle; loss and gradients against the formula."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from glimpse_core.glimpse.boxes import box_mask
from glimpse_core.training.plus import loss, pruned, rollout
from glimpse_core.training.plus.pruned import Question
from tests.support import plus, tiny, tiny_llava

MODELS = {"qwen": tiny.model, "llava": tiny_llava.model}
MODES = ("replay", "upstream")
LIMIT = 5


@pytest.fixture(scope="module", params=MODELS)
def asked(request):
    """A model with a random adapter and a question; four answers of random ids."""
    loaded = MODELS[request.param]()
    backbone, adapter = plus.adapted(loaded)
    question = plus.question(loaded, backbone)
    ids = torch.randint(0, 200, (4, LIMIT), generator=torch.Generator().manual_seed(5))
    return backbone, adapter, question, ids


def masks(question: Question) -> dict[str, torch.Tensor]:
    """Kept tokens: those of boxes, of a predictor (any set, here random), all, and none."""
    (grid,) = question.prompt.grids
    boxes = box_mask([(0.1, 0.3, 0.6, 0.7)], grid)
    return {"boxes": boxes, "glimpse": question.kept, "full": torch.ones_like(boxes), "none": torch.zeros_like(boxes)}


def with_mask(question: Question, name: str) -> Question:
    return Question(question.prompt, question.vision, masks(question)[name], question.depth)


@pytest.mark.parametrize("kept", ("boxes", "glimpse", "full", "none"))
@pytest.mark.parametrize("mode", MODES)
def test_log_probabilities_are_the_oracles(asked, mode, kept):
    backbone, adapter, question, ids = asked
    question = with_mask(question, kept)
    with torch.no_grad():
        ours = pruned.policy(backbone, question, ids, mode).logprobs
    expected = plus.policy(backbone, question, ids, mode)
    torch.testing.assert_close(ours[:, :1].double(), expected[:, :1], atol=2e-4, rtol=1e-4)
    torch.testing.assert_close(ours[:, 1:].double(), expected[:, 1:], atol=2e-4, rtol=1e-4)
    with adapter.disabled():
        ours_ref = pruned.reference(backbone, question, ids, mode)
        expected_ref = plus.reference(backbone, question, ids, mode)
    torch.testing.assert_close(ours_ref.double(), expected_ref, atol=2e-4, rtol=1e-4)
    assert (ours_ref - ours).abs().max() > 0.05, "the adapter does too little to tell"


def test_the_modes_differ_after_the_first_token_and_agree_without_pruning(asked):
    backbone, _, question, ids = asked
    with torch.no_grad():
        replay, upstream = (pruned.policy(backbone, question, ids, mode).logprobs for mode in MODES)
        assert torch.equal(replay[:, 0], upstream[:, 0])
        assert (replay[:, 1:] - upstream[:, 1:]).abs().max() > 0.02
        everything = with_mask(question, "full")
        replay, upstream = (pruned.policy(backbone, everything, ids, mode).logprobs for mode in MODES)
    torch.testing.assert_close(replay, upstream, atol=2e-4, rtol=1e-4)


def test_replay_is_the_distribution_that_was_sampled_from(asked):
    """The log-probabilities of the ids, noted while they were drawn."""
    backbone, _, question, _ = asked
    seen, right = [], rollout.draw

    def noting(logits, generator):
        ids = right(logits, generator)
        seen.append(logits.log_softmax(-1).gather(1, ids[:, None]))
        return ids

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(rollout, "draw", noting)
        sampled = rollout.sample(backbone, question, 4, LIMIT, torch.Generator().manual_seed(1))
    with torch.no_grad():
        told = pruned.policy(backbone, question, sampled.ids).logprobs
    torch.testing.assert_close(torch.cat(seen, dim=1), told, atol=2e-4, rtol=1e-4)


def test_sampling_draws_from_the_whole_distribution(asked):
    """Frequencies of the first token over many draws, the rare half of the vocabulary included."""
    backbone, _, question, _ = asked
    first = pruned.pruned_prompt(backbone, question)
    with torch.no_grad():
        logits = backbone.next_logits(first.hidden) * 0.3  # flatter, so that rare tokens occur
    chances = logits.softmax(-1)[0]
    drawn = rollout.draw(logits.expand(20_000, -1), torch.Generator().manual_seed(0))
    counts = torch.bincount(drawn, minlength=len(chances)).float()
    rare = chances < chances.median()
    share = float(chances[rare].sum())
    assert share > 0.02
    assert float(counts[rare].sum() / counts.sum()) == pytest.approx(share, abs=0.01)


def test_an_answer_counts_up_to_its_first_end_token():
    ids = torch.tensor([[7, 9, 7, 9], [9, 7, 7, 7], [7, 7, 7, 7]])
    mask = loss.completion_mask(ids, frozenset({9}))
    assert mask.int().tolist() == [[1, 1, 0, 0], [1, 0, 0, 0], [1, 1, 1, 1]]
    found = rollout.Rollouts(ids, mask).answers(frozenset({9}))
    assert found == [[7], [], [7, 7, 7, 7]]


def some(rewards=(1.0, 0.0, 0.5, 0.0)):
    generator = torch.Generator().manual_seed(0)
    own, other = (torch.randn(4, 6, generator=generator, dtype=torch.float64) - 2 for _ in range(2))
    mask = torch.arange(6) < torch.tensor([6, 2, 1, 4])[:, None]
    return own, other, torch.tensor(rewards, dtype=torch.float64), mask


def check_formula():
    own, other, rewards, mask = some()
    found = loss.plus_loss(own, other, loss.advantages(rewards), mask)
    expected, kl, gains = plus.formula(own, other, rewards.tolist(), mask.sum(1).tolist())
    assert np.allclose(loss.advantages(rewards), gains, atol=1e-12)
    assert float(found.total) == pytest.approx(expected, abs=1e-12)
    assert float(found.kl) == pytest.approx(kl, abs=1e-12)


def test_advantages_divergence_and_loss_are_the_formulas():
    check_formula()


def test_the_gradient_of_the_loss_is_the_policy_gradients():
    """By hand: d/dl of one token is (-A + 0.04 (1 - exp(ref - l))) / (tokens of the row * rows)."""
    own, other, rewards, mask = some()
    own.requires_grad_(True)
    gains = loss.advantages(rewards)
    loss.plus_loss(own, other, gains, mask).total.backward()
    expected = (
        (-gains[:, None] + 0.04 * (1 - (other - own.detach()).exp())) * mask.double() / mask.sum(1, keepdim=True) / 4
    )
    torch.testing.assert_close(own.grad, expected)


def test_equal_rewards_leave_only_the_divergence():
    own, other, rewards, mask = some((0.5, 0.5, 0.5, 0.5))
    own.requires_grad_(True)
    gains = loss.advantages(rewards)
    assert torch.equal(gains, torch.zeros_like(gains))
    (only_kl,) = torch.autograd.grad(loss.plus_loss(own, other, gains, mask).total, own)
    (kl,) = torch.autograd.grad(0.04 * loss.plus_loss(own, other, gains, mask).kl, own)
    torch.testing.assert_close(only_kl, kl)
    (none,) = torch.autograd.grad(loss.plus_loss(own, other, gains, mask, kl_weight=0.0).total, own)
    assert float(none.abs().max()) == 0.0


@pytest.fixture(scope="module")
def wide():
    """The tiny model in float64."""
    loaded = tiny.model()
    backbone, adapter = plus.adapted(loaded, torch.float64, rank=2)
    ids = torch.randint(0, 200, (3, 4), generator=torch.Generator().manual_seed(6))
    return backbone, adapter, plus.question(loaded, backbone, size=(56, 56)), ids


@pytest.mark.parametrize("mode", MODES)
@pytest.mark.parametrize("recompute", (False, True))
def test_gradients_are_finite_differences(wide, mode, recompute):
    """Of the advantage's term, whose value does not change, as the gradient of A times the log-probabilities."""
    backbone, adapter, question, ids = wide
    with adapter.disabled():
        reference = pruned.reference(backbone, question, ids, mode)
    gains = loss.advantages(torch.tensor([1.0, 0.0, 0.0], dtype=torch.float64))
    mask = torch.arange(4) < torch.tensor([4, 2, 3])[:, None]
    weights = list(adapter.parameters.values())
    generator = torch.Generator().manual_seed(7)
    ways = [torch.randn(weight.shape, generator=generator, dtype=torch.float64) for weight in weights]

    own = pruned.policy(backbone, question, ids, mode, recompute).logprobs
    found = torch.autograd.grad(loss.plus_loss(own, reference, gains, mask).total, weights)
    slope = float(sum((gradient * way).sum() for gradient, way in zip(found, ways, strict=True)))

    def value(step: float) -> float:
        with torch.no_grad():
            for weight, way in zip(weights, ways, strict=True):
                weight.add_(way, alpha=step)
            own = plus.policy(backbone, question, ids, mode)
            for weight, way in zip(weights, ways, strict=True):
                weight.add_(way, alpha=-step)
        # Of the first term: minus the advantage times the log-probability has the same gradient.
        per_token = -own * gains[:, None] + 0.04 * loss.divergence(own, reference)
        return float(((per_token * mask.double()).sum(1) / mask.sum(1)).mean())

    assert all(gradient.abs().max() > 0 for gradient in found)
    assert slope == pytest.approx((value(1e-5) - value(-1e-5)) / 2e-5, rel=1e-5)
