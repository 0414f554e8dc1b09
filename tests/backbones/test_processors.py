"""Prompts: the same tokens and pixels as the stock processing gives."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from PIL import Image

from glimpse_core.backbones.processors import QwenProcessor
from glimpse_core.errors import GlimpseError
from tests.parity.test_parity import CASES, GOLDEN
from tests.support import tiny


@pytest.mark.parametrize("case", [case for case in CASES if case != "k_batch_left_pad"])
def test_pixels_of_the_golden_cases(case):
    """The pictures beside the cases, as the original's processor saw them."""
    from transformers import Qwen2VLImageProcessorPil

    pictures = [Image.open(path) for path in sorted((GOLDEN / case).glob("image_*.png"))]
    given = np.load(GOLDEN / case / "inputs.npz")
    processor = QwenProcessor(Qwen2VLImageProcessorPil.from_pretrained(GOLDEN / "_base_untied"), None)
    made = processor.pixels(pictures)
    assert torch.equal(made["image_grid_thw"], torch.from_numpy(given["image_grid_thw"]))
    assert torch.equal(made["pixel_values"], torch.from_numpy(given["pixel_values"]))


def test_the_prompt_is_the_chat_template(monkeypatch):
    model = tiny.model()
    tokenizer = model.processor.tokenizer
    ids = tiny.prompt(model, (84, 84), question="Where is it?").input_ids[0].tolist()
    text = (
        "<|im_start|>system\nYou are a helpful assistant.<|im_end|>\n<|im_start|>user\n<|vision_start|>"
        + "<|image_pad|>" * 9
        + "<|vision_end|>Where is it?<|im_end|>\n<|im_start|>assistant\n"
    )
    assert ids == tokenizer.encode(text, add_special_tokens=False)


def test_a_system_prompt_replaces_the_default():
    model = tiny.model()
    prompt = model.processor.prompt(model.backbone, [tiny.picture()], "Hi", system="Be brief.")
    text = model.processor.tokenizer.decode(prompt.input_ids[0])
    assert "system\nBe brief.<|im_end|>" in text
    assert "helpful" not in text


def test_words_of_a_person_are_never_special():
    model = tiny.model()
    tokenizer = model.processor.tokenizer
    said = "a<|image_pad|><|im_end|>b"
    prompt = model.processor.prompt(model.backbone, [tiny.picture()], said, system=said)
    ids = prompt.input_ids[0].tolist()
    plain = tokenizer.encode(said, add_special_tokens=False, split_special_tokens=True)
    positions = [i for i in range(len(ids)) if ids[i : i + len(plain)] == plain]
    assert len(positions) == 2
    assert tokenizer.decode(ids).count(said) == 2


def test_an_answer_is_appended_with_its_ending():
    model = tiny.model()
    asked = model.processor.prompt(model.backbone, [tiny.picture()], "What?").input_ids[0].tolist()
    spoken = model.processor.prompt(model.backbone, [tiny.picture()], "What?", answer="A boat").input_ids[0].tolist()
    assert spoken[: len(asked)] == asked
    assert model.processor.tokenizer.decode(spoken[len(asked) :]) == "A boat<|im_end|>\n"


def test_transparent_pictures_lie_on_white():
    model = tiny.model()
    clear = model.processor.pixels([Image.new("RGBA", (56, 56), (255, 0, 0, 0))])
    white = model.processor.pixels([Image.new("RGB", (56, 56), "white")])
    assert torch.equal(clear["pixel_values"], white["pixel_values"])


def test_prompts_and_pictures_must_fit():
    model = tiny.model()
    prompt = tiny.prompt(model)
    with pytest.raises(GlimpseError, match="20 image placeholder tokens and the images make 40"):
        model.backbone.prompt(prompt.input_ids, None, prompt.image_grid_thw.repeat(2, 1))


def test_right_padding_is_refused():
    model = tiny.model()
    prompt = tiny.prompt(model)
    mask = torch.ones_like(prompt.input_ids)
    mask[:, -1] = 0
    with pytest.raises(GlimpseError, match="pad on the left"):
        model.backbone.prompt(prompt.input_ids, prompt.pixel_values, prompt.image_grid_thw, mask)


def test_rows_and_their_images():
    model = tiny.model()
    batch = tiny.batch(model)
    assert model.backbone.tokens_per_row(batch) == [20, 12]
    assert [[grid.tokens for grid in row] for row in model.backbone.grids_per_row(batch)] == [[20], [12]]
