"""Loading: names, folders, devices, and what is said when something is missing."""

from __future__ import annotations

import json
import shutil
from dataclasses import replace

import pytest
import torch
from safetensors.torch import load_file, save_file

from glimpse_core.errors import GlimpseError
from glimpse_core.glimpse.model import GlimpseModel, GlimpseModules, require_glimpse, with_modules
from glimpse_core.inference.session import Session
from glimpse_core.models import catalog, checkpoint, entries
from tests.support import tiny


@pytest.fixture
def folder(tmp_path):
    """A base folder with its glimpse modules in the subfolder `glimpse`, as the demo model has it."""
    shutil.copytree(tiny.base_folder(), tmp_path / "base")
    model = tiny.model()
    checkpoint.save(tmp_path / "base" / "glimpse", model.config, model.glimpse, model.vip)
    return tmp_path / "base"


def test_a_folder_brings_its_glimpse_along(folder):
    stages = []
    model = catalog.load(folder, device="cpu", progress=stages.append)
    assert stages == ["base model", "glimpse modules", "processor"]
    first = Session.ask(model, [tiny.picture()], "What?")
    second = Session.ask(tiny.model(), [tiny.picture()], "What?")
    assert torch.equal(first.logits, second.logits)
    assert (model.dtype, model.device.type, model.attn) == (torch.float32, "cpu", "sdpa")
    assert model.name == str(folder)


def test_weights_stored_in_16_bits_run_in_32(folder):
    hf = tiny.model().backbone.hf
    hf.__class__.from_pretrained(folder, dtype=torch.bfloat16).save_pretrained(folder)
    model = catalog.load(folder, device="cpu")
    assert {parameter.dtype for parameter in model.backbone.hf.parameters()} == {torch.float32}


def test_a_loaded_model_asks_for_no_gradients(folder):
    model = catalog.load(folder, device="cpu")
    for module in (model.backbone.hf, model.glimpse, model.vip):
        assert not any(parameter.requires_grad for parameter in module.parameters())
        assert not module.training


def test_settings_make_untrained_modules():
    model = catalog.load(tiny.base_folder(), glimpse=tiny.CONFIG, device="cpu")
    assert any(parameter.requires_grad for parameter in model.vip.parameters())
    assert model.config is tiny.CONFIG


def test_a_folder_without_glimpse():
    model = catalog.load(tiny.base_folder(), device="cpu")
    assert not isinstance(model, GlimpseModel) and not model.trained
    assert (model.keep_layer, model.keep_depth, model.shared_depth) == (3, 4, 4)
    with pytest.raises(GlimpseError, match="has no glimpse modules. Expected trained ones. Pass glimpse="):
        require_glimpse(model)
    modules = tiny.model()
    scoring = with_modules(model, GlimpseModules(modules.config, modules.glimpse, modules.vip))
    assert require_glimpse(scoring) is scoring and scoring.backbone is model.backbone
    assert scoring.shared_depth == scoring.keep_depth == 3
    assert (model.shape.glimpse, scoring.shape.glimpse) == (None, modules.config)


def test_a_folder_without_a_processor():
    model = tiny.plain()
    assert model.require_processor() is model.processor
    with pytest.raises(GlimpseError, match="has no tokenizer and image processor. Expected tokenizer.json"):
        replace(model, processor=None).require_processor()


@pytest.mark.parametrize(
    ("options", "said"),
    [
        (dict(dtype="int8"), "dtype is 'int8'"),
        (dict(dtype=torch.int8), "dtype is 'int8'. Expected auto, float32"),
        (dict(device="toaster"), "device is 'toaster'"),
        (dict(attn="flex"), "attn is 'flex'"),
        (dict(attn="flash_attention_2"), "flash_attn package"),
        (dict(glimpse="./nowhere"), "does not exist"),
    ],
)
def test_impossible_requests_are_explained(options, said):
    with pytest.raises(GlimpseError, match=said):
        catalog.load(tiny.base_folder(), **({"device": "cpu"} | options))


@pytest.mark.skipif(torch.cuda.is_available(), reason="there is a GPU")
def test_a_missing_gpu_is_explained():
    with pytest.raises(GlimpseError, match="no GPU"):
        catalog.load(tiny.base_folder(), device="cuda")


def test_a_folder_that_is_no_model(tmp_path):
    with pytest.raises(GlimpseError, match="no config.json"):
        catalog.load(tmp_path)


def test_other_models_are_refused(folder):
    (folder / "config.json").write_text(json.dumps({"model_type": "llama"}))
    with pytest.raises(GlimpseError, match="llama model"):
        catalog.load(folder, device="cpu")


def test_missing_weights_are_explained(folder):
    (folder / "model.safetensors").unlink()
    with pytest.raises(GlimpseError, match="cannot be loaded"):
        catalog.load(folder, device="cpu")


def test_damaged_weights_are_explained(folder):
    (folder / "model.safetensors").write_bytes(b"damaged")
    with pytest.raises(GlimpseError, match="cannot be loaded"):
        catalog.load(folder, device="cpu")


def test_missing_tensors_are_named(folder):
    weights = load_file(folder / "model.safetensors")
    del weights["lm_head.weight"]
    save_file(weights, folder / "model.safetensors", metadata={"format": "pt"})
    with pytest.raises(GlimpseError, match=r"lacks 1 tensors, lm_head\.weight"):
        catalog.load(folder, device="cpu")


def test_without_network_a_hub_name_is_explained(monkeypatch):
    monkeypatch.setattr("huggingface_hub.constants.HF_HUB_OFFLINE", True)
    with pytest.raises(GlimpseError, match="cannot be fetched"):
        catalog.fetch_glimpse("nobody/no-such-glimpse")


def test_a_tokenizer_without_a_chat_template_is_explained(folder):
    for name in ("chat_template.jinja", "chat_template.json"):
        (folder / name).unlink(missing_ok=True)
    settings = json.loads((folder / "tokenizer_config.json").read_text())
    settings.pop("chat_template", None)
    (folder / "tokenizer_config.json").write_text(json.dumps(settings))
    with pytest.raises(GlimpseError, match="chat template"):
        catalog.load(folder, device="cpu")


def test_entries():
    assert {"demo", "qwen2.5-vl-3b", "qwen2.5-vl-7b", "llava-1.5-7b", "llava-1.5-13b"} <= set(catalog.ENTRIES)
    for name, entry in catalog.ENTRIES.items():
        assert entry.name == name
        assert entry.title
        assert entry.note
    assert catalog.ENTRIES["qwen2.5-vl-7b"].is_download
    assert not catalog.ENTRIES["demo"].is_download


def test_parameters_of_a_local_model_are_counted(folder):
    entry = entries.Entry("x", "X", str(folder), str(folder / "glimpse"), None, "")
    assert entry.parameters == sum(parameter.numel() for parameter in tiny.model().backbone.hf.parameters())
    assert entry.is_local


def test_a_folder_in_the_home_directory(folder, monkeypatch):
    monkeypatch.setenv("HOME", str(folder.parent))
    model = catalog.load("~/base", device="cpu")
    assert model.config == tiny.CONFIG
