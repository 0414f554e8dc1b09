"""`train plus` end to end on tiny random models: it learns, resumes exactly, and any number of processes agree."""

from __future__ import annotations

import json
import subprocess
import sys
import threading
from dataclasses import replace
from http.server import BaseHTTPRequestHandler, HTTPServer

import numpy as np
import pytest
import torch
from safetensors.torch import load_file

from glimpse_core.__main__ import main
from glimpse_core.datasets.examples import Example, ImageExamples
from glimpse_core.errors import GlimpseError
from glimpse_core.models import adapter as adapters
from glimpse_core.models import catalog
from glimpse_core.training.plus import trainer as training
from glimpse_core.training.plus.learner import Settings, counted
from glimpse_core.training.plus.prompts import Prompts
from glimpse_core.training.plus.rewards import JudgeReward, exact, read_reward, score_of
from glimpse_core.training.plus.trainer import PlusTrainer
from glimpse_core.training.process_group import ProcessGroup
from tests.support import plus, tiny, tiny_llava

SIZES = adapters.LoraSizes(4, 8, 0.05)
BOX = (0.0, 0.0, 0.5, 0.5)


class Noise:
    """Noise with one question each; every third has no boxes."""

    count = 6
    identity = {"noise": 6}

    def read(self, index: int) -> ImageExamples:
        boxes = () if index % 3 == 2 else (BOX,)
        return ImageExamples(tiny.picture(84, 56, seed=index % 6), (Example("What?", "a", boxes),))


def run(out, mask="boxes", reward=None, loaded=None, **settings):
    loaded = loaded or tiny.model()
    backbone = type(loaded.backbone)(plus.copy.deepcopy(loaded.backbone.hf))
    loaded = replace(loaded, backbone=backbone)
    chosen = Settings(**{"steps": 3, "batch": 2, "limit": 4, "learning_rate": 1e-2, "log_every": 1, "sizes": SIZES}
                      | settings)  # fmt: skip
    adapter = adapters.create(backbone, chosen.sizes, chosen.seed)
    prompts = Prompts(loaded, adapter, Noise(), mask, depth=3)
    return PlusTrainer(out, prompts, reward or odd, chosen)


def odd(question: str, answer: str, expected: str) -> float:
    """A reward that differs within a group."""
    return (sum(answer.encode()) % 3) / 2


def log(folder):
    return [json.loads(line) for line in (folder / "log.jsonl").read_text().splitlines()]


def weights(folder):
    return load_file(folder / "adapter_model.safetensors")


def same(first, second):
    return first.keys() == second.keys() and all(torch.equal(first[name], second[name]) for name in first)


def silent(line):
    pass


def test_the_reward_rises_and_the_base_stays(tmp_path):
    """Rewarded is a first byte below 128, which is everyone's to learn."""

    def low(question, answer, expected):
        return float(answer[:1].isascii() and answer != "")

    trainer = run(tmp_path, reward=low, steps=12, batch=3, limit=2, learning_rate=3e-2)
    base = {name: weight.clone() for name, weight in trainer.prompts.adapter.peft.named_parameters()
            if "lora_" not in name}  # fmt: skip
    trainer.train(silent)
    lines = log(tmp_path)
    rewards = [line["reward"] for line in lines]
    assert sum(rewards[-4:]) > sum(rewards[:4]) + 0.4
    assert lines[0]["kl"] < lines[-1]["kl"]
    assert {"reward", "kl", "length", "kept", "entropy", "rate", "skipped"} <= lines[0].keys()
    after = dict(trainer.prompts.adapter.peft.named_parameters())
    assert all(torch.equal(after[name], weight) for name, weight in base.items())


@pytest.mark.parametrize("mode", ("replay", "upstream"))
def test_a_resumed_run_ends_like_an_uninterrupted_one(tmp_path, mode):
    run(tmp_path / "whole", logprobs=mode).train(silent)
    first = run(tmp_path / "parts", logprobs=mode)
    first._step(silent, keep=False)
    first.save()
    second = run(tmp_path / "parts", logprobs=mode)
    second.resume()
    assert second.done == 1
    second.train(silent)
    assert same(weights(tmp_path / "whole"), weights(tmp_path / "parts"))
    with pytest.raises(GlimpseError, match=r"learning_rate was 0\.01, is 0\.1"):
        run(tmp_path / "parts", learning_rate=0.1, logprobs=mode).resume()
    with pytest.raises(GlimpseError, match="no run to resume"):
        run(tmp_path / "nothing").resume()


def test_recomputed_activations_give_the_same_steps(tmp_path):
    for recompute in (False, True):
        run(tmp_path / str(recompute), recompute=recompute).train(silent)
    one, two = weights(tmp_path / "False"), weights(tmp_path / "True")
    assert all(torch.allclose(one[name], two[name], atol=1e-5) for name in one)


def test_a_prompt_without_enough_memory_is_left_out(tmp_path, monkeypatch):
    """The others of its step count as they would; nothing of it is left."""
    right, lines = training.learn, []

    def learn(prompts, asked, index, reward, settings):
        lesson = right(prompts, asked, index, reward, settings)
        if index == 1:
            raise torch.OutOfMemoryError("no memory")
        return lesson

    monkeypatch.setattr(training, "learn", learn)
    trainer = run(tmp_path, steps=1, batch=2)
    trainer.train(lines.append)
    assert "prompt 1 (image of 84 x 56 pixels) left out: not enough memory" in lines[0]
    assert (log(tmp_path)[0]["skipped"], log(tmp_path)[0]["prompts"]) == (1, 1)
    other = run(tmp_path / "other", steps=1, batch=2)
    lesson = right(other.prompts, other.prompts.ask(other.prompts.read(0)), 0, odd, other.settings)
    norm = torch.stack([gradient.norm() / 2 for gradient in lesson.gradients]).norm()
    scale = float(min(1.0, 1 / (norm + 1e-6))) / 2
    for weight, gradient in zip(trainer.weights, lesson.gradients, strict=True):
        torch.testing.assert_close(weight.grad, gradient * scale)


def test_masks_come_from_boxes_the_predictor_without_adapter_or_are_full(tmp_path):
    boxes, full = run(tmp_path / "a").prompts, run(tmp_path / "b", mask="full").prompts
    kept = boxes.ask(boxes.read(0)).question.kept
    assert kept.view(2, 3).int().tolist() == [[1, 1, 0], [1, 1, 0]]
    assert bool(full.ask(full.read(0)).question.kept.all())
    glimpse = run(tmp_path / "c", mask="glimpse").prompts
    expected = glimpse.ask(glimpse.read(2)).question.kept
    assert torch.equal(boxes.ask(boxes.read(2)).question.kept, expected), "a question without boxes"
    with torch.no_grad():
        for weight in glimpse.adapter.parameters.values():
            weight.normal_(std=0.5)
    assert torch.equal(glimpse.ask(glimpse.read(2)).question.kept, expected)
    lacking = run(tmp_path / "d", loaded=tiny.plain()).prompts
    assert int(lacking.ask(lacking.read(0)).question.kept.sum()) == 4
    with pytest.raises(GlimpseError, match="has no boxes, and the model has no predictor"):
        lacking.ask(lacking.read(2))


def test_the_cap_leaves_the_most_probable_tokens(tmp_path):
    prompts = run(tmp_path, mask="glimpse").prompts
    few = replace(prompts, cap=0.34).ask(prompts.read(0)).question.kept
    many = replace(prompts, cap=None).ask(prompts.read(0)).question.kept
    assert int(few.sum()) <= 2 < int(many.sum())
    assert bool((many | ~few).all())


def test_upstream_answers_count_up_to_a_total_length():
    mask = torch.ones(2, 5, dtype=torch.bool)
    assert counted(mask, 9, Settings(1, longest=12)).all()
    upstream = Settings(1, longest=12, logprobs="upstream")
    assert counted(mask, 9, upstream).int().tolist() == [[1, 1, 1, 0, 0]] * 2
    assert counted(mask, 40, upstream).int().tolist() == [[1, 0, 0, 0, 0]] * 2


# ---------------------------------------------------------------------------------------------- rewards


def test_exact_and_scores():
    assert (exact("", " Red\n", "red"), exact("", "red.", "red"), exact("", "", "red")) == (1.0, 0.0, 0.0)
    replies = {"fine. Score: 0.7": 0.7, "score: 3": 1.0, "score: -1": 0.0, "0.7": 0.0, "score: 1 score: 1": 0.0}
    assert {reply: score_of(reply) for reply in replies} == replies


class Judge(BaseHTTPRequestHandler):
    """Busy at first, then generous."""

    asked: list = []

    def do_POST(self):
        body = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
        self.asked.append((self.path, self.headers["Authorization"], body))
        status = 503 if len(self.asked) == 1 else 404 if body["model"] == "unknown" else 200
        reply = json.dumps({"choices": [{"message": {"content": "Close.\nscore: 0.25"}}]}).encode()
        self.send_response(status)
        self.send_header("Content-Length", str(len(reply)))
        self.end_headers()
        self.wfile.write(reply)

    def log_message(self, *args):
        pass


@pytest.fixture
def judge_url():
    Judge.asked = []
    server = HTTPServer(("127.0.0.1", 0), Judge)
    thread = threading.Thread(target=server.serve_forever)
    thread.start()
    yield f"http://127.0.0.1:{server.server_port}/v1"
    server.shutdown()
    thread.join()
    server.server_close()


def test_a_judge_is_asked_at_its_address(judge_url, monkeypatch):
    monkeypatch.setenv("KEY", "secret")
    reward = read_reward("judge", judge_url, "big", "KEY")
    assert replace(reward, sleep=lambda seconds: None)("Which?", "rouge", "red") == 0.25
    assert len(Judge.asked) == 2  # once more after 503
    path, key, body = Judge.asked[-1]
    assert (path, key, body["model"]) == ("/v1/chat/completions", "Bearer secret", "big")
    assert "Reference answer: red" in body["messages"][1]["content"]
    assert "secret" not in repr(reward)
    with pytest.raises(GlimpseError, match="refused with 404"):
        JudgeReward(judge_url, "unknown", sleep=lambda seconds: None)("Which?", "rouge", "red")
    with pytest.raises(GlimpseError, match="failed 2 times"):
        JudgeReward("http://127.0.0.1:9/v1", "big", tries=2, sleep=lambda seconds: None)("", "", "")


def test_a_function_is_a_reward(tmp_path, monkeypatch):
    (tmp_path / "own_reward.py").write_text("def half(question, answer, expected):\n    return 0.5\n")
    monkeypatch.chdir(tmp_path)
    assert read_reward("own_reward:half", None, None, "KEY")("", "", "") == 0.5
    for name in ("own_reward:none", "nowhere:half", "nothing"):
        with pytest.raises(GlimpseError, match=f"The reward is '{name}'"):
            read_reward(name, None, None, "KEY")
    with pytest.raises(GlimpseError, match="give --judge-url and --judge-model"):
        read_reward("judge", None, "big", "KEY")


# ---------------------------------------------------------------------------------------------- the command


def data(folder, count=6):
    for index in range(count):
        tiny.picture(84, 56, seed=index).save(folder / f"{index}.png")
    lines = [
        {"image": f"{index}.png", "question": f"q{index}?", "answer": "a", "bboxs": [[0, 0, 40, 30]]}
        for index in range(count)
    ]
    (folder / "data.jsonl").write_text("\n".join(map(json.dumps, lines)))
    return folder / "data.jsonl"


OPTIONS = ["--batch", "3", "--max-new-tokens", "4", "--rank", "4", "--alpha", "8", "--lr", "1e-2", "--log-every", "1",
           "--device", "cpu", "--threads", "1"]  # fmt: skip


def command(folder, out, *options, base=None):
    base = base or tiny.base_folder()
    return ["train", "plus", "--model", str(base), "--data", str(data(folder)), "--out", str(out), *OPTIONS, *options]


@pytest.mark.parametrize("mode", ("replay", "upstream"))
def test_a_dumped_step_can_be_recomputed(tmp_path, mode, monkeypatch):
    (tmp_path / "rewarding.py").write_text("def odd(q, answer, e):\n    return (sum(answer.encode()) % 3) / 2\n")
    monkeypatch.chdir(tmp_path)
    options = ["--dump-step", "step.json", "--steps", "1", "--reward", "rewarding:odd", "--logprobs", mode]
    assert main(command(tmp_path, tmp_path / "out", *options, "--dropout", "0")) == 0
    dumped = json.loads((tmp_path / "step.json").read_text())
    losses = []
    for prompt in dumped["prompts"]:
        lengths = [sum(row) for row in prompt["completion_mask"]]
        own, other = (torch.tensor(prompt[name]) for name in ("policy_logprobs", "reference_logprobs"))
        loss, kl, gains = plus.formula(own, other, prompt["rewards"], lengths)
        assert np.allclose(gains, prompt["advantages"], atol=1e-5)
        assert (prompt["loss"], prompt["kl"]) == (pytest.approx(loss, abs=1e-5), pytest.approx(kl, abs=1e-5))
        assert prompt["rewards"] == [(sum(text.encode()) % 3) / 2 for text in prompt["completions"]]
        assert prompt["prompt_ids"].count(tiny.plain().backbone.image_token) == len(prompt["kept"]) == 6
        losses.append(loss)
    assert len(losses) == 3
    assert dumped["loss"] == pytest.approx(sum(losses) / 3, abs=1e-5)


def test_two_processes_take_the_steps_of_one(tmp_path):
    options = ["--epochs", "1", "--gradient-checkpointing", "--reward", "tests.training.plus.test_trainer:odd"]
    launch = [sys.executable, "-m", "accelerate.commands.launch", "--cpu", "--num_processes", "2", "--num_machines"]
    launch += ["1", "--mixed_precision", "no", "--dynamo_backend", "no", "--num_cpu_threads_per_process", "1"]
    launch += ["--main_process_port", "0", "-m", "glimpse_core"]
    done = subprocess.run([*launch, *command(tmp_path, tmp_path / "two", *options)], capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    assert done.stdout.count("step 2") == done.stdout.count("written") == 1, done.stdout
    assert main(command(tmp_path, tmp_path / "one", *options)) == 0
    for one, two in zip(log(tmp_path / "one"), log(tmp_path / "two"), strict=True):
        assert {**one, "seconds": 0} == pytest.approx({**two, "seconds": 0}, rel=1e-3, abs=1e-5)
    one, two = weights(tmp_path / "one"), weights(tmp_path / "two")
    assert all(torch.allclose(one[name], two[name], atol=1e-4) for name in one)


def test_llava_is_trained_by_the_same_command(tmp_path):
    base = tiny_llava.base_folder()
    assert main(command(tmp_path, tmp_path / "out", "--steps", "1", base=base)) == 0
    assert len(weights(tmp_path / "out")) == 2 * 7 * tiny.LAYERS


@pytest.mark.parametrize(
    ("options", "message"),
    [
        (["--resume"], "no run to resume"),
        (["--group", "1"], "--group is 1. Expected at least 2"),
        (["--layer", "5"], "--layer is 5. Expected 0 to 4"),
        (["--reward", "judge"], "give --judge-url and --judge-model"),
        (["--data", "world", "--epochs", "1"], "the world, which has no end"),
        (["--mask", "glimpse", "--steps", "1"], "has no glimpse modules"),
    ],
)
def test_impossible_requests_are_explained(tmp_path, options, message, capsys):
    assert main(command(tmp_path, tmp_path / "out", *options)) == 2
    assert message in capsys.readouterr().err


def test_more_processes_than_prompts_are_refused(tmp_path):
    trainer = run(tmp_path)
    with pytest.raises(GlimpseError, match="Expected at least one prompt for each of 3 processes"):
        PlusTrainer(tmp_path, trainer.prompts, odd, trainer.settings, ProcessGroup(0, 3))


def test_a_run_is_not_overwritten(tmp_path, capsys):
    assert main(command(tmp_path, tmp_path / "out", "--steps", "1")) == 0
    assert main(command(tmp_path, tmp_path / "out", "--steps", "1")) == 2
    assert "holds a run already" in capsys.readouterr().err
    assert main(command(tmp_path, tmp_path / "out", "--steps", "1", "--resume")) == 0


def test_the_written_adapter_loads(tmp_path):
    assert (
        main(command(tmp_path, tmp_path / "out", "--steps", "2", "--reward", "tests.training.plus.test_trainer:odd"))
        == 0
    )
    loaded = catalog.load(tiny.base_folder(), adapter=tmp_path / "out", device="cpu")
    plain = tiny.plain().backbone.hf.state_dict()
    changed = [name for name, weight in loaded.backbone.hf.state_dict().items() if not torch.equal(weight, plain[name])]
    assert changed and all("language_model.layers" in name for name in changed)
