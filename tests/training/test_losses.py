"""Losses against hand-computed values and torch's own, and their edges."""

import math

import pytest
import torch

from glimpse_core.training.losses import (
    LossWeights,
    answer_loss,
    bce_loss,
    dice_loss,
    mask_loss,
    mask_losses,
    order_loss,
    ranking_loss,
    total_loss,
)


def test_dice_is_the_mean_over_samples_of_one_minus_the_soft_overlap():
    logits = [torch.tensor([0.0, 0.0]), torch.tensor([100.0, -100.0, -100.0])]
    masks = [torch.tensor([True, False]), torch.tensor([True, False, False])]
    # first sample: p = 0.5 each, overlap 2 * 0.5, denominator 1 + 1; second sample: perfect
    assert dice_loss(logits, masks).item() == pytest.approx((0.5 + 0.0) / 2, abs=1e-6)


def test_dice_of_an_empty_mask_asks_for_an_empty_prediction():
    nothing = torch.zeros(4, dtype=torch.bool)
    assert dice_loss([torch.full((4,), -100.0)], [nothing]).item() == pytest.approx(0.0, abs=1e-6)
    assert dice_loss([torch.zeros(4)], [nothing]).item() == pytest.approx(1.0, abs=1e-5)


def test_bce_weights_samples_not_tokens():
    logits, masks = [torch.zeros(2), torch.full((6,), 2.0)], [torch.ones(2), torch.ones(6)]
    assert bce_loss(logits, masks).item() == pytest.approx((math.log(2) + math.log1p(math.exp(-2))) / 2, abs=1e-6)


def test_rows_are_summed_and_parts_are_weighted():
    outputs, masks = [torch.tensor([[0.0, 0.0], [3.0, -3.0]])], [torch.tensor([1, 0])]
    losses = mask_losses(outputs, masks)
    assert len(losses.dice) == len(losses.bce) == 2
    expected = sum(losses.dice) + 0.1 * sum(losses.bce)
    assert mask_loss(losses).item() == pytest.approx(expected.item())
    weights = LossWeights(answer=2.0, mask=0.5)
    assert total_loss(torch.tensor(3.0), torch.tensor(4.0), weights).item() == pytest.approx(8.0)


@pytest.mark.parametrize("kind", ["hard", "graded", "one grade"])
def test_ranking_is_the_mean_over_pairs_with_different_grades(kind: str):
    """Against a loop over all pairs."""
    generator = torch.Generator().manual_seed(1)
    grades = {
        "hard": torch.tensor([1.0, 0, 0, 1, 0, 0, 0]),
        "graded": torch.tensor([1.0, 0.25, 0, 0.75, 0.25, 0, 0]),
        "one grade": torch.zeros(7),
    }[kind]
    logits = torch.randn(7, generator=generator, requires_grad=True)
    total, weight = 0.0, 0.0
    for i in range(7):
        for j in range(7):
            if grades[i] > grades[j]:
                gap = (grades[i] - grades[j]).item()
                total += gap * math.log1p(math.exp((logits[j] - logits[i]).item()))
                weight += gap
    found = ranking_loss([logits], [grades])
    assert found.item() == pytest.approx(total / weight if weight else 0.0, abs=1e-6)
    found.backward()
    assert logits.grad is not None and bool(logits.grad.abs().sum() > 0) == (kind != "one grade")
    both = ranking_loss([logits, torch.zeros(2)], [grades, torch.tensor([1.0, 0.0])])
    assert both.item() == pytest.approx((found.item() + math.log(2)) / 2, abs=1e-6)


def test_the_order_losses_count_by_their_weights_and_not_by_default():
    outputs = [torch.tensor([[5.0, 5.0, 5.0], [0.5, -1.0, 2.0]])]
    grades = [torch.tensor([1.0, 0.5, 0.0])]
    assert order_loss(outputs, grades, LossWeights()) == 0
    last = [outputs[0][1]]
    expected = 0.3 * ranking_loss(last, grades) + 0.7 * bce_loss(last, grades)
    found = order_loss(outputs, grades, LossWeights(rank=0.3, graded=0.7))
    assert found.item() == pytest.approx(expected.item(), abs=1e-6)


def test_the_answer_loss_shifts_and_ignores():
    logits = torch.randn(2, 4, 5, generator=torch.Generator().manual_seed(0))
    labels = torch.tensor([[-100, -100, 3, 1], [-100, -100, -100, 2]])
    picked = [logits[0, 1].log_softmax(-1)[3], logits[0, 2].log_softmax(-1)[1], logits[1, 2].log_softmax(-1)[2]]
    assert answer_loss(logits, labels).item() == pytest.approx(-sum(picked).item() / 3, abs=1e-6)


def test_half_precision_is_summed_in_float32():
    logits = torch.full((5000,), -6.0, dtype=torch.bfloat16)
    mask = torch.zeros(5000, dtype=torch.bool)
    assert bce_loss([logits], [mask]).dtype == torch.float32
    assert bce_loss([logits], [mask]).item() == pytest.approx(math.log1p(math.exp(-6)), rel=1e-4)


def test_mismatched_samples_are_refused():
    with pytest.raises(ValueError, match="one mask per sample"):
        dice_loss([torch.zeros(2)], [])
    with pytest.raises(ValueError, match="3 logits against a mask of 2"):
        bce_loss([torch.zeros(3)], [torch.zeros(2)])
    with pytest.raises(ValueError, match="output rows. Expected the same number"):
        mask_losses([torch.zeros(1, 2), torch.zeros(2, 2)], [torch.zeros(2), torch.zeros(2)])
