"""Mistakes in GlimpsePrune+ that must be noticed: each is put into the running code, and a check must fail."""

from __future__ import annotations

from dataclasses import replace

import pytest
import torch

from glimpse_core.engine import prefix
from glimpse_core.models.adapter import Adapter
from glimpse_core.training.plus import learner, loss, pruned, rollout
from glimpse_core.training.plus.prompts import Asked
from glimpse_core.training.plus.rollout import Rollouts
from tests.support import plus, tiny
from tests.training.plus.test_trainer import odd, run

CLOSE = {"atol": 2e-4, "rtol": 1e-4}


@pytest.fixture(scope="module")
def trainer(tmp_path_factory):
    """A run whose adapter has learned something, whatever it was."""
    made = run(tmp_path_factory.mktemp("run"), sizes=replace(learner.LoraSizes(), rank=4, dropout=0.0))
    generator = torch.Generator().manual_seed(3)
    with torch.no_grad():
        for weight in made.weights:
            weight.copy_(torch.randn(weight.shape, generator=generator) * 0.1)
    return made


def check_lesson(trainer, mode="replay"):
    """All that one prompt gives, against the oracle and the formula. One answer is made to end early."""
    loaded, settings = trainer.prompts.model, replace(trainer.settings, logprobs=mode, limit=5)
    right = learner.sample

    def ending(*args):
        ids = right(*args).ids.clone()
        ids[1, 2] = min(loaded.backbone.stop_tokens)
        return Rollouts(ids, learner_mask(ids, loaded.backbone.stop_tokens))

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(learner, "sample", ending)
        asked: Asked = trainer.prompts.ask(trainer.prompts.read(0))
        lesson = learner.learn(trainer.prompts, asked, 0, odd, settings)
    lengths = [5, 3, 5, 5]
    assert lesson.mask.sum(1).tolist() == lengths
    question, ids = asked.question, lesson.rollouts.ids
    own = plus.policy(loaded.backbone, question, ids, mode)
    with trainer.prompts.adapter.peft.disable_adapter():
        other = plus.reference(loaded.backbone, question, ids, mode)
    torch.testing.assert_close(lesson.policy.double(), own, **CLOSE)
    torch.testing.assert_close(lesson.reference.double(), other, **CLOSE)
    total, kl, gains = plus.formula(own, other, lesson.rewards.tolist(), lengths)
    torch.testing.assert_close(lesson.advantage.double(), torch.tensor(gains), **CLOSE)
    assert float(lesson.loss.total.detach()) == pytest.approx(total, abs=1e-3)
    assert float(lesson.loss.kl.detach()) == pytest.approx(kl, abs=1e-3)


def learner_mask(ids, stop_tokens):
    """As `rollout.sample` makes it, mutations included."""
    return rollout.completion_mask(ids, stop_tokens)


def check_sampling(trainer):
    """What is drawn is drawn from everything: the rare half of the vocabulary comes up as often as it should."""
    logits = torch.randn(1, 320, generator=torch.Generator().manual_seed(0))
    chances = logits.softmax(-1)[0]
    drawn = rollout.draw(logits.expand(20_000, -1), torch.Generator().manual_seed(0))
    rare = chances < chances.median()
    assert float(rare[drawn].float().mean()) == pytest.approx(float(chances[rare].sum()), abs=0.01)


def reference_with_adapter(patch):
    patch.setattr(Adapter, "disabled", lambda self: torch.no_grad())


def first_token_of_the_policy_unpruned(patch):
    right = pruned.policy

    def policy(backbone, question, ids, mode, recompute):
        everything = replace(question, kept=torch.ones_like(question.kept))
        told, whole = (right(backbone, each, ids, mode, recompute) for each in (question, everything))
        return replace(told, logprobs=torch.cat([whole.logprobs[:, :1], told.logprobs[:, 1:]], dim=1))

    patch.setattr(learner, "policy", policy)


def first_token_of_the_reference_pruned(patch):
    def reference(backbone, question, ids, mode):
        with torch.no_grad():
            return pruned.policy(backbone, question, ids, mode).logprobs

    patch.setattr(learner, "reference", reference)


def end_token_masked_out(patch):
    right = loss.completion_mask

    def mask(ids, stop_tokens):
        return right(ids, stop_tokens) & ~torch.isin(ids, torch.tensor(sorted(stop_tokens)))

    patch.setattr(rollout, "completion_mask", mask)


def biased_deviation(patch):
    patch.setattr(learner, "advantages", lambda r: (r - r.mean()) / (r.std(correction=0) + loss.EPSILON))


def positions_renumbered(patch):
    right = prefix.keep
    patch.setattr(pruned, "keep", lambda given, kept: right(given, kept, positions="renumbered"))


def modes_exchanged(patch):
    right = pruned.policy
    other = {"replay": "upstream", "upstream": "replay"}
    patch.setattr(learner, "policy", lambda b, q, ids, mode, r: right(b, q, ids, other[mode], r))


def pruned_one_layer_late(patch):
    right = pruned._shared
    patch.setattr(pruned, "_shared", lambda b, q, run: right(b, replace(q, depth=q.depth + 1), run))


def tokens_shifted_by_one(patch):
    right = pruned.repeated

    def repeated(given, rows):
        found = right(given, rows)
        return replace(found, positions=found.positions + 1)

    patch.setattr(pruned, "repeated", repeated)


def mean_over_all_tokens(patch):
    right = loss.plus_loss

    def plus_loss(policy, reference, advantage, mask, kl_weight):
        found = right(policy, reference, advantage, mask, kl_weight)
        kl = loss.divergence(policy, reference)
        total = (-advantage[:, None] + kl_weight * kl)[mask].mean()
        return replace(found, total=total, kl=kl[mask].mean())

    patch.setattr(learner, "plus_loss", plus_loss)


def divergence_the_other_way(patch):
    right = loss.divergence
    patch.setattr(loss, "divergence", lambda policy, reference: right(reference, policy))


def truncated_sampling(patch):
    def draw(logits, generator):
        chances = logits.softmax(-1)
        ranked, ids = chances.sort(descending=True)
        ranked[ranked.cumsum(-1) - ranked >= 0.9] = 0
        return ids.gather(1, torch.multinomial(ranked, 1, generator=generator))[:, 0]

    patch.setattr(rollout, "draw", draw)


MUTATIONS = {
    reference_with_adapter: check_lesson,
    first_token_of_the_policy_unpruned: check_lesson,
    first_token_of_the_reference_pruned: check_lesson,
    end_token_masked_out: check_lesson,
    biased_deviation: check_lesson,
    positions_renumbered: check_lesson,
    modes_exchanged: check_lesson,
    pruned_one_layer_late: check_lesson,
    tokens_shifted_by_one: check_lesson,
    mean_over_all_tokens: check_lesson,
    divergence_the_other_way: check_lesson,
    truncated_sampling: check_sampling,
}


@pytest.mark.parametrize("mode", ("replay", "upstream"))
def test_without_a_mistake_the_checks_pass(trainer, mode):
    check_lesson(trainer, mode)
    check_sampling(trainer)


@pytest.mark.parametrize("mutation", MUTATIONS, ids=lambda mutation: mutation.__name__)
def test_the_mistake_is_noticed(trainer, mutation, monkeypatch):
    mutation(monkeypatch)
    with pytest.raises(AssertionError):
        MUTATIONS[mutation](trainer)


def test_the_group_shares_one_prefill(trainer, monkeypatch):
    """Every layer runs on the prompt once, however many answers are sampled from it."""
    asked, rows = trainer.prompts.ask(trainer.prompts.read(0)), []
    layer = trainer.prompts.model.backbone.text.layers[0]
    length = asked.question.prompt.input_ids.shape[1]
    hook = layer.register_forward_pre_hook(lambda module, args: rows.append(tuple(args[0].shape[:2])))
    try:
        rollout.sample(trainer.prompts.model.backbone, asked.question, 4, 3, torch.Generator().manual_seed(0))
    finally:
        hook.remove()
    assert rows == [(1, length), (4, 1), (4, 1)]
    assert tiny.CONFIG.keep_layer + 1 == asked.question.depth
