"""The doctor: what it finds agrees with what loading does, without loading."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import pytest
import torch

from glimpse_core.__main__ import main
from glimpse_core.errors import GlimpseError
from glimpse_core.models import catalog, checkpoint, doctor
from glimpse_core.models import devices as device
from tests.storage.test_hub import cache, glimpse, put  # noqa: F401 - fixtures
from tests.support import tiny, tiny_llava

OTHER = Path(__file__).parents[1] / "parity" / "llava" / "a_single" / "new_modules"


@pytest.fixture
def folder(tmp_path):
    shutil.copytree(tiny.base_folder(), tmp_path / "base")
    model = tiny.model()
    checkpoint.save(tmp_path / "base" / "glimpse", model.config, model.glimpse, model.vip)
    return tmp_path / "base"


def count(*modules):
    return sum(parameter.numel() for module in modules for parameter in module.parameters())


@pytest.mark.parametrize("base", [tiny.base_folder, tiny_llava.base_folder, tiny_llava.original_folder])
def test_it_counts_what_loading_loads(base):
    report = doctor.examine(str(base()), device="cpu", dtype="bfloat16")
    model = catalog.load(base(), device="cpu", dtype="bfloat16")
    assert report["ok"], report["problems"]
    assert report["base"]["parameters"] == count(model.backbone.hf)
    assert report["base"]["weight_bytes"] == 2 * count(model.backbone.hf)
    assert report["base"]["from"] == "folder"
    assert report["base"]["processor"] is True
    assert (report["device"]["dtype"], report["device"]["attn"]) == ("bfloat16", model.attn)


def test_it_reads_the_glimpse_modules(folder):
    report = doctor.examine(str(folder), device="cpu")
    model = tiny.model()
    assert report["glimpse"]["fits"] is True
    assert report["glimpse"]["parameters"] == count(model.glimpse, model.vip)
    assert report["glimpse"]["keep_layer"] == model.config.keep_layer


def test_nothing_is_loaded_or_fetched(folder, monkeypatch):
    def forbidden(*args, **kwargs):
        raise AssertionError("the doctor only looks")

    monkeypatch.setattr(catalog, "load_base", forbidden)
    monkeypatch.setattr("transformers.PreTrainedModel.from_pretrained", forbidden)
    assert doctor.examine(str(folder), device="cpu")["ok"]
    report = doctor.examine("qwen2.5-vl-3b", device="cpu", dtype="bfloat16")
    assert report["base"]["from"] == report["glimpse"]["from"] == "download"
    assert report["base"]["weight_bytes"] == 2 * catalog.ENTRIES["qwen2.5-vl-3b"].published_parameters


def test_where_it_comes_from(cache, glimpse):  # noqa: F811
    put(cache, "tiny/base", tiny.base_folder())
    report = doctor.examine("tiny/base", glimpse=str(glimpse), device="cpu")
    assert report["ok"]
    assert (report["base"]["from"], report["glimpse"]["from"]) == ("cache", "folder")
    report = doctor.examine("tiny/base", glimpse="tiny/glimpse", device="cpu")
    assert report["glimpse"]["from"] == "download"
    (problem,) = report["problems"]
    assert "offline mode is on. Expected a copy or a connection: unset HF_HUB_OFFLINE" in problem


@pytest.mark.parametrize(
    ("options", "said"),
    [
        (dict(dtype="int8"), "dtype is 'int8'"),
        (dict(attn="flex"), "attn is 'flex'"),
        (dict(glimpse="./nowhere"), "does not exist"),
        (dict(glimpse=str(OTHER)), "made for another base model"),
    ],
)
def test_problems_are_those_of_loading(folder, options, said):
    report = doctor.examine(str(folder), **({"device": "cpu"} | options))
    assert not report["ok"]
    with pytest.raises(GlimpseError, match=said) as raised:
        catalog.load(folder, **({"device": "cpu"} | options))
    assert str(raised.value) in report["problems"]


def test_a_model_that_does_not_fit(folder, monkeypatch):
    """Both say the same: what is needed, what is free, and what to do."""
    monkeypatch.setattr(device, "free_memory", lambda place: 1000)
    for run in (lambda: catalog.load(folder, device="cpu"), lambda: doctor.examine(str(folder), device="cpu")):
        try:
            (problem,) = run()["problems"]
        except GlimpseError as error:
            problem = str(error)
        assert "for its weights in float32, and 0.0 GB are free on cpu. Expected it to fit" in problem
        assert "choose a 16-bit dtype, a smaller" in problem


def test_memory_is_looked_at_before_a_download(monkeypatch):
    def forbidden(*args, **options):
        raise AssertionError("nothing may be fetched for a model that cannot be loaded")

    monkeypatch.setattr(device, "free_memory", lambda place: 10**9)
    monkeypatch.setattr("glimpse_core.storage.hub.fetch", forbidden)
    with pytest.raises(GlimpseError, match=r"llava-1.5-13b-hf needs 26.7 GB .* 1.0 GB are free on cpu"):
        catalog.load("llava-1.5-13b", device="cpu", dtype="bfloat16")


def test_memory_that_runs_out_while_loading(folder, monkeypatch):
    def full(*args, **options):
        raise torch.OutOfMemoryError("CUDA out of memory. Tried to allocate 2.00 GiB")

    monkeypatch.setattr("transformers.Qwen2_5_VLForConditionalGeneration.from_pretrained", full)
    with pytest.raises(GlimpseError, match="needs more memory than there is in float32, .* choose a 16-bit dtype"):
        catalog.load(folder, device="cpu")


def test_missing_parts_and_a_folder_without_processor(folder):
    (folder / "tokenizer_config.json").unlink()
    (problem,) = doctor.examine(str(folder), device="cpu")["problems"]
    assert "no question can be asked. Expected tokenizer.json" in problem
    (folder / "model.safetensors").unlink()
    (problem,) = doctor.examine(str(folder), device="cpu")["problems"]
    assert "holds no weights" in problem


def test_the_command(folder, capsys):
    assert main(["doctor", "--model", str(folder), "--device", "cpu"]) == 0
    printed = capsys.readouterr().out
    assert f"torch {torch.__version__}" in printed
    assert "attention sdpa" in printed
    assert "they fit the base model" in printed
    assert "No problems found." in printed
    assert main(["doctor", "--model", str(folder), "--device", "cpu", "--dtype", "fp8", "--json"]) == 1
    report = json.loads(capsys.readouterr().out)
    assert report["problems"] == ["dtype is 'fp8'. Expected auto, float32, float16, bfloat16."]


def test_no_secret_is_told(monkeypatch, folder):
    monkeypatch.setenv("HF_TOKEN", "hf_" + "x" * 30)
    report = doctor.examine(str(folder), device="cpu")
    assert report["hub"]["token"] is True
    assert "hf_x" not in json.dumps(report)
