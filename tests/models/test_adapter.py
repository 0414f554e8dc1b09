"""Adapters from folders: merged or apart, the published layout, the command line, and what is refused by name."""

from __future__ import annotations

import json
import shutil
from dataclasses import replace

import pytest
import torch
from peft import PeftModel
from safetensors.torch import load_file, save_file

from glimpse_core.__main__ import main
from glimpse_core.dropin import Qwen2_5_VL_GP_ForConditionalGeneration
from glimpse_core.errors import GlimpseError
from glimpse_core.models import adapter as adapters
from glimpse_core.models import catalog
from glimpse_core.models.doctor import examine
from glimpse_core.models.entries import ENTRIES, entry_of
from glimpse_core.training.glimpse.collate import FrozenImages
from tests.support import plus, tiny, tiny_llava


@pytest.fixture(scope="module")
def adapted():
    return plus.adapted(tiny.model())


@pytest.fixture(scope="module")
def folder(adapted, tmp_path_factory):
    """A random adapter, as training writes it."""
    folder = tmp_path_factory.mktemp("adapter")
    adapted[1].save(folder)
    return folder


@pytest.fixture(scope="module")
def published(folder, tmp_path_factory):
    """As published: one folder with adapter and glimpse modules, layers named as by earlier transformers."""
    whole = tmp_path_factory.mktemp("published") / "plus"
    shutil.copytree(tiny.published_folder(), whole)
    tensors = load_file(folder / adapters.WEIGHTS)
    earlier = {name.replace("model.language_model.layers", "model.layers"): each for name, each in tensors.items()}
    assert all(name.startswith("base_model.model.model.layers.") for name in earlier)
    save_file(earlier, whole / adapters.WEIGHTS)
    settings = json.loads((folder / adapters.CONFIG).read_text())
    settings |= {"target_modules": ["q_proj", "up_proj"], "base_model_name_or_path": "Qwen/Some-Model"}
    (whole / adapters.CONFIG).write_text(json.dumps(settings))
    return whole


@torch.no_grad()
def logits(backbone):
    prompt = tiny.prompt(tiny.model())
    start = backbone.start(prompt, backbone.encode_images(prompt))
    from glimpse_core.inference.decoding import finish, next_logits

    return next_logits(backbone, finish(backbone, start))


@pytest.mark.parametrize("merge", (True, False))
def test_a_written_adapter_computes_what_was_trained(adapted, folder, published, merge):
    expected = logits(adapted[0])
    assert (expected - logits(tiny.model().backbone)).abs().max() > 0.1
    for place in (folder, published):
        loaded = catalog.load(tiny.base_folder(), adapter=place, merge=merge, device="cpu")
        torch.testing.assert_close(logits(loaded.backbone), expected, atol=1e-3, rtol=1e-3)
        apart = any("lora_" in name for name, _ in loaded.backbone.hf.named_modules())
        assert (apart, loaded.merged, loaded.adapter) == (not merge, merge, str(place))
        assert not any(weight.requires_grad for weight in loaded.backbone.hf.parameters())


@pytest.mark.filterwarnings("ignore:`is_gradient_checkpointing` is deprecated:FutureWarning")
def test_peft_reads_it_as_well(adapted, folder):
    base = tiny.plain()
    model = PeftModel.from_pretrained(base.backbone.hf, folder).eval()
    ours = type(base.backbone)(model.base_model.model)
    torch.testing.assert_close(logits(ours), logits(adapted[0]), atol=1e-5, rtol=1e-5)


def test_one_folder_holds_adapter_and_modules(adapted, published):
    loaded = catalog.load(tiny.base_folder(), adapter=published, glimpse=published, device="cpu")
    assert loaded.config == tiny.model().config
    torch.testing.assert_close(logits(loaded.backbone), logits(adapted[0]), atol=1e-3, rtol=1e-3)


def test_the_catalog_names_the_published_one(monkeypatch, published):
    name = "qwen2.5-vl-7b-plus"
    assert entry_of(name).adapter == entry_of(name).glimpse
    assert catalog.adapter_of(name, None) == "ashun989/GlimpsePrune-Plus_Qwen2.5-VL-7B-Instruct"
    assert catalog.adapter_of("qwen2.5-vl-7b", None) is None
    assert entry_of("Qwen/Qwen2.5-VL-7B-Instruct").name == "qwen2.5-vl-7b"
    assert not entry_of(name).is_local
    here = replace(ENTRIES[name], base=str(tiny.base_folder()), glimpse=str(published), adapter=str(published),
                   published_parameters=None)  # fmt: skip
    monkeypatch.setitem(ENTRIES, name, here)
    assert here.is_local
    loaded = catalog.load(name, device="cpu")
    assert (loaded.adapter, loaded.config) == (str(published), tiny.model().config)


def test_the_drop_in_class_takes_the_folder(published, adapted):
    model = Qwen2_5_VL_GP_ForConditionalGeneration.from_pretrained(tiny.base_folder(), dtype="float32")
    model.merge_adapter(published)
    model.load_new_modules(published)
    torch.testing.assert_close(logits(model.eval().glimpse_model.backbone), logits(adapted[0]), atol=1e-3, rtol=1e-3)
    assert not any("lora_" in name for name, _ in model.named_modules())


def test_workers_of_the_second_stage_load_it_too(folder):
    loaded = catalog.load(tiny.base_folder(), adapter=folder, device="cpu")
    make, args = FrozenImages(loaded, None, (1,)).__reduce__()
    again = make(*args).model
    assert torch.equal(logits(again.backbone), logits(loaded.backbone))


def test_the_second_stage_trains_modules_on_the_merged_model(folder, tmp_path):
    command = ["train", "glimpse", "--model", str(tiny.base_folder()), "--steps", "1", "--batch", "1", "--questions"]
    command += ["1", "--vip-size", "16", "--vip-condition-size", "16", "--vip-heads", "2", "--workers", "0"]
    assert main([*command, "--out", str(tmp_path / "a"), "--adapter", str(folder)]) == 0
    assert main([*command, "--out", str(tmp_path / "b")]) == 0
    logs = [json.loads((tmp_path / run / "log.jsonl").read_text()) for run in "ab"]
    assert all(logs[0][name] != logs[1][name] for name in ("answer", "dice", "bce"))


def test_doctor_tells_of_it(folder, published, capsys):
    report = examine(str(tiny.base_folder()), adapter=str(folder), device="cpu")
    size = sum(tensor.numel() for tensor in load_file(folder / adapters.WEIGHTS).values())
    assert report["ok"]
    assert report["adapter"] == {
        "place": str(folder), "from": "folder", "folder": str(folder), "rank": 4, "parameters": size,
    }  # fmt: skip
    command = ["doctor", "--model", str(tiny.base_folder()), "--device", "cpu", "--adapter"]
    assert main([*command, str(published)]) == 0
    assert "rank 4; it fits the base model" in capsys.readouterr().out
    assert main([*command, "/nowhere"]) == 1
    assert "/nowhere, given for the adapter, does not exist" in capsys.readouterr().out


def test_the_command_asks_with_it(folder, published, tmp_path, capsys):
    tiny.picture().save(tmp_path / "a.png")
    command = ["ask", str(tmp_path / "a.png"), "-q", "What?", "--model", str(tiny.base_folder()), "--json", "--no-full",
               "--glimpse", str(published), "--max-new-tokens", "8", "--device", "cpu"]  # fmt: skip
    answers = []
    for options in ([], ["--adapter", str(published)], ["--adapter", str(folder), "--no-merge"]):
        assert main([*command, *options]) == 0
        answers.append(json.loads(capsys.readouterr().out)["answers"]["pruned"]["tokens"])
    assert answers[0] != answers[1] == answers[2]


def changed(folder, target, settings=None, rename=None):
    """A copy of an adapter with other settings, or with tensors renamed."""
    shutil.copytree(folder, target)
    if settings:
        path = target / adapters.CONFIG
        path.write_text(json.dumps(json.loads(path.read_text()) | settings))
    if rename:
        tensors = load_file(target / adapters.WEIGHTS)
        save_file({rename(name): tensor for name, tensor in tensors.items() if rename(name)}, target / adapters.WEIGHTS)
    return target


@pytest.mark.parametrize(
    ("settings", "rename", "message"),
    [
        ({"peft_type": "IA3"}, None, "is of type IA3"),
        ({"use_dora": True}, None, "with use_dora True"),
        ({"modules_to_save": ["lm_head"]}, None, r"modules_to_save \['lm_head'\]"),
        ({"r": 8}, None, r"lora_A.weight is \(4, 32\), expected \(8, 32\)"),
        ({"base_model_name_or_path": "other/base"}, lambda name: name.replace("layers.", "layers.9"),
         r"was made for other/base and has: unexpected model.language_model.layers.9"),
        (None, lambda name: None if "layers.0.mlp.up_proj.lora_B" in name else name,
         r"missing model.language_model.layers.0.mlp.up_proj.lora_B.weight"),
    ],
)  # fmt: skip
def test_foreign_adapters_are_refused_by_name(folder, tmp_path, settings, rename, message):
    place = changed(folder, tmp_path / "copy", settings, rename)
    with pytest.raises(GlimpseError, match=message):
        catalog.load(tiny.base_folder(), adapter=place, device="cpu")


def test_another_base_models_adapter_is_refused(folder, tmp_path):
    with pytest.raises(GlimpseError, match="Expected the layers of this base model"):
        catalog.load(tiny_llava.base_folder(), adapter=folder, device="cpu")
    with pytest.raises(GlimpseError, match="holds no adapter"):
        catalog.load(tiny.base_folder(), adapter=tiny.published_folder(), device="cpu")
    (tmp_path / adapters.CONFIG).write_text("{}")
    (tmp_path / adapters.WEIGHTS).write_bytes(b"nothing")
    with pytest.raises(GlimpseError, match="does not describe an adapter"):
        catalog.load(tiny.base_folder(), adapter=tmp_path, device="cpu")
    shutil.copy(folder / adapters.CONFIG, tmp_path / adapters.CONFIG)
    with pytest.raises(GlimpseError, match="The adapter's weights in .* cannot be read"):
        catalog.load(tiny.base_folder(), adapter=tmp_path, device="cpu")
