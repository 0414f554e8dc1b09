"""The demo base's training: its fast forward is the stock model, its data leak nothing, its trainer resumes."""

import math
import random
from dataclasses import asdict, replace

import numpy as np
import pytest
import torch
from tokenizers import Tokenizer

from glimpse_core.errors import GlimpseError
from glimpse_core.training.demo_base import model as demo_model
from glimpse_core.training.demo_base import trainer as demo_trainer
from glimpse_core.training.demo_base.curriculum import CURRICULUM, FURTHER, Stage, stage_at
from glimpse_core.training.demo_base.data import BaseBatch, make_batch, tokens_in
from glimpse_core.training.demo_base.forward import encode_images, forward, patches
from glimpse_core.training.demo_base.heads import DenseHeads, token_centers
from glimpse_core.training.demo_base.packing import Packer, choose_questions, dropping
from glimpse_core.training.demo_base.text import CHAT_TEMPLATE, SPECIAL, SYSTEM, train_tokenizer
from glimpse_core.training.demo_base.trainer import BaseSettings, BaseTrainer
from glimpse_core.types import Grid
from glimpse_core.world import questions, scene
from glimpse_core.world.vocabulary import ALPHABET, COLORS, KINDS
from tests.support import oracle


@pytest.fixture(scope="module")
def tokenizer() -> Tokenizer:
    return train_tokenizer()


@pytest.fixture(autouse=True)
def trained_once(tokenizer: Tokenizer, monkeypatch: pytest.MonkeyPatch) -> None:
    """Every new run gets the tokenizer that it would train: that takes two seconds and gives the same one."""
    monkeypatch.setattr(demo_trainer, "train_tokenizer", lambda: tokenizer)


@pytest.fixture(scope="module")
def packer(tokenizer: Tokenizer) -> Packer:
    return Packer(tokenizer)


@pytest.fixture(scope="module")
def model(tokenizer: Tokenizer):
    """A small random model whose attention is far from uniform and whose norms and biases do something."""
    model = demo_model.build(tokenizer, seed=3, text_layers=4)
    with torch.no_grad():
        for parameter in model.parameters():
            if parameter.ndim == 1:
                parameter.add_(torch.randn_like(parameter) * 0.2)
    return model.eval()


def batch_of(packer: Packer, width: int, height: int, seed: int = 0) -> BaseBatch:
    """A batch in which nothing is dropped."""
    batch = any_batch(packer, width, height, seed)
    return replace(batch, dropped=batch.dropped & False, alone=batch.alone & False)


def any_batch(packer: Packer, width: int, height: int, seed: int = 0) -> BaseBatch:
    batch = make_batch(packer, random.Random(seed), Stage(1, (width,), (3, 4)), budget=900)
    if width != height:  # make_batch draws both sides from one list; try until the wanted shape comes
        rng = random.Random(seed)
        while tuple(batch.pixels.shape[1:3]) != (height, width):
            batch = make_batch(packer, rng, Stage(1, (width, height), (3, 4)), budget=900)
    return batch


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


@pytest.mark.parametrize(("width", "height"), [(336, 336), (392, 336)])
@torch.no_grad()
def test_fast_forward_is_the_stock_model(model, packer: Packer, width: int, height: int) -> None:
    """Packed questions, padded windows and one patch projection change no number (392 is not a multiple of 112)."""
    batch = batch_of(packer, width, height)
    fast = forward(model, batch, packer.head(), (), (1, 2), (0, 3))
    stock = torch.cat([stock_logits(model, batch, packer.head(), picture) for picture in range(len(batch.pixels))])
    assert fast.logits.shape == stock.shape and len(batch.pixels) >= 2
    assert (fast.logits - stock).abs().max() < 2e-5 * stock.abs().max()


@pytest.mark.parametrize("depth", [0, 2, 3])
@torch.no_grad()
def test_a_training_question_loses_tokens_as_a_pruned_prompt_does(model, packer: Packer, depth: int) -> None:
    """Against the slow oracle's masks in the stock model: question by question, all its answer's logits."""
    batch = any_batch(packer, 336, 336, seed=4)
    head, image, tokens = packer.head(), model.config.image_token_id, 144
    lost = batch.dropped.any(-1).any(-1).nonzero().flatten().tolist()
    assert lost
    compared = 0
    for picture in lost:
        block = int(batch.block[picture][batch.dropped[picture].any(-1)][0])
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
    assert compared >= 2


ALL_QUESTIONS = ("ids", "targets", "block", "offset", "early", "evidence", "points", "dropped", "answering")


def test_a_question_loses_little_of_its_evidence_no_letter_and_never_everything(packer: Packer) -> None:
    some, none, lost, evidence = 0, 0, 0, 0
    for seed in range(12):
        batch = any_batch(packer, 336, 336, seed)
        letters = batch.dense[:, None, :, 2] > 0
        assert not (batch.dropped & batch.evidence & letters).any() and not batch.dropped.all(-1).any()
        pruned = batch.dropped.any(-1, keepdim=True) & ~letters
        lost += int((batch.dropped & batch.evidence & pruned).sum())
        evidence += int((batch.evidence & pruned).sum())
        some += int(batch.dropped.any(-1).sum())
        none += int(((batch.block >= 0) & ~batch.dropped.any(-1)).sum())
    assert 0.2 < some / (some + none) < 0.6
    assert 0.03 < lost / evidence < 0.15


def test_some_questions_keep_whole_things_that_are_no_evidence_mostly_close_ones() -> None:
    grid, classes, rng = Grid(4, 40), np.zeros((160, 4), int), random.Random(0)
    things = [(place / 10, 0.0, (place + 1) / 10, 1.0) for place in range(10)]  # in a row, 16 tokens each

    def whole(others: list) -> tuple[int, list[int]]:
        """How many questions lost tokens, and how often each other thing was kept whole then."""
        pruned, kept = 0, [0] * 9
        for _ in range(1500):
            lost = dropping(things[:1], classes, grid, rng, others).reshape(4, 10, 4)
            pruned += bool(lost.any())
            kept = [have + (lost.any() and not lost[:, place].any()) for place, have in enumerate(kept, 1)]
        return pruned, kept

    pruned, kept = whole(things)
    assert 0.45 < pruned / 1500 < 0.55
    assert 0.5 < sum(kept) / pruned < 1.0, (
        "half of them keep one to three, the evidence itself among those to choose from"
    )
    assert sum(kept[:5]) / 5 > 1.5 * sum(kept[5:]) / 4
    assert whole([])[1] == [0] * 9


@torch.no_grad()
def test_looked_is_the_attention_mass_on_the_evidence(model, packer: Packer) -> None:
    """Against transformers' own attention weights, one question at a time."""
    batch = batch_of(packer, 336, 336)
    rows = columns = 12
    head = packer.head()
    fast = forward(model, batch, head, (), (2,), (0, 3), (2,), (1, 4), (1, 2))
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
            weights = out.attentions[2][0][[0, 3]][:, -int(own.sum()) :, len(head) : len(head) + 144]
            evidence = batch.evidence[picture][own]
            masses.append((weights * evidence).sum(-1)[:, evidence.any(-1)].flatten())
            asked = int((batch.targets[picture][own] != -100).int().argmax())
            all_evidence = batch.covered[picture][own][asked]
            assert not batch.covered[picture][own][:asked].any()
            assert not batch.covered[picture][own][asked + 1 :].any()
            if all_evidence.any():  # of uniform attention to the evidence against the real one
                whole = out.attentions[2][0][[1, 4]][:, -int(own.sum()) + asked, len(head) : len(head) + 144]
                excesses.append(-(whole[:, all_evidence] * all_evidence.sum()).log().mean(-1))
                both = torch.cat([out.attentions[layer][0] for layer in (1, 2)])[:, -int(own.sum()) + asked]
                both = both[:, len(head) : len(head) + 144]
                relevance.append((both / both.sum(-1, keepdim=True)).log().mT)
    model.set_attn_implementation("sdpa")
    expected = -torch.log(torch.cat(masses) + 1e-4).mean()
    assert abs(fast.looked - expected) < 1e-4 * expected
    expected = torch.cat(excesses).mean()
    assert abs(fast.covered - expected) < 1e-3 * expected and len(excesses) > 5
    torch.testing.assert_close(fast.relevance, torch.stack(relevance), rtol=0, atol=2e-3)


def test_attention_is_scored_before_a_question_loses_tokens(model, packer: Packer) -> None:
    """What a pruned question loses in layer `depth` is scored there nevertheless: it is the scores that decide."""
    batch = replace(any_batch(packer, 336, 336), depth=2)
    with torch.no_grad():
        some = forward(model, batch, packer.head(), mask_layers=(1, 2)).relevance
        none = forward(
            model, replace(batch, dropped=batch.dropped & False), packer.head(), mask_layers=(1, 2)
        ).relevance
    assert batch.dropped[batch.covered.any(-1)].any() and torch.equal(some, none)


def test_mask_loss_is_the_predictors_and_reaches_the_base(model, packer: Packer) -> None:
    batch = batch_of(packer, 336, 336)
    heads = DenseHeads(packer, model.config.text_config.hidden_size, channels=3)
    wished = batch.covered[batch.covered.any(-1)]
    scores = torch.randn(*wished.shape, 3, requires_grad=True)
    shares = (scores + math.log(wished.shape[1])) / 4
    logits = heads.relevance(shares)[..., 0]
    chance, target = logits.sigmoid(), wished.float()
    overlap = 2 * (chance * target).sum(1) / (chance.sum(1) + target.sum(1))
    surprise = -(target * chance.log() + (1 - target) * (1 - chance).log()).mean(1)
    loss = heads.mask(scores, batch)
    torch.testing.assert_close(loss, (1 - overlap + surprise).mean())
    loss.backward()
    assert (scores.grad.abs().sum((1, 2)) > 0).all()
    assert heads.mask(scores[:0], batch) == 0 == DenseHeads(packer, 8).mask(scores, batch)


@pytest.mark.parametrize("name", ["look", "cover", "mask", "dense", "locate"])
def test_every_loss_counts_by_its_weight(tmp_path, name: str) -> None:
    layers = {"early_layers": (0,), "look_layers": (1,), "cover_layers": (1,), "mask_layers": (1,)}
    totals, parts = [], {}
    for weight in (0.0, 2.0):
        settings = BaseSettings(**{**SMALL, **layers, "locate_after": 1, f"{name}_weight": weight})
        trainer = BaseTrainer(tmp_path, settings)
        batch = make_batch(trainer.packer, random.Random(0), Stage(1, (336,), (3, 4)), 700)
        torch.manual_seed(0)
        for parameter in trainer.heads.parameters():
            torch.nn.init.normal_(parameter, std=0.05)
        with torch.no_grad():
            total, parts = trainer.losses(batch, dense_only=False)
        totals.append(total.item())
    part = parts[name] + (parts["point"] if name == "locate" else 0)
    assert part > 0.01 and totals[1] - totals[0] == pytest.approx(2 * part, rel=1e-3)


def test_questions_of_a_picture_do_not_see_each_other(model, packer: Packer) -> None:
    batch = batch_of(packer, 336, 336)
    with torch.no_grad():
        before = forward(model, batch, packer.head()).logits
        first = (batch.targets[0] != -100)[batch.block[0] == 0].sum()
        batch.ids[0][batch.block[0] == 1] = 7
        after = forward(model, batch, packer.head()).logits
    assert torch.equal(before[:first], after[:first]) and not torch.allclose(before, after)


def test_targets_are_the_answer_and_evidence_stands_before_the_word(packer: Packer) -> None:
    picture = scene(3)
    rows, columns = picture.height // 28, picture.width // 28
    for question in questions(picture):
        ids, targets, early, evidence = packer.pack(question, question.text, rows, columns)
        answer = [target for target in targets if target != -100]
        assert packer.tokenizer.decode(answer) == question.answer
        assert answer[-1] == packer.end[0] and len(ids) == len(targets) == len(early) == len(evidence)
        for place, target in enumerate(targets[:-1]):
            if target != -100:
                assert ids[place + 1] == target  # the row before a word predicts it
        if question.type == "color":
            word = packer.encode(f" {picture_color(question.answer)}")[0]
            assert evidence[targets.index(word)] == question.boxes


def picture_color(answer: str) -> str:
    return answer.removeprefix("It is ").rstrip(".")


def test_every_letter_and_every_thing_has_a_token_of_its_own() -> None:
    for seed in range(30):
        picture = scene(seed)
        rows, columns = picture.height // 28, picture.width // 28
        for thing in picture.things:
            for box in (thing.body, *thing.letter_boxes):
                assert tokens_in((picture.normalized(box),), rows, columns).any()


def test_words_and_letters_of_the_world_are_single_tokens(packer: Packer) -> None:
    for text in [f" {word}" for word in (*KINDS, *COLORS)] + list(ALPHABET):
        assert len(packer.encode(text)) == 1, text
    assert len(packer.encode("It says KX47.")) == len(packer.encode("It says .")) + 4


@pytest.mark.parametrize("text", ["", " ", "中文 😀", "\x00\n\t", "a" * 3000, "<|image_pad|>", "Größe?"])
def test_any_text_survives_the_tokenizer(packer: Packer, text: str) -> None:
    assert packer.tokenizer.decode(packer.encode(text), skip_special_tokens=False) == text


def test_chat_template_equals_the_packed_prompt(tokenizer: Tokenizer, packer: Packer) -> None:
    """What a session sends through the template is what training packs by hand."""
    from jinja2 import Environment

    content = [{"type": "image"}, {"type": "text", "text": "Is there a hat?"}]
    text = (
        Environment()
        .from_string(CHAT_TEMPLATE)
        .render(messages=[{"role": "user", "content": content}], add_generation_prompt=True)
    )
    by_hand = [*packer.head(), tokenizer.token_to_id("<|image_pad|>"), *packer.encode("<|vision_end|>")]
    assert tokenizer.encode(text).ids == by_hand + packer.tail("Is there a hat?")
    assert SYSTEM in text and all(tokenizer.token_to_id(token) is not None for token in SPECIAL)


def test_training_pictures_are_never_held_out_and_types_are_mixed(packer: Packer, monkeypatch) -> None:
    from glimpse_core.training.demo_base import data as base_data

    seen: list[int] = []
    monkeypatch.setattr(base_data, "draw_scene", lambda seed, **options: (seen.append(seed), scene(seed, **options))[1])
    for seed in range(20):
        make_batch(packer, random.Random(seed), CURRICULUM[-1], budget=1500)
    assert seen and max(seen) < 10_000_000
    kinds = {q.type for seed in range(60) for q in choose_questions(scene(seed), random.Random(seed))}
    assert {"read", "scene", "relation", "absent", "strange"} <= kinds


def test_curriculum_covers_the_run() -> None:
    assert stage_at(0.0).dense_only and not stage_at(0.5).dense_only and stage_at(1.0) is CURRICULUM[-1]
    assert not any(stage_at(done, FURTHER).dense_only for done in (0.0, 0.5, 1.0))


def test_token_centers_are_in_the_middle_of_tokens(packer: Packer) -> None:
    batch = batch_of(packer, 392, 336)
    centers = token_centers(batch)[0]
    assert centers[0].tolist() == [0.5, 0.5] and centers[14].tolist() == [0.5, 1.5]
    background = batch.dense[..., 0] == 0
    assert torch.equal(batch.centers[background], centers.expand_as(batch.centers)[background])


SMALL = {
    "text_layers": 2,
    "early_layers": (),
    "look_layers": (),
    "cover_layers": (),
    "mask_layers": (),
    "workers": 0,
    "threads": 1,
}


def test_trainer_learns_saves_and_resumes(tmp_path) -> None:
    settings = BaseSettings(
        steps=6,
        budget=700,
        text_layers=4,
        early_layers=(),
        look_layers=(1,),
        cover_layers=(1,),
        mask_layers=(0, 1),
        warmup=2,
        workers=0,
        threads=1,
    )
    trainer = BaseTrainer(tmp_path, settings)
    batch = make_batch(trainer.packer, random.Random(0), Stage(1, (336,), (3, 4)), 700)
    losses = []
    for _ in range(8):
        total, _ = trainer.losses(batch, dense_only=False)
        trainer.optimizer.zero_grad()
        total.backward()
        trainer.optimizer.step()
        losses.append(total.item())
    assert losses[-1] < 0.7 * losses[0]
    trainer.train(every=2, save_every=100)
    assert trainer.step == 6 and (tmp_path / "model" / "model.safetensors").exists()
    lines = (tmp_path / "log.jsonl").read_text().splitlines()
    assert len(lines) == 3
    again = BaseTrainer(tmp_path, settings)
    assert again.resume() and again.step == 6
    mine, theirs = trainer.model.state_dict(), again.model.state_dict()
    assert all(torch.equal(mine[name], theirs[name]) for name in mine)


def test_a_run_can_start_from_a_saved_model(tmp_path) -> None:
    settings = BaseSettings(**SMALL)
    first = BaseTrainer(tmp_path / "first", settings)
    demo_model.save(first.model, first.tokenizer, tmp_path / "saved")
    second = BaseTrainer(tmp_path / "second", BaseSettings(**{**asdict(settings), "seed": 9}))
    second.start_from(tmp_path / "saved")
    mine, theirs = first.model.state_dict(), second.model.state_dict()
    assert all(torch.equal(mine[name].bfloat16(), theirs[name].bfloat16()) for name in mine)
    other = BaseTrainer(tmp_path / "third", BaseSettings(**{**asdict(settings), "text_layers": 3}))
    with pytest.raises(GlimpseError, match="layers.2"):
        other.start_from(tmp_path / "saved")


def test_a_run_can_start_from_another_run(tmp_path) -> None:
    """With the heads, but on a schedule of its own; and it resumes as what it was."""
    settings = BaseSettings(**SMALL)
    first = BaseTrainer(tmp_path / "first", settings)
    for parameter in first.parameters:
        parameter.grad = torch.ones_like(parameter)
    first.optimizer.step()
    first.step = 7
    first.checkpoint()
    slow = BaseSettings(**{**asdict(settings), "seed": 9, "vision_rate": 0.25})
    second = BaseTrainer(tmp_path / "second", slow)
    second.start_from(tmp_path / "first")
    assert second.step == 0 and second.curriculum is FURTHER
    for mine, theirs in ((first.model, second.model), (first.heads, second.heads)):
        assert all(torch.equal(mine.state_dict()[name], theirs.state_dict()[name]) for name in mine.state_dict())
    shares = {group["share"]: {id(p) for p in group["params"]} for group in second.optimizer.param_groups}
    assert shares[0.25] <= {id(p) for p in second.model.model.visual.parameters()}
    kept = second.optimizer.state[second.parameters[0]]["exp_avg"]
    assert kept.abs().sum() > 0 and torch.equal(kept, first.optimizer.state[first.parameters[0]]["exp_avg"])
    reading = BaseTrainer(tmp_path / "third", BaseSettings(**{**SMALL, "mask_layers": (1,)}))
    with pytest.raises(GlimpseError, match="begin with .*first.model"):
        reading.start_from(tmp_path / "first")
    other = BaseTrainer(tmp_path / "first", reading.settings)
    with pytest.raises(GlimpseError, match="other losses"):
        other.resume()
    second.checkpoint()
    again = BaseTrainer(tmp_path / "second", slow)
    assert again.resume() and again.curriculum is FURTHER


def test_word_classes_must_be_single_tokens(tokenizer: Tokenizer, monkeypatch) -> None:
    from glimpse_core.training.demo_base import heads as base_heads

    monkeypatch.setattr(base_heads, "KINDS", ("house", "locomotive"))
    with pytest.raises(ValueError, match="locomotive"):
        DenseHeads(Packer(tokenizer), 32)


def test_saved_folder_loads_as_a_stock_checkpoint(tokenizer: Tokenizer, tmp_path) -> None:
    from transformers import AutoTokenizer, Qwen2_5_VLForConditionalGeneration

    model = demo_model.build(tokenizer, text_layers=2)
    demo_model.save(model, tokenizer, tmp_path)
    loaded, report = Qwen2_5_VLForConditionalGeneration.from_pretrained(tmp_path, output_loading_info=True)
    assert not report["missing_keys"] and not report["unexpected_keys"]
    assert loaded.config.text_config.tie_word_embeddings
    text = AutoTokenizer.from_pretrained(tmp_path)
    assert text("Is there a hat? 中").input_ids == tokenizer.encode("Is there a hat? 中").ids
    assert text.eos_token == "<|im_end|>"
