"""The demo base's training data: targets, packed questions, lost tokens, the tokenizer."""

import random

import numpy as np
import pytest
import torch
from tokenizers import Tokenizer

from glimpse_core.training.demo_base.choose import page_choice, scene_choice
from glimpse_core.training.demo_base.data import TUNING, make_batch
from glimpse_core.training.demo_base.dropping import dropping
from glimpse_core.training.demo_base.heads import token_centers
from glimpse_core.training.demo_base.looks import page_finder
from glimpse_core.training.demo_base.packing import Packer
from glimpse_core.training.demo_base.recipe import Stage
from glimpse_core.training.demo_base.targets import CHARACTERS, FIRST, FIRST_WORD, SECOND, page_targets, tokens_in
from glimpse_core.training.demo_base.text import CHAT_TEMPLATE, SPECIAL, SYSTEM
from glimpse_core.types import Grid
from glimpse_core.world import page, page_questions, questions, scene
from glimpse_core.world.pages import vocabulary as page_words
from glimpse_core.world.vocabulary import ALPHABET, COLORS, KINDS
from tests.support.demo_base import any_batch, batch_of


def test_a_question_loses_little_of_its_evidence_no_letter_and_never_everything(packer: Packer) -> None:
    some, none, lost, evidence = 0, 0, 0, 0
    for seed in range(12):
        batch = any_batch(packer, 336, 336, seed, mode="some")
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
    grid, letters, rng = Grid(4, 40), np.zeros(160, bool), random.Random(0)
    things = [(place / 10, 0.0, (place + 1) / 10, 1.0) for place in range(10)]  # in a row, 16 tokens each

    def whole(others: list) -> tuple[int, list[int]]:
        """How many questions lost tokens, and how often each other thing was kept whole then."""
        pruned, kept = 0, [0] * 9
        for _ in range(1500):
            lost = dropping(things[:1], letters, grid, rng, others).reshape(4, 10, 4)
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


def test_targets_are_the_answer_and_evidence_stands_before_the_word(packer: Packer) -> None:
    picture = scene(3)
    rows, columns = picture.height // 28, picture.width // 28
    for question in questions(picture):
        packed = packer.pack(question, question.text, Grid(rows, columns))
        ids, targets, early, evidence = packed.ids, packed.targets, packed.early, packed.evidence
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
    assert len(packer.encode("It says KX47")) == len(packer.encode("It says ")) + 4


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


def test_token_centers_are_in_the_middle_of_tokens(packer: Packer) -> None:
    batch = batch_of(packer, 392, 336)
    centers = token_centers(batch)[0]
    assert centers[0].tolist() == [0.5, 0.5] and centers[14].tolist() == [0.5, 1.5]
    background = batch.dense[..., 0] == 0
    assert torch.equal(batch.centers[background], centers.expand_as(batch.centers)[background])


def test_training_images_are_never_for_tuning_or_held_out_and_types_are_mixed(packer: Packer, monkeypatch) -> None:
    from glimpse_core.training.demo_base import data as base_data

    seen: list[int] = []

    def noted(draw):
        return lambda seed, **options: (seen.append(seed), draw(seed, **options))[1]

    monkeypatch.setattr(base_data, "scene", noted(scene))
    monkeypatch.setattr(base_data, "page", noted(page))
    stage = Stage(1, (336,), (3, 6), (504,), pages=0.5)
    for seed in range(12):
        make_batch(packer, random.Random(seed), stage, 1200, (3,))
    assert len(seen) >= 12 and max(seen) < TUNING
    with pytest.raises(ValueError, match="held out"):
        make_batch(packer, random.Random(0), stage, 1200, (3,), seeds=(0, 10_000_001))
    kinds = {q.type for seed in range(60) for q in scene_choice(scene(seed), random.Random(seed))}
    assert {"read", "scene", "relation", "absent", "strange"} <= kinds
    kinds = {q.type for seed in range(30) for q in page_choice(page(seed), random.Random(seed))}
    assert {"lookup", "cross", "match", "extreme", "tally", "listed", "table", "absent"} <= kinds


def test_dense_targets_of_a_page_spell_its_cells(tokenizer: Tokenizer) -> None:
    """Read off token by token, the first and second characters of a cell's row are the cell, whatever its capitals."""
    whole, cells = 0, 0
    for seed in range(6):
        picture = page(seed)
        rows, columns = picture.height // 28, picture.width // 28
        dense = page_targets(picture, tokenizer)
        grid = dense.classes.reshape(rows, columns, -1)
        for cell in picture.cells:
            row = int((cell.box[1] + cell.box[3]) / 2 * rows)
            first, last = (int((box[0] + box[2]) / 2 * columns) for box in (cell.letters[0], cell.letters[-1]))
            found = grid[row, first : last + 1][:, [FIRST, SECOND]].ravel()
            spelled = "".join(CHARACTERS[one - 1] for one in found if one)
            cells += 1
            if spelled == cell.shown.replace(" ", "").upper():
                whole += 1
                word = tokenizer.decode([int(grid[row, first, FIRST_WORD])])
                assert cell.text in ("-", "no", "yes") or cell.text.startswith(word.strip())
        assert (dense.letters == (dense.classes[:, FIRST_WORD] > 0)).all()
    assert whole / cells > 0.85, "the others have three letters in one token, or share a token with their neighbor"


def test_halves_of_names_are_tokens(packer: Packer) -> None:
    for stem in page_words.PLACE_STEMS:
        for ending in page_words.PLACE_ENDINGS:
            tokens = packer.tokenizer.encode(f"to {stem}{ending}", add_special_tokens=False).tokens
            assert tokens[1:] == [f"Ġ{stem}", ending]
    tokens = packer.tokenizer.encode("at 08:25 $4.50", add_special_tokens=False).tokens
    assert tokens == ["at", "Ġ", *"08:25", "Ġ", *"$4.50"]


def test_answers_about_pages_look_at_the_letters_of_the_next_token(packer: Packer) -> None:
    compared = 0
    for seed in range(8):
        picture = page(seed)
        rows, columns = picture.height // 28, picture.width // 28
        finder, grid = page_finder(picture), page_targets(picture, packer.tokenizer).classes
        for question in page_questions(picture):
            packed = packer.pack(question, question.text, Grid(rows, columns), finder)
            for target, early, evidence in zip(packed.targets, packed.early, packed.evidence, strict=True):
                assert all(box in finder.cells for box in early)
                text = packer.tokenizer.id_to_token(target) if target >= 0 else ""
                if question.type in ("lookup", "cross") and text.isdigit() and evidence:
                    under = grid[tokens_in(evidence, rows, columns)]
                    compared += 1
                    assert CHARACTERS.index(text) + 1 in under[:, [FIRST, SECOND]]
    assert compared > 100


def test_a_name_in_a_question_about_a_page_looks_at_its_cell(packer: Packer) -> None:
    picture = page(5)
    finder = page_finder(picture)
    asked = [question for question in page_questions(picture) if question.type == "lookup"]
    assert asked
    for question in asked:
        packed = packer.pack(question, question.text, Grid(20, 20), finder)
        count = len(packer.encode(question.text))
        named = {finder.cells[boxes[0]].text.lower() for boxes in packed.early[:count] if boxes}
        assert named and all(name in question.text.lower() for name in named)


def test_a_stage_without_answers_has_one_question_per_image_and_half_of_the_tokens(packer: Packer) -> None:
    for pages in (0.0, 1.0):
        stage = Stage(1, (336,), (3, 4), (504,), pages=pages, dense_only=True)
        batch = make_batch(packer, random.Random(0), stage, 2600, (3,))
        assert len(batch.pixels) == round(1300 / batch.alone.shape[1])
        assert [len(types) for types in batch.types] == [1] * len(batch.pixels)
