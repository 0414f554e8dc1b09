"""The glimpse stage end to end on a tiny random model: it learns, resumes exactly, and writes folders that load."""

import json
import pickle
import subprocess
import sys
from dataclasses import replace

import pytest
import torch
from PIL import Image

from glimpse_core import world
from glimpse_core.__main__ import main
from glimpse_core.datasets.examples import Example, ImageExamples
from glimpse_core.datasets.visual_cot import JsonlSource
from glimpse_core.errors import GlimpseError
from glimpse_core.glimpse.model import GlimpseModules, require_glimpse, with_modules
from glimpse_core.inference.session import Session
from glimpse_core.models import catalog, checkpoint
from glimpse_core.training.glimpse.collate import FrozenImages, ask
from glimpse_core.training.glimpse.forward import losses, supervised, supervised_after
from glimpse_core.training.glimpse.frozen import freeze
from glimpse_core.training.glimpse.trainee import Settings
from glimpse_core.training.glimpse.trainer import GlimpseTrainer
from glimpse_core.training.process_group import ProcessGroup
from glimpse_core.training.schedule import learning_rate
from glimpse_core.types import GlimpseConfig, Sampling
from tests.support import tiny_llava, tiny_qwen3
from tests.support.tiny_folder import write_base

CONFIG = GlimpseConfig(
    keep_layer=2, read_layers=(2,), glimpse_layers=(0, 1, 2, 3), vision_layers=(1, 0), glimpse_dropout=0.1,
    vip_size=16, vip_condition_size=16, vip_heads=2,
)  # fmt: skip
SILENT = {"progress": lambda line: None}


class Scenes:
    """Small scenes with three questions each, two pictures over and over."""

    count = 2
    identity = {"scenes": 2}

    def read(self, index: int) -> ImageExamples:
        scene = world.scene(index % 2, size=(168, 196))
        examples = [Example(q.text, q.answer, q.boxes, q.type) for q in world.questions(scene)[:9:4]]
        return ImageExamples(scene.image, tuple(examples))


@pytest.fixture(scope="module")
def base_folder(tmp_path_factory):
    return write_base(tmp_path_factory.mktemp("base"))


@pytest.fixture(scope="module")
def base(base_folder):
    return catalog.load(str(base_folder), device="cpu")


def trainer(base, out, *configs, **settings):
    chosen = Settings(**{"steps": 4, "batch": 2, "learning_rate": 5e-3, "log_every": 1} | settings)
    data = FrozenImages(base, Scenes(), CONFIG.vision_layers)
    return GlimpseTrainer(out, base, list(configs) or [CONFIG], data, chosen)


def weights(folder):
    from safetensors.torch import load_file

    return load_file(folder / "glimpse.safetensors")


def same(first, second):
    return first.keys() == second.keys() and all(torch.equal(first[name], second[name]) for name in first)


def test_the_schedule_warms_up_and_falls_as_a_cosine():
    rates = [learning_rate(share, 2.0, 0.1) for share in (0.0, 0.05, 0.1, 0.55, 1.0)]
    assert rates == pytest.approx([0.0, 1.0, 2.0, 1.0, 0.0])
    assert learning_rate(0.0, 2.0, 0.0) == 2.0


def test_the_losses_fall_and_the_base_stays(base, tmp_path):
    before = {name: tensor.clone() for name, tensor in base.backbone.hf.state_dict().items()}
    run = trainer(base, tmp_path, steps=15, learning_rate=2e-2)
    run.train(**SILENT)
    log = [json.loads(line) for line in (tmp_path / "log.jsonl").read_text().splitlines()]
    assert [line["step"] for line in log] == list(range(1, 16))
    assert log[-1]["dice"] < 0.8 * log[0]["dice"]
    assert log[-1]["total"] < log[0]["total"]
    assert same(before, base.backbone.hf.state_dict())


def test_a_resumed_run_ends_like_an_uninterrupted_one(base, tmp_path):
    trainer(base, tmp_path / "whole").train(**SILENT)
    interrupted = trainer(base, tmp_path / "parts")
    stream = interrupted.data.stream(0, 4)
    interrupted._step(stream)
    interrupted._step(stream)
    interrupted.save()
    resumed = trainer(base, tmp_path / "parts")
    resumed.resume()
    assert resumed.done == 2
    resumed.train(**SILENT)
    assert same(weights(tmp_path / "whole"), weights(tmp_path / "parts"))


def test_a_run_can_begin_with_trained_modules(base_folder, tmp_path, capsys):
    """Their sizes come along; what is trained further is what they were, and it does not begin anew."""
    command = [
        "train",
        "glimpse",
        "--model",
        str(base_folder),
        "--steps",
        "3",
        "--lr",
        "1e-2",
        "--batch",
        "1",
        "--workers",
        "0",
    ]
    shape = ["--layer", "1", "--selected-layers", "0,1", "--vip-size", "16", "--vip-heads", "2", "--workers", "0"]
    assert main([*command, *shape, "--out", str(tmp_path / "first")]) == 0
    onward = [*command, "--init", str(tmp_path / "first"), "--out", str(tmp_path / "second")]
    assert main([*onward, "--layer", "1"]) == 2
    assert "--init and --layer are given" in capsys.readouterr().err
    assert main([*onward, "--lr", "0", "--workers", "0"]) == 0
    assert same(weights(tmp_path / "first"), weights(tmp_path / "second"))
    config = json.loads((tmp_path / "second" / "config.json").read_text())
    assert (config["keep_layer"], config["read_layers"]) == (1, [0, 1])
    assert main([*onward[:-1], str(tmp_path / "third"), "--selected-layers", "1"]) == 0
    config = json.loads((tmp_path / "third" / "config.json").read_text())
    assert (config["read_layers"], config["read_logits"]) == ([1], True)
    assert main([*onward[:-1], str(tmp_path / "fourth"), "--read", "log-probabilities"]) == 0
    config = json.loads((tmp_path / "fourth" / "config.json").read_text())
    assert (config["read_layers"], config["read_logits"]) == ([0, 1], False)


def test_trained_modules_can_go_on_to_read_other_layers(base, tmp_path):
    """A layer that joins changes nothing at first, and has a part in it after a step."""
    trainer(base, tmp_path / "one", replace(CONFIG, read_layers=(1,)), steps=2).train(**SILENT)
    frozen = FrozenImages(base, Scenes(), CONFIG.vision_layers)[0]

    def masks(folder, layers):
        wider = trainer(base, tmp_path / "other", replace(CONFIG, read_layers=layers, glimpse_dropout=0.0), steps=1)
        wider.start_from(folder)
        return torch.cat([mask[-1] for mask in supervised_after(wider.trainees[0].model, frozen).masks])

    own = masks(tmp_path / "one", (1,))
    torch.testing.assert_close(masks(tmp_path / "one", (0, 1, 2)), own)
    torch.testing.assert_close(masks(tmp_path / "one", (2, 1)), own)
    assert not torch.allclose(masks(tmp_path / "one", (2,)), own)
    wider = trainer(base, tmp_path / "both", replace(CONFIG, read_layers=(0, 1)), steps=2)
    wider.start_from(tmp_path / "one")
    wider.train(**SILENT)
    assert weights(tmp_path / "both")["vip.attention_in.weight"].chunk(2, dim=1)[0].abs().max() > 0


def test_side_by_side_is_the_same_as_alone(base, tmp_path):
    other = replace(CONFIG, keep_layer=1, read_layers=(1,))
    trainer(base, tmp_path / "alone", other).train(**SILENT)
    trainer(base, tmp_path / "both", CONFIG, other).train(**SILENT)
    assert same(weights(tmp_path / "alone"), weights(tmp_path / "both" / "layer-1"))
    assert not same(weights(tmp_path / "alone"), weights(tmp_path / "both" / "layer-2"))


def test_a_run_cannot_be_resumed_with_other_settings(base, tmp_path):
    with pytest.raises(GlimpseError, match="no run to resume"):
        trainer(base, tmp_path).resume()
    trainer(base, tmp_path, steps=1).train(**SILENT)
    with pytest.raises(GlimpseError, match=r"learning_rate was 0\.005, is 0\.1"):
        trainer(base, tmp_path, steps=1, learning_rate=0.1).resume()
    with pytest.raises(GlimpseError, match="name each of them once"):
        trainer(base, tmp_path, CONFIG, CONFIG)


def test_asking_expands_the_picture_once_per_question(base):
    picture = Scenes().read(0)
    asked = ask(base, picture)
    for example, ids, answer in zip(picture.examples, asked.questions, asked.answers, strict=True):
        prompt = base.processor.prompt(base.backbone, [picture.image], example.question, answer=example.answer)
        assert prompt.input_ids[0].tolist() == [*ids.tolist(), *answer.tolist()]
    assert base.processor.tokenizer.decode(ask(base, picture, "<|im_end|>").answers[0][-1:]) == "<|im_end|>"


def test_a_worker_process_freezes_the_same(base):
    """What is sent to a worker is the recipe; there it becomes the same pictures on a base model loaded anew."""
    modules = GlimpseModules(CONFIG, *checkpoint.create(CONFIG, base.backbone))
    ours = FrozenImages(with_modules(base, modules), Scenes(), CONFIG.vision_layers, "<|im_end|>")
    sent = pickle.dumps(ours)
    assert len(sent) < 5000
    first, second = ours[1], pickle.loads(sent)[1]
    assert torch.equal(first.labels, second.labels)
    assert torch.equal(first.vision.conditions, second.vision.conditions)
    assert torch.equal(first.cache.layers[-1].keys, second.cache.layers[-1].keys)
    again = pickle.loads(pickle.dumps(second))  # what a worker sends back
    assert torch.equal(again.cache.layers[0].values, first.cache.layers[0].values)


def test_bfloat16_products_give_nearly_the_same_losses(base, tmp_path):
    totals = []
    for bf16 in (False, True):
        run = trainer(base, tmp_path / str(bf16), steps=1, bf16=bf16)
        run.train(**SILENT)
        totals.append(json.loads((tmp_path / str(bf16) / "log.jsonl").read_text())["total"])
        assert all(tensor.dtype == torch.float32 for tensor in weights(run.out).values())
    assert totals[0] == pytest.approx(totals[1], rel=0.02)
    assert totals[0] != totals[1]


OPTIONS = ["--batch", "1", "--vip-size", "16", "--vip-condition-size", "16", "--vip-heads", "2", "--log-every", "1"]


def test_the_command_trains_on_a_file_and_its_result_loads(base_folder, tmp_path, capsys):
    Image.new("RGB", (112, 84), "red").save(tmp_path / "a.png")
    line = {"image": "a.png", "question": "what?", "answer": "red", "bboxs": [[0, 0, 56, 40]]}
    (tmp_path / "data.jsonl").write_text("\n".join(json.dumps(line | {"question": f"q{i}?"}) for i in range(3)))
    out = tmp_path / "out"
    command = ["train", "glimpse", "--model", str(base_folder), "--out", str(out), "--data"]
    options = [str(tmp_path / "data.jsonl"), *OPTIONS]
    options += ["--questions", "2", "--epochs", "1", "--layer", "1,2", "--workers", "0"]
    assert main([*command, *options]) == 0
    assert "K 1: answer" in capsys.readouterr().out
    log = [json.loads(entry) for entry in (out / "log.jsonl").read_text().splitlines()]
    assert [(entry["step"], entry["layer"]) for entry in log] == [(1, 1), (1, 2), (2, 1), (2, 2)]
    model = catalog.load(str(base_folder), glimpse=out / "layer-2", device="cpu")
    assert model.config.read_layers == (2,)
    assert main([*command, *options]) == 2
    assert "holds a run already" in capsys.readouterr().err
    assert main([*command, *options, "--resume"]) == 0
    assert main([*command, *options, "--questions", "3", "--resume"]) == 2
    assert "had other options: steps was 2, is 1; data was {'questions': " in capsys.readouterr().err


def test_a_run_on_scenes_cannot_be_resumed_on_others(base_folder, tmp_path, capsys):
    command = ["train", "glimpse", "--model", str(base_folder), "--out", str(tmp_path), "--steps", "1", *OPTIONS]
    command += ["--questions", "1", "--workers", "0"]
    assert main(command) == 0
    assert main([*command, "--resume"]) == 0
    for other in (["--first-scene", "5000001"], ["--types-first", "half"]):
        assert main([*command, "--resume", *other]) == 2
        assert "had other options: data was {'first': 5000000, " in capsys.readouterr().err


def viscot(folder, count):
    """A file and pictures as Visual-CoT publishes them: boxes in pixels, pictures below cot/DATASET."""
    (folder / "cot" / "gqa").mkdir(parents=True)
    lines = []
    for index in range(count):
        Image.new("RGB", (112, 84), (20 * index, 80, 160)).save(folder / "cot" / "gqa" / f"{index}.jpg")
        lines.append(
            {"question": f"what is {index}?", "answer": str(index), "image": f"{index}.jpg", "width": 112, "height": 84,
             "bboxs": [[28 * (index % 3), 0, 28 * (index % 3) + 30, 40]], "dataset": "gqa", "split": "train"}
        )  # fmt: skip
    (folder / "gqa_cot_train.jsonl").write_text("\n".join(map(json.dumps, lines)))
    return folder / "gqa_cot_train.jsonl"


def test_two_processes_take_the_steps_of_one(base_folder, tmp_path):
    """The published command on two CPU processes, each with half of the pictures, beside the same in one process."""
    data = viscot(tmp_path, 8)
    command = ["train", "glimpse", "--model", str(base_folder), "--data", str(data), "--samples", "6"]
    command += ["--skip-missing", "--questions", "1", "--batch", "3", "--lr", "5e-3", "--dropout", "0.1"]
    command += ["--vip-size", "16", "--vip-condition-size", "16", "--vip-heads", "2", "--log-every", "1"]
    command += ["--gradient-checkpointing", "--workers", "0", "--device", "cpu", "--threads", "1"]
    launch = [sys.executable, "-m", "accelerate.commands.launch", "--cpu", "--num_processes", "2", "--num_machines"]
    launch += ["1", "--mixed_precision", "no", "--dynamo_backend", "no", "--num_cpu_threads_per_process", "1"]
    launch += ["--main_process_port", "0", "-m", "glimpse_core"]
    done = subprocess.run([*launch, *command, "--out", str(tmp_path / "two")], capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    assert done.stdout.count("step 2") == done.stdout.count("written") == 1, done.stdout
    assert main([*command, "--out", str(tmp_path / "one")]) == 0
    logs = [(tmp_path / run / "log.jsonl").read_text().splitlines() for run in ("one", "two")]
    for one, two in zip(*logs, strict=True):
        one, two = json.loads(one), json.loads(two)
        assert {**one, "seconds": 0} == pytest.approx({**two, "seconds": 0}, rel=1e-4)
    one, two = weights(tmp_path / "one"), weights(tmp_path / "two")
    assert all(torch.allclose(one[name], two[name], atol=1e-4) for name in one)


def test_llava_is_trained_by_the_same_command(tmp_path):
    """A wide picture, padded to a square; the fast way gives the plain one's losses there, too."""
    data, base = viscot(tmp_path, 2), tiny_llava.base_folder()
    out = tmp_path / "out"
    options = ["--batch", "1", "--vip-size", "16", "--vip-condition-size", "16", "--vip-heads", "2", "--workers", "0"]
    assert main(["train", "glimpse", "--model", str(base), "--data", str(data), "--out", str(out), *options]) == 0
    model = catalog.load(base, glimpse=out, device="cpu")
    assert not model.config.read_logits
    picture = JsonlSource(data).read(0)
    asked = ask(model, picture)
    assert 0 < int(asked.targets[0].sum()) < 8  # in the middle rows of 4 x 4
    fast = losses(supervised_after(model, freeze(model.backbone, asked, model.config.vision_layers)), asked.targets)
    prompt = model.processor.prompt(model.backbone, [picture.image], picture.examples[0].question,
                                    answer=picture.examples[0].answer)  # fmt: skip
    labels = prompt.input_ids.clone()
    labels[:, : asked.prompt.input_ids.shape[1]] = -100
    plain = losses(supervised(model, prompt, labels), asked.targets)
    assert float(fast.total) == pytest.approx(float(plain.total), abs=1e-5)


def test_qwen3_is_trained_by_the_same_command(tmp_path):
    """With the layers of DeepStack as conditions; the modules load again and answer."""
    data, base, out = viscot(tmp_path, 2), tiny_qwen3.base_folder(), tmp_path / "out"
    options = ["--batch", "1", "--vip-size", "16", "--vip-condition-size", "16", "--vip-heads", "2", "--workers", "0"]
    assert main(["train", "glimpse", "--model", str(base), "--data", str(data), "--out", str(out), *options]) == 0
    model = require_glimpse(catalog.load(base, glimpse=out, device="cpu"))
    assert (model.config.keep_layer, model.config.vision_layers) == (3, (3, 2, 0)) and model.config.read_logits
    session = Session.ask(model, [JsonlSource(data).read(0).image], "What is it?")
    kept = session.select()
    answer = session.answer(kept.mask, Sampling(max_new_tokens=3)).complete()
    assert len(answer.tokens) and session.grids[0].tokens == len(kept.mask)


def test_impossible_process_groups_are_refused(base, tmp_path):
    data = FrozenImages(base, Scenes(), CONFIG.vision_layers)
    for settings, message in (
        (Settings(4, minutes=1.0), "clocks differ"),
        (Settings(4, batch=1), "--batch is 1"),
    ):
        with pytest.raises(GlimpseError, match=message):
            GlimpseTrainer(tmp_path, base, [CONFIG], data, settings, ProcessGroup(0, 2))


def test_a_process_group_shares_the_images_out():
    shares = [list(ProcessGroup(rank, 3).mine(4, 12)) for rank in range(3)]
    assert sorted(sum(shares, [])) == list(range(4, 12))
    assert shares == [[6, 9], [4, 7, 10], [5, 8, 11]]


def test_defaults_follow_the_published_choices(base_folder, tmp_path):
    options = ["--steps", "1", "--batch", "1", "--questions", "1", "--workers", "0"]
    assert main(["train", "glimpse", "--model", str(base_folder), "--out", str(tmp_path), *options]) == 0
    config = json.loads((tmp_path / "config.json").read_text())
    assert (config["keep_layer"], config["read_layers"], config["vision_layers"]) == (2, [2], [1, 0])
    assert (config["glimpse_dropout"], config["vip_size"], config["glimpse_layers"]) == (0.1, 64, [0, 1, 2, 3])


@pytest.mark.parametrize(
    ("options", "message"),
    [
        (["--resume"], "no run to resume"),
        (["--epochs", "1"], "the world, which has no end"),
        (["--data", "nowhere.jsonl"], "The training data nowhere.jsonl cannot be read"),
        (["--layer", "1,4"], "--layer is 4. Expected 0 to 3"),
        (["--types-first", "half,whole"], "The type of question is 'whole'. Expected some of color, "),
        (["--data", "nowhere.jsonl", "--types-first", "half"], "--types-first is given with --data nowhere.jsonl"),
    ],
)
def test_impossible_requests_are_explained(base_folder, tmp_path, options, message, capsys):
    assert main(["train", "glimpse", "--model", str(base_folder), "--out", str(tmp_path), *OPTIONS, *options]) == 2
    assert message in capsys.readouterr().err
