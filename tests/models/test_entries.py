"""What the catalog says of published glimpse modules, and that training reads it from there."""

from dataclasses import replace

import pytest
import torch
from transformers import AutoConfig, AutoModelForImageTextToText

from glimpse_core.__main__ import parser_for
from glimpse_core.bench.shapes import SHAPES
from glimpse_core.cli import train_glimpse
from glimpse_core.costs.shape import Shape
from glimpse_core.models import catalog, doctor
from glimpse_core.models.entries import ENTRIES, entry_of, published_config
from glimpse_core.types import GlimpseConfig
from tests.support import tiny, tiny_llava

TABLE = {  # the paper's table 14: K, layers, vision blocks, what is read of the attention
    "qwen2.5-vl-3b": (23, 36, (31, 23, 15, 7), True),
    "qwen2.5-vl-7b": (18, 28, (31, 23, 15, 7), True),
    "qwen2.5-vl-32b": (42, 64, (31, 23, 15, 7), True),
    "qwen2.5-vl-72b": (53, 80, (31, 23, 15, 7), True),
    "llava-1.5-7b": (21, 32, (23, 17, 11, 5), False),
    "llava-1.5-13b": (26, 40, (23, 17, 11, 5), False),
}


@pytest.mark.parametrize("name", TABLE)
def test_published_configurations(name):
    layer, layers, blocks, logits = TABLE[name]
    expected = GlimpseConfig(layer, (layer,), tuple(range(layers)), blocks, read_logits=logits)
    assert (expected.vip_size, expected.vip_condition_size, expected.vip_heads) == (256, 512, 4)
    assert entry_of(name).published_config == expected
    assert SHAPES[name].glimpse == expected, "the rule for other base models gives the published ones"


def test_modules_that_were_not_published():
    none = [name for name, entry in ENTRIES.items() if entry.published_config is None]
    assert none == ["demo", "qwen3-vl-2b", "qwen3-vl-4b", "qwen3-vl-8b"]
    assert SHAPES["qwen3-vl-2b"].glimpse == GlimpseConfig(18, (18,), tuple(range(28)), (23, 17, 11, 5))
    assert SHAPES["qwen3-vl-8b"].glimpse == GlimpseConfig(23, (23,), tuple(range(36)), (26, 24, 16, 8))
    assert SHAPES["small"].glimpse == GlimpseConfig(
        7, (7,), tuple(range(12)), (3, 2, 1, 0), vip_size=64, vip_condition_size=64
    )


def configs(*options, model="demo"):
    args = parser_for("train").parse_args(["train", "glimpse", "--out", "x", "--model", model, *options])
    return train_glimpse._configs(args)


def test_training_starts_from_them():
    (demo,) = configs()
    assert demo == GlimpseConfig(
        5, (5,), tuple(range(8)), (3, 2, 1, 0), glimpse_dropout=0.1, vip_size=64, vip_condition_size=64
    )
    changed = configs(
        "--layer", "3,4", "--selected-layers", "2,3", "--visual-layers", "1", "--vip-size", "32", "--vip-heads", "2",
        "--vip-condition-size", "16", "--read", "log-probabilities", "--dropout", "0",
    )  # fmt: skip
    assert changed == [
        GlimpseConfig(
            layer, (2, 3), tuple(range(8)), (1,), read_logits=False, vip_size=32, vip_condition_size=16, vip_heads=2
        )
        for layer in (3, 4)
    ]
    (folder,) = configs(model=str(tiny.base_folder()))
    assert (folder.keep_layer, folder.vip_size, folder.read_logits) == (3, 64, True)


def test_a_named_model_takes_its_own(monkeypatch):
    """Whatever the rule would say of its base."""
    monkeypatch.setattr(train_glimpse, "_shape", lambda model: tiny_shape())
    (config,) = configs(model="llava-1.5-7b")
    assert (config.keep_layer, config.read_logits, config.vip_size) == (21, False, 256)


def tiny_shape():
    shape = Shape.from_config(tiny.model().backbone.hf.config)
    return replace(shape, text=replace(shape.text, layers=32))


def test_a_tower_of_one_image_size_is_read_as_log_probabilities():
    shape = Shape.from_config(tiny_llava.model().backbone.hf.config)
    assert not published_config(shape).read_logits


@pytest.mark.parametrize("name", [name for name, entry in ENTRIES.items() if entry.is_download and not entry.adapter])
def test_parameters_are_those_of_the_sizes(name):
    base = SHAPES[name].base
    with torch.device("meta"):
        model = AutoModelForImageTextToText.from_config(AutoConfig.for_model(**base))
        model.tie_weights()
    tied = base.get("tie_word_embeddings", False) or base["text_config"].get("tie_word_embeddings", False)
    assert (model.lm_head.weight is model.get_input_embeddings().weight) == tied
    assert ENTRIES[name].parameters == sum(parameter.numel() for parameter in model.parameters())


def test_a_model_without_released_modules_is_known_without_them():
    assert catalog.resolve("qwen2.5-vl-72b", None) == ("Qwen/Qwen2.5-VL-72B-Instruct", None)
    assert doctor.examine("qwen2.5-vl-72b", device="cpu")["glimpse"] is None
