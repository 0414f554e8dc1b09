"""LLaVA-1.5: golden cases, both layouts of the weights, and what its processor makes of pictures and questions."""

from __future__ import annotations

import json
import shutil
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image
from transformers import LlavaImageProcessorPil

from glimpse_core.backbones.processors import LlavaProcessor
from glimpse_core.backbones.processors.llava import SYSTEM
from glimpse_core.errors import GlimpseError
from glimpse_core.inference.decoding import finish
from glimpse_core.inference.generation import with_pruning
from glimpse_core.inference.session import Session
from glimpse_core.models import catalog, checkpoint
from glimpse_core.parity import run_case
from glimpse_core.pruners import NoPruner
from glimpse_core.types import Sampling
from tests.support import tiny, tiny_llava

GOLDEN = Path(__file__).parents[1] / "parity" / "llava"
CASES = sorted(path.parent.name for path in GOLDEN.glob("*/case.json"))


@pytest.mark.parametrize("attn", ["sdpa", "eager"])
@pytest.mark.parametrize("case", CASES)
def test_case(case, attn):
    """Every case runs on the converted base and on the original one."""
    result = run_case(GOLDEN / case, attn=attn)
    assert [(check.name, check.message) for check in result.checks if not check.ok] == []
    assert result.ignored == []
    originals = [check for check in result.checks if check.name.startswith("base_original: ")]
    assert len(originals) * 2 == len(result.checks) >= 48


@pytest.mark.parametrize("case", CASES)
def test_pixels_of_the_golden_cases(case):
    """The pictures beside the cases, as the original's code saw them: one is 120 x 80."""
    processor = LlavaProcessor(LlavaImageProcessorPil.from_pretrained(GOLDEN / "_base_hf", do_pad=True), None, 300)
    made = processor.pixels([Image.open(GOLDEN / case / "image_0.png")])["pixel_values"]
    assert torch.equal(made, torch.from_numpy(np.load(GOLDEN / case / "inputs.npz")["images"]))


@pytest.mark.parametrize(
    ("size", "frame"),
    [
        ((120, 80), (0, 20 / 120, 1, 100 / 120)),
        ((80, 120), (20 / 120, 0, 100 / 120, 1)),
        ((50, 50), (0, 0, 1, 1)),
        ((100, 7), (0, 46 / 100, 1, 53 / 100)),
    ],
)
def test_where_the_picture_lies_in_the_square(size, frame):
    """The padding is the mean color, and the frame is where it ends: seen in the square before it is resized."""
    processor = tiny_llava.model().processor
    white = Image.new("RGB", size, "white")
    assert processor.frame(white) == pytest.approx(frame)
    square = processor.images.pad_to_square(np.asarray(white).transpose(2, 0, 1), (122, 116, 104))
    found = (square == 255).all(0)
    side = max(size)
    left, top, right, bottom = (round(value * side) for value in processor.frame(white))
    inside = np.zeros_like(found)
    inside[top:bottom, left:right] = True
    assert np.array_equal(found, inside)
    prompt = processor.prompt(tiny_llava.model().backbone, [white], "What?")
    assert [grid.frame for grid in prompt.grids] == [processor.frame(white)]


def test_the_prompt_is_vicunas():
    model = tiny_llava.model()
    tokenizer, image = model.processor.tokenizer, model.backbone.image_token
    ids = tiny.prompt(model, (80, 60), (60, 60), question="Where is it?").input_ids[0].tolist()
    assert ids.count(image) == 32
    text = f"<s>{SYSTEM} USER: " + "<image>" * 16 + "\n" + "<image>" * 16 + "\nWhere is it? ASSISTANT:"
    assert tokenizer.decode(ids) == text
    assert ids == tokenizer.encode(text, add_special_tokens=False)


@pytest.mark.parametrize("legacy", ["true", "false"])
def test_the_pieces_are_encoded_as_the_published_code_does(tmp_path, legacy):
    """A sentencepiece file, as in the authors' folders: a space goes before every piece, also before the line break."""
    sentencepiece = pytest.importorskip("sentencepiece")
    folder = shutil.copytree(tiny_llava.original_folder(), tmp_path / "base")
    (folder / "tokenizer.json").unlink()
    (folder / "tokenizer_config.json").write_text(f'{{"tokenizer_class": "LlamaTokenizer", "legacy": {legacy}}}')
    sentencepiece.SentencePieceTrainer.train(
        sentence_iterator=iter([SYSTEM, "USER: ASSISTANT: What is this? Where is it?"] * 4),
        model_prefix=str(folder / "tokenizer"),
        model_type="bpe",
        vocab_size=330,
        byte_fallback=True,
        normalization_rule_name="identity",
        remove_extra_whitespaces=False,
        minloglevel=2,
    )
    spoken = sentencepiece.SentencePieceProcessor(model_file=str(folder / "tokenizer.model"))
    processor = LlavaProcessor.load(folder, json.loads((folder / "config.json").read_text()))
    wanted = [spoken.bos_id(), *spoken.encode(f"{SYSTEM} USER: "), processor.image_token]
    wanted += spoken.encode("\nWhat is this? ASSISTANT:")
    assert processor.token_ids(1, "What is this?", None) == wanted
    assert wanted[-len(spoken.encode("\nWhat is this? ASSISTANT:"))] == spoken.piece_to_id("▁")
    assert processor.plain_ids("A boat") + processor.special_ids("</s>") == [*spoken.encode("A boat"), spoken.eos_id()]
    assert processor.decode(spoken.encode("It is red")) == "It is red"
    # The conversion has the same vocabulary in another file, and the placeholder as a token of its own.
    converted = shutil.copytree(tiny_llava.base_folder(), tmp_path / "converted")
    processor.tokenizer.add_tokens(["<image>"], special_tokens=True)
    processor.tokenizer.save_pretrained(converted)
    other = LlavaProcessor.load(converted, json.loads((converted / "config.json").read_text()))
    assert other.token_ids(1, "What is this?", None) == wanted
    said = other.token_ids(1, "Is <image> </s> a tag?", None)
    assert said.count(other.image_token) == 1
    assert not {spoken.eos_id(), other.tokenizer.convert_tokens_to_ids("<image>")} & set(said)


def test_words_of_a_person_are_never_special():
    model = tiny_llava.model()
    prompt = model.processor.prompt(model.backbone, [tiny.picture()], "a<image></s>b", system="Be <s> brief.")
    ids = prompt.input_ids[0].tolist()
    special = model.processor.tokenizer.convert_tokens_to_ids
    assert ids.count(special("<image>")) == 16
    assert ids.count(special("</s>")) == 0
    assert ids.count(special("<s>")) == 1
    assert "Be <s> brief. USER:" in model.processor.tokenizer.decode(ids)


@torch.no_grad()
def test_both_layouts_are_the_same_model():
    converted = tiny_llava.model()
    original = tiny.model(folder=tiny_llava.original_folder())
    ours, theirs = converted.backbone.hf.state_dict(), original.backbone.hf.state_dict()
    vocabulary = converted.backbone.image_token
    assert ours.keys() == theirs.keys()
    for name, tensor in ours.items():
        rows = vocabulary if name.endswith(("embed_tokens.weight", "lm_head.weight")) else None
        assert torch.equal(tensor[:rows], theirs[name][:rows]), name
    assert original.backbone.image_token == vocabulary
    assert original.backbone.stop_tokens == converted.backbone.stop_tokens
    logits = []
    for model in (converted, original):
        prefix = finish(model.backbone, NoPruner(model)(tiny.prompt(model)).branch)
        logits.append(model.backbone.next_logits(prefix.hidden)[0])
    torch.testing.assert_close(logits[0][:vocabulary], logits[1][:vocabulary])
    assert logits[1].argmax() < vocabulary
    assert logits[1][vocabulary:].allclose(logits[1][:vocabulary].mean(), atol=1e-4)  # never the most probable


def copied(tmp_path):
    return shutil.copytree(tiny_llava.original_folder(), tmp_path / "base")


def test_the_tower_may_be_inside_the_weights(tmp_path):
    """Then its own file is not needed, as in the released folders."""
    folder = copied(tmp_path)
    weights = torch.load(folder / "pytorch_model.bin", weights_only=True)
    for name, tensor in tiny_llava.tower_weights(folder).items():
        weights[f"model.vision_tower.vision_tower.vision_model.{name.removeprefix('vision_model.')}"] = tensor
    torch.save(weights, folder / "pytorch_model.bin")
    (folder / "clip-tower" / "model.safetensors").unlink()
    shutil.move(folder / "clip-tower", tmp_path / "clip-tower")  # beside the model's folder
    loaded = catalog.load(folder, device="cpu")
    tower = loaded.backbone.hf.model.vision_tower.state_dict()
    wanted = tiny_llava.model().backbone.hf.model.vision_tower.state_dict()
    assert all(torch.equal(tower[name], wanted[name]) for name in wanted)


def test_weights_in_several_parts(tmp_path):
    folder = copied(tmp_path)
    weights = torch.load(folder / "pytorch_model.bin", weights_only=True)
    names, index = sorted(weights), {}
    for number, part in enumerate((names[::2], names[1::2]), 1):
        file = f"pytorch_model-0000{number}-of-00002.bin"
        torch.save({name: weights[name] for name in part}, folder / file)
        index |= dict.fromkeys(part, file)
    (folder / "pytorch_model.bin").unlink()
    (folder / "pytorch_model.bin.index.json").write_text(json.dumps({"weight_map": index}))
    assert torch.equal(
        catalog.load(folder, device="cpu").backbone.text.norm.weight, tiny_llava.model().backbone.text.norm.weight
    )
    (folder / "pytorch_model-00002-of-00002.bin").unlink()
    with pytest.raises(GlimpseError, match="lacks pytorch_model-00002-of-00002.bin"):
        catalog.load(folder, device="cpu")


@pytest.mark.parametrize(
    ("change", "said"),
    [
        ({"image_aspect_ratio": "anyres"}, "image_aspect_ratio .* 'anyres'. Expected 'pad'"),
        ({"mm_projector_type": "linear"}, "mm_projector_type"),
        ({"mm_vision_tower": "./nowhere"}, "openai/clip-vit-large-patch14-336"),
        ({"mm_vision_select_feature": "cls_patch"}, "class token"),
    ],
)
def test_what_llava_1_5_does_not_have_is_refused(tmp_path, change, said):
    folder = copied(tmp_path)
    settings = json.loads((folder / "config.json").read_text())
    (folder / "config.json").write_text(json.dumps(settings | change))
    if "mm_vision_tower" in change:
        shutil.rmtree(folder / "clip-tower")
    with pytest.raises(GlimpseError, match=said):
        catalog.load(folder, device="cpu")


def test_a_damaged_file_and_a_config_with_gaps(tmp_path):
    folder = copied(tmp_path)
    (folder / "pytorch_model.bin").write_bytes(b"damaged")
    with pytest.raises(GlimpseError, match="cannot be loaded: .*Expected complete wei"):
        catalog.load(folder, device="cpu")
    settings = json.loads((folder / "config.json").read_text())
    del settings["vocab_size"]
    (folder / "config.json").write_text(json.dumps(settings))
    with pytest.raises(GlimpseError, match="config.json lacks 'vocab_size'"):
        catalog.load(folder, device="cpu")


def test_relatives_of_another_build_are_refused(tmp_path):
    folder = shutil.copytree(tiny_llava.base_folder(), tmp_path / "base")
    settings = json.loads((folder / "config.json").read_text())
    settings["text_config"] = {"model_type": "qwen2"}
    (folder / "config.json").write_text(json.dumps(settings))
    with pytest.raises(GlimpseError, match="llava model of qwen2 and clip_vision_model"):
        catalog.load(folder, device="cpu")


def test_glimpse_folders_of_the_other_family_are_refused():
    for folder, glimpse in (
        (tiny.base_folder(), GOLDEN / "a_single" / "new_modules"),
        (tiny_llava.base_folder(), GOLDEN.parent / "qwen" / "a_square" / "new_modules"),
    ):
        with pytest.raises(GlimpseError, match="made for another base model .*load the base model they belong to"):
            catalog.load(folder, glimpse=glimpse, device="cpu")


def test_our_own_glimpse_format(tmp_path):
    model = tiny_llava.model()
    checkpoint.save(tmp_path, model.config, model.glimpse, model.vip)
    loaded = catalog.load(tiny_llava.base_folder(), glimpse=tmp_path, device="cpu")
    first, second = (Session.ask(one, [tiny.picture()], "What?").logits for one in (model, loaded))
    assert torch.equal(first, second)


def test_several_read_layers_work_although_the_published_code_has_one():
    model = tiny_llava.model(read_layers=(2, 0))
    assert Session.ask(model, [tiny.picture()], "What?").attention.shape == (8, 16)


@torch.no_grad()
@pytest.mark.parametrize("batch", [False, True])
def test_generate(batch):
    """The stock `generate`, pruning inside: keep-all is the stock answer, GlimpsePrune that of a session."""
    model = tiny_llava.model()
    prompt = tiny.batch(model) if batch else tiny.prompt(model)
    options = dict(max_new_tokens=6, do_sample=False, eos_token_id=None)
    inputs = tiny.as_inputs(prompt)
    stock = model.backbone.hf.generate(**inputs, **options)
    assert torch.equal(with_pruning(model, NoPruner(model)).generate(**inputs, **options), stock)
    pruned = with_pruning(model).generate(**inputs, **options)
    assert not torch.equal(pruned, stock)
    if not batch:
        session = Session(replace(model, processor=None), prompt)
        answer = session.answer(session.select().mask, Sampling(max_new_tokens=6)).complete()
        assert pruned[0, prompt.input_ids.shape[1] :].tolist()[: len(answer.tokens)] == answer.tokens
