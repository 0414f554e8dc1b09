"""The demo base's losses, heads and trainer: every loss counts by its weight, a run learns, saves and resumes."""

import math
import random
from dataclasses import replace

import pytest
import torch
from tokenizers import Tokenizer

from glimpse_core.errors import GlimpseError
from glimpse_core.training.demo_base import model as demo_model
from glimpse_core.training.demo_base.data import make_batch
from glimpse_core.training.demo_base.forward import forward
from glimpse_core.training.demo_base.heads import DenseHeads
from glimpse_core.training.demo_base.packing import Packer
from glimpse_core.training.demo_base.probe import probe
from glimpse_core.training.demo_base.recipe import BASE, Recipe, Shape, Stage, Supervision, Weights
from glimpse_core.training.demo_base.trainer import BaseTrainer
from tests.support.demo_base import SHAPE, any_batch, batch_of

TINY = Stage(10, (336,), (3, 4), (504,), layers=2)
SUPERVISED = Supervision((0,), (1,), (0,), (1,), (1,), (0, 1), 1, (2,))
SMALL = Recipe(SHAPE, (TINY,), SUPERVISED, minutes=10, decay_from=5, budget=700, warmup=2)


def test_mask_loss_is_the_predictors_and_reaches_the_base(model, packer: Packer) -> None:
    batch = batch_of(packer, 336, 336)
    heads = DenseHeads(packer, model.config.text_config.hidden_size, channels=3)
    expected = batch.covered[batch.covered.any(-1)]
    scores = torch.randn(*expected.shape, 3, requires_grad=True)
    shares = (scores + math.log(expected.shape[1])) / 4
    logits = heads.relevance(shares)[..., 0]
    chance, target = logits.sigmoid(), expected.float()
    overlap = 2 * (chance * target).sum(1) / (chance.sum(1) + target.sum(1))
    surprise = -(target * chance.log() + (1 - target) * (1 - chance).log()).mean(1)
    loss = heads.mask(scores, batch)
    torch.testing.assert_close(loss, (1 - overlap + surprise).mean())
    loss.backward()
    assert (scores.grad.abs().sum((1, 2)) > 0).all()
    assert heads.mask(scores[:0], batch) == 0 == DenseHeads(packer, 8).mask(scores, batch)


@pytest.mark.parametrize(("width", "height"), [(336, 336), (504, 504)])
@torch.no_grad()
def test_words_are_scored_against_the_embeddings_where_a_character_is(
    model, packer: Packer, width: int, height: int
) -> None:
    batch = batch_of(packer, width, height)
    heads = DenseHeads(packer, SHAPE.width)
    hidden, words = torch.randn(*batch.dense.shape[:2], SHAPE.width), model.get_input_embeddings()
    expected = 0.0
    shown = [(picture, place) for picture, place in (batch.dense[..., 5] > 0).nonzero().tolist()]
    assert shown
    for column, read in ((5, heads.words.read["first_word"]), (6, heads.words.read["second_word"])):
        surprises = []
        for picture, place in shown:
            x = hidden[picture, place] * hidden[picture, place].square().mean().rsqrt()
            scores = words.weight.float() @ read(x)
            if target := int(batch.dense[picture, place, column]):
                surprises.append(float(scores.logsumexp(0) - scores[target]))
            if column == 5:
                order = heads.words.order(x)
                expected += 0.3 * float(order.logsumexp(0) - order[batch.dense[picture, place, 4]]) / len(shown)
        expected += 0.5 * sum(surprises) / max(1, len(surprises))
    assert heads.words(hidden, batch, words)[0].item() == pytest.approx(expected, rel=1e-4)


@pytest.mark.parametrize("name", ["look", "cover", "mask", "dense", "words", "locate"])
def test_every_loss_counts_by_its_weight(tmp_path, name: str) -> None:
    totals, parts = [], {}
    for weight in (0.0, 2.0):
        trainer = BaseTrainer(tmp_path, replace(SMALL, weights=replace(Weights(), **{name: weight})), workers=0)
        batch = make_batch(trainer.packer, random.Random(0), replace(TINY, pages=0.0), 700, (2,))
        torch.manual_seed(0)
        for parameter in trainer.heads.parameters():
            torch.nn.init.normal_(parameter, std=0.05)
        with torch.no_grad():
            total, parts = trainer.losses(batch, dense_only=False)
        totals.append(total.item())
    part = {"locate": parts["locate"] + parts["point"], "words": parts["word"] + parts["later_word"]}.get(
        name, parts.get(name, 0)
    )
    assert part > 0.01 and totals[1] - totals[0] == pytest.approx(2 * part, rel=1e-3)


def test_the_recipe_supervises_layers_that_exist_before_tokens_are_lost() -> None:
    stages, supervision = BASE.stages, BASE.supervision
    alone = [stage.dense_only for stage in stages]
    assert alone[0] and alone == sorted(alone, reverse=True) and not alone[-1]
    assert [stage.until for stage in stages] == sorted(stage.until for stage in stages)
    assert BASE.stage_at(0) is stages[0] and BASE.stage_at(stages[0].until) is stages[1]
    assert BASE.stage_at(BASE.minutes + 1) is stages[-1] and stages[-1].until == BASE.minutes > BASE.decay_from
    assert max(*supervision.cover_layers, *supervision.mask_layers) < min(supervision.depths)
    assert max(*supervision.look_layers, *supervision.depths) < min(stage.layers for stage in stages)
    assert [stage.layers for stage in stages] == sorted(stage.layers for stage in stages)
    k = min(supervision.depths) - 1
    assert k + 1 <= -(-stages[-1].layers // 3)
    assert max(*supervision.look_heads, *supervision.cover_heads) < BASE.shape.width // 32


def test_trainer_learns_saves_and_resumes(tmp_path) -> None:
    trainer = BaseTrainer(tmp_path, SMALL, workers=0)
    batch = make_batch(trainer.packer, random.Random(0), replace(TINY, pages=0.0), 700, (2,))
    losses = []
    for _ in range(8):
        total, _ = trainer.losses(batch, dense_only=False)
        total.backward()
        trainer.optimizer.step(0.5)
        losses.append(total.item())
    assert losses[-1] < 0.8 * losses[0]
    trainer.train(steps=25)
    assert trainer.step == 25 and trainer.minute > 0 and (tmp_path / "model" / "model.safetensors").exists()
    assert len((tmp_path / "log.jsonl").read_text().splitlines()) == 1
    again = BaseTrainer(tmp_path, SMALL, workers=0)
    assert again.resume() and (again.step, again.minute) == (25, trainer.minute)
    again.train(steps=0)
    assert again.step == 25
    for mine, theirs in ((trainer.model, again.model), (trainer.heads, again.heads)):
        mine, theirs = mine.state_dict(), theirs.state_dict()
        assert all(torch.equal(mine[name], theirs[name]) for name in mine)
    for mine, theirs in zip(trainer.parameters, again.parameters, strict=True):
        moments = [run.optimizer.moment(one) for run, one in ((trainer, mine), (again, theirs))]
        assert moments[0] is None if moments[1] is None else torch.equal(*moments)
    assert sum(again.optimizer.moment(one) is not None for one in again.parameters) > 60
    other = BaseTrainer(tmp_path, replace(SMALL, shape=replace(SHAPE, width=64)), workers=0)
    with pytest.raises(GlimpseError, match="another shape"):
        other.resume()
    assert not BaseTrainer(tmp_path / "empty", SMALL, workers=0).resume()


def test_the_learning_rate_rises_stays_and_falls(tmp_path) -> None:
    trainer = BaseTrainer(tmp_path, replace(SMALL, warmup=10), workers=0)
    rates = []
    places = ((0, 0.0), (4, 0.1), (9, 0.2), (500, 5.0), (800, 7.5), (900, 10.0), (950, 12.0))
    for trainer.step, trainer.minute in places:
        rates.append(trainer.rate())
    assert rates == pytest.approx([0.1, 0.5, 1.0, 1.0, 0.51, 0.02, 0.02])


def test_muon_has_the_matrices_of_the_blocks_and_adamw_all_others(tmp_path) -> None:
    trainer = BaseTrainer(tmp_path, replace(SMALL, rate=0.5, matrix_rate=0.25), workers=0)
    muon, adamw = ({id(p) for group in part.param_groups for p in group["params"]} for part in trainer.optimizer.parts)
    named = dict(trainer.model.named_parameters())
    matrices = {name for name, parameter in named.items() if id(parameter) in muon}
    assert len(muon) == len(matrices) == 2 * 7 + 2 * 5 + 2, "two layers, two blocks of the tower, and the merger"
    assert not any(part in name for name in matrices for part in ("embed", "norm", "bias"))
    assert muon.isdisjoint(adamw) and muon | adamw == {id(parameter) for parameter in trainer.parameters}
    batch = make_batch(trainer.packer, random.Random(0), replace(TINY, pages=0.0), 700, (2,))
    before = {name: parameter.detach().clone() for name, parameter in named.items()}
    trainer.losses(batch, dense_only=False)[0].backward()
    trainer.optimizer.step(0.01)
    weight = named["model.language_model.layers.0.mlp.up_proj.weight"]
    moved = torch.linalg.svdvals(weight.detach() - before["model.language_model.layers.0.mlp.up_proj.weight"])
    scale = 0.25 * 0.01 * math.sqrt(weight.shape[0] / weight.shape[1])
    assert (moved / scale).median() > 0.5 and (moved / scale).max() < 1.5, "Muon's steps are nearly orthogonal"
    assert all(parameter.grad is None for parameter in trainer.parameters)


def test_probe_counts_questions_with_every_token_right(model, packer: Packer, monkeypatch) -> None:
    """With a model that is always right but for one token, one question is wrong."""
    from glimpse_core.training.demo_base import probe as probing

    missed: list[int] = []

    def almost(model, batch, head):
        targets = batch.targets[batch.targets != -100]
        logits = torch.nn.functional.one_hot(targets, 1280).float()
        if not missed:
            logits[3] = 0.0
            logits[3, (targets[3] + 1) % 1280] = 1.0
            missed.append(int(targets[3]))
        return replace(forward(model, batch, head), logits=logits)

    monkeypatch.setattr(probing, "forward", almost)
    found = probe(model, packer, Stage(1, (336,), (3, 4), (504,)), 700, depth=2)
    assert any(name.startswith("pruned/") for name in found) and {"lookup", "exist"} <= set(found)
    assert sum(value < 1 for value in found.values()) == 1


def test_word_classes_must_be_single_tokens(tokenizer: Tokenizer, monkeypatch) -> None:
    from glimpse_core.training.demo_base import heads as base_heads

    monkeypatch.setattr(base_heads, "KINDS", ("house", "locomotive"))
    with pytest.raises(ValueError, match="locomotive"):
        DenseHeads(Packer(tokenizer), 32)


def test_saved_folder_loads_as_a_stock_checkpoint(tokenizer: Tokenizer, tmp_path) -> None:
    from transformers import AutoTokenizer, Qwen2_5_VLForConditionalGeneration

    model = demo_model.build(tokenizer, Shape(), 2)
    demo_model.save(model, tokenizer, tmp_path)
    loaded, report = Qwen2_5_VLForConditionalGeneration.from_pretrained(tmp_path, output_loading_info=True)
    assert not report["missing_keys"] and not report["unexpected_keys"]
    assert loaded.config.text_config.tie_word_embeddings
    text = AutoTokenizer.from_pretrained(tmp_path)
    for asked in ("Is there a hat? 中", "When does the train to Larkhaven leave? 08:25"):
        assert text(asked).input_ids == tokenizer.encode(asked).ids
    assert text.eos_token == "<|im_end|>"


def test_padding_is_no_question(packer: Packer, model) -> None:
    batch = any_batch(packer, 336, 336, mode="none")
    assert (batch.block < 0).any() and not batch.covered[batch.block < 0].any()
    assert [len(types) for types in batch.types] == (batch.block.max(1).values + 1).tolist()


@pytest.mark.parametrize(("before", "after", "first"), [(9, 18, 6), (9, 16, 6), (4, 4, 3), (3, 5, 0)])
def test_new_layers_stand_after_the_first_ones_in_equal_shares(before: int, after: int, first: int) -> None:
    made = demo_model.sources(before, after, first)
    assert len(made) == after and made[: first + 1] == [(layer, False) for layer in range(first + 1)]
    assert [layer for layer, new in made if not new] == list(range(before))
    counts = [sum(new for layer, new in made if layer == place) for place in range(first, before)]
    assert sum(counts) == after - before and max(counts) - min(counts) <= 1
    for wrong in ((4, 3, 1), (4, 6, 4)):
        with pytest.raises(ValueError, match="layers shall become"):
            demo_model.sources(*wrong)


def test_a_grown_model_answers_alike_learns_and_resumes(tmp_path) -> None:
    supervision = replace(SUPERVISED, depths=(2,))
    recipe = replace(
        SMALL, stages=(replace(TINY, layers=3), replace(TINY, until=20, layers=6)), supervision=supervision
    )
    trainer = BaseTrainer(tmp_path, recipe, workers=0)
    batch = make_batch(trainer.packer, random.Random(0), replace(TINY, pages=0.0), 700, (2,))
    trainer._take_step(batch)
    with torch.no_grad():
        before = forward(trainer.model, batch, trainer.head_ids).logits
    moment = trainer.optimizer.moment(trainer.model.model.language_model.layers[2].mlp.up_proj.weight)
    trainer.grow(6)
    layers = trainer.model.model.language_model.layers
    with torch.no_grad():
        torch.testing.assert_close(forward(trainer.model, batch, trainer.head_ids).logits, before)
    assert [layer.self_attn.layer_idx for layer in layers] == list(range(6))
    assert demo_model.sources(3, 6, 1) == [(0, False), (1, False), (1, True), (2, False), (2, True), (2, True)]
    assert torch.equal(trainer.optimizer.moment(layers[3].mlp.up_proj.weight), moment) and moment.abs().sum() > 0
    assert trainer.optimizer.moment(layers[2].mlp.up_proj.weight) is None
    trainer._take_step(batch)
    assert layers[2].mlp.down_proj.weight.abs().sum() > 0 and layers[2].self_attn.o_proj.weight.abs().sum() > 0
    trainer.checkpoint()
    again = BaseTrainer(tmp_path, recipe, workers=0)
    assert again.resume() and again.layers == 6
    mine, theirs = trainer.model.state_dict(), again.model.state_dict()
    assert all(torch.equal(mine[name], theirs[name]) for name in mine)
    again.minute = 15.0
    again._take_step(batch)
    assert again.layers == 6
