"""The demo base's fast forward is the stock model, and what it records is the stock model's attention."""

from dataclasses import replace

import pytest
import torch

from glimpse_core.training.demo_base.data import BaseBatch
from glimpse_core.training.demo_base.forward import forward
from glimpse_core.training.demo_base.losses import cover_loss, look_loss
from glimpse_core.training.demo_base.packing import Packer
from glimpse_core.training.demo_base.recipe import Supervision
from glimpse_core.training.demo_base.vision import encode_images, patches
from tests.support import oracle
from tests.support.demo_base import SIZES, any_batch, batch_of


def stock_logits(model, batch: BaseBatch, head: list[int], picture: int) -> torch.Tensor:
    """Answer every question of one picture alone, through transformers' own forward."""
    rows, columns = batch.pixels.shape[1] // 28, batch.pixels.shape[2] // 28
    pixels = patches(batch.pixels[picture : picture + 1])[0].view(-1, 3, 1, 14, 14)
    pixels = pixels.expand(-1, 3, 2, 14, 14).reshape(-1, 1176)
    image = model.config.image_token_id
    found = []
    for block in range(int(batch.block[picture].max()) + 1):
        own = batch.block[picture] == block
        ids = [*head, *[image] * (rows * columns), model.config.vision_end_token_id, *batch.ids[picture][own].tolist()]
        ids = torch.tensor([ids])
        logits = model(
            input_ids=ids,
            pixel_values=pixels,
            image_grid_thw=torch.tensor([[1, 2 * rows, 2 * columns]]),
            mm_token_type_ids=(ids == image).int(),
        ).logits[0]
        found.append(logits[-int(own.sum()) :][batch.targets[picture][own] != -100])
    return torch.cat(found)


@pytest.mark.parametrize(("width", "height"), SIZES)
@torch.no_grad()
def test_fast_forward_is_the_stock_model(model, packer: Packer, width: int, height: int) -> None:
    """Packed questions, padded windows and one patch projection change no number (392 is not a multiple of 112)."""
    batch = batch_of(packer, width, height)
    fast = forward(model, batch, packer.head(), Supervision((), (1, 2), (0, 2), (), (), (), 0))
    stock = torch.cat([stock_logits(model, batch, packer.head(), picture) for picture in range(len(batch.pixels))])
    assert fast.logits.shape == stock.shape and len(batch.pixels) >= 2
    assert (fast.logits - stock).abs().max() < 2e-5 * stock.abs().max()


@pytest.mark.parametrize("depth", [0, 2, 3])
@pytest.mark.parametrize(("width", "height"), [(336, 336), (504, 504)])
@torch.no_grad()
def test_a_training_question_loses_tokens_as_a_pruned_prompt_does(
    model, packer: Packer, depth: int, width: int, height: int
) -> None:
    """Against the slow oracle's masks in the stock model: question by question, all its answer's logits."""
    batch = any_batch(packer, width, height, seed=4, mode="all")
    head, image, tokens = packer.head(), model.config.image_token_id, batch.rows * batch.columns
    assert batch.dropped.any(-1)[batch.block >= 0].all()
    compared = 0
    for picture, block in ((0, 0), (0, 1), (len(batch.pixels) - 1, 2)):
        own = batch.block[picture] == block
        one = {name: getattr(batch, name)[picture][own][None] for name in ALL_QUESTIONS}
        gone = one["dropped"][0, 0]
        single = replace(batch, pixels=batch.pixels[picture][None], alone=gone[None], depth=depth, **one)
        fast = forward(model, single, head).logits
        ids = torch.tensor([[*head, *[image] * tokens, model.config.vision_end_token_id, *single.ids[0].tolist()]])
        kept = torch.ones_like(ids, dtype=torch.bool)
        kept[0, len(head) : len(head) + tokens] = ~gone
        visual, steps = encode_images(model, single.pixels)[0], int(single.answering.sum())
        stock = oracle.forced(model, ids, visual, kept, depth, steps)
        stock = stock[0, -int(own.sum()) :][single.targets[0] != -100]
        assert (fast - stock).abs().max() < 2e-5 * stock.abs().max()
        assert (fast - forward(model, replace(single, dropped=single.dropped & False), head).logits).abs().max() > 0.1
        compared += 1
    assert compared == 3


@torch.no_grad()
def test_tokens_that_nothing_sees_are_left_out_and_change_no_number(model, packer: Packer) -> None:
    """Against the same batch with one question more for each image, which keeps everything and is not answered."""
    batch = replace(any_batch(packer, 336, 336, seed=2, mode="all"), depth=2)
    supervision = Supervision((1,), (2, 3), (0, 2), (1,), (1,), (0, 1), 1)
    fast = forward(model, batch, packer.head(), supervision)
    unseen = batch.alone & (batch.dropped | (batch.block < 0)[..., None]).all(1)
    assert (unseen.sum(1) > 20).all() and len(set(unseen.sum(1).tolist())) > 1
    images, length = batch.ids.shape

    def longer(values: torch.Tensor, fill: int) -> torch.Tensor:
        return torch.cat([values, torch.full_like(values[:, :1], fill)], 1)

    names = {"ids": 5, "targets": -100, "block": 99, "offset": 0, "early": 0, "evidence": 0, "covered": 0, "dropped": 0}
    more = {name: longer(getattr(batch, name), fill) for name, fill in names.items()}
    slow = forward(model, replace(batch, answering=longer(batch.answering, 0), **more), packer.head(), supervision)
    torch.testing.assert_close(fast.logits, slow.logits, rtol=0, atol=1e-5)
    assert len(fast.masses) == 3 and len(fast.spreads) == 1
    for mine, theirs in zip(fast.masses + fast.spreads, slow.masses + slow.spreads, strict=True):
        torch.testing.assert_close(mine, theirs, rtol=0, atol=1e-6)
    real = batch.block >= 0  # padding sees whatever is there
    torch.testing.assert_close(fast.pointed[1][real], slow.pointed[1][:, :length][real], rtol=0, atol=1e-5)
    assert torch.equal(fast.relevance, slow.relevance) and images == len(unseen)


ALL_QUESTIONS = ("ids", "targets", "block", "offset", "early", "evidence", "points", "dropped", "answering")


@torch.no_grad()
def test_looked_is_the_attention_mass_on_the_evidence(model, packer: Packer) -> None:
    """Against transformers' own attention weights, one question at a time."""
    batch = batch_of(packer, 336, 336)
    rows = columns = 12
    head = packer.head()
    fast = forward(model, batch, head, Supervision((), (2,), (0, 2), (2,), (1, 2), (1, 2), 2))
    visual = encode_images(model, batch.pixels)
    model.set_attn_implementation("eager")
    masses, excesses, relevance = [], [], []
    for picture in range(len(batch.pixels)):
        for block in range(int(batch.block[picture].max()) + 1):
            own = batch.block[picture] == block
            end = [model.config.vision_end_token_id]
            ids = torch.tensor([[*head, *[model.config.image_token_id] * 144, *end, *batch.ids[picture][own].tolist()]])
            embeds = model.get_input_embeddings()(ids)
            embeds[0, len(head) : len(head) + rows * columns] = visual[picture]
            grid = torch.tensor([[1, 24, 24]])
            place, _ = model.model.get_rope_index(ids, (ids == model.config.image_token_id).int(), grid)
            out = model.model.language_model(inputs_embeds=embeds, position_ids=place, output_attentions=True)
            weights = out.attentions[2][0][[0, 2]][:, -int(own.sum()) :, len(head) : len(head) + 144]
            evidence = batch.evidence[picture][own]
            masses.append((weights * evidence).sum(-1)[:, evidence.any(-1)].flatten())
            asked = int((batch.targets[picture][own] != -100).int().argmax())
            all_evidence = batch.covered[picture][own][asked]
            assert not batch.covered[picture][own][:asked].any()
            assert not batch.covered[picture][own][asked + 1 :].any()
            if all_evidence.any():  # of uniform attention to the evidence against the real one
                whole = out.attentions[2][0][[1, 2]][:, -int(own.sum()) + asked, len(head) : len(head) + 144]
                excesses.append(-(whole[:, all_evidence] * all_evidence.sum()).log().mean(-1))
                both = torch.cat([out.attentions[layer][0] for layer in (1, 2)])[:, -int(own.sum()) + asked]
                both = both[:, len(head) : len(head) + 144]
                relevance.append((both / both.sum(-1, keepdim=True)).log().mT)
    model.set_attn_implementation("sdpa")
    expected = -torch.log(torch.cat(masses) + 1e-4).mean()
    assert abs(look_loss(fast.masses, visual) - expected) < 1e-4 * expected
    expected = torch.cat(excesses).mean()
    assert abs(cover_loss(fast.spreads, batch, visual) - expected) < 1e-3 * expected and len(excesses) > 5
    torch.testing.assert_close(fast.relevance, torch.stack(relevance), rtol=0, atol=2e-3)


def test_attention_to_all_tokens_is_only_recorded_before_some_are_lost(model, packer: Packer) -> None:
    batch = replace(any_batch(packer, 336, 336, mode="all"), depth=2)
    with torch.no_grad():
        some = forward(model, batch, packer.head(), Supervision((), (), (), (), (), (0, 1), 0)).relevance
        whole = replace(
            batch, dropped=batch.dropped & False, alone=batch.alone & False, answering=batch.answering & False
        )
        none = forward(model, whole, packer.head(), Supervision((), (), (), (), (), (0, 1), 0)).relevance
    assert batch.dropped[batch.covered.any(-1)].any() and torch.equal(some, none)
    for supervision in (Supervision((), (), (), (2,), (0,), (), 0), Supervision((), (), (), (), (), (1, 2), 0)):
        with pytest.raises(ValueError, match="before 2"):
            forward(model, batch, packer.head(), supervision)


def test_questions_of_a_picture_do_not_see_each_other(model, packer: Packer) -> None:
    batch = batch_of(packer, 336, 336)
    with torch.no_grad():
        before = forward(model, batch, packer.head()).logits
        first = (batch.targets[0] != -100)[batch.block[0] == 0].sum()
        batch.ids[0][batch.block[0] == 1] = 7
        after = forward(model, batch, packer.head()).logits
    assert torch.equal(before[:first], after[:first]) and not torch.allclose(before, after)
